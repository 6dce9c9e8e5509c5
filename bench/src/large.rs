//! Group `large`: opening and reading a ledger that has grown for years.
//!
//! Each opening is a process of its own ([`child`]), so that its memory is its own too. Each repetition opens four
//! times: after a clean close and after a kill, each with the ledger's files out of the page cache (cold) and then as
//! the opening before left them in it (warm).

mod build;
mod child;
mod files;

use serde_json::{Value, json};

use crate::{
    Result,
    figure::{Figure, percentile},
    machine::Watch,
    settings::Settings,
};
use child::Seen;
pub(crate) use child::{FLAG as CHILD, run as child};

/// Bytes of each payload's text.
const TEXT_BYTES: usize = 512;

/// How an opening found the ledger.
const STATES: [(&str, &str); 4] = [
    ("closed", "cold"),
    ("closed", "warm"),
    ("killed", "cold"),
    ("killed", "warm"),
];

pub(crate) fn measure(settings: &Settings) -> Result<Vec<Figure>> {
    let watch = Watch::start(&settings.folder);
    let built = build::ledger(settings)?;
    let disk = files::bytes(&built.path)?;
    let repetitions = settings.repetitions.unwrap_or(3);
    let mut seen: Vec<Vec<Seen>> = STATES.map(|_| Vec::new()).into();
    for repetition in 1..=repetitions {
        for (i, (state, cache)) in STATES.into_iter().enumerate() {
            eprintln!("large: {state}, {cache}, {repetition} of {repetitions}");
            let acknowledged = if state == "killed" {
                child::append_and_kill(&built.path, settings.scopes)?
            } else {
                built.events
            };
            if cache == "cold" {
                files::drop_from_cache(&built.path)?;
            }
            let seed = repetition * STATES.len() + i;
            let found = child::open_and_read(&built.path, settings, seed)?;
            if found.head < acknowledged {
                let head = found.head;
                return Err(format!("{acknowledged} entries were acknowledged, and {head} are there").into());
            }
            seen[i].push(found);
        }
    }

    let conditions = json!({
        "events": built.events,
        "scopes": settings.scopes,
        "text_bytes": TEXT_BYTES,
        "others_cores": watch.load().others_cores,
    });
    let mut figures = Vec::new();
    if let Some(rate) = built.rate {
        figures.push(Figure::new("build", "events/s", &[rate], &conditions));
    }
    for ((state, cache), seen) in STATES.into_iter().zip(&seen) {
        figures.extend(of_openings(&format!("{state}/{cache}"), seen, &conditions));
    }
    figures.extend(of_disk(&disk, built.events, &conditions)?);
    Ok(figures)
}

fn of_openings(name: &str, seen: &[Seen], conditions: &Value) -> Vec<Figure> {
    // The given percentile of each opening's measurements.
    let at = |percent: f64, part: fn(&Seen) -> &Vec<f64>| -> Vec<f64> {
        let of = |opening: &Seen| {
            let mut sorted = part(opening).clone();
            sorted.sort_by(f64::total_cmp);
            percentile(&sorted, percent)
        };
        seen.iter().map(of).collect()
    };
    let of = |part: fn(&Seen) -> f64| seen.iter().map(part).collect::<Vec<_>>();
    let figure = |what: &str, unit, measured: &[f64]| Figure::new(format!("{name}/{what}"), unit, measured, conditions);
    vec![
        figure("open", "ms", &of(|seen| seen.open_ms)),
        figure("limit-p50", "µs", &at(0.5, |seen| &seen.disk_us)),
        figure("page-p50", "µs", &at(0.5, |seen| &seen.pages_us)),
        figure("page-max", "µs", &at(1.0, |seen| &seen.pages_us)),
        figure("again-p50", "µs", &at(0.5, |seen| &seen.again_us)),
        figure("again-max", "µs", &at(1.0, |seen| &seen.again_us)),
        figure("first-append", "ms", &of(|seen| seen.append_ms)),
        figure("memory-after", "MiB", &of(|seen| seen.resident_mib)),
        figure("memory-peak", "MiB", &of(|seen| seen.peak_mib)),
        figure("close", "ms", &of(|seen| seen.close_ms)),
    ]
}

fn of_disk(disk: &[(String, u64)], events: u64, conditions: &Value) -> Result<Vec<Figure>> {
    let each = |bytes: u64| bytes as f64 / events as f64;
    let plaintext = build::plaintext_bytes()? as f64;
    let all = each(disk.iter().map(|(_, bytes)| bytes).sum());
    let figure = |what: &str, unit, value| Figure::new(format!("disk/{what}"), unit, &[value], conditions);
    let mut figures = vec![
        figure("all", "bytes/event", all),
        figure("plaintext", "bytes/event", plaintext),
        figure("of-plaintext", "ratio", all / plaintext),
    ];
    for (name, bytes) in disk {
        figures.push(figure(name, "bytes/event", each(*bytes)));
    }
    Ok(figures)
}

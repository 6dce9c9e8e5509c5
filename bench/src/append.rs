//! Group `append`: durable appends, beside the limit of the disk in the same run.

use serde_json::{Value, json};

use crate::{
    Result,
    closed_loop::Measured,
    figure::Figure,
    payload::PAYLOAD_BYTES,
    quipu::{self, Api},
    raw,
    settings::Settings,
};

/// Concurrent writers, and the APIs through which so many append.
const WRITERS: [(usize, &[Api]); 3] = [
    (1, &[Api::Async, Api::Blocking]),
    (16, &[Api::Async, Api::Blocking, Api::Proved]),
    (256, &[Api::Async]),
];

/// What is measured of one API with one number of writers; one element a repetition.
struct Cell {
    api: Api,
    ours: Vec<Measured>,
    /// Bytes of the log that an entry took.
    line_bytes: f64,
}

/// The disk's limit is measured right before each of ours, so that a change of the machine's load meets both.
pub(crate) fn measure(settings: &Settings) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (writers, apis) in WRITERS {
        let mut limits = Vec::new();
        let mut cells: Vec<Cell> = apis
            .iter()
            .map(|&api| Cell {
                api,
                ours: Vec::new(),
                line_bytes: 0.0,
            })
            .collect();
        let repetitions = settings.repetitions.unwrap_or(3);
        for repetition in 1..=repetitions {
            for cell in &mut cells {
                eprintln!(
                    "append: {writers} writers, {}, {repetition} of {repetitions}",
                    cell.api.name()
                );
                limits.push(raw::measure(settings, writers)?);
                let (ours, line_bytes) = quipu::measure(settings, cell.api, writers)?;
                cell.ours.push(ours);
                cell.line_bytes = line_bytes;
            }
        }
        figures.extend(report(writers, &limits, &cells, settings));
    }
    Ok(figures)
}

fn report(writers: usize, limits: &[Measured], cells: &[Cell], settings: &Settings) -> Vec<Figure> {
    let conditions = |api: &str, measured: &[Measured]| -> Value {
        json!({
            "writers": writers,
            "payload_bytes": PAYLOAD_BYTES,
            "api": api,
            "seconds_each": settings.length.as_secs(),
            "others_cores": measured.iter().map(|m| m.load.others_cores).fold(0.0, f64::max),
        })
    };
    let mut figures = Vec::new();
    let mut add = |name: &str, measured: &[Measured], conditions: &Value| {
        let of = |part: fn(&Measured) -> f64| measured.iter().map(part).collect::<Vec<_>>();
        figures.push(Figure::new(
            format!("{name}/rate"),
            "payloads/s",
            &of(|m| m.rate),
            conditions,
        ));
        figures.push(Figure::new(format!("{name}/p50"), "µs", &of(|m| m.p50_us), conditions));
        figures.push(Figure::new(format!("{name}/p99"), "µs", &of(|m| m.p99_us), conditions));
    };
    add(
        &format!("limit/{writers}"),
        limits,
        &conditions("pwrite, fdatasync", limits),
    );
    for cell in cells {
        add(
            &format!("{}/{writers}", cell.api.name()),
            &cell.ours,
            &conditions(cell.api.name(), &cell.ours),
        );
    }
    for (i, cell) in cells.iter().enumerate() {
        // The limits were measured in turn, one before each of ours.
        let before = limits.iter().skip(i).step_by(cells.len());
        let ratios: Vec<f64> = cell
            .ours
            .iter()
            .zip(before)
            .map(|(ours, limit)| ours.rate / limit.rate)
            .collect();
        let conditions = conditions(cell.api.name(), &cell.ours);
        let name = format!("{}/{writers}", cell.api.name());
        figures.push(Figure::new(format!("{name}/of-limit"), "ratio", &ratios, &conditions));
        figures.push(Figure::new(
            format!("{name}/line"),
            "bytes/entry",
            &[cell.line_bytes],
            &conditions,
        ));
    }
    figures.extend(price_of_a_proof(writers, cells, conditions));
    figures
}

/// The median of an append with its proof, over that of one without, of the same repetition.
fn price_of_a_proof(writers: usize, cells: &[Cell], conditions: impl Fn(&str, &[Measured]) -> Value) -> Option<Figure> {
    let of = |api: Api| cells.iter().find(|cell| cell.api == api);
    let (proved, plain) = (of(Api::Proved)?, of(Api::Async)?);
    let times: Vec<f64> = proved
        .ours
        .iter()
        .zip(&plain.ours)
        .map(|(proved, plain)| proved.p50_us / plain.p50_us)
        .collect();
    let conditions = conditions(proved.api.name(), &proved.ours);
    Some(Figure::new(
        format!("proved/{writers}/of-async"),
        "ratio",
        &times,
        &conditions,
    ))
}

//! Group `read`: opening, reading and verifying a ledger of 100,000 entries.

use std::{path::Path, time::Instant};

use quipu_log::{Direction, Ledger, LedgerReader, OpenOptions};
use serde_json::json;

use crate::{
    Result,
    figure::Figure,
    ledger::{self, Writer},
    machine::Watch,
    payload::{PAYLOAD_BYTES, Payloads},
    settings::Settings,
};

const SCOPES: usize = 100;
const ENTRIES_A_SCOPE: usize = 1_000;
const ENTRIES: usize = SCOPES * ENTRIES_A_SCOPE;

/// Opens, reads and verifies one ledger `repetitions` times; its files stay in the page cache.
pub(crate) fn measure(settings: &Settings) -> Result<Vec<Figure>> {
    eprintln!("read: writing {ENTRIES} entries");
    let (ledger, path) = ledger::create(&settings.folder)?;
    fill(&ledger)?;
    ledger.close()?;

    let mut open_ms = Vec::new();
    let mut open_read_only_ms = Vec::new();
    let mut paged = Vec::new();
    let mut streamed = Vec::new();
    let mut verified = Vec::new();
    let mut others: f64 = 0.0;
    let repetitions = settings.repetitions.unwrap_or(3);
    for repetition in 1..=repetitions {
        eprintln!("read: {repetition} of {repetitions}");
        let watch = Watch::start(&settings.folder);
        let (seconds, ledger) = timed(|| Ok(Ledger::open(&path, OpenOptions::default())?))?;
        open_ms.push(seconds * 1e3);
        ledger.close()?;
        let (seconds, reader) = timed(|| Ok(Ledger::open_read_only(&path)?))?;
        open_read_only_ms.push(seconds * 1e3);
        paged.push(rate(|| read_pages(&reader))?);
        streamed.push(rate(|| stream(&reader))?);
        verified.push(rate(|| verify(&path))?);
        others = others.max(watch.load().others_cores);
    }
    std::fs::remove_dir_all(path)?;

    let conditions = json!({
        "entries": ENTRIES,
        "scopes": SCOPES,
        "payload_bytes": PAYLOAD_BYTES,
        "files": "in the page cache",
        "threads": 1,
        "others_cores": others,
    });
    Ok(vec![
        Figure::new("open", "ms", &open_ms, &conditions),
        Figure::new("open-read-only", "ms", &open_read_only_ms, &conditions),
        Figure::new("pages", "events/s", &paged, &conditions),
        Figure::new("stream", "events/s", &streamed, &conditions),
        Figure::new("verify", "events/s", &verified, &conditions),
    ])
}

/// Writes the scopes in turn, as a ledger grows that many agents write.
fn fill(ledger: &Ledger) -> Result<()> {
    let writers: Vec<Writer> = (0..SCOPES).map(Writer::new).collect();
    let mut payloads = Payloads::of(0);
    for _ in 0..ENTRIES_A_SCOPE {
        let drafts = writers
            .iter()
            .map(|writer| writer.draft(&payloads.make()))
            .collect::<Result<Vec<_>>>()?;
        ledger.append_all_blocking(drafts)?;
    }
    Ok(())
}

/// Each scope from its first event to its last, in full pages.
fn read_pages(reader: &LedgerReader) -> Result<usize> {
    let mut events = 0;
    for i in 0..SCOPES {
        let writer = Writer::new(i);
        let mut next = 0;
        loop {
            let page = reader.page(writer.scope(), next..reader.head(), Direction::Forward, 1_000)?;
            events += page.events.len();
            match page.events.last() {
                Some(last) if page.more => next = last.envelope.seq + 1,
                _ => break,
            }
        }
    }
    Ok(events)
}

/// All events in the order of the log.
fn stream(reader: &LedgerReader) -> Result<usize> {
    let mut events = 0;
    for event in reader.events(0..reader.head()) {
        event?;
        events += 1;
    }
    Ok(events)
}

fn verify(path: &Path) -> Result<usize> {
    let verification = quipu_log::verify(path, &mut |_| {})?;
    match verification.fault {
        None => Ok(usize::try_from(verification.entries)?),
        Some(fault) => Err(format!("the ledger that was just written does not verify: {fault:?}").into()),
    }
}

/// Events a second; fewer than were written is an error.
fn rate(read: impl FnOnce() -> Result<usize>) -> Result<f64> {
    let (seconds, events) = timed(read)?;
    if events < ENTRIES {
        return Err(format!("{ENTRIES} entries were written and {events} read").into());
    }
    Ok(events as f64 / seconds)
}

fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(f64, T)> {
    let begin = Instant::now();
    let done = work()?;
    Ok((begin.elapsed().as_secs_f64(), done))
}

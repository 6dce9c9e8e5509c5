//! Group `read`: opening, reading and verifying a ledger of 500,000 entries.

use std::{fs, path::Path, thread, time::Instant};

use quipu_log::{Direction, Ledger, LedgerReader, OpenOptions, Verification};
use serde_json::{Value, json};

use crate::{
    Result,
    figure::Figure,
    ledger::{self, Writer},
    machine::Watch,
    payload::{PAYLOAD_BYTES, Payloads},
    settings::Settings,
    sha256,
};

const SCOPES: usize = 100;
const ENTRIES_A_SCOPE: usize = 5_000;
const ENTRIES: usize = SCOPES * ENTRIES_A_SCOPE;

/// Opens, reads and verifies one ledger `repetitions` times; its files stay in the page cache.
pub(crate) fn measure(settings: &Settings) -> Result<Vec<Figure>> {
    eprintln!("read: writing {ENTRIES} entries");
    let (ledger, path) = ledger::create(&settings.folder)?;
    fill(&ledger)?;
    ledger.close()?;

    // What the system lets this process use: `taskset` makes it fewer.
    let cores = thread::available_parallelism()?.get();
    let mut measured = Measured::default();
    let mut others: f64 = 0.0;
    let repetitions = settings.repetitions.unwrap_or(3);
    for repetition in 1..=repetitions {
        eprintln!("read: {repetition} of {repetitions}");
        let watch = Watch::start(&settings.folder);
        measured.measure(&path, cores)?;
        others = others.max(watch.load().others_cores);
    }
    fs::remove_dir_all(path)?;
    Ok(measured.figures(&json!({
        "entries": ENTRIES,
        "scopes": SCOPES,
        "payload_bytes": PAYLOAD_BYTES,
        "files": "in the page cache",
        "cores": cores,
        "others_cores": others,
    })))
}

/// One element a repetition.
#[derive(Default)]
struct Measured {
    open_ms: Vec<f64>,
    open_read_only_ms: Vec<f64>,
    pages: Vec<f64>,
    stream: Vec<f64>,
    replay: Vec<f64>,
    verify: Vec<f64>,
    sha256_leaves: Vec<f64>,
    sha256_both: Vec<f64>,
}

impl Measured {
    fn measure(&mut self, path: &Path, cores: usize) -> Result<()> {
        let (seconds, ledger) = timed(|| Ok(Ledger::open(path, OpenOptions::default())?))?;
        self.open_ms.push(seconds * 1e3);
        ledger.close()?;
        let (seconds, reader) = timed(|| Ok(Ledger::open_read_only(path)?))?;
        self.open_read_only_ms.push(seconds * 1e3);
        self.pages.push(rate(|| read_pages(&reader))?);
        self.stream.push(rate(|| stream(&reader))?);
        drop(reader);
        let (leaves, both) = sha256::limits(cores)?;
        self.sha256_leaves.push(leaves);
        self.sha256_both.push(both);
        self.replay.push(rate(|| replay(path))?);
        self.verify.push(verify_without_keys(path)?);
        Ok(())
    }

    fn figures(&self, conditions: &Value) -> Vec<Figure> {
        let figure = |name: &str, unit, measured: &[f64]| Figure::new(name, unit, measured, conditions);
        let part = |ours: &[f64], limit: &[f64]| ours.iter().zip(limit).map(|(ours, limit)| ours / limit).collect();
        let replay_part: Vec<f64> = part(&self.replay, &self.sha256_both);
        let verify_part: Vec<f64> = part(&self.verify, &self.sha256_leaves);
        vec![
            figure("open", "ms", &self.open_ms),
            figure("open-read-only", "ms", &self.open_read_only_ms),
            figure("pages", "events/s", &self.pages),
            figure("stream", "events/s", &self.stream),
            figure("sha256/leaf+body", "events/s", &self.sha256_both),
            figure("replay", "events/s", &self.replay),
            figure("replay/of-sha256", "ratio", &replay_part),
            figure("sha256/leaf", "events/s", &self.sha256_leaves),
            figure("verify", "events/s", &self.verify),
            figure("verify/of-sha256", "ratio", &verify_part),
        ]
    }
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

/// Everything, by the ledger's verifier: leaves, chains and root, and each body opened, checked and parsed.
fn replay(path: &Path) -> Result<usize> {
    let verification = verified(path)?;
    if verification.intact != verification.entries {
        return Err(format!("the bodies of {} entries were not opened", verification.sealed).into());
    }
    Ok(usize::try_from(verification.entries)?)
}

/// Leaves, chains and root alone: what a verifier can do that has no key file. Events a second.
fn verify_without_keys(path: &Path) -> Result<f64> {
    let (keys, aside) = (path.join("keys"), path.with_extension("keys"));
    fs::rename(&keys, &aside)?;
    let rate = rate(|| {
        let verification = verified(path)?;
        if verification.sealed != verification.entries {
            return Err(format!("the bodies of {} entries were opened", verification.intact).into());
        }
        Ok(usize::try_from(verification.entries)?)
    });
    fs::rename(aside, keys)?;
    rate
}

fn verified(path: &Path) -> Result<Verification> {
    let verification = quipu_log::verify(path, &mut |_| {})?;
    match &verification.fault {
        None => Ok(verification),
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

//! Makes the ledger that tests keep of one version of the format: `cargo run -p quipu-log --example freeze -- DIR`.
//! tests/frozen/README.md says when.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use quipu_format::{Actor, Body, EventId, Kind, RunId, Scope};
use quipu_log::{CreateOptions, Draft, Ledger, OpenOptions, import};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The least that a segment may have, so that a small ledger has several.
const SEGMENT_BYTES: u64 = 64 << 10;
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/data/support.jsonl");
/// Says which process held the ledger last, on which machine.
const LOCK: &str = "lock";

fn main() -> Result<()> {
    let dir = PathBuf::from(
        std::env::args()
            .nth(1)
            .ok_or("usage: freeze DIR, which must not exist")?,
    );
    fs::create_dir(&dir)?;
    let temporary = tempfile::tempdir()?;
    let path = temporary.path().join("ledger");
    fill(&path)?;
    tear_and_recover(&path)?;
    let reader = Ledger::open_read_only(&path)?;
    let mut events = String::new();
    for event in reader.events(0..u64::MAX) {
        events += &serde_json::to_string(&event?)?;
        events.push('\n');
    }
    fs::write(dir.join("events.jsonl"), events)?;
    fs::write(dir.join("root"), format!("{}\n", reader.checkpoint()?.1.root))?;
    copy_as_text(&path, &dir.join("ledger"))
}

fn open(path: &Path) -> Result<Ledger> {
    let mut options = OpenOptions::default();
    options.segment_bytes = SEGMENT_BYTES;
    Ok(Ledger::open(path, options)?)
}

/// Every sort of entry that a caller can append.
fn fill(path: &Path) -> Result<()> {
    let mut options = CreateOptions::new("example.com/frozen");
    options.segment_bytes = SEGMENT_BYTES;
    let ledger = Ledger::create(path, options)?;
    let plan = import::Plan::read(import::Format::Events, &fs::read(SAMPLE)?, ledger.reader())
        .map_err(|errors| format!("the sample is not importable: {errors:?}"))?;
    plan.apply(&ledger, &Actor::new("tool:import")?, &mut |_, _| {})?;

    let mut keyed = note(
        "team:support",
        r#"{"text":"Kim is on call this week.","confidence":0.9,"ttlDays":7}"#,
    )?;
    keyed.key = Some("on call, week 8".into());
    let first = ledger.append_blocking(keyed)?;
    let batch = (0..5).map(|i| note("team:batch", &format!(r#"{{"text":"part {i} of one batch"}}"#)));
    let batch = ledger.append_all_blocking(batch.collect::<Result<_>>()?)?;
    let mut linked = note(
        "team:support",
        r#"{"text" : "Lee is on call\u002c not Kim.", "n": 1.50}"#,
    )?;
    linked.run = Some("01KHWD2DWK00000000000000Z7".parse::<RunId>()?);
    linked.evidence = batch.iter().map(|receipt| receipt.id).collect::<Vec<EventId>>();
    linked.supersedes = vec![first.id];
    ledger.append_blocking(linked)?;
    Ok(ledger.close()?)
}

/// Leaves half a commit behind the log, as a crash does, and opens it, which sets that aside and says so.
fn tear_and_recover(path: &Path) -> Result<()> {
    let segment = newest_segment(path)?;
    let whole = fs::read(&segment)?;
    let used = whole.iter().rposition(|&byte| byte != b'\n').map_or(0, |last| last + 2);
    let torn = br#"{"v":1,"seq":999,"id":"evt_01KHWD2DWK0000"#;
    let mut bytes = whole;
    bytes[used..used + torn.len()].copy_from_slice(torn);
    fs::write(&segment, bytes)?;
    let ledger = open(path)?;
    ledger.append_blocking(note("team:support", r#"{"text":"The log goes on."}"#)?)?;
    Ok(ledger.close()?)
}

fn newest_segment(path: &Path) -> Result<PathBuf> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(path.join("log"))? {
        segments.push(entry?.path());
    }
    segments.retain(|path| path.extension().is_some_and(|ending| ending == "log"));
    Ok(segments.into_iter().max().ok_or("there is no segment")?)
}

fn note(scope: &str, payload: &str) -> Result<Draft> {
    let (scope, actor) = (Scope::new(scope)?, Actor::new("agent:teddy")?);
    Ok(Draft::new(
        scope,
        actor,
        Kind::new("memory.write")?,
        Body::new(None, payload)?,
    ))
}

/// Copies a folder; a file that is not text becomes base64 under its name and `.base64`.
fn copy_as_text(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let (path, name) = {
            let entry = entry?;
            (
                entry.path(),
                entry.file_name().into_string().map_err(|_| "a name is no text")?,
            )
        };
        if path.is_dir() {
            if fs::read_dir(&path)?.next().is_some() {
                copy_as_text(&path, &to.join(name))?;
            }
        } else if name != LOCK {
            let bytes = fs::read(&path)?;
            match std::str::from_utf8(&bytes) {
                Ok(text) => fs::write(to.join(name), text)?,
                Err(_) => {
                    let text = BASE64_STANDARD.encode(&bytes);
                    let lines: Vec<_> = text.as_bytes().chunks(120).map(String::from_utf8_lossy).collect();
                    fs::write(to.join(format!("{name}.base64")), lines.join("\n") + "\n")?;
                }
            }
        }
    }
    Ok(())
}

//! Writes inputs for every target to start from, out of real ledgers: `seeds DIR` makes a folder a target in DIR.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use libfuzzer_sys as _; // What coverage reports to.
use quipu_format::{Actor, Event};
use quipu_fuzz::{Edit, Folder, frozen};
use quipu_log::{
    CreateOptions, Ledger, LedgerReader,
    import::{Format, Plan},
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The repository's sample, of which a real ledger is made.
const SAMPLE: &[u8] = include_bytes!("../examples/data/support.jsonl");
/// A conversation in the form of LoCoMo.
const CONVERSATION: &str = r#"[{"sample_id":"conv-1","conversation":{"speaker_a":"Ann","speaker_b":"Bo","session_1_date_time":"1:56 pm on 8 May, 2023","session_1":[{"speaker":"Ann","dia_id":"D1:1","text":"Hi"},{"speaker":"Bo","dia_id":"D1:2","text":"Hello","img_url":["x"],"blip_caption":"a cat","query":"cat"}],"session_2_date_time":"12:00 am on 29 February, 2024","session_2":[]},"qa":[],"event_summary":{}}]"#;
/// Events that each give a seed of their own.
const EVENTS: usize = 40;

struct Seeds(PathBuf);

impl Seeds {
    fn add(&self, target: &str, bytes: &[u8]) -> Result<()> {
        let folder = self.0.join(target);
        fs::create_dir_all(&folder)?;
        let name = quipu_format::Hash::of(&[bytes]).to_string();
        Ok(fs::write(folder.join(name), bytes)?)
    }
}

fn main() -> Result<()> {
    let dir = std::env::args().nth(1).ok_or("usage: seeds DIR")?;
    let seeds = Seeds(dir.into());
    let folder = Folder::new("seeds");
    let reader = sample_ledger(&folder.path)?;
    let sampled: Vec<Event> = reader.events(0..u64::MAX).collect::<std::result::Result<_, _>>()?;
    let events = frozen()
        .events
        .iter()
        .rev()
        .take(EVENTS)
        .chain(sampled.iter().take(EVENTS));
    events.clone().try_for_each(|event| of_event(&seeds, event))?;
    for files in [&frozen().files, &folder.files()] {
        for (name, bytes) in files {
            of_file(&seeds, name, bytes)?;
        }
    }
    for seq in [0, 1, 99] {
        seeds.add("note", reader.prove(seq)?.to_string().as_bytes())?;
    }
    seeds.add("note", reader.verifier_key().to_string().as_bytes())?;
    for size in [1, 100, 190] {
        seeds.add("note", &frozen().checkpoint(size))?;
    }
    damages().iter().try_for_each(|damage| seeds.add("recovery", damage))?;
    for lines in [1, 3, 12] {
        let lines: Vec<_> = SAMPLE.split_inclusive(|&byte| byte == b'\n').take(lines).collect();
        seeds.add("import_events", &lines.concat())?;
    }
    seeds.add("import_locomo", CONVERSATION.as_bytes())
}

/// A ledger that is made now, of the sample.
fn sample_ledger(path: &Path) -> Result<LedgerReader> {
    let ledger = Ledger::create(path, CreateOptions::new("example.com/seeds"))?;
    let plan = Plan::read(Format::Events, SAMPLE, ledger.reader());
    let plan = plan.map_err(|errors| format!("the sample is not importable: {errors:?}"))?;
    plan.apply(&ledger, &Actor::new("tool:import")?, &mut |_, _| {})?;
    ledger.close()?;
    Ok(Ledger::open_read_only(path)?)
}

fn of_event(seeds: &Seeds, event: &Event) -> Result<()> {
    seeds.add("envelope", &event.envelope.to_bytes()?)?;
    if let Some(body) = event.body() {
        seeds.add("body", &body.to_bytes()?)?;
        seeds.add("body", body.payload.get().as_bytes())?;
    }
    seeds.add("import_events", serde_json::to_string(event)?.as_bytes())
}

fn of_file(seeds: &Seeds, name: &str, bytes: &[u8]) -> Result<()> {
    if name.ends_with(".log") {
        for line in bytes
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .take(EVENTS)
        {
            seeds.add("line", line)?;
        }
    }
    match name {
        "keys" => {
            for first in 0..4 {
                seeds.add("keys", &[&[first], bytes].concat())?;
            }
        }
        "checkpoint" => seeds.add("note", bytes)?,
        "signer" => seeds.add("note", bytes.trim_ascii_end())?,
        _ => {}
    }
    // As the target numbers them.
    let derived = [
        "log/00000000000000000000.idx",
        "log/00000000000000000082.idx",
        "heads",
        "tree/0",
    ];
    if let Some(number) = derived.iter().position(|other| *other == name) {
        for mended in [0, 4] {
            seeds.add("derived", &[&[number as u8 | mended], bytes].concat())?;
        }
    }
    Ok(())
}

/// Each row of the recovery table, and what else crashes and strangers leave.
fn damages() -> Vec<Vec<u8>> {
    use Edit::*;
    let log = &frozen().files["log/00000000000000000164.log"];
    let used = log.iter().rposition(|&byte| byte != b'\n').map_or(0, |last| last + 2) as u16;
    let behind = |size: u16| EarlierCheckpoint.to_bytes(3, size, 0, b"");
    vec![
        vec![],
        // A checkpoint that is behind, and a last commit that is torn, cut, bent, missing or damaged in its middle.
        [behind(185), Fill.to_bytes(0, used - 200, 400, b"")].concat(),
        [behind(170), Shorten.to_bytes(0, used - 60, 0, b"")].concat(),
        [behind(170), Flip.to_bytes(0, used - 100, 0, b"")].concat(),
        [behind(164), EarlierLog.to_bytes(0, 5_000, 0, b"")].concat(),
        [behind(164), Flip.to_bytes(0, 3_000, 2, b"")].concat(),
        [behind(100), EarlierLog.to_bytes(1, 100, 0, b"")].concat(),
        [
            behind(170),
            Flip.to_bytes(0, used - 300, 0, b""),
            Mend.to_bytes(0, 0, 0, b""),
        ]
        .concat(),
        // Rows a, b and c.
        Remove.to_bytes(3, 0, 0, b""),
        Flip.to_bytes(3, 40, 1, b""),
        EarlierLog.to_bytes(0, 0, 0, b""),
        Remove.to_bytes(0, 0, 0, b""),
        Remove.to_bytes(1, 0, 0, b""),
        [Remove.to_bytes(5, 0, 0, b""), Flip.to_bytes(1, 9_000, 0, b"")].concat(),
        // What is derived is lost, or another's.
        [
            Remove.to_bytes(5, 0, 0, b""),
            Remove.to_bytes(6, 0, 0, b""),
            Remove.to_bytes(7, 0, 0, b""),
        ]
        .concat(),
        [Remove.to_bytes(7, 0, 0, b""), Flip.to_bytes(1, 20_000, 3, b"")].concat(),
        Insert.to_bytes(12, 0, 20, b"half a next segment "),
        [Remove.to_bytes(4, 0, 0, b"")].concat(),
        CutOut.to_bytes(4, 300, 60, b""),
        Overwrite.to_bytes(10, 16, 1, b"2"),
    ]
}

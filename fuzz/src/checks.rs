//! What must hold of a ledger, whatever its files hold.

use std::sync::LazyLock;

use quipu_format::{Actor, Body, Event, Kind, Scope};
use quipu_log::{Direction, Draft, Ledger, LedgerReader, OpenOptions, Verification, verify};

use crate::frozen::{Files, Folder, frozen};

/// Positions that are asked for, whatever head a damaged ledger claims.
const MOST_POSITIONS: u64 = 1_000;
/// Positions that are asked for again once an open has changed something.
const NEWEST: u64 = 10;

/// Puts a damaged copy of the frozen ledger on disk, verifies it, reads it and opens it for writing.
///
/// Nothing panics; verifying, reading and an open that refuses change nothing; no event is served that is not the
/// frozen one at its place, or the host's own; what an open accepts it goes on with durably. `mended`: checksums were
/// put right, so that an envelope may say what nobody wrote, and only the rest is held.
pub fn check(files: &Files, mended: bool) {
    static FOLDER: LazyLock<Folder> = LazyLock::new(|| Folder::new("damaged"));
    let folder = &*FOLDER;
    folder.put(files);
    let verdict = verify(&folder.path, &mut |_| {}).ok();
    if let Some(verdict) = verdict.as_ref().filter(|verdict| verdict.fault.is_none() && !mended) {
        assert_eq!(
            verdict.root,
            frozen().roots[verdict.entries as usize],
            "a root nobody signed"
        );
        assert!(verdict.entries >= verdict.checkpoint_size, "what was signed is missing");
    }
    let floor = verdict.as_ref().map_or(0, |verdict| verdict.checkpoint_size);
    if let Ok(reader) = Ledger::open_read_only(&folder.path) {
        read(&reader, 0, mended);
    }
    assert_same(files, &folder.files(), "reading or verifying");
    match open(folder) {
        Err(_) => assert_same(files, &folder.files(), "an open that was refused"),
        Ok(ledger) => {
            assert!(ledger.reader().head() >= floor, "entries that were signed for are gone");
            go_on(folder, ledger, mended, verdict);
        }
    }
}

fn open(folder: &Folder) -> quipu_log::Result<Ledger> {
    let mut options = OpenOptions::default();
    options.segment_bytes = 64 << 10;
    Ledger::open(&folder.path, options)
}

fn go_on(folder: &Folder, ledger: Ledger, mended: bool, verdict: Option<Verification>) {
    // What stands before was read already, from the same bytes.
    read(ledger.reader(), ledger.reader().head().saturating_sub(NEWEST), mended);
    let receipt = ledger
        .append_blocking(note())
        .expect("a ledger that was opened takes an entry");
    let event = ledger
        .reader()
        .event(receipt.seq)
        .expect("it was acknowledged")
        .expect("it is there");
    ledger.close().expect("the disk is good");
    let ledger = open(folder).expect("it was open before");
    assert_eq!(
        ledger.reader().event(receipt.seq).ok().flatten(),
        Some(event),
        "an acknowledged entry is gone"
    );
    drop(ledger);
    if verdict.is_some_and(|verdict| verdict.fault.is_none()) {
        let fault = verify(&folder.path, &mut |_| {}).map(|verdict| verdict.fault);
        assert_eq!(fault.ok(), Some(None), "a good ledger was spoilt");
    }
}

fn note() -> Draft {
    let body = Body::new(None, r#"{"text":"goes on"}"#).expect("it is one");
    let (scope, actor) = (Scope::new("team:support"), Actor::new("agent:fuzz"));
    Draft::new(
        scope.expect("it is one"),
        actor.expect("it is one"),
        Kind::new("memory.write").expect("it is one"),
        body,
    )
}

/// Asks a reader for all positions behind `from`, in every way that there is.
fn read(reader: &LedgerReader, from: u64, mended: bool) {
    let mut seq = from;
    for event in reader.events(from..reader.head().min(from + MOST_POSITIONS)) {
        if let Ok(event) = event {
            assert_known(&event, seq, mended);
            let _ = reader.find(event.envelope.id);
            let _ = reader.seq_at(event.envelope.ts);
        }
        seq += 1;
    }
    for head in reader.scopes() {
        for (direction, limit) in [(Direction::Forward, 1_000), (Direction::Backward, 2)] {
            let Ok(page) = reader.page(&head.scope, from..u64::MAX, direction, limit) else {
                continue;
            };
            page.events
                .iter()
                .for_each(|event| assert_known(event, event.envelope.seq, mended));
        }
    }
    let _ = reader.prove(reader.head() / 2);
    let _ = reader.stats();
    let _ = reader.refresh();
}

/// The event is the one that was written there, or the host's own, written now.
fn assert_known(event: &Event, seq: u64, mended: bool) {
    let known = frozen().events.get(seq as usize) == Some(event);
    let hosts = event.envelope.actor.as_str() == "host:quipu" && event.envelope.scope == Scope::ledger();
    assert!(known || hosts || mended, "an entry that nobody wrote: {event:?}");
}

fn assert_same(before: &Files, after: &Files, who: &str) {
    let names = before.keys().chain(after.keys());
    for name in names {
        assert!(before.get(name) == after.get(name), "{who} changed {name}");
    }
}

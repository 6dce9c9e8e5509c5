//! Ledgers of many segments: what opens quickly answers as what was read whole, and nothing derived is trusted.

mod ledgers;

use std::{
    fs,
    path::{Path, PathBuf},
};

use ledgers::{TestLedger, draft, text_of};
use quipu_format::{Scope, Timestamp};
use quipu_log::{Direction, ErrorKind, Ledger, LedgerReader};

const SCOPES: usize = 7;
const ENTRIES: usize = 400;

/// Some hundred entries in small segments, in several scopes, some with idempotency keys.
fn many() -> TestLedger {
    let test = TestLedger::create_with(64 << 10);
    let ledger = test.open();
    for i in 0..ENTRIES {
        ledger.append_blocking(entry(i)).unwrap();
    }
    ledger.close().unwrap();
    assert!(test.segments().len() > 5, "{:?}", test.segments());
    test
}

fn entry(i: usize) -> quipu_log::Draft {
    let mut draft = draft(
        &format!("scope:{}", i % SCOPES),
        &format!("{i} {}", "x".repeat(700 + i % 13)),
    );
    draft.key = i.is_multiple_of(5).then(|| format!("key {i}"));
    draft
}

/// Everything that a reader can be asked, as text.
fn answers(reader: &LedgerReader) -> Vec<String> {
    let mut said = vec![format!("{:?}", reader.scopes()), reader.head().to_string()];
    let mut times = Vec::new();
    for event in reader.events(0..u64::MAX) {
        let event = event.unwrap();
        assert_eq!(reader.find(event.envelope.id).unwrap(), Some(event.envelope.seq));
        times.push(event.envelope.ts);
        said.push(format!("{event:?}"));
    }
    times.extend([Timestamp::FIRST, Timestamp::from_ms(u64::from(u32::MAX) * 1_000)]);
    for ts in times {
        said.push(reader.seq_at(ts).unwrap().to_string());
    }
    for scope in reader.scopes() {
        for direction in [Direction::Forward, Direction::Backward] {
            for range in [0..u64::MAX, 50..250, 399..400, 7..7] {
                for limit in [1, 3, 1_000] {
                    let page = reader.page(&scope.scope, range.clone(), direction, limit).unwrap();
                    assert_eq!(page.missing, 0, "{page:?}");
                    said.push(format!("{page:?}"));
                }
            }
        }
    }
    said
}

fn sidecars(test: &TestLedger) -> Vec<PathBuf> {
    let sealed = test.segments();
    sealed[..sealed.len() - 1]
        .iter()
        .map(|path| path.with_extension("idx"))
        .collect()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn with_and_without_what_is_derived_the_answers_are_the_same() {
    let test = many();
    let whole = answers(&Ledger::open_read_only(test.path()).unwrap());
    assert_eq!(answers(test.open().reader()), whole);
    for sidecar in sidecars(&test) {
        assert!(sidecar.exists(), "{sidecar:?}");
    }
    let heads = test.path().join("heads");
    let bytes = fs::read(&heads).unwrap();
    // All of it, one of each, and damage in each.
    fs::remove_file(&heads).unwrap();
    assert_eq!(answers(&Ledger::open_read_only(test.path()).unwrap()), whole);
    assert_eq!(answers(test.open().reader()), whole);
    assert_eq!(fs::read(&heads).unwrap(), bytes, "made anew");
    flip(&heads, 200);
    assert_eq!(answers(&Ledger::open_read_only(test.path()).unwrap()), whole);
    assert_eq!(answers(test.open().reader()), whole);
    for sidecar in &sidecars(&test) {
        let good = fs::read(sidecar).unwrap();
        fs::remove_file(sidecar).unwrap();
        assert_eq!(answers(&Ledger::open_read_only(test.path()).unwrap()), whole);
        test.open().close().unwrap();
        assert_eq!(fs::read(sidecar).unwrap(), good, "made anew");
    }
    let sidecar = &sidecars(&test)[1];
    let good = fs::read(sidecar).unwrap();
    for at in (0..good.len()).step_by(3_919) {
        flip(sidecar, at);
        let reader = Ledger::open_read_only(test.path()).unwrap();
        assert_eq!(answers(&reader), whole, "byte {at}");
        fs::write(sidecar, &good).unwrap();
    }
    fs::remove_dir_all(test.path().join("tree")).unwrap();
    assert_eq!(answers(test.open().reader()), whole);
    assert_eq!(test.verify().fault, None);
}

/// Many entries of a page are loaded by two threads.
#[test]
fn a_long_page_holds_what_each_of_its_entries_is_alone() {
    let test = TestLedger::create_with(64 << 10);
    let ledger = test.open();
    for i in 0..900 {
        let scope = if i % 2 == 0 { "many" } else { "others" };
        ledger.append_blocking(draft(scope, &format!("{i}"))).unwrap();
    }
    ledger.close().unwrap();
    let scope = Scope::new("many").unwrap();
    let events_alone = |reader: &LedgerReader| -> Vec<_> {
        let events = (0..reader.head()).filter_map(|seq| reader.event(seq).ok()?);
        events.filter(|event| event.envelope.scope == scope).collect()
    };
    let is_whole = |missing: u32| {
        let reader = Ledger::open_read_only(test.path()).unwrap();
        let mut alone = events_alone(&reader);
        let forward = reader.page(&scope, 0..u64::MAX, Direction::Forward, 1_000).unwrap();
        assert_eq!(
            (&forward.events, forward.missing, forward.more),
            (&alone, missing, false)
        );
        let backward = reader.page(&scope, 0..u64::MAX, Direction::Backward, 1_000).unwrap();
        alone.reverse();
        assert_eq!((&backward.events, backward.missing), (&alone, missing));
        alone.len()
    };
    assert_eq!(is_whole(0), 450);
    // One in each half: the body of an entry that the index knows well.
    for segment in [&test.segments()[1], test.segments().iter().rev().nth(1).unwrap()] {
        let text = fs::read_to_string(segment).unwrap();
        let at = text.find("\"scope\":\"many\"").unwrap();
        let sealed = at + text[at..].find('\t').unwrap() + 20;
        flip(segment, sealed);
    }
    assert_eq!(is_whole(2), 448);
}

/// Fuzzing found it: the first sidecar was made anew and the heads with it, which then ended there. The next open read what they
/// had vouched for, found the damage in a later segment, and refused what the open before had taken entries for.
#[test]
fn a_lost_first_sidecar_sets_no_heads_back() {
    let test = many();
    let heads = fs::read_to_string(test.path().join("heads")).unwrap();
    fs::remove_file(&sidecars(&test)[0]).unwrap();
    flip(&test.segments()[1], 0);
    for _ in 0..2 {
        let ledger = test.open();
        ledger.append_blocking(entry(0)).unwrap();
        ledger.close().unwrap();
        assert_eq!(fs::read_to_string(test.path().join("heads")).unwrap(), heads);
        assert!(sidecars(&test)[0].exists(), "made anew");
    }
    assert!(test.verify().fault.is_some(), "and the damage is found");
}

#[test]
fn heads_of_another_time_are_not_believed() {
    let test = many();
    let heads = test.path().join("heads");
    let old = fs::read(&heads).unwrap();
    let ledger = test.open();
    for i in ENTRIES..2 * ENTRIES {
        ledger.append_blocking(entry(i)).unwrap();
    }
    ledger.close().unwrap();
    let new = fs::read(&heads).unwrap();
    assert_ne!(old, new);
    let whole = answers(&Ledger::open_read_only(test.path()).unwrap());
    // Older ones are a base from which more has to be read.
    fs::write(&heads, &old).unwrap();
    assert_eq!(answers(test.open().reader()), whole);
    // Newer ones than the log are of no use.
    let other = many();
    fs::write(other.path().join("heads"), &new).unwrap();
    assert_eq!(other.open().reader().head(), ENTRIES as u64 + 1);
    assert_eq!(other.verify().fault, None);
}

#[test]
fn a_tree_that_lost_its_hashes_is_not_gone_on_from() {
    let test = many();
    let tree = test.path().join("tree/0");
    let good = fs::read(&tree).unwrap();
    flip(&tree, 32 * 300);
    test.open().close().unwrap();
    assert_eq!(fs::read(&tree).unwrap(), good, "made anew");
    fs::write(&tree, &good[..good.len() / 2]).unwrap();
    let ledger = test.open();
    assert_eq!(fs::read(&tree).unwrap(), good);
    ledger.reader().prove(3).unwrap();
}

#[test]
fn idempotency_keys_of_sealed_segments_are_remembered() {
    let test = many();
    let ledger = test.open();
    for i in (0..ENTRIES).step_by(5) {
        let receipt = ledger.append_blocking(entry(i)).unwrap();
        assert!(receipt.repeated);
        assert_eq!(receipt.seq, i as u64 + 1);
    }
    assert_eq!(ledger.reader().head(), ENTRIES as u64 + 1);
}

#[test]
fn a_reader_follows_across_segments() {
    let test = TestLedger::create_with(64 << 10);
    let ledger = test.open();
    let reader = Ledger::open_read_only(test.path()).unwrap();
    for i in 0..ENTRIES {
        ledger.append_blocking(entry(i)).unwrap();
        if i % 50 == 0 {
            reader.refresh().unwrap();
        }
    }
    ledger.close().unwrap();
    reader.refresh().unwrap();
    assert_eq!(answers(&reader), answers(&Ledger::open_read_only(test.path()).unwrap()));
}

/// Other scopes' lines may be anything: a page does not look at them.
#[test]
fn a_page_touches_no_other_scopes_bytes() {
    let test = many();
    let reader = Ledger::open_read_only(test.path()).unwrap();
    let scope = Scope::new("scope:3").unwrap();
    for path in test.segments() {
        let bytes = fs::read(&path).unwrap();
        let mut spoilt = Vec::new();
        for line in bytes.split_inclusive(|&b| b == b'\n') {
            let mine = String::from_utf8_lossy(line).contains("\"scope\":\"scope:3\"");
            spoilt.extend(line.iter().map(|&b| if mine || b == b'\n' { b } else { b'?' }));
        }
        fs::remove_file(&path).unwrap();
        fs::write(&path, spoilt).unwrap();
    }
    // The newest segment is open already; the others are opened now.
    let page = reader.page(&scope, 0..u64::MAX, Direction::Forward, 1_000).unwrap();
    assert_eq!((page.events.len(), page.missing), (57, 0));
    for (n, event) in page.events.iter().enumerate() {
        assert!(text_of(event).starts_with(&format!("{} ", 3 + n * SCOPES)));
    }
}

/// A folder stands where the next segment should go, whichever entry it begins with, so that the rename fails.
#[test]
fn a_rotation_that_fails_at_the_rename_leaves_all_to_the_next_open() {
    let test = TestLedger::create_with(64 << 10);
    let ledger = test.open();
    let obstacles: Vec<_> = (2..300)
        .map(|seq| test.path().join(format!("log/{seq:020}.log")))
        .collect();
    obstacles.iter().for_each(|path| fs::create_dir(path).unwrap());
    let mut acknowledged = Vec::new();
    let refused = loop {
        match ledger.append_blocking(entry(acknowledged.len())) {
            Ok(receipt) => acknowledged.push(receipt.seq),
            Err(error) => break error,
        }
    };
    assert!(acknowledged.len() > 20, "{refused}");
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    assert!(refused.to_string().contains("open the ledger again"), "{refused}");
    // Room would not help any more: nothing is taken until the folder has been read anew.
    obstacles.iter().for_each(|path| fs::remove_dir(path).unwrap());
    let again = ledger.append_blocking(entry(acknowledged.len())).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Unavailable, "{again}");
    drop(ledger);
    let ledger = test.open();
    let next = acknowledged.len() as u64 + 1;
    assert_eq!(ledger.reader().head(), next);
    assert_eq!(ledger.append_blocking(entry(acknowledged.len())).unwrap().seq, next);
    ledger.close().unwrap();
    assert_eq!(test.segments().len(), 2);
    assert_eq!(test.verify().fault, None);
}

/// The entry that names what was set aside may lie in a segment that is not read at open.
#[test]
fn what_was_set_aside_is_said_once_however_long_the_log_grows() {
    let test = many();
    let torn = test.path().join("torn/00000000000000000000-5-0011223344556677.torn");
    fs::write(torn, "half a commit").unwrap();
    for _ in 0..3 {
        let ledger = test.open();
        for i in 0..100 {
            ledger
                .append_blocking(draft("a", &format!("{i} {}", "x".repeat(900))))
                .unwrap();
        }
        ledger.close().unwrap();
    }
    let reader = Ledger::open_read_only(test.path()).unwrap();
    let page = reader
        .page(&Scope::ledger(), 0..u64::MAX, Direction::Forward, 100)
        .unwrap();
    let recovered = page
        .events
        .iter()
        .filter(|event| event.envelope.kind.as_str() == "quipu.recovered");
    assert_eq!(recovered.count(), 1);
}

/// Needs a file system with attributes and the right to change them; says so where it has not.
#[test]
fn full_segments_can_be_made_immutable() {
    let test = many();
    if let Err(error) = quipu_log::set_immutable(test.path(), true) {
        eprintln!("skipped: {error}");
        return;
    }
    let segments = test.segments();
    let (_, full) = segments.split_last().unwrap();
    for path in full {
        assert!(fs::remove_file(path).is_err(), "{path:?}");
        assert!(fs::OpenOptions::new().append(true).open(path).is_err());
    }
    let again = quipu_log::set_immutable(test.path(), true).unwrap();
    assert_eq!((again.segments, again.changed), (full.len() as u64, 0));
    // The log goes on.
    let ledger = test.open();
    for i in 0..100 {
        ledger.append_blocking(entry(ENTRIES + i)).unwrap();
    }
    ledger.close().unwrap();
    assert_eq!(test.verify().fault, None);
    let released = quipu_log::set_immutable(test.path(), false).unwrap();
    assert_eq!(released.changed, full.len() as u64);
}

// Long because every way to pass a quota is tried on one kind of ledger.

//! Quotas of scopes: what they refuse, to the entry and to the byte, whoever appends and however the ledger was opened.

mod ledgers;

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Barrier},
    thread,
};

use ledgers::draft;
use quipu_format::{Act, Actor, Body, Cause, Erasure, Kind, Quota, QuotaChange, Scope, Signer};
use quipu_log::{
    CreateOptions, Draft, Error, ErrorKind, Ledger, LedgerReader, OpenOptions, Receipt, RestoreOptions, SignedAct,
    backup, restore,
};
use serde_json::{Value, json};

const ORIGIN: &str = "example.com/quotas";
/// A few dozen entries fill a segment.
const SEGMENT_BYTES: u64 = 64 << 10;

struct Quotas {
    folder: tempfile::TempDir,
}

fn kim() -> Signer {
    Signer::new("operator:kim", [9; 32]).unwrap()
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::default();
    options.segment_bytes = SEGMENT_BYTES;
    options
}

impl Quotas {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = CreateOptions::new(ORIGIN).operator(&kim().verifier_key()).unwrap();
        options.segment_bytes = SEGMENT_BYTES;
        let path = folder.path().join("ledger");
        Ledger::create(&path, options).unwrap().close().unwrap();
        Self { folder }
    }

    fn open(&self) -> Ledger {
        Ledger::open(&self.folder.path().join("ledger"), options()).unwrap()
    }
}

fn signed(ledger: &Ledger, member: &str, value: &Value) -> SignedAct {
    SignedAct::sign(ORIGIN, ledger.reader().refresh().unwrap(), member, value, &kim()).unwrap()
}

fn change(ledger: &Ledger, change: Value) -> Result<Vec<Receipt>, Error> {
    ledger.act_blocking(vec![signed(ledger, QuotaChange::MEMBER, &change)])
}

/// As an operator does it.
fn set(ledger: &Ledger, of: &str, entries: Option<u32>, bytes: Option<u64>) {
    let of = of.parse().unwrap();
    change(ledger, json!(QuotaChange::Set(Quota { bytes, entries, of }))).unwrap();
}

fn write(ledger: &Ledger, scope: &str) -> Result<Receipt, Error> {
    ledger.append_blocking(draft(scope, "said"))
}

fn keyed(scope: &str, key: &str) -> Draft {
    let mut draft = draft(scope, "said once");
    draft.key = Some(key.into());
    draft
}

fn count(reader: &LedgerReader, scope: &str) -> u32 {
    let head = reader.scope(&Scope::new(scope).unwrap());
    head.map_or(0, |head| head.count)
}

fn bytes(reader: &LedgerReader, scope: &str) -> u64 {
    reader.scope(&Scope::new(scope).unwrap()).unwrap().bytes
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Error>, says: &[&str]) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Quota, "{error}");
    for part in says {
        assert!(error.to_string().contains(part), "{part:?} is not in: {error}");
    }
}

#[test]
fn a_full_scope_takes_no_more_until_an_operator_allows_it() {
    let quotas = Quotas::new();
    let ledger = quotas.open();
    for _ in 0..2 {
        write(&ledger, "customer:a").unwrap();
    }
    set(&ledger, "customer:*", Some(3), None);
    write(&ledger, "customer:a").unwrap();
    let head = ledger.reader().head();
    refused(
        write(&ledger, "customer:a"),
        &[
            "customer:a has no room for this",
            "customer:*",
            "3 entries",
            "it holds 3",
            "quota set",
        ],
    );
    assert_eq!(ledger.reader().head(), head, "no place is taken");
    // A beginning holds for each scope that begins so.
    for _ in 0..3 {
        write(&ledger, "customer:b").unwrap();
    }
    refused(write(&ledger, "customer:b"), &["customer:b"]);
    for _ in 0..9 {
        write(&ledger, "team:a").unwrap();
    }
    // The own one holds alone, be it higher or lower.
    set(&ledger, "customer:a", Some(4), None);
    write(&ledger, "customer:a").unwrap();
    refused(write(&ledger, "customer:a"), &["quota of customer:a allows 4"]);
    set(&ledger, "customer:a", Some(1), None);
    refused(write(&ledger, "customer:a"), &["1 entry", "it holds 4"]);
    ledger.close().unwrap();

    let ledger = quotas.open();
    refused(write(&ledger, "customer:a"), &["it holds 4"]);
    refused(write(&ledger, "customer:b"), &["it holds 3"]);
    change(&ledger, json!({"remove": "customer:*"})).unwrap();
    write(&ledger, "customer:b").unwrap();
    refused(write(&ledger, "customer:a"), &["1 entry"]);
    change(&ledger, json!({"remove": "customer:a"})).unwrap();
    write(&ledger, "customer:a").unwrap();
    let none = change(&ledger, json!({"remove": "customer:a"})).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::NotFound, "{none}");
    assert_eq!(ledger.reader().governance().unwrap().quotas().count(), 0);
}

/// What stands in the files says how many bytes a scope has, and how many more the next entry takes.
#[test]
fn bytes_are_counted_to_the_last_one() {
    let quotas = Quotas::new();
    let ledger = quotas.open();
    // Positions have three digits from here on, and numbers in the scope two.
    for _ in 0..100 {
        write(&ledger, "other").unwrap();
    }
    for _ in 0..11 {
        write(&ledger, "a").unwrap();
    }
    let before = bytes(ledger.reader(), "a");
    write(&ledger, "a").unwrap();
    let (held, next) = (bytes(ledger.reader(), "a"), bytes(ledger.reader(), "a") - before);
    set(&ledger, "a", None, Some(held + next - 1));
    refused(
        write(&ledger, "a"),
        &["bytes", &format!("it holds {held}, and this adds at least {next}")],
    );
    set(&ledger, "a", None, Some(held + 2 * next));
    // Two fit, and three do not.
    refused(ledger.append_all_blocking(vec![draft("a", "said"); 3]), &["bytes"]);
    ledger.append_all_blocking(vec![draft("a", "said"); 2]).unwrap();
    refused(write(&ledger, "a"), &[]);
    assert_eq!(bytes(ledger.reader(), "a"), held + 2 * next);
    // The stricter one of both.
    set(&ledger, "a", Some(15), Some(1 << 40));
    write(&ledger, "a").unwrap();
    refused(write(&ledger, "a"), &["15 entries"]);
    set(&ledger, "a", Some(1_000), Some(held));
    refused(write(&ledger, "a"), &[&held.to_string()]);
}

#[test]
fn a_batch_fits_as_a_whole_or_not_at_all() {
    let quotas = Quotas::new();
    let ledger = quotas.open();
    set(&ledger, "a", Some(5), None);
    set(&ledger, "b", Some(1), None);
    let batch = |scopes: &[&str]| scopes.iter().map(|scope| draft(scope, "said")).collect::<Vec<_>>();
    let head = ledger.reader().head();
    refused(ledger.append_all_blocking(batch(&["a"; 6])), &["a has no room"]);
    refused(
        ledger.append_all_blocking(batch(&["a", "b", "c", "b"])),
        &["b has no room"],
    );
    assert_eq!(ledger.reader().head(), head);
    ledger.append_all_blocking(batch(&["a", "b", "c", "a"])).unwrap();
    refused(ledger.append_all_blocking(batch(&["c", "a", "b"])), &["b has no room"]);
    ledger.append_all_blocking(batch(&["a", "c", "a", "a"])).unwrap();
    refused(write(&ledger, "a"), &["it holds 5"]);
}

#[test]
fn a_repeat_is_answered_where_the_scope_is_full() {
    let quotas = Quotas::new();
    let ledger = quotas.open();
    let first = ledger.append_blocking(keyed("a", "one")).unwrap();
    set(&ledger, "a", Some(2), None);
    // The repeat takes no room.
    let batch = vec![keyed("a", "one"), keyed("a", "two"), keyed("a", "two")];
    let receipts = ledger.append_all_blocking(batch).unwrap();
    assert_eq!((receipts[0].id, receipts[0].repeated), (first.id, true));
    assert_eq!((receipts[2].id, receipts[2].repeated), (receipts[1].id, true));
    refused(ledger.append_blocking(keyed("a", "three")), &[]);
    assert_eq!(ledger.append_blocking(keyed("a", "two")).unwrap().id, receipts[1].id);
    // What was refused left nothing behind.
    change(&ledger, json!({"remove": "a"})).unwrap();
    assert!(!ledger.append_blocking(keyed("a", "three")).unwrap().repeated);
}

#[test]
fn what_hosts_and_operators_write_counts_and_is_never_refused() {
    let quotas = Quotas::new();
    let ledger = quotas.open();
    set(&ledger, "a", Some(2), Some(1 << 20));
    write(&ledger, "a").unwrap();
    let own = || {
        let (actor, kind) = (Actor::new("agent:test").unwrap(), Kind::new("quipu.run").unwrap());
        Draft::new(Scope::new("a").unwrap(), actor, kind, Body::new(None, "{}").unwrap())
    };
    ledger.append_blocking(own()).unwrap();
    refused(write(&ledger, "a"), &["it holds 2"]);
    ledger.append_all_blocking(vec![own(), own()]).unwrap();
    refused(
        ledger.append_all_blocking(vec![own(), draft("a", "said")]),
        &["it holds 4"],
    );
    let erasure = Erasure {
        cause: Cause::Redact,
        ranges: vec![[0, 0]],
        request: None,
        scope: Scope::new("a").unwrap(),
    };
    let hold = json!({"id": "h", "over": [{"scope": "a", "ranges": [[1, 1]]}]});
    ledger
        .act_blocking(vec![
            signed(&ledger, "hold", &hold),
            signed(&ledger, Erasure::MEMBER, &json!(erasure)),
        ])
        .unwrap();
    // An erasure gives no room: the entry stays, and another one is there.
    assert_eq!(count(ledger.reader(), "a"), 5);
    refused(write(&ledger, "a"), &["it holds 5"]);
}

#[test]
fn many_writers_at_once_never_pass_it() {
    const WRITERS: usize = 12;
    const EACH: usize = 60;
    let quotas = Quotas::new();
    let ledger = Arc::new(quotas.open());
    for scope in ["a", "b", "c"] {
        write(&ledger, scope).unwrap();
    }
    let one = bytes(ledger.reader(), "c");
    set(&ledger, "a", Some(101), None);
    set(&ledger, "b", None, Some(40 * one));
    let barrier = Barrier::new(WRITERS);
    thread::scope(|threads| {
        for writer in 0..WRITERS {
            let (ledger, barrier) = (&ledger, &barrier);
            threads.spawn(move || {
                barrier.wait();
                for nth in 0..EACH {
                    let scope = ["a", "b", "c"][(writer + nth) % 3];
                    let batch = vec![draft(scope, "said"); 1 + nth % 4];
                    match ledger.append_all_blocking(batch) {
                        Ok(_) => {}
                        Err(error) => assert!(error.kind() == ErrorKind::Quota && scope != "c", "{error}"),
                    }
                }
            });
        }
    });
    let reader = ledger.reader();
    // What is left is less than the smallest batch.
    assert_eq!(count(reader, "a"), 101);
    let held = bytes(reader, "b");
    assert!(held <= 40 * one && 40 * one - held < one + 4, "{held} of {}", 40 * one);
    assert!(count(reader, "c") > 400, "{}", count(reader, "c"));
}

/// The one that writes, and one that hands its appends to it.
#[test]
fn two_handles_together_never_pass_it() {
    let quotas = Quotas::new();
    let path = quotas.folder.path().join("ledger");
    let first = Ledger::open_shared(&path, options()).unwrap();
    set(&first, "a", Some(150), None);
    let second = Ledger::open_shared(&path, options()).unwrap();
    thread::scope(|threads| {
        for ledger in [&first, &second, &second] {
            threads.spawn(|| {
                for _ in 0..100 {
                    match write(ledger, "a") {
                        Ok(_) => {}
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Quota, "{error}"),
                    }
                }
            });
        }
    });
    first.reader().refresh().unwrap();
    assert_eq!(count(first.reader(), "a"), 150);
    // An act of the other one counts here too.
    refused(write(&second, "a"), &["150 entries"]);
    set(&second, "a", Some(151), None);
    write(&first, "a").unwrap();
    refused(write(&first, "a"), &["151 entries"]);
    second.close().unwrap();
    first.close().unwrap();
}

#[test]
fn nobody_sets_one_without_an_operators_signature() {
    let quotas = Quotas::new();
    let ledger = quotas.open();
    let unsigned = || {
        let (actor, kind) = (Actor::new("host:quipu").unwrap(), Kind::new("quipu.quota").unwrap());
        let mut draft = Draft::new(Scope::ledger(), actor, kind, Body::new(None, "{}").unwrap());
        draft.sys = Some(json!({"quota": {"set": {"of": "a", "entries": 1}}}));
        draft
    };
    let error = ledger.append_blocking(unsigned()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains("signature"), "{error}");
    let lee = Signer::new("operator:lee", [8; 32]).unwrap();
    let act = Act::sign(
        ORIGIN,
        quipu_format::ActId([7; 16]),
        1,
        "quota",
        &json!({"set": {"of": "a", "entries": 1}}),
        &lee,
    );
    let mut draft = unsigned();
    draft.actor = lee.verifier_key().name().parse().unwrap();
    draft.sys = Some(act.unwrap().sys());
    assert_eq!(ledger.append_blocking(draft).unwrap_err().kind(), ErrorKind::Invalid);
    for bad in [
        json!({"set": {"of": "a"}}),
        json!({"set": {"of": "quipu:ledger", "entries": 1}}),
    ] {
        assert_eq!(change(&ledger, bad).unwrap_err().kind(), ErrorKind::Invalid);
    }
    write(&ledger, "a").unwrap();
    write(&ledger, "a").unwrap();
}

/// Entries and bytes of each scope by what is in the segments' files.
fn on_disk(ledger: &std::path::Path) -> BTreeMap<String, (u32, u64)> {
    let mut held = BTreeMap::new();
    for file in fs::read_dir(ledger.join("log"))
        .unwrap()
        .map(|file| file.unwrap().path())
    {
        if file.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let text = fs::read_to_string(file).unwrap();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let fields: Vec<_> = line.split('\t').collect();
            let envelope: Value = serde_json::from_str(fields[0]).unwrap();
            let (count, bytes) = held.entry(envelope["scope"].as_str().unwrap().to_owned()).or_default();
            *count += 1;
            *bytes += (fields[0].len() + 1 + fields[1].len()) as u64;
        }
    }
    held
}

fn held(reader: &LedgerReader) -> BTreeMap<String, (u32, u64)> {
    let heads = reader.scopes().into_iter();
    heads
        .map(|head| (head.scope.to_string(), (head.count, head.bytes)))
        .collect()
}

#[test]
fn what_a_scope_holds_is_the_same_however_the_ledger_is_opened() {
    let quotas = Quotas::new();
    let path = quotas.folder.path().join("ledger");
    let ledger = quotas.open();
    for i in 0..300_usize {
        let scope = format!("scope:{}", i % 3);
        ledger.append_blocking(draft(&scope, &"x".repeat(600 + i % 7))).unwrap();
    }
    let counted = held(ledger.reader());
    // It is not closed.
    drop(ledger);
    let whole = on_disk(&path);
    assert_eq!(counted, whole);
    let check = |whole: &BTreeMap<String, (u32, u64)>| {
        assert_eq!(&held(&Ledger::open_read_only(&path).unwrap()), whole);
        let ledger = quotas.open();
        assert_eq!(&held(ledger.reader()), whole);
        ledger.close().unwrap();
    };
    check(&whole);
    let heads = path.join("heads");
    let newest = fs::read_to_string(&heads).unwrap();
    assert!(newest.starts_with("quipu-heads 2\t"), "{newest}");
    assert!(!newest.starts_with("quipu-heads 2\t0\t"), "it tells of full segments");
    check(&whole);
    fs::remove_file(&heads).unwrap();
    check(&whole);
    assert_eq!(fs::read_to_string(&heads).unwrap(), newest, "made anew");
    // What an earlier release left there.
    fs::write(&heads, newest.replace("quipu-heads 2", "quipu-heads 1")).unwrap();
    check(&whole);
    assert_eq!(fs::read_to_string(&heads).unwrap(), newest, "made anew");

    // Further segments are added to what `heads` says.
    let ledger = quotas.open();
    for _ in 0..200 {
        ledger.append_blocking(draft("scope:0", &"y".repeat(700))).unwrap();
    }
    assert_eq!(held(ledger.reader()), on_disk(&path));
    let (entries, bytes) = held(ledger.reader())["scope:0"];
    set(&ledger, "scope:*", Some(entries), None);
    refused(write(&ledger, "scope:0"), &[]);
    ledger.close().unwrap();
    let whole = on_disk(&path);
    assert_eq!(whole["scope:0"], (entries, bytes));
    check(&whole);

    // A backup and what is made of it; and segments that are elsewhere.
    let copy = quotas.folder.path().join("copy");
    backup(&path, &copy, true, &mut |_| {}).unwrap();
    assert_eq!(held(&Ledger::open_read_only(&copy).unwrap()), whole);
    let (again, mut how) = (quotas.folder.path().join("again"), RestoreOptions::default());
    how.fork = None;
    restore(&copy, &again, &how, &mut |_| {}).unwrap();
    quipu_log::confirm(&again, &fs::read(path.join("checkpoint")).unwrap()).unwrap();
    let restored = Ledger::open(&again, options()).unwrap();
    assert_eq!(held(restored.reader())["scope:0"], whole["scope:0"]);
    refused(write(&restored, "scope:0"), &[&entries.to_string()]);
    restored.close().unwrap();

    let ledger = quotas.open();
    ledger
        .archive(u64::MAX, &quotas.folder.path().join("cold"), &mut |_, _| {})
        .unwrap();
    ledger.close().unwrap();
    assert!(on_disk(&path)["scope:0"].0 < entries, "it is elsewhere");
    let archived = held(&Ledger::open_read_only(&path).unwrap());
    assert_eq!(archived["scope:0"], whole["scope:0"]);
    fs::remove_file(&heads).unwrap();
    let ledger = quotas.open();
    assert_eq!(held(ledger.reader())["scope:0"], whole["scope:0"]);
    refused(write(&ledger, "scope:0"), &[]);
    ledger.close().unwrap();
}

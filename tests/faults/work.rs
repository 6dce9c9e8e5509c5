//! What the tests append, and the check that what was acknowledged of it is kept.

use std::{
    collections::BTreeMap,
    env,
    io::Write,
    path::Path,
    process::Command,
    thread,
    time::{Duration, SystemTime},
};

use quipu_format::Event;
use quipu_log::{Ledger, OpenOptions};
use serde_json::Value;

use crate::driver::{self, Appender, Ran};

/// A plain generator of numbers (splitmix64); its seed is printed, so that a failure can be repeated.
pub(crate) struct Random(u64);

impl Random {
    /// Seeded by `QUIPU_SEED`, or by the clock.
    pub(crate) fn new() -> Self {
        let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let seed = number("QUIPU_SEED").unwrap_or_else(|| now().as_nanos() as u64);
        println!("QUIPU_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// The number that a variable of the environment holds.
pub(crate) fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {value}")),
    )
}

/// Draft `n`, a line of JSON. Every 50th belongs to a scope of its own, whose keys must be durable before it.
pub(crate) fn draft(n: u64) -> String {
    draft_of(n, 300)
}

/// The same with a text of so many bytes.
pub(crate) fn draft_of(n: u64, bytes: usize) -> String {
    let scope = if n % 50 == 49 { n } else { n % 7 };
    format!(
        r#"{{"key":"{n}","scope":"scope:{scope}","payload":{{"n":{n},"text":"{}"}}}}"#,
        "x".repeat(bytes)
    )
}

/// `quipu append --jsonl -` on a ledger.
pub(crate) fn appending(ledger: &driver::Ledger) -> Command {
    ledger.command(["append", "--jsonl", "-", "--actor", "tool:test", "--scope", "test"])
}

/// Runs a command that appends, and feeds it the drafts from the first that is not acknowledged up to number `end`. After
/// `wanted` receipts `fault` strikes; then it takes what receipts still come. Returns how the command ended.
#[track_caller]
pub(crate) fn append(
    command: &mut Command,
    acknowledged: &mut Acknowledged,
    end: u64,
    wanted: u64,
    fault: impl FnOnce(&mut Appender),
) -> Ran {
    append_of(300, command, acknowledged, end, wanted, fault)
}

/// The same with texts of so many bytes.
#[track_caller]
pub(crate) fn append_of(
    bytes: usize,
    command: &mut Command,
    acknowledged: &mut Acknowledged,
    end: u64,
    wanted: u64,
    fault: impl FnOnce(&mut Appender),
) -> Ran {
    let first = acknowledged.len() as u64;
    let mut appender = Appender::spawn(command);
    let mut input = appender.take_input();
    // It ends when nobody reads any more.
    let feeder = thread::spawn(move || (first..end).all(|n| writeln!(input, "{}", draft_of(n, bytes)).is_ok()));
    for n in (first..end).take(wanted as usize) {
        let Some(receipt) = appender.receipt() else { break };
        acknowledged.insert(n, receipt);
    }
    fault(&mut appender);
    while let Some(receipt) = appender.receipt() {
        acknowledged.insert(acknowledged.len() as u64, receipt);
    }
    feeder.join().unwrap();
    appender.end()
}

/// Receipts by the number of their draft.
pub(crate) type Acknowledged = BTreeMap<u64, Value>;

/// Opens the ledger for writing, which recovers it, and closes it. It must verify then, and hold each acknowledged
/// draft once, as it was acknowledged; a draft that was not acknowledged at most once. Returns how many drafts it holds.
#[track_caller]
pub(crate) fn assert_kept(ledger: &Path, acknowledged: &Acknowledged, when: &str) -> u64 {
    let mut options = OpenOptions::default();
    // Whoever wrote has ended, or is ending.
    options.wait = Duration::from_secs(30);
    let opened = Ledger::open(ledger, options).unwrap_or_else(|e| panic!("{when}: it does not open: {e}"));
    opened
        .close()
        .unwrap_or_else(|e| panic!("{when}: it does not close: {e}"));
    let verdict = quipu_log::verify(ledger, &mut |_| {}).unwrap();
    assert_eq!(verdict.fault, None, "{when}: it does not verify");
    let reader = Ledger::open_read_only(ledger).unwrap();
    assert_eq!(reader.head(), verdict.entries, "{when}: all that verifies is shown");
    let mut held = BTreeMap::new();
    for event in reader.events(0..reader.head()) {
        let event = event.unwrap_or_else(|e| panic!("{when}: {e}"));
        let payload: Value = serde_json::from_str(event.payload().unwrap()).unwrap();
        if let Some(n) = payload["n"].as_u64() {
            assert!(held.insert(n, event).is_none(), "{when}: {n} is there twice");
        }
    }
    for (n, receipt) in acknowledged {
        let event = held.get(n).unwrap_or_else(|| panic!("{when}: {n} is lost"));
        assert!(is(event, *n, receipt), "{when}: {n} is not as it was acknowledged");
    }
    held.len() as u64
}

/// The event is draft `n`, with the place that was acknowledged.
fn is(event: &Event, n: u64, receipt: &Value) -> bool {
    let event = serde_json::to_value(event).unwrap();
    event["payload"]["n"] == n
        && event["payload"]["text"]
            .as_str()
            .is_some_and(|text| text.bytes().all(|byte| byte == b'x'))
        && ["seq", "id", "ts", "hash"]
            .iter()
            .all(|member| event[member] == receipt[member])
}

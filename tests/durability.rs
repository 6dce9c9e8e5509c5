//! What was acknowledged is there.

mod driver;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    process::Command,
    thread,
    time::{Duration, SystemTime},
};

use driver::{Appender, Ledger, has};
use serde_json::Value;

const APPENDS: u64 = 10_000;
const KILLS: u64 = 50;

/// A plain generator of numbers (splitmix64); its seed is printed, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

fn draft(n: u64) -> String {
    format!(
        r#"{{"key":"{n}","scope":"scope:{}","payload":{{"n":{n},"text":"{}"}}}}"#,
        n % 7,
        "x".repeat(300)
    )
}

/// 10,000 appends, in which the writer is killed 50 times and started again. Those that were sent and not
/// acknowledged are sent again under their keys.
#[test]
fn acknowledged_appends_survive_kill_9() {
    let seed = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_nanos() as u64;
    println!("seed {seed}");
    let mut random = Random(seed);
    let ledger = Ledger::new();
    let mut acknowledged = BTreeMap::<u64, Value>::new();
    for kill in 0..=KILLS {
        let first = acknowledged.len() as u64;
        let mut appender = Appender::start(&ledger);
        let mut input = appender.take_input();
        // It ends when the writer is gone.
        let feeder = thread::spawn(move || (first..APPENDS).all(|n| writeln!(input, "{}", draft(n)).is_ok()));
        let wanted = if kill == KILLS {
            APPENDS
        } else {
            random.below(2 * (APPENDS - first) / (KILLS - kill + 1) + 1)
        };
        for n in (first..APPENDS).take(wanted as usize) {
            acknowledged.insert(n, appender.receipt().expect("a receipt"));
        }
        if kill == KILLS {
            feeder.join().unwrap();
            assert_eq!(appender.finish(), 0);
        } else {
            thread::sleep(Duration::from_micros(random.below(1_000)));
            appender.kill();
            feeder.join().unwrap();
            while let Some(receipt) = appender.receipt() {
                acknowledged.insert(acknowledged.len() as u64, receipt);
            }
        }
        ledger.verify().good();
        let head = ledger.run(["stats", "--json"]).good().json()["entries"]
            .as_u64()
            .unwrap();
        let latest = ledger.log(&["--last", "600", "--actor", "tool:test"]);
        for (n, receipt) in acknowledged.range(first.max(acknowledged.len().saturating_sub(500) as u64)..) {
            // A reader waits for a sign that the last commit was synced, and the next writer gives it.
            let waits = receipt["seq"].as_u64() >= Some(head) && *n + 1 == acknowledged.len() as u64;
            let shown = latest.iter().any(|event| is(event, *n, receipt));
            assert!(shown || waits, "{n} is lost after kill {kill}, seed {seed}");
        }
    }
    let events = ledger.log(&["--actor", "tool:test"]);
    assert_eq!(events.len() as u64, APPENDS, "each once");
    for (event, (n, receipt)) in events.iter().zip(&acknowledged) {
        assert!(is(event, *n, receipt), "{n} is not as it was acknowledged, seed {seed}");
    }
    println!("{APPENDS} appends, {KILLS} kills");
}

/// The event is draft `n`, with the place that was acknowledged.
fn is(event: &Value, n: u64, receipt: &Value) -> bool {
    let draft: Value = serde_json::from_str(&draft(n)).unwrap();
    event["payload"] == draft["payload"]
        && event["scope"] == draft["scope"]
        && ["seq", "id", "ts", "hash"]
            .iter()
            .all(|member| event[member] == receipt[member])
}

#[test]
fn every_acknowledgement_follows_a_sync_that_covers_it() {
    const DRAFTS: u64 = 200;
    if !has("strace", "that acknowledgements follow their sync") {
        return;
    }
    let ledger = Ledger::new();
    let trace = ledger.beside("trace");
    let drafts = ledger.file("drafts", (0..DRAFTS).map(|n| draft(n) + "\n").collect::<String>());
    let mut strace = Command::new("strace");
    strace.args([
        "-f",
        "-y",
        "-s",
        "1000000",
        "-e",
        "trace=write,pwrite64,pwritev,pwritev2,fdatasync,fsync",
        "-o",
    ]);
    strace
        .arg(&trace)
        .arg(env!("CARGO_BIN_EXE_quipu"))
        .arg("--ledger")
        .arg(ledger.path());
    strace.args(["append", "--actor", "tool:test", "--jsonl"]).arg(drafts);
    let ran = driver::run(&mut strace);
    if ran.code != 0 && ran.err.contains("ptrace") {
        println!("skipped, strace may not trace here: {}", ran.err);
        return;
    }
    assert_eq!(ran.good().json_lines().len() as u64, DRAFTS);

    let trace = fs::read_to_string(trace).unwrap();
    assert_eq!(unsynced_acknowledgements(&trace), (DRAFTS, vec![]));
    // The control: without its syncs, no acknowledgement of the same trace is covered.
    let without: String = trace
        .lines()
        .filter(|line| !line.contains("sync"))
        .map(|line| format!("{line}\n"))
        .collect();
    let (acknowledged, unsynced) = unsynced_acknowledgements(&without);
    assert_eq!((acknowledged, unsynced.len() as u64), (DRAFTS, DRAFTS));
}

/// Reads a trace of `strace -f -y`. Gives how many entries were acknowledged on standard output, and the positions of
/// those whose bytes no sync of the log had covered by then.
fn unsynced_acknowledgements(trace: &str) -> (u64, Vec<u64>) {
    // Calls of several threads are cut in two: `call(… <unfinished ...>` and `<... call resumed> … = 0`.
    let mut unfinished = BTreeMap::<&str, Call>::new();
    let mut written = BTreeSet::new();
    let mut synced = BTreeSet::new();
    let mut acknowledged = 0;
    let mut unsynced = Vec::new();
    for line in trace.lines() {
        let (thread, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        let begun = match call.split_once("resumed>") {
            Some(_) => unfinished.remove(thread),
            None if call.starts_with("write(1<") => {
                for seq in positions(call) {
                    acknowledged += 1;
                    if !synced.contains(&seq) {
                        unsynced.push(seq);
                    }
                }
                None
            }
            None if !call.contains("/log/") => None,
            None if call.starts_with("pwrite") => Some(Call::Write(positions(call))),
            None if call.starts_with("fdatasync(") || call.starts_with("fsync(") => Some(Call::Sync(written.clone())),
            None => None,
        };
        match begun {
            Some(begun) if call.ends_with("<unfinished ...>") => drop(unfinished.insert(thread, begun)),
            Some(Call::Write(seqs)) if !call.contains(" = -1") => written.extend(seqs),
            Some(Call::Sync(seqs)) if call.ends_with("= 0") => synced.extend(seqs),
            _ => {}
        }
    }
    (acknowledged, unsynced)
}

enum Call {
    /// These entries are on their way.
    Write(Vec<u64>),
    /// These entries had been written when the sync began.
    Sync(BTreeSet<u64>),
}

/// The entries whose JSON a traced string holds.
fn positions(call: &str) -> Vec<u64> {
    let after = call.split(r#"\"seq\":"#).skip(1);
    after
        .filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
        .collect()
}

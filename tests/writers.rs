//! Several processes on one ledger.

mod driver;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufRead, BufReader, Write},
    process::{Child, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use driver::{Appender, Ledger, guest, wait_until};
use serde_json::{Value, json};

const SECOND: [&str; 7] = ["append", "--scope", "test", "--actor", "tool:second", "--text", "x"];

#[test]
fn a_second_process_appends_through_the_first_while_readers_read() {
    let ledger = Ledger::new();
    let mut first = Appender::start(&ledger);
    first.send(r#"{"payload":{"text":"from the first"}}"#).unwrap();
    let receipt = first.receipt().unwrap();

    let theirs = ledger
        .run(SECOND.iter().chain(&["--wait", "0", "--json"]))
        .good()
        .json();
    assert_eq!(
        (theirs["seq"].as_u64(), theirs["repeated"].as_bool()),
        (receipt["seq"].as_u64().map(|seq| seq + 1), Some(false))
    );
    wait_until("the reader sees what is durable", || {
        ledger.log(&["--scope", "test"]).len() == 2
    });
    let log = ledger.log(&["--scope", "test"]);
    assert_eq!((&log[0]["id"], &log[1]["id"]), (&receipt["id"], &theirs["id"]));
    assert_eq!(log[1]["actor"], "tool:second");
    ledger.run(["search", "first"]).good();
    ledger.verify().good();

    first.send(r#"{"payload":{"text":"still the first"}}"#).unwrap();
    assert!(first.receipt().is_some(), "the first was not disturbed");
    assert_eq!(first.finish(), 0);
    ledger.run(SECOND).good();
    assert_eq!(ledger.log(&["--scope", "test"]).len(), 4);
    ledger.verify().good();
}

/// A process that only reads sees that a moment later; who acts must not act on less.
#[test]
fn what_was_just_acknowledged_by_another_process_can_be_acted_on() {
    let ledger = Ledger::new();
    let key = ledger.beside("kim.key");
    let mut first = Appender::start(&ledger);
    let enrol = ["operator", "add", "kim", "--first", "--new-key", key.to_str().unwrap()];
    ledger.run(enrol).good();
    for nth in 0..8 {
        first
            .send(&format!(r#"{{"payload":{{"text":"number {nth}"}}}}"#))
            .unwrap();
        let receipt = first.receipt().unwrap();
        let id = receipt["id"].as_str().unwrap();
        ledger.run(["retract", id, "--reason", "wrong"]).good();
        let actor = format!("user:{nth}");
        let append = ["append", "--scope", "test", "--actor", &*actor, "--text", "a lie"];
        ledger.run(append).good();
        let kim = ["--reason", "lies", "--operator", "kim", "--key", key.to_str().unwrap()];
        let quarantine = ["quarantine", "--actor", &actor].into_iter().chain(kim);
        let told = ledger.run(quarantine).good().out;
        assert!(told.contains("quarantined 1 event"), "{told}");
    }
    assert_eq!(first.finish(), 0);
    ledger.run(enrol).exits(2).tells(&["kim.key"]);
}

#[test]
fn refusals_are_the_same_through_another_process() {
    let ledger = Ledger::new();
    let keyed = |text: &str| {
        let draft = [
            "append", "--scope", "test", "--actor", "tool:x", "--key", "k", "--json", "--text",
        ];
        ledger.run(draft.iter().chain(&[text]))
    };
    let first = keyed("kept").good().json();
    let alone = keyed("other").exits(1);
    let _writer = Appender::start(&ledger);
    wait_until("it writes", || ledger.path().join("socket").exists());
    let repeated = keyed("kept").good().json();
    assert_eq!((&repeated["id"], &repeated["repeated"]), (&first["id"], &json!(true)));
    let handed_over = keyed("other").exits(1);
    assert_eq!(alone.err, handed_over.err);
}

#[test]
fn a_writer_that_does_not_share_is_waited_for_and_named() {
    let ledger = Ledger::new();
    let lock = File::options().write(true).open(ledger.path().join("lock")).unwrap();
    lock.lock().unwrap();
    let begin = Instant::now();
    let holder = std::fs::read_to_string(ledger.path().join("lock")).unwrap();
    let pid = holder.split_whitespace().next().unwrap().to_owned();
    ledger
        .run(SECOND.iter().chain(&["--wait", "1"]))
        .exits(2)
        .tells(&[&pid, "cannot connect"]);
    let waited = begin.elapsed();
    assert!(
        (Duration::from_secs(1)..Duration::from_secs(8)).contains(&waited),
        "it waited {waited:?}"
    );
    let mut second = ledger.command(SECOND.iter().chain(&["--wait", "20"])).spawn().unwrap();
    thread::sleep(Duration::from_millis(700));
    assert!(second.try_wait().unwrap().is_none(), "it waits");
    drop(lock);
    assert!(second.wait().unwrap().success());
    assert_eq!(ledger.log(&["--scope", "test"]).len(), 1);
}

#[test]
fn a_killed_writer_holds_nobody_up() {
    let ledger = Ledger::new();
    let mut first = Appender::start(&ledger);
    first.send(r#"{"payload":{"n":1}}"#).unwrap();
    first.receipt().unwrap();
    let mut second = Appender::start(&ledger);
    second.send(r#"{"payload":{"n":2}}"#).unwrap();
    second.receipt().unwrap();
    first.kill();
    ledger.run(SECOND.iter().chain(&["--wait", "0"])).good();
    second.send(r#"{"payload":{"n":3}}"#).unwrap();
    assert!(second.receipt().is_some(), "who was connected goes on");
    assert_eq!(second.finish(), 0);
    assert_eq!(ledger.log(&["--scope", "test"]).len(), 4);
    ledger.verify().good();
}

const IMPORTED: usize = 10_000;

/// What a command does when another process writes, and what it does when that one is killed on the way.
#[test]
fn imports_and_runs_go_through_another_process() {
    let ledger = Ledger::new();
    let mut first = Appender::start(&ledger);
    first
        .send(r#"{"scope":"home","payload":{"text":"said before"}}"#)
        .unwrap();
    let before = first.receipt().unwrap();

    let events = (0..IMPORTED).map(|n| {
        let mut event = json!({"id": format!("e{n}"), "scope": "imported", "kind": "message", "payload": {"n": n}});
        if n > 0 && n % 500 == 0 {
            event["evidence"] = json!([format!("e{}", n - 1)]);
        }
        format!("{event}\n")
    });
    let file = ledger.file("events.jsonl", events.collect::<String>());
    let mut import = ledger.command(["import"]).arg(&file).spawn().unwrap();
    wait_until("the import has begun", || {
        !ledger.log(&["--scope", "imported", "--last", "1"]).is_empty()
    });
    first.kill();
    assert!(import.wait().unwrap().success());
    // The first may have been killed after all was handed over: what it committed last is shown once another has written.
    ledger.import(&file, &[]).good();
    let imported = ledger.log(&["--scope", "imported"]);
    let in_order = (0..).zip(&imported).all(|(n, event)| event["payload"]["n"] == json!(n));
    assert!(in_order && imported.len() == IMPORTED, "{} events", imported.len());

    let mut first = Appender::start(&ledger);
    first
        .send(r#"{"scope":"home","payload":{"text":"said last"}}"#)
        .unwrap();
    let last = first.receipt().unwrap();
    let run = ["run", "--actor", "agent:test", "--home", "home", "--json"];
    let ran = driver::run(ledger.command(run).arg(guest("echo")).arg("remember this"))
        .good()
        .json();
    assert_eq!(
        ran["head"].as_u64(),
        last["seq"].as_u64().map(|seq| seq + 1),
        "it sees all that is durable"
    );
    let shown: Value = serde_json::from_str(ran["text"].as_str().unwrap()).unwrap();
    assert!(
        shown.to_string().contains("said before") && shown.to_string().contains("said last"),
        "{shown}"
    );
    assert_eq!(shown["receipt"]["id"], ran["appended"][0]["id"]);
    assert_eq!(first.finish(), 0);
    let home = ledger.log(&["--scope", "home"]);
    let kinds: Vec<_> = home.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert!(
        kinds.contains(&"quipu.run") && kinds.contains(&"quipu.run.end"),
        "{kinds:?}"
    );
    assert_eq!(home[0]["id"], before["id"]);
    ledger.verify().good();
}

const PROCESSES: usize = 8;
const APPENDS: usize = 1_000;
const KILLS: usize = 100;

/// A plain generator of numbers (splitmix64); its seed is printed, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }
}

/// Even processes give their drafts keys, odd ones leave that to the ledger.
fn draft(process: usize, n: usize) -> String {
    let key = if process.is_multiple_of(2) {
        format!(r#""key":"{n}","#)
    } else {
        String::new()
    };
    format!(r#"{{{key}"payload":{{"n":{n},"text":"{}"}}}}"#, "x".repeat(100))
}

fn start(ledger: &Ledger, process: usize) -> Child {
    let actor = format!("tool:p{process}");
    let args = [
        "append", "--jsonl", "-", "--scope", "test", "--wait", "60", "--actor", &actor,
    ];
    let mut command = ledger.command(args);
    command.stdin(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap()
}

/// Eight processes append a thousand times each, one after the other. At random moments one of them is killed, or the
/// one that writes, and started again, until each has its receipts.
#[test]
fn eight_processes_that_are_killed_at_random_append_each_event_once() {
    let seed = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_nanos() as u64;
    let seed = std::env::var("QUIPU_TEST_SEED").map_or(seed, |seed| seed.parse().unwrap());
    println!("seed {seed}");
    let mut random = Random(seed);
    let ledger = Ledger::new();
    let begin = Instant::now();
    let count = AtomicUsize::new(0);
    let processes: Vec<_> = (0..PROCESSES).map(|_| Mutex::new(None::<Child>)).collect();
    let (acknowledged, killed, took_over) = thread::scope(|scope| {
        let drivers: Vec<_> = processes
            .iter()
            .enumerate()
            .map(|(process, child)| {
                let (ledger, count) = (&ledger, &count);
                scope.spawn(move || drive(ledger, process, child, count))
            })
            .collect();
        let mut killed = 0;
        let mut writers = BTreeSet::new();
        let mut next = 0;
        for _ in 0..KILLS {
            next += random.below(2 * PROCESSES * APPENDS / KILLS);
            while count.load(Ordering::Relaxed) < next && drivers.iter().any(|driver| !driver.is_finished()) {
                thread::sleep(Duration::from_millis(1));
            }
            let writer = std::fs::read_to_string(ledger.path().join("lock")).unwrap_or_default();
            let writer = writer.split_whitespace().next().and_then(|pid| pid.parse::<u32>().ok());
            writers.extend(writer);
            // Half of the time it is the one that writes.
            let of_writer = processes.iter().position(|child| {
                let child = child.lock().unwrap();
                child.as_ref().map(Child::id) == writer
            });
            let victim = of_writer
                .filter(|_| random.below(2) == 0)
                .unwrap_or(random.below(PROCESSES));
            if let Some(child) = processes[victim].lock().unwrap().as_mut() {
                child.kill().unwrap();
                killed += 1;
            }
        }
        let acknowledged: Vec<_> = drivers.into_iter().map(|driver| driver.join().unwrap()).collect();
        (acknowledged, killed, writers.len())
    });
    let took = begin.elapsed();

    ledger.verify().good();
    let mut held = BTreeMap::<(String, u64), Vec<Value>>::new();
    let log = ledger.log(&["--scope", "test"]);
    for event in &log {
        let actor = event["actor"].as_str().unwrap().to_owned();
        let n = event["payload"]["n"].as_u64().unwrap();
        held.entry((actor, n)).or_default().push(event.clone());
    }
    let mut seqs = BTreeSet::new();
    for (process, (receipts, kills)) in acknowledged.iter().enumerate() {
        assert_eq!(receipts.len(), APPENDS);
        let mut more = 0;
        for (n, receipt) in receipts.iter().enumerate() {
            let events = &held[&(format!("tool:p{process}"), n as u64)];
            let same = |event: &&Value| {
                ["seq", "id", "ts", "hash"]
                    .iter()
                    .all(|member| event[member] == receipt[member])
            };
            assert_eq!(
                events.iter().filter(same).count(),
                1,
                "{process} {n} is lost, seed {seed}"
            );
            assert!(
                seqs.insert(receipt["seq"].as_u64()),
                "{process} {n} has another's place, seed {seed}"
            );
            more += events.len() - 1;
        }
        // What was on its way when a process without keys of its own was killed may be there, and was sent again.
        let most = if process % 2 == 0 { 0 } else { *kills };
        assert!(
            more <= most,
            "process {process} has {more} events too many after {kills} kills, seed {seed}"
        );
    }
    assert!(killed >= KILLS / 2, "only {killed} were killed");
    assert!(took_over > 5, "only {took_over} processes were seen to write");
    println!(
        "{PROCESSES} processes, {} events, {killed} killed, {took_over} of them seen to write, {took:?}",
        log.len()
    );
}

/// Keeps one process at work until all its appends are acknowledged; returns the receipts, and how often it was killed.
fn drive(ledger: &Ledger, process: usize, shared: &Mutex<Option<Child>>, count: &AtomicUsize) -> (Vec<Value>, usize) {
    let mut receipts = Vec::with_capacity(APPENDS);
    let mut kills = 0;
    loop {
        let first = receipts.len();
        let mut child = start(ledger, process);
        let mut input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        *shared.lock().unwrap() = Some(child);
        let feeder = thread::spawn(move || (first..APPENDS).all(|n| writeln!(input, "{}", draft(process, n)).is_ok()));
        for line in output.split(b'\n') {
            // A line without an end was cut off by a kill: it acknowledges nothing.
            if let Ok(receipt) = serde_json::from_slice(&line.unwrap()) {
                receipts.push(receipt);
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        let mut child = shared.lock().unwrap().take().unwrap();
        let status = child.wait().unwrap();
        feeder.join().unwrap();
        if status.success() {
            return (receipts, kills);
        }
        assert_eq!(status.code(), None, "it failed and was not killed");
        kills += 1;
    }
}

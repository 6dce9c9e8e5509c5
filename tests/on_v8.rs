//! A second host, ours too, in JavaScript with none of our Rust code and on another engine, executes recorded runs again with the
//! same drafts, answers and calls. Unlike its reading and verifying, this was written after reading our host as well as
//! docs/FORMAT.md; what the page lacked is in it now.

mod driver;

use std::fs;

use driver::{Ledger, Ran, governed::Governed, guest, root, run, second_host::node};
use serde_json::{Value, json};

const REPLAYS: &str = "runs, executed again on V8";

/// A ledger that has what agents read: odd texts, sources, several scopes.
struct Memory {
    ledger: Ledger,
    /// Events of scope `home`.
    events: Vec<String>,
}

impl Memory {
    fn new() -> Self {
        let ledger = Ledger::new();
        let drafts = [
            json!({"kind": "memory.write", "payload": {"text": "The plan of Acme renews in May.", "confidence": 0.7, "tags": ["b", "a"]}}),
            json!({"kind": "memory.write", "payload": {"text": "the plan of acme renews in May"}, "source": {"channel": "telegram", "conversationId": "c-1",
                "speaker": "Ann", "zeta": 1.50, "alpha": [2e3, {"b": 1, "a": "\u{1faa2}"}]}}),
            json!({"kind": "message", "payload": {"text": "  Kim:\u{feff} said\t\u{ab}häuser\u{bb}\n"}, "source": {"channel": "mail"}}),
            json!({"kind": "memory.write", "payload": {"no": "text"}}),
            json!({"kind": "memory.write", "payload": {"text": "  Invoices\tgo  to\nBern ", "tags": ["z"]}}),
        ];
        let many = (0..30).map(
            |n| json!({"kind": "memory.write", "payload": {"text": format!("Acme has {n} cars"), "tags": [n % 3]}}),
        );
        let lines = drafts.into_iter().chain(many).map(|mut draft| {
            draft["scope"] = "home".into();
            format!("{draft}\n")
        });
        let file = ledger.file("drafts", lines.collect::<String>());
        run(ledger.command(["append", "--actor", "tool:test", "--jsonl"]).arg(&file)).good();
        ledger.append("other", "Acme, elsewhere", &[]);
        let events = ledger.log(&["--scope", "home"]);
        let events = events.iter().map(|event| event["id"].as_str().unwrap().to_owned());
        let mut events: Vec<String> = events.collect();
        // What it replaces stands before what it rests on.
        let links = [
            "--supersedes",
            &events[3],
            "--evidence",
            &events[6],
            "--evidence",
            &events[5],
        ];
        events.push(ledger.append("home", "It rests on two", &links));
        Self { ledger, events }
    }

    /// A run, however it ends; its home is `home`, and it reads `other`.
    fn run(&self, component: &str, input: &str) -> Ran {
        let mut command = self
            .ledger
            .command(["run", "--actor", "agent:test", "--home", "home", "--read", "other"]);
        run(command.arg(guest(component)).arg("--").arg(input))
    }

    /// What the second host says of each run.
    fn replays(&self, more: &[&str]) -> Option<Vec<Value>> {
        let mut second = node("replay.mjs", REPLAYS)?;
        let said = run(second.arg(self.ledger.path()).args(more));
        assert!([0, 1].contains(&said.code) && said.err.is_empty(), "{}", said.err);
        Some(said.json_lines())
    }
}

#[test]
fn runs_on_v8_make_the_same_calls_and_drafts_as_on_wasmtime() {
    let memory = Memory::new();
    let [first, second, last] = [&memory.events[0], &memory.events[1], memory.events.last().unwrap()];
    let said = json!({"kind": "memory.write", "payload": " {\"text\":\"x\" , \"k\":1.0}", "pad": 3, "evidence": [first, second],
        "source": ["telegram", "c", "", "{\"z\":1.0, \"a\":[1e3]}"], "key": "key"});
    let calls = json!([
        {"append": said}, {"append": {"kind": "memory.write", "payload": "{}", "supersedes": [first]}}, {"append": {"kind": "quipu.x", "payload": "{}"}},
        {"append-all": [{"kind": "observation", "payload": "{\"a\":1}", "evidence": [0]}, {"kind": "decision", "payload": "{}"}]},
        {"read": [0, null, 3]}, {"read": [0, 5, 1000]}, {"read": [1, null, 10]}, {"read-back": [0, null, 2]}, {"read-back": [0, 30, 3]},
        {"read-back": [0, null, 3]}, {"read-back": [0, null, 4]}, {"read-back": [1, 2, 5]}, {"get": [0, 1]}, {"get": [1, 1]},
        {"get": [0, "nonsense"]}, {"head": 0}, {"scope": 1}, {"refresh": 0}, {"head": 0}, {"read": [0, 30, 1000]}, {"read-back": [0, null, 1000]},
        {"read": [0, 9_007_199_254_740_000_u64, 10]}, {"why": [[0, 1], 0]}, {"impact": [[0], first]}, {"search": [[0, 1], {"text": "Acme", "limit": 5}]},
        {"search": [[], {"text": "Acme", "limit": 5}]}, {"read": [0, null, 0]}, {"append": said}, {"append": {"kind": "memory.write", "payload": "{}", "key": "key"}},
        {"read-back": [0, null, 1]}, {"facts": [[0, 1], {"text": "", "limit": 50}]}, {"compose": [[0, 1], {"text": "Acme plan", "limit": 9}, 700]},
        {"compose": [[0], {"text": "häuser", "limit": 9}, 233]},
        {"facts": [[0], {"text": "Invoices", "limit": 1}]}, {"compose": [[0], {"text": "Invoices", "limit": 9}, 300]}, {"why": [[0], last]}, {"impact": [[0], last]}, {"read": [0, 38, 1]}
    ]);
    let runs = [
        ("echo", "said by a run".to_owned(), 0),
        ("writer", json!({"appends": 5, "batch": 2, "key": "k"}).to_string(), 0),
        // The same again: what it appends repeats earlier entries.
        ("writer", json!({"appends": 5, "batch": 2, "key": "k"}).to_string(), 0),
        (
            "writer",
            json!({"appends": 3, "key": "k", "payload_bytes": 600}).to_string(),
            1,
        ),
        ("reader", json!({"page": 4}).to_string(), 0),
        ("reader", json!({"page": 1}).to_string(), 0),
        (
            "recaller",
            json!({"search": "Acme", "say": "Acme again", "id": first}).to_string(),
            0,
        ),
        ("caller", calls.to_string(), 0),
        ("caller", calls.to_string(), 0),
        ("trapper", "panic".into(), 1),
        ("trapper", "overflow".into(), 1),
        ("trapper", "error".into(), 1),
        ("observer", String::new(), 0),
        ("prover", String::new(), 0),
        ("hoarder", "leak".into(), 0),
        ("hoarder", "stale".into(), 1),
        ("liar", String::new(), 0),
    ];
    for (guest, input, code) in &runs {
        memory.run(guest, input).exits(*code);
    }
    let Some(said) = memory.replays(&[]) else { return };
    assert_eq!(said.len(), runs.len());
    let log = memory.ledger.run(["log", "--json", "--actor", "agent:test"]).good().out;
    let ends = log.lines().filter(|event| event.contains("\"kind\":\"quipu.run.end\""));
    let ends: Vec<Value> = ends.map(|end| serde_json::from_str(end).unwrap()).collect();
    assert_eq!(ends.len(), runs.len());
    for ((said, end), (guest, ..)) in said.iter().zip(ends).zip(&runs) {
        assert_eq!(said["verdict"], "identical", "{guest}: {said}");
        // It is of all that was called and answered.
        assert_eq!(said["transcript"], end["payload"]["transcript"], "{guest}");
        assert_eq!(
            (&said["run"], said["transcript"].is_string()),
            (&end["run"], true),
            "{guest}"
        );
    }
    let drafts: u64 = said.iter().map(|said| said["drafts"].as_u64().unwrap()).sum();
    // Not parsed: the payload of one is nested deeper than the tests' parser goes.
    let drafted = log.lines().filter(|event| !event.contains("\"kind\":\"quipu."));
    assert_eq!(drafts, drafted.count() as u64);
}

#[test]
fn an_agent_in_each_language_does_the_same_on_v8() {
    let memory = Memory::new();
    for text in [
        "From now on we want mail, please. Thanks.",
        "We changed our mind: we prefer the phone instead of mail.",
    ] {
        let said = [
            "append", "--scope", "home", "--kind", "message", "--actor", "user:ann", "--text", text,
        ];
        memory.ledger.run(said).good();
    }
    let mut runs = Vec::new();
    for language in ["rust", "js", "python", "c"] {
        let name = format!("agent-{language}");
        if !root()
            .join("target/guests")
            .join(&name)
            .with_extension("wasm")
            .is_file()
        {
            println!("skipped, {name} is not built: {REPLAYS}");
            continue;
        }
        for input in ["How do we want to be reached?", ""] {
            memory.run(&name, input).good();
            runs.push((language, input));
        }
    }
    let Some(said) = memory.replays(&[]) else { return };
    assert_eq!(said.len(), runs.len());
    for (said, (language, _)) in said.iter().zip(&runs) {
        assert_eq!(said["verdict"], "identical", "{language}: {said}");
    }
    assert!(runs.is_empty() || said[0]["drafts"].as_u64() > Some(0), "{}", said[0]);
}

#[test]
fn v8_sees_what_was_changed_since_a_run() {
    let memory = Memory::new();
    memory.run("echo", "said by a run").good();
    let Some(said) = memory.replays(&[]) else { return };
    assert_eq!(said[0]["verdict"], "identical", "{}", said[0]);

    // Another component makes other calls.
    let other = guest("writer").display().to_string();
    let said = memory.replays(&["--component", &other]).unwrap();
    assert_eq!(said[0]["verdict"], "different", "{}", said[0]);

    let components = memory.ledger.path().join("components");
    let component = fs::read_dir(components).unwrap().next().unwrap().unwrap().path();
    let good = fs::read(&component).unwrap();
    let mut bad = good.clone();
    let at = bad.len() / 2;
    bad[at] ^= 1;
    fs::remove_file(&component).unwrap();
    fs::write(&component, bad).unwrap();
    let said = memory.replays(&[]).unwrap();
    assert!(said[0]["why"].as_str().unwrap().contains("was changed"), "{}", said[0]);
    fs::remove_file(&component).unwrap();
    let said = memory.replays(&[]).unwrap();
    assert!(said[0]["why"].as_str().unwrap().contains("is not here"), "{}", said[0]);
    fs::write(&component, good).unwrap();

    let log = memory.ledger.path().join("log/00000000000000000000.log");
    let mut bytes = fs::read(&log).unwrap();
    let at = bytes.iter().position(|byte| *byte == b'\t').unwrap() + 5;
    bytes[at] ^= 1;
    fs::write(&log, bytes).unwrap();
    let said = run(node("replay.mjs", REPLAYS).unwrap().arg(memory.ledger.path())).exits(2);
    assert!(said.err.contains("does not verify"), "{}", said.err);
}

#[test]
fn v8_does_not_replay_a_run_that_read_what_was_erased_since() {
    let it = Governed::new();
    let event = it.ledger.append("home", "read, and erased later", &[]);
    it.run_guest("reader", "", "home").good();
    it.kim(&["redact", "--alone", "--reason", "asked for", &event]).good();
    // What had been erased before is read again without its content.
    it.run_guest("reader", "", "home").good();
    let Some(mut second) = node("replay.mjs", REPLAYS) else {
        return;
    };
    let said = run(second.arg(it.ledger.path())).exits(1).json_lines();
    assert!(
        said[0]["why"]
            .as_str()
            .unwrap()
            .contains(&format!("{event}, which was erased since")),
        "{}",
        said[0]
    );
    assert_eq!(said[1]["verdict"], "identical", "{}", said[1]);
}

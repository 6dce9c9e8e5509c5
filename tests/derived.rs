//! What is derived, through the command: how far behind it is, made again, waited for; as it was; and what descends from an
//! event.

mod driver;

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use driver::{Ledger, guest, run};
use quipu_format::{Actor, Body, Kind, Scope};
use quipu_log::{Draft, OpenOptions};
use quipu_projections::Projections;
use serde_json::{Value, json};

/// More than one transaction folds. The ledger adds some of its own.
const MANY: usize = 34_000;

fn fill(ledger: &Ledger, entries: usize) {
    let log = quipu_log::Ledger::open(&ledger.path(), OpenOptions::default()).unwrap();
    let drafts: Vec<_> = (0..entries)
        .map(|n| {
            let body = Body::new(None, &json!({"text": format!("note {n} of many")}).to_string()).unwrap();
            let (actor, kind) = (Actor::new("tool:fill").unwrap(), Kind::new("memory.write").unwrap());
            Draft::new(Scope::new("many").unwrap(), actor, kind, body)
        })
        .collect();
    for drafts in drafts.chunks(1_000) {
        log.append_all_blocking(drafts.to_vec()).unwrap();
    }
    log.close().unwrap();
}

fn stats(ledger: &Ledger) -> Value {
    ledger.run(["stats", "--json"]).good().json()["projections"].clone()
}

fn dump(ledger: &Path) -> Vec<u8> {
    let reader = quipu_log::Ledger::open_read_only(ledger).unwrap();
    let projections = Projections::open(&reader).unwrap();
    projections.catch_up(u64::MAX).unwrap();
    let mut rows = Vec::new();
    projections.dump(&mut rows).unwrap();
    rows
}

fn seq(ledger: &Ledger, id: &str) -> u64 {
    let event = ledger.run(["show", id, "--json"]).good().json();
    event["seq"].as_u64().unwrap()
}

#[test]
fn stats_say_how_far_behind_it_is_and_do_not_change_that() {
    let ledger = Ledger::new();
    ledger.append("a", "one", &[]);
    assert_eq!(
        stats(&ledger),
        json!({"next": 2, "asOf": 0, "lag": 2, "bytes": 0, "building": false})
    );
    assert!(!ledger.path().join("projections/recall.sqlite").exists());
    ledger.run(["search", "one"]).good();
    assert_eq!(
        (&stats(&ledger)["asOf"], &stats(&ledger)["lag"]),
        (&json!(2), &json!(0))
    );
    ledger.append("a", "two", &[]);
    assert_eq!(stats(&ledger)["lag"], 1);
    let said = ledger.run(["stats"]).good().out;
    assert!(said.contains("at seq 2, the log at 3: 1 entry behind"), "{said}");
}

#[test]
fn a_rebuild_that_is_killed_anywhere_is_gone_on_with() {
    let ledger = Ledger::new();
    fill(&ledger, MANY);
    let begun = Instant::now();
    let rebuilt = ledger.run(["rebuild", "--json"]).good().json();
    let whole = begun.elapsed();
    assert_eq!(rebuilt["events"], stats(&ledger)["next"]);
    assert!(rebuilt["seconds"].as_f64().unwrap() > 0.0 && rebuilt["bytes"].as_u64().unwrap() > 1 << 20);
    let rows = dump(&ledger.path());
    let mut broken_off = 0;
    for part in 1..5 {
        let mut child = ledger.command(["rebuild"]).spawn().unwrap();
        thread::sleep(whole.mul_f64(f64::from(part) / 5.0));
        child.kill().unwrap();
        child.wait().unwrap();
        broken_off += u32::from(stats(&ledger)["lag"] != 0);
        assert!(dump(&ledger.path()) == rows, "part {part}");
    }
    assert!(broken_off > 0, "no kill came in between");
}

/// Somebody else builds; it is the test itself that holds the lock.
#[test]
fn while_somebody_builds_there_is_an_answer_that_says_as_of_when() {
    let ledger = Ledger::new();
    ledger.append("a", "prefers CSV", &[]);
    ledger.run(["facts", "--scope", "a"]).good();
    fill(&ledger, MANY);
    let building = File::create(ledger.path().join("projections/building.lock")).unwrap();
    building.lock().unwrap();
    let begun = Instant::now();
    let facts = ledger.run(["facts", "--scope", "a", "--json"]).good();
    assert_eq!(facts.json()["text"], "prefers CSV");
    let head = stats(&ledger)["next"].as_u64().unwrap();
    assert!(
        facts
            .err
            .contains(&format!("true as of seq 2 of {head}, still building")),
        "{}",
        facts.err
    );
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert_eq!(stats(&ledger)["building"], true);
    ledger.run(["rebuild"]).exits(2).tells(&["already"]);
    // What acts must see all.
    let last = (head - 1).to_string();
    let event = ledger.log(&["--scope", "many", "--last", "1"])[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    ledger
        .run(["retract", &event, "--reason", "x"])
        .exits(2)
        .tells(&["still being built"]);
    ledger
        .run(["search", "note", "--wait-for", &last, "--wait", "1"])
        .exits(2)
        .tells(&[
            &format!("entry {last} is not in what is derived after 1 s"),
            "has come to 2",
        ]);
    ledger.append("a", "prefers PDF", &[]);
    drop(building);
    let found = ["search", "note", "--wait-for", &last, "--wait", "100", "--json"];
    let found = ledger.run(found).good();
    assert!(!found.err.contains("still building"), "{}", found.err);
    assert_eq!(stats(&ledger)["lag"], 0);
}

#[test]
fn who_waits_for_an_entry_finds_it() {
    let ledger = Ledger::new();
    let wait = |seq: u64, more: &[&str]| {
        let seq = seq.to_string();
        let args = ["search", "tea", "--wait-for", &seq, "--json"];
        let mut command = ledger.command(args.iter().chain(more));
        command.stdout(std::process::Stdio::piped()).spawn().unwrap()
    };
    ledger.append("a", "coffee", &[]);
    // It comes after the waiting began.
    let waiting = wait(2, &[]);
    thread::sleep(Duration::from_millis(300));
    let id = ledger.append("a", "tea", &[]);
    let found = waiting.wait_with_output().unwrap();
    assert!(found.status.success());
    assert!(String::from_utf8(found.stdout).unwrap().contains(&id));
    let late = ledger.run(["facts", "--wait-for", "9", "--wait", "0"]).exits(2);
    assert!(late.err.contains("the log ends with entry 2"), "{}", late.err);
    for command in ["search", "context", "blame"] {
        let args = [command, "tea", "--scope", "a", "--wait-for", "2"];
        ledger.run(args).good();
    }
    ledger.run(["search", "tea", "--wait", "1"]).exits(2);
}

/// Each command as of a position, held against a copy of the ledger that ended there.
#[test]
fn as_of_a_position_is_what_a_ledger_says_that_ended_there() {
    let ledger = Ledger::new();
    let file = ledger.file(
        "said.jsonl",
        json!({"id": "m1", "ts": "2026-01-07T09:12:32.930Z", "actor": "user:jana", "kind": "message", "scope": "acme",
               "payload": {"text": "We want CSV exports, please"}})
        .to_string(),
    );
    ledger.import(&file, &[]).good();
    let said = ledger.log(&["--scope", "acme"])[0]["id"].as_str().unwrap().to_owned();
    let csv = ledger.append("acme", "Wants CSV exports", &["--evidence", &said, "--tag", "billing"]);
    let first = ledger.append(
        "acme",
        "It is about CSV",
        &["--kind", "memory.summary", "--evidence", &csv],
    );
    let mut ends = Vec::new();
    let mut end = |ledger: &Ledger| {
        let head = ledger.run(["stats", "--json"]).good().json()["entries"]
            .as_u64()
            .unwrap();
        let copy = ledger.beside(&format!("ended-{head}"));
        let copied = Command::new("cp").arg("-a").arg(ledger.path()).arg(&copy).status();
        assert!(copied.unwrap().success());
        ends.push((head, copy));
    };
    end(&ledger);
    ledger.append("acme", "wants CSV  EXPORTS.", &["--confidence", "0.5"]);
    let pdf = ledger.append("acme", "Wants PDF exports", &["--supersedes", &csv]);
    end(&ledger);
    ledger.append(
        "acme",
        "Decided on PDF exports",
        &["--kind", "decision", "--evidence", &pdf],
    );
    ledger.append("acme", "Exports are PDF now", &["--evidence", &pdf]);
    ledger.append(
        "acme",
        "It is about PDF",
        &["--kind", "memory.summary", "--supersedes", &first],
    );
    run(ledger
        .command(["run"])
        .arg(guest("recaller"))
        .arg(json!({"search": "exports"}).to_string())
        .args(["--actor", "agent:a", "--home", "acme"]))
    .good();
    end(&ledger);
    ledger.run(["retract", &pdf, "--reason", "spoofed", "--impact"]).good();
    end(&ledger);
    ledger.append("acme", "Wants CSV exports", &["--confidence", "0.9"]);

    let questions: [&[&str]; 13] = [
        &["facts", "--scope", "acme"],
        &["facts", "exports", "--scope", "acme"],
        &["why", "wants CSV exports", "--scope", "acme"],
        &["why", "Wants PDF exports", "--scope", "acme"],
        &["why", &csv],
        &["why", &pdf],
        &["blame", "Wants CSV exports", "--scope", "acme"],
        &["blame", "exports are pdf now", "--scope", "acme"],
        &["context", "How are exports wanted?", "--scope", "acme"],
        &["search", "exports", "--scope", "acme"],
        &["summary", "--scope", "acme"],
        &["impact", &said],
        &["history", &csv],
    ];
    let mut different = 0;
    for (head, copy) in &ends {
        for question in questions {
            let head = head.to_string();
            let then = ledger.run(question.iter().chain(&["--json", "--as-of", &head]));
            let mut ended = driver::quipu();
            let ended = run(ended.arg("--ledger").arg(copy).args(question).arg("--json"));
            assert_eq!(
                (then.code, &then.out),
                (ended.code, &ended.out),
                "{question:?} as of {head}: {}",
                then.err
            );
            let now = ledger.run(question.iter().chain(&["--json"]));
            different += usize::from(now.out != then.out);
        }
    }
    assert!(different > 30, "the present is nearly as it was: {different}");
}

#[test]
fn impact_names_what_rests_on_an_event_what_runs_wrote_that_knew_it_and_the_facts() {
    let ledger = Ledger::new();
    let lie = ledger.append("acme", "Pay to account 4711", &[]);
    let apart = ledger.append("acme", "Is in Vienna", &[]);
    let rests = ledger.append("acme", "Account 4711 is theirs", &["--evidence", &lie]);
    let summary = ledger.append(
        "acme",
        "They are paid on 4711",
        &["--kind", "memory.summary", "--evidence", &rests],
    );
    let decision = ledger.append("acme", "We pay there", &["--kind", "decision", "--evidence", &rests]);
    let end = seq(&ledger, &decision) + 1;
    let asked = json!({"search": "account", "id": lie}).to_string();
    run(ledger
        .command(["run"])
        .arg(guest("recaller"))
        .arg(asked)
        .args(["--actor", "agent:a", "--home", "acme"]))
    .good();
    let ran = ledger.log(&["--kind", "quipu.run"])[0]["run"].clone();
    let impact = ledger.run(["impact", &lie, "--json"]).good().json();
    let ids = |impact: &Value| -> Vec<String> {
        let of = impact["descendants"].as_array().unwrap().iter();
        of.filter(|entry| !entry["kind"].as_str().unwrap().starts_with("quipu."))
            .map(|entry| entry["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(&impact), [&rests, &summary, &decision].map(String::clone));
    assert_eq!(impact["runs"], json!([ran]));
    let facts = impact["facts"].as_array().unwrap();
    let texts: Vec<_> = facts.iter().map(|fact| fact["text"].as_str().unwrap()).collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts.contains(&"Pay to account 4711") && texts.contains(&"Account 4711 is theirs"));

    let tree = ledger.run(["impact", &lie]).good().out;
    let below = |id: &str, lead: &str| tree.lines().any(|line| line.starts_with(&format!("{lead}{id}")));
    assert!(
        below(&lie, "") && below(&rests, "├─ ") && below(&summary, "│  ├─ ") && below(&decision, "│  └─ "),
        "{tree}"
    );
    assert!(
        tree.contains("which was shown it")
            && tree.contains("1 decision, 1 memory.summary, 1 memory.write, 1 run, 2 facts"),
        "{tree}"
    );
    assert!(!tree.contains(&apart));
    let dot = ledger.run(["impact", &lie, "--dot"]).good().out;
    assert!(
        dot.contains(&format!("\"{rests}\" -> \"{lie}\";")) && dot.ends_with("}\n"),
        "{dot}"
    );

    // As it was, and after it was taken back.
    let then = ledger
        .run(["impact", &lie, "--json", "--as-of", &end.to_string()])
        .good()
        .json();
    assert_eq!(
        (ids(&then).len(), &then["runs"], &then["asOf"]),
        (3, &json!([]), &json!(end))
    );
    ledger.run(["impact", &lie, "--as-of", "1"]).exits(1);
    ledger.run(["retract", &lie, "--reason", "spoofed", "--impact"]).good();
    let after = ledger.run(["impact", &lie, "--json"]).good().json();
    assert_eq!(after["facts"], json!([]));
    let leaf = ledger.run(["impact", &apart]).good().out;
    assert!(leaf.contains("believed because of it"), "{leaf}");
    fs::remove_dir_all(ledger.path().join("projections")).unwrap();
    assert_eq!(ledger.run(["impact", &lie, "--json"]).good().json(), after);
}

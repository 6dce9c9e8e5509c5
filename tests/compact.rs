//! `quipu compact` and `quipu summary`.

mod driver;

use std::{thread, time::Duration};

use driver::{Appender, Ledger, Ran, guest, wait_until};
use serde_json::{Value, json};

fn talk(ledger: &Ledger, conversations: usize) {
    let mut lines = String::new();
    for conversation in 0..conversations {
        for nth in 0..12 {
            let event = json!({
                "ts": format!("2026-02-03T{:02}:{:02}:00.000Z", conversation % 24, nth),
                "actor": "user:ann", "kind": "message", "scope": "a",
                "source": {"channel": "chat", "conversationId": format!("c{conversation}")},
                "payload": {"text": format!("Parcel {nth} of order {conversation} went to Lisbon with Rosa on Friday.")},
            });
            lines.push_str(&format!("{event}\n"));
        }
    }
    let file = ledger.file("talk.jsonl", lines);
    ledger.import(&file, &[]).good();
}

fn compact(ledger: &Ledger, more: &[&str]) -> Ran {
    ledger.run(["compact", "--scope", "a"].iter().chain(more))
}

fn summary(ledger: &Ledger) -> Value {
    ledger.run(["summary", "--scope", "a", "--json"]).good().json()
}

/// What stands of the summaries: tier, text, and how much each covers.
fn standing(ledger: &Ledger) -> Vec<String> {
    let mut found = Vec::new();
    for tier in ["1", "2", "3"] {
        let ran = ledger.run([
            "search", "", "--scope", "a", "--tier", tier, "--limit", "1000", "--json",
        ]);
        let hits = if ran.code == 1 {
            Vec::new()
        } else {
            ran.good().json_lines()
        };
        for hit in hits {
            let payload = &hit["event"]["payload"];
            found.push(format!(
                "{} {} {}",
                payload["tier"], payload["covers"]["events"], payload["text"]
            ));
        }
    }
    found.sort();
    found
}

#[test]
fn a_summary_names_its_events_and_a_second_run_adds_nothing() {
    let ledger = Ledger::new();
    talk(&ledger, 3);
    for text in ["Prefers CSV exports", "prefers csv exports."] {
        ledger.append("a", text, &[]);
    }
    let planned = compact(&ledger, &["--dry-run", "--json"]).good().json_lines();
    assert_eq!(planned.len(), 4);
    assert!(
        planned
            .iter()
            .all(|line| line["payload"]["tier"] == 1 && line["receipt"].is_null())
    );
    let made = compact(&ledger, &["--json"]).good().json_lines();
    assert_eq!(made.len(), 5);
    assert_eq!(made[0]["payload"], planned[0]["payload"]);
    assert_eq!(made[4]["evidence"].as_array().unwrap().len(), 4);

    let head = ledger.log(&[]).len();
    assert!(
        compact(&ledger, &[])
            .good()
            .out
            .contains("nothing to do, 5 hold as they are")
    );
    assert_eq!(ledger.log(&[]).len(), head);

    let told = summary(&ledger);
    assert_eq!(
        (&told["tier"], &told["covers"]["events"], &told["since"]),
        (&json!(2), &json!(38), &json!(0))
    );
    let line = |text: &str| {
        told["lines"]
            .as_array()
            .unwrap()
            .iter()
            .find(|line| line["text"] == text)
            .cloned()
    };
    let csv = line("prefers csv exports.").unwrap();
    assert_eq!((&csv["count"], csv["events"].as_array().unwrap().len()), (&json!(2), 2));
    let printed = ledger.run(["summary", "--scope", "a"]).good().out;
    assert!(printed.contains("prefers csv exports. (×2)  evt_"), "{printed}");
    assert!(
        printed.contains("as of seq ") && printed.contains("nothing came since"),
        "{printed}"
    );
    ledger.append("a", "likes tea", &[]);
    assert!(
        ledger
            .run(["summary", "--scope", "a"])
            .good()
            .out
            .contains("1 event came since")
    );
    // The summary is of a named actor, and says which rule made it.
    let entry = &told["event"];
    assert_eq!(
        (&entry["actor"], &entry["payload"]["rule"]["name"]),
        (&json!("tool:compactor"), &json!("extract"))
    );
    assert_eq!(entry["payload"]["rule"]["version"], 2);
    ledger.verify().good();
}

#[test]
fn what_is_young_is_left_alone_and_tiers_end_where_they_are_told() {
    let ledger = Ledger::new();
    talk(&ledger, 3);
    ledger.append("a", "said just now", &[]);
    assert_eq!(
        compact(&ledger, &["--older-than", "1d", "--tier", "1", "--json"])
            .good()
            .json_lines()
            .len(),
        3
    );
    assert_eq!(summary(&ledger)["tier"], 1);
    assert_eq!(compact(&ledger, &["--json"]).good().json_lines().len(), 2);
    assert_eq!(summary(&ledger)["covers"]["events"], 37);
    compact(&ledger, &["--older-than", "soon"]).exits(2);
    assert!(
        ledger
            .run(["summary", "--scope", "b"])
            .exits(1)
            .err
            .contains("quipu compact")
    );
}

#[test]
fn it_appends_over_the_socket_of_whoever_writes() {
    let ledger = Ledger::new();
    talk(&ledger, 2);
    let mut writer = Appender::start(&ledger);
    writer.send(r#"{"payload":{"text":"mine"}}"#).unwrap();
    writer.receipt().unwrap();
    assert_eq!(compact(&ledger, &["--json"]).good().json_lines().len(), 3);
    // Who only reads sees the newest commit with the next checkpoint.
    wait_until("the summary over all is seen", || summary(&ledger)["tier"] == 2);
    assert_eq!(compact(&ledger, &["--json"]).good().json_lines().len(), 0);
    assert_eq!(writer.finish(), 0);
}

#[test]
fn a_run_that_was_killed_is_gone_on_with() {
    let whole = Ledger::new();
    talk(&whole, 150);
    compact(&whole, &[]).good();
    let wanted = standing(&whole);
    assert_eq!(wanted.len(), 151);
    let mut broken_off = 0;
    for ms in [60, 120, 200, 320] {
        let ledger = Ledger::new();
        talk(&ledger, 150);
        // What is derived is there, so that the time goes into appending.
        ledger.run(["search", "parcel", "--scope", "a"]).good();
        let mut child = ledger.command(["compact", "--scope", "a"]).spawn().unwrap();
        thread::sleep(Duration::from_millis(ms));
        let _ = child.kill();
        child.wait().unwrap();
        broken_off += usize::from((1..151).contains(&standing(&ledger).len()));
        compact(&ledger, &[]).good();
        assert_eq!(standing(&ledger), wanted, "killed after {ms} ms");
        assert!(compact(&ledger, &[]).good().out.contains("nothing to do"));
    }
    println!("{broken_off} of 4 were killed between two summaries");
}

#[test]
fn what_is_retracted_or_redacted_takes_its_summary_along() {
    let ledger = Ledger::none_within(&std::env::temp_dir());
    let key = ledger.beside("kim.key");
    let key = key.to_str().unwrap();
    ledger
        .run([
            "init",
            "--origin",
            "example.org/test",
            "--operator",
            "kim",
            "--operator-key",
            key,
        ])
        .good();
    let wrong = ledger.append("a", "Lives in Atlantis", &[]);
    let right = ledger.append("a", "Lives in Rome", &[]);
    compact(&ledger, &[]).good();
    ledger.run(["retract", &wrong, "--reason", "a joke"]).good();
    ledger.run(["summary", "--scope", "a"]).exits(1);
    compact(&ledger, &[]).good();
    assert!(!summary(&ledger).to_string().contains("Atlantis"));

    let by = ["--reason", "asked for", "--operator", "kim", "--key", key];
    let redact = |more: &[&str]| ledger.run(["redact", &right].iter().chain(more).chain(&by));
    let listed = redact(&[]).exits(1);
    assert!(
        listed.out.contains("memory.summary") && listed.err.contains("--cascade"),
        "{}",
        listed.err
    );
    redact(&["--cascade"]).good();
    ledger.run(["summary", "--scope", "a"]).exits(1);
    ledger.run(["search", "Rome", "--scope", "a"]).exits(1);
    compact(&ledger, &[]).good();
    ledger.verify().good();
}

#[test]
fn search_names_how_to_descend() {
    let ledger = Ledger::new();
    talk(&ledger, 2);
    compact(&ledger, &[]).good();
    let found = ledger
        .run(["search", "parcel Lisbon", "--scope", "a", "--tier", "1"])
        .good()
        .out;
    assert!(found.contains("└ covers 12 events: quipu why evt_"), "{found}");
    let first = ledger
        .run(["search", "parcel Lisbon", "--scope", "a", "--limit", "24"])
        .good()
        .out;
    assert!(!first.contains("memory.summary"), "{first}");
}

#[test]
fn a_component_proposes_and_its_digest_is_recorded() {
    let ledger = Ledger::new();
    for nth in 0..12 {
        ledger.append("a", &format!("we take number {nth}"), &["--kind", "decision"]);
    }
    let file = guest("latest").display().to_string();
    let with = ["--with", &file, "--actor", "tool:latest"];
    compact(&ledger, &[&with[..], &["--dry-run"]].concat()).good();
    ledger.run(["summary", "--scope", "a"]).exits(1);
    assert_eq!(
        compact(&ledger, &[&with[..], &["--json"]].concat())
            .good()
            .json_lines()
            .len(),
        1
    );
    let told = summary(&ledger);
    assert_eq!(told["lines"].as_array().unwrap().len(), 10);
    assert!(
        told["lines"][0]["text"]
            .as_str()
            .unwrap()
            .ends_with("we take number 11"),
        "{told}"
    );
    let runs = ledger.log(&["--scope", "a", "--kind", "quipu.run"]);
    let run = runs.iter().find(|run| run["run"] == told["event"]["run"]).unwrap();
    assert_eq!(run["sys"]["run"]["world"], "compactor");
    assert_eq!(run["sys"]["run"]["component"].as_str().unwrap().len(), 64);
    // Nothing new, nothing proposed; then one that replaces the first.
    assert!(compact(&ledger, &with).good().err.contains("proposed 0, 0 appended"));
    ledger.append("a", "we stop", &["--kind", "decision"]);
    assert!(compact(&ledger, &with).good().err.contains("proposed 1, 1 appended"));
    assert_eq!(summary(&ledger)["event"]["supersedes"][0], told["event"]["id"]);
    ledger.verify().good();
}

#[test]
fn a_component_that_misbehaves_appends_nothing() {
    for (text, why) in [
        ("spin", "its deadline passed"),
        ("trap", "wasm trap"),
        ("fail", "it was told to"),
        (
            "stranger",
            "draft 0: evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D is not among the events",
        ),
        ("nothing", "names what it covers as evidence"),
        ("huge", "that of a summary has at most 65536"),
        (
            "sure",
            "it says that it is 0.95 sure, and what it names as evidence supports 0.8",
        ),
        ("scope", "may not append to that scope"),
        ("kind", "may not append that kind"),
        ("message", "of another actor"),
    ] {
        let ledger = Ledger::new();
        ledger.append("b", "elsewhere", &[]);
        ledger.append("a", text, &[]);
        let file = guest("compactor").display().to_string();
        let ran = compact(&ledger, &["--with", &file, "--actor", "tool:other"]).exits(1);
        assert!(ran.err.contains(why), "{text}: {}", ran.err);
        assert_eq!(ledger.log(&["--kind", "memory.summary"]).len(), 0, "{text}");
        ledger.verify().good();
    }
    // And one that does not: twice, and appended once.
    let ledger = Ledger::new();
    ledger.append("a", "good", &[]);
    let file = guest("compactor").display().to_string();
    let with = ["--with", &file, "--actor", "tool:other"];
    assert!(compact(&ledger, &with).good().err.contains("1 appended"));
    assert!(compact(&ledger, &with).good().err.contains("proposed 1, 0 appended"));
    for component in ["echo", "projector", "meddler"] {
        let file = guest(component).display().to_string();
        let refused = compact(&ledger, &["--with", &file]).exits(1);
        assert!(refused.err.contains("no function `compact`"), "{}", refused.err);
    }
}

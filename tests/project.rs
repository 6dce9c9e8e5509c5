//! `quipu project`: components of one's own that derive state from events.

mod driver;

use std::fs;

use driver::{Ledger, guest, run};
use quipu_format::{ProjectionName, Signer};
use quipu_log::OpenOptions;
use quipu_projections::Projections;
use serde_json::json;

/// A ledger with a component of this name as the projection `it`.
fn with(component: &str) -> Ledger {
    let ledger = Ledger::new();
    add(&ledger, "it", component, &[]);
    ledger
}

fn add(ledger: &Ledger, name: &str, component: &str, more: &[&str]) {
    let file = guest(component).display().to_string();
    let args = [&["project", "add", name, &file], more].concat();
    ledger.run(args).good();
}

fn ask(ledger: &Ledger, input: &str) -> String {
    ledger
        .run(["project", "query", "it", input])
        .good()
        .out
        .trim_end()
        .to_owned()
}

fn decide(ledger: &Ledger, scope: &str, times: usize) {
    for _ in 0..times {
        ledger.append(scope, "we go on", &["--kind", "decision"]);
    }
}

#[test]
fn decisions_are_counted_per_week_and_only_once() {
    let ledger = with("decisions");
    assert_eq!(ask(&ledger, ""), "");
    decide(&ledger, "team:a", 3);
    ledger.append("team:a", "no decision", &[]);
    let line = ask(&ledger, "");
    let (week, count) = line.split_once(' ').unwrap();
    assert_eq!(count, "3", "{line}");
    // From the state that was kept.
    decide(&ledger, "team:b", 2);
    let answer = ledger.run(["project", "query", "it", week, "--json"]).good().json();
    // The genesis, what is said of the projection, and six events.
    assert_eq!(
        (answer["output"].as_str(), answer["asOf"].as_u64()),
        (Some("5"), Some(8))
    );
    let refused = ledger.run(["project", "query", "it", "last week"]).exits(1);
    assert!(refused.err.contains("is no week such as 2026-W08"), "{}", refused.err);
}

#[test]
fn it_is_fed_by_its_scopes_alone_and_never_by_the_hosts_entries() {
    let ledger = Ledger::new();
    add(
        &ledger,
        "it",
        "projector",
        &["--scope", "team:*", "--scope", "customer:a"],
    );
    for scope in ["team:x", "customer:a", "customer:ab", "other"] {
        ledger.append(scope, scope, &[]);
    }
    assert_eq!(ask(&ledger, ""), "team:x\ncustomer:a");
    let list = ledger.run(["project", "list", "--json"]).good().json_lines();
    assert_eq!(list[0]["scopes"], serde_json::json!(["team:*", "customer:a"]));
    // Another setting of the same component is fed anew.
    add(&ledger, "it", "projector", &["--scope", "other"]);
    assert_eq!(ask(&ledger, ""), "other");
}

#[test]
fn after_an_upgrade_all_is_derived_again() {
    let ledger = with("projector");
    decide(&ledger, "a", 2);
    assert_eq!(ask(&ledger, ""), "we go on\nwe go on");
    add(&ledger, "it", "decisions", &[]);
    assert!(ask(&ledger, "").ends_with(" 2"));
    ledger.run(["project", "remove", "it"]).good();
    ledger
        .run(["project", "query", "it"])
        .exits(1)
        .tells(&["no projection named it"]);
    ledger.run(["project", "remove", "it"]).exits(1);
    assert_eq!(ledger.run(["project", "list"]).good().out, "");
}

#[test]
fn deleting_projections_changes_no_answer() {
    let ledger = with("projector");
    ledger.append("a", "one", &[]);
    let before = ask(&ledger, "");
    std::fs::remove_dir_all(ledger.path().join("projections")).unwrap();
    assert_eq!((ask(&ledger, ""), before), ("one".to_owned(), "one".to_owned()));
}

#[test]
fn a_component_that_refuses_its_own_state_is_fed_anew() {
    let ledger = with("projector");
    ledger.append("a", "forgetful", &[]);
    assert_eq!(ask(&ledger, ""), "forgetful");
    ledger.append("a", "two", &[]);
    assert_eq!(ask(&ledger, ""), "forgetful\ntwo");
}

#[test]
fn a_component_that_wants_more_than_to_derive_is_refused() {
    let ledger = Ledger::new();
    for (component, why) in [("meddler", "append@0.1.0"), ("echo", "the interface fold")] {
        let file = guest(component).display().to_string();
        ledger.run(["project", "add", "it", &file]).exits(1).tells(&[why]);
    }
    assert_eq!(ledger.run(["project", "list"]).good().out, "");
}

#[test]
fn a_component_that_misbehaves_is_ended_and_the_ledger_is_not_touched() {
    for (text, why) in [
        ("trap", "it was ended: wasm trap"),
        ("hog", "it was ended"),
        ("refuse", "it refuses events"),
        ("spin", "passed the deadline"),
    ] {
        let ledger = with("projector");
        ledger.append("a", "good", &[]);
        assert_eq!(ask(&ledger, ""), "good");
        ledger.append("a", text, &[]);
        ledger
            .run(["project", "query", "it"])
            .exits(1)
            .tells(&["the projection it", why]);
        ledger.verify().good();
    }
    let ledger = with("projector");
    ledger
        .run(["project", "query", "it", "spin"])
        .exits(1)
        .tells(&["passed the deadline"]);
    ledger.run(["project", "query", "it", "fail"]).exits(1);
}

#[test]
fn an_entry_that_cannot_be_read_is_passed_over_and_fed_when_it_can_be_read_again() {
    let ledger = with("projector");
    for text in ["one", "two", "three"] {
        ledger.append("a", text, &[]);
    }
    let segment = ledger.path().join("log/00000000000000000000.log");
    let whole = fs::read(&segment).unwrap();
    let damage = || {
        // The genesis, what is said of the projection, one, two.
        let mut bytes = whole.clone();
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let two = ends.map(|(at, _)| at + 1).nth(2).unwrap();
        bytes[two + 20] ^= 1;
        fs::write(&segment, bytes).unwrap();
    };
    let passed_over = || {
        let ran = ledger.run(["project", "query", "it", "--json"]).good();
        assert_eq!(ran.json(), json!({"output": "one\nthree", "asOf": 5, "unread": 1}));
        assert!(ran.err.contains("1 entry that cannot be read"), "{}", ran.err);
    };
    // What is derived knows of it, so that the state is kept; then it does not, for it was damaged later.
    damage();
    passed_over();
    passed_over();
    fs::write(&segment, &whole).unwrap();
    assert_eq!(ask(&ledger, ""), "one\ntwo\nthree");
    add(&ledger, "it", "projector", &["--scope", "a"]);
    let whole = fs::read(&segment).unwrap();
    ledger.run(["search", "two"]).good();
    let mut bytes = whole.clone();
    let ends: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at] == b'\n').collect();
    bytes[ends[2] + 21] ^= 1;
    fs::write(&segment, bytes).unwrap();
    assert_eq!(ask(&ledger, ""), "one\nthree");
    fs::write(&segment, &whole).unwrap();
    assert_eq!(ask(&ledger, ""), "one\ntwo\nthree");
}

#[test]
fn a_state_that_held_what_is_erased_is_thrown_away_and_made_again() {
    let ledger = with("projector");
    let kim = Signer::new("operator:kim", [9; 32]).unwrap();
    let key = ledger.file("kim.key", kim.to_text().as_bytes());
    let open = quipu_log::Ledger::open(&ledger.path(), OpenOptions::default()).unwrap();
    open.found_operator(&kim.verifier_key()).unwrap();
    open.close().unwrap();
    ledger.append("a", "one", &[]);
    let secret = ledger.append("a", "the xylographer came", &[]);
    let snapshot = || {
        let reader = quipu_log::Ledger::open_read_only(&ledger.path()).unwrap();
        let projections = Projections::open(&reader).unwrap();
        projections.snapshot(&ProjectionName::new("it").unwrap()).unwrap()
    };
    assert_eq!(ask(&ledger, ""), "one\nthe xylographer came");
    assert!(
        String::from_utf8(snapshot().unwrap().state)
            .unwrap()
            .contains("xylographer")
    );
    let args = ["redact", &secret, "--reason", "asked for", "--operator", "kim", "--key"];
    run(ledger.command(args).arg(&key)).good();
    assert_eq!(snapshot(), None);
    for file in fs::read_dir(ledger.path().join("projections")).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(11).any(|bytes| bytes == b"xylographer"));
    }
    // An erased event is fed, without what it said.
    ledger.append("a", "three", &[]);
    assert_eq!(ask(&ledger, ""), "one\nerased\nthree");
    assert!(snapshot().is_some());
}

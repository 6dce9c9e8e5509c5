//! `quipu project`: components of one's own that derive state from events.

mod driver;

use driver::{Ledger, guest};

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

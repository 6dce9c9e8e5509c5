//! Quotas of scopes, through the command.

mod driver;

use std::{io::Write, process::Stdio, thread};

use driver::{Ran, governed::Governed};
use serde_json::json;

impl Governed {
    fn said(&self, scope: &str) -> Ran {
        self.ledger
            .run(["append", "--scope", scope, "--actor", "user:ann", "--text", "said"])
    }
}

#[test]
fn a_quota_is_set_shown_raised_and_removed() {
    let it = Governed::new();
    let none = it.ledger.run(["quota", "show"]).good().out;
    assert!(none.contains("no quota is set"), "{none}");
    it.said("tenant:a").good();
    it.kim(&[
        "quota",
        "set",
        "tenant:*",
        "--entries",
        "2",
        "--bytes",
        "1MiB",
        "--reason",
        "small plan",
    ])
    .good();
    it.said("tenant:a").good();
    it.said("tenant:a").exits(1).tells(&[
        "tenant:a has no room",
        "quota of tenant:* allows 2 entries",
        "quipu quota set",
    ]);
    it.said("tenant:b").good();
    let receipt = it.kim(&["quota", "set", "tenant:a", "--entries", "4", "--json"]).good();
    assert!(receipt.json()["id"].is_string());
    it.said("tenant:a").good();

    let shown = it.ledger.run(["quota", "show", "--json"]).good().json_lines();
    let of = |of: &str| shown.iter().find(|quota| quota["of"] == of).unwrap();
    let (all, one) = (of("tenant:*"), of("tenant:a"));
    assert_eq!(
        (&all["entries"], &all["bytes"], &all["reason"], &all["held"]),
        (&json!(2), &json!(1 << 20), &json!("small plan"), &json!(null))
    );
    assert_eq!(
        (&one["entries"], &one["held"]["entries"], &one["since"]["operator"]),
        (&json!(4), &json!(3), &json!("operator:kim"))
    );
    assert!(one["held"]["bytes"].as_u64().unwrap() > 600, "{one}");
    let text = it.ledger.run(["quota", "show"]).good().out;
    for part in [
        "tenant:*  at most 2 entries, at most 1048576 bytes",
        "holds 3 entries (75 %)",
        "small plan",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // In clear there is the quota, and not why.
    let log = std::fs::read_to_string(it.ledger.path().join("log/00000000000000000000.log")).unwrap();
    assert!(log.contains(r#""quota":{"set""#) && !log.contains("small plan"));

    it.kim(&["quota", "remove", "tenant:a"]).good();
    it.said("tenant:a").exits(1).tells(&["it holds 3"]);
    it.kim(&["quota", "remove", "tenant:a"]).exits(1).tells(&["no quota"]);
    it.kim(&["quota", "remove", "tenant:*"]).good();
    it.said("tenant:a").good();
    for bad in [
        &["quota", "set", "tenant:a"][..],
        &["quota", "set", "tenant:a", "--entries", "0"],
        &["quota", "set", "tenant:a", "--bytes", "12 apples"],
        &["quota", "set", "quipu:ledger", "--entries", "1"],
        &["quota", "set", "te*nant", "--entries", "1"],
    ] {
        it.kim(bad).exits(2);
    }
    it.ledger.run(["verify"]).good();
}

/// Erasure, holds and runs go on in a scope that is full.
#[test]
fn a_full_scope_is_read_run_in_and_erased() {
    let it = Governed::new();
    let id = it.ledger.append("home", "said", &[]);
    it.kim(&["quota", "set", "home", "--entries", "1"]).good();
    it.said("home").exits(1);
    let ran = it.run_guest("reader", "{}", "home").good();
    assert!(ran.out.contains("\"count\":1"), "{}", ran.out);
    let ran = it.run_guest("echo", "remember", "home");
    assert_ne!(ran.code, 0, "{}", ran.out);
    let replayed = it.ledger.run(["replay", "--all", "--json"]).good().json_lines();
    assert_eq!(replayed.len(), 2);
    it.kim(&["redact", &id, "--cascade", "--reason", "asked for"]).good();
    assert!(it.erased(&id));
    it.ledger.run(["verify"]).good();
}

/// Each process hands its appends to the one that writes, whichever that is.
#[test]
fn processes_that_append_at_once_never_pass_it() {
    const MOST: usize = 120;
    let it = Governed::new();
    it.said("s").good();
    it.kim(&["quota", "set", "s", "--entries", &MOST.to_string()]).good();
    let accepted: usize = thread::scope(|threads| {
        let one = || {
            let mut command = it
                .ledger
                .command(["append", "--scope", "s", "--actor", "user:ann", "--jsonl", "-"]);
            let mut child = command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = child.stdin.take().unwrap();
            for _ in 0..80 {
                // It ends at the first refusal.
                if writeln!(lines, r#"{{"payload":{{"text":"said"}}}}"#).is_err() {
                    break;
                }
            }
            drop(lines);
            let ran = Ran::from(child.wait_with_output().unwrap());
            (ran.out.lines().count(), ran.code, ran.err)
        };
        let writers: Vec<_> = (0..3).map(|_| threads.spawn(one)).collect();
        let ends: Vec<_> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        assert!(
            ends.iter()
                .any(|(_, code, err)| *code == 1 && err.contains("s has no room")),
            "{ends:?}"
        );
        ends.iter().map(|(accepted, ..)| accepted).sum()
    });
    assert_eq!(accepted, MOST - 1);
    assert_eq!(it.ledger.log(&["--scope", "s"]).len(), MOST);
    it.said("s").exits(1);
}

#[test]
fn the_doctor_names_a_scope_that_is_nearly_full() {
    let it = Governed::new();
    let quotas = || {
        let found = it.ledger.run(["doctor", "--json"]).good().json_lines();
        found.into_iter().find(|found| found["about"] == "quotas")
    };
    assert_eq!(quotas(), None);
    it.kim(&["quota", "set", "s:*", "--entries", "10"]).good();
    for _ in 0..9 {
        it.said("s:1").good();
    }
    assert_eq!(quotas().unwrap()["health"], "good");
    it.said("s:1").good();
    let found = quotas().unwrap();
    assert_eq!(found["health"], "doubtful");
    assert!(found["says"].as_str().unwrap().contains("s:1"), "{found}");
    assert!(found["advice"].as_str().unwrap().contains("quota set"), "{found}");
}

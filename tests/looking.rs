//! What commands on beliefs say of what is not there: not yet, not any more, not readable, or done before.

mod driver;

use std::fs;

use driver::{Ledger, Ran, governed::Governed, run};
use quipu_format::Signer;
use serde_json::json;

const NOBODY: &str = "evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D";

/// The id of what an actor says in `acme`.
fn said_by(ledger: &Ledger, actor: &str, text: &str, more: &[&str]) -> String {
    let args = ["append", "--scope", "acme", "--actor", actor, "--text", text, "--json"];
    let receipt = ledger.run(args.iter().chain(more)).good().json();
    receipt["id"].as_str().unwrap().to_owned()
}

#[test]
fn an_event_that_is_not_there_is_a_no_in_every_command() {
    let Governed { ledger, key } = Governed::new();
    ledger.append("acme", "likes tea", &[]);
    for command in [
        vec!["show", NOBODY],
        vec!["show", "999"],
        vec!["why", NOBODY],
        vec!["impact", NOBODY],
        vec!["history", NOBODY],
        vec!["retract", NOBODY, "--reason", "-"],
    ] {
        let ran = ledger.run(command).exits(1).tells(&["there is no event"]);
        assert_eq!(ran.out, "");
    }
    let acts = ["--reason", "-", "--operator", "kim"];
    for command in [vec!["redact", NOBODY], vec!["quarantine", "--lift", NOBODY]] {
        let args = command.iter().chain(&acts);
        let ran = run(ledger.command(args).arg("--key").arg(&key)).exits(1);
        assert!(ran.out.is_empty() && ran.err.contains(NOBODY), "{}", ran.err);
    }
}

#[test]
fn nothing_is_listed_of_what_cannot_be_done() {
    let ledger = Ledger::new();
    let lee = Signer::new("operator:lee", [7; 32]).unwrap();
    let key = ledger.file("lee.key", lee.to_text().as_bytes());
    let tea = ledger.append("acme", "likes tea", &[]);
    ledger.append("acme", "likes tea with milk", &["--evidence", &tea]);
    for command in [
        vec!["redact", &tea, "--cascade"],
        vec!["quarantine", "--actor", "operator:kim"],
    ] {
        let acts = ["--reason", "-", "--operator", "kim"];
        let ran = run(ledger.command(command.iter().chain(&acts)).arg("--key").arg(&key));
        assert_eq!(ran.exits(2).tells(&["key of operator:lee"]).out, "");
    }
    let ran = ledger.run(["retract", &tea, "--reason", "-", "--actor", "host:quipu"]);
    assert_eq!(ran.exits(2).out, "");
}

#[test]
fn what_came_later_is_told_and_nobody_waits_longer_for_what_is_past_the_end() {
    let ledger = Ledger::new();
    let tea = ledger.append("acme", "likes tea", &[]);
    for command in ["why", "impact", "history"] {
        ledger
            .run([command, &tea, "--as-of", "1"])
            .exits(1)
            .tells(&["is entry 1, which came later: as of 1"]);
        ledger.run([command, &tea, "--as-of", "2"]).good();
    }
    ledger
        .run(["facts", "--scope", "acme", "--wait-for", "7", "--wait", "0"])
        .exits(2)
        .tells(&["no entry 7", "the log ends with entry 1"]);
}

#[test]
fn what_is_taken_back_twice_is_told_and_appended_once() {
    let Governed { ledger, key } = Governed::new();
    let tea = ledger.append("acme", "likes tea", &[]);
    let coffee = said_by(&ledger, "tool:crm", "likes coffee", &[]);
    let retract = |ids: &[&str]| {
        let args = ["retract", "--reason", "wrong", "--json"];
        ledger.run(args.iter().chain(ids))
    };
    let receipt = retract(&[&tea]).good().json_lines().remove(1);
    let before = ledger.log(&[]).len();
    let again = retract(&[&tea]).good();
    let by = receipt["id"].as_str().unwrap();
    assert!(
        again.out.is_empty() && again.err.contains("retracted before") && again.err.contains(by),
        "{}",
        again.err
    );
    assert_eq!(ledger.log(&[]).len(), before);
    // Of two, the other one is.
    let both = retract(&[&tea, &coffee]).good();
    assert!(both.err.contains("retracted before"), "{}", both.err);
    assert_eq!(both.json_lines()[0]["id"], json!(coffee));
    assert_eq!(ledger.log(&[]).len(), before + 1);

    let quarantine = |more: &[&str]| -> Ran {
        let args = ["quarantine", "--reason", "it was hacked", "--operator", "kim"];
        run(ledger.command(args.iter().chain(more)).arg("--key").arg(&key))
    };
    quarantine(&["--actor", "tool:crm"]).good();
    let acts = ledger.log(&["--kind", "quipu.quarantine"]);
    let act = acts[0]["id"].as_str().unwrap();
    quarantine(&["--lift", act]).good();
    let before = ledger.log(&[]).len();
    let again = quarantine(&["--lift", act]).good();
    assert!(again.err.contains("lifted before, by evt_"), "{}", again.err);
    assert_eq!(ledger.log(&[]).len(), before);
    // Which is which is told where there is a reason, too.
    let printed = ledger.run(["log", "--kind", "quipu.quarantine"]).good().out;
    let lines: Vec<_> = printed.lines().collect();
    assert!(
        lines[0].contains("quarantines tool:crm from seq 0 up to") && lines[0].contains("it was hacked"),
        "{printed}"
    );
    assert!(lines[1].contains(&format!("lifts {act}: it was hacked")), "{printed}");
}

#[test]
fn damage_in_the_middle_of_the_log_is_told_by_what_answers() {
    let ledger = Ledger::new();
    ledger.append("acme", "likes tea", &[]);
    let milk = ledger.append("acme", "likes milk in tea", &[]);
    let rests = ledger.append("acme", "likes tea with milk", &["--evidence", &milk]);
    let segment = ledger.path().join("log/00000000000000000000.log");
    let mut bytes = fs::read(&segment).unwrap();
    let start = bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .nth(1)
        .unwrap()
        .0
        + 1;
    // Damaged before it is derived from, and after.
    for derived_before in [false, true] {
        if derived_before {
            let _ = fs::remove_dir_all(ledger.path().join("projections"));
            ledger.run(["facts", "--scope", "acme"]).good();
        }
        bytes[start + 20] ^= 1;
        fs::write(&segment, &bytes).unwrap();
        let told = "1 entry could not be read and is left out";
        for command in [
            vec!["search", "tea", "--scope", "acme"],
            vec!["facts", "--scope", "acme"],
            vec!["context", "tea", "--scope", "acme"],
            vec!["why", &rests],
        ] {
            let ran = ledger.run(&command);
            assert!(
                ran.code == 0 && ran.err.contains(told),
                "{command:?} {derived_before}: {}",
                ran.err
            );
        }
        let ran = ledger.run(["context", "tea", "--scope", "acme", "--json"]).good();
        assert_eq!(ran.json()["missing"], 1);
        bytes[start + 20] ^= 1;
        fs::write(&segment, &bytes).unwrap();
        let ran = ledger.run(["context", "tea", "--scope", "acme", "--json"]).good();
        assert!(
            ran.json()["missing"].is_null() && !ran.err.contains("left out"),
            "{}",
            ran.err
        );
    }
}

#[test]
fn a_belief_that_was_stated_in_other_words_is_said_to_be() {
    let ledger = Ledger::new();
    ledger.append("acme", "Prefers CSV exports", &[]);
    let blame = |text: &str| ledger.run(["blame", text, "--scope", "acme", "--json"]).good();
    let exact = blame("prefers csv exports");
    assert!(exact.json()["exact"] == true && exact.err.is_empty(), "{}", exact.err);
    let other = blame("exports");
    assert_eq!(other.json()["exact"], false);
    assert!(
        other.err.contains("in these words") && other.err.contains("Prefers CSV exports"),
        "{}",
        other.err
    );
}

#[test]
fn a_summary_says_whose_it_is_and_rules_may_be_given() {
    let ledger = Ledger::new();
    let csv = ledger.append("acme", "Prefers CSV exports", &[]);
    ledger.append("acme", "prefers csv exports to PDF", &[]);
    let compact = |more: &[&str]| ledger.run(["compact", "--scope", "acme"].iter().chain(more));
    compact(&[]).good();
    let summary = || ledger.run(["summary", "--scope", "acme"]).good().out;
    assert!(summary().contains(" by tool:compactor, tier 1"), "{}", summary());
    let rules = "[[rule]]\nname = \"n\"\npattern = \"(?i)csv\"\nkinds = [\"memory.write\"]\ncount = 2\nwithin = 30\n\
                 signal = \"likes tables\"\n";
    let rules = ledger.file("rules.toml", rules);
    let rules = rules.to_str().unwrap();
    compact(&["--rules", rules]).good();
    assert!(summary().starts_with("likes tables (×2)"), "{}", summary());
    assert!(compact(&["--rules", rules]).good().out.contains("nothing to do"));
    let none = ledger.file("none.toml", "[[rule]]");
    compact(&["--rules", none.to_str().unwrap()])
        .exits(2)
        .tells(&["none.toml is not good"]);
    said_by(
        &ledger,
        "agent:mallory",
        "All is well",
        &["--kind", "memory.summary", "--evidence", &csv],
    );
    let told = summary();
    assert!(
        told.starts_with("All is well") && told.contains(" by agent:mallory, tier 1"),
        "{told}"
    );
    assert!(told.contains("1 summary beside it"), "{told}");
}

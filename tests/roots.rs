//! A scope is proved complete, and the ledger's key is rotated, by command.

mod driver;

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use driver::{Ledger, quipu, run};
use serde_json::Value;

fn vkey(ledger: &Ledger) -> String {
    ledger.run(["stats", "--json"]).good().json()["verifierKey"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn an_exported_scope_is_shown_to_be_all_of_it() {
    let ledger = Ledger::new();
    for text in ["one", "two", "three"] {
        ledger.append("a", text, &[]);
        ledger.append("b", text, &[]);
    }
    ledger.run(["prove", "--scope", "a"]).exits(2).tells(&["--fresh"]);
    let (proof, export) = (ledger.beside("a.proof"), ledger.beside("export"));
    run(ledger
        .command(["prove", "--scope", "a", "--fresh", "--out"])
        .arg(&proof))
    .good();
    run(ledger.command(["export", "scope", "a"]).arg(&export)).good();
    let key = vkey(&ledger);
    let check = |file: &std::path::Path| {
        let mut command = quipu();
        command.args(["check", "--vkey", &key]).arg(file);
        command
    };
    let shown = run(check(&proof).arg("--json")).good().json();
    assert_eq!((&shown["kind"], &shown["entries"]), (&"scope proof".into(), &3.into()));
    let said = run(check(&export).arg("--complete").arg(&proof)).good().out;
    assert!(said.contains("they are all"), "{said}");
    // Another scope's proof shows nothing of this one, and nobody is proved to have nothing.
    let other = ledger.beside("b.proof");
    run(ledger.command(["prove", "--scope", "b", "--out"]).arg(&other)).good();
    run(check(&export).arg("--complete").arg(&other)).exits(1);
    let nobody = ledger.run(["prove", "--scope", "nobody"]).good();
    assert_eq!(
        run(check(&ledger.file("nobody", &nobody.out)).arg("--json"))
            .good()
            .json()["entries"],
        0
    );
    // A proof in which something was changed is refused.
    let text = fs::read_to_string(&proof).unwrap();
    for (from, to) in [(r#""count":3"#, r#""count":2"#), (r#""scope":"a""#, r#""scope":"b""#)] {
        assert!(text.contains(from), "{text}");
        run(&mut check(&ledger.file("changed", text.replace(from, to)))).exits(1);
    }
    // What came later is told of.
    ledger.append("a", "four", &[]);
    assert!(ledger.run(["prove", "--scope", "a"]).good().err.contains("came later"));
    ledger.verify().good();
}

#[test]
fn a_rotated_key_is_listed_and_what_was_proved_before_stays_good() {
    let ledger = Ledger::new();
    let event = ledger.append("a", "kept", &[]);
    let proof = ledger.beside("proof");
    run(ledger.command(["prove", &event, "--out"]).arg(&proof)).good();
    let old = vkey(&ledger);
    ledger.run(["key", "rotate"]).good();
    let new = vkey(&ledger);
    assert_ne!(old, new);
    let keys = ledger.run(["key", "list", "--json"]).good();
    assert!(keys.out.contains(&old) && keys.out.contains(&new));
    assert_eq!(keys.out.lines().count(), 2);
    assert!(ledger.run(["stats"]).good().out.contains(&old));
    ledger.append("a", "after", &[]);
    ledger.verify().good();
    run(quipu().args(["check", "--vkey", &old]).arg(&proof)).good();
    run(quipu().args(["check", "--vkey", &new]).arg(&proof)).exits(1);
    run(ledger.command(["prove", &event, "--out"]).arg(&proof)).good();
    run(quipu().args(["check", "--vkey", &new]).arg(&proof)).good();
}

/// Whatever was handed out before a rotation and after it, and what goes from the one to the other.
#[test]
fn what_is_signed_by_several_keys_is_checked_with_all_of_them() {
    let ledger = Ledger::new();
    let mut event = ledger.append("customer:acme", "kept", &[]);
    let kept = ledger.file("kept", fs::read(ledger.path().join("checkpoint")).unwrap());
    let mut handed_out = Vec::new();
    let mut keys = vec![vkey(&ledger)];
    for turn in 0..3 {
        if turn > 0 {
            ledger.run(["key", "rotate"]).good();
            keys.push(vkey(&ledger));
            event = ledger.append("customer:acme", "after", &[]);
        }
        let scope = ["customer:acme", "--fresh"];
        for (name, args) in [
            ("proof", vec!["prove", &event]),
            ("scope", [&["prove", "--scope"], &scope[..]].concat()),
            ("event", vec!["disclose", &event]),
        ] {
            let file = ledger.beside(&format!("{name}-{turn}"));
            run(ledger.command(args).arg("--out").arg(&file)).good();
            handed_out.push((turn, file));
        }
        let export = ledger.beside(&format!("export-{turn}"));
        run(ledger.command(["export", "scope", "customer:acme"]).arg(&export)).good();
        handed_out.push((turn, export));
    }
    let newer = ledger.file("newer", fs::read(ledger.path().join("checkpoint")).unwrap());
    let prove = |old: &Path, name: &str| {
        let file = ledger.beside(name);
        run(ledger
            .command(["prove", "--consistency"])
            .arg(old)
            .arg("--out")
            .arg(&file))
        .good();
        file
    };
    let grown = prove(&kept, "grown");
    let check = |file: &Path, keys: &[&String]| {
        let mut check = quipu();
        check.arg("check").arg(file);
        for key in keys {
            check.args(["--vkey", key]);
        }
        run(&mut check)
    };
    let all: Vec<_> = keys.iter().collect();
    for (turn, file) in &handed_out {
        check(file, &all).good();
        check(file, &[&keys[*turn]]).good();
        let others: Vec<_> = keys.iter().filter(|key| **key != keys[*turn]).collect();
        let why = check(file, &others).exits(1).out;
        assert!(why.contains("none of the 2 keys fits"), "{why}");
    }
    // The proof goes from what the first key signed to what the last one did.
    check(&grown, &all).good();
    check(&grown, &[&keys[0], &keys[2]]).good();
    for key in &keys {
        check(&grown, &[key]).exits(1);
    }
    let why = check(&grown, &[&keys[2], &keys[0]]).exits(1).out;
    assert!(why.contains("oldest first"), "{why}");

    // The list says which sizes each holds for, and that is held to.
    let listed = ledger.run(["key", "list", "--json"]).good().out;
    let check_by = |keys: String, file: &Path| {
        let keys = ledger.file("keys.jsonl", keys);
        run(quipu().arg("check").arg(file).arg("--vkeys").arg(keys))
    };
    check_by(listed.clone(), &grown).good();
    for (_, file) in &handed_out {
        check_by(listed.clone(), file).good();
    }
    check_by(keys.join("\n"), &grown).good();
    let entries: u64 = fs::read_to_string(&newer)
        .unwrap()
        .lines()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let later = listed.replace("\"until\":null", &format!("\"until\":{}", entries - 1));
    assert_ne!(later, listed);
    let why = check_by(later, &grown).exits(1).out;
    assert!(why.contains("holds for"), "{why}");

    // A key twice, none, a file that holds none.
    check(&grown, &[&keys[0], &keys[0]]).exits(2).tells(&["twice"]);
    check(&grown, &[]).exits(2);
    check_by("hello".into(), &grown).exits(2).tells(&["line 1"]);
}

/// Whoever makes a ledger is told its verifier key, which stands beside it in clear; its secrets are for its owner alone.
#[test]
fn a_ledger_is_made_with_keys_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let made = run(quipu().arg("init").arg(&path).args(["--origin", "example.org/kim"])).good();
    let key = made
        .out
        .split_whitespace()
        .find(|word| word.starts_with("example.org/kim+"));
    let key = key.expect("it is printed");
    let kept: Value = serde_json::from_slice(&fs::read(path.join("quipu.json")).unwrap()).unwrap();
    let stats = run(quipu().args(["stats", "--json", "--ledger"]).arg(&path))
        .good()
        .json();
    assert_eq!(
        (&kept["verifierKey"], &stats["verifierKey"]),
        (&key.into(), &key.into())
    );
    for secret in ["signer", "keys"] {
        let mode = fs::metadata(path.join(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
}

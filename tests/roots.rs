//! A scope is proved complete, and the ledger's key is rotated, by command.

mod driver;

use std::fs;

use driver::{Ledger, quipu, run};

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

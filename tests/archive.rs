//! Old segments go to a cold folder and come back: the commands as an operator uses them.

mod driver;

use std::fs;

use driver::Ledger;

#[test]
fn a_ledger_lives_on_with_its_old_segments_elsewhere() {
    let ledger = Ledger::new();
    // More than one segment of 64 MiB: bodies of a mebibyte are its longest.
    let drafts = ledger.beside("drafts");
    let draft = |n: usize| format!("{{\"payload\":{{\"n\":{n},\"text\":\"{}\"}}}}\n", "x".repeat(1_000_000));
    fs::write(&drafts, (0..60).map(draft).collect::<String>()).unwrap();
    let drafts = drafts.display().to_string();
    ledger
        .run(["append", "--actor", "a", "--scope", "big", "--jsonl", &drafts])
        .good();
    let cold = ledger.beside("cold").display().to_string();
    let moved = ledger.beside("moved").display().to_string();
    let none = ledger
        .run(["archive", "--before", "2000-01-01", "--to", &cold, "--json"])
        .good()
        .json();
    assert_eq!(none["segments"], 0);
    let summary = ledger
        .run(["archive", "--before", "9999-01-01", "--to", &cold, "--json"])
        .good()
        .json();
    assert_eq!(summary["segments"], 1);
    assert!(summary["coldBytes"].as_u64() < summary["bytes"].as_u64());
    let stats = ledger.run(["stats", "--json"]).good().json();
    assert_eq!(
        (&stats["archivedSegments"], &stats["archivedBytes"]),
        (&1.into(), &summary["coldBytes"])
    );
    ledger.verify().good();
    ledger.run(["show", "5"]).good();
    fs::rename(&cold, &moved).unwrap();
    let verdict = ledger.run(["verify", "--json"]).exits(3).json();
    assert_eq!(
        (&verdict["fault"], &verdict["absent"][0]["first"]),
        (&serde_json::Value::Null, &0.into())
    );
    assert!(ledger.verify().exits(3).out.contains(&cold));
    ledger.run(["show", "5"]).exits(2).tells(&[&cold]);
    ledger.append("big", "it goes on", &[]);
    let found = ledger.run(["archive", "--before", "0", "--to", &moved]).good().out;
    assert!(found.contains("found"), "{found}");
    ledger.verify().good();
    ledger.run(["show", "5"]).good();
}

//! A ledger is backed up, lost, and goes on: the commands as an operator uses them.

mod driver;

use std::fs;

use driver::{Ledger, quipu, run};

#[test]
fn a_lost_ledger_goes_on_from_its_backup() {
    let ledger = Ledger::new();
    let first = ledger.append("a", "kept", &[]);
    let (backup, vault) = (ledger.beside("backup"), ledger.beside("vault"));
    let summary = run(ledger.command(["backup", "--json"]).arg(&backup)).good().json();
    assert_eq!((&summary["entries"], &summary["withKeys"]), (&2.into(), &false.into()));
    fs::create_dir(&vault).unwrap();
    for name in ["keys", "signer", "checkpoint"] {
        fs::copy(ledger.path().join(name), vault.join(name)).unwrap();
    }
    run(quipu().arg("--ledger").arg(&backup).arg("verify")).good();
    // Nobody writes to a backup.
    run(quipu()
        .arg("--ledger")
        .arg(&backup)
        .args(["append", "--scope", "a", "--actor", "a", "--text", "x"]))
    .exits(2)
    .tells(&["copy", "confirm"]);
    fs::remove_dir_all(ledger.path()).unwrap();
    let mut restore = ledger.command(["restore"]);
    restore
        .arg(&backup)
        .arg("--keys")
        .arg(vault.join("keys"))
        .arg("--signer")
        .arg(vault.join("signer"));
    assert!(run(&mut restore).good().err.contains("quipu confirm"));
    ledger.verify().good();
    ledger.run(["show", &first]).good();
    let append = ["append", "--scope", "a", "--actor", "a", "--text", "x"];
    ledger.run(append).exits(2).tells(&["quipu confirm"]);
    run(ledger.command(["confirm"]).arg(ledger.path().join("checkpoint")))
        .exits(2)
        .tells(&["own checkpoint"]);
    run(ledger.command(["confirm"]).arg(ledger.file("note", "no note"))).exits(1);
    run(ledger.command(["confirm"]).arg(vault.join("checkpoint"))).good();
    ledger.append("a", "went on", &[]);
    ledger.verify().good();
    // Another copy of the backup is behind now.
    let second = ledger.beside("second");
    run(quipu().arg("restore").arg(&backup).arg(&second)).good();
    run(quipu()
        .arg("--ledger")
        .arg(&second)
        .arg("confirm")
        .arg(ledger.path().join("checkpoint")))
    .exits(1)
    .tells(&["behind"]);
    // It may go on under another name.
    let third = ledger.beside("third");
    run(quipu()
        .args(["restore", "--fork", "example.org/third", "--keys"])
        .arg(vault.join("keys"))
        .arg(&backup)
        .arg(&third))
    .good();
    run(quipu().arg("--ledger").arg(&third).args(append)).good();
    run(quipu().arg("--ledger").arg(&third).arg("verify")).good();
}

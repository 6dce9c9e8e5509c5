//! What a ledger hands out is checked without it, and anything else is refused.

mod driver;

use std::{fs, path::Path};

use driver::{Appender, Ledger, Ran, quipu, run};
use serde_json::Value;

/// What `quipu check` says, in a folder where there is no ledger.
fn check(ledger: &Ledger, file: &Path, more: &[&str]) -> Ran {
    let mut check = quipu();
    check.current_dir(file.parent().unwrap()).arg("check").arg(file);
    run(check.args(["--vkey", &vkey(ledger)]).args(more))
}

fn vkey(ledger: &Ledger) -> String {
    let stats = ledger.run(["stats", "--json"]).good().json();
    stats["verifierKey"].as_str().unwrap().to_owned()
}

fn out(ledger: &Ledger, args: &[&str], name: &str) -> std::path::PathBuf {
    let file = ledger.beside(name);
    run(ledger.command(args).arg("--out").arg(&file)).good();
    file
}

/// One byte changed in several places, each refused with exit code 1, or 2 where it is not even recognised.
fn every_change_is_refused(ledger: &Ledger, file: &Path) {
    let good = fs::read(file).unwrap();
    for at in (0..good.len()).step_by(1.max(good.len() / 12)) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(file, &bad).unwrap();
        let ran = check(ledger, file, &[]);
        assert!(
            matches!(ran.code, 1 | 2),
            "byte {at} of {}: {}",
            file.display(),
            ran.out
        );
    }
    fs::write(file, good).unwrap();
    check(ledger, file, &[]).good();
}

#[test]
fn an_entry_is_proved_without_the_ledger_and_without_what_it_says() {
    let ledger = Ledger::new();
    let id = ledger.append("customer:acme-inc", "a secret of acme", &[]);
    let proof = out(&ledger, &["prove", &id], "event.tlog-proof");
    let text = fs::read_to_string(&proof).unwrap();
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nextra ") && !text.contains("secret"));
    let found = check(&ledger, &proof, &["--json"]).good().json();
    assert_eq!((&found["kind"], &found["good"]), (&"tlog-proof".into(), &true.into()));
    assert_eq!(found["envelope"]["id"], id.as_str());
    // It is about this entry and no other.
    let hash = ledger.run(["show", &id, "--json"]).good().json()["hash"].clone();
    check(&ledger, &proof, &["--leaf", hash.as_str().unwrap()]).good();
    let other = ledger.run(["show", "0", "--json"]).good().json()["hash"].clone();
    check(&ledger, &proof, &["--leaf", other.as_str().unwrap()]).exits(1);
    every_change_is_refused(&ledger, &proof);

    // A proof of somebody's who does not put the envelope in: it is handed over apart.
    let bare: String = text
        .lines()
        .filter(|line| !line.starts_with("extra "))
        .map(|line| format!("{line}\n"))
        .collect();
    let bare = ledger.file("bare.tlog-proof", bare);
    let why = check(&ledger, &bare, &[]).exits(1).out;
    assert!(why.contains("does not bring its entry"), "{why}");
    let log = fs::read_to_string(ledger.path().join("log/00000000000000000000.log")).unwrap();
    let line = log.lines().find(|line| line.contains(&id)).unwrap();
    let envelope = ledger.file("envelope", line.split('\t').next().unwrap().to_owned() + "\n");
    check(&ledger, &bare, &["--entry", &envelope.display().to_string()]).good();

    ledger
        .run(["prove", "evt_7ZZZZZZZZZZZZZZZZZZZZZZZZZ"])
        .exits(1)
        .tells(&["no event named"]);
    ledger.run(["prove", "99"]).exits(1);
    ledger.run(["prove"]).exits(2);
}

#[test]
fn one_event_is_disclosed_and_nothing_of_others() {
    let ledger = Ledger::new();
    ledger.append("customer:acme-inc", "kept to ourselves", &[]);
    let id = ledger.append("customer:acme-inc", "shown to the auditor", &["--tag", "billing"]);
    ledger.append("customer:globex", "of somebody else", &[]);
    let disclosed = out(&ledger, &["disclose", &id], "event.json");
    let text = fs::read_to_string(&disclosed).unwrap();
    assert!(text.contains("shown to the auditor"));
    for other in ["kept to ourselves", "of somebody else", "globex"] {
        assert!(!text.contains(other), "{other} is in: {text}");
    }
    let found = check(&ledger, &disclosed, &["--json"]).good().json();
    assert_eq!(found["event"]["payload"]["text"], "shown to the auditor");
    assert_eq!(found["event"]["id"], id.as_str());
    let said = check(&ledger, &disclosed, &[]).good().out;
    assert!(
        said.contains("good disclosure") && said.contains("shown to the auditor"),
        "{said}"
    );
    every_change_is_refused(&ledger, &disclosed);

    // Another ledger's key does not vouch for it.
    let other = Ledger::new();
    let why = check(&other, &disclosed, &[]).exits(1).out;
    assert!(why.contains("refused") && why.contains("not signed by"), "{why}");
    let nothing = ledger.file("nothing", "hello");
    check(&ledger, &nothing, &[])
        .exits(2)
        .tells(&["nothing that can be checked"]);
    check(&ledger, &ledger.beside("missing"), &[])
        .exits(2)
        .tells(&["cannot read"]);
}

/// A file without an end was read until there was no memory.
#[test]
fn a_file_without_an_end_is_not_read_to_it() {
    let ledger = Ledger::new();
    let id = ledger.append("a", "one", &[]);
    let proof = out(&ledger, &["prove", &id], "event.tlog-proof");
    let endless = "/dev/zero";
    for ran in [
        ledger.run(["prove", "--consistency", endless]),
        ledger.run(["verify", "--since", endless]),
        ledger.run(["confirm", endless]),
        check(&ledger, &proof, &["--entry", endless]),
        check(&ledger, &proof, &["--complete", endless]),
        run(quipu().arg("check").arg(&proof).args(["--vkeys", endless])),
    ] {
        ran.exits(2).tells(&[endless, "at most"]);
    }
    check(&ledger, Path::new(endless), &[]).exits(2);
}

#[test]
fn a_ledger_shows_that_it_only_grew() {
    let ledger = Ledger::new();
    ledger.append("a", "one", &[]);
    let kept = ledger.file("kept", fs::read(ledger.path().join("checkpoint")).unwrap());
    let kept = kept.display().to_string();
    for n in 0..20 {
        ledger.append("a", &format!("more {n}"), &[]);
    }
    let proof = out(&ledger, &["prove", "--consistency", &kept], "grown");
    let found = check(&ledger, &proof, &["--json"]).good().json();
    assert_eq!((&found["oldSize"], &found["size"]), (&2.into(), &22.into()));
    every_change_is_refused(&ledger, &proof);

    let other = Ledger::new();
    other
        .run(["prove", "--consistency", &kept])
        .exits(2)
        .tells(&["not signed by"]);
    other.run(["prove", "--consistency", "/nowhere/at/all"]).exits(2);
}

#[test]
fn an_append_gives_its_proof_with_its_receipt() {
    let ledger = Ledger::new();
    let args = ["append", "--scope", "a", "--actor", "tool:t", "--text", "x", "--prove"];
    let receipt = ledger.run(args.iter().chain(&["--json"])).good().json();
    let is_good = |ledger: &Ledger, receipt: &Value| {
        let proof = ledger.file("proof", receipt["proof"].as_str().unwrap());
        check(ledger, &proof, &["--leaf", receipt["hash"].as_str().unwrap()]).good();
    };
    is_good(&ledger, &receipt);
    let said = ledger.run(args).good().out;
    assert!(
        said.starts_with("evt_") && said.contains("\nc2sp.org/tlog-proof@v1\n"),
        "{said}"
    );
    let plain = ledger.run(&args[..7]).good();
    assert!(!plain.out.contains("tlog-proof"));
    let proof = ledger.file("proof", receipt["proof"].as_str().unwrap());
    let begins_with_a_hyphen = format!("-{}", "A".repeat(42));
    check(&ledger, &proof, &["--leaf", &begins_with_a_hyphen]).exits(1);

    // While another process writes, and through it.
    let stream = ["append", "--jsonl", "-", "--actor", "tool:t", "--scope", "b", "--prove"];
    let mut appender = Appender::spawn(&mut ledger.command(stream));
    for n in 0..3 {
        appender.send(&format!(r#"{{"payload":{{"text":"{n}"}}}}"#)).unwrap();
        is_good(&ledger, &appender.receipt().unwrap());
        is_good(&ledger, &ledger.run(args.iter().chain(&["--json"])).good().json());
    }
    assert_eq!(appender.finish(), 0);
    ledger.verify().good();
}

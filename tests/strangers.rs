//! Verifiers that are not ours accept a ledger, and refuse one that was changed.

mod driver;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use driver::{Ledger, beside, has, root, run};

/// A ledger of several scopes, with enough entries for a full tile and more.
fn ledger() -> Ledger {
    let ledger = Ledger::new();
    let draft = |n| {
        format!(
            "{{\"scope\":\"scope:{}\",\"kind\":\"memo\",\"payload\":{{\"text\":\"entry {n}\"}}}}\n",
            n % 3
        )
    };
    let file = ledger
        .file("drafts", (0..600).map(draft).collect::<String>())
        .display()
        .to_string();
    ledger.run(["append", "--actor", "tool:test", "--jsonl", &file]).good();
    ledger.append("scope:0", "the last", &[]);
    ledger
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path))
        } else {
            files.push(path)
        }
    }
    files.sort();
    files
}

/// Changes one byte in the middle of a file, does something, and changes it back.
fn with_one_byte_changed(file: &Path, at: usize, check: impl FnOnce()) {
    let good = fs::read(file).unwrap();
    let mut bad = good.clone();
    bad[at] ^= 1;
    fs::write(file, bad).unwrap();
    check();
    fs::write(file, good).unwrap();
}

#[test]
fn a_short_python_script_verifies_the_files() {
    if !has("python3", "the files of a ledger, read by a script that is not ours") {
        return;
    }
    let ledger = ledger();
    let python = || {
        let mut python = Command::new("python3");
        python.arg(root().join("tests/strangers/verify.py")).arg(ledger.path());
        run(&mut python)
    };
    python().good();
    let log = files(&ledger.path().join("log")).remove(0);
    let bytes = fs::read(&log).unwrap();
    let lines: Vec<usize> = bytes
        .iter()
        .enumerate()
        .filter(|(_, b)| **b == b'{')
        .map(|(at, _)| at)
        .collect();
    for at in [lines[0] + 5, lines[lines.len() / 2] + 5] {
        with_one_byte_changed(&log, at, || assert_ne!(python().code, 0, "byte {at} was changed"));
    }
    python().good();
}

#[test]
fn a_short_python_script_verifies_a_disclosed_event() {
    if !has("python3", "a disclosed event, read by a script that is not ours") {
        return;
    }
    let ledger = ledger();
    let id = ledger.append("scope:1", "shown to a \"third\" party: häuser", &[]);
    let file = ledger.beside("event.json");
    run(ledger.command(["disclose", &id, "--out"]).arg(&file)).good();
    let python = || {
        let mut python = Command::new("python3");
        run(python.arg(root().join("tests/strangers/verify.py")).arg(&file))
    };
    let said = python().good().out;
    assert!(said.contains(&id) && said.contains("third"), "{said}");
    let text = fs::read_to_string(&file).unwrap();
    // The signature, which it cannot check, is behind the root; nothing else tells the origin.
    let end = text.find("\u{2014} example.org").unwrap();
    let origin = text.find("\\n\\nexample.org").unwrap() + 4;
    let origin = origin..origin + "example.org/test".len();
    for at in (0..end).step_by(end / 20).filter(|at| !origin.contains(at)) {
        with_one_byte_changed(&file, at, || assert_ne!(python().code, 0, "byte {at} was changed"));
    }
    python().good();
}

#[test]
fn gos_transparency_log_code_accepts_the_tiles() {
    const UNTESTED: &str = "tiles, checkpoint and proofs, verified by Go's transparency log code";
    let Some(oracles) = beside("QUIPU_ORACLES", "oracles", UNTESTED) else {
        return;
    };
    let go = Path::new("/usr/lib/go-1.19/bin/go");
    if !go.exists() || !Path::new("/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog").exists() {
        println!("skipped, golang-1.19-go or golang-golang-x-mod-dev is missing: {UNTESTED}");
        return;
    }
    let ledger = ledger();
    let program = ledger.beside("tlogverify");
    let mut build = Command::new(go);
    build
        .env("GO111MODULE", "off")
        .env("GOPATH", "/usr/share/gocode")
        .env("GOCACHE", ledger.beside("gocache"));
    run(build
        .args(["build", "-o"])
        .arg(&program)
        .arg(oracles.join("tlogverify.go")))
    .good();

    let stats = ledger.run(["stats", "--json"]).good().json();
    let (tiles, older) = (ledger.beside("tiles"), ledger.beside("older"));
    run(ledger.command(["export", "tiles"]).arg(&older)).good();
    ledger.append("scope:1", "one more", &[]);
    run(ledger.command(["export", "tiles"]).arg(&tiles)).good();
    let verify = || {
        let mut verify = Command::new(&program);
        verify
            .arg(&tiles)
            .arg(stats["verifierKey"].as_str().unwrap())
            .arg(older.join("checkpoint"));
        run(&mut verify)
    };
    let entries = stats["entries"].as_u64().unwrap() + 1;
    let accepted = verify().good().out;
    assert!(
        accepted.contains(&format!("size={entries} ")) && accepted.contains("consistent"),
        "{accepted}"
    );

    let files = files(&tiles);
    assert!(files.len() >= 6, "a checkpoint, tiles and bundles: {files:?}");
    for file in files {
        let middle = fs::metadata(&file).unwrap().len() as usize / 2;
        // Hashes of a partial tile that a full one holds as well are not looked at.
        let unread = file.parent().unwrap().to_string_lossy().ends_with(".p") && file.with_extension("").exists();
        if !unread {
            with_one_byte_changed(&file, middle, || {
                assert_ne!(verify().code, 0, "{} was changed", file.display())
            });
        }
    }
    verify().good();
}

//! What the command is told to read may be a pipe, a device or a folder: it waits for nobody, and takes what is streamed to it.

mod driver;

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use driver::{Ledger, guest, has, run};
use serde_json::{Value, json};

const OPERATOR: [&str; 4] = ["--operator", "kim", "--reason", "none"];

/// A pipe that nobody writes to.
fn pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success(), "mkfifo {}", path.display());
}

/// Everything that a person names, with the place of the file left open.
fn named(ledger: &Ledger) -> Vec<Vec<String>> {
    let stats: Value = serde_json::from_str(&ledger.run(["stats", "--json"]).good().out).unwrap();
    let vkey = stats["verifierKey"].as_str().unwrap();
    let echo = guest("echo").display().to_string();
    let holding = ["hold", "add", "--scope", "a", "--name", "case"];
    let all = [
        &["agents", "--agents", "FILE"][..],
        &["run", "helper", "--agents", "FILE"],
        &["run", "FILE", "--actor", "agent:a", "--home", "a"],
        &["run", "--ephemeral", &echo, "--import", "FILE"],
        &["audit", "FILE"],
        &["audit", &echo, "--policy", "FILE"],
        &["audit", &echo, "--diff", "FILE"],
        &["import", "FILE"],
        &["import", "FILE", "--dry-run"],
        &["append", "--actor", "user:jana", "--jsonl", "FILE"],
        &["check", "FILE", "--vkey", vkey],
        &["check", &echo, "--vkeys", "FILE"],
        &["verify", "--since", "FILE"],
        &["prove", "--consistency", "FILE"],
        &["compact", "--scope", "a", "--rules", "FILE"],
        &["compact", "--scope", "a", "--with", "FILE"],
        &["project", "add", "a", "FILE"],
        &["keys", "passphrase", "--new-file", "FILE"],
        &[&holding[..], &OPERATOR, &["--key", "FILE"]].concat(),
    ];
    all.iter()
        .map(|args| args.iter().map(|arg| (*arg).to_owned()).collect())
        .collect()
}

/// Each is refused in no time, and the message names the file and says what it is.
#[track_caller]
fn refused(ledger: &Ledger, file: &Path, says: &str) {
    for args in named(ledger) {
        let path = file.display().to_string();
        let args: Vec<_> = args.iter().map(|arg| arg.replace("FILE", &path)).collect();
        let begin = Instant::now();
        let ran = ledger.run(&args);
        assert_eq!(ran.code, 2, "{args:?}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(&path), "{args:?}: {}", ran.err);
        assert!(ran.err.contains(says), "{args:?}: {}", ran.err);
        assert!(begin.elapsed() < Duration::from_secs(30), "{args:?} waits");
    }
}

#[test]
fn a_pipe_that_nobody_writes_to_is_waited_for_by_nobody() {
    let ledger = Ledger::new();
    let path = ledger.beside("pipe");
    pipe(&path);
    refused(&ledger, &path, "it is a pipe");
}

#[test]
fn a_folder_is_no_file() {
    let ledger = Ledger::new();
    let path = ledger.beside("folder");
    fs::create_dir(&path).unwrap();
    let sealed = ["--passphrase-file", path.to_str().unwrap(), "agents"];
    assert_eq!(ledger.run(sealed).code, 2);
    for args in named(&ledger) {
        let path = path.display().to_string();
        // An exported scope is a folder.
        if args[0] == "check" && args[1] == "FILE" {
            continue;
        }
        let args: Vec<_> = args.iter().map(|arg| arg.replace("FILE", &path)).collect();
        let ran = ledger.run(&args);
        assert_eq!(ran.code, 2, "{args:?}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains("folder"), "{args:?}: {}", ran.err);
    }
}

#[test]
fn a_pipe_in_the_place_of_a_file_of_the_ledger_is_waited_for_by_nobody() {
    let ledger = Ledger::new();
    ledger.append("a", "something", &[]);
    let segment = fs::read_dir(ledger.path().join("log"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    for (file, args) in [
        (ledger.beside("quipu.toml"), &["agents"][..]),
        (ledger.path().join("noise.toml"), &["search", "something"]),
        (ledger.path().join("quipu.json"), &["log"]),
        (ledger.path().join("keys"), &["log"]),
        (
            ledger.path().join("checkpoint"),
            &["append", "--scope", "a", "--text", "more"],
        ),
        (segment, &["verify"]),
    ] {
        let kept = fs::read(&file).ok();
        if kept.is_some() {
            fs::remove_file(&file).unwrap();
        }
        pipe(&file);
        let begin = Instant::now();
        let ran = ledger.run(args);
        assert!(ran.code == 1 || ran.code == 2, "{args:?}: {}{}", ran.out, ran.err);
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "{args:?} waits for {}",
            file.display()
        );
        fs::remove_file(&file).unwrap();
        if let Some(kept) = kept {
            fs::write(&file, kept).unwrap();
        }
    }
}

#[test]
fn what_is_streamed_is_taken() {
    let ledger = Ledger::new();
    // What was imported once is not imported again, so each has its own.
    let event = |n: usize| {
        let line = json!({"scope": "a", "kind": "memory.write", "payload": {"text": format!("came by pipe {n}")}});
        ledger.file(&format!("{n}.jsonl"), format!("{line}\n"))
    };
    let appending = ["append", "--actor", "user:jana", "--jsonl"];
    for (n, (args, file)) in [
        (&["import"][..], "/dev/stdin"),
        (&["import"], "-"),
        (&appending, "/dev/stdin"),
        (&appending, "-"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut cat = Command::new("cat")
            .arg(event(n))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        run(ledger.command(args).arg(file).stdin(cat.stdout.take().unwrap())).good();
        cat.wait().unwrap();
        assert_eq!(ledger.log(&["--scope", "a"]).len(), n + 1, "{args:?}");
    }
    if !has("bash", "what a shell's <(…) hands over") {
        return;
    }
    let by_bash = |args: &str| {
        let quipu = format!("{} --ledger {}", env!("CARGO_BIN_EXE_quipu"), ledger.path().display());
        let mut bash = Command::new("bash");
        bash.arg("-c").arg(format!("{quipu} {args}"));
        run(&mut bash).good()
    };
    // One whose writer stays on, and one that comes later.
    by_bash(&format!("import <(cat {}; sleep 0.3)", event(4).display()));
    by_bash(&format!(
        "append --actor user:jana --jsonl <(sleep 0.5; cat {})",
        event(5).display()
    ));
    assert_eq!(ledger.log(&["--scope", "a"]).len(), 6);
    // Nothing is no error, whenever its writer ended.
    for empty in ["import <(true)", "import <(sleep 0.5)", "import /dev/null"] {
        by_bash(empty);
    }
    by_bash("keys passphrase --new-file <(printf secret)");
    by_bash("log --passphrase-file <(sleep 0.2; printf secret)");
}

/// Of `make-events > pipe & quipu import pipe` either may be first.
#[test]
fn a_writer_of_a_named_pipe_may_come_a_moment_later() {
    let ledger = Ledger::new();
    let path = ledger.beside("pipe");
    pipe(&path);
    let writer = thread::spawn({
        let path = path.clone();
        move || {
            thread::sleep(Duration::from_millis(300));
            fs::write(
                path,
                "{\"scope\":\"a\",\"kind\":\"message\",\"payload\":{\"text\":\"late\"}}\n",
            )
            .unwrap();
        }
    });
    ledger.run(["import", path.to_str().unwrap()]).good();
    writer.join().unwrap();
    assert_eq!(ledger.log(&["--scope", "a"]).len(), 1);
}

/// What begins with a byte and a pause was taken for something else, and cut off after 4 MiB.
#[test]
fn a_long_export_is_checked_by_pipe_too() {
    let ledger = Ledger::new();
    let text = "x".repeat(6_000);
    let line =
        |n: usize| json!({"scope": "a", "kind": "message", "payload": {"text": format!("{n} {text}")}}).to_string();
    let lines: Vec<_> = (0..900).map(line).collect();
    let events = ledger.file("events.jsonl", lines.join("\n"));
    ledger.run(["import", events.to_str().unwrap()]).good();
    let folder = ledger.beside("exported");
    ledger.run(["export", "scope", "a", folder.to_str().unwrap()]).good();
    let export = fs::read(folder.join("scope.jsonl")).unwrap();
    assert!(export.len() > 4 << 20, "{}", export.len());
    let stats: Value = serde_json::from_str(&ledger.run(["stats", "--json"]).good().out).unwrap();
    let vkey = stats["verifierKey"].as_str().unwrap();
    let mut check = ledger.command(["check", "/dev/stdin", "--vkey", vkey]);
    let mut check = check.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = check.stdin.take().unwrap();
    input.write_all(&export[..1]).unwrap();
    thread::sleep(Duration::from_millis(300));
    input.write_all(&export[1..]).unwrap();
    drop(input);
    let said = check.wait_with_output().unwrap();
    assert_eq!(said.status.code(), Some(0), "{}", String::from_utf8_lossy(&said.stdout));
}

/// Its size is looked at before it is read.
#[test]
fn a_file_that_is_too_large_to_import_is_not_read() {
    let ledger = Ledger::new();
    let path = ledger.beside("large.jsonl");
    fs::File::create(&path).unwrap().set_len((2 << 30) + 1).unwrap();
    let ran = ledger.run(["import", path.to_str().unwrap()]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("2147483648 bytes"), "{}", ran.err);
}

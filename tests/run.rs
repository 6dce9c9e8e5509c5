//! Agents run from the command line.

mod driver;

use std::{ffi::OsStr, fs, io::Write, path::Path, process::Stdio};

use driver::{Ledger, Ran, guest, run};
use serde_json::{Value, json};

#[test]
fn the_answer_is_on_standard_output_and_the_summary_on_standard_error() {
    let ledger = Ledger::new();
    let ran = ledger.run_guest("echo", "remember this", &[]).good();
    let answer = ran.json();
    assert_eq!(answer["input"], "remember this");
    let id = answer["run"]["id"].as_str().unwrap();
    assert_eq!(ran.err, format!("run {id} appended 1 event\n"));
    let appended = ledger.log(&["--kind", "memory.write"]);
    assert_eq!(appended.len(), 1);
    assert_eq!(
        (&appended[0]["actor"], &appended[0]["scope"]),
        (&json!("agent:test"), &json!("home"))
    );
    assert_eq!(
        (&appended[0]["run"], &appended[0]["id"]),
        (&json!(id), &answer["receipt"]["id"])
    );
    ledger.verify().good();
}

#[test]
fn an_agent_sees_the_scopes_that_it_is_given() {
    let ledger = Ledger::new();
    for scope in ["given", "withheld"] {
        ledger.append(scope, &format!("said in {scope}"), &[]);
    }
    let ran = ledger
        .run_guest("echo", "", &["--read", "given", "--json"])
        .good()
        .json();
    let answer: Value = serde_json::from_str(ran["text"].as_str().unwrap()).unwrap();
    let scopes = answer["scopes"].as_array().unwrap();
    assert_eq!(
        scopes
            .iter()
            .map(|scope| scope["scope"].as_str().unwrap())
            .collect::<Vec<_>>(),
        ["home", "given"]
    );
    assert!(scopes[1].to_string().contains("said in given"));
    assert!(!answer.to_string().contains("withheld"));
    assert_eq!(ran["outcome"], "ok");
    assert_eq!(ran["appended"][0]["id"], answer["receipt"]["id"]);
}

#[test]
fn the_input_may_come_from_standard_input() {
    let ledger = Ledger::new();
    let mut command = ledger.command(["run"]);
    command
        .arg(guest("echo"))
        .args(["-", "--actor", "agent:test", "--home", "home"]);
    let mut echo = command.stdin(Stdio::piped()).spawn().unwrap();
    echo.stdin.take().unwrap().write_all("naïve\n".as_bytes()).unwrap();
    let ran = Ran::from(echo.wait_with_output().unwrap()).good();
    assert_eq!(ran.json()["input"], "naïve\n");
}

#[test]
fn a_run_that_fails_exits_with_1_and_what_it_appended_stays() {
    let ledger = Ledger::new();
    for (n, (input, said, outcome)) in [
        ("error", "the agent failed: gave up", "failed"),
        ("panic", "the agent was ended", "trapped"),
    ]
    .into_iter()
    .enumerate()
    {
        let ran = ledger.run_guest("trapper", input, &[]).exits(1);
        assert!(
            ran.out.is_empty() && ran.err.contains(said) && ran.err.contains("appended 1 event"),
            "{}",
            ran.err
        );
        assert_eq!(ledger.log(&["--kind", "memory.write"]).len(), 2 * n + 1);
        let ran = ledger.run_guest("trapper", input, &["--json"]).exits(1);
        assert_eq!(ran.json()["outcome"], outcome);
    }
    assert_eq!(ledger.log(&["--kind", "quipu.run.end"]).len(), 4);
    ledger.verify().good();
}

#[test]
fn an_agent_that_wants_more_than_memory_is_not_run() {
    let ledger = Ledger::new();
    let before = ledger.log(&[]);
    ledger
        .run_guest("admin", "", &[])
        .exits(1)
        .tells(&["quipu:memory/admin"]);
    let text = ledger.file("agent.wasm", "not WebAssembly");
    let args = ["--actor", "agent:test", "--home", "home"];
    run(ledger.command(["run"]).arg(text).args(args))
        .exits(1)
        .tells(&["not WebAssembly"]);
    assert_eq!(ledger.log(&[]), before);
}

#[test]
fn refusals_are_told_to_the_operator() {
    let ledger = Ledger::new();
    let ran = ledger.run_guest("echo", "x", &["--kind", "memo"]).exits(1);
    assert!(ran.err.contains("appended 0 events, was refused 1 call"), "{}", ran.err);
    assert!(ran.err.contains("1 × denied: "), "{}", ran.err);
    let ran = ledger.run_guest("echo", "x", &["--kind", "memo", "--json"]).exits(1);
    assert_eq!(ran.json()["refused"][0]["kind"], "denied");
    let reserved = ["--actor", "agent:test", "--home", "quipu:ledger"];
    run(ledger.command(["run"]).arg(guest("echo")).args(reserved))
        .exits(2)
        .tells(&["quipu:ledger"]);
}

#[test]
fn no_answer_steers_a_terminal() {
    let ledger = Ledger::new();
    let ran = ledger.run_guest("echo", "a\u{9b}31mb\u{7f}", &[]).good();
    assert!(ran.out.contains("31mb"));
    assert_eq!(
        ran.out.chars().find(|c| c.is_control() && *c != '\n'),
        None,
        "{:?}",
        ran.out
    );
}

/// Folders of runs of which nothing stays, in a folder of temporary files.
fn scratch_folders(temporary: &Path) -> usize {
    fs::read_dir(temporary).unwrap().count()
}

#[test]
fn an_ephemeral_run_shows_what_it_appended_and_leaves_nothing() {
    let ledger = Ledger::none_within(&std::env::temp_dir());
    let temporary = tempfile::tempdir().unwrap();
    let clerk = guest("clerk").display().to_string();
    let events = temporary.path().join("events.jsonl");
    fs::write(
        &events,
        r#"{"scope":"customer:acme","kind":"memory.write","payload":{"text":"invoices as CSV"}}"#,
    )
    .unwrap();
    let mut command = ledger.command([
        "run",
        "--ephemeral",
        &clerk,
        "which invoices",
        "--home",
        "customer:acme",
    ]);
    command.arg("--import").arg(&events).env("TMPDIR", temporary.path());
    let ran = run(&mut command).good();
    assert!(ran.out.starts_with("invoices as CSV\n"), "{}", ran.out);
    assert!(
        ran.out.contains("memory.write") && ran.out.contains("which invoices"),
        "{}",
        ran.out
    );
    assert!(!ledger.path().exists(), "the ledger of the options is not touched");
    assert_eq!(scratch_folders(temporary.path()), 1, "the file of events alone is left");

    let json = run(command.arg("--json")).good().json();
    assert_eq!(json["events"][0]["payload"]["text"], "which invoices");
    assert_eq!(scratch_folders(temporary.path()), 1);

    // However it ends.
    let spin = guest("spin").display().to_string();
    let mut command = ledger.command(["run", "--ephemeral", &spin]);
    let mut killed = command.env("TMPDIR", temporary.path()).spawn().unwrap();
    driver::wait_until("the ledger is there", || scratch_folders(temporary.path()) == 2);
    killed.kill().unwrap();
    killed.wait().unwrap();
    driver::wait_until("it is gone", || scratch_folders(temporary.path()) == 1);
}

#[test]
fn an_ephemeral_run_is_of_a_file_and_its_cleaner_removes_nothing_else() {
    let ledger = Ledger::none_within(&std::env::temp_dir());
    let ran = ledger.run(["run", "--ephemeral", "support", "hello"]).exits(2);
    assert!(ran.err.contains("file"), "{}", ran.err);
    let folder = tempfile::tempdir().unwrap();
    ledger
        .run([OsStr::new("remove-scratch"), folder.path().as_os_str()])
        .exits(2);
    assert!(folder.path().exists());
}

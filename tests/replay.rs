//! Recorded runs executed again from the command line.

mod driver;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use driver::{Appender, Ledger, Ran, governed::Governed, guest, run, wait_until};
use serde_json::{Value, json};

fn run_guest(ledger: &Ledger, name: &str, input: &str, more: &[&str]) -> Ran {
    ledger.run_guest(name, input, &[&["--json"], more].concat())
}

/// The name of a run.
fn id(ran: &Ran) -> String {
    ran.json()["run"].as_str().unwrap().to_owned()
}

fn replay(ledger: &Ledger, id: &str, more: &[&str]) -> Ran {
    ledger.run(["replay", id].iter().chain(more))
}

/// Every file of a ledger: its bytes, and when it was written.
fn files(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            all.extend(files(&path));
        } else if path.is_file() {
            let written = fs::metadata(&path).unwrap().modified().unwrap();
            all.insert(path.clone(), (fs::read(&path).unwrap(), written));
        }
    }
    all
}

#[test]
fn a_run_is_executed_again_and_nothing_is_written() {
    let ledger = Ledger::new();
    ledger.append("home", "acme-inc wants invoices by mail", &["--kind", "memory.write"]);
    let input = json!({"search": "how does acme want invoices", "say": "by mail, it says"}).to_string();
    let recalled = id(&run_guest(&ledger, "recaller", &input, &[]).good());
    let before = files(&ledger.path());
    let ran = replay(&ledger, &recalled, &[]).good();
    assert!(
        ran.out
            .starts_with(&format!("identical: run {recalled}, 5 calls and 1 draft compared")),
        "{}",
        ran.out
    );
    assert!(ran.err.is_empty(), "{}", ran.err);
    let told = replay(&ledger, &recalled, &["--json"]).good().json();
    for (member, value) in [
        ("verdict", json!("identical")),
        ("upTo", json!("end")),
        ("outcome", json!("ok")),
        ("calls", json!(5)),
        ("appends", json!(1)),
        ("actor", json!("agent:test")),
        ("home", json!("home")),
    ] {
        assert_eq!(told[member], value, "{member} of {told}");
    }
    ledger.run(["replay", "--all"]).good();
    assert_eq!(files(&ledger.path()), before, "a replay writes nothing");

    replay(&ledger, "01J9ZQ4V8T4W3E2R1M0N5B6C7D", &[])
        .exits(1)
        .tells(&["there is no run"]);
    replay(&ledger, "no-run", &[]).exits(2);
    ledger.run(["replay"]).exits(2);
    ledger.run(["replay", &recalled, "--all"]).exits(2);
}

#[test]
fn another_component_differs_and_it_is_said_where() {
    let ledger = Ledger::new();
    let wrote = id(&run_guest(&ledger, "writer", r#"{"appends":2}"#, &[]).good());
    let other = guest("flooder");
    let other = other.to_str().unwrap();
    let ran = replay(&ledger, &wrote, &["--component", other]).exits(1);
    for said in [
        "different: run",
        "call 1, append.append: draft 0 is not what was appended as evt_",
        "payload",
        "recorded: ",
        "now: ",
    ] {
        assert!(ran.out.contains(said), "{said}: {}", ran.out);
    }
    let told = replay(&ledger, &wrote, &["--component", other, "--json"])
        .exits(1)
        .json();
    assert_eq!(
        (&told["verdict"], &told["differs"], &told["call"]),
        (&json!("different"), &json!("draft"), &json!(1))
    );
    // One that is no agent, and no file.
    replay(&ledger, &wrote, &["--component", guest("compactor").to_str().unwrap()]).exits(1);
    replay(&ledger, &wrote, &["--component", "no-such-file.wasm"]).exits(2);
}

#[test]
fn a_component_that_is_not_kept_is_asked_for_and_given() {
    let ledger = Ledger::new();
    let echo = id(&run_guest(&ledger, "echo", "x", &["--no-keep-components"]).good());
    let kept = fs::read_dir(ledger.path().join("components"));
    assert_eq!(kept.map_or(0, Iterator::count), 0);
    let ran = replay(&ledger, &echo, &[]).exits(3);
    assert!(
        ran.out.starts_with("not replayed") && ran.out.contains("--component"),
        "{}",
        ran.out
    );
    replay(&ledger, &echo, &["--component", guest("echo").to_str().unwrap()]).good();
}

#[test]
fn what_was_erased_is_not_replayed_and_it_is_said_what() {
    let governed = Governed::new();
    let ledger = &governed.ledger;
    let early = ledger.append("customer", "erased before", &[]);
    governed
        .kim(&["redact", &early, "--reason", "a test", "--alone"])
        .good();
    let read = ledger.append("customer", "erased later", &[]);
    let unread = ledger.append("customer", "never read", &[]);
    let reader = id(&run_guest(ledger, "echo", "x", &["--read", "customer"]).good());
    let other = id(&run_guest(ledger, "writer", "{}", &["--read", "customer"]).good());
    // What had been erased when it ran is as it was.
    replay(ledger, &reader, &[]).good();
    governed.kim(&["redact", &read, "--reason", "a test", "--alone"]).good();
    let ran = replay(ledger, &reader, &[]).exits(3);
    assert!(ran.out.contains(&read) && ran.out.contains("erased"), "{}", ran.out);
    let told = replay(ledger, &reader, &["--json"]).exits(3).json();
    assert_eq!(
        (&told["verdict"], &told["reason"]),
        (&json!("refused"), &json!("erased"))
    );
    // A run that read none of it is the same.
    governed
        .kim(&["redact", &unread, "--reason", "a test", "--alone"])
        .good();
    replay(ledger, &other, &[]).good();
    // Its own record.
    governed.kim(&["forget-scope", "home", "--reason", "a test"]).good();
    let ran = replay(ledger, &other, &[]).exits(3);
    assert!(ran.out.contains("part of the run's record"), "{}", ran.out);
    ledger.verify().good();
}

#[test]
fn a_run_that_was_killed_is_compared_up_to_there() {
    let ledger = Ledger::new();
    let grant = ["--actor", "agent:test", "--home", "home"];
    let mut command = ledger.command(["run"]);
    let mut child = command.arg(guest("flooder")).args(grant).spawn().unwrap();
    wait_until("it has appended", || {
        !ledger.log(&["--kind", "memory.write", "--limit", "1"]).is_empty()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let started = ledger.log(&["--kind", "quipu.run"]);
    let killed = started[0]["run"].as_str().unwrap();
    let ran = replay(&ledger, killed, &[]).good();
    assert!(
        ran.out.starts_with("identical up to where the host was killed"),
        "{}",
        ran.out
    );
    let told = replay(&ledger, killed, &["--json"]).good().json();
    assert_eq!((&told["upTo"], &told["outcome"]), (&json!("killed"), &Value::Null));
}

#[test]
fn all_runs_are_listed_with_what_became_of_each() {
    let ledger = Ledger::new();
    ledger.append("home", "tea", &[]);
    let echo = id(&run_guest(&ledger, "echo", "x", &[]).good());
    let failed = id(&run_guest(&ledger, "trapper", "error", &[]).exits(1));
    let observed = id(&run_guest(&ledger, "observer", "tea", &[]).good());
    let ran = ledger.run(["replay", "--all"]).good();
    assert_eq!(ran.out.lines().count(), 4, "{}", ran.out);
    assert!(
        ran.out.ends_with("3 runs: 3 identical, 0 different, 0 not replayed\n"),
        "{}",
        ran.out
    );
    let unkept = id(&run_guest(&ledger, "hoarder", "leak", &["--no-keep-components"]).good());
    let lines = ledger.run(["replay", "--all", "--json"]).exits(3).json_lines();
    let told: Vec<_> = lines
        .iter()
        .map(|line| (line["run"].as_str().unwrap(), line["verdict"].as_str().unwrap()))
        .collect();
    let expected = [
        (&echo, "identical"),
        (&failed, "identical"),
        (&observed, "identical"),
        (&unkept, "refused"),
    ];
    assert_eq!(told, expected.map(|(run, verdict)| (run.as_str(), verdict)));
    // A component of the same name and another content is none.
    assert!(ledger.run(["replay", "--all"]).exits(3).out.contains("not replayed"));
}

#[test]
fn a_run_that_cannot_be_replayed_ends_no_others() {
    let governed = Governed::new();
    let ledger = &governed.ledger;
    let run_in = |home| {
        let args = ["x", "--actor", "agent:test", "--json", "--home", home];
        id(&run(ledger.command(["run"]).arg(guest("echo")).args(args)).good())
    };
    let (erased, kept) = (run_in("early"), run_in("late"));
    governed.kim(&["forget-scope", "early", "--reason", "a test"]).good();
    let lines = ledger.run(["replay", "--all", "--json"]).exits(3).json_lines();
    let told: Vec<_> = lines.iter().map(|line| (&line["run"], &line["verdict"])).collect();
    let expected = [(json!(erased), json!("refused")), (json!(kept), json!("identical"))];
    assert_eq!(told, expected.each_ref().map(|(run, verdict)| (run, verdict)));
}

#[test]
fn it_works_beside_a_writer_and_on_a_copy_without_one() {
    let ledger = Ledger::new();
    let echo = id(&run_guest(&ledger, "echo", "x", &[]).good());
    let mut writer = Appender::start(&ledger);
    for _ in 0..20 {
        writer.send(r#"{"payload":{"text":"meanwhile"}}"#).unwrap();
        writer.receipt().unwrap();
    }
    replay(&ledger, &echo, &[]).good();
    let during = id(&run_guest(&ledger, "writer", r#"{"appends":3}"#, &[]).good());
    writer.send(r#"{"payload":{"text":"and more"}}"#).unwrap();
    writer.receipt().unwrap();
    replay(&ledger, &during, &[]).good();
    writer.end().exits(0);

    let backup = ledger.beside("backup");
    run(ledger.command(["backup"]).arg(&backup)).good();
    let keys = backup.join("keys");
    if !keys.is_file() {
        fs::copy(ledger.path().join("keys"), &keys).unwrap();
    }
    let before = files(&backup);
    let mut command = driver::quipu();
    run(command.arg("--ledger").arg(&backup).args(["replay", "--all"])).good();
    assert_eq!(files(&backup), before);
}

#[test]
fn what_differs_steers_no_terminal() {
    let ledger = Ledger::new();
    let echo = id(&run_guest(&ledger, "echo", "a\u{9b}31m\u{1b}[2Jb", &[]).good());
    let other = guest("writer");
    let ran = replay(&ledger, &echo, &["--component", other.to_str().unwrap()]).exits(1);
    assert_eq!(
        ran.out.chars().find(|c| c.is_control() && *c != '\n'),
        None,
        "{:?}",
        ran.out
    );
}

//! Holds, retention, deletion requests and what descends from events, through the command.

mod driver;

use std::{fs, path::PathBuf};

use driver::{Ran, governed::Governed, quipu, run};
use quipu_format::{Actor, Body, Kind, RunId, Scope, Signer, limits};
use quipu_log::{Draft, OpenOptions};
use serde_json::{Value, json};

/// Asserts that the command's output has these parts.
#[track_caller]
fn says(ran: &Ran, parts: &[&str]) {
    for part in parts {
        assert!(ran.out.contains(part), "{part:?} is not in: {}", ran.out);
    }
}

#[test]
fn an_operators_key_file_has_a_limit() {
    let it = Governed::new();
    let key = fs::read_to_string(&it.key).unwrap();
    let most = usize::try_from(limits::KEY_FILE_BYTES).unwrap();
    let add = ["hold", "add", "--scope", "a", "--reason", "litigation", "--name"];
    for (bytes, name, code) in [(most + 1, "case-1", 2), (most, "case-2", 0)] {
        fs::write(&it.key, format!("{key}{}", " ".repeat(bytes - key.len()))).unwrap();
        let ran = it.kim(&[&add[..], &[name]].concat());
        assert_eq!(ran.code, code, "{}", ran.err);
        assert_eq!(ran.err.contains("no key's file"), code == 2, "{}", ran.err);
    }
    // A file that says that it has no bytes and never ends.
    let endless = run(it
        .ledger
        .command(add)
        .args(["case-3", "--operator", "kim", "--key", "/dev/zero"]));
    assert!(
        endless.code == 2 && endless.err.contains("no key's file"),
        "{}",
        endless.err
    );
}

#[test]
fn a_hold_refuses_by_name_what_it_is_over() {
    let it = Governed::new();
    let (held, free) = (it.ledger.append("a", "one", &[]), it.ledger.append("a", "two", &[]));
    it.kim(&[
        "hold",
        "add",
        "--event",
        &held,
        "--name",
        "case-17",
        "--reason",
        "litigation",
    ])
    .good();
    let listed = it.ledger.run(["hold", "list", "--json"]).good().json();
    assert_eq!(
        (&listed["id"], &listed["reason"]),
        (&json!("case-17"), &json!("litigation"))
    );
    assert_eq!(listed["over"], json!([{"ranges": [[0, 0]], "scope": "a"}]));
    // In clear there is the hold, and not why.
    let log = fs::read_to_string(it.ledger.path().join("log/00000000000000000000.log")).unwrap();
    assert!(log.contains("case-17") && !log.contains("litigation"));

    for refused in [
        it.kim(&["redact", &held, &free, "--reason", "asked for"]),
        it.kim(&["forget-scope", "a", "--reason", "asked for"]),
        it.kim(&[
            "retain",
            "--scope",
            "a",
            "--before",
            "2999-01-01",
            "--reason",
            "asked for",
        ]),
    ] {
        refused.exits(1).tells(&["case-17", "hold remove"]);
    }
    assert!(!it.erased(&held) && !it.erased(&free));
    it.kim(&["redact", &free, "--reason", "asked for"]).good();
    it.kim(&["hold", "remove", "case-17", "--reason", "settled"]).good();
    it.kim(&["redact", &held, "--reason", "asked for"]).good();
    assert!(it.erased(&held) && it.erased(&free));
    assert!(it.ledger.run(["hold", "list", "--json"]).good().out.is_empty());
    let all = it.ledger.run(["hold", "list", "--all", "--json"]).good().json();
    assert_eq!(all["released"]["operator"], "operator:kim");
    it.kim(&["hold", "remove", "case-17", "--reason", "again"]).exits(1);
}

#[test]
fn another_key_than_the_operators_does_nothing() {
    let it = Governed::new();
    it.ledger.append("a", "one", &[]);
    let hold = ["hold", "add", "--scope", "a", "--name", "h", "--reason", "r"];
    let lee = Signer::new("operator:lee", [8; 32]).unwrap();
    let key = it.ledger.file("lee.key", lee.to_text().as_bytes());
    for (name, told) in [("lee", "operator:lee"), ("kim", "holds the key of operator:lee")] {
        run(it.ledger.command(hold).args(["--operator", name, "--key"]).arg(&key))
            .exits(2)
            .tells(&[told]);
    }
    assert!(it.ledger.run(["hold", "list", "--json"]).good().out.is_empty());
}

#[test]
fn retention_keeps_the_young_and_erases_the_due() {
    let it = Governed::new();
    let ids: Vec<_> = (0..4)
        .map(|i| it.ledger.append("customer:1", &format!("said {i}"), &[]))
        .collect();
    let set = ["retention", "set", "customer:*", "--basis", "contract"];
    it.kim(&[&set[..], &["--keep-days", "30"]].concat()).good();
    let shown = it.ledger.run(["retention", "show", "--json"]).good().json();
    assert_eq!(
        (&shown["of"], &shown["keepDays"], &shown["basis"]),
        (&json!("customer:*"), &json!(30), &json!("contract"))
    );
    it.kim(&["redact", &ids[0], "--reason", "asked for"])
        .exits(1)
        .tells(&["customer:*", "30 days"]);
    it.kim(&[&set[..], &["--keep-days", "30", "--erase-after-days", "29"]].concat())
        .exits(2);
    says(
        &it.ledger.run(["retention", "run", "--dry-run"]).good(),
        &["nothing is due"],
    );

    let days = it.kim(&[&set[..], &["--keep-days", "1", "--erase-after-days", "2"]].concat());
    says(&days.good(), &["kept 1 day, erased after 2 days  "]);
    it.kim(&[&set[..], &["--erase-after-days", "0"]].concat()).good();
    it.kim(&["hold", "add", "--event", &ids[1], "--name", "case-17", "--reason", "r"])
        .good();
    let due = it.ledger.run(["retention", "run", "--dry-run", "--json"]).good().json();
    assert_eq!(due["erasures"][0]["ranges"], json!([[0, 0], [2, 3]]));
    assert_eq!(due["held"], json!([{"hold": "case-17", "ranges": [[1, 1]]}]));
    assert!(!it.erased(&ids[0]));
    it.ledger.run(["retention", "run"]).exits(2).tells(&["--operator"]);
    says(&it.kim(&["retention", "run"]).good(), &["erased", "case-17"]);
    let gone: Vec<_> = ids.iter().map(|id| it.erased(id)).collect();
    assert_eq!(gone, [true, false, true, true]);
    let head = || it.ledger.run(["stats", "--json"]).good().json()["entries"].clone();
    let before = head();
    says(&it.kim(&["retention", "run"]).good(), &["case-17"]);
    assert_eq!(head(), before, "a run that has nothing to erase appended");
    it.kim(&["retention", "remove", "customer:*", "--reason", "r"]).good();
    says(
        &it.ledger.run(["retention", "run", "--dry-run"]).good(),
        &["nothing is due"],
    );
}

#[test]
fn a_request_ends_in_a_report_that_anybody_checks() {
    let it = Governed::new();
    for i in 0..3 {
        it.ledger.append("customer:4711", &format!("said {i}"), &[]);
    }
    let kept = it.ledger.append("team:support", "said elsewhere", &[]);
    let open = [
        "request",
        "open",
        "dsr-1",
        "--subject",
        "person:4711",
        "--scope",
        "customer:4711",
    ];
    it.kim(&[&open[..], &["--scope", "team:support", "--deadline", "2020-01-01"]].concat())
        .good();
    it.kim(&[
        "hold",
        "add",
        "--event",
        &kept,
        "--name",
        "case-17",
        "--reason",
        "litigation",
    ])
    .good();
    says(&it.ledger.run(["request", "list"]).good(), &["dsr-1", "overdue"]);
    let erase = ["forget-scope", "customer:4711", "--reason", "asked for", "--request"];
    it.kim(&[&erase[..], &["dsr-2"]].concat()).exits(1).tells(&["dsr-2"]);
    it.kim(&[&erase[..], &["dsr-1"]].concat()).good();
    // Nothing is left, and a name that is none is no less wrong.
    says(
        &it.kim(&[&erase[..], &["dsr-1"]].concat()).good(),
        &["nothing was left"],
    );
    it.kim(&[&erase[..], &["dsr-2"]].concat()).exits(1).tells(&["dsr-2"]);
    it.kim(&["request", "close", "dsr-1"]).good();
    assert!(it.ledger.run(["request", "list", "--json"]).good().out.is_empty());
    let closed = it.ledger.run(["request", "list", "--all", "--json"]).good().json();
    assert_eq!(
        (&closed["outcome"], &closed["overdue"]),
        (&json!("completed"), &json!(false))
    );

    let note = it.ledger.run(["request", "report", "dsr-1"]).good().out;
    let report: Value = serde_json::from_str(note.lines().nth(2).unwrap()).unwrap();
    assert_eq!(report["entries"], 3);
    assert_eq!(report["erased"][0]["ranges"], json!([[0, 2]]));
    assert_eq!(report["held"][0]["reason"], "litigation");
    assert_eq!(report["scopes"][0]["open"], 1);
    assert!(!note.contains("said"));
    let file = it.ledger.file("report", &note);
    let vkey = it.verifier_key();
    let check = |file: &PathBuf| run(quipu().arg("check").arg(file).args(["--vkey", &vkey, "--json"]));
    let found = check(&file).good().json();
    assert_eq!(
        (&found["kind"], &found["report"]),
        (&json!("completion report"), &report)
    );
    let text = it.ledger.run(["request", "report", "dsr-1", "--format", "text"]).good();
    says(
        &text,
        &[
            "person:4711",
            "Erased: 3 entries",
            "case-17",
            "litigation",
            "quipu check",
        ],
    );
    for at in [20, note.len() / 2, note.len() - 10] {
        let mut changed = note.clone().into_bytes();
        changed[at] ^= 1;
        check(&it.ledger.file("changed", changed)).exits(1);
    }
    it.ledger.run(["request", "report", "dsr-3"]).exits(1).tells(&["dsr-3"]);
}

#[test]
fn what_is_not_there_is_answered_by_no() {
    let it = Governed::new();
    it.ledger.append("a", "one", &[]);
    let nobody = "evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D";
    for what in [
        &["hold", "remove", "case-9", "--reason", "r"][..],
        &["hold", "add", "--name", "case-9", "--event", nobody, "--reason", "r"],
        &["retention", "remove", "customer:*", "--reason", "r"],
        &["request", "close", "dsr-9"],
        &["redact", nobody, "--reason", "r"],
        &["forget-scope", "b", "--reason", "r"],
        &["retain", "--scope", "b", "--before", "2999-01-01", "--reason", "r"],
    ] {
        it.kim(what).exits(1).tells(&["there"]);
    }
}

/// What was erased before a hold is not kept by it, and a report does not say so.
#[test]
fn a_hold_over_what_is_erased_keeps_nothing_and_says_so() {
    let it = Governed::new();
    let (gone, there) = (it.ledger.append("a", "one", &[]), it.ledger.append("a", "two", &[]));
    let open = ["request", "open", "dsr-1", "--subject", "person:1", "--scope", "a"];
    it.kim(&[&open[..], &["--deadline", "2999-01-01"]].concat()).good();
    it.kim(&["redact", &gone, "--reason", "asked for"]).good();
    let hold = ["hold", "add", "--reason", "litigation", "--name"];
    let warned = it.kim(&[&hold[..], &["case-1", "--event", &gone]].concat()).good();
    assert!(warned.err.contains("is erased already"), "{}", warned.err);
    let two = ["case-2", "--event", &gone, "--event", &there];
    it.kim(&[&hold[..], &two].concat()).good();
    let report = it.ledger.run(["request", "report", "dsr-1"]).good().out;
    let report: Value = serde_json::from_str(report.lines().nth(2).unwrap()).unwrap();
    let held = report["held"].as_array().unwrap();
    assert_eq!(held.len(), 1, "{report}");
    assert_eq!(
        (&held[0]["hold"], &held[0]["ranges"]),
        (&json!("case-2"), &json!([[1, 1]]))
    );
}

/// The ids that a command listed as JSON lines.
fn listed(ran: &Ran) -> Vec<(String, String)> {
    let lines = ran.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    lines.map(|line| (text(&line["id"]), text(&line["because"]))).collect()
}

#[test]
fn what_descends_is_listed_and_then_redacted_too() {
    let it = Governed::new();
    let root = it.ledger.append("home", "our door code is 4711", &[]);
    let rests = it.ledger.append("other", "there is a door", &["--evidence", &root]);
    let apart = it.ledger.append("other", "nothing of this", &[]);
    it.run_guest("echo", "what is there?", "home").good();
    it.run_guest("writer", "{}", "home").good();
    let home = it.ledger.log(&["--scope", "home"]);
    let of_run = |kind: &str, n: usize| {
        let mut all = home.iter().filter(|event| event["kind"] == kind);
        all.nth(n).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let (wrote, end) = (of_run("memory.write", 1), of_run("quipu.run.end", 0));

    let redact = ["redact", &root, "--reason", "asked for", "--json"];
    let stopped = it.kim(&redact).exits(1);
    let found = listed(&stopped);
    assert!(stopped.err.contains("--cascade"), "{}", stopped.err);
    assert!(found.contains(&(rests.clone(), "evidence".into())), "{found:?}");
    assert!(found.contains(&(wrote.clone(), "read".into())), "{found:?}");
    assert!(found.contains(&(end.clone(), "read".into())), "{found:?}");
    // Not what nobody derived, nor what a run wrote that read nothing.
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(!it.erased(&root) && !it.erased(&rests));

    it.kim(&[&redact[..], &["--cascade"]].concat()).good();
    for id in [&root, &rests, &wrote, &end] {
        assert!(it.erased(id), "{id}");
    }
    assert!(!it.erased(&apart) && !it.erased(&of_run("memory.write", 2)));
    it.ledger.verify().good();
}

#[test]
fn alone_leaves_what_descends() {
    let it = Governed::new();
    let root = it.ledger.append("home", "our door code is 4711", &[]);
    let rests = it.ledger.append("home", "there is a door", &["--supersedes", &root]);
    it.kim(&["redact", &root, "--reason", "asked for", "--alone"]).good();
    assert!(it.erased(&root) && !it.erased(&rests));
    // What is erased leads on to what rests on it.
    let far = it.ledger.append("home", "a door it is", &["--evidence", &rests]);
    it.kim(&["redact", &rests, "--reason", "asked for", "--alone"]).good();
    let found = listed(&it.kim(&["redact", &root, "--reason", "asked for", "--json"]).exits(1));
    assert_eq!(found, [(far, "evidence".to_owned())]);
}

/// It was killed, or an earlier release recorded it.
#[test]
fn a_run_without_a_record_counts_as_having_read_what_it_might() {
    let it = Governed::new();
    let granted = it.ledger.append("home", "granted", &[]);
    let withheld = it.ledger.append("other", "withheld", &[]);
    let open = quipu_log::Ledger::open(&it.ledger.path(), OpenOptions::default()).unwrap();
    let run: RunId = "01J9ZQ4V8T4W3E2R1M0N5B6C7D".parse().unwrap();
    let append = |kind: &str, sys: Option<Value>| {
        let body = Body::new(None, r#"{"text":"by a run"}"#).unwrap();
        let (scope, actor) = (Scope::new("home").unwrap(), Actor::new("agent:test").unwrap());
        let mut draft = Draft::new(scope, actor, Kind::new(kind).unwrap(), body);
        (draft.run, draft.sys) = (Some(run), sys);
        open.append_blocking(draft).unwrap().id.to_string()
    };
    let head = open.reader().head();
    append(
        "quipu.run",
        Some(json!({"run": {"head": head, "grant": {"home": "home", "read": []}}})),
    );
    let wrote = append("memory.write", None);
    open.close().unwrap();
    let later = it.ledger.append("home", "past its head", &[]);

    let redact = |id: &str| it.kim(&["redact", id, "--reason", "asked for", "--json"]);
    assert_eq!(listed(&redact(&granted).exits(1)), [(wrote, "mayHaveRead".to_owned())]);
    redact(&withheld).good();
    redact(&later).good();
}

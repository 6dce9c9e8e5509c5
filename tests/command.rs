// Long because each habit of the command as a whole is a test of its own.

//! The command as a user meets it: help, exit codes, output.

mod driver;

use std::{fs, process::Command};

use driver::{Ledger, has, quipu, run};

const COMMANDS: [&str; 51] = [
    "init",
    "import",
    "append",
    "run",
    "replay",
    "agents",
    "agent",
    "log",
    "show",
    "search",
    "facts",
    "summary",
    "compact",
    "context",
    "why",
    "impact",
    "blame",
    "history",
    "diff",
    "shown",
    "retract",
    "quarantine",
    "project",
    "verify",
    "witness",
    "prove",
    "disclose",
    "check",
    "audit",
    "new",
    "recover",
    "seal",
    "stats",
    "rebuild",
    "key",
    "export",
    "backup",
    "restore",
    "confirm",
    "archive",
    "redact",
    "retain",
    "forget-scope",
    "operator",
    "keys",
    "hold",
    "retention",
    "quota",
    "request",
    "doctor",
    "completions",
];

#[test]
fn every_command_is_listed_and_its_help_shows_examples() {
    let help = run(quipu().arg("--help")).good().out;
    let listed = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty());
    // A long description goes on in lines that are set in further.
    let listed = listed.filter(|line| !line.starts_with("   "));
    let listed: Vec<_> = listed.filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(listed, COMMANDS);
    for command in COMMANDS {
        let help = run(quipu().args([command, "--help"])).good().out;
        assert!(help.contains("Examples:\n  "), "{command} has no examples");
    }
    assert!(
        run(quipu().args(["export", "tiles", "--help"]))
            .good()
            .out
            .contains("Examples:\n  ")
    );
}

#[test]
fn init_makes_a_ledger_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b");
    let ran = run(quipu().arg("init").arg(&path).args(["--origin", "example.org/kim"])).good();
    assert!(
        ran.out.contains("example.org/kim+"),
        "the verifier key is printed: {}",
        ran.out
    );
    run(quipu().arg("init").arg(&path)).exits(2).tells(&["ledger"]);
    run(quipu().arg("verify").env("QUIPU_LEDGER", &path)).good();
    run(quipu()
        .args(["init", "--origin", "no spaces"])
        .arg(folder.path().join("c")))
    .exits(2)
    .tells(&["origin"]);
}

#[test]
fn a_missing_ledger_is_never_made_by_accident() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("typo");
    let event = "evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D";
    for args in [
        &["append", "--scope", "a", "--actor", "a", "--text", "x"][..],
        &["log"],
        &["show", event],
        &["search", "x"],
        &["why", event],
        &["verify"],
        &["stats"],
        &["export", "tiles", "t"],
        &["backup", "b"],
        &["confirm", "Cargo.toml"],
        &["archive", "--before", "9", "--to", "t"],
    ] {
        run(quipu().arg("--ledger").arg(&path).args(args))
            .exits(2)
            .tells(&["typo"]);
        assert!(!path.exists(), "{args:?} made a folder");
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    let ledger = Ledger::new();
    for args in [
        &["frobnicate"][..],
        &["append", "--actor", "a", "--text", "x"],
        &["append", "--scope", "a", "--actor", "a"],
        &["append", "--scope", "a", "--actor", "kim@example.org", "--text", "x"],
        &["append", "--scope", "a", "--actor", "a", "--payload", "[1]"],
        &[
            "append",
            "--scope",
            "a",
            "--actor",
            "a",
            "--text",
            "x",
            "--confidence",
            "1.5",
        ],
        &["append", "--scope", "quipu:ledger", "--actor", "a", "--text", "x"],
        &[
            "append",
            "--scope",
            "a",
            "--actor",
            "a",
            "--kind",
            "quipu.genesis",
            "--text",
            "x",
        ],
        &[
            "append",
            "--scope",
            "a",
            "--actor",
            "a",
            "--text",
            "x",
            "--evidence",
            "evt_nonsense",
        ],
        &["show", "evt_nonsense"],
        &["log", "--since", "yesterday"],
        &["log", "--limit", "1", "--last", "1"],
        &["import", "no-such-file.jsonl"],
        &["run", "no-such-agent.wasm", "--actor", "a", "--home", "a"],
    ] {
        let ran = ledger.run(args).exits(2);
        assert!(ran.err.starts_with("error: "), "{args:?}: {}", ran.err);
    }
    assert_eq!(ledger.log(&["--scope", "a"]).len(), 0);
}

#[test]
fn an_event_is_appended_and_found_again_in_every_way() {
    let ledger = Ledger::new();
    let source = [
        "--source-channel",
        "telegram",
        "--source-conversation",
        "c1",
        "--source-message",
        "m1",
    ];
    let said = ledger.append("customer:acme-inc", "Please send PDF invoices", &source);
    let learned = ledger.append(
        "customer:acme-inc",
        "Prefers PDF invoices",
        &[
            "--evidence",
            &said,
            "--tag",
            "billing",
            "--confidence",
            "0.8",
            "--ttl-days",
            "90",
            "--kind",
            "decision",
        ],
    );

    let shown = ledger.run(["show", &learned, "--json"]).good().json();
    assert_eq!(shown["id"], *learned);
    assert_eq!(shown["actor"], "operator:kim");
    assert_eq!(shown["kind"], "decision");
    assert_eq!(shown["evidence"][0], *said);
    let payload = r#"{"text":"Prefers PDF invoices","confidence":0.8,"ttlDays":90,"tags":["billing"]}"#;
    assert_eq!(
        shown["payload"],
        serde_json::from_str::<serde_json::Value>(payload).unwrap()
    );
    let by_position = ledger.run(["show", &shown["seq"].to_string(), "--json"]).good();
    assert_eq!(by_position.json(), shown);
    let shown = ledger.run(["show", &said]).good().out;
    for part in ["telegram", "c1", "m1", "Please send PDF invoices", &said] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }

    let found = ledger
        .run(["search", "invoices", "--tag", "billing", "--json"])
        .good()
        .json_lines();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["event"]["id"], *learned);
    let narrowed = ["search", "invoices", "--scope", "customer:other"];
    ledger.run(narrowed).exits(1).tells(&["nothing found"]);

    let tree = ledger.run(["why", &learned]).good().out;
    let lines: Vec<_> = tree.lines().collect();
    assert!(
        lines[0].starts_with(&learned) && lines[0].contains("Prefers PDF invoices"),
        "{tree}"
    );
    assert!(
        lines[1].starts_with(&format!("└─ {said}")) && lines[1].contains("Please send PDF"),
        "{tree}"
    );
    let trail = ledger.run(["why", &learned, "--json"]).good().json();
    assert_eq!(trail["links"][0]["relation"], "evidence");
    assert_eq!(trail["links"][0]["earlier"], *said);
    assert_eq!(trail["complete"], true);

    let stats = ledger.run(["stats", "--json"]).good().json();
    assert_eq!(stats["entries"], ledger.log(&[]).len());
    ledger.verify().good();
}

#[test]
fn what_is_not_there_exits_with_1() {
    let ledger = Ledger::new();
    let unknown = "evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D";
    ledger.run(["show", unknown]).exits(1).tells(&[unknown]);
    ledger.run(["show", "4711"]).exits(1).tells(&["4711"]);
    ledger.run(["why", unknown]).exits(1).tells(&[unknown]);
    ledger.run(["search", "nothing"]).exits(1).tells(&["nothing found"]);
}

#[test]
fn a_key_appends_once() {
    let ledger = Ledger::new();
    let first = ledger.append("a", "once", &["--key", "k"]);
    assert_eq!(ledger.append("a", "once", &["--key", "k"]), first);
    let other = [
        "append",
        "--scope",
        "a",
        "--actor",
        "operator:kim",
        "--text",
        "other",
        "--key",
        "k",
    ];
    ledger.run(other).exits(1).tells(&["key"]);
    assert_eq!(ledger.log(&["--scope", "a"]).len(), 1);
}

#[test]
fn a_stream_stops_at_the_first_bad_draft_and_names_it() {
    let ledger = Ledger::new();
    let drafts = "{\"payload\":{\"n\":1}}\r\n\n{\"payload\":{\"n\":2}}\n{\"payload\":7}\n{\"payload\":{\"n\":3}}\n";
    let file = ledger.file("drafts", drafts).display().to_string();
    let stream = ["append", "--actor", "a", "--scope", "a", "--jsonl", &file];
    let ran = ledger.run(stream).exits(2).tells(&["line 4", "not a JSON object"]);
    let receipts = ran.json_lines();
    assert_eq!(receipts.len(), 2);
    let events = ledger.log(&["--scope", "a"]);
    assert_eq!(events.len(), 2);
    for (receipt, event) in receipts.iter().zip(&events) {
        for member in ["seq", "id", "ts", "hash"] {
            assert_eq!(receipt[member], event[member]);
        }
    }
    for (draft, said) in [
        (r#"{"payload":{},"actor":"agent:forged"}"#, "unknown field `actor`"),
        (r#"{"payload":{},"scope":"quipu:ledger"}"#, "the ledger's own"),
        (
            r#"{"payload":{},"evidence":["evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D"]}"#,
            "line 1",
        ),
        ("{", "not a draft"),
        (
            &format!(r#"{{"payload":{{"text":"{}"}}}}"#, "x".repeat(1 << 20)),
            "1048576",
        ),
        (&"x".repeat(2 << 20), "longer than"),
    ] {
        let file = ledger.file("drafts", draft).display().to_string();
        let stream = ["append", "--actor", "a", "--scope", "a", "--jsonl", &file];
        ledger.run(stream).exits(2).tells(&[said]);
    }
    assert_eq!(ledger.log(&["--scope", "a"]).len(), 2);
}

#[test]
fn verify_names_the_bad_place_and_exits_with_1() {
    let ledger = Ledger::new();
    ledger.append("a", "first", &[]);
    ledger.append("a", "second", &[]);
    ledger.verify().good();
    let log = fs::read_dir(ledger.path().join("log"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut bytes = fs::read(&log).unwrap();
    let at = bytes.iter().position(|&byte| byte == b'"').unwrap();
    bytes[at] ^= 1;
    fs::write(&log, &bytes).unwrap();
    let ran = ledger.verify().exits(1);
    let name = log.file_name().unwrap().to_str().unwrap();
    assert!(
        ran.out.contains("verify failed") && ran.out.contains(name),
        "{}",
        ran.out
    );
    let verdict = ledger.run(["verify", "--json"]).exits(1).json();
    assert!(verdict["fault"]["file"].as_str().unwrap().ends_with(name));
    assert!(verdict["fault"]["offset"].is_u64());
}

#[test]
fn why_prints_each_event_once_and_says_what_was_replaced() {
    let ledger = Ledger::new();
    let root = ledger.append("a", "root", &[]);
    let left = ledger.append("a", "left", &["--evidence", &root]);
    let right = ledger.append("a", "right", &["--evidence", &root, "--supersedes", &left]);
    let top = ledger.append("a", "top", &["--evidence", &left, "--evidence", &right]);
    let tree = ledger.run(["why", &top]).good().out;
    let lines: Vec<_> = tree
        .lines()
        .map(|line| line.split("  2").next().unwrap().to_owned())
        .collect();
    let expected = [
        top,
        format!("├─ {left}"),
        format!("│  └─ {root}"),
        format!("└─ {right}"),
        format!("   ├─ {root}  as above"),
        format!("   └─ replaces {left}  as above"),
    ];
    assert_eq!(lines, expected, "{tree}");
}

#[test]
fn recover_says_what_an_open_would_do_and_does_it() {
    let ledger = Ledger::new();
    let segment = ledger.path().join("log/00000000000000000000.log");
    let mut bytes = std::fs::read(&segment).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != b'\n').unwrap() + 2;
    bytes.truncate(end);
    bytes.extend_from_slice(b"{\"v\":1,\"s");
    std::fs::write(&segment, &bytes).unwrap();
    let plan = ledger.run(["recover", "--dry-run", "--json"]).good().json();
    assert_eq!((plan["row"].as_str(), plan["entries"].as_u64()), (Some("d"), Some(1)));
    assert_eq!(std::fs::read(&segment).unwrap(), bytes, "a dry run changes nothing");
    let said = ledger.run(["recover"]).good().out;
    assert!(said.contains("row d: a commit that a crash cut off"), "{said}");
    let plan = ledger.run(["recover", "--dry-run", "--json"]).good().json();
    assert_eq!(plan["row"], "e");
}

#[test]
fn shells_are_told_of_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(quipu().args(["completions", shell])).good().out;
        for command in COMMANDS {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
    let bash = run(quipu().args(["completions", "bash"])).good().out;
    if has("bash", "what bash makes of it") {
        let script = format!(
            "{bash}\nCOMP_WORDS=(quipu retr); COMP_CWORD=1; _quipu quipu retr quipu; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        // It is longer than an argument may be.
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("completions");
        fs::write(&file, script).unwrap();
        let ran = run(Command::new("bash").arg("--norc").arg(file)).good();
        assert_eq!(ran.out, "retract\n");
    }
    run(quipu().args(["completions", "cmd"])).exits(2);
}

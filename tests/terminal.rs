//! What reaches a terminal, and what becomes of output that nobody reads.

mod driver;

use std::process::{Command, Stdio};

use driver::{Ledger, Ran, has, run};

/// A text that clears the screen, sets the title, colours, reverses and overwrites, if a terminal heeds it.
const HOSTILE: &str = "safe\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{202e}\r\u{7f}end";

#[test]
fn no_payload_steers_a_terminal() {
    let ledger = Ledger::new();
    let id = ledger.append("a", HOSTILE, &["--tag", "\u{1b}[1m", "--source-channel", "\u{9b}2J"]);
    let later = ledger.append("a", "later", &["--evidence", &id]);
    let steers = |c: &char| (c.is_control() && *c != '\n') || *c == '\u{202e}';
    for args in [
        &["log"][..],
        &["log", "--json"],
        &["show", &id],
        &["show", &id, "--json"],
        &["search", "end"],
        &["search", "end", "--json"],
        &["why", &later],
        &["why", &later, "--json"],
    ] {
        let ran = ledger.run(args).good();
        assert!(ran.out.contains("safe"), "{args:?}: {}", ran.out);
        assert_eq!(ran.out.chars().find(steers), None, "{args:?}: {}", ran.out);
    }
    assert_eq!(
        ledger.log(&["--last", "2"])[0]["payload"]["text"],
        HOSTILE,
        "as JSON it means the same"
    );
    let hostile = ledger.file("bad.jsonl", format!("{{\"id\":\"{}\"}}", "\u{9b}31m"));
    let ran = ledger.import(&hostile, &[]).exits(2);
    assert_eq!(ran.err.chars().find(steers), None, "{}", ran.err);
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let ledger = Ledger::new();
    ledger.append("a", HOSTILE, &[]);
    if !has("script", "colours on a terminal") {
        return;
    }
    let on_terminal = |no_color: bool| {
        let shell = format!(
            "{} --ledger {} log --last 1",
            env!("CARGO_BIN_EXE_quipu"),
            ledger.path().display()
        );
        let mut script = Command::new("script");
        script
            .args(["-qec", &shell, "/dev/null"])
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR");
        if no_color {
            script.env("NO_COLOR", "1");
        }
        run(script.stdin(Stdio::null())).good().out
    };
    let coloured = on_terminal(false);
    assert!(coloured.contains("\u{1b}["), "{coloured:?}");
    for escape in coloured.split('\u{1b}').skip(1) {
        let end = escape.find(|c: char| !"[;0123456789".contains(c)).unwrap();
        assert!(escape[end..].starts_with('m'), "other than a colour: {escape:?}");
    }
    assert!(!on_terminal(true).contains('\u{1b}'));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let ledger = Ledger::new();
    let drafts = format!("{{\"payload\":{{\"text\":\"{}\"}}}}\n", "x".repeat(1000)).repeat(500);
    let file = ledger.file("drafts", drafts).display().to_string();
    ledger
        .run(["append", "--actor", "a", "--scope", "a", "--jsonl", &file])
        .good();
    let mut log = ledger.command(["log", "--json"]).spawn().unwrap();
    drop(log.stdout.take());
    let ran = Ran::from(log.wait_with_output().unwrap()).good();
    assert_eq!(ran.err, "");
}

//! Arguments of the command that are hostile.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use crate::{
    attack::{endured, plain, refused},
    driver::{Ledger, guest, quipu, run},
};

const APPEND: [&str; 3] = ["append", "--text", "x"];

fn append(ledger: &Ledger, scope: &str, actor: &str, more: &[&str]) -> String {
    refused(
        ledger
            .command(APPEND)
            .args(["--scope", scope, "--actor", actor])
            .args(more),
    )
}

pub(crate) fn names_that_steer_a_terminal(ledger: &Ledger) {
    for name in ["\u{1b}[2J", "a\nb", "a\rb", "\u{202e}gpj", "a\tb", "a\u{9b}31m"] {
        append(ledger, name, "user:ann", &[]);
        append(ledger, "home", name, &[]);
        append(ledger, "home", "user:ann", &["--kind", name]);
    }
}

pub(crate) fn names_of_a_hundred_thousand_bytes(ledger: &Ledger) {
    let long = "a".repeat(100_000);
    append(ledger, &long, "user:ann", &[]);
    append(ledger, "home", &long, &[]);
    append(ledger, "home", "user:ann", &["--kind", &long]);
    append(ledger, "home", "user:ann", &["--key", &long]);
}

pub(crate) fn names_of_the_host(ledger: &Ledger) {
    append(ledger, "quipu:ledger", "user:ann", &[]);
    append(ledger, "home", "host:quipu", &[]);
    append(ledger, "home", "user:ann", &["--kind", "quipu.erase"]);
    append(ledger, "home", "user:ann", &["--kind", "quipu.genesis"]);
}

pub(crate) fn names_that_are_paths(ledger: &Ledger) {
    for name in ["../../etc/passwd", "..", ".", "/etc/passwd", "a/../b", ""] {
        // Some are good names; none is ever taken for a path.
        let ran = run(ledger.command(APPEND).args(["--actor", "user:ann", "--scope", name]));
        assert!(ran.code == 0 || ran.code == 2, "{}", ran.err);
    }
    assert!(!ledger.beside("etc").exists());
}

pub(crate) fn arguments_that_are_no_text(ledger: &Ledger) {
    let bytes = OsStr::from_bytes(b"\xff\xfe\x80");
    refused(
        ledger
            .command(["append", "--text"])
            .arg(bytes)
            .args(["--scope", "home", "--actor", "a"]),
    );
    refused(
        ledger
            .command(["append", "--text", "x", "--actor", "a", "--scope"])
            .arg(bytes),
    );
    refused(ledger.command(["audit"]).arg(bytes));
    refused(quipu().arg("--ledger").arg(bytes).arg("log"));
    refused(quipu().arg(bytes));
}

pub(crate) fn numbers_past_all_bounds(ledger: &Ledger) {
    for number in ["-1", "18446744073709551616", "1e9", "0x10", "NaN", "٣", ""] {
        refused(&mut ledger.command(["log", "--limit", number]));
        refused(&mut ledger.command(["search", "x", "--as-of", number]));
    }
}

pub(crate) fn confidence_of_no_number(ledger: &Ledger) {
    for number in ["NaN", "inf", "-0.1", "1.0000001", "1e999"] {
        append(ledger, "home", "user:ann", &["--confidence", number]);
    }
}

pub(crate) fn payloads_of_no_form(ledger: &Ledger) {
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    for payload in ["", "[]", "{", "{\"a\":1,\"a\":2}", "\u{feff}{}", &deep] {
        refused(&mut ledger.command(["append", "--scope", "home", "--actor", "a", "--payload", payload]));
    }
}

pub(crate) fn questions_that_explode(ledger: &Ledger) {
    for text in ["(a+)+$", "'; DROP TABLE entry; --", "\"", "NEAR(", "*", "\u{1b}[2J"] {
        endured(
            ledger
                .command(["search", "--json"])
                .arg(format!("{text} {}", "a".repeat(60_000))),
        );
    }
}

pub(crate) fn ids_that_are_something_else(ledger: &Ledger) {
    for id in [
        "../keys",
        "evt_",
        "evt_8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
        "evt_7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
        "\u{1b}[2J",
        "-",
    ] {
        for command in ["show", "why", "impact", "history"] {
            refused(&mut ledger.command([command, "--", id]));
        }
    }
}

pub(crate) fn grants_of_what_is_the_hosts(ledger: &Ledger) {
    let run_with = |args: &[&str]| refused(ledger.command(["run"]).arg(guest("echo")).arg("x").args(args));
    run_with(&["--actor", "host:quipu", "--home", "home"]);
    run_with(&["--actor", "agent:test", "--home", "quipu:ledger"]);
    run_with(&["--actor", "agent:test", "--home", "home", "--read", "quipu:ledger"]);
    run_with(&["--actor", "agent:test", "--home", "home", "--append", "quipu:other"]);
    run_with(&["--actor", "agent:test", "--home", "home", "--kind", "quipu.run"]);
}

pub(crate) fn an_input_that_steers_a_terminal(ledger: &Ledger) {
    let input = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}\r";
    let grant = ["--actor", "agent:test", "--home", "home"];
    let ran = run(ledger.command(["run"]).arg(guest("echo")).arg(input).args(grant)).good();
    plain(&ran.out);
    plain(&ran.err);
}

pub(crate) fn texts_that_steer_a_terminal(ledger: &Ledger) {
    let text = "red\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}\u{2066}\rdoor\u{8}\n{\"seq\":0}";
    let id = ledger.append("home", text, &[]);
    for args in [
        &["log"][..],
        &["show", &id],
        &["search", "red door"],
        &["facts"],
        &["why", &id],
        &["impact", &id],
        &["context", "red door", "--scope", "home"],
        &["blame", "red door"],
        &["summary", "home"],
        &["history", &id],
    ] {
        let ran = run(&mut ledger.command(args));
        assert!(!ran.err.contains("panicked"), "{}", ran.err);
        plain(&ran.out);
        plain(&ran.err);
    }
}

pub(crate) fn an_origin_of_two_lines(ledger: &Ledger) {
    for (n, origin) in ["a\nb", "", "a b", "\u{1b}[2J", &"o".repeat(300), "a+b"]
        .into_iter()
        .enumerate()
    {
        let path = ledger.beside(&format!("other {n}"));
        refused(quipu().arg("init").arg(&path).args(["--origin", origin]));
        assert!(!path.join("log").exists());
    }
}

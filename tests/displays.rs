//! What every command shows: no text of a memory steers whoever looks, and nothing tells of this machine.

mod driver;

use std::{fs, path::Path, process::Command};

use driver::{Ledger, Ran, governed::Governed, guest, quipu, run};

/// One of each kind that steers a terminal, a reader or a log: escapes of 7 and 8 bits, bells, returns, new lines, and all
/// that reorders text.
const HOSTILE: &str = "prefers safe\u{1b}[2J\u{1b}]0;t\u{7}\u{9b}31m\u{90}q\r\n\nevt_forged  tool:admin\u{8}\u{7f}\u{61c}\
                       \u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\
                       \u{2069}end.";

/// The first character that steers; lines stay lines, and tabs tabs.
fn steers(text: &str) -> Option<char> {
    text.chars().find(|c| {
        (c.is_control() && !matches!(c, '\n' | '\t'))
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    })
}

/// What shows memory or lists something, each with `--json` too where it has that. `ID` is an event's, `LATER` one's that
/// rests on it.
const SHOWS: [&[&str]; 24] = [
    &["log"],
    &["show", "ID"],
    &["search", "safe"],
    &["facts", "--scope", "acme"],
    &["summary", "--scope", "acme"],
    &["context", "safe", "--scope", "acme"],
    &["why", "LATER"],
    &["impact", "ID"],
    &["blame", "safe", "--scope", "acme"],
    &["history", "ID"],
    &["diff", "--scope", "acme", "--from", "0"],
    &["project", "list"],
    &["verify"],
    &["prove", "ID"],
    &["stats"],
    &["key", "list"],
    &["keys"],
    &["hold", "list"],
    &["retention", "show"],
    &["quota", "show"],
    &["request", "list"],
    &["operator", "list"],
    &["recover", "--dry-run"],
    &["rebuild"],
];

fn commands(id: &str, later: &str) -> impl Iterator<Item = Vec<String>> {
    SHOWS.into_iter().flat_map(move |args| {
        let named = |arg: &&str| match *arg {
            "ID" => id.to_owned(),
            "LATER" => later.to_owned(),
            arg => arg.to_owned(),
        };
        let plain: Vec<_> = args.iter().map(named).collect();
        let json = plain.iter().cloned().chain(["--json".to_owned()]).collect();
        [plain, json]
    })
}

/// A ledger whose every text is hostile, and the ids of two events in it.
fn hostile() -> (Ledger, String, String) {
    let Governed { ledger, .. } = Governed::new();
    let more = ["--tag", "\u{1b}[1m\u{202e}", "--source-channel", "\u{9b}2J\u{2066}"];
    let id = ledger.append("acme", HOSTILE, &more);
    let later = ledger.append("acme", &format!("later {HOSTILE}"), &["--evidence", &id]);
    (ledger, id, later)
}

#[test]
fn no_memory_steers_who_looks_at_it() {
    let (ledger, id, later) = hostile();
    let mut shown = 0;
    for args in commands(&id, &later) {
        let ran = ledger.run(&args);
        let has_json = !ran.err.contains("'--json'");
        assert!(
            !has_json || !ran.err.contains("Usage:"),
            "{args:?} is no command: {}",
            ran.err
        );
        for text in [&ran.out, &ran.err] {
            assert_eq!(steers(text), None, "{args:?}: {text:?}");
            // A new line in a memory does not begin a line of ours.
            assert!(
                !text.lines().any(|line| line.starts_with("evt_forged")),
                "{args:?}: {text}"
            );
        }
        shown += usize::from(ran.out.contains("safe"));
    }
    assert!(
        shown >= 12,
        "only {shown} commands showed the text: nothing is tested by the others"
    );
}

/// A guest's words, and an agent's answer, are as hostile as memory.
#[test]
fn no_answer_or_error_of_an_agent_steers_who_ran_it() {
    let (ledger, ..) = hostile();
    for more in [&[][..], &["--json"]] {
        let mut command = ledger.command(["run"]);
        command
            .arg(guest("echo"))
            .args([HOSTILE, "--actor", "agent:a", "--home", "acme"]);
        let ran = run(command.args(more).arg("--trace=trace"));
        assert_eq!(steers(&ran.out), None, "{}", ran.out);
        assert_eq!(steers(&ran.err), None, "{}", ran.err);
    }
}

const CANARIES: [(&str, &str); 4] = [
    ("HOME", "/tmp/canary-of-the-home"),
    ("USER", "canaryuser"),
    ("SERVICE_TOKEN", "canary-of-the-token-4711"),
    ("DB_PASSWORD", "canary/of/the=password"),
];

/// A command that is run in the folder of the ledger, which it names as nobody's path.
fn beside(ledger: &Ledger, folder: &Path) -> Command {
    let mut command = quipu();
    command.current_dir(folder).args(["--ledger", "ledger"]).envs(CANARIES);
    assert!(ledger.path().starts_with(folder));
    command
}

/// What tells of this machine in a text.
fn tells(ran: &Ran, folder: &Path, host: &str) -> Option<String> {
    let text = format!("{}\n{}", ran.out, ran.err);
    let canaries = CANARIES.map(|(_, canary)| canary.to_owned());
    let path = folder.to_string_lossy().into_owned();
    let checkout = driver::root().to_string_lossy().into_owned();
    let named = canaries.into_iter().chain([path, checkout]);
    let found = named.into_iter().find(|canary| text.contains(canary.as_str()));
    let is_word = |word: &str| word == host;
    let words = |text: &str| text.split(|c: char| !(c.is_alphanumeric() || c == '-')).any(is_word);
    found.or_else(|| words(&text).then(|| host.to_owned()))
}

fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

#[test]
fn no_output_tells_of_the_machine() {
    let (ledger, id, later) = hostile();
    let path = ledger.path();
    let folder = path.parent().unwrap();
    let host = host();
    let echo = fs::read(guest("echo")).unwrap();
    ledger.file("agent.wasm", echo);
    let run_agent = ["run", "agent.wasm", "hi", "--actor", "agent:a", "--home", "acme"];
    let more = [
        run_agent.map(str::to_owned).to_vec(),
        ["audit", "agent.wasm"].map(str::to_owned).to_vec(),
        ["audit", "agent.wasm", "--format", "html"].map(str::to_owned).to_vec(),
        ["audit", "agent.wasm", "--format", "sarif"].map(str::to_owned).to_vec(),
        ["show", "evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D"].map(str::to_owned).to_vec(),
        ["import", "no-such-file"].map(str::to_owned).to_vec(),
        ["export", "tiles", "--to", "exported"].map(str::to_owned).to_vec(),
        ["backup", "--to", "copied"].map(str::to_owned).to_vec(),
    ];
    for args in commands(&id, &later).chain(more) {
        for trace in [None, Some("--trace=trace")] {
            let ran = run(beside(&ledger, folder).args(&args).args(trace));
            assert_eq!(
                tells(&ran, folder, &host),
                None,
                "{args:?} {trace:?}:\n{}\n{}",
                ran.out,
                ran.err
            );
        }
    }
}

#[test]
fn an_error_of_the_disk_is_traced_without_its_path_unless_that_is_asked_for() {
    let (ledger, ..) = hostile();
    let path = ledger.path();
    let folder = path.parent().unwrap();
    let echo = fs::read(guest("echo")).unwrap();
    ledger.file("agent.wasm", echo);
    // The cache is a file: what cannot be used is named, in traces.
    let own = folder.join("own");
    fs::write(&own, "no folder").unwrap();
    let traced = |more: &[&str]| {
        let mut command = beside(&ledger, folder);
        command.args([
            "run",
            "agent.wasm",
            "hi",
            "--actor",
            "agent:a",
            "--home",
            "acme",
            "--trace=warn",
        ]);
        run(command.env("XDG_CACHE_HOME", &own).args(more)).good().err
    };
    let sanitised = traced(&[]);
    assert!(sanitised.contains("<folder>/own"), "{sanitised}");
    assert!(!sanitised.contains(&*folder.to_string_lossy()), "{sanitised}");
    let plain = traced(&["--unsanitised"]);
    assert!(plain.contains(&*own.to_string_lossy()), "{plain}");
}

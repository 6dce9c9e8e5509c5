//! A ledger whose secrets are sealed under a passphrase, by command: with the right one, a wrong one, and none.

mod driver;

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use driver::{Appender, Ledger, Ran, run};

const GUESSED: &str = "is not the one";
const NONE: &str = "--passphrase-file";

/// A ledger with a passphrase and one event, and files with passphrases.
struct Sealed {
    ledger: Ledger,
    right: PathBuf,
    wrong: PathBuf,
    _folder: tempfile::TempDir,
}

impl Sealed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::none_within(folder.path());
        let right = ledger.file("right.txt", "correct horse battery staple\n");
        let wrong = ledger.file("wrong.txt", "correct horse\n");
        let sealed = Self {
            ledger,
            right,
            wrong,
            _folder: folder,
        };
        sealed
            .with(&sealed.right, &["init", "--origin", "example.com/sealed"])
            .good();
        sealed.append(&sealed.right, "prefers CSV exports").good();
        sealed
    }

    /// On no terminal, so that nobody can be asked.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("setsid");
        let quipu = self.ledger.command(args);
        command.arg("--wait").arg(quipu.get_program()).args(quipu.get_args());
        for (name, value) in quipu.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(Stdio::null());
        command
    }

    fn without(&self, args: &[&str]) -> Ran {
        run(&mut self.command(args))
    }

    fn with(&self, passphrase: &Path, args: &[&str]) -> Ran {
        run(self.command(args).arg("--passphrase-file").arg(passphrase))
    }

    fn with_environment(&self, passphrase: &Path, args: &[&str]) -> Ran {
        run(self.command(args).env("QUIPU_PASSPHRASE_FILE", passphrase))
    }

    fn append(&self, passphrase: &Path, text: &str) -> Ran {
        let args = [
            "append",
            "--scope",
            "scope:a",
            "--actor",
            "operator:kim",
            "--json",
            "--text",
            text,
        ];
        self.with(passphrase, &args)
    }
}

/// At a terminal, where somebody types when they are asked. Returns what it shows, and the exit code.
fn at_terminal(sealed: &Sealed, args: &[&str], typed: &str) -> (String, i32) {
    let quipu = sealed.ledger.command(args);
    let words = std::iter::once(quipu.get_program()).chain(quipu.get_args());
    let words: Vec<_> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let mut script = Command::new("script");
    script.args(["--echo", "always", "-qec", &words.join(" "), "/dev/null"]);
    script.env_remove("QUIPU_PASSPHRASE_FILE").env("NO_COLOR", "1");
    script.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = script.spawn().unwrap();
    let (mut keyboard, mut screen) = (running.stdin.take().unwrap(), running.stdout.take().unwrap());
    let (mut shown, mut some) = (Vec::new(), [0; 4_096]);
    let mut asked = 0;
    loop {
        let count = screen.read(&mut some).unwrap();
        if count == 0 {
            break;
        }
        shown.extend_from_slice(&some[..count]);
        let asks = String::from_utf8_lossy(&shown).matches("passphrase: ").count();
        while asked < asks {
            writeln!(keyboard, "{typed}").unwrap();
            asked += 1;
        }
    }
    let code = running.wait().unwrap().code().unwrap();
    (String::from_utf8_lossy(&shown).into_owned(), code)
}

/// With no file that holds it, whoever sits at the terminal is asked once, and what they type is not shown.
#[test]
fn a_passphrase_is_asked_for_at_a_terminal() {
    if !can_be_tested() || !driver::has("script", "asking for a passphrase at a terminal") {
        return;
    }
    let help = Command::new("script").arg("--help").output().unwrap();
    if !String::from_utf8_lossy(&help.stdout).contains("--echo") {
        eprintln!("skipped: asking for a passphrase at a terminal (this `script` cannot echo)");
        return;
    }
    let sealed = Sealed::new();
    let (right, wrong) = ("correct horse battery staple", "correct horse");
    let append = [
        "append",
        "--scope",
        "scope:a",
        "--actor",
        "operator:kim",
        "--text",
        "typed",
    ];
    for (args, says) in [
        (&["log"][..], "prefers CSV exports"),
        (&append, "evt_"),
        (&["keys"], "scope:a"),
    ] {
        let (shown, code) = at_terminal(&sealed, args, right);
        assert_eq!(
            (shown.matches("passphrase: ").count(), code),
            (1, 0),
            "{args:?}: {shown}"
        );
        assert!(shown.contains(says) && !shown.contains("horse"), "{args:?}: {shown}");
        let (shown, code) = at_terminal(&sealed, args, wrong);
        assert_eq!(
            (shown.matches("passphrase: ").count(), code),
            (1, 2),
            "{args:?}: {shown}"
        );
        assert!(shown.contains(GUESSED) && !shown.contains("horse"), "{args:?}: {shown}");
    }
    // Nobody is asked who can do without.
    let (shown, code) = at_terminal(&sealed, &["verify"], right);
    assert_eq!((shown.matches("passphrase: ").count(), code), (0, 0), "{shown}");
}

fn can_be_tested() -> bool {
    driver::has("setsid", "passphrases by command, with no terminal to ask at")
}

#[test]
fn commands_take_the_right_passphrase_and_no_other() {
    if !can_be_tested() {
        return;
    }
    let sealed = Sealed::new();
    let (right, wrong) = (&sealed.right, &sealed.wrong);
    for name in ["keys", "signer"] {
        let text = fs::read_to_string(sealed.ledger.path().join(name)).unwrap();
        assert!(text.starts_with("quipu-") && !text.contains("PRIVATE"), "{text}");
    }
    let all: [&[&str]; 6] = [
        &["log", "--json"],
        &["search", "CSV", "--json"],
        &["stats"],
        &["keys"],
        &[
            "append",
            "--scope",
            "scope:a",
            "--actor",
            "operator:kim",
            "--text",
            "more",
        ],
        &["key", "rotate"],
    ];
    let before = fs::read(sealed.ledger.path().join("keys")).unwrap();
    for args in all {
        assert_eq!(sealed.with(wrong, args).tells(&[GUESSED]).code, 2, "{args:?}");
        assert_eq!(sealed.without(args).tells(&[NONE]).code, 2, "{args:?}");
    }
    assert_eq!(fs::read(sealed.ledger.path().join("keys")).unwrap(), before);
    for args in all {
        sealed.with(right, args).good();
        sealed.with_environment(right, args).good();
    }
    let said = sealed.with(right, &["log", "--scope", "scope:a", "--json"]).good().out;
    assert_eq!(said.matches("prefers CSV exports").count(), 1, "{said}");
    assert_eq!(said.matches("\"more\"").count(), 2, "{said}");

    // Verifying needs none, and then tells of bodies that they are sealed.
    let verdict = sealed.without(&["verify", "--json"]).good().json();
    assert!(verdict["sealed"].as_u64().unwrap() > 0, "{verdict}");
    let verdict = sealed.with(right, &["verify", "--json"]).good().json();
    assert_eq!(
        (verdict["sealed"].as_u64(), &verdict["fault"]),
        (Some(0), &serde_json::Value::Null)
    );
    assert_eq!(sealed.with(wrong, &["verify"]).tells(&[GUESSED]).code, 2);

    // A file that is none, or says nothing.
    let nothing = sealed.ledger.file("nothing.txt", "\n");
    for file in [&nothing, &sealed.ledger.beside("missing.txt")] {
        let refused = sealed.with(file, &["log"]);
        assert_eq!(refused.tells(&["cannot take a passphrase from"]).code, 2);
    }
}

#[test]
fn a_passphrase_is_set_changed_and_removed() {
    if !can_be_tested() {
        return;
    }
    let sealed = Sealed::new();
    let (first, second) = (&sealed.right, sealed.ledger.file("second.txt", "another one"));
    let second_text = second.to_str().unwrap();
    let change = ["keys", "passphrase", "--new-file", second_text];
    assert_eq!(sealed.without(&change).code, 2);
    assert_eq!(sealed.with(&sealed.wrong, &change).tells(&[GUESSED]).code, 2);
    sealed.with(first, &change).good();
    assert_eq!(sealed.append(first, "refused").tells(&[GUESSED]).code, 2);
    sealed.append(&second, "by the second").good();
    sealed.with(&second, &["keys", "passphrase", "--remove"]).good();
    sealed.without(&["log"]).good();
    let signer = fs::read_to_string(sealed.ledger.path().join("signer")).unwrap();
    assert!(signer.starts_with("PRIVATE+KEY+"));
    sealed.without(&change).good();
    assert_eq!(sealed.without(&["log"]).tells(&[NONE]).code, 2);
    let said = sealed.with(&second, &["log", "--json"]).good().out;
    assert!(said.contains("by the second") && !said.contains("refused"), "{said}");
    sealed.with(&second, &["verify"]).good();
}

/// While one process writes, another hands its appends to it: each opens the files by itself.
#[test]
fn two_processes_share_a_sealed_ledger() {
    if !can_be_tested() {
        return;
    }
    let sealed = Sealed::new();
    let mut command = sealed
        .ledger
        .command(["append", "--actor", "tool:stream", "--scope", "scope:b", "--jsonl", "-"]);
    let mut appender = Appender::spawn(command.env("QUIPU_PASSPHRASE_FILE", &sealed.right));
    let draft = r#"{"payload":{"text":"from the stream"}}"#;
    appender.send(draft).unwrap();
    appender.receipt().unwrap();
    sealed.append(&sealed.right, "handed over").good();
    assert_eq!(sealed.append(&sealed.wrong, "refused").tells(&[GUESSED]).code, 2);
    // The one that writes rotates the key for the other, and goes on.
    sealed.with(&sealed.right, &["key", "rotate"]).good();
    appender.send(draft).unwrap();
    appender.receipt().unwrap();
    let change = ["keys", "passphrase", "--wait", "0", "--remove"];
    assert_ne!(sealed.with(&sealed.right, &change).code, 0);
    assert_eq!(appender.finish(), 0);
    let verdict = sealed.with(&sealed.right, &["verify", "--json"]).good().json();
    assert_eq!(verdict["sealed"].as_u64(), Some(0), "{verdict}");
    let signer = fs::read_to_string(sealed.ledger.path().join("signer")).unwrap();
    assert!(signer.starts_with("quipu-signer 1\t"));
    let keys = sealed
        .with(&sealed.right, &["key", "list", "--json"])
        .good()
        .json_lines();
    assert_eq!(keys.len(), 2);
}

//! docs/REVIEWING.md: each of its commands is run, in order, and prints what the page shows.

mod driver;

use std::{
    collections::HashMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use driver::{has, root, run};

/// A piece of the page that does something.
#[derive(Debug)]
enum Step {
    /// A file that is taken from the repository.
    Copy(String, PathBuf),
    /// A file that the page shows.
    Write(String, String),
    /// A command, and the lines that it prints.
    Run(String, Vec<String>),
}

#[test]
fn every_command_of_the_page_prints_what_the_page_shows() {
    if !has("jq", "the walk-through of docs/REVIEWING.md") {
        return;
    }
    let page = fs::read_to_string(root().join("docs/REVIEWING.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut names = Names::default();
    let mut commands = 0;
    for step in steps(&page) {
        match step {
            Step::Copy(name, from) => {
                let bytes =
                    fs::read(&from).unwrap_or_else(|e| panic!("{}: {e}; run `cargo xtask guests`", from.display()));
                fs::write(folder.path().join(name), bytes).unwrap();
            }
            Step::Write(name, text) => fs::write(folder.path().join(name), text).unwrap(),
            Step::Run(command, shown) => {
                let printed = shell(folder.path(), &names.put_into(&command));
                let printed: Vec<_> = printed.lines().collect();
                let shown: Vec<_> = shown.iter().map(String::as_str).collect();
                assert!(
                    names.all_match(&shown, &printed),
                    "$ {command}\nshown:\n{}\nprinted:\n{}",
                    shown.join("\n"),
                    printed.join("\n")
                );
                commands += 1;
            }
        }
    }
    assert!(commands > 20, "{commands}");
    for used in [
        "audit",
        "agents",
        "agent approve",
        "run",
        "verify",
        "why",
        "impact",
        "--policy",
        "--diff",
        "--attest",
    ] {
        assert!(
            page.contains(&format!("quipu {used}")) || page.contains(&format!(" {used} ")),
            "{used}"
        );
    }
}

/// Both of its outputs, as a terminal would show them. What a page's reader sees in their own environment is not this test's.
fn shell(folder: &Path, command: &str) -> String {
    let quipu = Path::new(env!("CARGO_BIN_EXE_quipu")).parent().unwrap();
    let mut path = vec![quipu.to_owned()];
    path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("exec 2>&1\n{command}")).current_dir(folder);
    for name in [
        "QUIPU_LEDGER",
        "QUIPU_AGENTS",
        "QUIPU_PASSPHRASE_FILE",
        "CLICOLOR_FORCE",
    ] {
        shell.env_remove(name);
    }
    shell.stdin(std::process::Stdio::null());
    run(shell.env("PATH", env::join_paths(path).unwrap())).out
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let cells: Vec<_> = line.split('`').collect();
        if let ["| ", name, " | ", from, ..] = cells[..] {
            steps.push(Step::Copy(name.to_owned(), root().join(from)));
        }
        let Some(language) = line.strip_prefix("```") else {
            continue;
        };
        let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        match language {
            "toml" => {
                let name = block[0].strip_prefix("# ").expect("a file begins with its name");
                steps.push(Step::Write(name.to_owned(), block.join("\n")));
            }
            "console" => {
                for line in block {
                    match (line.strip_prefix("$ "), steps.last_mut()) {
                        (Some(command), _) => steps.push(Step::Run(command.to_owned(), Vec::new())),
                        (None, Some(Step::Run(_, shown))) => shown.push(line.to_owned()),
                        _ => panic!("a block of commands begins with one: {line}"),
                    }
                }
            }
            other => panic!("there is no block of {other:?} on this page"),
        }
    }
    steps
}

/// What the page's names stand for here: events, runs, digests and keys.
#[derive(Default, Clone)]
struct Names(HashMap<String, String>);

impl Names {
    fn put_into(&self, command: &str) -> String {
        let mut command = command.to_owned();
        for (shown, is) in &self.0 {
            command = command.replace(shown, is);
        }
        command
    }

    /// A line with `…` alone stands for any number of lines.
    fn all_match(&mut self, shown: &[&str], printed: &[&str]) -> bool {
        match (shown, printed) {
            ([], []) => true,
            (["…", rest @ ..], _) => {
                let known = self.clone();
                (0..=printed.len()).any(|skipped| {
                    *self = known.clone();
                    self.all_match(rest, &printed[skipped..])
                })
            }
            ([shown, shown_rest @ ..], [printed, printed_rest @ ..]) => {
                self.matches(shown, printed) && self.all_match(shown_rest, printed_rest)
            }
            _ => false,
        }
    }

    /// A line that ends in `…` stands for all that begin like it.
    fn matches(&mut self, shown: &str, printed: &str) -> bool {
        let (mut shown, mut printed) = (shown, printed);
        let mut in_word = false;
        loop {
            if shown == "…" || (shown.is_empty() && printed.is_empty()) {
                return true;
            }
            let (Some(next), Some(other)) = (shown.chars().next(), printed.chars().next()) else {
                return false;
            };
            if !in_word && let (Some(name), Some(here)) = (varying(shown), varying(printed)) {
                let is_time = name.contains(':');
                if name.len() != here.len() || (!is_time && self.0.entry(name.into()).or_insert(here.into()) != here) {
                    return false;
                }
                (shown, printed) = (&shown[name.len()..], &printed[here.len()..]);
                in_word = true;
                continue;
            }
            if next != other {
                return false;
            }
            in_word = next.is_ascii_alphanumeric();
            (shown, printed) = (&shown[next.len_utf8()..], &printed[other.len_utf8()..]);
        }
    }
}

/// What a text begins with, where that is another thing each time: a name of an event or run, a digest, a root, a key or a
/// time.
fn varying(text: &str) -> Option<&str> {
    let begins = |of: fn(u8) -> bool| text.bytes().take_while(|byte| of(*byte)).count();
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte);
    let hex = begins(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let length = if begins(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase()) == 26 {
        26
    } else if hex == 64 {
        64
    } else if hex == 8 && text.as_bytes().get(8) == Some(&b'+') && text.len() >= 53 {
        53
    } else if begins(base64) == 43 {
        43
    } else if text.get(4..5) == Some("-") && text.get(10..11) == Some("T") && text.get(19..20) == Some("Z") {
        20
    } else {
        return None;
    };
    text.get(..length)
}

#[test]
fn a_page_that_shows_something_else_is_found_out() {
    let matches = |shown: &[&str], printed: &[&str]| Names::default().all_match(shown, printed);
    let (one, other) = ("evt_01M82GC1ZE1W16YXZZ5ND8663M", "evt_01M82GC4A1TQEDGDYJ8QN7QXZC");
    assert!(matches(&["a", "b"], &["a", "b"]) && !matches(&["a"], &["a", "b"]) && !matches(&["a", "b"], &["a"]));
    assert!(matches(&["a…"], &["abc"]) && !matches(&["a…"], &["bc"]));
    assert!(matches(&["a", "…", "d"], &["a", "b", "c", "d"]) && !matches(&["a", "…", "d"], &["a", "b"]));
    assert!(matches(&[one, one], &[other, other]) && !matches(&[one, one], &[one, other]));
    assert!(matches(&["at 2026-11-22T20:50:11Z x"], &["at 2027-01-02T03:04:05Z x"]));
    assert!(!matches(&["run NO seq 183"], &["run NO seq 184"]));
}

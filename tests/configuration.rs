//! docs/CONFIGURATION.md has what is read, and each error names the line.

mod driver;

use std::{collections::BTreeSet, fs};

use driver::{Ledger, Ran, guest, root};

fn page() -> String {
    fs::read_to_string(root().join("docs/CONFIGURATION.md")).unwrap()
}

/// The example under a heading.
fn example(heading: &str) -> String {
    let page = page();
    let section = page.split("\n## ").find(|section| section.starts_with(heading));
    let section = section.unwrap_or_else(|| panic!("no section {heading}"));
    section
        .split("```toml\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap()
        .to_owned()
}

/// Reads a text as the file that it is.
type Read = fn(&Ledger, &str) -> Ran;

fn agents(ledger: &Ledger, text: &str) -> Ran {
    ledger.file("quipu.toml", text);
    ledger.run(["agents"])
}

fn noise(ledger: &Ledger, text: &str) -> Ran {
    let file = ledger.file("rules.toml", text).display().to_string();
    ledger.append("a", "something", &[]);
    ledger.run(["compact", "--scope", "a", "--rules", &file])
}

fn policy(ledger: &Ledger, text: &str) -> Ran {
    let file = ledger.file("policy.toml", text).display().to_string();
    let component = guest("echo").display().to_string();
    ledger.run(["audit", &component, "--policy", &file])
}

const FILES: [(&str, Read); 3] = [("quipu.toml", agents), ("noise.toml", noise), ("A policy", policy)];

#[test]
fn the_examples_are_read() {
    let ledger = Ledger::new();
    for (heading, read) in FILES {
        let ran = read(&ledger, &example(heading));
        // A policy that a component breaches was read.
        assert!(ran.code < 2, "{heading}: {}", ran.err);
    }
}

/// The examples name every member: a reader that meets one that it does not know lists those that it does.
#[test]
fn no_member_is_left_out_and_each_error_names_its_line() {
    let ledger = Ledger::new();
    for (heading, read) in FILES {
        let good = example(heading);
        let tables: Vec<usize> = match good.lines().filter(|line| line.starts_with('[')).count() {
            0 => vec![0],
            count => (0..count).collect(),
        };
        for table in tables {
            // An unknown member, at the beginning of the file or of its nth table.
            let mut lines: Vec<&str> = good.lines().collect();
            let begins = lines.iter().enumerate().filter(|(_, line)| line.starts_with('['));
            let at = begins.map(|(at, _)| at + 1).nth(table).unwrap_or(0);
            lines.insert(at, "no-such-member = 1");
            let ran = read(&ledger, &lines.join("\n")).exits(2);
            assert!(ran.err.contains("no-such-member"), "{heading}: {}", ran.err);
            assert!(ran.err.contains(&format!("line {}", at + 1)), "{heading}: {}", ran.err);
            let known = ran
                .err
                .split("expected")
                .nth(1)
                .unwrap_or_else(|| panic!("{}", ran.err));
            let known: Vec<_> = known
                .split('`')
                .skip(1)
                .step_by(2)
                .filter(|name| !name.contains(' '))
                .collect();
            assert!(known.len() > 4, "{heading}: {}", ran.err);
            for name in known {
                let is_there = good.lines().any(|line| {
                    line.starts_with(&format!("{name} = ")) || line.starts_with(&format!("[agents.support.{name}]"))
                });
                assert!(is_there, "{heading} can have {name}, and the page does not say so");
            }
        }
    }
}

#[test]
fn every_variable_is_there_and_no_other() {
    let mut read = BTreeSet::new();
    let mut waiting = vec![root().join("src")];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        for (prefix, suffix) in [("env = \"", '"'), ("(\"XDG_", '"')] {
            for part in text.split(prefix).skip(1) {
                let name = part.split(suffix).next().unwrap();
                read.insert(format!(
                    "{}{name}",
                    prefix.trim_start_matches("env = \"").trim_start_matches("(\"")
                ));
            }
        }
    }
    assert!(
        read.contains("QUIPU_LEDGER") && read.contains("XDG_CACHE_HOME"),
        "{read:?}"
    );
    let page = page();
    for name in &read {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
    for name in page.split('`').filter(|name| name.starts_with("QUIPU_")) {
        assert!(read.contains(name), "{name} is not read");
    }
}

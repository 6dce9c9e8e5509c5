//! The strangers: how each is started, and what it can read.

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Instant,
};

use crate::{cases::Cases, damage::Reads};

pub(crate) struct Stranger {
    name: &'static str,
    /// What it can notice a change in.
    reads: &'static [Reads],
    /// What must be installed, below target/strangers.
    needs: &'static str,
    command: fn() -> Command,
}

const ALL: [Reads; 3] = [Reads::Log, Reads::Proof, Reads::ProofSignersName];

const STRANGERS: [Stranger; 4] = [
    Stranger {
        name: "Go's x/mod",
        reads: &ALL,
        needs: "go/stranger",
        command: || Command::new(installed("go/stranger")),
    },
    Stranger {
        name: "tlog_tiles and signed_note",
        reads: &ALL,
        needs: "rust/release/quipu-stranger",
        command: || Command::new(installed("rust/release/quipu-stranger")),
    },
    Stranger {
        name: "aics-tlog",
        reads: &ALL,
        needs: "python/bin/python",
        command: || {
            let mut python = Command::new(installed("python/bin/python"));
            python.arg(root().join("tests/strangers/python/stranger.py"));
            python
        },
    },
    Stranger {
        name: "@sigstore/verify",
        // It checks inclusion only, and takes the signer's name for a pattern.
        reads: &[Reads::Proof],
        needs: "node/node_modules/@sigstore/verify",
        command: || {
            let mut node = Command::new("node");
            node.env("NODE_PATH", installed("node/node_modules"))
                .arg(root().join("tests/strangers/node/stranger.js"));
            node
        },
    },
];

impl Stranger {
    /// Those that are installed; a line names each that is not.
    pub(crate) fn all_here() -> Vec<&'static Self> {
        let here = |stranger: &&Self| {
            let here = installed(stranger.needs).exists();
            if !here {
                eprintln!(
                    "skipped, {} is not installed; `cargo xtask test` does that: its verdict on our logs",
                    stranger.name
                );
            }
            here
        };
        STRANGERS.iter().filter(here).collect()
    }

    /// It accepts all sound cases that it can read, and refuses all damaged ones.
    #[track_caller]
    pub(crate) fn judge(&self, cases: &Cases) {
        let begin = Instant::now();
        // One that reads proofs only has nothing to read of no entries.
        let readable = |case: &&PathBuf| self.reads.contains(&Reads::Log) || case.join("proofs").exists();
        let sound: Vec<_> = cases.sound.iter().filter(readable).map(PathBuf::as_path).collect();
        let damaged = cases.damaged.iter().filter(|(_, reads)| self.reads.contains(reads));
        let damaged: Vec<_> = damaged.map(|(case, _)| case.as_path()).collect();
        let answers = self.ask(&cases.key.to_string(), &[&sound[..], &damaged[..]].concat());
        for case in &sound {
            assert_eq!(answers[case], Ok(()), "{}: {}", self.name, case.display());
        }
        for case in &damaged {
            assert!(
                answers[case].is_err(),
                "{} accepts {}, of which one bit was changed",
                self.name,
                case.display()
            );
        }
        println!(
            "{}: accepts {}, refuses {}; {:.1?}",
            self.name,
            sound.len(),
            damaged.len(),
            begin.elapsed()
        );
    }

    /// What it says of each case: nothing, or why it refuses.
    fn ask<'a>(&self, key: &str, cases: &[&'a Path]) -> BTreeMap<&'a Path, Result<(), String>> {
        let mut child = (self.command)()
            .arg(key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the stranger starts");
        let lines: String = cases.iter().map(|case| format!("{}\n", case.display())).collect();
        let mut input = child.stdin.take().unwrap();
        let writer = thread::spawn(move || input.write_all(lines.as_bytes()));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert!(output.status.success(), "{} ends with {}", self.name, output.status);
        let output = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.lines().count(), cases.len(), "there is one answer to each case");
        let answer = |(case, answer): (&&'a Path, &str)| {
            let (verdict, rest) = answer.split_once(' ').expect("a verdict and a case");
            let why = rest.strip_prefix(&*case.to_string_lossy()).expect("the case's answer");
            let verdict = if verdict == "accepted" {
                Ok(())
            } else {
                Err(why.to_owned())
            };
            (*case, verdict)
        };
        cases.iter().zip(output.lines()).map(answer).collect()
    }
}

/// A place below the folder into which `cargo xtask test` installs strangers.
fn installed(name: &str) -> PathBuf {
    root().join("target/strangers").join(name)
}

/// The repository's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

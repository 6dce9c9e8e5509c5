//! `cargo xtask test`: everything that is tested, with one closing line.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use crate::{Result, cargo, guests, languages, strangers, wasm};

/// What some tests need that is not of this repository: programs that are strangers to our code, and data. Those tests
/// are skipped where it is missing.
struct Stranger {
    name: &'static str,
    /// What is not tested without it.
    checks: &'static str,
    is_here: fn() -> bool,
    /// The Debian packages that bring it; none: it cannot be installed.
    packages: &'static [&'static str],
}

const STRANGERS: [Stranger; 5] = [
    Stranger {
        name: "python3",
        checks: "the format, read by a script that is not ours",
        is_here: || starts("python3", "--version"),
        packages: &["python3"],
    },
    Stranger {
        name: "Go with x/mod",
        checks: "tiles, checkpoint and proofs, verified by Go's transparency log code",
        is_here: || {
            let modules = "/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog";
            Path::new("/usr/lib/go-1.19/bin/go").exists() && Path::new(modules).exists()
        },
        packages: &["golang-1.19-go", "golang-golang-x-mod-dev"],
    },
    Stranger {
        name: "strace",
        checks: "that each acknowledgement follows a sync",
        is_here: || starts("strace", "--version"),
        packages: &["strace"],
    },
    Stranger {
        name: "a folder of LoCoMo conversations (QUIPU_DATA)",
        checks: "their import",
        is_here: || is_beside("QUIPU_DATA", "data"),
        packages: &[],
    },
    Stranger {
        name: "a folder with tlogverify.go (QUIPU_ORACLES)",
        checks: "tiles, checkpoint and proofs, verified by Go's transparency log code",
        is_here: || is_beside("QUIPU_ORACLES", "oracles"),
        packages: &[],
    },
];

/// Where a line stands for each thing that the last run did not check.
const LEFT_OUT: &str = "target/not-checked";

/// Builds the guests and runs all tests; `arguments` go to `cargo test`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let begin = Instant::now();
    let missing = look_for_strangers();
    let verifiers = strangers::install();
    for missing in &verifiers {
        eprintln!("test: skipping the stranger in {}: {}", missing.name, missing.why);
    }
    guests::build()?;
    strangers::build_embedding()?;

    let mut tally = Tally::default();
    let mut workspace = cargo::cargo();
    workspace
        .args(["test", "--workspace", "--no-fail-fast"])
        .args(arguments);
    // What tests leave out they print, and what passes is not shown otherwise.
    if !arguments.iter().any(|argument| argument == "--") {
        workspace.arg("--");
    }
    workspace.arg("--show-output");
    let mut passed = tally.run(workspace)?;
    if arguments.is_empty() {
        // The example agent, natively, in the folder of its build: what its macros need is built there already.
        let mut agent = cargo::cargo();
        agent.args([
            "test",
            "--release",
            "--target-dir",
            guests::BUILD,
            "--manifest-path",
            guests::AGENT,
        ]);
        passed &= tally.run(agent)?;
    }

    let mut unchecked: Vec<String> = Vec::new();
    for stranger in missing {
        unchecked.push(format!("{} is missing: {}", stranger.name, stranger.checks));
    }
    for missing in verifiers {
        unchecked.push(format!(
            "the stranger in {} is missing: {}",
            missing.name, missing.checks
        ));
    }
    unchecked.extend(languages::missing());
    unchecked.extend(tally.left_out());
    let mut out = std::io::stdout();
    writeln!(out)?;
    let mut lines = String::new();
    for what in &unchecked {
        writeln!(out, "NOT CHECKED: {what}")?;
        lines += &format!("{what}\n");
    }
    // For whoever runs this among other things.
    fs::write(cargo::root().join(LEFT_OUT), lines)?;
    writeln!(
        out,
        "{} test programs in {} s",
        tally.programs,
        begin.elapsed().as_secs()
    )?;
    writeln!(
        out,
        "tests: {} passed, {} failed, {} skipped{}",
        tally.passed,
        tally.failed,
        tally.ignored,
        match unchecked.len() {
            0 => "",
            _ => "; not all was checked, see above",
        }
    )?;
    if !passed {
        let reason = if tally.failed > 0 {
            "not all tests passed"
        } else {
            "not all tests could be built or run"
        };
        return Err(format!("{reason}; see above").into());
    }
    if tally.passed == 0 {
        return Err("no test ran".into());
    }
    Ok(())
}

/// The strangers that are not here. In CI they are installed first, where that is possible.
fn look_for_strangers() -> Vec<&'static Stranger> {
    let mut missing: Vec<_> = STRANGERS.iter().filter(|stranger| !(stranger.is_here)()).collect();
    if missing.is_empty() {
        return missing;
    }
    let packages: Vec<_> = missing.iter().flat_map(|stranger| stranger.packages).copied().collect();
    if env::var_os("CI").is_some() && !packages.is_empty() {
        if let Err(reason) = wasm::install(&packages) {
            eprintln!("test: not installed: {reason}");
        }
        missing.retain(|stranger| !(stranger.is_here)());
    }
    for stranger in &missing {
        eprintln!("test: skipping {}: {} is missing", stranger.checks, stranger.name);
        if !stranger.packages.is_empty() {
            eprintln!("      apt-get install {}", stranger.packages.join(" "));
        }
    }
    missing
}

/// As the tests look for data: where the variable says, or in `shared` beside the checkout.
fn is_beside(variable: &str, folder: &str) -> bool {
    env::var_os(variable)
        .map_or_else(|| cargo::root().join("../shared").join(folder), PathBuf::from)
        .is_dir()
}

fn starts(program: &str, argument: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(argument);
    cargo::output(command).is_some()
}

/// Sums of the closing lines, `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
#[derive(Default)]
struct Tally {
    programs: u32,
    passed: u32,
    failed: u32,
    ignored: u32,
    /// What tests that passed say they left out, each with the tests that say it.
    skipped: BTreeMap<String, BTreeSet<String>>,
    /// Whether this is what tests printed that passed, and which of them.
    printed: Option<String>,
}

impl Tally {
    /// Runs a `cargo test`, showing its output; returns whether all of it passed.
    fn run(&mut self, mut test: Command) -> Result<bool> {
        let mut child = test
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("cargo test does not start: {e}"))?;
        let mut out = std::io::stdout();
        for line in BufReader::new(child.stdout.take().ok_or("cargo test has no output")?).lines() {
            let line = line?;
            if self.read(&line) {
                writeln!(out, "{line}")?;
            }
        }
        Ok(child.wait()?.success())
    }

    /// Takes in a line; returns whether a person wants to see it.
    fn read(&mut self, line: &str) -> bool {
        if line == "successes:" {
            self.printed = Some(String::new());
        } else if line == "failures:" || line.starts_with("test result: ") {
            self.printed = None;
        }
        if let Some(test) = &mut self.printed {
            let begun = line
                .strip_prefix("---- ")
                .and_then(|rest| rest.strip_suffix(" stdout ----"));
            if let Some(name) = begun {
                name.clone_into(test);
            } else if let Some(what) = line.strip_prefix("skipped, ").or(line.strip_prefix("skipped: ")) {
                self.skipped.entry(what.to_owned()).or_default().insert(test.clone());
            }
            return false;
        }
        let Some((_, counts)) = line
            .strip_prefix("test result: ")
            .and_then(|rest| rest.split_once(". "))
        else {
            return true;
        };
        self.programs += 1;
        for count in counts.split("; ") {
            let Some((number, what)) = count.split_once(' ') else {
                continue;
            };
            let number: u32 = number.parse().unwrap_or(0);
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
        true
    }

    /// A sentence for each thing that tests left out, although they passed.
    fn left_out(&self) -> impl Iterator<Item = String> {
        self.skipped.iter().map(|(what, tests)| {
            let tests: Vec<_> = tests.iter().map(String::as_str).collect();
            format!("{what} (of what these test: {})", tests.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn closing_lines_are_added_up_and_others_left_alone() {
        let mut tally = Tally::default();
        for line in [
            "test tests::one ... ok",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 4 filtered out; finished in 1.00s",
        ] {
            tally.read(line);
        }
        assert_eq!(
            (tally.programs, tally.passed, tally.failed, tally.ignored),
            (2, 15, 2, 1)
        );
    }

    #[test]
    fn what_a_test_left_out_is_told_although_it_passed() {
        let mut tally = Tally::default();
        let lines = [
            "test a_project_in_c ... ok",
            "successes:",
            "---- a_project_in_c stdout ----",
            "skipped, there is no make",
            "not skipped, but said",
            "---- languages stdout ----",
            "skipped: there is no make",
            "successes:",
            "    a_project_in_c",
            "failures:",
            "---- other stdout ----",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s",
        ];
        let shown: Vec<_> = lines.into_iter().filter(|line| tally.read(line)).collect();
        assert_eq!(shown, [lines[0], lines[9], lines[10], lines[11]]);
        assert_eq!(
            tally.left_out().collect::<Vec<_>>(),
            ["there is no make (of what these test: a_project_in_c, languages)"]
        );
        assert_eq!((tally.passed, tally.failed), (2, 1));
    }
}

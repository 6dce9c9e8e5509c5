//! What an attack is, how it is tried, and what must be seen.

use std::{fs, path::Path, process::Command};

use quipu_host::{Outcome, RunReport};
use serde_json::Value;

use crate::{
    components,
    driver::{Ledger, quipu, root, run},
    house::{self, House},
};

/// One line of the table.
pub(crate) struct Attack {
    /// Of its test, and of its file or function.
    pub(crate) name: &'static str,
    pub(crate) trial: Trial,
}

pub(crate) enum Trial {
    /// tests/guests/hostile/NAME.wat, whose head says what it does and what stops it.
    Wat(Audited, Fate),
    /// A component that no text could say.
    Made(Words, fn() -> Vec<u8>, Audited, Fate),
    /// As `Wat`, and run by a host that offers WASI, which the audit calls an import that is not memory.
    Wasi(Fate),
    /// A function of the guest tests/guests/hostile/GUEST.rs.
    Guest(Words, &'static str, Fate),
    /// Something else that a host runs, or has running, over the ledger of all guests.
    House(Words, fn(&mut House)),
    /// Files and arguments of the command, over a ledger with some entries, which must be unharmed and verify afterwards.
    Command(Words, fn(&Ledger)),
}

/// The attack and the defence.
pub(crate) type Words = (&'static str, &'static str);

/// What `quipu audit` must say.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Audited {
    /// Exit code 0: it can do no more than our worlds allow, whatever it tries.
    Conforms,
    /// Exit code 1, by this rule.
    Violates(&'static str),
    /// Exit code 2.
    Unreadable,
}

/// What must become of the run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// It does not begin: the component is refused, in these words among others.
    Refused(&'static str),
    /// The host ends it, for a reason with one of these words.
    Trapped(&'static [&'static str]),
    TimedOut,
    /// It answers this.
    Answers(&'static str),
    /// It reports on each of its calls; those that its name in the report says are refused as one of these kinds.
    /// Without any: what they are answered does not matter, for all that must hold afterwards says enough.
    Reports(&'static [&'static str]),
}

impl Attack {
    /// What it does, and what stops it.
    pub(crate) fn words(&self) -> (String, String) {
        match &self.trial {
            Trial::Wat(..) | Trial::Wasi(_) => components::words(self.name),
            Trial::Made(words, ..) | Trial::Guest(words, ..) | Trial::House(words, _) | Trial::Command(words, _) => {
                (words.0.to_owned(), words.1.to_owned())
            }
        }
    }

    /// Tries it, and looks at everything afterwards.
    pub(crate) fn run(&self) {
        match &self.trial {
            Trial::Wat(audited, fate) => self.component(&components::of_wat(self.name), *audited, *fate),
            Trial::Wasi(fate) => self.with_wasi(&components::of_wat(self.name), *fate),
            Trial::House(_, attempt) => {
                let mut house = house::take();
                attempt(&mut house);
                house.is_unharmed();
            }
            Trial::Made(_, make, audited, fate) => self.component(&make(), *audited, *fate),
            Trial::Guest(_, guest, fate) => {
                let wasm = fs::read(crate::driver::guest(guest)).unwrap();
                let mut house = house::take();
                let input = house.input(self.name);
                let report = house.load(&wasm).map(|agent| house.run(&agent, &input));
                judge(report, *fate);
                house.is_unharmed();
            }
            Trial::Command(_, attempt) => {
                let ledger = Ledger::new();
                ledger.append("home", "the red door", &[]);
                let before = house::log_bytes(&ledger.path().join("log"));
                attempt(&ledger);
                let after = house::log_bytes(&ledger.path().join("log"));
                assert!(after.starts_with(&before), "bytes of the log have changed");
                ledger.append("home", "the next one", &[]);
                ledger.verify().good();
            }
        }
    }

    /// It is refused by a host that does not offer WASI, and ends as it must by one that does.
    fn with_wasi(&self, wasm: &[u8], fate: Fate) {
        self.audited(wasm, Audited::Violates("foreign-import"));
        let mut house = house::take();
        let without = house.load(wasm).err().expect("it is run without WASI");
        assert!(without.contains("wants more than memory"), "{without}");
        let report = house.load_with_wasi(wasm);
        let report = report.map(|agent| house.run_with_wasi(&agent, ""));
        judge(report, fate);
        house.is_unharmed();
    }

    fn component(&self, wasm: &[u8], audited: Audited, fate: Fate) {
        self.audited(wasm, audited);
        let mut house = house::take();
        let report = house.load(wasm).map(|agent| house.run(&agent, ""));
        judge(report, fate);
        house.is_unharmed();
    }

    fn audited(&self, wasm: &[u8], audited: Audited) {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(self.name)
            .with_extension("wasm");
        fs::write(&file, wasm).unwrap();
        audit(&file, audited);
        fs::remove_file(&file).unwrap();
    }
}

/// The command's verdict on a component.
fn audit(file: &Path, audited: Audited) {
    let ran = run(quipu().current_dir(root()).arg("audit").arg(file).arg("--json"));
    match audited {
        Audited::Conforms => assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err),
        Audited::Unreadable => assert_eq!(ran.code, 2, "{}{}", ran.out, ran.err),
        Audited::Violates(rule) => {
            assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
            let report = ran.json();
            let findings = report["audit"]["findings"].as_array().unwrap();
            let is_it = |finding: &&Value| finding["rule"] == rule && finding["severity"] == "violation";
            assert!(findings.iter().any(|finding| is_it(&finding)), "{findings:#?}");
        }
    }
}

fn judge(report: Result<RunReport, String>, fate: Fate) {
    let outcome = match (report, fate) {
        (Err(why), Fate::Refused(words)) => return assert!(why.contains(words), "refused because: {why}"),
        (Err(why), _) => panic!("it did not begin: {why}"),
        (Ok(report), _) => report.outcome,
    };
    match (&outcome, fate) {
        (Outcome::TimedOut, Fate::TimedOut) => {}
        (Outcome::Trapped(why), Fate::Trapped(words)) => {
            assert!(words.iter().any(|word| why.contains(word)), "trapped because: {why}");
        }
        (Outcome::Ok(answer), Fate::Answers(text)) => assert_eq!(answer, text),
        (Outcome::Ok(answer), Fate::Reports(kinds)) => {
            let calls: Vec<Value> = serde_json::from_str(answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
            assert!(!calls.is_empty(), "it tried nothing");
            let is_owed = |call: &&Value| !kinds.is_empty() && !call["call"].as_str().unwrap().starts_with("allowed:");
            for call in calls.iter().filter(is_owed) {
                let kind = call["refused"].as_str().unwrap_or("not refused");
                assert!(kinds.contains(&kind), "{call}");
            }
        }
        (other, fate) => panic!("{fate:?} is owed, and it ended so: {other:?}"),
    }
}

/// A command on a ledger that must be refused: exit code 1 or 2, one error in plain text, and no panic.
#[track_caller]
pub(crate) fn refused(command: &mut Command) -> String {
    let ran = run(command);
    assert!(
        ran.code == 1 || ran.code == 2,
        "exit code {}: {}{}",
        ran.code,
        ran.out,
        ran.err
    );
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
    plain(&ran.out);
    plain(&ran.err);
    ran.err
}

/// A command that may be refused or not: exit code 0 to 2, plain text, and no panic.
#[track_caller]
pub(crate) fn endured(command: &mut Command) {
    let ran = run(command);
    assert!(
        (0..=2).contains(&ran.code) && !ran.err.contains("panicked"),
        "{}",
        ran.err
    );
    plain(&ran.out);
    plain(&ran.err);
}

/// Nothing in it steers a terminal, or turns the order of what is read.
#[track_caller]
pub(crate) fn plain(text: &str) {
    let steers =
        |c: &char| (c.is_control() && *c != '\n' && *c != '\t') || "\u{202e}\u{202a}\u{2066}\u{200f}".contains(*c);
    assert_eq!(text.chars().find(steers), None, "{text:?}");
}

//! `cargo xtask demo`: an agent remembers real conversations, answers with citations, and nobody can rewrite them.
//!
//! It drives the `quipu` command as a person would, and checks that each step did what it is shown for.

use std::{
    env, fs,
    io::{IsTerminal, Write, stdout},
    path::PathBuf,
    process::Command,
};

use serde_json::{Value, json};

use crate::{Result, cargo, guests};

const LEDGER: &str = "target/demo";
const HOME: &str = "customer:acme-inc";
const NOT_GRANTED: &str = "customer:globex";
/// Whom the forger claims to be.
const CLAIMED: &str = "operator:root";

/// Runs all steps; an error says which one did not do what it must.
pub(crate) fn run() -> Result<()> {
    guests::build_rust()?;
    let demo = Demo::new()?;
    let ledger = cargo::root().join(LEDGER);
    if ledger.exists() {
        fs::remove_dir_all(ledger)?;
    }

    demo.title("A new ledger, and conversations with three customers")?;
    demo.explain(&format!("$ export QUIPU_LEDGER={LEDGER}"))?;
    demo.quipu(&["init"])?.must_succeed()?;
    demo.quipu(&["import", "examples/data/support.jsonl"])?.must_succeed()?;

    demo.title("An agent reads one customer's messages, remembers, and answers from memory")?;
    let question = "How does acme-inc want its invoices?";
    let answer = demo.run_guest("support", question, "agent:support")?;
    answer.must_succeed()?;
    let cited = answer
        .first_event()
        .ok_or("the agent answered without citing an event (evt_…)")?;

    demo.title("Why it believes that: from the memory back to what the customer said")?;
    let trail = demo.quipu(&["why", &cited])?;
    trail.must_succeed()?;
    trail.must_say("tool:import", "the trail must end at an imported message")?;

    poison(&demo, &cited)?;

    demo.title("A hostile component: it imports an interface that would rewrite")?;
    let before = demo.entries()?;
    let refused = demo.run_guest("admin", &cited, "agent:mallory")?;
    refused.must_fail()?;
    refused.must_say(
        "quipu:memory/admin",
        "the refusal must name the import that no host offers",
    )?;
    if demo.entries()? != before {
        return Err("a refused component must not run, yet the log has grown".into());
    }
    demo.explain("It was refused before it ran: the log has not grown.")?;

    demo.title("A hostile agent: it forges actor, time and scope with the calls that it has")?;
    forgeries(&demo)?;

    demo.title("Did anybody change anything?")?;
    demo.quipu(&["verify"])?.must_succeed()?;

    demo.title("Which code wrote it: every run is executed again, and does the same")?;
    let replayed = demo.quipu(&["replay", "--all"])?;
    replayed.must_succeed()?;
    replayed.must_say("0 different, 0 not replayed", "every run must be the same again")?;
    demo.explain(&format!(
        "\nThe ledger stays in {LEDGER}; the command is target/debug/quipu."
    ))
}

/// A tool remembers what is not true, in place of what the agent had remembered; it is found, and taken back.
fn poison(demo: &Demo, memory: &str) -> Result<()> {
    let believed = ["facts", "invoices", "--scope", HOME, "--limit", "2"];
    let lie = "Acme wants its invoices sent to pay@acme-billing.example";
    demo.title("A poisoned memory: a tool remembers what nobody said, and an agent acts on it")?;
    let before = demo.ask(&believed)?;
    before.must_succeed()?;
    let by_tool = [
        "append",
        "--scope",
        HOME,
        "--actor",
        "tool:crm",
        "--text",
        lie,
        "--supersedes",
        memory,
    ];
    let poisoned = demo.quipu(&by_tool)?;
    poisoned.must_succeed()?;
    let poison = poisoned.first_event().ok_or("the receipt must name the event")?;
    let decision = [
        "--kind",
        "decision",
        "--text",
        "The March invoice goes to that address",
        "--evidence",
        &poison,
    ];
    demo.quipu(&[&["append", "--scope", HOME, "--actor", "agent:billing"], &decision[..]].concat())?
        .must_succeed()?;
    let facts = demo.quipu(&believed)?;
    facts.must_succeed()?;
    facts.must_say(lie, "what the tool wrote must be believed")?;

    demo.title("Who brought that in, and what came of it?")?;
    let blamed = demo.quipu(&["blame", lie, "--scope", HOME])?;
    blamed.must_succeed()?;
    blamed.must_say("tool:crm", "blame must name the tool")?;
    let impact = demo.quipu(&["impact", &poison])?;
    impact.must_succeed()?;
    impact.must_say("1 decision", "what rests on it must be found")?;

    demo.title("Taken back: what it had replaced holds again, and the log keeps all of it")?;
    let seq = demo.entries()?;
    demo.quipu(&["retract", &poison, "--reason", "the CRM was broken into", "--impact"])?
        .must_succeed()?;
    let after = demo.quipu(&believed)?;
    after.must_succeed()?;
    if after.answer != before.answer {
        return Err(format!("the facts must be those from before:\n{}", before.answer).into());
    }
    let changed = demo.quipu(&["diff", "--scope", HOME, "--from", &seq.to_string()])?;
    changed.must_succeed()?;
    changed.must_say(lie, "diff must show what is believed no more")
}

/// Runs the guest that forges, and holds against its own report what the log says.
fn forgeries(demo: &Demo) -> Result<()> {
    let actor = "agent:mallory";
    let unseen = demo
        .events(&["--scope", NOT_GRANTED])?
        .pop()
        .ok_or("the sample has no event in that scope")?;
    let input = json!({ "scope": NOT_GRANTED, "evidence": unseen["id"] }).to_string();
    let ran = demo.ask(&[
        "run",
        "target/guests/forger.wasm",
        &input,
        "--actor",
        actor,
        "--home",
        HOME,
    ])?;
    demo.command(&ran)?;
    ran.must_succeed()?;
    let attempts: Vec<Value> =
        serde_json::from_str(&ran.answer).map_err(|e| format!("the forger's report is not JSON: {e}"))?;

    let mut refused = Vec::new();
    let mut stored = Vec::new();
    for attempt in &attempts {
        let call = attempt["call"].as_str().ok_or("an attempt of the forger has no name")?;
        match attempt["refused"].as_str() {
            Some(kind) => refused.push(format!("{call} ({kind})")),
            None => {
                let event = &attempt["ok"];
                let stamped = |member: &str, truth: &str| event[member] == truth;
                if !stamped("actor", actor) || !stamped("scope", HOME) || !stamped("kind", "memory.write") {
                    return Err(format!("the forger succeeded with {call}: the log holds {event}").into());
                }
                stored.push(call.to_owned());
            }
        }
    }
    if refused.is_empty() || stored.is_empty() {
        return Err(format!(
            "the forger must be refused some calls and granted others: {}",
            ran.answer
        )
        .into());
    }
    demo.list("refused", &refused)?;
    demo.list("taken as plain content, stamped by the host", &stored)?;
    demo.explain("What the log says of it:")?;
    demo.quipu(&["log", "--actor", actor, "--kind", "memory.write"])?
        .must_succeed()?;
    let all = demo.events(&[])?;
    let of_forger: Vec<_> = all.iter().filter(|event| event["actor"] == actor).collect();
    let truthful = |event: &&Value| event["scope"] == HOME && event["ts"].as_str() >= unseen["ts"].as_str();
    let written = of_forger.iter().filter(|event| event["kind"] == "memory.write").count();
    if written != stored.len() || !of_forger.iter().all(truthful) {
        return Err(format!("the log must hold what {actor} appended, in {HOME}, now; it holds {of_forger:?}").into());
    }
    if let Some(event) = all.iter().find(|event| event["actor"] == CLAIMED) {
        return Err(format!("{CLAIMED} never wrote, yet the log holds {event}").into());
    }
    Ok(())
}

/// The command under show, and how to show it.
struct Demo {
    quipu: PathBuf,
    colour: bool,
}

/// A command line, and what came of it.
struct Ran {
    line: String,
    success: bool,
    /// Standard output.
    answer: String,
    /// Standard output, then standard error.
    said: String,
}

impl Demo {
    fn new() -> Result<Self> {
        let mut build = cargo::cargo();
        // The features of the whole workspace, so that tests and demo share what they build.
        build.args(["build", "--workspace", "--bin", "quipu"]);
        let built = cargo::artifacts(build)?
            .into_iter()
            .find(|built| built.name == "quipu")
            .ok_or("cargo built no quipu")?;
        let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Ok(Self {
            quipu: built.path,
            colour: stdout().is_terminal() && !no_color,
        })
    }

    /// Runs the command and shows its line and its output.
    fn quipu(&self, arguments: &[&str]) -> Result<Ran> {
        let ran = self.start(arguments, self.colour)?;
        self.command(&ran)?;
        write!(stdout(), "{}", ran.said)?;
        Ok(ran)
    }

    fn run_guest(&self, guest: &str, input: &str, actor: &str) -> Result<Ran> {
        self.quipu(&[
            "run",
            &format!("target/guests/{guest}.wasm"),
            input,
            "--actor",
            actor,
            "--home",
            HOME,
        ])
    }

    /// Runs the command and shows nothing.
    fn ask(&self, arguments: &[&str]) -> Result<Ran> {
        self.start(arguments, false)
    }

    fn start(&self, arguments: &[&str], colour: bool) -> Result<Ran> {
        let mut command = Command::new(&self.quipu);
        command
            .args(arguments)
            .current_dir(cargo::root())
            .env("QUIPU_LEDGER", LEDGER);
        // It writes to a pipe here, and would not colour what it writes.
        command.env_remove("CLICOLOR_FORCE");
        if colour {
            command.env("CLICOLOR_FORCE", "1");
        }
        let output = command.output()?;
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = answer.clone() + &String::from_utf8_lossy(&output.stderr);
        let line = arguments
            .iter()
            .fold("quipu".to_owned(), |line, argument| line + " " + &quoted(argument));
        Ok(Ran {
            line,
            success: output.status.success(),
            answer,
            said,
        })
    }

    /// Entries in the log.
    fn entries(&self) -> Result<u64> {
        let stats = self.ask(&["stats", "--json"])?;
        stats.must_succeed()?;
        let stats: Value = serde_json::from_str(&stats.answer)?;
        Ok(stats["entries"]
            .as_u64()
            .ok_or("`quipu stats --json` names no number of entries")?)
    }

    /// The events that `quipu log` gives with these arguments, oldest first.
    fn events(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        let log = self.ask(&[&["log", "--json"], arguments].concat())?;
        log.must_succeed()?;
        Ok(log
            .answer
            .lines()
            .map(serde_json::from_str)
            .collect::<serde_json::Result<_>>()?)
    }

    fn title(&self, text: &str) -> Result<()> {
        Ok(writeln!(stdout(), "\n{}", self.styled("1", text))?)
    }

    fn command(&self, ran: &Ran) -> Result<()> {
        Ok(writeln!(stdout(), "{}", self.styled("36", &format!("$ {}", ran.line)))?)
    }

    fn explain(&self, text: &str) -> Result<()> {
        Ok(writeln!(stdout(), "{}", self.styled("2", text))?)
    }

    fn list(&self, title: &str, items: &[String]) -> Result<()> {
        let mut out = stdout();
        writeln!(out, "{} {title}:", self.styled("1", &items.len().to_string()))?;
        let mut line = String::new();
        for item in items {
            if !line.is_empty() && line.chars().count() + item.chars().count() > 96 {
                writeln!(out, "  {line}")?;
                line.clear();
            }
            line += if line.is_empty() { "" } else { " · " };
            line += item;
        }
        Ok(writeln!(out, "  {line}")?)
    }

    fn styled(&self, style: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{style}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

impl Ran {
    fn must_succeed(&self) -> Result<()> {
        if self.success {
            Ok(())
        } else {
            Err(self.wrong("it must succeed"))
        }
    }

    fn must_fail(&self) -> Result<()> {
        if self.success {
            Err(self.wrong("it must be refused"))
        } else {
            Ok(())
        }
    }

    fn must_say(&self, words: &str, why: &str) -> Result<()> {
        if self.said.contains(words) {
            Ok(())
        } else {
            Err(self.wrong(&format!("{why} ({words})")))
        }
    }

    fn wrong(&self, expected: &str) -> Box<dyn std::error::Error> {
        format!(
            "expected otherwise of `{}`: {expected}. It said:\n{}",
            self.line, self.said
        )
        .into()
    }

    /// The first event id that it printed.
    fn first_event(&self) -> Option<String> {
        const ULID_LENGTH: usize = 26;
        let at = self.answer.find("evt_")?;
        self.answer.get(at..at + "evt_".len() + ULID_LENGTH).map(String::from)
    }
}

/// An argument as a person types it in a shell.
fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@".contains(c);
    match argument {
        _ if !argument.is_empty() && argument.chars().all(plain) => argument.to_owned(),
        _ if argument.contains(['"', '$', '\\', '`', '!']) => format!("'{}'", argument.replace('\'', r"'\''")),
        _ => format!("\"{argument}\""),
    }
}

use std::{io::Write, path::PathBuf};

use quipu_format::{Actor, RunId, Scope, Timestamp, limits};
use quipu_host::{AgentComponent, Identical, RecordedRun, Replay, Replayer, Verdict as Compared};
use serde::Serialize;

use crate::{
    failure::{Failure, Outcome, Verdict, verdict},
    handed,
    ledger::LedgerDir,
    render::{ACTOR, BAD, DIM, GOOD, ID, json_line},
    sandbox,
    terminal::{self, Out, counted, escaped, escaped_lines, shortened},
};

/// Execute a recorded run again from the log, and compare all that it does with what is recorded
///
/// The same component, kept in the ledger by its digest, gets the same input, grant and limits; its readers show the log as
/// it was then, and what it was told besides is what is recorded. Each call's arguments and each draft must be the same.
/// Nothing is appended: it works beside a writer, and on a copy that cannot be written.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu replay 01J9ZQ4V8T4W3E2R1M0N5B6C7D
  quipu replay 01J9ZQ4V8T4W3E2R1M0N5B6C7D --component fixed.wasm   # what would another one have done?
  quipu replay --all
  quipu replay --all --json | jq -r 'select(.verdict != \"identical\") | .run'

Exit codes: 0 identical, as far as the run is recorded; 1 it differs, or there is no such run; 2 wrong usage, or cannot
read; 3 it cannot be replayed: its component is not kept, what it read was erased, the record is of an earlier release.")]
pub(crate) struct Args {
    /// The run, as `quipu run` and `quipu log --kind quipu.run --json` name it
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    run: Option<RunId>,
    /// All runs of the ledger, in the order in which they ended
    #[arg(long)]
    all: bool,
    /// Execute this component in place of the recorded one
    #[arg(long, value_name = "FILE", conflicts_with = "all")]
    component: Option<PathBuf>,
    /// Print each run as one line of JSON: `run`, `verdict` (`identical`, `different`, `refused`), and what differs or why
    #[arg(long)]
    json: bool,
}

pub(crate) fn execute(args: &Args, dir: &LedgerDir) -> Outcome {
    let reader = dir.read()?;
    let compiler = sandbox::compiler();
    let other = args.component.as_deref().map(|file| {
        let wasm = handed::read(file, limits::COMPONENT_BYTES, "a component")?;
        Ok::<_, Failure>(compiler.prepare(&wasm)?)
    });
    let other = other.transpose()?;
    let replayer = Replayer::new(reader)?.compiling(compiler);
    let one = args.run.map(|run| found(&replayer, run)).transpose()?;
    match (&one, &other) {
        (Some(run), None) => replayer.ready(run)?,
        (Some(_), Some(_)) => {}
        (None, _) => ready(&replayer)?,
    }
    sandbox::confine_to_reading(&dir.path)?;
    let executor = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let executor = executor.map_err(|error| Failure::cannot(format!("cannot start threads: {error}")))?;
    let mut out = terminal::out();
    match one {
        Some(run) => {
            let replay = executor.block_on(replayer.replay(&run, other.as_ref()))?;
            let printed = match args.json {
                true => print_json(&mut out, &run, &replay),
                false => print(&mut out, &replay, other.as_ref()),
            };
            verdict(printed.and_then(|()| out.flush()), told(&replay))
        }
        None => all(args, &replayer, &executor, &mut out),
    }
}

fn found(replayer: &Replayer, run: RunId) -> Result<RecordedRun, Failure> {
    let mut progress = terminal::Progress::new("looking for the run");
    let found = replayer.find(run, &mut |done, total| progress.show(done, total))?;
    drop(progress);
    found.ok_or_else(|| Failure::no(format!("there is no run {run} in this ledger")))
}

/// Has all components compiled, while the process may still start the compiler.
fn ready(replayer: &Replayer) -> Result<(), Failure> {
    let mut progress = terminal::Progress::new("compiling");
    Ok(replayer.ready_all(&mut |done, total| progress.show(done, total))?)
}

#[derive(Default)]
struct Counts {
    identical: usize,
    different: usize,
    refused: usize,
}

fn all(args: &Args, replayer: &Replayer, executor: &tokio::runtime::Runtime, out: &mut Out) -> Outcome {
    let (mut counts, mut runs) = (Counts::default(), replayer.runs());
    let mut progress = terminal::Progress::new("replaying");
    while let Some(run) = runs.next() {
        let run = run?;
        let replay = executor.block_on(replayer.replay(&run, None));
        let replay = replay.unwrap_or_else(|error| Replay::failed(&run, &error));
        match replay.verdict {
            Compared::Identical(_) => counts.identical += 1,
            Compared::Different(_) => counts.different += 1,
            _ => counts.refused += 1,
        }
        match args.json {
            true => print_json(out, &run, &replay)?,
            false => row(out, &run, &replay)?,
        }
        let (done, total) = runs.progress();
        progress.show(done, total);
    }
    drop(progress);
    if !args.json {
        let Counts {
            identical,
            different,
            refused,
        } = counts;
        let total = counted(identical + different + refused, "run");
        writeln!(
            out,
            "{DIM}{total}: {identical} identical, {different} different, {refused} not replayed{DIM:#}"
        )?;
    }
    let what = match (counts.different, counts.refused) {
        (0, 0) => Verdict::Yes,
        (0, _) => Verdict::NotAllHere,
        _ => Verdict::No,
    };
    verdict(out.flush(), what)
}

fn told(replay: &Replay) -> Verdict {
    match replay.verdict {
        Compared::Identical(_) => Verdict::Yes,
        Compared::Different(_) => Verdict::No,
        _ => Verdict::NotAllHere,
    }
}

/// How far a run was the recorded one.
fn how_far(identical: Identical) -> &'static str {
    match identical {
        Identical::ToItsEnd => "identical",
        Identical::UpToTheDeadline => "identical up to its end by deadline",
        Identical::UpToTheStacksEnd => "identical up to the end of its stack",
        Identical::UpToTheHostsEnd => "identical up to where the host ended it",
        _ => "identical up to where the host was killed, or the run has come",
    }
}

fn print(out: &mut Out, replay: &Replay, other: Option<&AgentComponent>) -> std::io::Result<()> {
    let did = format!(
        "{} and {} compared",
        counted(replay.calls as usize, "call"),
        counted(replay.appends as usize, "draft")
    );
    let with = other.map_or(String::new(), |other| {
        format!(", with component {}", other.sha256().to_hex())
    });
    match &replay.verdict {
        Compared::Identical(identical) => {
            writeln!(
                out,
                "{GOOD}{}{GOOD:#}: run {}, {did}{with}",
                how_far(*identical),
                replay.run
            )
        }
        Compared::Different(difference) => {
            writeln!(out, "{BAD}different{BAD:#}: run {}{with}", replay.run)?;
            writeln!(out, "{}", escaped_lines(&difference.to_string()))
        }
        Compared::Refused(why) => writeln!(
            out,
            "{BAD}not replayed{BAD:#}: run {}: {}",
            replay.run,
            escaped_lines(&why.why)
        ),
        _ => writeln!(out, "run {}", replay.run),
    }
}

/// Characters of a difference or a reason in a row.
const ROW_CHARS: usize = 160;

fn row(out: &mut Out, run: &RecordedRun, replay: &Replay) -> std::io::Result<()> {
    let time = run.ts.to_string();
    let (id, actor) = (replay.run, run.actor.as_str());
    write!(
        out,
        "{ID}{id}{ID:#}  {DIM}{}Z{DIM:#}  {ACTOR}{actor:16}{ACTOR:#}  {:>5} calls  {:>5} drafts  ",
        time.get(..19).unwrap_or(&time),
        replay.calls,
        replay.appends,
    )?;
    let line = |text: &str| shortened(&escaped(text), ROW_CHARS).into_owned();
    match &replay.verdict {
        Compared::Identical(identical) => writeln!(out, "{GOOD}{}{GOOD:#}", how_far(*identical)),
        Compared::Different(difference) => {
            writeln!(out, "{BAD}different{BAD:#}: {}", line(&difference.to_string()))
        }
        Compared::Refused(why) => writeln!(out, "{BAD}not replayed{BAD:#}: {}", line(&why.why)),
        _ => writeln!(out),
    }
}

#[derive(Serialize)]
struct RunLine<'a> {
    seq: u64,
    ts: Timestamp,
    actor: &'a Actor,
    home: &'a Scope,
    #[serde(flatten)]
    replay: &'a Replay,
}

fn print_json(out: &mut Out, run: &RecordedRun, replay: &Replay) -> std::io::Result<()> {
    let line = RunLine {
        seq: run.seq,
        ts: run.ts,
        actor: &run.actor,
        home: &run.home,
        replay,
    };
    json_line(out, &line)
}

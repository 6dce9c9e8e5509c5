use std::io::Write;

use quipu_format::RunId;

use crate::{
    failure::{Failure, Outcome, good},
    ledger::LedgerDir,
    render::{DIM, event_line, json_line},
    scene::{Scene, WaitFor},
    terminal,
};

/// Print what recall showed to a run
///
/// What its readers gave it is in its end: `quipu log --kind quipu.run.end --json`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu shown 01J9ZQ4V8T4W3E2R1M0N5B6C7D")]
pub(crate) struct Args {
    /// The run
    run: RunId,
    #[command(flatten)]
    wait_for: WaitFor,
    /// Print each answer as one line of JSON: `call`, `answer`, `asOf`, `events`
    #[arg(long)]
    json: bool,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let scene = Scene::until(ledger, &args.wait_for)?;
    let shown = scene.projections.shown(args.run)?;
    if shown.is_empty() {
        return Err(Failure::no(format!("recall showed nothing to run {}", args.run)));
    }
    let mut out = terminal::out();
    for answer in &shown {
        if args.json {
            json_line(&mut out, answer)?;
            continue;
        }
        let as_of = answer.as_of.map_or(String::new(), |seq| format!(", as of {seq}"));
        writeln!(out, "{DIM}call {}: {}{as_of}{DIM:#}", answer.call, answer.answer)?;
        for id in &answer.events {
            let event = scene.reader.find(*id)?.map(|seq| scene.reader.event(seq)).transpose()?;
            match event.flatten() {
                Some(event) => event_line(&mut out, &event)?,
                None => writeln!(out, "{id}")?,
            }
        }
    }
    out.flush()?;
    good()
}

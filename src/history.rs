use std::io::Write;

use quipu_format::EventId;

use crate::{
    failure::{Outcome, good},
    ledger::LedgerDir,
    render::{event_line, json_line},
    scene::{Looking, Scene},
    terminal,
};

/// Print all revisions of an event, the original first
///
/// Along `supersedes`, both ways: what it revised, and what revised it, retractions among them.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu history evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D")]
pub(crate) struct Args {
    /// The id of any of them
    event: EventId,
    #[command(flatten)]
    looking: Looking,
    /// Print each as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let scene = Scene::open(ledger, &args.looking)?;
    scene.seq(args.event)?;
    let events = scene.projections.history(&scene.view(&[]), args.event)?;
    let events = events.ok_or_else(|| scene.not_derived(args.event))?;
    let mut out = terminal::out();
    for event in &events {
        match args.json {
            true => json_line(&mut out, event)?,
            false => event_line(&mut out, event)?,
        }
    }
    out.flush()?;
    good()
}

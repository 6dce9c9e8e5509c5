use std::io::Write;

use quipu_format::EventId;

use crate::{
    failure::{Failure, Outcome, good},
    ledger::LedgerDir,
    render::{event_line, json_line},
    scene::{Point, Scene, WaitFor},
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
    /// As it was: at a position of the ledger or at a time
    #[arg(long, value_name = "SEQ|TIME")]
    as_of: Option<Point>,
    #[command(flatten)]
    wait_for: WaitFor,
    /// Print each as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let scene = Scene::open(ledger, &args.wait_for)?;
    let view = scene.view(&[], scene.at(args.as_of)?.0);
    let events = scene.projections.history(&view, args.event)?;
    let events = events.ok_or_else(|| Failure::no(format!("there is no event named {} in this ledger", args.event)))?;
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

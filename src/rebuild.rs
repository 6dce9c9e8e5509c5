use std::{io::Write, time::Instant};

use quipu_projections::Projections;
use serde::Serialize;

use crate::{
    failure::{Outcome, good},
    ledger::LedgerDir,
    render::{GOOD, json_line},
    terminal,
};

/// Make what is derived from the log again, from nothing
///
/// Facts, search, and what else is answered from the folder projections/; states of projection components are made again
/// when they are asked. Nothing else waits for it: appends are taken, and questions are answered as of how far it has come.
/// Broken off, it is gone on with by the next question.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu rebuild
  quipu rebuild --json | jq .events")]
pub(crate) struct Args {
    /// Print one line of JSON: `events`, `seconds`, and `bytes` of what was made
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Rebuilt {
    events: u64,
    seconds: f64,
    bytes: u64,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let reader = ledger.read()?;
    let projections = Projections::open(&reader)?;
    let begun = Instant::now();
    let mut progress = terminal::Progress::of_entries("rebuilding");
    let events = projections.rebuild_telling(&mut |reached, head| progress.show(reached, head))?;
    drop(progress);
    let rebuilt = Rebuilt {
        events,
        seconds: begun.elapsed().as_secs_f64(),
        bytes: Projections::lag(&reader)?.bytes,
    };
    let mut out = terminal::out();
    match args.json {
        true => json_line(&mut out, &rebuilt)?,
        false => writeln!(
            out,
            "{GOOD}rebuilt{GOOD:#} from {events} entries in {:.1} s, {} bytes",
            rebuilt.seconds, rebuilt.bytes
        )?,
    }
    out.flush()?;
    good()
}

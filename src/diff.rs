use std::io::Write;

use quipu_format::Scope;
use quipu_projections::Query;

use crate::{
    facts::fact_line,
    failure::{Failure, Outcome, good},
    ledger::LedgerDir,
    render::json_line,
    scene::{Point, Scene, WaitFor},
    terminal,
};

/// Print how the facts of a scope changed between two positions
///
/// Both are looked at as of the later time, so that nothing differs because time went by: what differs, an event changed.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu diff --scope customer:acme-inc --from 120 --to 240
  quipu diff --scope customer:acme-inc --from 2026-02-01 --json")]
pub(crate) struct Args {
    /// The scope
    #[arg(long)]
    scope: Scope,
    /// From this position or time
    #[arg(long, value_name = "SEQ|TIME")]
    from: Point,
    /// To this one; the present if it is not said
    #[arg(long, value_name = "SEQ|TIME")]
    to: Option<Point>,
    #[command(flatten)]
    wait_for: WaitFor,
    /// Print each change as one line of JSON: `before` and `after`
    #[arg(long)]
    json: bool,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let scene = Scene::until(ledger, &args.wait_for)?;
    let (from, _) = scene.at(Some(args.from))?;
    let (to, now) = scene.at(args.to)?;
    if from > to {
        return Err(Failure::cannot(format!(
            "--from is position {from}, behind --to, which is {to}"
        )));
    }
    let mut query = Query::default();
    query.now = now;
    let changes = scene.projections.changes(&args.scope, from, to, &query)?;
    if changes.is_empty() {
        return Err(Failure::no(format!("no fact of {} changed", args.scope)));
    }
    let mut out = terminal::out();
    for change in &changes {
        if args.json {
            json_line(&mut out, change)?;
            continue;
        }
        for (lead, fact) in [("- ", &change.before), ("+ ", &change.after)] {
            if let Some(fact) = fact {
                fact_line(&mut out, lead, fact)?;
            }
        }
    }
    out.flush()?;
    good()
}

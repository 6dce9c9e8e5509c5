use std::io::Write;

use quipu_format::Scope;
use serde_json::Value;

use crate::{
    failure::{Failure, Outcome, good},
    ledger::LedgerDir,
    render::json_line,
    scene::{Point, Scene, WaitFor},
    terminal::{self, escaped_lines},
};

/// Print a scope's summary: its newest event of kind `memory.summary` that was not superseded
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu summary --scope customer:acme-inc")]
pub(crate) struct Args {
    /// The scope
    #[arg(long)]
    scope: Scope,
    /// As it was: at a position of the ledger or at a time
    #[arg(long, value_name = "SEQ|TIME")]
    as_of: Option<Point>,
    #[command(flatten)]
    wait_for: WaitFor,
    /// Print the event as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let scene = Scene::open(ledger, &args.wait_for)?;
    let (head, _) = scene.at(args.as_of)?;
    let summary = scene.projections.summary(&args.scope, head)?;
    let summary = summary.ok_or_else(|| Failure::no(format!("{} has no summary", args.scope)))?;
    let mut out = terminal::out();
    if args.json {
        json_line(&mut out, &summary)?;
    } else {
        let payload = summary.payload();
        let payload: Value = payload
            .and_then(|json| serde_json::from_str(json).ok())
            .unwrap_or_default();
        let text = payload["text"].as_str().unwrap_or("(erased)");
        writeln!(out, "{}", escaped_lines(text))?;
    }
    out.flush()?;
    good()
}

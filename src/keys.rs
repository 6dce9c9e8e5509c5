use std::io::Write;

use quipu_format::limits;

use crate::{
    failure::{Outcome, good},
    ledger::LedgerDir,
    render::{DIM, json_line},
    terminal,
};

/// Show how many nodes of its key tree each scope has left
///
/// A scope of which nothing was erased has one. Erasing a stretch leaves at most 32 more; erasing scattered entries up to 32
/// for each. A scope holds at most 100,000.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu keys
  quipu keys --json | jq 'select(.nodes > 50000)'")]
pub(crate) struct Args {
    /// Print each scope as one line of JSON: `scope` and `nodes`
    #[arg(long)]
    json: bool,
}

pub(crate) fn execute(args: Args, dir: &LedgerDir) -> Outcome {
    let scopes = dir.read()?.key_nodes();
    let mut out = terminal::out();
    for keys in &scopes {
        if args.json {
            json_line(&mut out, keys)?;
        } else {
            writeln!(out, "{:>7}  {}", keys.nodes, keys.scope)?;
        }
    }
    if !args.json {
        writeln!(out, "{DIM}of at most {} each{DIM:#}", limits::KEY_NODES)?;
    }
    out.flush()?;
    good()
}

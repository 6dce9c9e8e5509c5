use std::{io::Write, path::PathBuf};

use crate::{
    failure::{Outcome, good},
    ledger::LedgerDir,
    render::GOOD,
    terminal,
};

/// Write what others need to check the history
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu export tiles /tmp/tiles                  checkpoint, tile/ and entries, as C2SP tlog-tiles lays them out")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// The signed checkpoint, the hash tiles and the envelopes, as C2SP tlog-tiles lays them out
    ///
    /// No content is exported; but all scopes, actors, kinds, times and links are.
    #[command(after_help = "\
Examples:
  quipu export tiles /tmp/tiles")]
    Tiles {
        /// A folder that is empty or not there yet
        dir: PathBuf,
    },
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let What::Tiles { dir } = args.what;
    let summary = ledger.read()?.export_tiles(&dir)?;
    let mut out = terminal::out();
    let dir = dir.display().to_string();
    writeln!(
        out,
        "{GOOD}exported{GOOD:#} {} entries to {}",
        summary.entries,
        terminal::escaped(&dir)
    )?;
    out.flush()?;
    good()
}

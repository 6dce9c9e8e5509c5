use std::io::Write;

use crate::{
    failure::{Outcome, good},
    ledger::LedgerDir,
    render::{GOOD, json_line},
    terminal,
};

/// Make full segments immutable, so that the file system refuses to change them
///
/// Full segments are read-only already. The immutable attribute holds against everybody, root included, until it is
/// taken away again; setting it needs root or CAP_LINUX_IMMUTABLE. Run it again after segments have become full.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sudo quipu seal               give all full segments the attribute
  sudo quipu seal --release     take it away, to archive or remove them")]
pub(crate) struct Args {
    /// Take the attribute away
    #[arg(long)]
    release: bool,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let summary = quipu_log::set_immutable(&ledger.path, !args.release)?;
    let mut out = terminal::out();
    if args.json {
        json_line(&mut out, &summary)?;
    } else {
        let now = if args.release { "released" } else { "immutable" };
        writeln!(
            out,
            "{GOOD}{now}{GOOD:#}    {} full segments, {} of them changed",
            summary.segments, summary.changed
        )?;
    }
    out.flush()?;
    good()
}

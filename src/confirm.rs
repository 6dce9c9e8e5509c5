use std::{io::Write, path::PathBuf};

use quipu_format::limits;
use quipu_log::ErrorKind;

use crate::{
    failure::{Failure, Outcome, good},
    handed,
    ledger::LedgerDir,
    render::GOOD,
    terminal,
};

/// Show a restored ledger the newest checkpoint that is known, so that it is written again
///
/// The checkpoint is the signed text that whoever the ledger reports to has kept: an auditor, a witness, another backup.
/// A ledger that is behind it, or does not give its root, stays read only. Nobody else can know whether it is the newest:
/// whoever shows an older one may sign a second history, which the holders of the newer one will find out.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu --ledger /srv/memory confirm /mnt/audit/memory-checkpoint")]
pub(crate) struct Args {
    /// The checkpoint, as a file
    checkpoint: PathBuf,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let file = args.checkpoint.display().to_string();
    let cannot = |what: &dyn std::fmt::Display| Failure::cannot(format!("cannot read {file}: {what}"));
    let own = ledger.path.join("checkpoint").canonicalize();
    let shown = args.checkpoint.canonicalize().map_err(|e| cannot(&e))?;
    if own.is_ok_and(|own| own == shown) {
        return Err(Failure::cannot(
            "this is the restored ledger's own checkpoint, which says nothing of what came later: show one that was kept \
             elsewhere",
        ));
    }
    let note = handed::read_or_pipe(&shown, limits::NOTE_BYTES, "a checkpoint")?;
    let checkpoint = quipu_log::confirm(&ledger.path, &note).map_err(|error| match error.kind() {
        ErrorKind::LostEntries | ErrorKind::Tampered => Failure::no(error.to_string()),
        _ => error.into(),
    })?;
    let mut out = terminal::out();
    writeln!(
        out,
        "{GOOD}confirmed{GOOD:#} at {} entries: the ledger is written again",
        checkpoint.size
    )?;
    out.flush()?;
    good()
}

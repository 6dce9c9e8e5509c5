use std::{io::Write, path::PathBuf};

use quipu_log::{CopyProgress, CopySummary};

use crate::{
    failure::{Outcome, good},
    ledger::LedgerDir,
    render::{DIM, GOOD, json_line},
    terminal::{self, escaped},
};

/// Copy the ledger to a folder, while others write it
///
/// The copy ends with the newest checkpoint, and verifies like the ledger itself. A later backup to the same folder
/// checks what is there and copies what is new; one that was broken off is finished by another. The keys are left out,
/// so that erased content cannot come back from a backup: back them up apart, with copies that expire.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu backup /mnt/backup/memory
  quipu --ledger /mnt/backup/memory verify       without keys: chain and tree
  quipu backup /mnt/vault/memory --with-keys     all that is needed to go on, and to read everything")]
pub(crate) struct Args {
    /// A folder that is empty, not there yet, or holds an earlier backup of this ledger
    dir: PathBuf,
    /// Copy the files keys and signer as well: whoever has them reads everything and can write
    #[arg(long)]
    with_keys: bool,
    /// Print a summary as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let mut progress = terminal::Progress::new("copying");
    let mut show = |now: CopyProgress| progress.show(now.bytes, now.total_bytes);
    let summary = match args.with_keys {
        true => ledger.at(|at| quipu_log::backup(at, &args.dir, true, &mut show))?,
        false => ledger.at_unasked(|at| quipu_log::backup(at, &args.dir, false, &mut show))?,
    };
    drop(progress);
    print(&summary, "backed up", &args.dir, args.json)?;
    good()
}

/// Tells what a copy holds.
pub(crate) fn print(summary: &CopySummary, done: &str, dir: &std::path::Path, json: bool) -> std::io::Result<()> {
    let mut out = terminal::out();
    if json {
        json_line(&mut out, summary)?;
        return out.flush();
    }
    let dir = dir.display().to_string();
    writeln!(
        out,
        "{GOOD}{done}{GOOD:#} {} entries to {}",
        summary.entries,
        escaped(&dir)
    )?;
    writeln!(
        out,
        "{DIM}segments{DIM:#}  copied {} ({} bytes), there already {}",
        summary.segments_copied, summary.bytes_copied, summary.segments_held
    )?;
    for absent in &summary.left_out {
        let file = absent.file.display().to_string();
        writeln!(
            out,
            "{DIM}left out{DIM:#}  entries {} to {}: {} is not there",
            absent.first,
            absent.last,
            escaped(&file)
        )?;
    }
    let keys = if summary.with_keys { "copied" } else { "not in the copy" };
    writeln!(out, "{DIM}keys{DIM:#}      {keys}")?;
    out.flush()
}

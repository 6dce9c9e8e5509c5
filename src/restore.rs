use std::path::PathBuf;

use quipu_log::RestoreOptions;

use crate::{
    backup::print,
    failure::{Outcome, good},
    ledger::LedgerDir,
    terminal,
};

/// Make a ledger of a backup
///
/// The ledger that comes of it can be read and verified at once. It is not written before `quipu confirm` has shown it
/// the newest checkpoint that is known, or it goes on under a new name: two copies that both went on under one key would
/// be two histories that nobody could tell apart.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu restore /mnt/backup/memory /srv/memory --keys /mnt/vault/keys --signer /mnt/vault/signer
  quipu --ledger /srv/memory confirm newest-checkpoint
  quipu restore /mnt/vault/memory /srv/memory --fork example.org/memory-2")]
pub(crate) struct Args {
    /// The backup
    backup: PathBuf,
    /// A folder that is empty or not there yet [default: the one that --ledger names]
    dir: Option<PathBuf>,
    /// The key file, where the backup does not hold it
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// The signer, where the backup does not hold it
    #[arg(long, value_name = "FILE", conflicts_with = "fork")]
    signer: Option<PathBuf>,
    /// Go on under this name and a new key: the next entry names the old ones
    #[arg(long, value_name = "NAME")]
    fork: Option<String>,
    /// Print a summary as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let dir = args.dir.as_ref().unwrap_or(&ledger.path);
    let mut options = RestoreOptions::default();
    (options.keys, options.signer, options.fork) = (args.keys, args.signer, args.fork);
    options.passphrase = ledger.given_passphrase()?;
    let mut progress = terminal::Progress::new("copying");
    let summary = quipu_log::restore(&args.backup, dir, &options, &mut |now| {
        progress.show(now.bytes, now.total_bytes);
    })?;
    drop(progress);
    print(&summary, "restored", dir, args.json)?;
    if options.fork.is_none() {
        terminal::warn("it is not written until `quipu confirm` has shown it the newest checkpoint that is known");
    }
    good()
}

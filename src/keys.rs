use std::{
    io::Write,
    path::{Path, PathBuf},
};

use quipu_format::limits;

use crate::{
    failure::{Outcome, good},
    ledger::{LedgerDir, Wait},
    passphrase,
    render::{DIM, GOOD, json_line},
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
  quipu keys passphrase --new-file new.txt
  quipu keys --json | jq 'select(.nodes > 50000)'")]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// Print each scope as one line of JSON: `scope` and `nodes`
    #[arg(long)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum What {
    /// Seal the files of secrets, `keys` and `signer`, under another passphrase, or their first one, or none
    ///
    /// The files are written anew and the old ones overwritten. Copies of them that were made before stay as they are, and
    /// open with what they had. No process may be writing to the ledger.
    #[command(after_help = "\
Examples:
  quipu keys passphrase --new-file new.txt                                 the first one
  quipu keys passphrase --passphrase-file old.txt --new-file new.txt
  quipu keys passphrase --passphrase-file old.txt --remove")]
    Passphrase {
        /// File with the new passphrase; its last line break does not count
        #[arg(
            long,
            value_name = "FILE",
            required_unless_present = "remove",
            conflicts_with = "remove"
        )]
        new_file: Option<PathBuf>,
        /// Leave the key file in clear
        #[arg(long)]
        remove: bool,
        #[command(flatten)]
        wait: Wait,
    },
}

fn change(new_file: Option<&Path>, wait: &Wait, dir: &LedgerDir) -> Outcome {
    let new = new_file.map(passphrase::read).transpose()?;
    dir.at(|at| quipu_log::set_passphrase(at, new.as_ref(), wait.time()))?;
    let mut out = terminal::out();
    match new {
        Some(_) => writeln!(
            out,
            "{GOOD}sealed{GOOD:#} the key file and the signer under the new passphrase"
        )?,
        None => writeln!(
            out,
            "{GOOD}opened{GOOD:#} the key file and the signer: their secrets are in clear"
        )?,
    }
    out.flush()?;
    good()
}

pub(crate) fn execute(args: Args, dir: &LedgerDir) -> Outcome {
    if let Some(What::Passphrase { new_file, wait, .. }) = &args.what {
        return change(new_file.as_deref(), wait, dir);
    }
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

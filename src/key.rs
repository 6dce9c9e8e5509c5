use std::io::Write;

use crate::{
    failure::{Outcome, good},
    ledger::{LedgerDir, Wait},
    render::{DIM, GOOD, json_line},
    terminal::{self, escaped},
};

/// The keys that checkpoints are signed with
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu key list
  quipu key rotate")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Print the verifier keys, and which sizes of the ledger each holds for
    List {
        /// Print each as a line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Give the ledger another key of the same name
    ///
    /// An entry that the old key signs for names the new one, and from then on checkpoints are signed with that. Whoever
    /// holds the old verifier key follows to the new one by that entry. The old private key is overwritten. Where a process
    /// writes to the ledger, that process does it, and goes on.
    #[command(after_help = "\
Examples:
  quipu key rotate
  quipu key list")]
    Rotate {
        #[command(flatten)]
        wait: Wait,
    },
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let mut out = terminal::out();
    match args.what {
        What::List { json } => {
            for key in ledger.read()?.verifier_keys() {
                if json {
                    json_line(&mut out, &key)?;
                    continue;
                }
                let until = key.until.map_or("now".to_owned(), |until| until.to_string());
                let (from, text) = (key.from, escaped(&key.verifier_key));
                writeln!(out, "{DIM}sizes {from} to {until}{DIM:#}  {text}")?;
            }
        }
        What::Rotate { wait } => {
            let key = ledger.at(|at| quipu_log::rotate_key(at, wait.time()))?;
            writeln!(out, "{GOOD}rotated{GOOD:#} the ledger's key")?;
            writeln!(out, "{DIM}verifier key{DIM:#} {}", escaped(&key.to_string()))?;
        }
    }
    out.flush()?;
    good()
}

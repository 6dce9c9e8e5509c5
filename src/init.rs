use std::{io::Write, path::PathBuf};

use quipu_log::{CreateOptions, Ledger};

use crate::{
    failure::{Failure, Outcome, good},
    ledger::LedgerDir,
    render::{DIM, GOOD},
    terminal,
};

/// Make a new ledger
///
/// The folder must not hold a ledger yet; it is created where it is missing. A pair of keys is made for it: keep
/// what is printed as its verifier key, with which anybody can check what the ledger signs.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu init                                     in ./ledger, or where QUIPU_LEDGER says
  quipu init /srv/memory --origin example.org/support-memory")]
pub(crate) struct Args {
    /// The folder [default: the one that --ledger names]
    dir: Option<PathBuf>,
    /// Name that the ledger signs under: by custom a domain and path that you control, no secret [default: quipu.local/
    /// and a random number]
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let dir = args.dir.as_ref().unwrap_or(&ledger.path);
    let origin = match args.origin {
        Some(origin) => origin,
        None => random_origin()?,
    };
    let created = Ledger::create(dir, CreateOptions::new(origin))?;
    let mut out = terminal::out();
    writeln!(
        out,
        "{GOOD}created{GOOD:#} a ledger in {}",
        terminal::escaped(&dir.display().to_string())
    )?;
    writeln!(out, "{DIM}origin      {DIM:#} {}", created.reader().origin())?;
    writeln!(out, "{DIM}verifier key{DIM:#} {}", created.reader().verifier_key())?;
    created.close()?;
    out.flush()?;
    good()
}

/// Names no host and no folder, and no two ledgers alike.
fn random_origin() -> Result<String, Failure> {
    let number = getrandom::u64().map_err(|error| {
        Failure::cannot(format!(
            "the system gives no randomness for a name: {error}. Name one with --origin"
        ))
    })?;
    Ok(format!("quipu.local/{number:016x}"))
}

use std::{io::Write, path::PathBuf};

use quipu_log::{CreateOptions, Ledger};

use crate::{
    acting,
    failure::{Failure, Outcome, good},
    ledger::LedgerDir,
    operator,
    render::{DIM, GOOD},
    terminal,
};

/// Make a new ledger
///
/// The folder must not hold a ledger yet; it is created where it is missing. A pair of keys is made for it: keep
/// what is printed as its verifier key, with which anybody can check what the ledger signs.
///
/// With --passphrase-file (or QUIPU_PASSPHRASE_FILE) its key file is sealed under that passphrase: whoever loses it loses
/// the content.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu init                                     in ./ledger, or where QUIPU_LEDGER says
  quipu init /srv/memory --origin example.org/support-memory --operator kim --operator-key ~/kim.key")]
pub(crate) struct Args {
    /// The folder [default: the one that --ledger names]
    dir: Option<PathBuf>,
    /// Name that the ledger signs under: by custom a domain and path that you control, no secret [default: quipu.local/
    /// and a random number]
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
    /// Enrol an operator, who may erase: `kim` or `operator:kim`
    #[arg(long, value_name = "NAME", requires = "operator_key")]
    operator: Option<String>,
    /// File for the operator's key, which is made; it stays with them, outside the ledger
    #[arg(long, value_name = "FILE", requires = "operator")]
    operator_key: Option<PathBuf>,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let dir = args.dir.as_ref().unwrap_or(&ledger.path);
    let origin = match args.origin {
        Some(origin) => origin,
        None => random_origin()?,
    };
    let mut options = CreateOptions::new(origin);
    if let Some(passphrase) = ledger.given_passphrase()? {
        options = options.passphrase(passphrase);
    }
    if let (Some(name), Some(file)) = (&args.operator, &args.operator_key) {
        options = options.operator(&operator::make(&acting::full_name(name), file)?)?;
    }
    let created = Ledger::create(dir, options).inspect_err(|_| {
        if let Some(file) = &args.operator_key {
            // Made just now, and of no use.
            let _ = std::fs::remove_file(file);
        }
    })?;
    let mut out = terminal::out();
    writeln!(
        out,
        "{GOOD}created{GOOD:#} a ledger in {}",
        terminal::escaped(&dir.display().to_string())
    )?;
    writeln!(out, "{DIM}origin      {DIM:#} {}", created.reader().origin())?;
    writeln!(out, "{DIM}verifier key{DIM:#} {}", created.reader().verifier_key())?;
    for key in created.reader().operators()? {
        writeln!(out, "{DIM}operator    {DIM:#} {key}")?;
    }
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

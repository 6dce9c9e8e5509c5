use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use quipu_format::{Signer, VerifierKey};
use quipu_log::OperatorChange;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    acting::{self, Acting, Operator},
    failure::{Failure, Outcome, good},
    ledger::{LedgerDir, Wait},
    render::{DIM, json_line},
    terminal::{self, escaped},
};

/// Say who may erase: enrol operators and remove them
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu operator list
  quipu operator add lee --new-key ~/lee.key --operator kim --key ~/kim.key
  quipu operator add kim --new-key ~/kim.key --first
  quipu operator remove operator:lee+0b1c…+AW… --operator kim --key ~/kim.key")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Add(Add),
    Remove(Remove),
    List(List),
}

/// Enrol an operator
///
/// Their key stays with them, outside the ledger: whoever has it can erase.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu operator add lee --new-key ~/lee.key --operator kim --key ~/kim.key
  quipu operator add lee --verifier-key operator:lee+0b1c…+AW… --operator kim --key ~/kim.key
  quipu operator add kim --new-key ~/kim.key --first")]
struct Add {
    /// Their name: `lee` or `operator:lee`
    name: String,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    operator: Option<Operator>,
    #[command(flatten)]
    wait: Wait,
    /// The ledger has never had an operator: nobody needs to sign
    #[arg(long, conflicts_with = "Operator", required_unless_present = "Operator")]
    first: bool,
    /// Print the receipt as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Where an operator's key comes from.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Key {
    /// Make a pair of keys, and write the operator's to this file, which only its owner may read
    #[arg(long, value_name = "FILE")]
    new_key: Option<PathBuf>,
    /// The verifier key of a pair that the operator has made
    #[arg(long, value_name = "KEY")]
    verifier_key: Option<VerifierKey>,
}

/// Remove an operator, whose acts count no more
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu operator remove operator:lee+0b1c…+AW… --operator kim --key ~/kim.key")]
struct Remove {
    /// Their verifier key, as `quipu operator list` prints it
    verifier_key: VerifierKey,
    #[command(flatten)]
    acting: Acting,
    /// Print the receipt as one line of JSON
    #[arg(long)]
    json: bool,
}

/// List the operators who are enrolled
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu operator list --json")]
struct List {
    /// Print each as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    name: &'a str,
    verifier_key: String,
}

pub(crate) fn execute(args: Args, dir: &LedgerDir) -> Outcome {
    match args.what {
        What::Add(args) => add(args, dir),
        What::Remove(args) => {
            let ledger = args.acting.open(dir)?;
            let change = OperatorChange::Remove(args.verifier_key.to_string());
            let receipt = args
                .acting
                .operator
                .act(&ledger, OperatorChange::MEMBER, &change, None)?;
            acting::done(
                ledger,
                &receipt,
                args.json,
                &format!("removed {}", args.verifier_key.name()),
            )
        }
        What::List(args) => list(&args, dir),
    }
}

fn add(args: Add, dir: &LedgerDir) -> Outcome {
    let name = acting::full_name(&args.name);
    let ledger = dir.write(&args.wait)?;
    let key = match (&args.key.new_key, args.key.verifier_key) {
        (Some(file), _) => make(&name, file)?,
        (None, Some(key)) if key.name() == name => key,
        (None, key) => {
            let other = key.map(|key| key.name().to_owned()).unwrap_or_default();
            return Err(Failure::cannot(format!(
                "the verifier key is that of {other}, not of {name}"
            )));
        }
    };
    let receipt = match &args.operator {
        Some(operator) => {
            let change = OperatorChange::Enrol(key.to_string());
            operator.act(&ledger, OperatorChange::MEMBER, &change, None)?
        }
        None => ledger.found_operator(&key)?,
    };
    acting::done(ledger, &receipt, args.json, &format!("enrolled {key}"))
}

fn list(args: &List, dir: &LedgerDir) -> Outcome {
    let keys = dir.read()?.operators()?;
    let mut out = terminal::out();
    for key in &keys {
        let (name, verifier_key) = (key.name(), key.to_string());
        if args.json {
            json_line(&mut out, &Line { name, verifier_key })?;
        } else {
            writeln!(out, "{}  {DIM}{}{DIM:#}", escaped(name), escaped(&verifier_key))?;
        }
    }
    if keys.is_empty() && !args.json {
        writeln!(
            out,
            "{DIM}nobody may erase: `quipu operator add NAME --new-key FILE --first` enrols the first{DIM:#}"
        )?;
    }
    out.flush()?;
    good()
}

/// Makes a pair of keys, and a file for the operator's, which must not be there yet.
pub(crate) fn make(name: &str, file: &Path) -> Result<VerifierKey, Failure> {
    let cannot = |what: &dyn std::fmt::Display| Failure::cannot(format!("cannot write {}: {what}", file.display()));
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *secret)
        .map_err(|e| cannot(&format_args!("the system gives no randomness for a key: {e}")))?;
    let signer = Signer::new(name, *secret).map_err(|e| Failure::cannot(e.to_string()))?;
    let text = Zeroizing::new(format!("{}\n", *signer.to_text()));
    let mut new = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .map_err(|e| cannot(&e))?;
    let written = new.write_all(text.as_bytes()).and_then(|()| new.sync_all());
    written.map_err(|e| {
        // Half a key is none.
        let _ = fs::remove_file(file);
        cannot(&e)
    })?;
    Ok(signer.verifier_key())
}

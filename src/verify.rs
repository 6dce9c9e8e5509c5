use std::io::Write;

use quipu_log::Verification;

use crate::{
    failure::{Outcome, Verdict, verdict},
    ledger::LedgerDir,
    render::{BAD, DIM, GOOD, json_line},
    terminal::{self, escaped},
};

/// Check that nobody changed the ledger
///
/// Recomputes every entry's hash, every scope's chain, every commitment to content and the root of the tree, and
/// compares the root with the signed checkpoint. Names the first bad place by file, offset and position.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu verify
  quipu --ledger /backup/memory verify --json")]
pub(crate) struct Args {
    /// Print the verdict as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let mut progress = terminal::Progress::new("verifying");
    let verification = quipu_log::verify(&ledger.path, &mut |now| progress.show(now.bytes, now.total_bytes))?;
    drop(progress);
    let printed = if args.json {
        print_json(&verification)
    } else {
        print(&verification)
    };
    let found = match (&verification.fault, &verification.absent[..]) {
        (Some(_), _) => Verdict::No,
        (None, []) => Verdict::Yes,
        (None, _) => Verdict::NotAllHere,
    };
    verdict(printed, found)
}

fn print_json(verification: &Verification) -> std::io::Result<()> {
    let mut out = terminal::out();
    json_line(&mut out, verification)?;
    out.flush()
}

fn print(verification: &Verification) -> std::io::Result<()> {
    let mut out = terminal::out();
    let Verification {
        entries,
        scopes,
        intact,
        sealed,
        checkpoint_size,
        root,
        ..
    } = verification;
    match &verification.fault {
        None if !verification.absent.is_empty() => {
            writeln!(
                out,
                "{BAD}not all here{BAD:#} nothing is wrong with what is: entries {entries}, scopes {scopes}"
            )?;
        }
        None => writeln!(out, "{GOOD}verified{GOOD:#}    entries {entries}, scopes {scopes}")?,
        Some(fault) => {
            let seq = fault.seq.map(|seq| format!(", seq {seq}")).unwrap_or_default();
            let (file, what) = (escaped(&fault.file), escaped(&fault.what));
            writeln!(
                out,
                "{BAD}verify failed{BAD:#} in {file} at byte {}{seq}: {what}",
                fault.offset
            )?;
            writeln!(out, "{DIM}good before{DIM:#} entries {entries}, scopes {scopes}")?;
        }
    }
    writeln!(out, "{DIM}content{DIM:#}     intact {intact}, sealed {sealed}")?;
    writeln!(out, "{DIM}checkpoint{DIM:#}  covers {checkpoint_size}")?;
    writeln!(out, "{DIM}root{DIM:#}        {root}")?;
    for absent in &verification.absent {
        let file = absent.file.display().to_string();
        writeln!(
            out,
            "{DIM}not here{DIM:#}    entries {} to {}, archived to {}",
            absent.first,
            absent.last,
            escaped(&file)
        )?;
    }
    for note in &verification.notes {
        writeln!(out, "{DIM}note{DIM:#}        {}", escaped(note))?;
    }
    out.flush()
}

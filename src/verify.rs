use std::{io::Write, num::NonZeroUsize, path::PathBuf};

use quipu_format::{WitnessKey, limits};
use quipu_log::{Cosigned, ErrorKind, Verdict, Verification, VerifyProgress};
use serde::Serialize;

use crate::{
    failure::{self, Failure, Outcome},
    handed,
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
  quipu verify --since kept-checkpoint
  quipu --ledger /backup/memory verify --json
  quipu verify --quorum 2 --witness VKEY --witness VKEY --witness VKEY")]
pub(crate) struct Args {
    /// Print the verdict as one line of JSON
    #[arg(long)]
    json: bool,
    /// A checkpoint of this ledger that somebody kept: a ledger that was cut short since, or put back to an older copy, does
    /// not verify
    #[arg(long, value_name = "CHECKPOINT")]
    since: Option<PathBuf>,
    /// Demand that a checkpoint of this log was cosigned by so many of the witnesses named
    #[arg(long, value_name = "N", requires = "witness")]
    quorum: Option<NonZeroUsize>,
    /// The verifier key of a witness that is trusted; may be repeated
    #[arg(long, value_name = "VKEY", requires = "quorum")]
    witness: Vec<WitnessKey>,
}

/// The verdict, and what witnesses say.
#[derive(Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    verification: &'a Verification,
    #[serde(skip_serializing_if = "Option::is_none")]
    cosigned: Option<&'a Cosigned>,
    /// Why the quorum was not met.
    #[serde(skip_serializing_if = "Option::is_none")]
    unwitnessed: Option<String>,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let mut progress = terminal::Progress::new("verifying");
    let mut show = |now: VerifyProgress| progress.show(now.bytes, now.total_bytes);
    let verification = match &args.since {
        None => ledger.at_unasked(|at| quipu_log::verify(at, &mut show))?,
        Some(file) => {
            let note = handed::read_or_pipe(file, limits::NOTE_BYTES, "a checkpoint")?;
            ledger.at_unasked(|at| quipu_log::verify_since(at, &note, &mut show))?
        }
    };
    drop(progress);
    let (cosigned, unwitnessed) = match args.quorum {
        Some(quorum) => witnessed(ledger, quorum.get(), &args.witness)?,
        None => (None, None),
    };
    let all = Printed {
        verification: &verification,
        cosigned: cosigned.as_ref(),
        unwitnessed,
    };
    let printed = if args.json { print_json(&all) } else { print(&all) };
    let found = match (&verification.fault, &verification.absent[..]) {
        _ if all.unwitnessed.is_some() => failure::Verdict::No,
        (Some(_), _) => failure::Verdict::No,
        (None, []) => failure::Verdict::Yes,
        (None, _) => failure::Verdict::NotAllHere,
    };
    failure::verdict(printed, found)
}

/// What witnesses signed, and why that is not enough, if it is not.
fn witnessed(
    ledger: &LedgerDir,
    quorum: usize,
    witnesses: &[WitnessKey],
) -> Result<(Option<Cosigned>, Option<String>), Failure> {
    match ledger.read()?.cosigned(witnesses) {
        Ok(cosigned) => {
            let have = cosigned.witnesses.len();
            let short = (have < quorum)
                .then(|| format!("{have} of the witnesses named signed a checkpoint of this log, not {quorum}"));
            Ok((Some(cosigned), short))
        }
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Tampered) => Ok((None, Some(e.to_string()))),
        Err(e) => Err(e.into()),
    }
}

fn print_json(all: &Printed<'_>) -> std::io::Result<()> {
    let mut out = terminal::out();
    json_line(&mut out, all)?;
    out.flush()
}

fn print(all: &Printed<'_>) -> std::io::Result<()> {
    let mut out = terminal::out();
    let verification = all.verification;
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
    let (signed, claimed) = (verification.erased_with_authority, verification.erased_claimed);
    if signed + claimed > 0 {
        writeln!(
            out,
            "{DIM}erased{DIM:#}      with authority {signed}, claimed by the host {claimed}"
        )?;
    }
    for erased in &verification.erasures {
        let who = match (&erased.operator, &erased.refused) {
            (Some(operator), _) => operator.as_str(),
            (None, None) => "the host, who claims it",
            (None, Some(_)) => "nobody who may",
        };
        let (id, scope, count) = (erased.id, &erased.erasure.scope, erased.erasure.count());
        writeln!(out, "{DIM}  {id}  {} by {who}: {count} of {scope}{DIM:#}", erased.ts)?;
    }
    for finding in &verification.findings {
        let verdict = match finding.verdict {
            Verdict::ErasureNotCarriedOut => "erasure not carried out",
            Verdict::ErasureWithoutAuthority => "erasure without authority",
            _ => "tampered or missing",
        };
        let [first, last] = finding.nths;
        writeln!(
            out,
            "{BAD}{verdict}{BAD:#} entries {first} to {last} of {}",
            finding.scope
        )?;
    }
    writeln!(out, "{DIM}checkpoint{DIM:#}  covers {checkpoint_size}")?;
    writeln!(out, "{DIM}root{DIM:#}        {root}")?;
    if let Some(why) = &all.unwitnessed {
        writeln!(out, "{BAD}not witnessed{BAD:#}: {}", escaped(why))?;
    }
    if let Some(cosigned) = all.cosigned {
        for witness in &cosigned.witnesses {
            let name = escaped(&witness.name);
            writeln!(
                out,
                "{DIM}witness{DIM:#}     {name} signed {} entries at {} s since 1970",
                cosigned.size, witness.time
            )?;
        }
    }
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

use std::{io::Write, path::PathBuf};

use quipu_format::{Erasure, Policy, RetentionChange, ScopePattern, Signer};
use quipu_log::{Due, ErrorKind, Ledger, LedgerReader, PolicyState, SignedAct};
use serde::Serialize;

use crate::{
    acting::{self, Acting, Operator},
    failure::{Failure, Outcome, Verdict, good, verdict},
    forget::forget,
    hold::ranges_text,
    ledger::{LedgerDir, Wait},
    render::{DIM, GOOD, ID, json_line},
    terminal::{self, Out},
};

/// Say how long what is kept, and erase what is due
///
/// A policy is for one scope, or with a `*` at the end for all that begin alike; the closest one holds, alone. Ages are by
/// the time at which the ledger took an entry. Nothing is erased by itself: `run` does it, from a timer for example.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu retention set 'customer:*' --keep-days 30 --erase-after-days 730 --erase-expired \\
        --basis \"contract, and the storage limitation of the privacy notice\" --operator kim --key ~/kim.key
  quipu retention show
  quipu retention run --dry-run
  quipu retention run --operator kim --key ~/kim.key")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Set the policy for a scope, or for all that begin alike
    Set(Set),
    /// Take a policy away
    Remove(Remove),
    /// Print the policies
    Show(Show),
    /// Erase what is due, except what is held
    Run(Run),
}

#[derive(clap::Args)]
struct Set {
    /// A scope, `customer:acme-inc`, or all that begin alike, `'customer:*'`
    scopes: ScopePattern,
    /// Refuse to erase entries that are younger than so many days
    #[arg(long, value_name = "DAYS")]
    keep_days: Option<u32>,
    /// Entries are due after so many days
    #[arg(long, value_name = "DAYS")]
    erase_after_days: Option<u32>,
    /// Entries whose own time (`ttlDays`) is over are due, up to the first whose time is not
    #[arg(long)]
    erase_expired: bool,
    /// On what ground; sealed in the log
    #[arg(long, value_name = "TEXT")]
    basis: String,
    #[command(flatten)]
    acting: Acting,
    /// Print the receipt as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Remove {
    /// As the policy names them
    scopes: ScopePattern,
    /// Why; sealed in the log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    acting: Acting,
    /// Print the receipt as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Show {
    /// Print each as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Run {
    /// Print what is due, and erase nothing
    #[arg(long)]
    dry_run: bool,
    /// The operator who erases: `kim` or `operator:kim`
    #[arg(long, value_name = "NAME", requires = "key")]
    operator: Option<String>,
    /// The file with the operator's key
    #[arg(long, value_name = "FILE", requires = "operator")]
    key: Option<PathBuf>,
    #[command(flatten)]
    wait: Wait,
    /// Print what is due of each scope as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct PolicyLine<'a> {
    #[serde(flatten)]
    state: &'a PolicyState,
    basis: Option<String>,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    match args.what {
        What::Set(args) => set(args, ledger),
        What::Remove(args) => remove(args, ledger),
        What::Show(args) => show(&args, ledger),
        What::Run(args) => run(&args, ledger),
    }
}

fn set(args: Set, dir: &LedgerDir) -> Outcome {
    let policy = Policy {
        erase_after_days: args.erase_after_days,
        erase_expired: args.erase_expired,
        keep_days: args.keep_days,
        of: args.scopes,
    };
    policy.check().map_err(|error| Failure::cannot(error.to_string()))?;
    let what = format!("policy set for {}: {}", policy.of, said(&policy));
    let change = RetentionChange::Set(policy);
    let (member, basis) = (RetentionChange::MEMBER, Some(&*args.basis));
    args.acting.act(dir, member, &change, basis, args.json, &what)
}

fn remove(args: Remove, dir: &LedgerDir) -> Outcome {
    let what = format!("no policy for {} any more", args.scopes);
    let change = RetentionChange::Remove(args.scopes);
    let (member, reason) = (RetentionChange::MEMBER, Some(&*args.reason));
    args.acting.act(dir, member, &change, reason, args.json, &what)
}

fn show(args: &Show, ledger: &LedgerDir) -> Outcome {
    let reader = ledger.read()?;
    let governance = reader.governance()?;
    let mut out = terminal::out();
    let mut none = true;
    for state in governance.policies() {
        none = false;
        let basis = reader.reason(state.since.seq)?;
        if args.json {
            json_line(&mut out, &PolicyLine { state, basis })?;
            continue;
        }
        writeln!(
            out,
            "{ID}{}{ID:#}  {}  {DIM}since {}{DIM:#}",
            state.policy.of,
            said(&state.policy),
            acting::by(&state.since)
        )?;
        acting::tell_reason(&mut out, basis.as_deref())?;
    }
    if none && !args.json {
        writeln!(
            out,
            "no retention policy is set: nothing is kept for a minimum, and nothing is due"
        )?;
    }
    out.flush()?;
    good()
}

fn run(args: &Run, dir: &LedgerDir) -> Outcome {
    let mut out = terminal::out();
    if args.dry_run {
        let reader = dir.read()?;
        let due = due(&reader)?;
        due.iter().try_for_each(|due| print(&mut out, due, args.json, false))?;
        if due.is_empty() && !args.json {
            writeln!(out, "nothing is due")?;
        }
        out.flush()?;
        return good();
    }
    let (Some(operator), Some(key)) = (&args.operator, &args.key) else {
        return Err(Failure::cannot(
            "an operator erases: name one with --operator and --key, or look with --dry-run",
        ));
    };
    let operator = Operator {
        operator: operator.clone(),
        key: key.clone(),
    };
    let signer = operator.signer()?;
    let ledger = dir.write(&args.wait)?;
    ledger.reader().refresh()?;
    let mut all = true;
    let due = due(ledger.reader())?;
    for due in &due {
        // A hold that came meanwhile keeps this scope, and not the others.
        match erase(&ledger, &signer, due) {
            Ok(()) => print(&mut out, due, args.json, true)?,
            Err(error) if error.kind() == ErrorKind::Held => {
                terminal::warn(&format!("{}: {error}", due.scope));
                all = false;
            }
            Err(error) => return Err(error.into()),
        }
    }
    if due.is_empty() && !args.json {
        writeln!(out, "nothing is due")?;
    }
    forget(ledger.reader())?;
    ledger.close()?;
    verdict(out.flush(), Verdict::from(all))
}

fn due(reader: &LedgerReader) -> Result<Vec<Due>, Failure> {
    let mut progress = terminal::Progress::new("looking for what is due");
    Ok(reader.due(terminal::now(), &mut |done, of| progress.show(done, of))?)
}

/// Erases what is due of one scope, all or none.
fn erase(ledger: &Ledger, signer: &Signer, due: &Due) -> quipu_log::Result<()> {
    if due.erasures.is_empty() {
        return Ok(());
    }
    let reader = ledger.reader();
    let reason = format!("by the retention policy for {}", due.policy.policy.of);
    let sign = |erasure| -> quipu_log::Result<SignedAct> {
        let act = SignedAct::sign(reader.origin(), reader.head(), Erasure::MEMBER, erasure, signer)?;
        Ok(act.because(&reason))
    };
    let acts = due.erasures.iter().map(sign).collect::<Result<_, _>>()?;
    ledger.act_blocking(acts).map(drop)
}

fn print(out: &mut Out, due: &Due, json: bool, done: bool) -> Result<(), Failure> {
    if json {
        return Ok(json_line(out, due)?);
    }
    let word = if done { "erased" } else { "due" };
    for erasure in &due.erasures {
        let why = match erasure.cause {
            quipu_format::Cause::Expiry => "expired",
            _ => "old enough",
        };
        writeln!(
            out,
            "{GOOD}{word}{GOOD:#}    {}  {} {DIM}({why}, {} in all){DIM:#}",
            due.scope,
            ranges_text(&erasure.ranges),
            erasure.count()
        )?;
    }
    for held in &due.held {
        writeln!(
            out,
            "held    {}  {} {DIM}by {}{DIM:#}",
            due.scope,
            ranges_text(&held.ranges),
            held.hold
        )?;
    }
    if let Some(event) = due.waiting_for {
        writeln!(
            out,
            "waiting {}  {} expired behind {ID}{event}{ID:#}, which is not due",
            due.scope, due.waiting
        )?;
    }
    Ok(())
}

/// `kept 30 days, erased after 730`.
fn said(policy: &Policy) -> String {
    let days = |days: u32| terminal::counted(days as usize, "day");
    let kept = policy.keep_days.map(|kept| format!("kept {}", days(kept)));
    let erased = policy
        .erase_after_days
        .map(|after| format!("erased after {}", days(after)));
    let expired = policy.erase_expired.then(|| "erased at expiry".to_owned());
    let parts: Vec<_> = [kept, erased, expired].into_iter().flatten().collect();
    parts.join(", ")
}

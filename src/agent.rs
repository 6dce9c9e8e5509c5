use std::io::{IsTerminal, Write, stdin};

use quipu_audit::Report;
use quipu_format::{AgentChange, AgentGrant, AgentName, SecretsPolicy};
use quipu_host::{GrantChange, NamedAgent, Review};
use serde::Serialize;

use crate::{
    acting::{self, Acting},
    agents::AgentsFile,
    failure::{Failure, Outcome, good},
    ledger::LedgerDir,
    render::{DIM, GOOD, ReceiptLine, json_line},
    terminal::{self, Out, escaped},
};

/// Approve agents that `quipu.toml` names, so that they run
///
/// An approval is an operator's signed entry in the ledger, of one component with one grant. When either gets wider, the
/// agent is not run until that is approved too; what gets narrower needs no approval.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu agent approve support --operator kim --key ~/kim.key
  quipu agent approve support --operator kim --key ~/kim.key --yes --reason \"ticket 4711\"
  quipu agent withdraw support --operator kim --key ~/kim.key --reason \"replaced\"")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Show what an agent can do, or what differs from what was approved before, and approve it
    Approve(Approve),
    /// Have nothing approved under a name any more
    Withdraw(Withdraw),
}

#[derive(clap::Args)]
struct Approve {
    /// Its name in quipu.toml
    name: AgentName,
    /// Approve it without asking
    #[arg(long)]
    yes: bool,
    /// Why; sealed in the log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    acting: Acting,
    /// Print what was looked at, and the receipt, as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Withdraw {
    /// Its name
    name: AgentName,
    /// Why; sealed in the log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    acting: Acting,
    /// Print the receipt as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ApprovedLine<'a> {
    name: &'a AgentName,
    audit: serde_json::Value,
    grant: &'a AgentGrant,
    grant_change: Option<&'a GrantChange>,
    /// None: it was approved already.
    receipt: Option<ReceiptLine>,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    match args.what {
        What::Approve(args) => approve(&args, ledger),
        What::Withdraw(args) => withdraw(&args, ledger),
    }
}

fn approve(args: &Approve, dir: &LedgerDir) -> Outcome {
    let file = AgentsFile::read(dir)?;
    let agent = file.agent(&args.name)?;
    let wasm = file.component(agent)?;
    // A key that cannot be used is said before anybody is asked.
    args.acting.operator.signer()?;
    let ledger = args.acting.open(dir)?;
    ledger.reader().refresh()?;
    let review = agent.review(&wasm, ledger.reader())?;
    let before = review.before.as_ref().map(|before| {
        let since = acting::by(&before.since);
        format!("what was approved {since}")
    });
    let component = agent.component.to_string_lossy();
    let name = component.rsplit('/').next().unwrap_or_default();
    let report = Report {
        name,
        audit: &review.audit,
        breaches: &[],
        change: before.as_deref().zip(review.change.as_ref()),
    };
    let mut out = terminal::out();
    if !args.json {
        show(&mut out, agent, &review, &report)?;
        out.flush()?;
    }
    let receipt = if review.is_approved() {
        None
    } else {
        if !args.yes {
            confirm(&args.name)?;
            ledger.reader().refresh()?;
            if ledger.reader().governance_whole()?.agent(&args.name) != review.before.as_ref() {
                return Err(Failure::no(
                    "nothing was approved, for somebody approved or withdrew something meanwhile: look again",
                ));
            }
        }
        // Where it is approved its bytes are, for whoever compares the next one with it.
        ledger.put_component(review.component.bytes())?;
        let change = AgentChange::Approve(Box::new(review.approval.clone()));
        let reason = args.reason.as_deref();
        Some(
            args.acting
                .operator
                .act(&ledger, AgentChange::MEMBER, &change, reason)?,
        )
    };
    if args.json {
        json_line(
            &mut out,
            &ApprovedLine {
                name: &args.name,
                audit: report.json(),
                grant: &review.approval.grant,
                grant_change: review.grant_change.as_ref(),
                receipt: receipt.as_ref().map(ReceiptLine::from),
            },
        )?;
        out.flush()?;
        ledger.close()?;
        return good();
    }
    match receipt {
        Some(receipt) => acting::done(ledger, &receipt, false, &format!("{} is approved", args.name)),
        None => {
            ledger.close()?;
            writeln!(out, "{GOOD}{} is approved already{GOOD:#}", args.name)?;
            out.flush()?;
            good()
        }
    }
}

fn withdraw(args: &Withdraw, dir: &LedgerDir) -> Outcome {
    let ledger = args.acting.open(dir)?;
    let change = AgentChange::Withdraw(args.name.clone());
    let operator = &args.acting.operator;
    let receipt = operator.act(&ledger, AgentChange::MEMBER, &change, args.reason.as_deref())?;
    acting::done(
        ledger,
        &receipt,
        args.json,
        &format!("{} is approved no more", args.name),
    )
}

/// Has whoever is at the terminal say yes.
fn confirm(name: &AgentName) -> Result<(), Failure> {
    let nothing = |why: &str| Failure::no(format!("nothing was approved: {why}"));
    if !stdin().is_terminal() {
        return Err(nothing("there is no terminal to ask at; repeat with --yes"));
    }
    let mut err = anstream::stderr();
    write!(err, "Approve {name}? [y/N] ").and_then(|()| err.flush())?;
    let mut answer = String::new();
    let read = stdin().read_line(&mut answer);
    read.map_err(|error| Failure::cannot(format!("cannot read the answer: {error}")))?;
    match matches!(answer.trim(), "y" | "Y" | "yes") {
        true => Ok(()),
        false => Err(nothing("the answer was not yes")),
    }
}

/// The whole audit and grant, or where something was approved before, the differences.
fn show(out: &mut Out, agent: &NamedAgent, review: &Review, report: &Report<'_>) -> std::io::Result<()> {
    match (&review.before, &review.change) {
        (Some(_), Some(_)) => write!(out, "{}", report.brief())?,
        (Some(_), None) => {
            writeln!(
                out,
                "{DIM}the component that was approved before is not in the ledger's folder: this is the whole audit{DIM:#}"
            )?;
            write!(out, "{}", report.text())?;
        }
        (None, _) => write!(out, "{}", report.text())?,
    }
    match &review.grant_change {
        None => {
            writeln!(out, "\nWhat {} is granted", agent.name)?;
            for line in granted(&agent.grant) {
                writeln!(out, "  {}", escaped(&line))?;
            }
        }
        Some(change) => {
            writeln!(out, "\nBeside the grant that was approved")?;
            if change.is_none() {
                writeln!(out, "  the same")?;
            }
            for (way, list) in [("wider", &change.widened), ("narrower", &change.narrowed)] {
                for each in list {
                    writeln!(out, "  {way}: {}", escaped(each))?;
                }
            }
        }
    }
    writeln!(out)
}

/// A grant in lines.
fn granted(grant: &AgentGrant) -> Vec<String> {
    let mut lines = vec![
        format!("is stamped as {}", grant.actor),
        format!("reads and appends to {}", grant.home),
    ];
    lines.extend(grant.read.iter().map(|pattern| format!("reads {pattern}")));
    lines.extend(grant.append.iter().map(|scope| format!("appends to {scope}")));
    let kinds: Vec<_> = grant.kinds.iter().map(|kind| kind.as_str()).collect();
    lines.push(match kinds.is_empty() {
        true => "appends nothing, for no kind is granted".to_owned(),
        false => format!("appends the kinds {}", kinds.join(", ")),
    });
    if grant.supersede_others {
        lines.push("supersedes events of other actors".to_owned());
    }
    lines.push(match grant.secrets {
        SecretsPolicy::Handle => "stores a handle where an append holds a secret".to_owned(),
        _ => "is refused an append that holds a secret".to_owned(),
    });
    if grant.wasi {
        lines.push(
            "has a WASI with nothing behind it: no files, no network, no environment, a clock that stands".to_owned(),
        );
    }
    let limits = quipu_host::limits_by_name(&grant.limits);
    let limits: Vec<_> = limits.iter().map(|(name, most)| format!("{name} {most}")).collect();
    lines.push(format!("within {}", limits.join(", ")));
    lines
}

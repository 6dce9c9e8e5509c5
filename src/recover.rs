use std::io::Write;

use quipu_log::RecoveryPlan;

use crate::{
    failure::{Outcome, verdict},
    ledger::{LedgerDir, Wait},
    render::{BAD, DIM, GOOD, json_line},
    terminal::{self, escaped},
};

/// Say what an open for writing finds and does, and do it
///
/// Every command that writes recovers from a crash by itself. This one says which row of the recovery table the ledger
/// is in (docs/FORMAT.md), and what follows: nothing is changed where going on would hide what happened.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu recover --dry-run          only say it
  quipu recover --dry-run --json
  quipu recover                    open the ledger for writing, and close it")]
pub(crate) struct Args {
    /// Change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    wait: Wait,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let plan = ledger.at(|at| quipu_log::plan_recovery(at))?;
    if !args.dry_run && plan.refusal.is_none() {
        ledger.write(&args.wait)?.close()?;
    }
    let printed = if args.json {
        print_json(&plan)
    } else {
        print(&plan, args.dry_run)
    };
    verdict(printed, plan.refusal.is_none().into())
}

fn print_json(plan: &RecoveryPlan) -> std::io::Result<()> {
    let mut out = terminal::out();
    json_line(&mut out, plan)?;
    out.flush()
}

fn print(plan: &RecoveryPlan, dry_run: bool) -> std::io::Result<()> {
    let mut out = terminal::out();
    let tone = if plan.refusal.is_none() { GOOD } else { BAD };
    writeln!(out, "{tone}row {}{tone:#}: {}", plan.row, plan.state())?;
    writeln!(
        out,
        "{DIM}entries{DIM:#}       {}, of which {} must be there; {} are vouched for and not read again",
        plan.entries, plan.acknowledged, plan.vouched
    )?;
    if plan.writer {
        writeln!(
            out,
            "{DIM}note{DIM:#}          a writer is at work: what looks torn may be a commit that is being written"
        )?;
    }
    match &plan.refusal {
        Some(why) => writeln!(out, "{DIM}not written{DIM:#}   {}", escaped(why))?,
        None => {
            let when = if dry_run { "an open would" } else { "done" };
            for (number, step) in plan.steps.iter().enumerate() {
                let when = if number == 0 { when } else { "" };
                writeln!(out, "{DIM}{when:13}{DIM:#} {}", escaped(step))?;
            }
        }
    }
    out.flush()
}

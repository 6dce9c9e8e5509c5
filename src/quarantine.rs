use std::{collections::BTreeMap, io::Write};

use quipu_format::{Actor, EventId, RunId, Scope};
use quipu_projections::{QUARANTINE, Quarantine};
use serde_json::json;

use crate::{
    acting::{self, Acting},
    failure::{Failure, Outcome, good},
    ledger::LedgerDir,
    render::{DIM, event_line, json_line},
    scene::{Point, Scene},
    terminal::{self, counted},
};

/// Take all that a run or an actor wrote out of what is recalled; it stays in the log
///
/// One entry, signed by an operator, names the run, or the actor and an interval of positions. What they had replaced
/// comes back, and what rests on them alone is believed no more. It is printed first; `--dry-run` ends there. `--lift` takes
/// a quarantine back, or what lifted one.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu quarantine --run 01J9ZQ4V8T4W3E2R1M0N5B6C7D --dry-run --operator kim --key ~/kim.key --reason \"-\"
  quipu quarantine --actor tool:crm --since 2026-02-20 \\
        --operator kim --key ~/kim.key --reason \"it answered with another customer's data\"
  quipu quarantine --lift evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D --operator kim --key ~/kim.key --reason \"it was right\"")]
pub(crate) struct Args {
    /// All of this run's entries
    #[arg(long, conflicts_with = "actor", required_unless_present_any = ["actor", "lift"])]
    run: Option<RunId>,
    /// This actor's entries
    #[arg(long)]
    actor: Option<Actor>,
    /// Take back this quarantine; what it covered is recalled again
    #[arg(long, value_name = "EVT", conflicts_with_all = ["run", "actor"])]
    lift: Option<EventId>,
    /// From this position on
    #[arg(long, value_name = "SEQ", requires = "actor")]
    from: Option<u64>,
    /// Up to and with this position; the newest if it is not said
    #[arg(long, value_name = "SEQ", requires = "actor")]
    to: Option<u64>,
    /// From this position or time on
    #[arg(long, value_name = "SEQ|TIME", requires = "actor", conflicts_with = "from")]
    since: Option<Point>,
    /// Why; sealed in the log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    acting: Acting,
    /// Print what it would take back, and append nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the entries and the receipt as JSON, one a line
    #[arg(long)]
    json: bool,
}

/// Entries that are printed for people.
const PRINTED: usize = 20;

pub(crate) fn execute(args: Args, dir: &LedgerDir) -> Outcome {
    let ledger = args.acting.open(dir)?;
    let scene = Scene::whole(ledger.reader().clone())?;
    let what = what(&args, &scene)?;
    if let Some(id) = args.lift
        && let Some(by) = scene.projections.lifted_by(id)?
    {
        terminal::warn(&format!("{id} was lifted before, by {by}: nothing is appended"));
        return good();
    }
    // Nothing is printed of what cannot be done.
    args.acting.operator.signer()?;
    let covered = show(&args, &scene, &what)?;
    if covered == 0 && args.lift.is_none() {
        return Err(Failure::no("nothing in this ledger is of that run or actor"));
    }
    if args.dry_run {
        return good();
    }
    let value = json!(what);
    let receipt = args
        .acting
        .operator
        .act(&ledger, QUARANTINE, &value, Some(&args.reason))?;
    let said = match args.lift {
        Some(lifted) => format!("lifted the quarantine {lifted}"),
        None => format!("quarantined {}", counted(covered, "event")),
    };
    acting::done(ledger, &receipt, args.json, &said)
}

fn what(args: &Args, scene: &Scene) -> Result<Quarantine, Failure> {
    let head = scene.reader.head();
    if let Some(id) = args.lift {
        let seq = scene.reader.find(id)?;
        let entry = seq.map(|seq| scene.reader.envelope(seq)).transpose()?.flatten();
        return match entry.and_then(|entry| Quarantine::of(&entry)) {
            Some(_) => Ok(Quarantine::Lift(id)),
            None => Err(Failure::no(format!("there is no quarantine named {id} in this ledger"))),
        };
    }
    match (args.run, &args.actor) {
        (Some(run), _) => Ok(Quarantine::Run(run)),
        (None, Some(actor)) => {
            let first = match args.since {
                Some(since) => scene.at(Some(since))?.0,
                None => args.from.unwrap_or(0),
            };
            let end = args.to.map_or(head, |to| to.saturating_add(1)).min(head);
            match first < end {
                true => Ok(Quarantine::actor(actor.clone(), first, end)),
                false => Err(Failure::cannot(format!(
                    "there is no position from {first} up to {}",
                    end.saturating_sub(1)
                ))),
            }
        }
        (None, None) => Err(Failure::cannot("name a run or an actor")),
    }
}

/// Prints what is covered, and counts it.
fn show(args: &Args, scene: &Scene, what: &Quarantine) -> Result<usize, Failure> {
    let mut out = terminal::out();
    let (mut covered, mut scopes) = (0, BTreeMap::<Scope, usize>::new());
    for seq in scene.projections.covered(what)? {
        let envelope = scene.reader.envelope(seq)?.filter(|envelope| what.covers(envelope));
        let Some(envelope) = envelope else { continue };
        covered += 1;
        *scopes.entry(envelope.scope).or_default() += 1;
        if (args.json || covered <= PRINTED)
            && let Some(event) = scene.reader.event(seq)?
        {
            match args.json {
                true => json_line(&mut out, &event)?,
                false => event_line(&mut out, &event)?,
            }
        }
    }
    if !args.json {
        if covered > PRINTED {
            writeln!(out, "{DIM}and {} more{DIM:#}", covered - PRINTED)?;
        }
        for (scope, count) in scopes {
            writeln!(out, "{count:>9}  {DIM}{scope}{DIM:#}")?;
        }
    }
    out.flush()?;
    Ok(covered)
}

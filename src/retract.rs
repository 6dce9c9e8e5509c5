use std::{collections::BTreeMap, io::Write};

use quipu_format::{Actor, Body, Event, EventId, Kind, Scope, limits};
use quipu_log::Draft;
use quipu_projections::RETRACT;
use serde_json::json;

use crate::{
    drafts,
    failure::{Failure, Outcome, good},
    ledger::{LedgerDir, Wait},
    render::{DIM, GOOD, ReceiptLine, event_line, json_line},
    scene::Scene,
    terminal::{self, counted},
};

/// Take events out of what is recalled; they stay in the log
///
/// One entry of kind `memory.retract` in each of their scopes. What the events had replaced comes back, and what rests on
/// them alone is believed no more. To take a retraction back, retract it. What is retracted already is left alone, and said.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu retract evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D --reason \"came from a spoofed mail\"
  quipu retract evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D --reason \"spoofed\" --impact --dry-run")]
pub(crate) struct Args {
    /// Their ids
    #[arg(required = true)]
    events: Vec<EventId>,
    /// Why; it can be erased as any payload
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Also all that rests on them or replaces them. What was written by runs that knew them, `quipu impact` prints
    #[arg(long)]
    impact: bool,
    /// Who retracts
    #[arg(long, value_name = "ACTOR", default_value = "operator:local")]
    actor: Actor,
    /// Print what would be retracted, and append nothing
    #[arg(long)]
    dry_run: bool,
    /// Print what is retracted, and the receipts, as JSON, one a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    wait: Wait,
}

pub(crate) fn execute(args: Args, dir: &LedgerDir) -> Outcome {
    let ledger = dir.write(&args.wait)?;
    let scene = Scene::whole(ledger.reader().clone())?;
    let events = events(&scene, &args)?;
    let retractions = retractions(&args, &events)?;
    let mut out = terminal::out();
    for event in &events {
        match args.json {
            true => json_line(&mut out, event)?,
            false => event_line(&mut out, event)?,
        }
    }
    out.flush()?;
    if args.dry_run || retractions.is_empty() {
        return good();
    }
    let receipts = ledger.append_all_blocking(retractions)?;
    ledger.close()?;
    for receipt in &receipts {
        match args.json {
            true => json_line(&mut out, &ReceiptLine::from(receipt))?,
            false => writeln!(
                out,
                "{GOOD}retracted{GOOD:#} {DIM}by {} seq {}{DIM:#}",
                receipt.id, receipt.seq
            )?,
        }
    }
    out.flush()?;
    good()
}

/// What is to be appended.
fn retractions(args: &Args, events: &[Event]) -> Result<Vec<Draft>, Failure> {
    let mut by_scope = BTreeMap::<&Scope, Vec<EventId>>::new();
    for Event { envelope, .. } in events {
        by_scope.entry(&envelope.scope).or_default().push(envelope.id);
    }
    let mut retractions = Vec::new();
    for (scope, ids) in by_scope {
        for ids in ids.chunks(limits::LINKS) {
            retractions.push(draft(args, scope, ids)?);
        }
    }
    Ok(retractions)
}

/// The events, and all that rests on them where that is wanted, without what is retracted already. The host's own entries
/// cannot be retracted.
fn events(scene: &Scene, args: &Args) -> Result<Vec<Event>, Failure> {
    let view = scene.view(&[]);
    let mut found = BTreeMap::new();
    let mut left = 0;
    for id in &args.events {
        scene.seq(*id)?;
        let trail = scene.projections.impact(&view, *id)?;
        let trail = trail.ok_or_else(|| scene.not_derived(*id))?;
        if args.impact && !trail.complete {
            return Err(Failure::cannot(format!(
                "more rests on {id} than one answer shows: retract what it shows first, with `quipu quarantine` or event by \
                 event"
            )));
        }
        let mut events = trail.events.into_iter();
        let first = events.next().filter(|event| !event.envelope.kind.is_reserved());
        let first = first.ok_or_else(|| {
            Failure::no(format!(
                "{id} is the ledger's own, and is not recalled; a quarantine is taken back by `quipu quarantine --lift {id}`"
            ))
        })?;
        match scene.projections.retracted_by(&view, *id)? {
            Some(by) => terminal::warn(&format!(
                "{id} was retracted before, by {by}: nothing is appended for it"
            )),
            None => drop(found.insert(first.envelope.seq, first)),
        }
        // To retract what retracted something would bring that back.
        let is_taken_back =
            |event: &Event| !event.envelope.kind.is_reserved() && event.envelope.kind.as_str() != RETRACT;
        for event in events.filter(is_taken_back) {
            if scene.projections.retracted_by(&view, event.envelope.id)?.is_some() {
                continue;
            }
            match args.impact {
                true => drop(found.insert(event.envelope.seq, event)),
                false => left += 1,
            }
        }
    }
    if left > 0 {
        terminal::warn(&format!(
            "{} resting on these or replacing them; --impact retracts that too",
            counted(left, "event")
        ));
    }
    Ok(found.into_values().collect())
}

fn draft(args: &Args, scope: &Scope, events: &[EventId]) -> Result<Draft, Failure> {
    let payload = json!({"reason": args.reason}).to_string();
    let wrong = |error: quipu_format::Error| Failure::cannot(error.to_string());
    let kind = Kind::new(RETRACT).map_err(wrong)?;
    let mut draft = Draft::new(
        scope.clone(),
        args.actor.clone(),
        kind,
        Body::new(None, &payload).map_err(wrong)?,
    );
    draft.supersedes = events.to_vec();
    drafts::refuse_reserved(&draft).map_err(Failure::Cannot)?;
    Ok(draft)
}

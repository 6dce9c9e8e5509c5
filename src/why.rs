use std::{
    collections::{HashMap, HashSet},
    io::Write,
};

use quipu_format::{Event, EventId};
use quipu_projections::{Link, Projections, Relation, Trail, View};
use serde::Serialize;

use crate::{
    failure::{Failure, Outcome, good},
    ledger::LedgerDir,
    render::{ACTOR, DIM, ID, json_line, said, seconds, text_chars},
    terminal::{self, Out, shortened},
};

/// Print what an event rests on, back to its roots
///
/// Below each event come those that it names as evidence, and those that it replaced.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu why evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D
  quipu why evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D --json | jq .links")]
pub(crate) struct Args {
    /// Its id
    event: EventId,
    /// Print events and links as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let reader = ledger.read()?;
    let head = reader.head();
    let projections = Projections::open(&reader)?;
    projections.catch_up(head)?;
    let trail = projections.why(&View::Everything { head }, args.event)?;
    let trail = trail.ok_or_else(|| Failure::no(format!("there is no event named {} in this ledger", args.event)))?;
    let mut out = terminal::out();
    if args.json {
        json(&mut out, &trail)?
    } else {
        tree(&mut out, &trail)?
    }
    out.flush()?;
    good()
}

fn json(out: &mut Out, trail: &Trail) -> std::io::Result<()> {
    let link = |link: &Link| LinkLine {
        later: link.later,
        earlier: link.earlier,
        relation: match link.relation {
            Relation::Evidence => "evidence",
            Relation::Supersedes => "supersedes",
        },
    };
    let links = trail.links.iter().map(link).collect();
    json_line(
        out,
        &TrailLine {
            events: &trail.events,
            links,
            complete: trail.complete,
            as_of: trail.as_of,
        },
    )
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TrailLine<'a> {
    events: &'a [Event],
    links: Vec<LinkLine>,
    complete: bool,
    as_of: u64,
}

#[derive(Serialize)]
struct LinkLine {
    later: EventId,
    earlier: EventId,
    relation: &'static str,
}

/// A branch that is still to be printed.
struct Branch {
    id: EventId,
    relation: Option<Relation>,
    /// What stands left of it, and left of what hangs below it.
    lead: String,
    below: String,
}

fn tree(out: &mut Out, trail: &Trail) -> std::io::Result<()> {
    let events: HashMap<EventId, &Event> = trail.events.iter().map(|event| (event.envelope.id, event)).collect();
    let mut earlier = HashMap::<EventId, Vec<(EventId, Relation)>>::new();
    for link in &trail.links {
        earlier
            .entry(link.later)
            .or_default()
            .push((link.earlier, link.relation));
    }
    let mut printed = HashSet::new();
    let root = trail.events.first().map(|event| event.envelope.id);
    let root = root.map(|id| Branch {
        id,
        relation: None,
        lead: String::new(),
        below: String::new(),
    });
    // A stack and not recursion: a trail can be as long as a log.
    let mut stack: Vec<Branch> = root.into_iter().collect();
    while let Some(Branch {
        id,
        relation,
        lead,
        below,
    }) = stack.pop()
    {
        let again = !printed.insert(id);
        line(out, &lead, relation, id, events.get(&id).copied(), again)?;
        if again {
            continue;
        }
        let children = earlier.remove(&id).unwrap_or_default();
        let last = children.len().saturating_sub(1);
        for (at, (id, relation)) in children.into_iter().enumerate().rev() {
            let (branch, trunk) = if at == last {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            stack.push(Branch {
                id,
                relation: Some(relation),
                lead: format!("{below}{branch}"),
                below: format!("{below}{trunk}"),
            });
        }
    }
    if !trail.complete {
        writeln!(out, "{DIM}the trail goes on; this is its nearest part{DIM:#}")?;
    }
    Ok(())
}

fn line(
    out: &mut Out,
    lead: &str,
    relation: Option<Relation>,
    id: EventId,
    event: Option<&Event>,
    again: bool,
) -> std::io::Result<()> {
    let replaced = if relation == Some(Relation::Supersedes) {
        "replaces "
    } else {
        ""
    };
    write!(out, "{DIM}{lead}{replaced}{DIM:#}{ID}{id}{ID:#}")?;
    let Some(event) = event else {
        return writeln!(out, "  {DIM}not part of this answer{DIM:#}");
    };
    if again {
        return writeln!(out, "  {DIM}as above{DIM:#}");
    }
    let (actor, kind) = (&event.envelope.actor, &event.envelope.kind);
    let columns =
        lead.chars().count() + replaced.len() + 30 + 2 + 20 + 2 + actor.as_str().len() + 2 + kind.as_str().len() + 2;
    let text = said(event);
    let text = shortened(&text, text_chars(columns).min(100));
    writeln!(
        out,
        "  {DIM}{}{DIM:#}  {ACTOR}{actor}{ACTOR:#}  {kind}  {text}",
        seconds(event)
    )
}

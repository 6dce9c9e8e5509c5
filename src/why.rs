use std::{
    collections::{HashMap, HashSet},
    io::Write,
};

use quipu_format::{Event, EventId, Scope};
use quipu_projections::{Link, Relation, Standing, Trail};
use serde::Serialize;

use crate::{
    blame, dot,
    failure::{Failure, Outcome, good},
    ledger::LedgerDir,
    render::{ACTOR, DIM, ID, json_line, said, seconds, text_chars},
    scene::{Point, Scene},
    terminal::{self, Out, shortened},
};

/// Print what an event or a belief rests on, back to its roots
///
/// Below each event come those that it names as evidence, and those that it replaced. A belief is named by its text,
/// together with its scope; it rests on the events that state it.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu why evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D
  quipu why \"prefers CSV exports\" --scope customer:acme-inc
  quipu why evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D --json | jq .links
  quipu why evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D --dot | dot -Tsvg > why.svg")]
pub(crate) struct Args {
    /// The event's id, or the text of a belief
    event: String,
    /// The scope of the belief
    #[arg(long)]
    scope: Option<Scope>,
    /// As it was: at a position of the ledger or at a time
    #[arg(long, value_name = "SEQ|TIME")]
    as_of: Option<Point>,
    /// Print events and links as one line of JSON for each event that was asked for
    #[arg(long, conflicts_with = "dot")]
    json: bool,
    /// Print a graph in the language of Graphviz
    #[arg(long)]
    dot: bool,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let scene = Scene::open(ledger)?;
    let (head, _) = scene.at(args.as_of)?;
    let view = scene.view(&[], head);
    let mut trails = Vec::new();
    for id in asked(&args, &scene)? {
        match scene.projections.why(&view, id)? {
            Some(trail) => trails.push(trail),
            // What was stated later is no root of what was believed then.
            None if args.scope.is_some() => {}
            None => return Err(Failure::no(format!("there is no event named {id} in this ledger"))),
        }
    }
    if trails.is_empty() {
        return Err(Failure::no("nobody had stated that then"));
    }
    let mut out = terminal::out();
    if args.dot {
        dot::graph(&mut out, &trails)?;
    }
    for trail in trails.iter().filter(|_| !args.dot) {
        match args.json {
            true => json(&mut out, trail)?,
            false => tree(&mut out, trail)?,
        }
    }
    out.flush()?;
    good()
}

/// The event that is asked for, or those that state the belief and hold.
fn asked(args: &Args, scene: &Scene) -> Result<Vec<EventId>, Failure> {
    match (&args.scope, args.event.parse()) {
        (None, Ok(id)) => Ok(vec![id]),
        (None, Err(error)) => Err(Failure::cannot(format!(
            "{error}. If it is the text of a belief, say where it is believed with --scope"
        ))),
        (Some(scope), _) => {
            let statements = blame::statements(scene, scope, &args.event)?;
            let held = statements
                .iter()
                .filter(|statement| statement.standing == Standing::Holds);
            let held: Vec<_> = held.map(|statement| statement.event.envelope.id).collect();
            match held.is_empty() {
                true => Err(Failure::no(format!(
                    "that is not believed in {scope} any more: `quipu blame` says who stated it"
                ))),
                false => Ok(held),
            }
        }
    }
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

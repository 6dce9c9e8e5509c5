use std::{
    collections::{HashMap, HashSet},
    io::Write,
};

use quipu_format::{Event, EventId, Scope};
use quipu_projections::{Link, Relation, Standing, Trail};
use serde::Serialize;

use crate::{
    blame,
    dot::{self, Arrow},
    failure::{Failure, Outcome, good},
    ledger::LedgerDir,
    render::{DIM, ID, is_none, json_line},
    scene::{Looking, Scene},
    terminal::{self, Out},
    tree,
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
    #[command(flatten)]
    looking: Looking,
    /// Print events and links as one line of JSON for each event that was asked for
    #[arg(long, conflicts_with = "dot")]
    json: bool,
    /// Print a graph in the language of Graphviz
    #[arg(long)]
    dot: bool,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let scene = Scene::open(ledger, &args.looking)?;
    let view = scene.view(&[]);
    let mut trails = Vec::new();
    for id in asked(&args, &scene)? {
        scene.seq(id)?;
        let trail = scene.projections.why(&view, id)?;
        trails.push(trail.ok_or_else(|| scene.not_derived(id))?);
    }
    let mut out = terminal::out();
    if args.dot {
        let events = trails.iter().flat_map(|trail| &trail.events);
        let links = trails.iter().flat_map(|trail| &trail.links);
        dot::graph(&mut out, "why", events, links.map(arrow))?;
    }
    for trail in trails.iter().filter(|_| !args.dot) {
        match args.json {
            true => json(&mut out, trail, scene.missing())?,
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
            let blamed = blame::statements(scene, scope, &args.event)?;
            let held = blamed
                .statements
                .iter()
                .filter(|statement| statement.standing == Standing::Holds);
            let held: Vec<_> = held.map(|statement| statement.event.envelope.id).collect();
            match held.is_empty() {
                true => Err(Failure::no(format!(
                    "that is not believed in {scope}: `quipu blame` says who stated it, and what has become of that"
                ))),
                false => Ok(held),
            }
        }
    }
}

fn arrow(link: &Link) -> Arrow {
    let replaces = link.relation == Relation::Supersedes;
    Arrow {
        later: link.later,
        earlier: link.earlier,
        label: replaces.then(|| "replaces".to_owned()),
    }
}

fn json(out: &mut Out, trail: &Trail, missing: usize) -> std::io::Result<()> {
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
            missing,
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
    /// Entries that could not be read, and are left out.
    #[serde(skip_serializing_if = "is_none")]
    missing: usize,
}

#[derive(Serialize)]
struct LinkLine {
    later: EventId,
    earlier: EventId,
    relation: &'static str,
}

fn tree(out: &mut Out, trail: &Trail) -> std::io::Result<()> {
    let events: HashMap<EventId, &Event> = trail.events.iter().map(|event| (event.envelope.id, event)).collect();
    let mut earlier = HashMap::<EventId, Vec<(EventId, Option<Relation>)>>::new();
    for link in &trail.links {
        let named = earlier.entry(link.later).or_default();
        named.push((link.earlier, Some(link.relation)));
    }
    let mut printed = HashSet::new();
    let Some(root) = trail.events.first() else {
        return Ok(());
    };
    tree::draw(out, (root.envelope.id, None), |out, lead, (id, relation)| {
        let how = if relation == Some(Relation::Supersedes) {
            "replaces "
        } else {
            ""
        };
        let again = !printed.insert(id);
        match events.get(&id) {
            Some(event) if !again => tree::event_line(out, lead, how, event)?,
            event => {
                let what = event.map_or("not part of this answer", |_| "as above");
                writeln!(out, "{DIM}{lead}{how}{DIM:#}{ID}{id}{ID:#}  {DIM}{what}{DIM:#}")?;
            }
        }
        Ok(match again {
            true => Vec::new(),
            false => earlier.remove(&id).unwrap_or_default(),
        })
    })?;
    if !trail.complete {
        writeln!(out, "{DIM}the trail goes on; this is its nearest part{DIM:#}")?;
    }
    Ok(())
}

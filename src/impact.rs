//! What descends from events: `quipu impact`, and what `quipu redact` shows before it erases.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::{self, Write},
};

use quipu_format::{Event, EventId, RunId};
use quipu_log::LedgerReader;
use quipu_projections::{Because, Descendant, Fact, Projections, Query};
use serde::Serialize;

use crate::{
    dot::{self, Arrow},
    facts::fact_line,
    failure::{Failure, Outcome, good},
    ledger::LedgerDir,
    render::{DIM, ID, is_none, json_line},
    scene::{Looking, Scene},
    terminal::{self, Out, counted},
    tree,
};

/// Print all that descends from an event: what rests on it or replaces it, what runs wrote that knew it, and what is
/// believed because of it
///
/// Each event hangs below the one that it descends from, as far as is known first. A run that read the event or was shown
/// it may have heeded it or not; what it wrote hangs below the run. Facts follow, then a count of each kind.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu impact evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D
  quipu impact evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D --json | jq .facts
  quipu impact evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D --dot | dot -Tsvg > impact.svg")]
pub(crate) struct Args {
    /// The event's id
    event: EventId,
    #[command(flatten)]
    looking: Looking,
    /// Print one line of JSON: `event`, `descendants`, `runs`, `facts` and `asOf`
    #[arg(long, conflicts_with = "dot")]
    json: bool,
    /// Print a graph in the language of Graphviz
    #[arg(long)]
    dot: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Impact {
    event: Event,
    descendants: Vec<Descendant>,
    /// Runs that knew the event, or what descends from it.
    runs: BTreeSet<RunId>,
    facts: Vec<Fact>,
    as_of: u64,
    /// Entries that could not be read, and are left out.
    #[serde(skip_serializing_if = "is_none")]
    missing: usize,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let scene = Scene::open(ledger, &args.looking)?;
    let view = scene.view(&[]);
    let as_of = scene.head.min(scene.projections.as_of()?);
    let seq = scene.seq(args.event)?;
    let event = scene.reader.event(seq)?.filter(|_| seq < as_of);
    let event = event.ok_or_else(|| scene.not_derived(args.event))?;
    let descendants = descent(&scene.projections, &[args.event], as_of)?;
    let seqs = descendants.iter().map(|descendant| descendant.seq).chain([seq]);
    let mut query = Query::default();
    query.now = scene.now;
    let impact = Impact {
        facts: scene.projections.facts_of(&view, &seqs.collect(), &query)?,
        runs: descendants.iter().filter_map(|descendant| descendant.run).collect(),
        event,
        descendants,
        as_of,
        missing: scene.missing(),
    };
    let mut out = terminal::out();
    match (args.json, args.dot) {
        (true, _) => json_line(&mut out, &impact)?,
        (_, true) => impact.graph(&mut out, &scene.reader)?,
        _ => impact.tree(&mut out, &scene.reader)?,
    }
    out.flush()?;
    good()
}

/// What descends from events, as if the ledger ended at `end`.
pub(crate) fn descent(projections: &Projections, events: &[EventId], end: u64) -> Result<Vec<Descendant>, Failure> {
    let mut progress = terminal::Progress::new("looking at what runs have read");
    Ok(projections.descent(events, end, &mut |done, of| progress.show(done, of))?)
}

/// Why an entry descends, in words.
pub(crate) fn because(descendant: &Descendant) -> String {
    let of = descendant.of;
    let run = descendant.run.map(|run| run.to_string()).unwrap_or_default();
    match descendant.because {
        Because::Evidence => format!("rests on {of}"),
        Because::Supersedes => format!("replaces {of}"),
        because => format!("by run {run}, which {} {of}{}", knew(because), unknown(because)),
    }
}

fn knew(because: Because) -> &'static str {
    match because {
        Because::Shown => "was shown",
        Because::Read => "read",
        _ => "may have read",
    }
}

fn unknown(because: Because) -> &'static str {
    match because {
        Because::MayHaveRead => ": what it read is not recorded",
        _ => "",
    }
}

/// What hangs in the tree.
enum Node<'a> {
    Root,
    Entry(&'a Descendant),
    Run(RunId, Because, Vec<&'a Descendant>),
}

impl Impact {
    fn tree(&self, out: &mut Out, log: &LedgerReader) -> Result<(), Failure> {
        let mut below = HashMap::<EventId, Vec<&Descendant>>::new();
        for descendant in &self.descendants {
            below.entry(descendant.of).or_default().push(descendant);
        }
        tree::draw(out, Node::Root, |out, lead, node| {
            Ok(match node {
                Node::Root => {
                    tree::event_line(out, lead, "", &self.event)?;
                    nodes(below.remove(&self.event.envelope.id).unwrap_or_default())
                }
                Node::Run(run, because, wrote) => {
                    writeln!(
                        out,
                        "{DIM}{lead}{DIM:#}run {ID}{run}{ID:#}, which {} it{}",
                        knew(because),
                        unknown(because)
                    )?;
                    wrote.into_iter().map(Node::Entry).collect()
                }
                Node::Entry(entry) => {
                    let how = match entry.because {
                        Because::Supersedes => "replaces it: ",
                        _ => "",
                    };
                    match log.event(entry.seq).map_err(io::Error::other)? {
                        Some(event) => tree::event_line(out, lead, how, &event)?,
                        None => writeln!(out, "{DIM}{lead}{how}{DIM:#}{ID}{}{ID:#}", entry.id)?,
                    }
                    nodes(below.remove(&entry.id).unwrap_or_default())
                }
            })
        })?;
        if !self.facts.is_empty() {
            writeln!(out, "{DIM}believed because of it:{DIM:#}")?;
        }
        for fact in &self.facts {
            fact_line(out, "  ", fact)?;
        }
        let mut kinds = BTreeMap::<&str, usize>::new();
        for entry in self.descendants.iter().filter(|entry| !entry.kind.is_reserved()) {
            *kinds.entry(entry.kind.as_str()).or_default() += 1;
        }
        let mut counts: Vec<_> = kinds
            .into_iter()
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        if counts.is_empty() {
            counts.push("nothing descends from it".to_owned());
        }
        let others = [(self.runs.len(), "run"), (self.facts.len(), "fact")];
        counts.extend(
            others
                .iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, noun)| counted(*count, noun)),
        );
        writeln!(out, "{DIM}{}; as of {}{DIM:#}", counts.join(", "), self.as_of)?;
        Ok(())
    }

    fn graph(&self, out: &mut Out, log: &LedgerReader) -> Result<(), Failure> {
        let mut events = vec![self.event.clone()];
        for entry in &self.descendants {
            events.extend(log.event(entry.seq)?);
        }
        let arrows = self.descendants.iter().map(|entry| Arrow {
            later: entry.id,
            earlier: entry.of,
            label: match (entry.because, entry.run) {
                (Because::Evidence, _) => None,
                (because, Some(run)) => Some(format!("by run {run}, which {} it", knew(because))),
                _ => Some("replaces".to_owned()),
            },
        });
        Ok(dot::graph(out, "impact", events.iter(), arrows)?)
    }
}

/// What hangs below one event: entries by themselves, and those that a run wrote below the run. What the host wrote of a
/// run leads nowhere, and says nothing here.
fn nodes(entries: Vec<&Descendant>) -> Vec<Node<'_>> {
    let mut nodes = Vec::new();
    let mut runs = BTreeMap::<RunId, (Because, Vec<&Descendant>)>::new();
    for entry in entries {
        let own = entry.kind.is_reserved();
        match entry.run {
            Some(run) => {
                let (_, wrote) = runs.entry(run).or_insert_with(|| (entry.because, Vec::new()));
                wrote.extend((!own).then_some(entry));
            }
            None if own => {}
            None => nodes.push(Node::Entry(entry)),
        }
    }
    nodes.extend(
        runs.into_iter()
            .map(|(run, (because, wrote))| Node::Run(run, because, wrote)),
    );
    nodes
}

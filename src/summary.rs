use std::io::Write;

use quipu_format::{EventId, Scope};
use quipu_projections::Summary;
use serde::Serialize;

use crate::{
    failure::{Failure, Outcome, good},
    ledger::LedgerDir,
    render::{DIM, ID, is_none, json_line},
    scene::{Looking, Scene},
    terminal::{self, Out, counted, escaped},
};

/// Print a scope's summary, each line with the events that it goes back to
///
/// It is the newest event of kind `memory.summary` that was not superseded and of which nothing that it covers was retracted,
/// quarantined or erased since then, or lost all that it rests on. `quipu compact` writes it; so may whoever may write into
/// the scope, and the last line says who did, of which tier it is, and whether there are others that it does not cover.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu summary --scope customer:acme-inc
  quipu summary --scope customer:acme-inc --json | jq -r '.lines[].text'")]
pub(crate) struct Args {
    /// The scope
    #[arg(long)]
    scope: Scope,
    #[command(flatten)]
    looking: Looking,
    /// Print one line of JSON: `event`, `actor`, `tier`, `lines`, `covers`, `asOf`, `since`, `beside`, `leftOut` and `cut`
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct SummaryLine<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    /// Entries that could not be read, and are left out.
    #[serde(skip_serializing_if = "is_none")]
    missing: usize,
}

/// Events that are named behind a line.
const NAMED: usize = 3;

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let scene = Scene::open(ledger, &args.looking)?;
    let summary = scene.projections.summary(&args.scope, scene.head)?;
    let summary = summary.ok_or_else(|| {
        Failure::no(format!(
            "{} has no summary that holds: `quipu compact` writes one",
            args.scope
        ))
    })?;
    let mut out = terminal::out();
    match args.json {
        true => {
            let (summary, missing) = (&summary, scene.missing());
            json_line(&mut out, &SummaryLine { summary, missing })?
        }
        false => print(&mut out, &summary)?,
    }
    out.flush()?;
    good()
}

fn print(out: &mut Out, summary: &Summary) -> std::io::Result<()> {
    for line in &summary.lines {
        let times = match line.count {
            0 | 1 => String::new(),
            count => format!(" (×{count})"),
        };
        writeln!(out, "{}{times}  {ID}{}{ID:#}", escaped(&line.text), named(&line.events))?;
    }
    let covered = summary.covers.as_ref().map(|covers| {
        let day = |ts: quipu_format::Timestamp| ts.to_string().chars().take(10).collect::<String>();
        format!(
            ", {} events from {} to {}",
            covers.events,
            day(covers.since),
            day(covers.until)
        )
    });
    let since = match summary.since {
        0 => "nothing came since".to_owned(),
        since => format!(
            "{} came since",
            counted(usize::try_from(since).unwrap_or(usize::MAX), "event")
        ),
    };
    let Summary { actor, tier, as_of, .. } = summary;
    let id = summary.event.envelope.id;
    let by = summary
        .event
        .envelope
        .run
        .map_or_else(|| actor.to_string(), |run| format!("{actor} in run {run}"));
    let covered = covered.unwrap_or_default();
    let count = |count: u64, noun: &str| counted(usize::try_from(count).unwrap_or(usize::MAX), noun);
    let mut notes = String::new();
    if summary.left_out > 0 {
        notes += &format!("; {} did not fit", count(summary.left_out, "fact"));
    }
    if summary.cut > 0 {
        notes += &format!(
            "; of {} the beginning alone was looked at",
            count(summary.cut, "long text")
        );
    }
    if summary.beside > 0 {
        notes += &format!("; {} beside it, not covered", count(summary.beside, "summary"));
    }
    writeln!(
        out,
        "{DIM}{id} by {by}, tier {tier}{covered}{notes}; as of seq {as_of}, {since}{DIM:#}"
    )
}

fn named(events: &[EventId]) -> String {
    let mut named: Vec<_> = events.iter().take(NAMED).map(EventId::to_string).collect();
    if events.len() > NAMED {
        named.push(format!("and {} more", events.len() - NAMED));
    }
    named.join(" ")
}

use std::io::Write;

use quipu_format::{EventId, Scope};
use quipu_projections::Summary;

use crate::{
    failure::{Failure, Outcome, good},
    ledger::LedgerDir,
    render::{DIM, ID, json_line},
    scene::{Point, Scene, WaitFor},
    terminal::{self, Out, counted, escaped},
};

/// Print a scope's summary, each line with the events that it goes back to
///
/// It is the newest event of kind `memory.summary` that was not superseded and of which nothing that it covers was retracted,
/// quarantined or erased since then, or lost all that it rests on. `quipu compact` writes it.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu summary --scope customer:acme-inc
  quipu summary --scope customer:acme-inc --json | jq -r '.lines[].text'")]
pub(crate) struct Args {
    /// The scope
    #[arg(long)]
    scope: Scope,
    /// As it was: at a position of the ledger or at a time
    #[arg(long, value_name = "SEQ|TIME")]
    as_of: Option<Point>,
    #[command(flatten)]
    wait_for: WaitFor,
    /// Print one line of JSON: `event`, `tier`, `lines`, `covers`, `asOf` and `since`
    #[arg(long)]
    json: bool,
}

/// Events that are named behind a line.
const NAMED: usize = 3;

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let scene = Scene::open(ledger, &args.wait_for)?;
    let (head, _) = scene.at(args.as_of)?;
    let summary = scene.projections.summary(&args.scope, head)?;
    let summary = summary.ok_or_else(|| {
        Failure::no(format!(
            "{} has no summary that holds: `quipu compact` writes one",
            args.scope
        ))
    })?;
    let mut out = terminal::out();
    match args.json {
        true => json_line(&mut out, &summary)?,
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
    let (id, tier, as_of) = (summary.event.envelope.id, summary.tier, summary.as_of);
    let covered = covered.unwrap_or_default();
    writeln!(
        out,
        "{DIM}{id}, tier {tier}{covered}; as of seq {as_of}, {since}{DIM:#}"
    )
}

fn named(events: &[EventId]) -> String {
    let mut named: Vec<_> = events.iter().take(NAMED).map(EventId::to_string).collect();
    if events.len() > NAMED {
        named.push(format!("and {} more", events.len() - NAMED));
    }
    named.join(" ")
}

use std::io::Write;

use quipu_format::{Actor, Kind, Scope};
use quipu_projections::{Handle, Hit, Projections, Query, View};
use serde::Serialize;

use crate::{
    failure::{Failure, Outcome, good},
    ledger::LedgerDir,
    render::{event_line, json_line},
    terminal,
};

/// Find events by what they say, best first
///
/// Left out is what a later event supersedes, what has expired, and what was erased.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu search \"invoice format\"
  quipu search invoices --scope customer:acme-inc --kind memory.write --tag billing --limit 3")]
pub(crate) struct Args {
    /// Words to look for
    text: String,
    /// Only this scope; may be given several times
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<Scope>,
    /// Only this kind; may be given several times
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<Kind>,
    /// Only with this tag; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Only this actor; may be given several times
    #[arg(long = "actor", value_name = "ACTOR")]
    actors: Vec<Actor>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Print each as one line of JSON: `score` and `event`
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct HitLine<'a> {
    score: f64,
    event: &'a quipu_format::Event,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let reader = ledger.read()?;
    let head = reader.head();
    let projections = Projections::open(&reader)?;
    projections.catch_up(head)?;
    let handle = |scope| Handle { scope, head, run: None };
    let view = match args.scopes.is_empty() {
        true => View::Everything { head },
        false => View::Handles(args.scopes.into_iter().map(handle).collect()),
    };
    let mut query = Query::default();
    query.text = args.text;
    query.limit = args.limit.into();
    query.kinds = args.kinds.iter().map(Kind::to_string).collect();
    query.tags = args.tags;
    query.now = terminal::now();
    query.actors = args.actors.iter().map(Actor::to_string).collect();
    let answer = projections.search(&view, &query)?;
    if answer.hits.is_empty() {
        return Err(Failure::no("nothing found"));
    }
    let mut out = terminal::out();
    for Hit { event, score, .. } in &answer.hits {
        if args.json {
            json_line(&mut out, &HitLine { score: *score, event })?;
        } else {
            event_line(&mut out, event)?;
        }
    }
    out.flush()?;
    good()
}

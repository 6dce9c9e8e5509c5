use std::io::Write;

use quipu_projections::{Hit, SUMMARY};
use serde::Serialize;

use crate::{
    failure::{Failure, Outcome, good},
    ledger::LedgerDir,
    question::Filter,
    render::{DIM, event_line, json_line},
    terminal::{self, counted},
};

/// Find events by what they say, best first
///
/// A turn of a conversation is also found by what is said around it. Left out is what a later event supersedes, what has
/// expired, and what was erased. Summaries come after what they may cover; `quipu why` descends from one.
///
/// Of a build with the feature `dense`: what means the same in other words is found too, where `vectors.txt` in the ledger's
/// folder says so, a table of word vectors as GloVe, word2vec and fastText write them as text (put or link one there; nothing
/// is fetched). All is folded again after that, and whenever it becomes another one.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu search \"invoice format\"
  quipu search invoices --scope customer:acme-inc --kind memory.write --tag billing --limit 3
  quipu search invoices --as-of 2026-02-20 --min-confidence 0.8")]
pub(crate) struct Args {
    /// Words to look for
    text: String,
    #[command(flatten)]
    filter: Filter,
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
    let question = args.filter.question(ledger, args.text, args.limit.into())?;
    let answer = question.scene.projections.search(&question.view, &question.query)?;
    if answer.hits.is_empty() {
        return Err(Failure::no("nothing found"));
    }
    let mut out = terminal::out();
    for Hit { event, score, .. } in &answer.hits {
        if args.json {
            json_line(&mut out, &HitLine { score: *score, event })?;
        } else {
            event_line(&mut out, event)?;
            if event.envelope.kind.as_str() == SUMMARY {
                let (id, covered) = (event.envelope.id, counted(event.envelope.evidence.len(), "event"));
                writeln!(out, "{DIM}  └ covers {covered}: quipu why {id}{DIM:#}")?;
            }
        }
    }
    out.flush()?;
    good()
}

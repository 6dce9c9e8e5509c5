use std::io::Write;

use quipu_format::EventId;
use quipu_projections::Budget;
use serde::Serialize;

use crate::{
    failure::{Failure, Outcome, good},
    ledger::LedgerDir,
    question::Filter,
    render::{is_none, json_line},
    terminal::{self, escaped_lines},
};

/// Make text for a prompt: what answers a question, and what was said around it
///
/// Each line ends with the id of the event that it comes from. Lines come in the order of the log; the best answers, and
/// the turns before and after them, are those that fit the budget.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu context \"How does acme want its invoices?\" --scope customer:acme-inc --budget 800
  quipu context invoices --scope customer:acme-inc --budget 4000 --characters --json | jq -r .text")]
pub(crate) struct Args {
    /// The question
    text: String,
    #[command(flatten)]
    filter: Filter,
    /// How long the text may be, in tokens of a language model; as these are estimated, it is rather shorter
    #[arg(long, value_name = "N", default_value_t = 1_200, value_parser = clap::value_parser!(u32).range(1..))]
    budget: u32,
    /// The budget is in tokens, which it is anyway
    #[arg(long, conflicts_with = "characters")]
    tokens: bool,
    /// The budget is in characters
    #[arg(long)]
    characters: bool,
    /// Print one line of JSON: `text`, `events` and `asOf`
    #[arg(long)]
    json: bool,
}

/// Answers that are looked at.
const ANSWERS: usize = 100;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContextLine<'a> {
    text: &'a str,
    events: &'a [EventId],
    as_of: u64,
    /// Entries that could not be read, and are left out.
    #[serde(skip_serializing_if = "is_none")]
    missing: usize,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let question = args.filter.question(ledger, args.text, ANSWERS)?;
    let budget = match args.characters {
        true => Budget::Characters(args.budget),
        false => Budget::Tokens(args.budget),
    };
    let context = question
        .scene
        .projections
        .compose(&question.view, &question.query, budget)?;
    if context.events.is_empty() {
        return Err(Failure::no("nothing found that fits the budget"));
    }
    let mut out = terminal::out();
    if args.json {
        let (text, events, as_of) = (&context.text, &context.events, context.as_of);
        let missing = question.scene.missing();
        let line = ContextLine {
            text,
            events,
            as_of,
            missing,
        };
        json_line(&mut out, &line)?;
    } else {
        out.write_all(escaped_lines(&context.text).as_bytes())?;
    }
    out.flush()?;
    good()
}

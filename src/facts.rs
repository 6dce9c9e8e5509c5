use std::io::Write;

use quipu_format::{Actor, Kind, Scope};
use quipu_projections::{Fact, Query};

use crate::{
    failure::{Failure, Outcome, good},
    ledger::LedgerDir,
    render::{ACTOR, DIM, ID, json_line, text_chars},
    scene::{Looking, Scene},
    terminal::{self, Out, counted, escaped, shortened},
};

/// Print what is believed, the surest first
///
/// Statements that say the same are one fact. Left out is what a later event replaces or retracts, what has expired,
/// what was erased, and what rests on what was retracted, or on nothing but what was erased.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu facts --scope customer:acme-inc
  quipu facts \"invoice format\" --scope customer:acme-inc --json
  quipu facts --scope customer:acme-inc --as-of 2026-02-01")]
pub(crate) struct Args {
    /// Only facts that match these words, the best first
    text: Option<String>,
    /// Only this scope; may be given several times
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<Scope>,
    /// Only with this tag; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Only stated by an event of this kind; may be given several times
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<Kind>,
    /// Only stated by this actor; may be given several times
    #[arg(long = "actor", value_name = "ACTOR")]
    actors: Vec<Actor>,
    #[command(flatten)]
    looking: Looking,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Print each as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let scene = Scene::open(ledger, &args.looking)?;
    let mut query = Query::default();
    query.text = args.text.unwrap_or_default();
    query.limit = args.limit.into();
    query.tags = args.tags;
    query.kinds = args.kinds.iter().map(Kind::to_string).collect();
    query.actors = args.actors.iter().map(Actor::to_string).collect();
    query.now = scene.now;
    let answer = scene.projections.facts(&scene.view(&args.scopes), &query)?;
    if answer.facts.is_empty() {
        return Err(Failure::no("nothing is believed here"));
    }
    let mut out = terminal::out();
    for fact in &answer.facts {
        match args.json {
            true => json_line(&mut out, fact)?,
            false => fact_line(&mut out, "", fact)?,
        }
    }
    out.flush()?;
    good()
}

/// A fact on one line: how sure, the newest evidence, the scope, the text, and how often it was stated.
pub(crate) fn fact_line(out: &mut Out, lead: &str, fact: &Fact) -> std::io::Result<()> {
    let newest = fact.evidence.last().map(ToString::to_string).unwrap_or_default();
    let mut notes = vec![counted(usize::try_from(fact.count).unwrap_or(usize::MAX), "statement")];
    notes.extend(fact.rule.as_ref().map(|rule| format!("signal {}", escaped(rule))));
    notes.extend(fact.tags.iter().map(|tag| format!("#{}", escaped(tag))));
    let notes = notes.join(", ");
    let scope = fact.scope.as_str();
    let columns = lead.len() + 6 + 30 + 2 + scope.len().max(18) + 4 + notes.chars().count();
    let text = escaped(&fact.text);
    writeln!(
        out,
        "{lead}{ACTOR}{:.2}{ACTOR:#}  {ID}{newest}{ID:#}  {DIM}{scope:18}{DIM:#}  {}  {DIM}{}{DIM:#}",
        fact.confidence,
        shortened(&text, text_chars(columns)),
        shortened(&notes, 80),
    )
}

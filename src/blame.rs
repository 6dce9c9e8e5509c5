use std::io::Write;

use quipu_format::{Scope, Timestamp};
use quipu_projections::{Query, Standing, Statement};

use crate::{
    failure::{Failure, Outcome, good},
    ledger::LedgerDir,
    render::{DIM, event_line, json_line},
    scene::{Point, Scene, WaitFor},
    terminal,
};

/// Print the events that state a belief, the one that introduced it first
///
/// Case, white space and the punctuation at the end do not matter. Where nothing was stated in these words, it is the
/// belief that matches them best. Each line says what has become of the statement.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu blame \"prefers CSV exports\" --scope customer:acme-inc")]
pub(crate) struct Args {
    /// What is believed
    text: String,
    /// Where
    #[arg(long)]
    scope: Scope,
    /// As it was: at a position of the ledger or at a time
    #[arg(long, value_name = "SEQ|TIME")]
    as_of: Option<Point>,
    #[command(flatten)]
    wait_for: WaitFor,
    /// Print each as one line of JSON: `event` and `standing`
    #[arg(long)]
    json: bool,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let scene = Scene::open(ledger, &args.wait_for)?;
    let (head, now) = scene.at(args.as_of)?;
    let statements = statements(&scene, &args.scope, &args.text, head, now)?;
    let mut out = terminal::out();
    for statement in &statements {
        if args.json {
            json_line(&mut out, statement)?;
            continue;
        }
        let standing = match statement.standing {
            Standing::Holds => "holds",
            Standing::Replaced => "replaced",
            Standing::Retracted => "retracted",
            Standing::Echo => "echo of recall",
            _ => "unsupported",
        };
        write!(out, "{DIM}{standing:14}{DIM:#}  ")?;
        event_line(&mut out, &statement.event)?;
    }
    out.flush()?;
    good()
}

/// The statements of a scope below `head` that say a text, or else those of the belief that matches it best, at an instant.
pub(crate) fn statements(
    scene: &Scene,
    scope: &Scope,
    text: &str,
    head: u64,
    now: Timestamp,
) -> Result<Vec<Statement>, Failure> {
    let view = scene.view(std::slice::from_ref(scope), head);
    let statements = scene.projections.statements(&view, scope, text)?;
    if !statements.is_empty() {
        return Ok(statements);
    }
    let mut query = Query::default();
    (query.text, query.limit, query.now) = (text.to_owned(), 1, now);
    let answer = scene.projections.facts(&view, &query)?;
    let best = answer.facts.first().filter(|_| !text.trim().is_empty());
    let best = best.ok_or_else(|| Failure::no(format!("nobody stated that in {scope}")))?;
    Ok(scene.projections.statements(&view, scope, &best.text)?)
}

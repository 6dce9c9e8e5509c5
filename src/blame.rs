use std::io::Write;

use quipu_format::Scope;
use quipu_projections::{Query, Standing, Statement};
use serde::Serialize;

use crate::{
    failure::{Failure, Outcome, good},
    ledger::LedgerDir,
    render::{DIM, event_line, json_line},
    scene::{Looking, Scene},
    terminal,
};

/// Print the events that state a belief, the one that introduced it first
///
/// Case, white space and the punctuation at the end do not matter. Where nothing was stated in these words, it is the
/// belief that matches them best, which is said. Each line says what has become of the statement: it holds, was replaced
/// or retracted, has expired, is outdated by a newer text under its key, repeats what recall had shown, or rests on what
/// was retracted or erased.
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
    #[command(flatten)]
    looking: Looking,
    /// Print each as one line of JSON: `event`, `standing`, and `exact`: whether it was stated in these words
    #[arg(long)]
    json: bool,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let scene = Scene::open(ledger, &args.looking)?;
    let blamed = statements(&scene, &args.scope, &args.text)?;
    let mut out = terminal::out();
    for statement in &blamed.statements {
        if args.json {
            let exact = blamed.closest.is_none();
            json_line(&mut out, &StatementLine { statement, exact })?;
            continue;
        }
        let standing = match statement.standing {
            Standing::Holds => "holds",
            Standing::Replaced => "replaced",
            Standing::Retracted => "retracted",
            Standing::Echo => "echo of recall",
            Standing::Expired => "expired",
            Standing::Outdated => "outdated",
            Standing::ErasedEvidence => "erased evidence",
            _ => "unsupported",
        };
        write!(out, "{DIM}{standing:15}{DIM:#}  ")?;
        event_line(&mut out, &statement.event)?;
    }
    out.flush()?;
    good()
}

/// Statements of a belief.
pub(crate) struct Blamed {
    pub(crate) statements: Vec<Statement>,
    /// Nobody stated what was asked for in these words; this is what matches it best.
    closest: Option<String>,
}

#[derive(Serialize)]
struct StatementLine<'a> {
    #[serde(flatten)]
    statement: &'a Statement,
    exact: bool,
}

/// The statements of a scope that say a text, or else those of the belief that matches it best, which the user is told.
pub(crate) fn statements(scene: &Scene, scope: &Scope, text: &str) -> Result<Blamed, Failure> {
    let view = scene.view(std::slice::from_ref(scope));
    let stated = |text: &str| scene.projections.statements(&view, scope, text, scene.now);
    let statements = stated(text)?;
    if !statements.is_empty() {
        return Ok(Blamed {
            statements,
            closest: None,
        });
    }
    let mut query = Query::default();
    (query.text, query.limit, query.now) = (text.to_owned(), 1, scene.now);
    let answer = scene.projections.facts(&view, &query)?;
    let best = answer.facts.into_iter().next().filter(|_| !text.trim().is_empty());
    let best = best.ok_or_else(|| Failure::no(format!("nobody stated that in {scope}")))?;
    terminal::warn(&format!(
        "nobody stated that in these words; what matches it best is {:?}",
        best.text
    ));
    Ok(Blamed {
        statements: stated(&best.text)?,
        closest: Some(best.text),
    })
}

use std::{io::Write, path::PathBuf};

use quipu_format::{Limits, ProjectionName, ScopePattern, limits};
use quipu_host::{Added, ProjectionComponent, Projector};
use quipu_log::LedgerReader;
use quipu_projections::Projections;
use serde::Serialize;

use crate::{
    acting,
    failure::{Failure, Outcome, good, verdict},
    handed,
    ledger::{LedgerDir, Wait},
    render::{BAD, DIM, ID, json_line},
    sandbox,
    scene::WaitFor,
    terminal::{self, escaped, escaped_lines},
};

/// State that components of your own derive from events
///
/// A projection component is fed the events of its scopes in the order of the log, and answers questions from what it
/// made of them. It imports nothing, so that it can do nothing else. Its state is kept, and thrown away and made again
/// when it is another component's, or when something was erased.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu project add decisions decisions.wasm --scope 'team:*'
  quipu project query decisions 2026-W08
  quipu project list
  quipu project remove decisions")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Have a component go by a name, in place of one that did before
    Add(Add),
    /// Feed a component what is new, and ask it
    Query(Query),
    /// Have nothing go by a name any more
    Remove(Remove),
    /// Print the components
    List(List),
}

#[derive(clap::Args)]
struct Add {
    /// Its name
    name: ProjectionName,
    /// The component, or a core module with a component-type section
    file: PathBuf,
    /// The scopes whose events it is fed: `team:support`, or `team:*`; may be given several times [default: all]
    #[arg(long = "scope", value_name = "PATTERN")]
    scopes: Vec<ScopePattern>,
    #[command(flatten)]
    wait: Wait,
    /// Print the receipt as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Query {
    /// Its name
    name: ProjectionName,
    /// What it is asked: what that may be is its own matter
    #[arg(default_value = "", hide_default_value = true)]
    input: String,
    #[command(flatten)]
    wait_for: WaitFor,
    /// Print the answer as one line of JSON: `output` or `error`, `asOf`, and `unread`
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Remove {
    /// Its name
    name: ProjectionName,
    #[command(flatten)]
    wait: Wait,
    /// Print the receipt as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct List {
    /// Print each as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AnswerLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    as_of: u64,
    /// Entries that it was not fed, for they could not be read.
    unread: u64,
}

#[derive(Serialize)]
struct AddedLine<'a> {
    name: &'a ProjectionName,
    component: String,
    scopes: &'a [ScopePattern],
    seq: u64,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    match args.what {
        What::Add(args) => add(args, ledger),
        What::Query(args) => query(&args, ledger),
        What::Remove(args) => remove(args, ledger),
        What::List(args) => list(&args, ledger),
    }
}

fn add(args: Add, dir: &LedgerDir) -> Outcome {
    let wasm = handed::read(&args.file, limits::COMPONENT_BYTES, "a component")?;
    let component = ProjectionComponent::new(&wasm)?;
    // What cannot be linked is not added.
    Projector::new(Limits::default())?
        .compiling(sandbox::compiler())
        .check(&component)?;
    let ledger = dir.write(&args.wait)?;
    let receipt = quipu_host::add_projection(&ledger, args.name.clone(), &component, args.scopes)?;
    acting::done(ledger, &receipt, args.json, &format!("{} is a projection", args.name))
}

fn remove(args: Remove, dir: &LedgerDir) -> Outcome {
    let ledger = dir.write(&args.wait)?;
    let reader = ledger.reader();
    reader.refresh()?;
    find(reader, &args.name)?;
    let receipt = quipu_host::remove_projection(&ledger, args.name.clone())?;
    if Projections::exist(ledger.reader()) {
        Projections::open(ledger.reader())?.drop_snapshot(&args.name)?;
    }
    acting::done(
        ledger,
        &receipt,
        args.json,
        &format!("{} is no projection any more", args.name),
    )
}

fn query(args: &Query, dir: &LedgerDir) -> Outcome {
    let reader = dir.read()?;
    let added = find(&reader, &args.name)?;
    let projections = Projections::open(&reader)?;
    args.wait_for.wait(&projections)?;
    let projector = Projector::new(Limits::default())?.compiling(sandbox::compiler());
    let mut progress = terminal::Progress::new("deriving");
    let mut show = |reached, head| progress.show(reached, head);
    let answer = projector.ask(&reader, &projections, &added, &args.input, &mut show)?;
    drop(progress);
    if answer.unread > 0 {
        let entries = terminal::counted(usize::try_from(answer.unread).unwrap_or(usize::MAX), "entry");
        terminal::warn(&format!(
            "it was not fed {entries} that cannot be read: `quipu verify` names what is damaged or not here"
        ));
    }

    let mut out = terminal::out();
    let printed = if args.json {
        let output = answer.output.as_deref().ok();
        let error = answer.output.as_ref().err().map(String::as_str);
        let (as_of, unread) = (answer.as_of, answer.unread);
        let line = AnswerLine {
            output,
            error,
            as_of,
            unread,
        };
        json_line(&mut out, &line)
    } else {
        match &answer.output {
            Ok(output) => writeln!(out, "{}", escaped_lines(output.trim_end_matches('\n'))),
            Err(error) => writeln!(
                anstream::stderr(),
                "{BAD}the projection answers with an error{BAD:#}: {}",
                escaped_lines(error)
            ),
        }
    };
    verdict(printed.and_then(|()| out.flush()), answer.output.is_ok().into())
}

fn list(args: &List, dir: &LedgerDir) -> Outcome {
    let mut out = terminal::out();
    for Added { setting, seq, .. } in &quipu_host::projections_of(&dir.read()?)? {
        let component = setting.component.to_hex();
        if args.json {
            let (name, scopes, seq) = (&setting.name, &setting.scopes[..], *seq);
            json_line(
                &mut out,
                &AddedLine {
                    name,
                    component,
                    scopes,
                    seq,
                },
            )?;
        } else {
            let scopes: Vec<_> = setting.scopes.iter().map(ScopePattern::to_string).collect();
            let scopes = if scopes.is_empty() {
                "all scopes".to_owned()
            } else {
                scopes.join(" ")
            };
            writeln!(
                out,
                "{ID}{}{ID:#}  {}  {DIM}{component}{DIM:#}",
                setting.name,
                escaped(&scopes)
            )?;
        }
    }
    out.flush()?;
    good()
}

fn find(reader: &LedgerReader, name: &ProjectionName) -> Result<Added, Failure> {
    let all = quipu_host::projections_of(reader)?;
    all.into_iter()
        .find(|added| added.setting.name == *name)
        .ok_or_else(|| {
            Failure::no(format!(
                "this ledger has no projection named {name}: see `quipu project list`"
            ))
        })
}

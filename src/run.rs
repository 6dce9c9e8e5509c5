use std::{
    collections::BTreeMap,
    io::{Read, Write, stdin},
    path::PathBuf,
};

use quipu_format::{
    RunId, Scope,
    limits::{self, PAGE_EVENTS},
};
use quipu_host::{Confined, Memory, Outcome as Ended, RunReport, Runtime};
use quipu_log::{Direction, LedgerReader};
use serde::Serialize;
use serde_json::Value;

use crate::{
    called::{Called, Granted},
    failure::{Failure, Outcome, verdict},
    ledger::{LedgerDir, Wait},
    render::{BAD, DIM, ReceiptLine, json_line},
    sandbox,
    terminal::{self, counted, escaped, escaped_lines},
};

/// Run an agent over the ledger
///
/// A name, which has no dot and no slash, is that of an agent in `quipu.toml`: it runs with the grant that stands there,
/// once an operator has approved that and its component. A file runs with the grant that the options say. Scopes are read
/// as they are when the run begins. Nothing else exists in the agent's world. Its answer goes to the standard output,
/// what it did to the standard error.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu run support \"How does acme-inc want its invoices?\"
  quipu run agent.wasm \"How does acme-inc want its invoices?\" \\
        --actor agent:support --home customer:acme-inc
  quipu run agent.wasm --actor agent:support --home customer:acme-inc \\
        --read policy:billing - < question.txt")]
pub(crate) struct Args {
    /// The agent: a name in quipu.toml, or a file with a component or a core module with a component-type section
    #[arg(value_name = "NAME|FILE")]
    agent: PathBuf,
    /// What it is asked; `-` is the standard input
    #[arg(default_value = "", hide_default_value = true)]
    input: String,
    #[command(flatten)]
    granted: Granted,
    /// Offer it a WASI 0.2 with nothing behind it, which components of ordinary toolchains import: no files, no network, no
    /// environment, an empty standard input; the clock stands, and random bytes come from a seed that the ledger keeps.
    /// What it prints is traced (`--trace`)
    #[arg(long)]
    wasi: bool,
    /// Append secrets like anything else; the run's first entry says so
    #[arg(long)]
    no_secret_guard: bool,
    /// Leave the component out of the ledger's folder; the run can then be replayed with its file alone
    #[arg(long)]
    no_keep_components: bool,
    /// Print answer and summary as one line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    wait: Wait,
}

/// Different refusals that are printed.
const SHOWN_REFUSALS: usize = 5;

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let called = Called::of(&args.agent, args.granted, ledger)?;
    if called.is_named() && (args.no_secret_guard || args.wasi) {
        return Err(Failure::cannot(
            "what an agent may do that is called by its name is what was approved: leave --no-secret-guard and --wasi out, or \
             run its file",
        ));
    }
    let input = input(args.input)?;
    // Before the process gives up what compiling needs.
    let compiler = sandbox::compiler();
    let component = compiler.prepare(called.wasm())?;
    let (ledger, confined) = ledger.write_after(&args.wait, || sandbox::confine(&ledger.path))?;
    let (grant, limits) = called.granted(&component, &ledger)?;
    let executor = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let executor = executor.map_err(|error| Failure::cannot(format!("cannot start threads: {error}")))?;
    let report = executor.block_on(async {
        let memory = if args.no_secret_guard {
            Memory::unguarded(ledger.clone())?
        } else {
            Memory::new(ledger.clone())?
        };
        let memory = memory.keep_components(!args.no_keep_components);
        let mut runtime = Runtime::over(memory, limits)?.compiling(compiler);
        if args.wasi {
            runtime = runtime.with_wasi()?;
        }
        let agent = runtime.load_component(component)?;
        runtime.run(&agent, &grant, &input).await
    });
    drop(executor);
    let report = report?;
    let refusals = refusals(ledger.reader(), &grant.home, &report)?;
    ledger.close()?;
    let printed = if args.json {
        print_json(&report, &refusals, confined)
    } else {
        print(&report, &refusals)
    };
    verdict(printed, matches!(report.outcome, Ended::Ok(_)).into())
}

fn input(argument: String) -> Result<String, Failure> {
    if argument != "-" {
        return Ok(argument);
    }
    let mut input = String::new();
    // More than fits is refused by the host; it may have no end.
    stdin()
        .take(limits::BODY_BYTES as u64 + 1)
        .read_to_string(&mut input)
        .map_err(|error| Failure::cannot(format!("cannot read the input: {error}")))?;
    Ok(input)
}

/// What the agent was refused, from the entries that record what it was told.
fn refusals(ledger: &LedgerReader, home: &Scope, report: &RunReport) -> Result<Vec<Value>, Failure> {
    let mut refusals = Vec::new();
    let mut range = report.head..ledger.head();
    while !range.is_empty() {
        let page = ledger.page(home, range.clone(), Direction::Forward, PAGE_EVENTS)?;
        for event in &page.events {
            if event.envelope.run != Some(report.run) || event.envelope.kind.as_str() != "quipu.run.told" {
                continue;
            }
            let payload = event
                .payload()
                .and_then(|payload| serde_json::from_str::<Value>(payload).ok());
            let told = payload.as_ref().and_then(|payload| payload.get("told")?.as_array());
            refusals.extend(
                told.into_iter()
                    .flatten()
                    .filter_map(|told| told.get("refused").cloned()),
            );
        }
        match page.events.last() {
            Some(last) if page.more => range.start = last.envelope.seq + 1,
            _ => break,
        }
    }
    Ok(refusals)
}

fn print(report: &RunReport, refusals: &[Value]) -> std::io::Result<()> {
    let mut out = terminal::out();
    let mut err = anstream::stderr();
    match &report.outcome {
        Ended::Ok(answer) => writeln!(out, "{}", escaped_lines(answer))?,
        Ended::Failed(message) => writeln!(err, "{BAD}the agent failed{BAD:#}: {}", escaped_lines(message))?,
        Ended::Trapped(message) => writeln!(err, "{BAD}the agent was ended{BAD:#}: {}", escaped_lines(message))?,
        Ended::TimedOut => writeln!(err, "{BAD}the agent was ended{BAD:#}: its deadline passed")?,
        _ => writeln!(err, "{BAD}the agent did not answer{BAD:#}")?,
    }
    out.flush()?;
    let appended = counted(report.appended.len(), "event");
    let refused = match refusals.len() {
        0 => String::new(),
        count => format!(", was refused {}", counted(count, "call")),
    };
    writeln!(err, "{DIM}run {} appended {appended}{refused}{DIM:#}", report.run)?;
    let mut counts = BTreeMap::<String, usize>::new();
    for refusal in refusals {
        let part = |name| escaped(refusal.get(name).and_then(Value::as_str).unwrap_or_default());
        *counts
            .entry(format!("{}: {}", part("kind"), part("message")))
            .or_default() += 1;
    }
    for (refusal, count) in counts.iter().take(SHOWN_REFUSALS) {
        writeln!(err, "{DIM}{count:>6} × {refusal}{DIM:#}")?;
    }
    if counts.len() > SHOWN_REFUSALS {
        writeln!(
            err,
            "{DIM}       and {} other refusals{DIM:#}",
            counts.len() - SHOWN_REFUSALS
        )?;
    }
    Ok(())
}

#[derive(Serialize)]
struct ReportLine<'a> {
    run: RunId,
    outcome: &'static str,
    text: Option<&'a String>,
    appended: Vec<ReceiptLine>,
    refused: &'a [Value],
    head: u64,
    confined: Confined,
}

fn print_json(report: &RunReport, refusals: &[Value], confined: Confined) -> std::io::Result<()> {
    let (outcome, text) = match &report.outcome {
        Ended::Ok(answer) => ("ok", Some(answer)),
        Ended::Failed(message) => ("failed", Some(message)),
        Ended::Trapped(message) => ("trapped", Some(message)),
        Ended::TimedOut => ("deadline", None),
        _ => ("unknown", None),
    };
    let line = ReportLine {
        run: report.run,
        outcome,
        text,
        appended: report.appended.iter().map(ReceiptLine::from).collect(),
        refused: refusals,
        head: report.head,
        confined,
    };
    let mut out = terminal::out();
    json_line(&mut out, &line)?;
    out.flush()
}

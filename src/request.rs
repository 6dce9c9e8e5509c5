use std::io::Write;

use quipu_format::{
    Closing, Request, RequestChange, RequestId, RequestOutcome, Scope, Subject, Timestamp,
    report::{Derived, Report},
};
use quipu_log::RequestState;
use quipu_projections::Projections;
use serde::Serialize;

use crate::{
    acting::{self, Acting},
    failure::{Failure, Outcome, good},
    forget::catch_up,
    hold::ranges_text,
    ledger::LedgerDir,
    log,
    render::{BAD, DIM, ID, json_line},
    terminal::{self, Out, escaped},
};

/// Keep account of requests to be forgotten
///
/// A request has a name, the scopes that it is about, an opaque handle of who asks, and a deadline. Erasures name the
/// request that they answer (`quipu redact --request`, `quipu forget-scope --request`), and the report says what came of
/// it. docs/RETENTION.md goes through it step by step.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu request open dsr-2026-117 --scope customer:4711 --subject person:4711 --deadline 2026-12-01 \\
        --operator kim --key ~/kim.key
  quipu request list
  quipu forget-scope customer:4711 --request dsr-2026-117 --operator kim --key ~/kim.key --reason \"asked for\"
  quipu request close dsr-2026-117 --operator kim --key ~/kim.key
  quipu request report dsr-2026-117 > report
  quipu check report --vkey \"$(quipu stats --json | jq -r .verifierKey)\"")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Take a request in
    Open(Open),
    /// Say that a request is answered
    Close(Close),
    /// Print the requests that are open, overdue ones first
    List(List),
    /// Print what came of a request, signed by the ledger
    Report(ReportOf),
}

#[derive(clap::Args)]
struct Open {
    /// Its name, used once: opaque, such as a file number
    id: RequestId,
    /// What it is about; may be given several times
    #[arg(long = "scope", value_name = "SCOPE", required = true)]
    scopes: Vec<Scope>,
    /// Who asks: an opaque handle that you can resolve, never a name or an address
    #[arg(long, value_name = "HANDLE")]
    subject: Subject,
    /// When it must have been answered; a date stands for its beginning in UTC
    #[arg(long, value_name = "DATE", value_parser = log::time)]
    deadline: Timestamp,
    /// What is to be remembered of it; sealed in the log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    acting: Acting,
    /// Print the receipt as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Close {
    /// The request
    id: RequestId,
    /// It is refused
    #[arg(long, requires = "reason")]
    refused: bool,
    /// Why, or what is to be remembered; sealed in the log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    acting: Acting,
    /// Print the receipt as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct List {
    /// Also those that are closed
    #[arg(long)]
    all: bool,
    /// Print each as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct ReportOf {
    /// The request
    id: RequestId,
    /// `json`: a signed note, for `quipu check`, whose third line is the report as JSON; `text`: for people to read
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Json,
    Text,
}

#[derive(Serialize)]
struct RequestLine<'a> {
    #[serde(flatten)]
    state: &'a RequestState,
    overdue: bool,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    match args.what {
        What::Open(args) => open(args, ledger),
        What::Close(args) => close(args, ledger),
        What::List(args) => list(&args, ledger),
        What::Report(args) => report(&args, ledger),
    }
}

fn open(args: Open, dir: &LedgerDir) -> Outcome {
    let ledger = args.acting.open(dir)?;
    let known: Vec<Scope> = ledger.reader().scopes().into_iter().map(|head| head.scope).collect();
    for scope in args.scopes.iter().filter(|scope| !known.contains(scope)) {
        terminal::warn(&format!("nothing is in {scope}"));
    }
    let what = format!("request {} is open until {}", args.id, args.deadline);
    let change = RequestChange::Open(Request {
        deadline: args.deadline,
        id: args.id,
        scopes: args.scopes,
        subject: args.subject,
    });
    let receipt = args
        .acting
        .operator
        .act(&ledger, RequestChange::MEMBER, &change, args.reason.as_deref())?;
    acting::done(ledger, &receipt, args.json, &what)
}

fn close(args: Close, dir: &LedgerDir) -> Outcome {
    let outcome = match args.refused {
        true => RequestOutcome::Refused,
        false => RequestOutcome::Completed,
    };
    let what = format!("request {} is closed", args.id);
    let change = RequestChange::Close(Closing { id: args.id, outcome });
    let ledger = args.acting.open(dir)?;
    let receipt = args
        .acting
        .operator
        .act(&ledger, RequestChange::MEMBER, &change, args.reason.as_deref())?;
    acting::done(ledger, &receipt, args.json, &what)
}

fn list(args: &List, ledger: &LedgerDir) -> Outcome {
    let governance = ledger.read()?.governance()?;
    let now = terminal::now();
    let mut requests: Vec<_> = governance
        .requests()
        .filter(|state| args.all || state.closed.is_none())
        .collect();
    requests.sort_by_key(|state| (state.closed.is_some(), state.request.deadline));
    let mut out = terminal::out();
    for state in &requests {
        let overdue = state.is_overdue(now);
        if args.json {
            json_line(&mut out, &RequestLine { state, overdue })?;
            continue;
        }
        let request = &state.request;
        write!(out, "{ID}{}{ID:#}  {}  ", request.id, request.subject)?;
        match (&state.closed, overdue) {
            (Some(closed), _) => write!(out, "{} {}", outcome(state.outcome), acting::by(closed))?,
            (None, true) => write!(out, "{BAD}overdue{BAD:#} since {}", request.deadline)?,
            (None, false) => write!(out, "open until {}", request.deadline)?,
        }
        let scopes: Vec<_> = request.scopes.iter().map(Scope::as_str).collect();
        writeln!(out, "  {DIM}{}{DIM:#}", scopes.join(", "))?;
    }
    if requests.is_empty() && !args.json {
        writeln!(out, "no request is open")?;
    }
    out.flush()?;
    good()
}

fn outcome(outcome: Option<RequestOutcome>) -> &'static str {
    match outcome {
        Some(RequestOutcome::Refused) => "refused",
        _ => "completed",
    }
}

/// A report in one of its formats.
enum Reported {
    Signed(String),
    Read(Report),
}

fn report(args: &ReportOf, ledger: &LedgerDir) -> Outcome {
    let reader = ledger.read()?;
    let projections = Projections::open(&reader)?;
    let as_of = catch_up(&projections, reader.head())?;
    let derived = vec![Derived {
        name: "search and provenance".to_owned(),
        as_of,
    }];
    let mut progress = terminal::Progress::new("looking for erasures");
    let mut show = |done, of| progress.show(done, of);
    let reported = match args.format {
        Format::Json => reader
            .signed_report(&args.id, &derived, &mut show)
            .map(Reported::Signed),
        Format::Text => reader.report(&args.id, derived, &mut show).map(Reported::Read),
    };
    drop(progress);
    let reported = reported.map_err(Failure::of_one)?;
    let mut out = terminal::out();
    match reported {
        Reported::Signed(note) => write!(out, "{note}")?,
        Reported::Read(report) => text(&mut out, &report, reader.origin())?,
    }
    out.flush()?;
    good()
}

fn text(out: &mut Out, report: &Report, origin: &str) -> std::io::Result<()> {
    let request = &report.request;
    writeln!(out, "Request {} of {}, ledger {origin}", request.id, request.subject)?;
    writeln!(out, "taken in    {}", report.opened)?;
    writeln!(out, "deadline    {}", request.deadline)?;
    match report.closed {
        Some(closed) => writeln!(out, "{:<11} {closed}", outcome(report.outcome))?,
        None => writeln!(out, "not closed yet")?,
    }
    writeln!(out, "\nErased: {} entries", report.entries)?;
    for erased in &report.erased {
        let ranges = ranges_text(&erased.ranges);
        writeln!(
            out,
            "  {}  {}: {ranges}, by {}",
            erased.ts, erased.scope, erased.operator
        )?;
        writeln!(out, "    entry {} at position {}", erased.id, erased.seq)?;
    }
    writeln!(out, "\nScopes now")?;
    for scope in &report.scopes {
        let (left, all) = (scope.open, scope.entries);
        writeln!(out, "  {}: {left} of {all} entries can be opened", scope.scope)?;
    }
    if report.held.is_empty() {
        writeln!(out, "\nHeld: nothing")?;
    } else {
        writeln!(out, "\nHeld")?;
    }
    for held in &report.held {
        let what = held.ranges.as_deref().map_or("all entries".to_owned(), ranges_text);
        write!(out, "  {}: {what}, by {} since {}", held.scope, held.hold, held.since)?;
        match &held.reason {
            Some(reason) => writeln!(out, ": {}", escaped(reason))?,
            None => writeln!(out)?,
        }
    }
    writeln!(out, "\nDerived data, which holds nothing of what was erased before")?;
    for derived in &report.derived {
        let gone = match report.erased.iter().all(|erased| erased.seq < derived.as_of) {
            true => "past all of these erasures",
            false => "not past all of these erasures yet",
        };
        writeln!(out, "  {}: position {}, {gone}", derived.name, derived.as_of)?;
    }
    writeln!(
        out,
        "\nTo check it: `quipu request report {}` prints this as a signed note with a proof of each erasure, and \
         `quipu check` checks that with the ledger's verifier key alone.",
        request.id
    )
}

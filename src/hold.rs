use std::{collections::BTreeMap, io::Write};

use quipu_format::{Erasure, EventId, Held, Hold, HoldId, Release, Scope};
use quipu_log::{HoldState, LedgerReader};
use serde::Serialize;

use crate::{
    acting::{self, Acting},
    failure::{Failure, Outcome, good},
    ledger::LedgerDir,
    render::{DIM, GOOD, ID, json_line},
    terminal,
};

/// Keep entries from being erased, as long as the law asks for it
///
/// While a hold is in force, redaction, retention, forgetting a scope and erasure at expiry are refused where they would
/// erase what it is over, and name it. Its name stays in clear for ever; the reason is sealed.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu hold add --scope customer:acme-inc --name case-2026-17 \\
        --operator kim --key ~/kim.key --reason \"litigation, see the file of counsel\"
  quipu hold list
  quipu hold remove case-2026-17 --operator kim --key ~/kim.key --reason \"settled\"")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Begin a hold
    Add(Add),
    /// End a hold
    Remove(Remove),
    /// Print the holds that are in force
    List(List),
}

#[derive(clap::Args)]
struct Add {
    /// All of this scope, also what is still to come; may be given several times
    #[arg(long = "scope", value_name = "SCOPE", required_unless_present = "events")]
    scopes: Vec<Scope>,
    /// This event; may be given several times
    #[arg(long = "event", value_name = "EVENT", num_args = 1..)]
    events: Vec<EventId>,
    /// Its name, used once: opaque, such as a file number
    #[arg(long, value_name = "ID")]
    name: HoldId,
    /// Why; sealed in the log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    acting: Acting,
    /// Print the receipt as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Remove {
    /// The hold's name
    name: HoldId,
    /// Why; sealed in the log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    acting: Acting,
    /// Print the receipt as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct List {
    /// Also those that are over
    #[arg(long)]
    all: bool,
    /// Print each as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct HoldLine<'a> {
    #[serde(flatten)]
    state: &'a HoldState,
    reason: Option<String>,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    match args.what {
        What::Add(args) => add(args, ledger),
        What::Remove(args) => remove(args, ledger),
        What::List(args) => list(&args, ledger),
    }
}

fn add(args: Add, dir: &LedgerDir) -> Outcome {
    let ledger = args.acting.open(dir)?;
    let over = over(ledger.reader(), args.scopes, &args.events)?;
    let hold = Hold { id: args.name, over };
    let receipt = args
        .acting
        .operator
        .act(&ledger, Hold::MEMBER, &hold, Some(&args.reason))?;
    acting::done(ledger, &receipt, args.json, &format!("hold {} is in force", hold.id))
}

fn remove(args: Remove, dir: &LedgerDir) -> Outcome {
    let release = Release { hold: args.name };
    let what = format!("hold {} is over", release.hold);
    let (member, reason) = (Release::MEMBER, Some(&*args.reason));
    args.acting.act(dir, member, &release, reason, args.json, &what)
}

/// What a hold is over: whole scopes, and events in others.
fn over(reader: &LedgerReader, scopes: Vec<Scope>, events: &[EventId]) -> Result<Vec<Held>, Failure> {
    let known: Vec<Scope> = reader.scopes().into_iter().map(|head| head.scope).collect();
    let mut over = BTreeMap::new();
    for scope in scopes {
        if !known.contains(&scope) {
            terminal::warn(&format!(
                "nothing is in {scope} yet: the hold is over what will be appended there"
            ));
        }
        over.insert(scope, None);
    }
    let mut nths: BTreeMap<Scope, Vec<[u32; 2]>> = BTreeMap::new();
    for id in events {
        let envelope = reader.find(*id)?.map(|seq| reader.envelope(seq)).transpose()?.flatten();
        let envelope = envelope.ok_or_else(|| Failure::no(format!("there is no event named {id} in this ledger")))?;
        if reader.event(envelope.seq)?.is_some_and(|event| event.body().is_none()) {
            terminal::warn(&format!("{id} is erased already: the hold keeps nothing of it"));
        }
        if !over.contains_key(&envelope.scope) {
            nths.entry(envelope.scope)
                .or_default()
                .push([envelope.nth, envelope.nth]);
        }
    }
    over.extend(nths.into_iter().map(|(scope, nths)| (scope, Some(Erasure::join(nths)))));
    Ok(over.into_iter().map(|(scope, ranges)| Held { ranges, scope }).collect())
}

fn list(args: &List, ledger: &LedgerDir) -> Outcome {
    let reader = ledger.read()?;
    let governance = reader.governance()?;
    let mut out = terminal::out();
    for state in governance.holds().filter(|state| args.all || state.released.is_none()) {
        let reason = reader.reason(state.since.seq)?;
        if args.json {
            json_line(&mut out, &HoldLine { state, reason })?;
            continue;
        }
        let ended = match &state.released {
            Some(released) => format!(", over since {}", acting::by(released)),
            None => String::new(),
        };
        writeln!(
            out,
            "{ID}{}{ID:#}  {DIM}since {}{ended}{DIM:#}",
            state.hold.id,
            acting::by(&state.since)
        )?;
        for held in &state.hold.over {
            let what = held
                .ranges
                .as_deref()
                .map_or_else(|| "all entries".to_owned(), ranges_text);
            writeln!(out, "  {}  {what}", held.scope)?;
        }
        acting::tell_reason(&mut out, reason.as_deref())?;
    }
    if !args.json && governance.holds().all(|state| !args.all && state.released.is_some()) {
        writeln!(out, "{GOOD}no hold is in force{GOOD:#}")?;
    }
    out.flush()?;
    good()
}

/// `entries 3, 7 to 9`, counted in their scope from 0.
pub(crate) fn ranges_text(ranges: &[[u32; 2]]) -> String {
    let one = |[first, last]: &[u32; 2]| match first == last {
        true => first.to_string(),
        false => format!("{first} to {last}"),
    };
    let noun = match ranges {
        [[first, last]] if first == last => "entry",
        _ => "entries",
    };
    format!("{noun} {}", ranges.iter().map(one).collect::<Vec<_>>().join(", "))
}

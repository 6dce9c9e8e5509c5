use std::{
    io::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use quipu_format::Timestamp;
use quipu_log::{Check, Governance, Health, Ledger, LedgerReader};
use quipu_projections::Projections;

use crate::{
    agents::{self, AgentsFile},
    failure::{Outcome, verdict},
    ledger::LedgerDir,
    render::{BAD, DIM, GOOD, LOOK, json_line},
    terminal::{self, escaped},
};

/// Look at machine, ledger and configuration, and say what is wrong and what to do
///
/// Changes nothing. Exit code 1: something does not work.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu doctor
  quipu doctor --json | jq -r 'select(.health != \"good\") | .advice'")]
pub(crate) struct Args {
    /// Print each finding as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn execute(args: &Args, ledger: &LedgerDir) -> Outcome {
    let mut checks = quipu_host::check_machine();
    checks.extend(ledger.at_unasked(|at| Ok(quipu_log::check_up(at, now())))?);
    // Where it cannot be read, that was said.
    let reader = ledger.at_unasked(|at| Ledger::open_read_only(at)).ok();
    checks.extend(reader.as_ref().map(projections));
    let governance = reader.as_ref().map(LedgerReader::governance_whole);
    if let (Some(reader), Some(governance)) = (&reader, &governance) {
        checks.extend(quotas(reader, governance));
    }
    checks.extend(configuration(ledger, governance));
    let worst = checks.iter().map(|check| check.health).max();
    verdict(print(args, &checks), (worst < Some(Health::Bad)).into())
}

fn now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_ms(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
}

/// How far behind what is derived is.
fn projections(reader: &LedgerReader) -> Check {
    const ABOUT: &str = "derived";
    match Projections::lag(reader) {
        Ok(lag) if lag.lag == 0 => Check::good(ABOUT, "nothing is behind"),
        Ok(lag) => Check::good(
            ABOUT,
            format!("{} entries behind; the next question takes them in", lag.lag),
        ),
        Err(error) => Check::doubtful(ABOUT, error.to_string(), "`quipu rebuild` makes it again from the log"),
    }
}

/// Scopes that have little room left. None: no quota is set, or it cannot be told.
fn quotas(reader: &LedgerReader, governance: &quipu_log::Result<Governance>) -> Option<Check> {
    const ABOUT: &str = "quotas";
    /// Percent of a quota.
    const MUCH: u64 = 90;
    const NAMED: usize = 5;
    let governance = match governance {
        Ok(governance) => governance,
        Err(error) => {
            let what = format!("they do not hold: {error}");
            return Some(Check::doubtful(
                ABOUT,
                what,
                "bring back what is missing, and open the ledger again",
            ));
        }
    };
    governance.quotas().next()?;
    let is_much =
        |held: u64, most: Option<u64>| most.is_some_and(|most| held > most / 100 * MUCH + most % 100 * MUCH / 100);
    let mut scopes = reader.scopes();
    scopes.retain(|head| {
        governance.quota_for(&head.scope).is_some_and(|state| {
            let quota = &state.quota;
            is_much(head.count.into(), quota.entries.map(u64::from)) || is_much(head.bytes, quota.bytes)
        })
    });
    if scopes.is_empty() {
        return Some(Check::good(ABOUT, format!("no scope is past {MUCH} % of its quota")));
    }
    let named: Vec<_> = scopes.iter().take(NAMED).map(|head| head.scope.as_str()).collect();
    let more = match scopes.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(Check::doubtful(
        ABOUT,
        format!("past {MUCH} % of their quota: {}{more}", named.join(", ")),
        "an append that has no room is refused: raise it with `quipu quota set`, or let their agents write less",
    ))
}

/// The file that names agents, where there is one.
fn configuration(ledger: &LedgerDir, governance: Option<quipu_log::Result<Governance>>) -> Vec<Check> {
    const ABOUT: &str = "agents";
    if !ledger.agents_path().exists() {
        return Vec::new();
    }
    let file = match AgentsFile::read(ledger) {
        Ok(file) => file,
        Err(failure) => {
            return vec![Check::bad(
                ABOUT,
                failure.message(),
                "`quipu agents --help` shows what stands in it",
            )];
        }
    };
    let Some(Ok(governance)) = governance else {
        return Vec::new();
    };
    let told = |(name, state, why): (_, &str, Vec<String>)| match state {
        "approved" => Check::good(ABOUT, format!("{name} is approved")),
        _ => Check::doubtful(
            ABOUT,
            [format!("{name}: {state}")]
                .into_iter()
                .chain(why)
                .collect::<Vec<_>>()
                .join("; "),
            format!("it does not run: look at it with `quipu agent approve {name}`"),
        ),
    };
    agents::standings(&file, &governance).map(told).collect()
}

fn print(args: &Args, checks: &[Check]) -> std::io::Result<()> {
    let mut out = terminal::out();
    for check in checks {
        if args.json {
            json_line(&mut out, check)?;
            continue;
        }
        let (tone, word) = match check.health {
            Health::Good => (GOOD, "good"),
            Health::Doubtful => (LOOK, "look"),
            Health::Bad => (BAD, "bad"),
        };
        writeln!(
            out,
            "{tone}{word}{tone:#}  {:12}  {}",
            check.about,
            escaped(&check.says)
        )?;
        if let Some(advice) = &check.advice {
            writeln!(out, "      {DIM}{:12}  {}{DIM:#}", "", escaped(advice))?;
        }
    }
    out.flush()
}

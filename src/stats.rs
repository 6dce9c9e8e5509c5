use std::io::Write;

use quipu_log::Stats;
use quipu_projections::{Lag, Projections};
use serde::Serialize;

use crate::{
    failure::{Outcome, good},
    ledger::LedgerDir,
    render::{DIM, json_line},
    terminal::{self, escaped},
};

/// Print numbers of the ledger and its scopes
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu stats
  quipu stats --json | jq .entries
  quipu stats --json | jq .projections.lag")]
pub(crate) struct Args {
    /// Print them as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct StatsLine<'a> {
    #[serde(flatten)]
    stats: Stats,
    /// Null: it cannot be told.
    projections: Option<&'a Lag>,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let reader = ledger.read()?;
    let stats = reader.stats()?;
    let lag = Projections::lag(&reader);
    let mut out = terminal::out();
    if args.json {
        let projections = lag.as_ref().ok();
        json_line(&mut out, &StatsLine { stats, projections })?;
    } else {
        let rows = [
            ("origin", stats.origin),
            ("verifier key", stats.verifier_key),
            ("entries", stats.entries.to_string()),
            ("checkpoint", format!("covers {}", stats.checkpoint_size)),
            (
                "segments",
                format!(
                    "{}, {} bytes, of which entries {}",
                    stats.segments, stats.segment_bytes, stats.entry_bytes
                ),
            ),
            (
                "archived",
                format!(
                    "{} segments, {} bytes compressed",
                    stats.archived_segments, stats.archived_bytes
                ),
            ),
            ("sidecars", format!("{} bytes", stats.sidecar_bytes)),
            (
                "projections",
                match &lag {
                    Ok(lag) => told(lag),
                    Err(error) => error.to_string(),
                },
            ),
            ("scopes", stats.scopes.to_string()),
        ];
        let keys = reader.verifier_keys();
        let earlier = keys.iter().filter_map(|key| Some((key.until?, &key.verifier_key)));
        for (until, key) in earlier {
            writeln!(out, "{DIM}until {until:<6}{DIM:#}  {}", escaped(key))?;
        }
        for (name, value) in rows {
            writeln!(out, "{DIM}{name:12}{DIM:#}  {}", escaped(&value))?;
        }
        for scope in reader.scopes() {
            writeln!(out, "{:>12}  {}", scope.count, scope.scope)?;
        }
    }
    out.flush()?;
    good()
}

fn told(lag: &Lag) -> String {
    let Lag { next, as_of, .. } = lag;
    let building = if lag.building { ", being built" } else { "" };
    let behind = match lag.lag {
        0 => "nothing behind".to_owned(),
        lag => format!(
            "{} behind",
            terminal::counted(usize::try_from(lag).unwrap_or(usize::MAX), "entry")
        ),
    };
    format!(
        "at seq {as_of}, the log at {next}: {behind}{building}; {} bytes",
        lag.bytes
    )
}

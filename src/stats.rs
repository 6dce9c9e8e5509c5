use std::io::Write;

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
  quipu stats --json | jq .entries")]
pub(crate) struct Args {
    /// Print them as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let reader = ledger.read()?;
    let stats = reader.stats()?;
    let mut out = terminal::out();
    if args.json {
        json_line(&mut out, &stats)?;
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

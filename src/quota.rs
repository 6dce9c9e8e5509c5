use std::io::Write;

use quipu_format::{Quota, QuotaChange, ScopePattern};
use quipu_log::{QuotaState, ScopeHead};
use serde::Serialize;

use crate::{
    acting::{self, Acting},
    failure::{Failure, Outcome, good},
    ledger::LedgerDir,
    render::{DIM, ID, json_line},
    terminal,
};

/// Say how much a scope may hold, in entries and in bytes
///
/// An append that a scope has no room for is refused, whoever makes it. A quota is for one scope, or with a `*` at the end for
/// each that begins alike; the closest one holds, alone. What is in a scope counts for good, also when it is erased.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu quota set 'tenant:*' --entries 100000 --bytes 256MiB --reason \"the small plan\" --operator kim --key ~/kim.key
  quipu quota set tenant:acme --entries 5000000 --reason \"the large plan\" --operator kim --key ~/kim.key
  quipu quota show
  quipu quota remove tenant:acme --reason \"the small plan again\" --operator kim --key ~/kim.key")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Set the quota for a scope, or for each that begins alike
    Set(Set),
    /// Take a quota away
    Remove(Remove),
    /// Print the quotas, and how much of those for one scope is used
    Show(Show),
}

#[derive(clap::Args)]
#[group(id = "quota", required = true, multiple = true, args = ["entries", "bytes"])]
struct Set {
    /// A scope, `tenant:acme`, or each that begins alike, `'tenant:*'`
    scopes: ScopePattern,
    /// Entries that a scope may hold
    #[arg(long, value_name = "N")]
    entries: Option<u32>,
    /// Bytes that they may have: a number, also with KiB, MiB, GiB or TiB behind it
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    bytes: Option<u64>,
    /// Why; sealed in the log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    acting: Acting,
    /// Print the receipt as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Remove {
    /// As the quota names them
    scopes: ScopePattern,
    /// Why; sealed in the log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    acting: Acting,
    /// Print the receipt as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Show {
    /// Print each as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct QuotaLine<'a> {
    #[serde(flatten)]
    state: &'a QuotaState,
    reason: Option<String>,
    /// Of a quota for one scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<Held>,
}

/// What is in a scope.
#[derive(Serialize)]
struct Held {
    entries: u32,
    bytes: u64,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    match args.what {
        What::Set(args) => set(args, ledger),
        What::Remove(args) => remove(args, ledger),
        What::Show(args) => show(&args, ledger),
    }
}

fn set(args: Set, dir: &LedgerDir) -> Outcome {
    let quota = Quota {
        bytes: args.bytes,
        entries: args.entries,
        of: args.scopes,
    };
    quota.check().map_err(|error| Failure::cannot(error.to_string()))?;
    let what = format!("quota set for {}: {}", quota.of, said(&quota));
    let (change, reason) = (QuotaChange::Set(quota), args.reason.as_deref());
    args.acting
        .act(dir, QuotaChange::MEMBER, &change, reason, args.json, &what)
}

fn remove(args: Remove, dir: &LedgerDir) -> Outcome {
    let what = format!("no quota for {} any more", args.scopes);
    let (change, reason) = (QuotaChange::Remove(args.scopes), args.reason.as_deref());
    args.acting
        .act(dir, QuotaChange::MEMBER, &change, reason, args.json, &what)
}

fn show(args: &Show, ledger: &LedgerDir) -> Outcome {
    let reader = ledger.read()?;
    // Where an order cannot be read, none behind it counts, and it would be said that there is no quota.
    let governance = reader.governance_whole()?;
    let mut out = terminal::out();
    let mut none = true;
    for state in governance.quotas() {
        none = false;
        let reason = reader.reason(state.since.seq)?;
        let held = state.quota.of.scope().map(|scope| Held::of(reader.scope(&scope)));
        if args.json {
            json_line(&mut out, &QuotaLine { state, reason, held })?;
            continue;
        }
        let (of, since) = (&state.quota.of, acting::by(&state.since));
        let quota = said(&state.quota);
        writeln!(out, "{ID}{of}{ID:#}  {quota}  {DIM}since {since}{DIM:#}")?;
        if let Some(held) = held {
            writeln!(out, "  holds {}", held.beside(&state.quota))?;
        }
        acting::tell_reason(&mut out, reason.as_deref())?;
    }
    if none && !args.json {
        writeln!(out, "no quota is set: scopes may hold as much as the ledger can")?;
    }
    out.flush()?;
    good()
}

impl Held {
    fn of(head: Option<ScopeHead>) -> Self {
        let (entries, bytes) = head.map_or((0, 0), |head| (head.count, head.bytes));
        Self { entries, bytes }
    }

    /// `12 entries (24 %), 3840 bytes`.
    fn beside(&self, quota: &Quota) -> String {
        let share = |held: u64, most: Option<u64>| match most {
            Some(most) => format!(" ({} %)", u128::from(held) * 100 / u128::from(most.max(1))),
            None => String::new(),
        };
        format!(
            "{}{}, {} bytes{}",
            terminal::counted(self.entries as usize, "entry"),
            share(self.entries.into(), quota.entries.map(u64::from)),
            self.bytes,
            share(self.bytes, quota.bytes)
        )
    }
}

/// `at most 100 entries, at most 4096 bytes`.
pub(crate) fn said(quota: &Quota) -> String {
    let entries = quota
        .entries
        .map(|most| format!("at most {}", terminal::counted(most as usize, "entry")));
    let bytes = quota.bytes.map(|most| format!("at most {most} bytes"));
    let parts: Vec<_> = [entries, bytes].into_iter().flatten().collect();
    parts.join(", ")
}

/// `4096`, `4KiB`, `1 GiB`.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_start() {
        "" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return Err("a number of bytes, also with KiB, MiB, GiB or TiB behind it: 512MiB".into()),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "it begins with a number of at most 20 digits: 512MiB")?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| "more bytes than can be counted".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_units() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("1KiB", 1 << 10),
            ("3 MiB", 3 << 20),
            ("2GiB", 2 << 30),
            ("1TiB", 1 << 40),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for bad in [
            "",
            "KiB",
            "1KB",
            "1k",
            "-1",
            "1.5MiB",
            "0x10",
            "99999999999999999999",
            "99999999999999TiB",
            "1é",
        ] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }
}

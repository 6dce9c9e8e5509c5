//! The commands that erase: `redact`, `retain` and `forget-scope`.

use std::io::Write;

use quipu_format::{EventId, RequestId, Scope, Timestamp};
use quipu_log::{ErasurePlan, Ledger, Target};
use serde::Serialize;

use crate::{
    acting::Acting,
    cascade::Cascade,
    failure::{Failure, Outcome, good},
    forget::forget,
    hold::ranges_text,
    ledger::LedgerDir,
    log,
    render::{DIM, GOOD, ReceiptLine, json_line},
    terminal,
};

/// Erase what events say, in the log and in all that is derived from it
///
/// Their envelopes stay, and history still verifies. What descends from the events is listed first; where something does,
/// say what is to become of it. There is no way back.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu redact evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D --operator kim --key ~/kim.key --reason \"a secret slipped in\"
  quipu redact evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D --operator kim --key ~/kim.key --reason \"asked for\" \\
        --request dsr-2026-117 --cascade")]
pub(crate) struct Redact {
    /// The events
    #[arg(required = true, value_name = "EVENT")]
    events: Vec<EventId>,
    #[command(flatten)]
    cascade: Cascade,
    #[command(flatten)]
    erasing: Erasing,
}

/// Erase all of a scope before a time
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu retain --scope customer:4711 --before 2025-01-01 --operator kim --key ~/kim.key --reason \"contract ended\"")]
pub(crate) struct Retain {
    /// The scope
    #[arg(long)]
    scope: Scope,
    /// Entries that the ledger took before it are erased: a time, such as 2026-02-20 or 2026-02-20T02:11:43Z
    #[arg(long, value_name = "TIME", value_parser = log::time)]
    before: Timestamp,
    #[command(flatten)]
    erasing: Erasing,
}

/// Erase all of a scope so far
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu forget-scope customer:4711 --request dsr-2026-117 --operator kim --key ~/kim.key --reason \"asked for\"")]
pub(crate) struct ForgetScope {
    /// The scope
    scope: Scope,
    #[command(flatten)]
    erasing: Erasing,
}

/// Who erases, and why.
#[derive(clap::Args)]
struct Erasing {
    /// The deletion request that this answers
    #[arg(long, value_name = "ID")]
    request: Option<RequestId>,
    /// Why; sealed in the log, and it must not quote what is erased
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    acting: Acting,
    /// Print what was erased as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Erased {
    #[serde(flatten)]
    plan: ErasurePlan,
    receipts: Vec<ReceiptLine>,
}

pub(crate) fn redact(args: Redact, dir: &LedgerDir) -> Outcome {
    let ledger = args.erasing.acting.open(dir)?;
    // What descends is printed of what can be done alone.
    args.erasing.acting.operator.signer()?;
    ledger.reader().refresh()?;
    let events = args.cascade.extend(ledger.reader(), args.events, args.erasing.json)?;
    args.erasing.erase(ledger, &Target::Events(events))
}

pub(crate) fn retain(args: Retain, dir: &LedgerDir) -> Outcome {
    let ledger = args.erasing.acting.open(dir)?;
    ledger.reader().refresh()?;
    let seq = ledger.reader().seq_at(args.before)?;
    let scope = args.scope;
    args.erasing.erase(ledger, &Target::Before { scope, seq })
}

pub(crate) fn forget_scope(args: ForgetScope, dir: &LedgerDir) -> Outcome {
    let ledger = args.erasing.acting.open(dir)?;
    args.erasing.erase(ledger, &Target::Scope(args.scope))
}

impl Erasing {
    /// Resolves, signs and does it; all or none.
    fn erase(self, ledger: Ledger, target: &Target) -> Outcome {
        let signer = self.acting.operator.signer()?;
        let reader = ledger.reader();
        reader.refresh()?;
        if let Some(request) = &self.request {
            // Also where nothing is left to erase.
            let open = reader.governance()?.open_request(request);
            open.map_err(Failure::of_one)?;
        }
        let plan = ErasurePlan::new(reader, target, self.request).map_err(Failure::of_one)?;
        // Before anything is signed, for the message's sake; the sequencer asks again.
        for erasure in &plan.erasures {
            if let Some(refused) = reader.refusal(erasure, terminal::now())? {
                return Err(refused.into());
            }
        }
        let acts = plan.sign(reader, &signer, &self.reason)?;
        let receipts = match acts.is_empty() {
            true => Vec::new(),
            false => ledger.act_blocking(acts)?,
        };
        // Also where nothing was left: the command that erased it may have been killed here.
        forget(reader)?;
        ledger.close()?;
        let mut out = terminal::out();
        if self.json {
            let receipts = receipts.iter().map(ReceiptLine::from).collect();
            json_line(&mut out, &Erased { plan, receipts })?;
        } else if plan.erasures.is_empty() {
            writeln!(out, "nothing was left to erase")?;
        } else {
            for (erasure, receipt) in plan.erasures.iter().zip(&receipts) {
                writeln!(
                    out,
                    "{GOOD}erased{GOOD:#}  {}  {}  {DIM}{}{DIM:#}",
                    erasure.scope,
                    ranges_text(&erasure.ranges),
                    receipt.id
                )?;
            }
        }
        out.flush()?;
        good()
    }
}

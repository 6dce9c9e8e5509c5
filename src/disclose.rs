use std::path::PathBuf;

use crate::{
    event_name::EventName,
    failure::{Outcome, good},
    ledger::LedgerDir,
    prove::{wait_for_checkpoint, write},
};

/// Write one event so that a third party can check it, and learns of no other
///
/// One line of JSON: the entry's envelope, its body, the salt with which the envelope commits to the body, the proof and
/// the signed checkpoint. `quipu check` takes it. The event is in it in clear.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu disclose evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D --out event.json
  quipu check event.json --vkey \"$(quipu stats --json | jq -r .verifierKey)\"")]
pub(crate) struct Args {
    /// The event's id, or its position in the ledger
    event: EventName,
    /// Where to write it; standard output if it is not said
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let reader = ledger.read()?;
    let seq = args.event.seq(&reader)?;
    wait_for_checkpoint(&reader, seq)?;
    write(args.out.as_deref(), &reader.disclose(seq)?.to_string())?;
    good()
}

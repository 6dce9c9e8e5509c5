use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use quipu_format::{Scope, limits};
use quipu_log::LedgerReader;

use crate::{
    event_name::EventName,
    failure::{Failure, Outcome, good},
    handed,
    ledger::{LedgerDir, Wait},
    terminal,
};

/// Write a proof that others check without the ledger
///
/// Of an event: that its entry is in the ledger, as a C2SP tlog-proof that carries the entry's envelope. It tells nothing
/// of what the event says; `quipu disclose` does. An erased event is proved as well.
///
/// Of a scope: how many entries it has and which is the last, or that it has none, so that its export is shown to be
/// complete. It holds up to the newest entry of kind `quipu.scopes`, of which there is one among 10,000 entries; with
/// `--fresh` one is appended, and it holds for all that is there now.
///
/// With `--consistency`: that the ledger only grew since a checkpoint that somebody kept.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu prove evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D --out event.tlog-proof
  quipu prove --scope customer:acme-inc --fresh --out acme.proof
  quipu prove --consistency kept-checkpoint --out grown
  quipu check event.tlog-proof --vkey \"$(quipu stats --json | jq -r .verifierKey)\"")]
pub(crate) struct Args {
    /// The event's id, or its position in the ledger
    #[arg(required_unless_present_any = ["consistency", "scope"], conflicts_with = "scope")]
    event: Option<EventName>,
    /// A scope, all of which is to be proved
    #[arg(long, conflicts_with = "consistency")]
    scope: Option<Scope>,
    /// First append an entry with the root of all scopes, so that the proof covers what the scope holds now
    #[arg(long, requires = "scope")]
    fresh: bool,
    #[command(flatten)]
    wait: Wait,
    /// An older checkpoint of this ledger: a file
    #[arg(long, value_name = "OLD_CHECKPOINT", conflicts_with = "event")]
    consistency: Option<PathBuf>,
    /// Where to write the proof; standard output if it is not said
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    if let Some(scope) = &args.scope {
        let proof = prove_scope(ledger, scope, args.fresh.then_some(&args.wait))?;
        write(args.out.as_deref(), &proof)?;
        return good();
    }
    let reader = ledger.read()?;
    let proof = match (args.event, args.consistency) {
        (_, Some(old)) => {
            let note = handed::read_or_pipe(&old, limits::NOTE_BYTES, "a checkpoint")?;
            let proof = reader.prove_consistency(&note).map_err(|error| match error.kind() {
                quipu_log::ErrorKind::Tampered | quipu_log::ErrorKind::LostEntries => Failure::no(error.to_string()),
                quipu_log::ErrorKind::Invalid => Failure::cannot(format!("{}: {error}", old.display())),
                _ => error.into(),
            })?;
            proof.to_string()
        }
        (Some(event), None) => {
            let seq = event.seq(&reader)?;
            wait_for_checkpoint(&reader, seq)?;
            reader.prove(seq)?.to_string()
        }
        (None, None) => return Err(Failure::cannot("name an event, or a checkpoint with --consistency")),
    };
    write(args.out.as_deref(), &proof)?;
    good()
}

/// A proof of a scope; `fresh`: after a root of scopes was appended.
fn prove_scope(ledger: &LedgerDir, scope: &Scope, fresh: Option<&Wait>) -> Result<String, Failure> {
    let proved = match fresh {
        None => ledger.read()?.prove_scope(scope)?,
        Some(wait) => {
            let writer = ledger.write(wait)?;
            let root = writer.root_scopes()?;
            // Signed at once, or by the process that writes.
            writer.prove_blocking(root.seq)?;
            let proved = writer.reader().prove_scope(scope)?;
            writer.close()?;
            proved
        }
    };
    if proved.later > 0 {
        terminal::warn(&format!(
            "the proof covers the ledger's first {} entries, and {} of the scope's came later: --fresh covers them too",
            proved.size, proved.later
        ));
    }
    Ok(proved.proof.to_string())
}

/// How long the process that writes may take to sign a checkpoint: some times what it promises.
const PATIENCE: Duration = Duration::from_secs(5);

/// Waits until a checkpoint covers the entry, which takes about a second where another process has just appended it.
pub(crate) fn wait_for_checkpoint(reader: &LedgerReader, seq: u64) -> Result<(), Failure> {
    let deadline = Instant::now() + PATIENCE;
    while reader.checkpoint()?.1.size <= seq && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Writes a text to a file, or to the standard output.
pub(crate) fn write(file: Option<&Path>, text: &str) -> Result<(), Failure> {
    match file {
        Some(file) => {
            fs::write(file, text).map_err(|e| Failure::cannot(format!("cannot write {}: {e}", file.display())))
        }
        None => {
            // Not through the terminal's colours: what is proved is bytes, and none of them steers a terminal.
            let mut out = std::io::stdout().lock();
            out.write_all(text.as_bytes())?;
            Ok(out.flush()?)
        }
    }
}

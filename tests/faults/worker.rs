//! This program as a process that appends through the library: in small segments, for which the command has no option,
//! and going on after errors, which the command does not.

use std::{env, ops::Range, path::Path, process, process::Command};

use quipu_format::{Actor, Body, Kind, Scope};
use quipu_log::{Draft, Ledger, OpenOptions, Result};

use crate::work::number;

/// A command that appends these drafts, each in a scope of its own, to a ledger with segments of 64 KiB, and prints a
/// receipt for each. At the first error it ends like `quipu`, or it goes on.
pub(crate) fn command(ledger: &Path, drafts: Range<u64>, goes_on: bool) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([
        "--exact",
        "worker::works",
        "--ignored",
        "--nocapture",
        "--test-threads=1",
    ]);
    command.env("QUIPU_WORKER_LEDGER", ledger);
    command.env("QUIPU_WORKER_FIRST", drafts.start.to_string());
    command.env("QUIPU_WORKER_END", drafts.end.to_string());
    if goes_on {
        command.env("QUIPU_WORKER_GOES_ON", "1");
    }
    command
}

#[test]
#[ignore = "a process that other tests start"]
fn works() {
    let Some(ledger) = env::var_os("QUIPU_WORKER_LEDGER") else {
        return;
    };
    let (Some(first), Some(end)) = (number("QUIPU_WORKER_FIRST"), number("QUIPU_WORKER_END")) else {
        return;
    };
    let goes_on = number("QUIPU_WORKER_GOES_ON").is_some();
    if let Err(error) = append(Path::new(&ledger), first..end, goes_on) {
        eprintln!("error: {error}");
        process::exit(2);
    }
    process::exit(0);
}

fn append(ledger: &Path, drafts: Range<u64>, goes_on: bool) -> Result<()> {
    let mut options = OpenOptions::default();
    options.segment_bytes = 64 << 10;
    let ledger = Ledger::open(ledger, options)?;
    for n in drafts {
        let body = Body::new(None, &format!(r#"{{"n":{n},"text":"{}"}}"#, "x".repeat(12_000)))?;
        let (scope, actor) = (Scope::new(&format!("worker:{n}"))?, Actor::new("tool:test")?);
        match ledger.append_blocking(Draft::new(scope, actor, Kind::new("memo")?, body)) {
            Ok(receipt) => {
                let (id, ts, hash) = (receipt.id.to_string(), receipt.ts.to_string(), receipt.hash.to_string());
                // On a line of its own, whatever the test program says itself.
                println!(
                    "\n{{\"seq\":{},\"n\":{n},\"id\":{id:?},\"ts\":{ts:?},\"hash\":{hash:?}}}",
                    receipt.seq
                );
            }
            Err(error) if goes_on => eprintln!("error: {error}"),
            Err(error) => return Err(error),
        }
    }
    ledger.close()
}

//! What is derived from the log forgets what was erased, before a command says that it is done.

use std::{
    thread,
    time::{Duration, Instant},
};

use quipu_log::LedgerReader;
use quipu_projections::Projections;

use crate::{failure::Failure, terminal};

/// How long others may use the projections meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);

/// Lets the projections forget, if the ledger has any. The erasure itself is done by now.
pub(crate) fn forget(reader: &LedgerReader) -> Result<(), Failure> {
    reader.refresh()?;
    if !Projections::exist(reader) {
        return Ok(());
    }
    let projections = Projections::open(reader)?;
    // It shows how far it has come. What keeps it from being folded, forgetting deals with.
    let _ = catch_up(&projections, reader.head());
    let begin = Instant::now();
    while !projections.forget()? {
        if begin.elapsed() > PATIENCE {
            return Err(Failure::cannot(
                "the erasure is done in the log, but projections/ may still hold words of what was erased, for another \
                 process uses it all the time: run the command again when that has ended",
            ));
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Folds all that is missing below `head`, whoever else is at it; returns the position reached.
pub(crate) fn catch_up(projections: &Projections, head: u64) -> Result<u64, Failure> {
    let mut progress = terminal::Progress::new("deriving");
    let reached = projections.build(&mut |reached, head| progress.show(reached, head))?;
    match reached >= head {
        true => Ok(reached),
        false => Ok(projections.catch_up(head)?),
    }
}

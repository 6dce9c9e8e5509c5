//! The file `reserve`: room on the disk that is kept for what must be possible when it is full.
//!
//! Appends never touch it. It is given up, for the length of one act, where that act meets a full disk and an operator
//! must be able to do it all the same: opening the ledger with what a crash left to put right, and the checkpoint that
//! closes it. Afterwards it is filled again, as far as there is room.

use quipu_format::limits;

use crate::{
    ErrorKind, Result,
    disk::{Access, Folder},
};

const FILE: &str = "reserve";

/// Does `act`; where the disk is full for it, gives up the reserve and does it once more. `act` must be one that can
/// be tried again after it has met a full disk.
pub(crate) fn backed<T>(ledger: &Folder, mut act: impl FnMut() -> Result<T>) -> Result<T> {
    let mut done = act();
    let full = matches!(&done, Err(error) if error.kind() == ErrorKind::Full);
    let given_up = full && give_up(ledger)?;
    if given_up {
        tracing::warn!("the disk is full: the room that was kept in reserve is used");
        done = act();
    }
    // A refusal changes nothing on disk, so there nothing is filled either.
    if (done.is_ok() || given_up)
        && let Err(error) = fill(ledger)
    {
        tracing::warn!(%error, "the reserve is not as large as it should be");
    }
    done
}

/// Whether there was a reserve to give up.
fn give_up(ledger: &Folder) -> Result<bool> {
    let length = match ledger.read_file(FILE) {
        Ok(file) => file.len()?,
        Err(e) if e.kind() == ErrorKind::NotFound => 0,
        Err(e) => return Err(e),
    };
    ledger.remove(FILE)?;
    // Some file systems give blocks back only once the removal is durable.
    ledger.sync()?;
    Ok(length > 0)
}

/// Makes the reserve as large as it should be. Where the disk is full it is as large as it can be.
fn fill(ledger: &Folder) -> Result<()> {
    let length = match ledger.read_file(FILE) {
        Ok(file) => file.len()?,
        Err(e) if e.kind() == ErrorKind::NotFound => 0,
        Err(e) => return Err(e),
    };
    if length >= limits::RESERVE_BYTES {
        return Ok(());
    }
    // Private, for nobody has anything to do with it.
    let file = match ledger.write_file(FILE) {
        Err(e) if e.kind() == ErrorKind::NotFound => ledger.create_file(FILE, Access::Private)?,
        opened => opened?,
    };
    let filled = file.fill(b'\n', length..limits::RESERVE_BYTES);
    file.sync_all().and(filled)
}

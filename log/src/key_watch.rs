//! A reader's look at the key file that another process writes: when it has been written anew, what was erased must not
//! be served any more.

use std::{
    mem,
    sync::{Mutex, PoisonError},
};

use zeroize::Zeroizing;

use crate::{
    LedgerReader, Result,
    disk::{DiskFile, Folder},
    erasure::Erasures,
    keyfile::{self, Keys},
    reader::ReadState,
};

/// Bytes that the key file's first line, which names its generation, has at most.
const HEADER_BYTES: usize = 512;

/// The key file that a reader has read, and erasures that it has seen in the log.
///
/// A key file that is replaced is overwritten before its erasure is acknowledged, so that one read of its first bytes
/// tells that it was.
#[derive(Default)]
pub(crate) struct KeyWatch(Mutex<Watched>);

#[derive(Default)]
struct Watched {
    /// It, and its first line.
    file: Option<(DiskFile, Zeroizing<Vec<u8>>)>,
    /// Erasures that the key file may not have carried out.
    erasures: Erasures,
    /// Those among them of which nobody has asked yet whether they count.
    unjudged: Erasures,
}

impl KeyWatch {
    /// Reads the keys again if their file has been replaced.
    pub(crate) fn look(&self, state: &ReadState) -> Result<()> {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((file, header)) = &watched.file
            && *Zeroizing::new(file.read_range(0, header.len())?) == **header
        {
            return Ok(());
        }
        watched.read(state)
    }

    /// Reads the keys again, with what is to be hidden all the same because of erasures that were found in the log.
    pub(crate) fn read_again(&self, state: &ReadState, found: Erasures) -> Result<()> {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watched.unjudged.extend(found.clone());
        watched.erasures.extend(found);
        watched.read(state)
    }

    /// Shows again what was hidden because of erasures that do not count. What cannot be judged stays hidden, until it can.
    pub(crate) fn judge(&self, reader: &LedgerReader) -> Result<()> {
        let watched = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // To judge is to read, during which this is not locked.
        let unjudged = mem::take(&mut watched().unjudged);
        if unjudged.is_empty() {
            return Ok(());
        }
        let refused = match reader.authority().refused(&unjudged) {
            Ok(refused) if refused.is_empty() => return Ok(()),
            Ok(refused) => refused,
            Err(error) => {
                tracing::warn!(%error, "whether erasures count that were not carried out yet is not known");
                // The next look may tell.
                watched().unjudged.extend(unjudged);
                return Ok(());
            }
        };
        for (seq, error) in &refused {
            tracing::warn!(%error, seq, "an erasure without authority is passed over");
        }
        let mut watched = watched();
        watched
            .erasures
            .retain(|seq| refused.iter().all(|(refused, _)| *refused != seq));
        watched.read(&reader.state)
    }
}

impl Watched {
    fn read(&mut self, state: &ReadState) -> Result<()> {
        // Before it is read: a file that is replaced in between is found to be at the next look.
        let file = open(&state.folder)?;
        let mut keys = Keys::read(&state.folder, state.manifest().verifier_key.name())?;
        self.erasures.done_below(keys.applied);
        self.unjudged.done_below(keys.applied);
        self.erasures.hide(&mut keys);
        *state.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        self.file = Some(file);
        Ok(())
    }
}

fn open(folder: &Folder) -> Result<(DiskFile, Zeroizing<Vec<u8>>)> {
    let file = folder.read_file(keyfile::FILE)?;
    let mut header = Zeroizing::new(file.read_range(0, HEADER_BYTES)?);
    let line = header.iter().position(|&byte| byte == b'\n').unwrap_or(header.len());
    header.truncate(line);
    Ok((file, header))
}

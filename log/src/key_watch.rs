//! A reader's look at the key file that another process writes: when it has been written anew, what was erased must not
//! be served any more.

use std::sync::{Mutex, PoisonError};

use zeroize::Zeroizing;

use crate::{
    Result,
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
        watched.erasures.extend(found);
        watched.read(state)
    }
}

impl Watched {
    fn read(&mut self, state: &ReadState) -> Result<()> {
        // Before it is read: a file that is replaced in between is found to be at the next look.
        let file = open(&state.folder)?;
        let mut keys = Keys::read(&state.folder, state.manifest().verifier_key.name())?;
        self.erasures.done_below(keys.applied);
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

//! The immutable attribute of full segments, which the file system enforces against everybody, this program included.

use std::path::Path;

use serde::Serialize;

use crate::{Error, Result, disk::Folder, manifest::Manifest, segment};

/// What was done to the full segments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ImmutableSummary {
    /// Full segments.
    pub segments: u64,
    /// Those whose attribute was changed.
    pub changed: u64,
}

/// Gives all full segments of a ledger the immutable attribute, or takes it from them. They are read-only by their mode
/// already; this holds against whoever may write them too, until somebody who may change attributes takes it away. The
/// newest segment is not touched, nor is anything that is derived. Doing it again does what is left.
///
/// # Errors
/// `Io` where the file system has no such attribute or this process may not change it (Linux asks for
/// `CAP_LINUX_IMMUTABLE`, which root has). What was done before stays.
pub fn set_immutable(path: &Path, immutable: bool) -> Result<ImmutableSummary> {
    let ledger = Folder::open(path)?;
    Manifest::read(&ledger)?;
    let log = ledger.sub(segment::FOLDER)?;
    let firsts = segment::list(&log)?;
    let full = firsts.split_last().map_or(&[][..], |(_, full)| full);
    let mut changed = 0;
    for &first in full {
        let file = log.read_file(&segment::file_name(first))?;
        let change = || -> Result<bool> {
            let differs = file.is_immutable()? != immutable;
            if differs {
                file.set_immutable(immutable)?;
            }
            Ok(differs)
        };
        changed += u64::from(change().map_err(explained)?);
    }
    Ok(ImmutableSummary {
        segments: full.len() as u64,
        changed,
    })
}

fn explained(error: Error) -> Error {
    let message = format!(
        "{error}. The attribute needs a file system that has it (ext4, xfs, btrfs) and a process that may change it \
         (root, or CAP_LINUX_IMMUTABLE)"
    );
    Error::new(error.kind(), message)
}

//! What a verifier can say of segments that are not here. Their entries' leaf hashes are in `tree/`, and the signed root
//! vouches for them: so the entries around them are known to be in their places, and their links to be possible.

use std::collections::HashSet;

use quipu_format::{Hash, tree::TileHashes};
use ulid::Ulid;

use crate::{Absent, Error, ErrorKind, Result, disk::Folder, tree_files::TreeFiles};

#[derive(Default)]
pub(crate) struct Gaps {
    pub(crate) segments: Vec<Absent>,
    leaves: HashSet<Hash>,
    /// Names of the entries before and behind each; the highest there is where none has come yet.
    names: Vec<(Ulid, Ulid)>,
}

impl Gaps {
    /// Begins a gap of a segment's entries behind `size` others, the last of which has the name `after`. Gives their leaf
    /// hashes.
    pub(crate) fn begin(&mut self, ledger: &Folder, absent: &Absent, size: u64, after: Ulid) -> Result<Vec<Hash>> {
        let not_here = |why: &str| {
            let message = format!(
                "entries {} to {} were archived to {}, which is not there, and {why}: put the file or the mount back",
                absent.first,
                absent.last,
                absent.file.display()
            );
            Error::new(ErrorKind::NotHere, message)
        };
        if absent.first != size {
            return Err(not_here(&format!("entry {size} should be the first of them")));
        }
        let count = (absent.last - absent.first + 1) as usize;
        let leaves = TreeFiles::open(ledger).and_then(|hashes| hashes.read(0, absent.first, count));
        let leaves =
            leaves.map_err(|e| not_here(&format!("what stands behind them cannot be checked either ({e})")))?;
        self.leaves.extend(&leaves);
        self.names.push((after, Ulid(u128::MAX)));
        self.segments.push(absent.clone());
        Ok(leaves)
    }

    /// The next entry has this name.
    pub(crate) fn end(&mut self, name: Ulid) {
        for (_, before) in self.names.iter_mut().rev() {
            if before.0 != u128::MAX {
                break;
            }
            *before = name;
        }
    }

    pub(crate) fn entries(&self) -> u64 {
        self.leaves.len() as u64
    }

    /// Whether an entry of that name may be among them.
    pub(crate) fn may_hold(&self, name: Ulid) -> bool {
        self.names.iter().any(|(after, before)| *after < name && name < *before)
    }

    /// Whether the entry before `nth` in its scope is one of them, where `count` of the scope are known.
    pub(crate) fn may_precede(&self, nth: u32, prev: &Hash, count: u32) -> bool {
        nth > count && self.leaves.contains(prev)
    }

    /// The root is not the signed one. With gaps, that the tree's files were damaged is as possible as a changed entry.
    pub(crate) fn refuse_root(&self) -> Result<()> {
        let Some(absent) = self.segments.first() else {
            return Ok(());
        };
        let message = format!(
            "the root is not the one that was signed: either an entry was changed, or tree/ does not hold the hashes of \
             entries {} to {}, whose file {} is not there. Put the file or the mount back, and verify again",
            absent.first,
            absent.last,
            absent.file.display()
        );
        Err(Error::new(ErrorKind::NotHere, message))
    }
}

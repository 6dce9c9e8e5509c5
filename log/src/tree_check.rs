//! Whether the hashes in `tree/` are those of the log. They are derived, and a proof or an export that rests on a wrong one
//! is refused when it is made; here it is told which one is wrong.

use quipu_format::{
    Hash,
    tree::{TILE_WIDTH, subtree_root},
};

use crate::{ErrorKind, Result, disk::Folder, tree_files::TreeFiles};

/// Bits of a leaf's position that a level of tiles takes.
const LEVEL_BITS: usize = TILE_WIDTH.ilog2() as usize;

/// Compares what a checkpoint covers of the tree's hashes, leaf by leaf as the log is walked.
#[derive(Default)]
pub(crate) struct TreeCheck {
    /// None: the folder is not there, and is made when the ledger is opened for writing.
    files: Option<TreeFiles>,
    /// Leaves that the checkpoint covers.
    size: u64,
    levels: Vec<Level>,
    wrong: Option<WrongHash>,
}

/// The hashes of a level, as far as they were seen.
#[derive(Default)]
struct Level {
    seen: u64,
    /// Those of the tile that is not full yet, as they should be and as they are.
    right: Vec<Hash>,
    there: Vec<Hash>,
}

/// A hash in `tree/` that is not the log's.
pub(crate) struct WrongHash {
    pub(crate) file: String,
    pub(crate) offset: u64,
    /// The first entry that it stands for.
    pub(crate) seq: u64,
}

impl WrongHash {
    pub(crate) const WHAT: &'static str = "it is not the hash of the log's entries, or is missing; the log is whole: \
                                           remove the folder tree and open the ledger for writing, which makes it anew";
}

impl TreeCheck {
    /// Of the first `size` leaves.
    pub(crate) fn open(ledger: &Folder, size: u64) -> Result<Self> {
        let files = match TreeFiles::open(ledger) {
            Ok(files) => Some(files),
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        };
        Ok(Self {
            files,
            size,
            ..Self::default()
        })
    }

    /// Takes the hash of the next entry.
    pub(crate) fn see(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for level in 0.. {
            let Some(files) = self.files.as_ref().filter(|_| self.wrong.is_none()) else {
                return;
            };
            if level == self.levels.len() {
                self.levels.push(Level::default());
            }
            let (count, here) = (self.size >> (LEVEL_BITS * level), &mut self.levels[level]);
            if here.seen == count {
                return;
            }
            if here.right.is_empty() {
                let width = (count - here.seen).min(TILE_WIDTH as u64) as usize;
                here.there = files.read_most(level, here.seen, width);
            }
            if here.there.get(here.right.len()) != Some(&hash) {
                self.wrong = Some(WrongHash {
                    file: format!("tree/{level}"),
                    offset: here.seen * size_of::<Hash>() as u64,
                    seq: here.seen << (LEVEL_BITS * level),
                });
                return;
            }
            here.seen += 1;
            here.right.push(hash);
            if here.right.len() < TILE_WIDTH {
                return;
            }
            hash = subtree_root(&here.right);
            here.right.clear();
        }
    }

    /// The first that is wrong.
    pub(crate) fn wrong(&mut self) -> Option<WrongHash> {
        self.wrong.take()
    }
}

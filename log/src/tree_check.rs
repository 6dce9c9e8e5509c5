//! Whether the hashes in `tree/` are those of the log. They are derived, and a proof or an export that rests on a wrong one
//! is refused when it is made; here it is told which one is wrong.
//!
//! `tree/` is not synced with each checkpoint: a power cut leaves hashes that are missing at the end, or zeros. Those are lost,
//! not wrong.

use quipu_format::{Hash, tree::TILE_WIDTH};

use crate::{ErrorKind, Result, disk::Folder, tree_files::TreeFiles};

/// Bits of a leaf's position that a level of tiles takes.
const LEVEL_BITS: usize = TILE_WIDTH.ilog2() as usize;

/// Compares what a checkpoint covers of the tree's hashes, as they come up where the log is walked.
#[derive(Default)]
pub(crate) struct TreeCheck {
    /// None: the folder is not there, and is made when the ledger is opened for writing.
    files: Option<TreeFiles>,
    /// Leaves that the checkpoint covers.
    size: u64,
    levels: Vec<Level>,
    wrong: Option<HashPlace>,
    lost: Option<HashPlace>,
}

/// The hashes of a level, as far as they were seen.
#[derive(Default)]
struct Level {
    seen: u64,
    /// Those of the tile that is being seen, as they are.
    there: Vec<Hash>,
}

/// Where a hash in `tree/` should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HashPlace {
    pub(crate) file: String,
    pub(crate) offset: u64,
    /// The first entry that it stands for.
    pub(crate) seq: u64,
}

impl HashPlace {
    /// What is said of a hash that is another than the log's.
    pub(crate) const WRONG: &'static str = "it is not the hash of the log's entries; the log is whole: remove the folder tree \
                                            and open the ledger for writing, which makes it anew";
    /// What is said of one that is not there.
    pub(crate) const LOST: &'static str = "hashes are missing from here on, or are zeros, as after a power cut; the log is \
                                           whole: remove the folder tree and open the ledger for writing, which makes it anew";
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

    /// Takes the root of the next complete subtree of that height; an entry's hash is one of height 0.
    pub(crate) fn see(&mut self, height: u32, hash: Hash) {
        let height = height as usize;
        if !height.is_multiple_of(LEVEL_BITS) {
            return;
        }
        let level = height / LEVEL_BITS;
        let Some(files) = self.files.as_ref().filter(|_| self.wrong.is_none()) else {
            return;
        };
        if level == self.levels.len() {
            self.levels.push(Level::default());
        }
        let (count, here) = (self.size >> height, &mut self.levels[level]);
        if here.seen == count {
            return;
        }
        let within = here.seen as usize % TILE_WIDTH;
        if within == 0 {
            let width = (count - here.seen).min(TILE_WIDTH as u64) as usize;
            here.there = files.read_most(level, here.seen, width);
        }
        let there = here.there.get(within);
        if there != Some(&hash) {
            let place = HashPlace {
                file: format!("tree/{level}"),
                offset: here.seen * size_of::<Hash>() as u64,
                seq: here.seen << height,
            };
            if there.is_some_and(|there| there.0 != [0; 32]) {
                self.wrong = Some(place);
                return;
            }
            self.lost.get_or_insert(place);
        }
        here.seen += 1;
    }

    /// The first that is wrong.
    pub(crate) fn wrong(&mut self) -> Option<HashPlace> {
        self.wrong.take()
    }

    /// The first that is lost.
    pub(crate) fn lost(&mut self) -> Option<HashPlace> {
        self.lost.take()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use quipu_format::tree::Frontier;

    use super::*;
    use crate::tree_files::TreeWriter;

    const SIZE: u64 = 700;

    fn leaf(number: u64) -> Hash {
        Hash::of(&[&number.to_be_bytes()])
    }

    /// The first wrong hash and the first lost one, as level and number.
    fn check(folder: &Folder) -> [Option<(String, u64)>; 2] {
        let mut check = TreeCheck::open(folder, SIZE).unwrap();
        let mut frontier = Frontier::new();
        (0..SIZE + 5).for_each(|number| frontier.push_seen(leaf(number), |height, hash| check.see(height, hash)));
        [check.wrong(), check.lost()].map(|place| place.map(|place| (place.file, place.offset / 32)))
    }

    #[test]
    fn what_a_power_cut_leaves_is_lost_and_anything_else_is_wrong() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(temporary.path()).unwrap();
        let mut writer = TreeWriter::resume(&folder, 0).unwrap();
        (0..SIZE).for_each(|number| writer.push(leaf(number)));
        writer.flush().unwrap();
        assert_eq!(check(&folder), [None, None]);

        for (level, count) in [(0, SIZE as usize), (1, SIZE as usize / TILE_WIDTH)] {
            let name = format!("tree/{level}");
            let path = temporary.path().join(&name);
            let good = fs::read(&path).unwrap();
            let place = |hash: usize| Some((name.clone(), hash as u64));
            for hash in [0, 1, count / 2, count - 1] {
                fs::write(&path, &good[..hash * 32 + 31]).unwrap();
                assert_eq!(check(&folder), [None, place(hash)], "{name} cut at {hash}");
                let mut changed = good.clone();
                changed[hash * 32..][..32].fill(0);
                fs::write(&path, &changed).unwrap();
                assert_eq!(check(&folder), [None, place(hash)], "{name}: zeros for {hash}");
                // Not all of it is zero, and it is not what it was.
                changed[hash * 32 + 7] = 1;
                fs::write(&path, &changed).unwrap();
                assert_eq!(check(&folder), [place(hash), None], "{name}: another for {hash}");
            }
            // A lost one does not hide a wrong one behind it.
            let mut changed = good.clone();
            changed[..32].fill(0);
            changed[count * 32 - 1] ^= 1;
            fs::write(&path, &changed).unwrap();
            assert_eq!(check(&folder), [place(count - 1), place(0)]);
            fs::write(&path, &good).unwrap();
        }
    }
}

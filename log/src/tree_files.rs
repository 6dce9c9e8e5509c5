//! The tree's hashes on disk: `tree/<L>` holds hash `i` of tile level `L` at byte `32 × i`. They are derived from the
//! log, written before the checkpoint that covers them, synced when a segment is full, and made anew from there on when a
//! ledger is opened for writing.

use quipu_format::{
    Hash,
    tree::{TILE_WIDTH, TileHashes, subtree_root},
};

use crate::{
    Error, ErrorKind, Result,
    disk::{DiskFile, Folder},
};

const FOLDER: &str = "tree";
const HASH_BYTES: u64 = 32;
/// Levels that 2^53 leaves fill: 256^7 > 2^53.
const LEVELS: usize = 7;

/// Reads hashes.
pub(crate) struct TreeFiles {
    levels: Vec<DiskFile>,
}

impl TreeFiles {
    pub(crate) fn open(ledger: &Folder) -> Result<Self> {
        let folder = ledger.sub(FOLDER)?;
        let mut levels = Vec::new();
        for level in 0..LEVELS {
            match folder.read_file(&level.to_string()) {
                Ok(file) => levels.push(file),
                Err(e) if e.kind() == ErrorKind::NotFound => break,
                Err(e) => return Err(e),
            }
        }
        Ok(Self { levels })
    }

    /// How many levels there were when they were opened.
    pub(crate) fn levels(&self) -> usize {
        self.levels.len()
    }

    /// What is said where the hashes are not those of the log.
    pub(crate) fn stale() -> Error {
        let message = "the files in tree/ are not those of this log: remove that folder and open the ledger for writing, which makes it anew";
        Error::new(ErrorKind::Corrupt, message)
    }
}

impl TreeFiles {
    /// As many hashes of a level from there on as can be read, up to `count`.
    pub(crate) fn read_most(&self, level: usize, first: u64, count: usize) -> Vec<Hash> {
        let bytes = self
            .levels
            .get(level)
            .map(|file| file.read_range(first * HASH_BYTES, count * HASH_BYTES as usize));
        let bytes = bytes.and_then(Result::ok).unwrap_or_default();
        bytes.as_chunks().0.iter().map(|hash| Hash(*hash)).collect()
    }
}

impl TileHashes for TreeFiles {
    type Error = Error;

    fn read(&self, level: u8, first: u64, count: usize) -> Result<Vec<Hash>> {
        let missing = || {
            let message = format!(
                "tree/{level} lacks hashes: remove that folder and open the ledger for writing, which makes it anew"
            );
            Error::new(ErrorKind::Corrupt, message)
        };
        let file = self.levels.get(usize::from(level)).ok_or_else(missing)?;
        let bytes = file.read_range(first * HASH_BYTES, count * HASH_BYTES as usize)?;
        let hashes: Vec<_> = bytes.as_chunks().0.iter().map(|hash| Hash(*hash)).collect();
        if hashes.len() == count {
            Ok(hashes)
        } else {
            Err(missing())
        }
    }
}

/// Adds hashes at the end of each level.
pub(crate) struct TreeWriter {
    folder: Folder,
    levels: Vec<Level>,
}

#[derive(Default)]
struct Level {
    file: Option<DiskFile>,
    /// Hashes in the file.
    written: u64,
    /// Hashes that follow them.
    fresh: Vec<Hash>,
    /// The hashes of the tile that is not full yet.
    tile: Vec<Hash>,
}

impl TreeWriter {
    /// Goes on from a tree of `size` leaves, whose hashes are there. Whoever opens a ledger pushes the leaves behind.
    pub(crate) fn resume(ledger: &Folder, size: u64) -> Result<Self> {
        let folder = ledger.create_sub(FOLDER)?;
        let hashes = TreeFiles::open(ledger)?;
        let mut levels = Vec::new();
        let mut written = size;
        while written > 0 {
            let partial = written % TILE_WIDTH as u64;
            let tile = match partial {
                0 => Vec::new(),
                _ => hashes.read(levels.len() as u8, written - partial, partial as usize)?,
            };
            levels.push(Level {
                file: None,
                written,
                fresh: Vec::new(),
                tile,
            });
            written /= TILE_WIDTH as u64;
        }
        Ok(Self { folder, levels })
    }

    /// How many levels the tree has.
    pub(crate) fn levels(&self) -> usize {
        self.levels.len()
    }

    /// Makes what was written durable.
    pub(crate) fn sync(&self) -> Result<()> {
        for file in self.levels.iter().filter_map(|level| level.file.as_ref()) {
            file.sync_all()?;
        }
        self.folder.sync()
    }

    /// Adds a leaf. Nothing is written before [`flush`](Self::flush).
    pub(crate) fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for number in 0.. {
            if number == self.levels.len() {
                self.levels.push(Level::default());
            }
            let level = &mut self.levels[number];
            level.fresh.push(hash);
            level.tile.push(hash);
            if level.tile.len() < TILE_WIDTH {
                break;
            }
            hash = subtree_root(&level.tile);
            level.tile.clear();
        }
    }

    /// Writes what was added, where the file does not hold it already. Not synced: it can be made anew. If it fails it
    /// can be tried again.
    pub(crate) fn flush(&mut self) -> Result<()> {
        for (number, level) in self.levels.iter_mut().enumerate() {
            let file = match &mut level.file {
                Some(file) => file,
                none => none.insert(self.folder.write_or_create_file(&number.to_string())?),
            };
            let bytes: Vec<u8> = level.fresh.iter().flat_map(|hash| hash.0).collect();
            let offset = level.written * HASH_BYTES;
            // Opening pushes the whole log; writing only what differs keeps that from dirtying the whole file.
            if file.read_range(offset, bytes.len())? != bytes {
                file.write_all_at(&bytes, offset)?;
            }
            level.written += level.fresh.len() as u64;
            level.fresh.clear();
        }
        Ok(())
    }
}

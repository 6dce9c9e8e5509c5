//! The ledger's files: room for them, what they take, and the page cache.

use std::{
    fs::{self, DirEntry, File},
    num::NonZeroU64,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
};

use rustix::fs::Advice;

use crate::{Result, payload::Random};

/// Not the log's: derived from it, and rebuilt at will.
const PROJECTIONS: &str = "projections";

/// Bytes that are free for this user on the disk that holds the folder.
pub(super) fn free_bytes(folder: &Path) -> Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail * disk.f_frsize)
}

/// Bytes that each of the ledger's files and folders takes on the disk, apart from projections.
pub(super) fn bytes(ledger: &Path) -> Result<Vec<(String, u64)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(ledger)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != PROJECTIONS {
            let mut bytes = 0;
            each_file(entry, &mut |file| {
                bytes += file.metadata()?.blocks() * 512;
                Ok(())
            })?;
            all.push((name, bytes));
        }
    }
    all.sort();
    Ok(all)
}

/// Makes the next reads of the ledger come from the disk.
pub(super) fn drop_from_cache(ledger: &Path) -> Result<()> {
    for entry in fs::read_dir(ledger)? {
        each_file(entry?, &mut |file| {
            let file = File::open(file.path())?;
            // What is not written yet cannot be dropped.
            file.sync_all()?;
            rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
            Ok(())
        })?;
    }
    Ok(())
}

/// Reads of the log as a page of scattered entries makes them, with nothing else around: what the disk allows.
pub(super) struct RandomReads(Vec<(File, u64)>);

impl RandomReads {
    /// Bytes of one read: about a line's.
    const BYTES: usize = 1_070;

    /// Of the segment files in the folder.
    pub(super) fn new(log: &Path) -> Result<Self> {
        let mut files = Vec::new();
        for entry in fs::read_dir(log)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                let file = File::open(path)?;
                let places = file.metadata()?.len().saturating_sub(Self::BYTES as u64);
                if places > 0 {
                    files.push((file, places));
                }
            }
        }
        if files.is_empty() {
            return Err("the log has no segment to read from".into());
        }
        Ok(Self(files))
    }

    /// So many random places.
    pub(super) fn places(&self, random: &mut Random, count: usize) -> Vec<(&File, u64)> {
        let place = |_| {
            let (file, places) = &self.0[random.below(self.0.len())];
            (file, random.below(*places as usize) as u64)
        };
        (0..count).map(place).collect()
    }

    /// Reads there: all are asked for first, as quipu does.
    pub(super) fn read(&self, places: &[(&File, u64)]) -> Result<()> {
        let length = NonZeroU64::new(Self::BYTES as u64);
        for (file, offset) in places {
            rustix::fs::fadvise(file, *offset, length, Advice::WillNeed)?;
        }
        let mut line = [0; Self::BYTES];
        for (file, offset) in places {
            file.read_exact_at(&mut line, *offset)?;
        }
        Ok(())
    }
}

/// All files at or below a folder's entry.
fn each_file(entry: DirEntry, visit: &mut dyn FnMut(&DirEntry) -> Result<()>) -> Result<()> {
    let kind = entry.file_type()?;
    if kind.is_dir() {
        for below in fs::read_dir(entry.path())? {
            each_file(below?, visit)?;
        }
    } else if kind.is_file() {
        visit(&entry)?;
    }
    Ok(())
}

//! The ledger's files: room for them, what they take, and the page cache.

use std::{
    fs::{self, DirEntry, File},
    os::unix::fs::MetadataExt,
    path::Path,
};

use rustix::fs::Advice;

use crate::Result;

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

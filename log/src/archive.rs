//! Sealed segments that were moved, compressed, to a cold folder: the file `archive` says which and where. What finds
//! their entries, sidecars and tree, stays. docs/FORMAT.md, "Archive".

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use quipu_format::{Hash, limits};
use serde::{Deserialize, Serialize};

use crate::{
    Error, ErrorKind, LedgerReader, Result, cold,
    cold::ColdFile,
    disk::{Access, DiskFile, Folder},
    recovery::read_segment,
    sealed::Sealed,
    segment,
};

const FILE: &str = "archive";
/// Version of the file.
const FORMAT: u32 = 1;
/// Bytes of the file: far more than a million segments.
const FILE_BYTES: u64 = 1 << 30;
/// Bytes of a compressed segment: what does not compress grows by little.
const COLD_BYTES: u64 = segment::MOST_BYTES + (1 << 20);

/// What was archived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ArchiveSummary {
    /// Segments that were moved.
    pub segments: u64,
    /// Bytes that they had.
    pub bytes: u64,
    /// Bytes that they have in the cold folder.
    pub cold_bytes: u64,
    /// Segments that had been archived before, and whose files were found in this folder and no longer in the one
    /// where they were.
    pub found: u64,
}

/// A segment whose bytes cannot be read now, because it was archived and its file is not where it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Absent {
    /// Where the file should be.
    pub file: PathBuf,
    /// `seq` of its first entry.
    pub first: u64,
    /// `seq` of its last entry.
    pub last: u64,
}

/// The file `archive`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Archive {
    format: u32,
    segments: Vec<Archived>,
}

/// A segment that was archived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Archived {
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// Bytes of the segment.
    pub(crate) bytes: u64,
    /// Bytes of the compressed file, and their SHA-256.
    pub(crate) cold_bytes: u64,
    sha256: Hash,
    /// The folder that it is in.
    folder: PathBuf,
}

/// The files of a ledger's archived segments, wherever they are said to be; whether they are there is not looked at.
pub fn archived_files(ledger: &Path) -> Result<Vec<PathBuf>> {
    let archive = Archive::read(&Folder::open(ledger)?)?;
    Ok(archive.segments.iter().map(|segment| segment.absent().file).collect())
}

/// Moves every full segment whose entries all come before `before` to a folder of another file system, perhaps.
///
/// A file that is there is never overwritten. The hot file is removed last: when the cold one is synced and was read
/// back, and the record of it is synced.
pub(crate) fn archive(
    reader: &LedgerReader,
    before: u64,
    to: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<ArchiveSummary> {
    let path = std::path::absolute(to).map_err(|e| Error::io(format_args!("find {}", to.display()), &e))?;
    if path.to_str().is_none() {
        let message = format!(
            "the path {} is no Unicode text, and could not be recorded",
            path.display()
        );
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let cold = Folder::create(&path)?;
    let state = &reader.state;
    let mut archive = Archive::read(&state.folder)?;
    let mut summary = ArchiveSummary {
        segments: 0,
        bytes: 0,
        cold_bytes: 0,
        found: archive.find_in(&path)?,
    };
    if summary.found > 0 {
        archive.write(&state.folder)?;
    }
    let hot = segment::list(&state.log)?;
    let full = reader.index().sealed();
    // One that has no sidecar yet has not been covered by a checkpoint, or there was no room for it.
    let wanted = |segment: &&Arc<Sealed>| {
        segment.end() <= before && segment.recent().is_none() && hot.binary_search(&segment.first).is_ok()
    };
    let wanted: Vec<_> = full.iter().filter(wanted).collect();
    for (number, segment) in wanted.iter().enumerate() {
        progress(number as u64, wanted.len() as u64);
        let archived = store(&state.log, &cold, &path, segment)?;
        summary.segments += 1;
        summary.bytes += archived.bytes;
        summary.cold_bytes += archived.cold_bytes;
        archive.put(archived);
        archive.write(&state.folder)?;
        remove(&state.log, &segment::file_name(segment.first))?;
        state.log.sync()?;
        segment.forget_file();
    }
    progress(wanted.len() as u64, wanted.len() as u64);
    Ok(summary)
}

/// Removes a segment's file, which may have been made immutable.
fn remove(log: &Folder, name: &str) -> Result<()> {
    let file = log.read_file(name)?;
    // A file system without the attribute has nothing to take away.
    if file.is_immutable().unwrap_or(false) {
        file.set_immutable(false)?;
    }
    log.remove(name)
}

/// Puts a segment into the cold folder, durably, and reads it back.
fn store(log: &Folder, cold: &Folder, path: &Path, segment: &Sealed) -> Result<Archived> {
    // Bodies that were erased could be left out here: nothing can open them.
    let bytes = read_segment(&log.read_file(&segment::file_name(segment.first))?)?;
    let stored = cold::compress(&bytes)?;
    let name = file_name(segment.first);
    let file = path.join(&name);
    if cold.read(&name, COLD_BYTES)?.is_none() {
        cold.replace(&name, &stored, Access::Usual)?;
        cold.read_file(&name)?.set_read_only()?;
    }
    let stored = cold.read(&name, COLD_BYTES)?.unwrap_or_default();
    let back = open_cold(cold, &file, segment.first).and_then(|file| read_segment(&file));
    if !back.is_ok_and(|back| back == bytes) {
        let message = format!(
            "{} is not what was to be archived there: it is another ledger's, or damaged. Choose another folder, or \
             remove the file. The segment stays in log/",
            file.display()
        );
        return Err(Error::new(ErrorKind::Exists, message));
    }
    // Where it was there before, its name may not be durable.
    cold.sync()?;
    Ok(Archived {
        first: segment.first,
        last: segment.end() - 1,
        bytes: bytes.len() as u64,
        cold_bytes: stored.len() as u64,
        sha256: Hash::of(&[&stored]),
        folder: path.to_owned(),
    })
}

/// Segments, wherever they are: in `log/`, or where the file `archive` says, which is kept once it was read.
pub(crate) struct Segments {
    ledger: Folder,
    log: Folder,
    archive: Mutex<Option<Arc<Archive>>>,
}

impl Segments {
    /// Of the ledger in a folder, and its folder `log`.
    pub(crate) fn new(ledger: Folder, log: Folder) -> Self {
        Self {
            ledger,
            log,
            archive: Mutex::default(),
        }
    }

    /// First `seq` of each segment, in order.
    pub(crate) fn list(&self) -> Result<Vec<u64>> {
        // The folder first: what is archived between the two is in the record by then.
        let mut firsts = segment::list(&self.log)?;
        let archive = self.read()?;
        if !archive.segments.is_empty() {
            firsts.extend(archive.segments.iter().map(|segment| segment.first));
            firsts.sort_unstable();
            firsts.dedup();
        }
        Ok(firsts)
    }

    /// Opens a segment to read it.
    ///
    /// # Errors
    /// `NotHere` where it was archived and its file is not where it should be.
    pub(crate) fn open(&self, first: u64) -> Result<DiskFile> {
        let missing = match self.log.read_file(&segment::file_name(first)) {
            Err(e) if e.kind() == ErrorKind::NotFound => e,
            file => return file,
        };
        let kept = self.archive.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match kept
            .as_ref()
            .and_then(|archive| archive.find(first))
            .map(Archived::open)
        {
            Some(Err(e)) if e.kind() != ErrorKind::NotHere => Err(e),
            Some(Ok(file)) => Ok(file),
            // It may have been archived since, or have been found elsewhere.
            _ => self.read()?.find(first).map_or(Err(missing), Archived::open),
        }
    }

    fn read(&self) -> Result<Arc<Archive>> {
        let archive = Arc::new(Archive::read(&self.ledger)?);
        *self.archive.lock().unwrap_or_else(PoisonError::into_inner) = Some(archive.clone());
        Ok(archive)
    }
}

impl Archive {
    /// What was archived; nothing where there is no such file.
    pub(crate) fn read(ledger: &Folder) -> Result<Self> {
        let none = Self {
            format: FORMAT,
            segments: Vec::new(),
        };
        let Some(bytes) = ledger.read(FILE, FILE_BYTES)? else {
            return Ok(none);
        };
        let corrupt = |why: String| {
            let message = format!(
                "the file archive is damaged ({why}): it says where archived segments are. Put it back from a backup, or \
                 put their files back into log/ with `zstd -d`"
            );
            Error::new(ErrorKind::Corrupt, message)
        };
        let mut archive: Self = serde_json::from_slice(&bytes).map_err(|e| corrupt(e.to_string()))?;
        if archive.format != FORMAT {
            return Err(corrupt(format!(
                "it has format {}, and this release reads {FORMAT}",
                archive.format
            )));
        }
        archive.segments.sort_unstable_by_key(|segment| segment.first);
        let fits = |segment: &Archived| (segment.first..segment.first + segment::MOST_ENTRIES).contains(&segment.last);
        if let Some(bad) = archive
            .segments
            .iter()
            .find(|segment| segment.first > limits::LAST_SEQ || !fits(segment))
        {
            return Err(corrupt(format!(
                "a segment cannot hold entries {} to {}",
                bad.first, bad.last
            )));
        }
        Ok(archive)
    }

    /// Writes the file; where nothing is archived there is none.
    pub(crate) fn write(&self, ledger: &Folder) -> Result<()> {
        if self.segments.is_empty() {
            return ledger.remove(FILE);
        }
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| Error::new(ErrorKind::Invalid, format!("the file archive cannot be written: {e}")))?;
        ledger.replace(FILE, format!("{text}\n").as_bytes(), Access::Usual)
    }

    /// Those for which `kept` holds.
    pub(crate) fn only(mut self, kept: impl Fn(&Archived) -> bool) -> Self {
        self.segments.retain(kept);
        self
    }

    /// Where they should be.
    pub(crate) fn absent(&self) -> Vec<Absent> {
        self.segments.iter().map(Archived::absent).collect()
    }

    /// How many there are, and how many of them are not where they should be.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let absent = self.segments.iter().filter(|segment| segment.open().is_err());
        (self.segments.len(), absent.count())
    }

    pub(crate) fn find(&self, first: u64) -> Option<&Archived> {
        let at = self.segments.binary_search_by_key(&first, |segment| segment.first);
        at.ok().map(|at| &self.segments[at])
    }

    fn put(&mut self, archived: Archived) {
        self.segments.retain(|segment| segment.first != archived.first);
        self.segments.push(archived);
        self.segments.sort_unstable_by_key(|segment| segment.first);
    }

    /// Segments that are not where they were and are in this folder, which is recorded.
    fn find_in(&mut self, path: &Path) -> Result<u64> {
        let folder = Folder::open(path)?;
        let mut found = 0;
        for segment in self.segments.iter_mut().filter(|segment| segment.folder != path) {
            if !matches!(segment.open(), Err(e) if e.kind() == ErrorKind::NotHere) {
                continue;
            }
            let there = folder.read(&file_name(segment.first), COLD_BYTES)?;
            if there.is_some_and(|bytes| Hash::of(&[&bytes]) == segment.sha256) {
                segment.folder = path.to_owned();
                found += 1;
            }
        }
        Ok(found)
    }
}

impl Archived {
    /// Where it should be, for those who cannot read it.
    pub(crate) fn absent(&self) -> Absent {
        Absent {
            file: self.folder.join(file_name(self.first)),
            first: self.first,
            last: self.last,
        }
    }

    fn open(&self) -> Result<DiskFile> {
        let file = self.absent().file;
        let opened = Folder::open(&self.folder).and_then(|folder| open_cold(&folder, &file, self.first));
        opened.map_err(|e| match e.kind() {
            ErrorKind::NotFound => {
                let message = format!(
                    "entries {} to {} were archived to {}, which is not there: put the file or the mount back, or name its new \
                     folder with `quipu archive --before 0 --to DIR`",
                    self.first,
                    self.last,
                    file.display()
                );
                Error::new(ErrorKind::NotHere, message)
            }
            _ => e,
        })
    }
}

fn file_name(first: u64) -> String {
    format!("{}.zst", segment::file_name(first))
}

/// A compressed segment, named by its whole path.
fn open_cold(folder: &Folder, path: &Path, first: u64) -> Result<DiskFile> {
    ColdFile::open(folder.read_file(&file_name(first))?.named(path))
}

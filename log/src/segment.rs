//! Segment files: their names, and the one that is being written.

use std::{
    ops::Range,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use quipu_format::limits;

use crate::{
    Error, ErrorKind, Result,
    disk::{Access, DiskFile, Folder},
};

pub(crate) const FOLDER: &str = "log";
pub(crate) const NEXT: &str = "next";
/// Bytes that the first segment of a ledger is filled ahead at first; doubled each time they are used up.
const FIRST_FILL_BYTES: u64 = 128 << 10;
/// Bytes that a segment file can have: a commit that fits no segment has one of its own.
pub(crate) const MOST_BYTES: u64 = limits::SEGMENT_BYTES + limits::COMMIT_BYTES as u64;
/// Entries that a segment file can hold: no line is shorter than 256 bytes.
pub(crate) const MOST_ENTRIES: u64 = MOST_BYTES / 256;
/// Bytes by which it is filled further at most, while commits wait.
const MOST_FILL_BYTES: u64 = 4 << 20;
/// Bytes of the next segment that are filled and synced at once. A commit that meets such a sync waits for it; with
/// 1 MiB a commit of 256 KiB took twice as long.
const FILL_STEP_BYTES: u64 = 256 << 10;

/// Name of the segment whose first entry has this `seq`.
pub(crate) fn file_name(first: u64) -> String {
    format!("{first:020}.log")
}

/// First `seq` of each segment, in order. Other names in the folder are none of ours.
pub(crate) fn list(log: &Folder) -> Result<Vec<u64>> {
    let names = log.list()?;
    let firsts = names.iter().filter_map(|name| {
        let first = name.strip_suffix(".log")?.parse().ok()?;
        (file_name(first) == *name).then_some(first)
    });
    Ok(firsts.collect())
}

/// The segment that is written, filled ahead with LF: overwriting blocks that are there needs no change of the file's
/// size or place, so that one `fdatasync` makes a commit durable, and a full disk shows before an acknowledgement.
pub(crate) struct ActiveSegment {
    log: Arc<Folder>,
    pub(crate) file: Arc<DiskFile>,
    /// Where the next commit goes.
    position: u64,
    /// Where the filled bytes end.
    filled: u64,
    /// Bytes after which the next segment is begun.
    limit: u64,
    /// The next segment, while it is being prepared.
    next: Option<Preparation>,
}

impl ActiveSegment {
    /// Creates a ledger's first segment.
    pub(crate) fn create(log: Arc<Folder>, limit: u64) -> Result<Self> {
        let file = log.create_file(&file_name(0), Access::Usual)?;
        log.sync()?;
        Ok(Self::resume(log, Arc::new(file), 0, 0, limit))
    }

    /// Goes on at `position` of the newest segment, which is filled up to `filled`.
    pub(crate) fn resume(log: Arc<Folder>, file: Arc<DiskFile>, position: u64, filled: u64, limit: u64) -> Self {
        Self {
            log,
            file,
            position,
            filled,
            limit,
            next: None,
        }
    }

    /// Makes room for a commit of at most `bytes`, whose first entry has `first`. Returns whether a new segment was
    /// begun. If it fails for want of room nothing has changed, and it can be tried again.
    pub(crate) fn make_room(&mut self, bytes: u64, first: u64) -> Result<bool> {
        let end = self.position + bytes;
        if end > self.limit && self.position > 0 {
            self.rotate(first, bytes)?;
            return Ok(true);
        }
        if end > self.filled {
            let mut target = (self.filled + self.filled.min(MOST_FILL_BYTES))
                .max(FIRST_FILL_BYTES)
                .max(end)
                .min(self.limit.max(end));
            if let Err(error) = self.file.fill(b'\n', self.filled..target) {
                // The last room on a full disk is used before appends are refused.
                target = self.file.len()?;
                if error.kind() != ErrorKind::Full || target < end {
                    return Err(error);
                }
            }
            // Also where a sync says that the disk is full: what was written before is in doubt then.
            self.file.sync_all().map_err(|e| e.into_kind(ErrorKind::Unavailable))?;
            self.filled = target;
        }
        if self.next.is_none() && end > self.limit / 2 {
            self.next = Some(Preparation::start(self.log.clone(), self.limit)?);
        }
        Ok(false)
    }

    /// The commit point: the bytes are written where the last commit ended, and synced.
    pub(crate) fn commit(&mut self, bytes: &[u8]) -> Result<Range<u64>> {
        let start = self.position;
        self.file.write_all_at(bytes, start)?;
        self.file.sync_data()?;
        self.position = start + bytes.len() as u64;
        if let Some(next) = &mut self.next {
            // Now, while the disk has nothing else to do.
            next.keep_ahead_of(self.position.saturating_sub(self.limit / 2) * 2);
        }
        Ok(start..self.position)
    }

    /// Begins the next segment. What fails before the renaming changes nothing; after it, only opening the ledger again
    /// tells what the folder holds, and the error says so by its kind.
    fn rotate(&mut self, first: u64, bytes: u64) -> Result<()> {
        let mut file = match self.next.take().map(Preparation::finish) {
            Some(Err(error)) if error.kind() != ErrorKind::Full => return Err(error),
            Some(Ok(file)) => file,
            // Where the disk was full, there may be room by now.
            _ => Preparation::start(self.log.clone(), self.limit)?.finish()?,
        };
        let mut filled = self.limit;
        if bytes > filled {
            file.fill(b'\n', filled..bytes)?;
            file.sync_all()?;
            filled = bytes;
        }
        let renamed = self
            .log
            .rename_file(&mut file, &file_name(first))
            .and_then(|()| self.log.sync());
        renamed.map_err(|e| {
            let message = format!("{e}. The next segment could not be begun: open the ledger again");
            Error::new(ErrorKind::Unavailable, message)
        })?;
        if let Err(error) = self.file.set_read_only() {
            tracing::warn!(%error, "a segment that is full was not made read-only");
        }
        (self.file, self.position, self.filled) = (Arc::new(file), 0, filled);
        Ok(())
    }

    /// Stops preparing the next segment; what there is of it is removed at the next open.
    pub(crate) fn close(&mut self) {
        if let Some(next) = self.next.take() {
            next.abandon();
        }
    }
}

/// Removes what a preparation that was not finished left.
pub(crate) fn discard_next(log: &Folder) -> Result<()> {
    log.remove(NEXT)
}

/// A thread that fills `log/next` and syncs it, no faster than the writer comes near its end: filling doubles the
/// bytes that are written, and must not hold up commits.
struct Preparation {
    /// Bytes to which it is to be filled.
    wanted: mpsc::Sender<u64>,
    /// What was said last.
    said: u64,
    thread: JoinHandle<Result<DiskFile>>,
}

impl Preparation {
    fn start(log: Arc<Folder>, bytes: u64) -> Result<Self> {
        let (wanted, receiver) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("quipu-next".into())
            .spawn(move || {
                let prepared = prepare(&log, bytes, &receiver);
                // On a full disk, what there is of it would be the room that others need.
                if prepared.is_err() {
                    let _ = discard_next(&log);
                }
                prepared
            })
            .map_err(|e| Error::io("start the thread that prepares the next segment", &e))?;
        Ok(Self {
            wanted,
            said: 0,
            thread,
        })
    }

    /// Has it filled to a step past `bytes`.
    fn keep_ahead_of(&mut self, bytes: u64) {
        let wanted = bytes + FILL_STEP_BYTES;
        if wanted >= self.said + FILL_STEP_BYTES {
            self.said = wanted;
            // A thread that has failed says so at the end.
            let _ = self.wanted.send(wanted);
        }
    }

    /// Waits for the thread to end, whole or not.
    fn abandon(self) {
        drop(self.wanted);
        let _ = self.thread.join();
    }

    /// Waits for the file to be whole.
    fn finish(self) -> Result<DiskFile> {
        let _ = self.wanted.send(u64::MAX);
        self.thread.join().unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Io,
                "the thread that prepares the next segment has failed",
            ))
        })
    }
}

fn prepare(log: &Folder, bytes: u64, wanted: &mpsc::Receiver<u64>) -> Result<DiskFile> {
    log.remove(NEXT)?;
    let file = log.create_file(NEXT, Access::Usual)?;
    let step = vec![b'\n'; FILL_STEP_BYTES.min(bytes) as usize];
    let mut at = 0;
    for wanted in wanted {
        while at < bytes.min(wanted) {
            let length = (bytes - at).min(step.len() as u64);
            file.write_all_at(&step[..length as usize], at)?;
            file.sync_data()?;
            at += length;
        }
        if at >= bytes {
            file.sync_all()?;
            log.sync()?;
            return Ok(file);
        }
    }
    // The writer has gone: an unfinished file is removed at the next open.
    Err(Error::new(ErrorKind::Io, "the next segment is no longer wanted"))
}

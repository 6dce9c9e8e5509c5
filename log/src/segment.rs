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
/// Bytes that a segment file can have: a commit that fits no segment has one of its own.
pub(crate) const MOST_BYTES: u64 = limits::SEGMENT_BYTES + limits::COMMIT_BYTES as u64;
/// Entries that a segment file can hold: no line is shorter than 256 bytes.
pub(crate) const MOST_ENTRIES: u64 = MOST_BYTES / 256;
/// Bytes by which it is filled further at most, while commits wait.
const MOST_FILL_BYTES: u64 = 4 << 20;

/// Sizes of segments, and how they are filled ahead.
#[derive(Clone, Copy)]
pub(crate) struct Filling {
    /// Bytes after which the next segment is begun.
    pub(crate) limit: u64,
    /// Bytes that the segment which is written is filled ahead at first, where it was not filled before; doubled each
    /// time they are used up.
    pub(crate) first: u64,
    /// Bytes of the next segment that are filled and synced at once.
    pub(crate) step: u64,
    /// The next segment is filled on a thread of its own; else by the writer, between commits.
    pub(crate) beside: bool,
}

impl Filling {
    /// As it is for segments of `limit` bytes, which is brought into its range.
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit: limit.clamp(64 << 10, limits::SEGMENT_BYTES),
            first: 128 << 10,
            // A commit that meets the sync of a step waits for it; with 1 MiB a commit of 256 KiB took twice as long.
            step: 256 << 10,
            beside: true,
        }
    }
}

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
    /// Bytes to fill next.
    ahead: u64,
    filling: Filling,
    /// The next segment, while it is being prepared.
    next: Option<Preparation>,
    /// There was no room for the next segment beside this one.
    postponed: bool,
}

impl ActiveSegment {
    /// Creates a ledger's first segment.
    pub(crate) fn create(log: Arc<Folder>, filling: Filling) -> Result<Self> {
        let file = log.create_file(&file_name(0), Access::Usual)?;
        log.sync()?;
        Ok(Self::resume(log, Arc::new(file), 0, filling))
    }

    /// Goes on at `position` of the newest segment, where its file ends.
    pub(crate) fn resume(log: Arc<Folder>, file: Arc<DiskFile>, position: u64, filling: Filling) -> Self {
        Self {
            log,
            file,
            position,
            filled: position,
            ahead: filling.first,
            filling,
            next: None,
            postponed: false,
        }
    }

    /// Makes room for a commit of at most `bytes`, whose first entry has `first`. Returns whether a new segment was
    /// begun. If it fails for want of room nothing has changed, and it can be tried again.
    pub(crate) fn make_room(&mut self, bytes: u64, first: u64) -> Result<bool> {
        let end = self.position + bytes;
        let limit = self.filling.limit;
        if end > limit && self.position > 0 {
            self.rotate(first, bytes)?;
            return Ok(true);
        }
        if end > self.filled {
            let mut target = (self.filled + self.ahead).max(end).min(limit.max(end));
            let mut filled = self.file.fill(b'\n', self.filled..target);
            if matches!(&filled, Err(e) if e.kind() == ErrorKind::Full) && self.next.is_some() {
                // Room in this segment goes before room for the next, which is prepared when it is needed.
                self.close();
                discard_next(&self.log)?;
                self.postponed = true;
                filled = self.file.fill(b'\n', self.filled..target);
            }
            if let Err(error) = filled {
                // The last room on a full disk is used before appends are refused.
                target = self.file.len()?;
                if error.kind() != ErrorKind::Full || target < end {
                    return Err(error);
                }
            }
            // Also where a sync says that the disk is full: what was written before is in doubt then.
            self.file.sync_all().map_err(|e| e.into_kind(ErrorKind::Unavailable))?;
            self.filled = target;
            self.ahead = (self.ahead * 2).min(MOST_FILL_BYTES);
        }
        if self.next.is_none() && end > limit / 2 && !self.postponed {
            self.next = Some(Preparation::start(self.log.clone(), self.filling)?);
        }
        Ok(false)
    }

    /// Bytes behind the last commit that can be written without making room.
    pub(crate) fn room(&self) -> u64 {
        self.filled.saturating_sub(self.position)
    }

    /// The commit point: the bytes are written where the last commit ended, and synced.
    pub(crate) fn commit(&mut self, bytes: &[u8]) -> Result<Range<u64>> {
        let start = self.position;
        self.file.write_all_at(bytes, start)?;
        self.file.sync_data()?;
        self.position = start + bytes.len() as u64;
        if let Some(next) = &mut self.next {
            // Now, while the disk has nothing else to do.
            next.keep_ahead_of(self.position.saturating_sub(self.filling.limit / 2) * 2);
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
            _ => Preparation::start(self.log.clone(), self.filling)?.finish()?,
        };
        let mut filled = self.filling.limit;
        if bytes > filled {
            file.fill(b'\n', filled..bytes)?;
            file.sync_all()?;
            filled = bytes;
        }
        // A fill that failed may have left anything behind the last commit: a full segment ends there.
        self.filled = self.position;
        self.file.set_len(self.position)?;
        self.file.sync_all()?;
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
        self.postponed = false;
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

/// The next segment on its way: `log/next` is filled and synced no faster than the writer comes near its own segment's
/// end, for filling doubles the bytes that are written, and must not hold up commits.
enum Preparation {
    /// On a thread of its own.
    Beside {
        /// Bytes to which it is to be filled.
        wanted: mpsc::Sender<u64>,
        /// What was said last.
        said: u64,
        step: u64,
        thread: JoinHandle<Result<DiskFile>>,
    },
    /// By the writer; what fails is said when it is finished, as it is by a thread.
    Between(Arc<Folder>, Result<Next>),
}

impl Preparation {
    fn start(log: Arc<Folder>, filling: Filling) -> Result<Self> {
        if !filling.beside {
            let next = Next::begin(&log, filling);
            return Ok(Self::Between(log, next));
        }
        let (wanted, receiver) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("quipu-next".into())
            .spawn(move || unless_failed(&log, prepare(&log, filling, &receiver)))
            .map_err(|e| Error::io("start the thread that prepares the next segment", &e))?;
        Ok(Self::Beside {
            wanted,
            said: 0,
            step: filling.step,
            thread,
        })
    }

    /// Has it filled to a step past `bytes`.
    fn keep_ahead_of(&mut self, bytes: u64) {
        match self {
            Self::Beside { wanted, said, step, .. } => {
                let far = bytes + *step;
                if far >= *said + *step {
                    *said = far;
                    // A thread that has failed says so at the end.
                    let _ = wanted.send(far);
                }
            }
            Self::Between(_, prepared) => {
                if let Ok(next) = prepared
                    && let Err(error) = next.fill_to(bytes + next.filling.step)
                {
                    *prepared = Err(error);
                }
            }
        }
    }

    /// Waits for the thread to end, whole or not.
    fn abandon(self) {
        if let Self::Beside { wanted, thread, .. } = self {
            drop(wanted);
            let _ = thread.join();
        }
    }

    /// Waits for the file to be whole.
    fn finish(self) -> Result<DiskFile> {
        match self {
            Self::Beside { wanted, thread, .. } => {
                let _ = wanted.send(u64::MAX);
                thread.join().unwrap_or_else(|_| {
                    Err(Error::new(
                        ErrorKind::Io,
                        "the thread that prepares the next segment has failed",
                    ))
                })
            }
            Self::Between(log, next) => unless_failed(&log, next.and_then(|next| next.finish(&log))),
        }
    }
}

/// On a full disk, what there is of a file that is not whole would be the room that others need.
fn unless_failed(log: &Folder, prepared: Result<DiskFile>) -> Result<DiskFile> {
    if prepared.is_err() {
        let _ = discard_next(log);
    }
    prepared
}

/// What the thread does.
fn prepare(log: &Folder, filling: Filling, wanted: &mpsc::Receiver<u64>) -> Result<DiskFile> {
    let mut next = Next::begin(log, filling)?;
    for wanted in wanted {
        next.fill_to(wanted)?;
        if next.at >= filling.limit {
            return next.finish(log);
        }
    }
    // The writer has gone: an unfinished file is removed at the next open.
    Err(Error::new(ErrorKind::Io, "the next segment is no longer wanted"))
}

/// The file `log/next`, filled up to a byte.
struct Next {
    filling: Filling,
    file: DiskFile,
    step: Vec<u8>,
    at: u64,
}

impl Next {
    fn begin(log: &Folder, filling: Filling) -> Result<Self> {
        log.remove(NEXT)?;
        let file = log.create_file(NEXT, Access::Usual)?;
        let step = vec![b'\n'; filling.step.min(filling.limit) as usize];
        Ok(Self {
            filling,
            file,
            step,
            at: 0,
        })
    }

    fn fill_to(&mut self, wanted: u64) -> Result<()> {
        let limit = self.filling.limit;
        while self.at < limit.min(wanted) {
            let length = (limit - self.at).min(self.step.len() as u64);
            self.file.write_all_at(&self.step[..length as usize], self.at)?;
            self.file.sync_data()?;
            self.at += length;
        }
        Ok(())
    }

    fn finish(mut self, log: &Folder) -> Result<DiskFile> {
        self.fill_to(u64::MAX)?;
        self.file.sync_all()?;
        log.sync()?;
        Ok(self.file)
    }
}

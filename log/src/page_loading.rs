//! The entries of a page, brought from the disk: what stands together is asked for at once, and of a long page two threads open
//! the entries.

use std::{
    ops::Range,
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use quipu_format::{Event, limits};

use crate::{ErrorKind, LedgerReader, Result, disk::DiskFile, index::SharedIndex, reader::KeyPaths, recent::Place};

/// Entries of a page from which on two threads load them: beginning a thread takes as long as loading ten.
const ENTRIES_FOR_TWO: usize = 200;

/// Threads that load pages beside those that ask for them, in one process.
const MOST_HELPERS: usize = 8;

/// How many there are.
static HELPERS: AtomicUsize = AtomicUsize::new(0);

impl LedgerReader {
    /// The entries of a page, one after the other as they are asked for. Many small ones are loaded at once, on a second
    /// thread too.
    pub(crate) fn load_page<'a>(
        &'a self,
        found: &'a [(u64, Place)],
    ) -> Box<dyn Iterator<Item = (u64, Result<Option<Event>>)> + 'a> {
        let one_by_one = |found: &'a [(u64, Place)]| {
            let mut paths = KeyPaths::default();
            let events = found.iter().copied();
            events.map(move |(seq, place)| (seq, self.load_at(seq, place, &mut paths)))
        };
        let bytes: u64 = found.iter().map(|(_, place)| u64::from(place.length)).sum();
        // No more than a page may hold is loaded before somebody asks for it.
        if found.len() < ENTRIES_FOR_TWO || bytes > limits::PAGE_BYTES as u64 {
            return Box::new(one_by_one(found));
        }
        let Some(_helper) = Helper::take() else {
            return Box::new(one_by_one(found));
        };
        let (first, second) = found.split_at(found.len() / 2);
        let (first, second) = thread::scope(|threads| {
            let helped = thread::Builder::new().spawn_scoped(threads, move || one_by_one(second).collect::<Vec<_>>());
            let first: Vec<_> = one_by_one(first).collect();
            let second = match helped {
                Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                // The system has no thread to give.
                Err(_) => one_by_one(second).collect(),
            };
            (first, second)
        });
        Box::new(first.into_iter().chain(second))
    }

    /// Lets the disk fetch the lines of a page at once, and not one after the other. Lines that stand together are one stretch.
    pub(crate) fn prefetch(&self, found: &[(u64, Place)]) -> Result<()> {
        let mut bytes = 0;
        let mut stretch: Option<(Arc<DiskFile>, Range<u64>)> = None;
        let fetch = |stretch: Option<(Arc<DiskFile>, Range<u64>)>| {
            if let Some((file, Range { start, end })) = stretch {
                file.prefetch(start, end - start);
            }
        };
        for (seq, place) in found {
            // Base64, and the envelope.
            bytes += place.length as usize;
            if bytes > 2 * limits::PAGE_BYTES {
                break;
            }
            let file = match self.shown().file(*seq) {
                Ok(Some(file)) => file,
                Ok(None) => continue,
                Err(e) if e.kind() == ErrorKind::NotHere => continue,
                Err(e) => return Err(e),
            };
            let line = u64::from(place.offset)..u64::from(place.offset) + u64::from(place.length);
            match &mut stretch {
                Some((of, stretch)) if Arc::ptr_eq(of, &file) && stretch.end == line.start => stretch.end = line.end,
                Some((of, stretch)) if Arc::ptr_eq(of, &file) && stretch.start == line.end => {
                    stretch.start = line.start;
                }
                _ => fetch(stretch.replace((file, line))),
            }
        }
        fetch(stretch);
        Ok(())
    }
}

/// One of these threads.
struct Helper;

impl Helper {
    /// None: there are as many as may be.
    fn take() -> Option<Self> {
        let taken = HELPERS.fetch_update(Ordering::AcqRel, Ordering::Acquire, |helpers| {
            (helpers < MOST_HELPERS).then_some(helpers + 1)
        });
        taken.is_ok().then_some(Self)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        HELPERS.fetch_sub(1, Ordering::AcqRel);
    }
}

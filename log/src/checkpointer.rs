//! A thread that advances the signed checkpoint: at once for those who wait for one, at the latest a second after an
//! entry, sooner when nothing more comes, and at close. Commits never wait for it.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use quipu_format::Hash;

use crate::{
    Error, ErrorKind, Result,
    checkpoint::{Publisher, Signed},
    request::{Answer, Waiting},
    wait,
};

/// How long an entry may wait for a checkpoint.
const LATEST: Duration = Duration::from_secs(1);
/// How long nothing must have come for the log to count as idle.
const IDLE: Duration = Duration::from_millis(50);

pub(crate) struct Checkpointer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<Result<()>>>>,
    /// Whether an entry that names the next key may be in the log though nobody was told.
    rotating: Mutex<bool>,
}

#[derive(Default)]
struct Shared {
    pending: Mutex<Pending>,
    changed: Condvar,
    woken: AtomicUsize,
}

#[derive(Default)]
struct Pending {
    /// Leaf hashes of durable entries that no checkpoint covers.
    leaves: Vec<Hash>,
    /// Entries whose leaf hashes have come, covered or not.
    size: u64,
    waiting: Vec<Waiting>,
    /// Position of an entry that names the next signer, if one came.
    succession: Option<u64>,
    closing: bool,
}

impl Pending {
    /// A checkpoint of all that has come would answer somebody.
    fn is_awaited(&self) -> bool {
        self.waiting.iter().any(|waiting| waiting.size <= self.size)
    }
}

impl Checkpointer {
    pub(crate) fn start(publisher: Publisher) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        shared.pending().size = publisher.size();
        let worker = shared.clone();
        let thread = thread::Builder::new()
            .name("quipu-checkpoint".into())
            .spawn(move || {
                let ending = CloseOnDrop(&worker);
                work(ending.0, publisher)
            })
            .map_err(|e| Error::io("start the checkpointing thread", &e))?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
            rotating: Mutex::default(),
        })
    }

    /// Takes the leaf hashes of entries that have just become durable, in order, and those who wait for a checkpoint:
    /// one that covers all which is durable is signed at once, with one signature and one sync for all who wait when it
    /// begins, and the next for all who come meanwhile.
    pub(crate) fn add(&self, leaves: &[Hash], waiting: Vec<Waiting>) {
        if leaves.is_empty() && waiting.is_empty() {
            return;
        }
        let mut pending = self.shared.pending();
        let was_empty = pending.leaves.is_empty();
        pending.leaves.extend_from_slice(leaves);
        pending.size += leaves.len() as u64;
        if pending.closing && !waiting.is_empty() {
            drop(pending);
            // They are not left waiting.
            waiting.into_iter().for_each(|waiting| waiting.tell(Err(closed())));
            return;
        }
        pending.waiting.extend(waiting);
        if was_empty && !pending.leaves.is_empty() || pending.is_awaited() {
            drop(pending);
            self.shared.changed.notify_one();
        }
    }

    /// The checkpoint that covers entry `seq`, once it is durable; without receipts. Also waits for an entry that is still
    /// to come.
    pub(crate) fn cover(&self, seq: u64) -> Answer {
        let (waiting, answer) = Waiting::new(seq + 1);
        self.add(&[], vec![waiting]);
        answer
    }

    /// The same, for callers that may block.
    pub(crate) fn cover_blocking(&self, seq: u64) -> Result<Arc<Signed>> {
        wait::block_on(signed(self.cover(seq)))
    }

    /// The entry at a position, which has just become durable and is added next, names the next signer.
    pub(crate) fn succeed(&self, seq: u64) {
        self.shared.pending().succession = Some(seq);
    }

    /// Held while the ledger gets another key. It says whether an entry that names that key may be in the log though nobody
    /// was told: then only the next open can tell.
    pub(crate) fn rotating(&self) -> MutexGuard<'_, bool> {
        self.rotating.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many were told of a checkpoint since this was asked last: they have just been woken.
    pub(crate) fn woken(&self) -> usize {
        self.shared.woken.swap(0, Ordering::Relaxed)
    }

    /// Publishes what is pending and ends.
    pub(crate) fn close(&self) -> Result<()> {
        self.shared.pending().closing = true;
        self.shared.changed.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        thread.map_or(Ok(()), |thread| {
            thread.join().unwrap_or_else(|_| {
                Err(Error::new(
                    crate::ErrorKind::Io,
                    "the checkpointing thread has failed: open the ledger again",
                ))
            })
        })
    }
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// However the thread ends, nobody is left waiting.
struct CloseOnDrop<'a>(&'a Shared);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        let mut pending = self.0.pending();
        pending.closing = true;
        pending
            .waiting
            .drain(..)
            .for_each(|waiting| waiting.tell(Err(closed())));
    }
}

fn work(shared: &Shared, mut publisher: Publisher) -> Result<()> {
    let mut failed = false;
    // Sidecars may be due to be merged, which is done while nothing else is.
    let mut merging = true;
    // When the file `checkpoint` must be advanced at the latest.
    let mut due: Option<Instant> = None;
    loop {
        let mut pending = shared.pending();
        let mut seen = pending.leaves.len();
        while !pending.is_awaited() && !pending.closing {
            if merging {
                drop(pending);
                merging = publisher.merge();
                pending = shared.pending();
            }
            if pending.is_awaited() || pending.closing {
                break;
            }
            if pending.leaves.is_empty() && !publisher.is_behind() && !failed {
                if merging {
                    continue;
                }
                pending = shared.changed.wait(pending).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let due = *due.get_or_insert_with(|| Instant::now() + LATEST);
            let left = due.saturating_duration_since(Instant::now());
            let patience = if failed { left } else { left.min(IDLE) };
            let (guard, waited) = shared
                .changed
                .wait_timeout(pending, patience)
                .unwrap_or_else(PoisonError::into_inner);
            pending = guard;
            let is_idle = waited.timed_out() && pending.leaves.len() == seen && !failed;
            if is_idle || Instant::now() >= due {
                break;
            }
            seen = pending.leaves.len();
        }
        // Those who always wait do not put off what is due.
        let covering = pending.is_awaited() && due.is_none_or(|due| Instant::now() < due);
        let closing = pending.closing;
        let leaves = std::mem::take(&mut pending.leaves);
        if let Some(seq) = pending.succession.take() {
            publisher.succeed(seq);
        }
        drop(pending);
        leaves.into_iter().for_each(|leaf| publisher.push(leaf));
        let published = if closing {
            publisher.publish_last()
        } else if covering {
            publisher.cover()
        } else {
            publisher.advance()
        };
        answer(shared, published.clone().and_then(|()| publisher.newest()));
        if closing {
            return published;
        }
        failed = published.is_err();
        due = match covering && !failed {
            true => due.or_else(|| Some(Instant::now() + LATEST)),
            false => None,
        };
        match published {
            Ok(()) if covering => {}
            // Those who waited have their checkpoint, and need not wait for this.
            Ok(()) => {
                publisher.seal();
                merging = true;
            }
            // The entries are durable all the same; a disk that is full may have room again later.
            Err(error) => tracing::warn!(%error, "the checkpoint was not advanced; trying again"),
        }
    }
}

/// Tells those whom the newest checkpoint covers; or all, that there was none.
fn answer(shared: &Shared, newest: Result<Arc<Signed>>) {
    let mut pending = shared.pending();
    let answered: Vec<Waiting> = match &newest {
        Ok(signed) => {
            let is_covered = |waiting: &mut Waiting| waiting.size <= signed.checkpoint.size;
            pending.waiting.extract_if(.., is_covered).collect()
        }
        Err(_) => std::mem::take(&mut pending.waiting),
    };
    drop(pending);
    shared.woken.store(answered.len(), Ordering::Relaxed);
    answered.into_iter().for_each(|waiting| waiting.tell(newest.clone()));
}

/// What somebody is told who waits for a checkpoint alone.
pub(crate) async fn signed(mut answer: Answer) -> Result<Arc<Signed>> {
    let told = (&mut answer).await.unwrap_or_else(|| Err(closed()));
    told.and_then(|_| answer.signed().unwrap_or_else(|| Err(closed())))
}

fn closed() -> Error {
    let message = "the ledger was closed before a checkpoint covered the entry: open it again, and ask for its proof";
    Error::new(ErrorKind::Unavailable, message)
}

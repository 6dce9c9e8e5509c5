//! A thread that advances the signed checkpoint: at the latest a second after an entry, sooner when nothing more
//! comes, and at close. Commits never wait for it.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use quipu_format::Hash;

use crate::{Error, Result, checkpoint::Publisher};

/// How long an entry may wait for a checkpoint.
const LATEST: Duration = Duration::from_secs(1);
/// How long nothing must have come for the log to count as idle.
const IDLE: Duration = Duration::from_millis(50);

pub(crate) struct Checkpointer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<Result<()>>>>,
}

#[derive(Default)]
struct Shared {
    pending: Mutex<Pending>,
    changed: Condvar,
}

#[derive(Default)]
struct Pending {
    /// Leaf hashes of durable entries that no checkpoint covers.
    leaves: Vec<Hash>,
    closing: bool,
}

impl Checkpointer {
    pub(crate) fn start(publisher: Publisher) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let worker = shared.clone();
        let thread = thread::Builder::new()
            .name("quipu-checkpoint".into())
            .spawn(move || work(&worker, publisher))
            .map_err(|e| Error::io("start the checkpointing thread", &e))?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Takes the leaf hashes of entries that have just become durable, in order.
    pub(crate) fn add(&self, leaves: &[Hash]) {
        let mut pending = self.shared.pending();
        let was_empty = pending.leaves.is_empty();
        pending.leaves.extend_from_slice(leaves);
        if was_empty && !pending.leaves.is_empty() {
            drop(pending);
            self.shared.changed.notify_one();
        }
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

fn work(shared: &Shared, mut publisher: Publisher) -> Result<()> {
    let mut failed = false;
    // Sidecars may be due to be merged, which is done while nothing else is.
    let mut merging = true;
    loop {
        let mut pending = shared.pending();
        if failed {
            pending = shared
                .changed
                .wait_timeout(pending, LATEST)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        while pending.leaves.is_empty() && !pending.closing && !failed {
            if merging {
                drop(pending);
                merging = publisher.merge();
                pending = shared.pending();
            } else {
                pending = shared.changed.wait(pending).unwrap_or_else(PoisonError::into_inner);
            }
        }
        let latest = Instant::now() + LATEST;
        let mut seen = 0;
        while pending.leaves.len() > seen && !pending.closing && Instant::now() < latest {
            seen = pending.leaves.len();
            if merging {
                drop(pending);
                merging = publisher.merge();
                pending = shared.pending();
            }
            if !merging {
                pending = shared
                    .changed
                    .wait_timeout(pending, IDLE)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            }
        }
        let closing = pending.closing;
        let leaves = std::mem::take(&mut pending.leaves);
        drop(pending);
        leaves.into_iter().for_each(|leaf| publisher.push(leaf));
        if closing {
            return publisher.publish_last();
        }
        let published = publisher.publish();
        failed = published.is_err();
        merging = !failed;
        if let Err(error) = published {
            // The entries are durable all the same; a disk that is full may have room again later.
            tracing::warn!(%error, "the checkpoint was not advanced; trying again");
        }
    }
}

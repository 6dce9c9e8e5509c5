//! A thread that advances the signed checkpoint: at the latest a second after an entry, sooner when nothing more
//! comes, and at close. Commits never wait for it.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use quipu_format::Hash;

use crate::{Error, ErrorKind, Result, checkpoint::Publisher};

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
    /// Publishing has succeeded or failed.
    attempted: Condvar,
}

#[derive(Default)]
struct Pending {
    /// Leaf hashes of durable entries that no checkpoint covers.
    leaves: Vec<Hash>,
    closing: bool,
    /// Size of a checkpoint that somebody waits for.
    wanted: u64,
    /// Size of the newest checkpoint on disk.
    published: u64,
    /// How often publishing was begun, and the last time that it failed.
    attempts: u64,
    failure: Option<(u64, Error)>,
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

    /// Returns when a checkpoint on disk covers the entry at `seq`, which was added. Whoever asks meanwhile is served by
    /// the same checkpoint.
    pub(crate) fn cover(&self, seq: u64) -> Result<()> {
        let mut pending = self.shared.pending();
        pending.wanted = pending.wanted.max(seq + 1);
        let attempt = pending.attempts + 1;
        self.shared.changed.notify_one();
        loop {
            if pending.published > seq {
                return Ok(());
            }
            if let Some((failed, error)) = &pending.failure
                && *failed >= attempt
            {
                return Err(error.clone());
            }
            pending = self
                .shared
                .attempted
                .wait(pending)
                .unwrap_or_else(PoisonError::into_inner);
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
                    ErrorKind::Io,
                    "the checkpointing thread has failed: open the ledger again",
                ))
            })
        })
    }
}

impl Pending {
    fn is_wanted(&self) -> bool {
        self.wanted > self.published
    }
}

impl Shared {
    /// Tells those who wait how an attempt ended.
    fn tell(&self, published: &Result<u64>) {
        let mut pending = self.pending();
        match published {
            Ok(size) => pending.published = *size,
            Err(error) => pending.failure = Some((pending.attempts, error.clone())),
        }
        self.attempted.notify_all();
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn work(shared: &Shared, mut publisher: Publisher) -> Result<()> {
    let mut failed = false;
    let _nobody_waits_in_vain = FailOnDrop(shared);
    loop {
        let mut pending = shared.pending();
        if failed && !pending.is_wanted() {
            pending = shared
                .changed
                .wait_timeout(pending, LATEST)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        while pending.leaves.is_empty() && !pending.closing && !failed && !pending.is_wanted() {
            pending = shared.changed.wait(pending).unwrap_or_else(PoisonError::into_inner);
        }
        let latest = Instant::now() + LATEST;
        let mut seen = 0;
        while pending.leaves.len() > seen && !pending.closing && !pending.is_wanted() && Instant::now() < latest {
            seen = pending.leaves.len();
            pending = shared
                .changed
                .wait_timeout(pending, IDLE)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let closing = pending.closing;
        let leaves = std::mem::take(&mut pending.leaves);
        pending.attempts += 1;
        pending.wanted = 0;
        drop(pending);
        leaves.into_iter().for_each(|leaf| publisher.push(leaf));
        if closing {
            let published = publisher.publish_last();
            shared.tell(&published.clone().map(|()| publisher.published()));
            return published;
        }
        let published = publisher.publish();
        shared.tell(&published.clone().map(|()| publisher.published()));
        failed = published.is_err();
        if let Err(error) = published {
            // The entries are durable all the same; a disk that is full may have room again later.
            tracing::warn!(%error, "the checkpoint was not advanced; trying again");
        }
    }
}

/// However the thread ends, nobody is left waiting.
struct FailOnDrop<'a>(&'a Shared);

impl Drop for FailOnDrop<'_> {
    fn drop(&mut self) {
        let message = "the checkpointing thread has ended: open the ledger again";
        let mut pending = self.0.pending();
        pending.failure = Some((u64::MAX, Error::new(ErrorKind::Unavailable, message)));
        self.0.attempted.notify_all();
    }
}

//! What is done to each entry of a commit once it has its place: sealing, chaining, hashing, writing its line. Entries
//! of different scopes do not depend on each other, so a large commit is staged by two threads.

use std::{
    ops::Range,
    sync::{Arc, PoisonError, mpsc},
    thread::{self, JoinHandle},
};

use quipu_format::{Envelope, Hash, KeyPath, end_line, leaf_hash, seal_in_place};

use crate::{Error, ErrorKind, Receipt, Result, reader::ReadState};

/// Bytes of memory for lines that are kept from one commit to the next.
pub(crate) const KEPT_BYTES: usize = 4 << 20;

/// An entry that has its place.
pub(crate) struct Entry {
    /// `prev` and `body` come with staging.
    pub(crate) envelope: Envelope,
    /// The plaintext, and after staging the sealed body.
    pub(crate) body: Vec<u8>,
    /// Which of the part's chains it goes on.
    pub(crate) chain: usize,
    /// After staging: its leaf hash.
    pub(crate) hash: Hash,
    /// After staging: its line in the part's lines.
    pub(crate) line: Range<usize>,
}

impl Entry {
    pub(crate) fn receipt(&self, repeated: bool) -> Receipt {
        Receipt {
            seq: self.envelope.seq,
            id: self.envelope.id,
            ts: self.envelope.ts,
            hash: self.hash,
            repeated,
        }
    }
}

/// Where a scope stands.
#[derive(Default)]
pub(crate) struct Chain {
    /// Leaf hash of its last entry; none before the first.
    pub(crate) last: Option<Hash>,
    /// The way down its key tree to that entry.
    pub(crate) path: KeyPath,
}

/// Entries that one thread stages, in order, with the chains of all their scopes.
#[derive(Default)]
pub(crate) struct Part {
    pub(crate) entries: Vec<Entry>,
    pub(crate) chains: Vec<Chain>,
    /// The lines of its entries.
    pub(crate) lines: Vec<u8>,
}

impl Part {
    /// Stages all entries for the commit of `first` to `last`. It fails only where the ledger contradicts itself.
    pub(crate) fn stage(&mut self, state: &ReadState, first: u64, last: u64) -> Result<()> {
        let keys = state.keys.read().unwrap_or_else(PoisonError::into_inner);
        for entry in &mut self.entries {
            let (envelope, chain) = (&mut entry.envelope, &mut self.chains[entry.chain]);
            let Some(secret) = keys.secret_via(&envelope.scope, envelope.nth, &mut chain.path) else {
                let message = format!(
                    "the keys of {} hold no secret for its entry {}",
                    envelope.scope, envelope.nth
                );
                return Err(Error::new(ErrorKind::Tampered, message));
            };
            envelope.prev = chain.last.unwrap_or_else(Hash::of_nothing);
            envelope.body = seal_in_place(&secret, &envelope.scope, envelope.nth, &mut entry.body);
            let start = self.lines.len();
            // What goes into an envelope was bounded when the draft was prepared.
            envelope
                .write_to(&mut self.lines)
                .map_err(|e| Error::from(e).into_kind(ErrorKind::TooLarge))?;
            entry.hash = leaf_hash(&self.lines[start..]);
            chain.last = Some(entry.hash);
            end_line(&mut self.lines, start, &entry.body, first, last);
            entry.line = start..self.lines.len();
        }
        Ok(())
    }

    /// Empties it, keeping the memory for the next commit.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.chains.clear();
        self.lines.clear();
        self.lines.shrink_to(KEPT_BYTES);
    }
}

/// A second thread that stages.
pub(crate) struct Helper {
    jobs: Option<mpsc::Sender<(Part, u64, u64)>>,
    done: mpsc::Receiver<(Part, Result<()>)>,
    thread: Option<JoinHandle<()>>,
}

impl Helper {
    pub(crate) fn start(state: Arc<ReadState>) -> Result<Self> {
        let (jobs, taken) = mpsc::channel::<(Part, u64, u64)>();
        let (finished, done) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("quipu-stage".into())
            .spawn(move || {
                for (mut part, first, last) in taken {
                    let staged = part.stage(&state, first, last);
                    if finished.send((part, staged)).is_err() {
                        return;
                    }
                }
            })
            .map_err(|e| Error::io("start a thread that seals entries", &e))?;
        Ok(Self {
            jobs: Some(jobs),
            done,
            thread: Some(thread),
        })
    }

    /// Stages both parts at the same time. If the other thread has failed, its part is lost.
    pub(crate) fn stage(&self, parts: &mut [Part; 2], state: &ReadState, first: u64, last: u64) -> Result<()> {
        let failed = || {
            let message =
                "a thread that seals entries has failed, and nothing of this commit was written: open the ledger again";
            Error::new(ErrorKind::Unavailable, message)
        };
        let [own, other] = parts;
        let jobs = self.jobs.as_ref().ok_or_else(failed)?;
        jobs.send((std::mem::take(other), first, last)).map_err(|_| failed())?;
        let staged = own.stage(state, first, last);
        let (part, others) = self.done.recv().map_err(|_| failed())?;
        *other = part;
        staged.and(others)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.jobs.take();
        if let Some(thread) = self.thread.take() {
            // A panic there has been answered to those who waited.
            let _ = thread.join();
        }
    }
}

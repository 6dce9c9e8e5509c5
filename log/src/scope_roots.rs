//! Entries `quipu.scopes`: the root of the tree of scopes, from time to time. What one covers is read from the index,
//! which always stands between two commits; a thread of its own hashes, and the sequencer only places what is ready. Only
//! where that is late does a commit wait for it.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use quipu_format::{Actor, Body, Kind, Scope, ScopeRoot, ScopeState, ScopeTree, limits, scope_key};

use crate::{
    Draft, Error, ErrorKind, LedgerReader, Result, heads::Head, index::SharedIndex, reader::Direction,
    reader::ReadState,
};

pub(crate) struct ScopeRoots {
    shared: Arc<Shared>,
    /// Entries from here on hold no root.
    since: u64,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Arc<ReadState>,
    /// Held while a root is made.
    tree: Mutex<ScopeTree>,
    next: Mutex<Next>,
    changed: Condvar,
}

/// The next root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    NotYet,
    Asked,
    Made(ScopeRoot),
    /// The ledger is being closed.
    Never,
}

impl ScopeRoots {
    /// Goes on behind the ledger's newest entry that holds a root.
    pub(crate) fn resume(state: Arc<ReadState>) -> Result<Self> {
        let reader = LedgerReader { state: state.clone() };
        let head = reader.head();
        let oldest = head.saturating_sub(every());
        let newest = newest(&reader, oldest..head)?.map_or(oldest, |(seq, _)| seq + 1);
        let shared = Shared {
            state,
            tree: Mutex::default(),
            next: Mutex::new(Next::NotYet),
            changed: Condvar::new(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            since: newest,
            thread: None,
        })
    }

    /// From now on a thread makes roots, and commits do not wait for them.
    pub(crate) fn start(&mut self) -> Result<()> {
        let shared = self.shared.clone();
        let thread = thread::Builder::new()
            .name("quipu-scopes".into())
            .spawn(move || shared.work())
            .map_err(|e| Error::io("start the thread for roots of scopes", &e))?;
        self.thread = Some(thread);
        Ok(())
    }

    /// The root that goes to position `seq`, behind a commit. None: it is early yet.
    pub(crate) fn due(&mut self, seq: u64) -> Result<Option<ScopeRoot>> {
        let without = seq.saturating_sub(self.since);
        // The next commit is not larger than the other half.
        let latest = without >= every() / 2;
        if without < every() / 4 {
            return Ok(None);
        }
        let mut next = self.shared.next();
        match *next {
            Next::Made(root) => {
                *next = Next::NotYet;
                drop(next);
                self.since = seq + 1;
                Ok(Some(root))
            }
            _ if latest || self.thread.is_none() => {
                drop(next);
                self.now(seq).map(Some)
            }
            Next::NotYet => {
                *next = Next::Asked;
                self.shared.changed.notify_one();
                Ok(None)
            }
            Next::Asked | Next::Never => Ok(None),
        }
    }

    /// The root over all that is durable, for an entry at about `seq`.
    pub(crate) fn now(&mut self, seq: u64) -> Result<ScopeRoot> {
        let mut tree = self.shared.tree()?;
        let root = self.shared.make(&mut tree);
        // One that was asked for covers no more than this.
        let mut next = self.shared.next();
        if *next != Next::Never {
            *next = Next::NotYet;
        }
        self.since = seq + 1;
        Ok(root)
    }

    /// Ends the thread.
    pub(crate) fn close(&mut self) {
        *self.shared.next() = Next::Never;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // It holds nothing that somebody waits for.
            let _ = thread.join();
        }
    }
}

impl Drop for ScopeRoots {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn next(&self) -> MutexGuard<'_, Next> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tree(&self) -> Result<MutexGuard<'_, ScopeTree>> {
        self.tree.lock().map_err(|_| {
            let message = "a root of scopes could not be made: open the ledger again";
            Error::new(ErrorKind::Unavailable, message)
        })
    }

    fn work(&self) {
        loop {
            let mut next = self.next();
            while matches!(*next, Next::NotYet | Next::Made(_)) {
                next = self.changed.wait(next).unwrap_or_else(PoisonError::into_inner);
            }
            if *next == Next::Never {
                return;
            }
            drop(next);
            let Ok(mut tree) = self.tree() else { return };
            // A commit that could not wait has made it meanwhile.
            if *self.next() == Next::Asked {
                let root = self.make(&mut tree);
                let mut next = self.next();
                if *next == Next::Asked {
                    *next = Next::Made(root);
                }
            }
        }
    }

    /// Brings the tree up to what the index holds.
    fn make(&self, tree: &mut ScopeTree) -> ScopeRoot {
        let mut index = self.state.index.write().unwrap_or_else(PoisonError::into_inner);
        let (size, changed) = index.take_changed();
        drop(index);
        for (scope, head) in changed {
            tree.set(scope_key(&scope), head.into());
        }
        let root = tree.root();
        ScopeRoot { size, root }
    }
}

impl From<Head> for ScopeState {
    fn from(head: Head) -> Self {
        Self {
            count: head.count,
            last: head.last,
        }
    }
}

/// A draft of an entry that holds a root. Whatever it says, the sequencer fills in the root of that moment.
pub(crate) fn draft() -> Result<Draft> {
    let body = Body::new(None, "{}")?;
    let mut draft = Draft::new(
        Scope::ledger(),
        Actor::new("host:quipu")?,
        Kind::new(ScopeRoot::KIND)?,
        body,
    );
    let longest = ScopeRoot {
        size: limits::LAST_SEQ,
        root: quipu_format::Hash::of_nothing(),
    };
    draft.sys = Some(longest.to_sys());
    Ok(draft)
}

/// Puts what is to be appended in the place of a draft: of a root of scopes only its key is its caller's.
pub(crate) fn make_ours(draft: &mut Draft) -> Result<()> {
    if draft.kind.as_str() == ScopeRoot::KIND {
        let key = draft.key.take();
        *draft = Draft { key, ..self::draft()? };
    }
    Ok(())
}

/// The newest root whose entry stands in `range`, and where.
pub(crate) fn newest(reader: &LedgerReader, range: std::ops::Range<u64>) -> Result<Option<(u64, ScopeRoot)>> {
    /// Entries of `quipu:ledger` that are looked up at a time.
    const STEP: usize = 64;
    let mut end = range.end;
    loop {
        let index = &reader.state.index;
        let seqs = index.select(&Scope::ledger(), range.start..end, Direction::Backward, STEP)?;
        for &seq in &seqs {
            match reader.envelope(seq) {
                Ok(Some(envelope)) => {
                    if let Some(root) = ScopeRoot::of(&envelope)? {
                        return Ok(Some((seq, root)));
                    }
                }
                Ok(None) => {}
                // Old damage is for verify to name.
                Err(e) if matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::NotHere) => {}
                Err(e) => return Err(e),
            }
        }
        match seqs.last() {
            Some(&last) if seqs.len() == STEP => end = last,
            _ => return Ok(None),
        }
    }
}

const _: () = assert!(limits::COMMIT_ENTRIES as u64 + 2 < limits::SCOPE_ROOT_ENTRIES / 2);

fn every() -> u64 {
    #[cfg(test)]
    if let Some(every) = sooner::EVERY.get() {
        return every;
    }
    limits::SCOPE_ROOT_ENTRIES
}

/// Roots after fewer entries than usual, on this thread.
#[cfg(test)]
pub(crate) mod sooner {
    use std::cell::Cell;

    thread_local! {
        pub(super) static EVERY: Cell<Option<u64>> = const { Cell::new(None) };
    }

    /// None: as usual.
    pub(crate) fn set(every: Option<u64>) {
        EVERY.set(every);
    }
}

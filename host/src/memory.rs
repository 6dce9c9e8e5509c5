use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use quipu_format::{EventId, Hash, Scope, Timestamp};
use quipu_log::{Direction, Draft, Ledger, LedgerReader, Receipt};
use tokio::sync::Mutex;

#[cfg(feature = "recall")]
use crate::derived::Derived;
use crate::{AgentComponent, Result};

/// A ledger with what is derived from it: what all runs over one ledger share. Cheap to clone.
#[derive(Clone)]
pub struct Memory(Arc<Parts>);

struct Parts {
    ledger: Ledger,
    #[cfg(feature = "recall")]
    derived: Derived,
    /// Components known to be in the ledger's folder.
    kept: Mutex<HashSet<Hash>>,
    /// For measuring alone: the number of drafts that were not appended.
    discarded: Option<AtomicU64>,
}

impl Memory {
    /// Over a ledger; with feature `recall`, its derived state is opened too.
    pub fn new(ledger: Ledger) -> Result<Self> {
        Self::with(ledger, None)
    }

    /// Acknowledges drafts without appending them: measures a host call apart from durability.
    #[doc(hidden)]
    pub fn discarding(ledger: Ledger) -> Result<Self> {
        Self::with(ledger, Some(AtomicU64::new(0)))
    }

    fn with(ledger: Ledger, discarded: Option<AtomicU64>) -> Result<Self> {
        Ok(Self(Arc::new(Parts {
            #[cfg(feature = "recall")]
            derived: Derived::open(ledger.reader())?,
            ledger,
            kept: Mutex::default(),
            discarded,
        })))
    }

    /// The ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    pub(crate) fn reader(&self) -> &LedgerReader {
        self.0.ledger.reader()
    }

    /// The scopes that have an entry below a head.
    pub(crate) fn scopes_at(&self, head: u64) -> quipu_log::Result<Vec<Scope>> {
        let mut scopes = Vec::new();
        for at in self.reader().scopes() {
            // One that others append to meanwhile may have begun just now.
            if at.last_seq < head
                || !self
                    .reader()
                    .page(&at.scope, 0..head, Direction::Forward, 1)?
                    .events
                    .is_empty()
            {
                scopes.push(at.scope);
            }
        }
        Ok(scopes)
    }

    /// Brings the reader up to what is durable, also by another process that writes the ledger; returns the head.
    pub(crate) async fn refresh(&self) -> quipu_log::Result<u64> {
        self.0.ledger.refresh().await
    }

    #[cfg(feature = "recall")]
    pub(crate) fn derived(&self) -> &Derived {
        &self.0.derived
    }

    /// Appends all or none, consecutively; returns when they are durable.
    pub(crate) async fn append(&self, drafts: Vec<Draft>) -> quipu_log::Result<Vec<Receipt>> {
        match &self.0.discarded {
            None => self.0.ledger.append_all(drafts).await,
            Some(count) => Ok(drafts.iter().map(|_| discard(count)).collect()),
        }
    }

    /// Keeps the component's bytes in the ledger's folder, by digest, so that its runs can be executed again.
    pub(crate) async fn keep(&self, component: &AgentComponent) -> Result<()> {
        // Held meanwhile: of many runs that begin at once, one writes the file and the others wait for it.
        let mut kept = self.0.kept.lock().await;
        if kept.contains(&component.sha256()) {
            return Ok(());
        }
        let (ledger, bytes) = (self.0.ledger.clone(), component.clone());
        blocking(move || ledger.put_component(bytes.bytes())).await?;
        kept.insert(component.sha256());
        Ok(())
    }
}

fn discard(count: &AtomicU64) -> Receipt {
    let seq = count.fetch_add(1, Ordering::Relaxed);
    let id = EventId(ulid::Ulid::from_parts(0, u128::from(seq)));
    Receipt {
        seq,
        id,
        ts: Timestamp::FIRST,
        hash: Hash::of_nothing(),
        repeated: false,
    }
}

/// Runs what may wait for a disk on a thread where that is allowed. A panic goes on to the caller.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that is shutting down cancels; nobody polls this any more.
            Err(_) => std::future::pending().await,
        },
    }
}

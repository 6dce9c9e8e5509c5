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

#[cfg(feature = "guard")]
use quipu_format::limits;

#[cfg(feature = "recall")]
use crate::derived::Derived;
#[cfg(feature = "guard")]
use crate::secrets::{SecretGuard, is_record};
use crate::{AgentComponent, Result};

/// A ledger with what is derived from it: what all runs over one ledger share. Cheap to clone.
#[derive(Clone)]
pub struct Memory {
    parts: Arc<Parts>,
    keeps_components: bool,
}

struct Parts {
    ledger: Ledger,
    #[cfg(feature = "recall")]
    derived: Derived,
    /// Components known to be in the ledger's folder.
    kept: Mutex<HashSet<Hash>>,
    #[cfg(feature = "guard")]
    guard: Option<Arc<SecretGuard>>,
    /// For measuring alone: the number of drafts that were not appended.
    discarded: Option<AtomicU64>,
}

impl Memory {
    /// Over a ledger; with feature `recall`, its derived state is opened too, and with feature `guard` a
    /// [`SecretGuard`](crate::SecretGuard) is attached to it.
    pub fn new(ledger: Ledger) -> Result<Self> {
        #[cfg(feature = "guard")]
        let guard = SecretGuard::attach(&ledger);
        #[cfg_attr(not(feature = "guard"), expect(unused_mut, reason = "there is no guard to put in"))]
        let mut memory = Self::parts(ledger)?;
        #[cfg(feature = "guard")]
        (memory.guard = Some(guard));
        Ok(Self::of(memory))
    }

    /// The same without a guard: secrets are appended like anything else. The first entry of each run says so.
    pub fn unguarded(ledger: Ledger) -> Result<Self> {
        Ok(Self::of(Self::parts(ledger)?))
    }

    fn of(parts: Parts) -> Self {
        Self {
            parts: Arc::new(parts),
            keeps_components: true,
        }
    }

    /// Whether the components of runs through this handle are kept in the ledger's folder, so that the runs can be
    /// executed again. Unless it is said otherwise, they are.
    #[must_use]
    pub fn keep_components(mut self, keep: bool) -> Self {
        self.keeps_components = keep;
        self
    }

    /// Acknowledges drafts without appending them: measures a host call apart from durability.
    #[doc(hidden)]
    pub fn discarding(ledger: Ledger) -> Result<Self> {
        let mut memory = Self::parts(ledger)?;
        memory.discarded = Some(AtomicU64::new(0));
        Ok(Self::of(memory))
    }

    fn parts(ledger: Ledger) -> Result<Parts> {
        Ok(Parts {
            #[cfg(feature = "recall")]
            derived: Derived::open(ledger.reader())?,
            ledger,
            kept: Mutex::default(),
            #[cfg(feature = "guard")]
            guard: None,
            discarded: None,
        })
    }

    /// Whether appends that have a secret in them are refused.
    pub(crate) fn is_guarded(&self) -> bool {
        #[cfg(feature = "guard")]
        return self.parts.guard.is_some();
        #[cfg(not(feature = "guard"))]
        return false;
    }

    /// Refuses a text of a person's that has a secret in it.
    pub(crate) async fn check_text(&self, what: &'static str, text: &str) -> Result<(), String> {
        #[cfg(feature = "guard")]
        if let Some(guard) = self.parts.guard.clone() {
            if text.len() <= limits::GUARD_INLINE_BYTES {
                return guard.check_text(what, text);
            }
            let text = text.to_owned();
            return blocking(move || guard.check_text(what, &text)).await;
        }
        let _ = (what, text);
        Ok(())
    }

    /// Puts handles in place of secrets, in those drafts that `which` chooses.
    pub(crate) async fn handled(&self, drafts: Vec<Draft>, which: fn(&Draft) -> bool) -> Vec<Draft> {
        #[cfg(feature = "guard")]
        if let Some(guard) = self.parts.guard.clone().filter(|_| drafts.iter().any(which)) {
            let bytes = quipu_log::text_bytes(&drafts);
            let (mut drafts, reader) = (drafts, self.reader().clone());
            if bytes <= limits::GUARD_INLINE_BYTES {
                guard.handle(&mut drafts, which, &reader);
                return drafts;
            }
            return blocking(move || {
                guard.handle(&mut drafts, which, &reader);
                drafts
            })
            .await;
        }
        let _ = which;
        drafts
    }

    /// The ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.parts.ledger
    }

    pub(crate) fn reader(&self) -> &LedgerReader {
        self.parts.ledger.reader()
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
        self.parts.ledger.refresh().await
    }

    #[cfg(feature = "recall")]
    pub(crate) fn derived(&self) -> &Derived {
        &self.parts.derived
    }

    /// Appends all or none, consecutively; returns when they are durable. What the host records of a run is never refused
    /// for a secret: a handle stands there.
    pub(crate) async fn append(&self, drafts: Vec<Draft>) -> quipu_log::Result<Vec<Receipt>> {
        #[cfg(feature = "guard")]
        let drafts = self.handled(drafts, is_record).await;
        match &self.parts.discarded {
            None => self.parts.ledger.append_all(drafts).await,
            Some(count) => Ok(drafts.iter().map(|_| discard(count)).collect()),
        }
    }

    /// Keeps the component's bytes in the ledger's folder, by digest, so that its runs can be executed again.
    pub(crate) async fn keep(&self, component: &AgentComponent) -> Result<()> {
        if !self.keeps_components {
            return Ok(());
        }
        // Held meanwhile: of many runs that begin at once, one writes the file and the others wait for it.
        let mut kept = self.parts.kept.lock().await;
        if kept.contains(&component.sha256()) {
            return Ok(());
        }
        let (ledger, bytes) = (self.parts.ledger.clone(), component.clone());
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

//! Where entries get their place and are made ready for the next commit, be it while the commit before is written.

// Long because all that decides an entry's place belongs under one lock.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, PoisonError},
};

use quipu_format::{Actor, Body, Envelope, Hash, KeyPath, Kind, Scope, ScopeRoot, leaf_hash, limits};
use serde_json::{Value, json};
use smallvec::SmallVec;

use crate::{
    Draft, Error, ErrorKind, LedgerReader, Receipt, Result,
    draft::Prepared,
    erasure::Erasures,
    keeping,
    keyfile::Keys,
    operators::Operators,
    quotas::{self, Allowed},
    reader::ReadState,
    remembered::Remembered,
    request::{Receipts, Request},
    rotation,
    scope_roots::ScopeRoots,
    staging::{Batch, Chain},
    stamps::{Disagreement, Stamps},
};

/// Bytes of a `quipu.clock` entry, at most.
const CLOCK_BYTES: usize = 2 << 10;
/// Bytes of all that the host adds to a commit, at most: that, and one of kind `quipu.scopes`.
pub(crate) const HOST_BYTES: usize = CLOCK_BYTES + (2 << 10);
/// Scopes whose chain is held ready from one commit to the next; each takes up to 2 KiB.
const HOT_SCOPES: usize = 4_096;
/// Bytes of a request, at most, that is staged on its caller's thread, which may be an executor's.
const AHEAD_BYTES: usize = 64 << 10;

/// The next commit as far as it is made. What is staged has its room in the segment, so that only writing it can fail;
/// and after a write that failed the ledger takes nothing more, so that no place is ever taken back.
pub(crate) struct Stage {
    state: Arc<ReadState>,
    stamps: Stamps,
    remembered: Remembered,
    operators: Operators,
    pub(crate) roots: ScopeRoots,
    /// Which of the chains is a scope's.
    hot: HashMap<Scope, usize>,
    chains: Vec<Chain>,
    next: u64,
    made: Made,
    /// Bytes that may still be staged ahead; 0 while nobody but the sequencer may stage.
    room: usize,
}

/// A commit that is being made.
#[derive(Default)]
pub(crate) struct Made {
    pub(crate) batch: Batch,
    /// Those that are answered once it is durable.
    pub(crate) requests: Vec<Request>,
    /// What it erases.
    pub(crate) erasures: Erasures,
    /// An entry of it has `sys`: it may be an act, which changes keys when it is carried out.
    acts: bool,
    /// Position of an entry of it that names the next key to sign with.
    pub(crate) succession: Option<u64>,
    /// Upper bound of the bytes of its requests.
    pub(crate) bytes: usize,
    /// The ledger contradicts itself: nothing of this may be written.
    pub(crate) failed: Option<Error>,
}

impl Made {
    /// Empties it, keeping the memory.
    pub(crate) fn clear(&mut self) {
        self.batch.clear();
        self.requests.clear();
        self.erasures = Erasures::default();
        (self.acts, self.bytes, self.failed) = (false, 0, None);
    }
}

impl Stage {
    pub(crate) fn new(
        state: Arc<ReadState>,
        stamps: Stamps,
        remembered: Remembered,
        operators: Operators,
        roots: ScopeRoots,
    ) -> Self {
        let next = state.index.read().unwrap_or_else(PoisonError::into_inner).next();
        Self {
            state,
            stamps,
            remembered,
            operators,
            roots,
            hot: HashMap::new(),
            chains: Vec::new(),
            next,
            made: Made::default(),
            room: 0,
        }
    }

    /// Whether a request may be staged now although the commit before may not be durable: it needs nothing of the disk,
    /// neither room, nor a new scope's keys, nor an entry to compare it with.
    pub(crate) fn takes(&self, request: &Request) -> bool {
        request.bytes <= AHEAD_BYTES
            && request.bytes + HOST_BYTES <= self.room
            && self.made.batch.entries.len() + request.entries <= limits::COMMIT_ENTRIES / 2
            && request.lock().drafts.iter().all(|Prepared { envelope, .. }| {
                envelope.sys.is_none()
                    && self.hot.contains_key(&envelope.scope)
                    && envelope.key.is_none_or(|key| self.remembered.get(&key).is_none())
            })
    }

    /// Stages a request that it takes.
    pub(crate) fn add_ahead(&mut self, request: Request) {
        self.room = self.room.saturating_sub(request.bytes);
        self.look();
        self.add(request);
    }

    /// Ends staging ahead. Returns how many bytes have been staged.
    pub(crate) fn hold(&mut self) -> usize {
        self.room = 0;
        self.made.bytes
    }

    /// The first position of the commit that is being made.
    pub(crate) fn first(&self) -> u64 {
        self.made.batch.first().unwrap_or(self.next)
    }

    /// Whether a scope's chain is held ready: it has its secret then.
    pub(crate) fn is_hot(&self, scope: &Scope) -> bool {
        self.hot.contains_key(scope)
    }

    /// Takes note of the time, and of a clock that disagrees.
    pub(crate) fn look(&mut self) {
        if let Some(disagreement) = self.stamps.look() {
            self.place_clock(disagreement);
        }
    }

    /// Gives all drafts of a request their places or none.
    pub(crate) fn add(&mut self, request: Request) {
        self.made.bytes += request.bytes;
        let mut shared = request.lock();
        shared.outcome = Some(self.place_all(&mut shared.drafts));
        drop(shared);
        self.made.requests.push(request);
    }

    /// Hands over the commit that was made, and begins the next one with the memory of one that is over.
    pub(crate) fn take(&mut self, spare: Made) -> Made {
        self.place_root();
        mem::replace(&mut self.made, spare)
    }

    /// Forgets how far scopes have come, all of which is written, and with it secrets on the way there.
    pub(crate) fn forget_ways(&mut self) {
        self.hot.clear();
        self.chains.clear();
    }

    /// Lets others stage ahead within so many bytes, while `commit` is written. What an act does to keys is done when it
    /// is durable, and what comes after it is sealed then.
    pub(crate) fn open(&mut self, room: u64, commit: Option<&Made>) {
        let crowded = self.chains.len() > HOT_SCOPES;
        if crowded && commit.is_none() && self.made.batch.entries.is_empty() {
            self.hot.clear();
            self.chains.clear();
        } else if crowded || commit.is_some_and(|commit| commit.acts) {
            return;
        }
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(limits::COMMIT_BYTES);
        self.room = room.saturating_sub(self.made.bytes);
    }

    fn place_all(&mut self, drafts: &mut [Prepared]) -> Result<Receipts> {
        for Prepared { envelope, .. } in &mut *drafts {
            if envelope.kind.as_str() == ScopeRoot::KIND {
                envelope.sys = Some(self.roots.now(self.next)?.to_sys());
            }
        }
        let known = self.known(drafts)?;
        if drafts.iter().any(|draft| draft.envelope.kind.is_reserved()) {
            self.admit(drafts, &known)?;
        }
        if self.next + drafts.len() as u64 > limits::LAST_SEQ {
            return Err(Error::new(
                ErrorKind::TooLarge,
                "the ledger holds 2^53 entries and takes no more",
            ));
        }
        let mut chains: SmallVec<[usize; 1]> = SmallVec::with_capacity(drafts.len());
        let mut bounded = false;
        for Prepared { envelope, .. } in &*drafts {
            let chain = self.chain(&envelope.scope);
            if u64::from(self.chains[chain].count) + drafts.len() as u64 > u64::from(limits::SCOPE_ENTRIES) {
                let message = format!("the scope {} holds 2^32 - 1 entries and takes no more", envelope.scope);
                return Err(Error::new(ErrorKind::TooLarge, message));
            }
            bounded |= self.chains[chain]
                .quota
                .is_bounded(self.operators.governance(), envelope);
            chains.push(chain);
        }
        if bounded {
            let fresh = drafts.iter_mut().zip(&chains).zip(&known);
            let fresh = fresh.filter(|(_, known)| matches!(known, Known::No));
            let mut fresh: Vec<_> = fresh.map(|((draft, chain), _)| (draft, *chain)).collect();
            quotas::admit(&mut fresh, &self.chains, self.next)?;
        }
        let state = self.state.clone();
        let keys = state.keys.read().unwrap_or_else(PoisonError::into_inner);
        let mut receipts = Receipts::with_capacity(drafts.len());
        for ((draft, chain), known) in drafts.iter_mut().zip(chains).zip(known) {
            receipts.push(match known {
                Known::No => self.place(&keys, draft, chain)?,
                Known::Is(receipt) => receipt,
                Known::Twin(twin) => receipts[twin].again(),
            });
        }
        Ok(receipts)
    }

    /// Refuses acts that may not be done now. All of them are of reserved kinds.
    fn admit(&self, drafts: &[Prepared], known: &[Known]) -> Result<()> {
        let fresh = drafts.iter().zip(known).filter(|(_, known)| matches!(known, Known::No));
        let fresh = fresh.map(|(draft, _)| &draft.envelope);
        self.operators.admit(fresh.clone(), self.next)?;
        rotation::admit(fresh.clone(), &self.state)?;
        self.made.erasures.admit(fresh.clone(), &self.state)?;
        let reader = LedgerReader {
            state: self.state.clone(),
        };
        keeping::refuse_young(self.operators.governance(), &reader, self.stamps.now(), fresh)
    }

    /// What is known of each draft by its idempotency key.
    fn known(&self, drafts: &[Prepared]) -> Result<SmallVec<[Known; 1]>> {
        let mut known = SmallVec::with_capacity(drafts.len());
        for (i, draft) in drafts.iter().enumerate() {
            let Some(key) = draft.envelope.key else {
                known.push(Known::No);
                continue;
            };
            let twin = drafts[..i].iter().position(|other| other.envelope.key == Some(key));
            known.push(match (twin, self.remembered.get(&key)) {
                (Some(twin), _) => {
                    if drafts[twin].plaintext != draft.plaintext || !draft.says_the_same_as(&drafts[twin].envelope) {
                        return Err(draft.conflict());
                    }
                    Known::Twin(twin)
                }
                (None, Some(seq)) => Known::Is(self.repeat(seq, draft)?),
                (None, None) => Known::No,
            });
        }
        Ok(known)
    }

    /// The receipt of an entry that was given its place with the same key before, in this commit or an earlier one.
    fn repeat(&self, seq: u64, draft: &Prepared) -> Result<Receipt> {
        let bytes = match self.made.batch.envelope_bytes(seq) {
            Some(bytes) => bytes.to_owned(),
            None => {
                let state = self.state.clone();
                LedgerReader { state }.envelope_bytes(seq)?
            }
        };
        let envelope = Envelope::parse(&bytes)?;
        self.check_repeat(&envelope, draft)?;
        Ok(Receipt {
            seq,
            id: envelope.id,
            ts: envelope.ts,
            hash: leaf_hash(&bytes),
            repeated: true,
        })
    }

    /// Refuses a draft that says something else than the entry that was appended with its key.
    fn check_repeat(&self, envelope: &Envelope, draft: &Prepared) -> Result<()> {
        let keys = self.state.keys.read().unwrap_or_else(PoisonError::into_inner);
        let Some(secret) = keys.secret_of(&envelope.scope, envelope.nth) else {
            let message = "the idempotency key was used before, for an entry whose content has been erased since";
            return Err(Error::new(ErrorKind::Redacted, message));
        };
        if quipu_format::commitment(&secret.salt, &draft.plaintext) != envelope.body
            || !draft.says_the_same_as(envelope)
        {
            return Err(draft.conflict());
        }
        Ok(())
    }

    /// Gives one entry its place and makes it ready. It fails only where the ledger contradicts itself.
    fn place(&mut self, keys: &Keys, draft: &mut Prepared, chain: usize) -> Result<Receipt> {
        let Prepared {
            envelope, plaintext, ..
        } = draft;
        let mut new_quotas = false;
        let chain = &mut self.chains[chain];
        (envelope.ts, envelope.id) = self.stamps.next();
        (envelope.seq, envelope.nth) = (self.next, chain.count);
        self.next += 1;
        chain.count += 1;
        if let Some(key) = envelope.key {
            self.remembered.insert(key, envelope.seq);
        }
        if envelope.kind.is_reserved() {
            match self.operators.take(envelope) {
                Ok(()) => {
                    self.made.erasures.take(envelope);
                    new_quotas = quotas::is_change(envelope);
                }
                // It was admitted just now.
                Err(error) => tracing::error!(%error, "an act was appended that does not count"),
            }
        }
        self.made.acts |= envelope.sys.is_some();
        self.made.succession = self.made.succession.or(rotation::position(envelope));
        let staged = self.made.batch.stage(keys, chain, envelope, plaintext);
        if let Err(error) = &staged {
            self.made.failed = Some(error.clone());
        }
        if new_quotas {
            self.chains.iter_mut().for_each(|chain| chain.quota = Allowed::Unasked);
        }
        staged
    }

    fn place_clock(&mut self, said: Disagreement) {
        self.made.bytes += CLOCK_BYTES;
        self.room = self.room.saturating_sub(CLOCK_BYTES);
        let clock = json!({"clock": {"wall": said.wall, "expected": said.expected}});
        self.place_own("quipu.clock", clock);
    }

    /// Ends the commit with the root of scopes, if one is due. It has its room: nobody stages ahead in all that is left.
    fn place_root(&mut self) {
        if self.made.batch.entries.is_empty() {
            return;
        }
        match self.roots.due(self.next) {
            Ok(None) => {}
            Ok(Some(root)) => self.place_own(ScopeRoot::KIND, root.to_sys()),
            Err(error) => self.made.failed = Some(error),
        }
    }

    /// Gives an entry of the host's its place.
    fn place_own(&mut self, kind: &str, sys: Value) {
        let placed = (|| {
            let body = Body::new(None, "{}")?;
            let mut draft = Draft::new(Scope::ledger(), Actor::new("host:quipu")?, Kind::new(kind)?, body);
            draft.sys = Some(sys);
            let state = self.state.clone();
            let keys = state.keys.read().unwrap_or_else(PoisonError::into_inner);
            let mut draft = Prepared::new(draft, &keys.secret)?;
            let chain = self.chain(&Scope::ledger());
            self.place(&keys, &mut draft, chain)
        })();
        if let Err(error) = placed {
            tracing::warn!(%error, kind, "an entry of the host's could not be made");
        }
    }

    /// The number of a scope's chain. All of a scope that is not hot is written, so the index knows it.
    fn chain(&mut self, scope: &Scope) -> usize {
        if let Some(chain) = self.hot.get(scope) {
            return *chain;
        }
        let index = self.state.index.read().unwrap_or_else(PoisonError::into_inner);
        let (count, last, bytes) = match index.scopes.get(scope) {
            Some(head) => (head.count, head.last, head.bytes),
            None => (0, Hash::of_nothing(), 0),
        };
        self.chains.push(Chain {
            count,
            last,
            path: KeyPath::default(),
            bytes,
            quota: Allowed::Unasked,
        });
        self.hot.insert(scope.clone(), self.chains.len() - 1);
        self.chains.len() - 1
    }
}

/// What an idempotency key tells of a draft.
enum Known {
    No,
    /// It repeats the draft of that number in its request.
    Twin(usize),
    /// It repeats an entry that has its place, with this receipt.
    Is(Receipt),
}

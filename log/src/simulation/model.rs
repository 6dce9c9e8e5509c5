//! What a ledger must hold, whatever happened to it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use quipu_format::{Content, Event, EventId, Hash, Scope, tree::Frontier};

use crate::{Draft, LedgerReader, Receipt, erasure, verifier_keys::VerifierKeys};

/// A promise that was broken, in words.
pub(super) type Result<T = ()> = std::result::Result<T, String>;

/// Fails with the words that follow the condition.
macro_rules! ensure {
    ($holds:expr, $($words:tt)+) => {
        if !$holds {
            return Err(format!($($words)+));
        }
    };
}
pub(super) use ensure;

#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    batches: Vec<Batch>,
    /// Which draft of which batch has this plaintext: no two drafts have the same.
    by_plaintext: HashMap<Vec<u8>, (usize, usize)>,
    /// Entries that must be there for ever: they were acknowledged, or found by an open, or served by a reader.
    kept: BTreeMap<u64, Kept>,
    /// Which draft of which batch an entry is.
    placed: BTreeMap<u64, (usize, usize)>,
    /// Entries of which somebody was told that they are erased.
    erased: BTreeSet<u64>,
    /// The root that was signed at each size.
    roots: BTreeMap<u64, Hash>,
}

/// Drafts that are appended together or not at all.
#[derive(Debug, Clone)]
struct Batch {
    drafts: Vec<Draft>,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Nobody knows.
    Open,
    /// It must be there; its first entry has this position, and the others follow.
    Kept(u64),
    /// It must not be there.
    Absent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kept {
    id: EventId,
    hash: Hash,
}

impl From<&Event> for Kept {
    fn from(event: &Event) -> Self {
        Self {
            id: event.envelope.id,
            hash: event.hash,
        }
    }
}

impl Model {
    /// The scopes of a batch's drafts.
    pub(super) fn scopes(&self, batch: usize) -> Vec<Scope> {
        let drafts = self.batches[batch].drafts.iter();
        drafts.map(|draft| draft.scope.clone()).collect()
    }

    /// Drafts are about to be appended, for the first time or again. Returns their batch.
    pub(super) fn submit(&mut self, drafts: &[Draft]) -> usize {
        let plaintexts: Vec<_> = drafts.iter().map(|draft| draft.body.to_bytes().unwrap()).collect();
        let batch = match self.by_plaintext.get(&plaintexts[0]) {
            Some(&(batch, _)) => batch,
            None => {
                self.batches.push(Batch {
                    drafts: drafts.to_vec(),
                    fate: Fate::Absent,
                });
                self.batches.len() - 1
            }
        };
        for (at, plaintext) in plaintexts.into_iter().enumerate() {
            let place = *self.by_plaintext.entry(plaintext).or_insert((batch, at));
            assert_eq!(place, (batch, at), "the same drafts come again together");
        }
        if self.batches[batch].fate == Fate::Absent {
            self.batches[batch].fate = Fate::Open;
        }
        batch
    }

    /// A batch that was appended with keys, of which it is not known whether it is there or which is there.
    pub(super) fn repeatable(&self, batch: usize) -> Option<Vec<Draft>> {
        let drafts = &self.batches.get(batch)?.drafts;
        drafts.iter().all(|draft| draft.key.is_some()).then(|| drafts.clone())
    }

    pub(super) fn is_kept(&self, batch: usize) -> bool {
        matches!(self.batches[batch].fate, Fate::Kept(_))
    }

    pub(super) fn batches(&self) -> usize {
        self.batches.len()
    }

    /// Entries below it must be there.
    pub(super) fn next(&self) -> u64 {
        self.kept.last_key_value().map_or(0, |(seq, _)| seq + 1)
    }

    pub(super) fn id(&self, seq: u64) -> Option<EventId> {
        self.kept.get(&seq).map(|kept| kept.id)
    }

    pub(super) fn hash(&self, seq: u64) -> Option<Hash> {
        self.kept.get(&seq).map(|kept| kept.hash)
    }

    /// The ledger has acknowledged a batch.
    pub(super) fn acknowledged(&mut self, batch: usize, receipts: &[Receipt]) -> Result {
        let Batch { drafts, fate } = &mut self.batches[batch];
        ensure!(
            receipts.len() == drafts.len(),
            "{} receipts for {} drafts",
            receipts.len(),
            drafts.len()
        );
        let first = receipts[0].seq;
        for (at, receipt) in receipts.iter().enumerate() {
            let seq = receipt.seq;
            ensure!(
                seq == first + at as u64,
                "the entries of a batch do not follow each other: {receipts:?}"
            );
            let kept = Kept {
                id: receipt.id,
                hash: receipt.hash,
            };
            let before = self.kept.insert(seq, kept);
            self.placed.insert(seq, (batch, at));
            if receipt.repeated {
                ensure!(
                    *fate == Fate::Kept(first) && before == Some(kept),
                    "entry {seq} is said to be a repetition, and is none: {fate:?}, {before:?}"
                );
            } else {
                ensure!(*fate == Fate::Open, "entry {seq} is in the ledger twice: {fate:?}");
                ensure!(before.is_none(), "entry {seq} was acknowledged in the place of another");
            }
        }
        *fate = Fate::Kept(first);
        Ok(())
    }

    /// The ledger has said that nothing of a batch was appended.
    pub(super) fn refused(&mut self, batch: usize) {
        let fate = &mut self.batches[batch].fate;
        if *fate == Fate::Open {
            *fate = Fate::Absent;
        }
    }

    /// An act was acknowledged: it must stay, and what it erases must be gone.
    pub(super) fn carried_out(&mut self, receipts: &[Receipt], erased: impl Iterator<Item = u64>) {
        for receipt in receipts {
            let (id, hash) = (receipt.id, receipt.hash);
            self.kept.insert(receipt.seq, Kept { id, hash });
        }
        self.erased.extend(erased);
    }

    /// Whether an entry of a batch is erased.
    pub(super) fn is_erased(&self, batch: usize) -> bool {
        let Fate::Kept(first) = self.batches[batch].fate else {
            return false;
        };
        let count = self.batches[batch].drafts.len() as u64;
        self.erased.range(first..first + count).next().is_some()
    }

    /// Whatever an erasure covers is gone, and nothing else is.
    fn check_erased(&mut self, events: &[Event]) -> Result {
        let erasures: Vec<_> = events.iter().filter_map(|event| erasure::of(&event.envelope)).collect();
        for event in events {
            let (scope, nth, seq) = (&event.envelope.scope, event.envelope.nth, event.envelope.seq);
            let covered = erasures
                .iter()
                .any(|erasure| erasure.scope == *scope && erasure.covers(nth));
            let gone = event.content == Content::Erased;
            ensure!(
                covered == gone,
                "entry {seq} is covered by an erasure: {covered}, gone: {gone}"
            );
            ensure!(gone || !self.erased.contains(&seq), "entry {seq} is back");
            if gone {
                self.erased.insert(seq);
            }
        }
        Ok(())
    }

    /// A reader that does not write has served this: it must stay.
    pub(super) fn served(&mut self, event: &Event) -> Result {
        let seq = event.envelope.seq;
        ensure!(
            event.content == Content::Erased || !self.erased.contains(&seq),
            "a reader served entry {seq}, which is erased"
        );
        if let Some(kept) = self.kept.get(&seq) {
            ensure!(*kept == event.into(), "a reader served another entry {seq}: {event:?}");
        }
        self.place(event)?;
        self.kept.insert(seq, event.into());
        Ok(())
    }

    /// All entries of a ledger that was opened for writing: everything that must be there is, in its place, and nothing
    /// else but what may be. From now on it must stay.
    pub(super) fn settle(&mut self, events: &[Event]) -> Result {
        self.check_chain(events)?;
        self.check_erased(events)?;
        for (&seq, kept) in &self.kept {
            let event = events.get(seq as usize);
            ensure!(
                event.map(Kept::from) == Some(*kept),
                "entry {seq} is lost: {kept:?} where there is {event:?}"
            );
        }
        let mut there: HashMap<usize, Vec<(usize, u64)>> = HashMap::new();
        for event in events {
            if let Some((batch, at)) = self.place(event)? {
                there.entry(batch).or_default().push((at, event.envelope.seq));
                self.placed.insert(event.envelope.seq, (batch, at));
            }
            self.kept.insert(event.envelope.seq, event.into());
        }
        for (number, batch) in self.batches.iter_mut().enumerate() {
            let Some(found) = there.get(&number) else {
                ensure!(
                    !matches!(batch.fate, Fate::Kept(_)),
                    "a batch that was acknowledged is gone: {batch:?}"
                );
                batch.fate = Fate::Absent;
                continue;
            };
            let first = found[0].1;
            let whole = (0..batch.drafts.len()).map(|at| (at, first + at as u64));
            ensure!(
                whole.eq(found.iter().copied()),
                "a batch of {} is there in part, or twice: {found:?}",
                batch.drafts.len()
            );
            batch.fate = Fate::Kept(first);
        }
        Ok(())
    }

    /// The draft that an event is, and whether it may be there. None: it is one of the host's own.
    fn place(&self, event: &Event) -> Result<Option<(usize, usize)>> {
        let envelope = &event.envelope;
        let seq = envelope.seq;
        if envelope.kind.is_reserved() {
            return Ok(None);
        }
        let known = self.placed.get(&seq).filter(|_| event.content == Content::Erased);
        let plaintext = event.body().and_then(|body| body.to_bytes().ok()).unwrap_or_default();
        let Some(&(batch, at)) = known.or_else(|| self.by_plaintext.get(&plaintext)) else {
            return Err(format!("entry {seq} was never submitted: {event:?}"));
        };
        let Batch { drafts, fate } = &self.batches[batch];
        let draft = &drafts[at];
        ensure!(
            (&draft.scope, &draft.actor, &draft.kind, &draft.evidence)
                == (&envelope.scope, &envelope.actor, &envelope.kind, &envelope.evidence),
            "entry {seq} is not what was submitted: {event:?} from {draft:?}"
        );
        ensure!(
            *fate != Fate::Absent,
            "entry {seq} is there, and was said not to be: {event:?}"
        );
        Ok(Some((batch, at)))
    }

    /// Positions, scopes' chains, names and times.
    fn check_chain(&self, events: &[Event]) -> Result {
        let mut scopes: HashMap<&Scope, (u32, Hash)> = HashMap::new();
        let mut last = None;
        for (seq, event) in events.iter().enumerate() {
            let e = &event.envelope;
            ensure!(e.seq == seq as u64, "entry {} stands at {seq}", e.seq);
            let chain = scopes.entry(&e.scope).or_insert((0, Hash::of_nothing()));
            ensure!((e.nth, e.prev) == *chain, "entry {seq} breaks the chain of {}", e.scope);
            *chain = (e.nth + 1, event.hash);
            ensure!(
                last < Some((e.ts, e.id)) && last.is_none_or(|(_, id)| id < e.id),
                "entry {seq} goes back in time"
            );
            last = Some((e.ts, e.id));
        }
        Ok(())
    }

    /// A checkpoint was seen: its signature is good, and it is the only one of its size.
    pub(super) fn signed(&mut self, note: &[u8], keys: &VerifierKeys) -> Result {
        let checkpoint = keys.open(note).map_err(|e| format!("a checkpoint that is none: {e}"))?;
        let known = *self.roots.entry(checkpoint.size).or_insert(checkpoint.root);
        ensure!(
            known == checkpoint.root,
            "two roots were signed at {} entries",
            checkpoint.size
        );
        Ok(())
    }

    /// Every root that was signed is the root of what is there at its size. Returns the root of all that is there.
    pub(super) fn check_roots(&self) -> Result<Hash> {
        let mut frontier = Frontier::new();
        let mut roots = self.roots.iter().peekable();
        for kept in self.kept.values() {
            frontier.push(kept.hash);
            if let Some((size, root)) = roots.next_if(|(size, _)| **size == frontier.size()) {
                ensure!(
                    *root == frontier.root(),
                    "the root that was signed at {size} entries is not the ledger's"
                );
            }
        }
        ensure!(
            roots.peek().is_none(),
            "a root was signed over more than the ledger holds: {roots:?}"
        );
        Ok(frontier.root())
    }

    /// What a reader says of entries that must be there, where the ledger was damaged: the entry or an error, or
    /// nothing if `named`, but never another entry.
    pub(super) fn check_damaged(&self, reader: &LedgerReader, named: bool) -> Result {
        for (&seq, kept) in &self.kept {
            match reader.event(seq) {
                Ok(Some(event)) => ensure!(
                    Kept::from(&event) == *kept && self.place(&event).is_ok(),
                    "a reader served another entry {seq}: {event:?}"
                ),
                Ok(None) => ensure!(named, "entry {seq} is missing, and nothing says so"),
                Err(_) => {}
            }
        }
        let head = reader.head();
        if head > self.next() {
            return Err(format!("{head} entries where there are {}", self.next()));
        }
        Ok(())
    }
}

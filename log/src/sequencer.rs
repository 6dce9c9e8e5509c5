//! Gives entries their place: one thread at a time assigns positions, has them staged, writes and syncs.

// Long because what one commit does, in the order that durability rests on.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError},
};

use quipu_format::{Actor, Body, Envelope, Hash, KeyTree, Kind, Scope, leaf_hash, limits};
use serde_json::json;
use tokio::sync::oneshot;

use crate::{
    Draft, Error, ErrorKind, LedgerReader, Receipt, Result,
    draft::Prepared,
    keyfile::KeyFile,
    reader::ReadState,
    remembered::Remembered,
    segment::ActiveSegment,
    staging::{Chain, Entry, Helper, KEPT_BYTES, Part},
    stamps::{Disagreement, Stamps},
};

/// Drafts that are appended together or not at all, and who waits for them.
pub(crate) struct Request {
    pub(crate) drafts: Vec<Prepared>,
    pub(crate) reply: oneshot::Sender<Result<Vec<Receipt>>>,
}

impl Request {
    /// Upper bound of the bytes that it adds to a commit.
    pub(crate) fn bytes(&self) -> usize {
        self.drafts.iter().map(|draft| draft.line_bytes).sum()
    }
}

/// Bytes of a `quipu.clock` entry, at most.
const CLOCK_BYTES: usize = 2 << 10;
/// Scopes whose chain is held ready from one commit to the next; each takes up to 2 KiB.
const HOT_SCOPES: usize = 4_096;
/// Entries from which on a commit is staged by two threads: below, waking the other one takes longer than it saves.
const SHARED_ENTRIES: usize = 48;

/// The one place where entries come into being.
pub(crate) struct Sequencer {
    state: Arc<ReadState>,
    keyfile: KeyFile,
    active: ActiveSegment,
    stamps: Stamps,
    remembered: Remembered,
    /// Where in `hot` a scope is.
    slots: HashMap<Scope, usize>,
    hot: Vec<Hot>,
    next: u64,
    batch: Batch,
    helper: Option<Helper>,
    /// A write or sync failed: nothing is known of the disk any more, and only opening again tells.
    broken: Option<Error>,
}

/// A scope that was written lately.
struct Hot {
    /// Entries, those of the commit that is being made among them.
    count: u32,
    /// At home between commits.
    chain: Chain,
    /// During a commit: the part that has the chain, and its number there.
    lent: Option<(usize, usize)>,
}

/// What a commit consists of. Its memory is kept for the next one.
#[derive(Default)]
struct Batch {
    /// One for each thread that stages.
    parts: [Part; 2],
    /// The part of each entry and its number there, in the order of `seq`.
    order: Vec<(usize, usize)>,
    /// Slots of scopes whose chains are in the parts.
    lent: Vec<usize>,
    /// The lines of both parts in the order of `seq`.
    joined: Vec<u8>,
    /// The second part may be used.
    shared: bool,
}

/// What becomes of a draft.
enum Fate {
    /// It is entry number `.0` of this commit.
    Placed(usize),
    /// It repeats entry number `.0` of this commit.
    Repeats(usize),
    /// It was appended before.
    Repeated(Receipt),
}

/// Who waits, and for what.
type Answer = (oneshot::Sender<Result<Vec<Receipt>>>, Result<Vec<Receipt>>);

/// What came of a commit.
#[must_use = "those who wait have not been answered"]
pub(crate) struct Outcome {
    answers: Vec<Answer>,
    /// Leaf hashes of the entries that came to be.
    pub(crate) leaves: Vec<Hash>,
}

impl Outcome {
    /// Tells those who wait.
    pub(crate) fn answer(self) {
        for (reply, answer) in self.answers {
            // Whoever waited may have gone: the entry stays.
            let _ = reply.send(answer);
        }
    }
}

impl Sequencer {
    pub(crate) fn new(
        state: Arc<ReadState>,
        keyfile: KeyFile,
        active: ActiveSegment,
        stamps: Stamps,
        remembered: Remembered,
    ) -> Self {
        let next = state.index.read().unwrap_or_else(PoisonError::into_inner).next();
        Self {
            state,
            keyfile,
            active,
            stamps,
            remembered,
            slots: HashMap::new(),
            hot: Vec::new(),
            next,
            batch: Batch::default(),
            helper: None,
            broken: None,
        }
    }

    /// Makes requests durable in one commit. Whoever waits for them is told by [`Outcome::answer`].
    pub(crate) fn commit(&mut self, requests: Vec<Request>) -> Outcome {
        if let Err(error) = self.prepare(&requests) {
            return Outcome {
                answers: requests.into_iter().map(|r| (r.reply, Err(error.clone()))).collect(),
                leaves: Vec::new(),
            };
        }
        let first = self.next;
        self.batch.shared = requests.iter().map(|request| request.drafts.len()).sum::<usize>() >= SHARED_ENTRIES;
        if let Some(disagreement) = self.stamps.look() {
            self.place_clock(disagreement);
        }
        let placed: Vec<_> = requests
            .into_iter()
            .map(|request| (request.reply, self.place_all(first, request.drafts)))
            .collect();
        let written = self.stage(first).and_then(|()| self.write());
        if let Err(error) = &written {
            self.broken = Some(error.clone());
        }
        let batch = &self.batch;
        let answers = placed.into_iter().map(|(reply, fates)| {
            let answer = fates.and_then(|fates| {
                written.clone()?;
                Ok(fates.into_iter().map(|fate| batch.receipt(fate)).collect())
            });
            (reply, answer)
        });
        let outcome = Outcome {
            answers: answers.collect(),
            leaves: written.map_or_else(|_| Vec::new(), |()| batch.entries().map(|entry| entry.hash).collect()),
        };
        self.clear();
        outcome
    }

    /// Ends what goes on beside the commits.
    pub(crate) fn close(&mut self) {
        self.helper = None;
        self.active.close();
    }

    /// All that may fail without anything being written to the log: room, and keys of new scopes.
    fn prepare(&mut self, requests: &[Request]) -> Result<()> {
        if let Some(error) = &self.broken {
            let message = format!("nothing of this was appended, for the ledger stopped earlier: {error}");
            return Err(Error::new(error.kind(), message));
        }
        let bytes = CLOCK_BYTES + requests.iter().map(Request::bytes).sum::<usize>();
        let rotated = self
            .active
            .make_room(bytes as u64, self.next)
            .map_err(|e| self.stop_unless_full(e))?;
        if rotated {
            let mut index = self.state.index.write().unwrap_or_else(PoisonError::into_inner);
            index.rotate(self.next, self.active.file.clone());
        }
        self.mint(requests).map_err(|e| self.stop_unless_full(e))
    }

    /// A full disk may have room again later. After any other failure only opening again tells what the disk holds: no
    /// sync that failed is tried a second time.
    fn stop_unless_full(&mut self, error: Error) -> Error {
        if error.kind() != ErrorKind::Full {
            self.broken = Some(error.clone());
        }
        error
    }

    /// Gives new scopes their root secret, durably: a scope's record precedes the first byte of its first entry.
    fn mint(&mut self, requests: &[Request]) -> Result<()> {
        let keys = self.state.keys.read().unwrap_or_else(PoisonError::into_inner);
        let scopes = requests
            .iter()
            .flat_map(|request| &request.drafts)
            .map(|draft| &draft.envelope.scope);
        // A scope that is hot has been written, so it has its secret.
        let unknown: HashSet<&Scope> = scopes
            .filter(|scope| !self.slots.contains_key(*scope) && !keys.trees.contains_key(*scope))
            .collect();
        drop(keys);
        if unknown.is_empty() {
            return Ok(());
        }
        let mut fresh = Vec::with_capacity(unknown.len());
        for scope in unknown {
            let mut root = zeroize::Zeroizing::new([0; 32]);
            getrandom::fill(&mut *root)
                .map_err(|e| Error::new(ErrorKind::Io, format!("the system gives no randomness for a key: {e}")))?;
            fresh.push((scope.clone(), KeyTree::new(*root)));
        }
        self.keyfile.add(&fresh)?;
        self.state
            .keys
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .trees
            .extend(fresh);
        Ok(())
    }

    /// Gives all drafts of a request their places or none.
    fn place_all(&mut self, first: u64, drafts: Vec<Prepared>) -> Result<Vec<Fate>> {
        let known = self.known(first, &drafts)?;
        if self.next + drafts.len() as u64 > limits::LAST_SEQ {
            return Err(Error::new(
                ErrorKind::TooLarge,
                "the ledger holds 2^53 entries and takes no more",
            ));
        }
        let mut slots = Vec::with_capacity(drafts.len());
        for Prepared { envelope, .. } in &drafts {
            let slot = self.slot(&envelope.scope);
            if u64::from(self.hot[slot].count) + drafts.len() as u64 > u64::from(limits::SCOPE_ENTRIES) {
                let message = format!("the scope {} holds 2^32 - 1 entries and takes no more", envelope.scope);
                return Err(Error::new(ErrorKind::TooLarge, message));
            }
            slots.push(slot);
        }
        let mut fates: Vec<Fate> = Vec::with_capacity(drafts.len());
        for ((draft, slot), known) in drafts.into_iter().zip(slots).zip(known) {
            fates.push(match known {
                Known::No => Fate::Placed(self.place(draft, slot)),
                Known::Is(fate) => fate,
                Known::Twin(twin) => match &fates[twin] {
                    Fate::Placed(number) | Fate::Repeats(number) => Fate::Repeats(*number),
                    Fate::Repeated(receipt) => Fate::Repeated(receipt.clone()),
                },
            });
        }
        Ok(fates)
    }

    /// What is known of each draft by its idempotency key.
    fn known(&self, first: u64, drafts: &[Prepared]) -> Result<Vec<Known>> {
        let mut known = Vec::with_capacity(drafts.len());
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
                (None, Some(seq)) if seq >= first => {
                    let number = (seq - first) as usize;
                    let entry = self.batch.entry(number);
                    if entry.body != draft.plaintext || !draft.says_the_same_as(&entry.envelope) {
                        return Err(draft.conflict());
                    }
                    Known::Is(Fate::Repeats(number))
                }
                (None, Some(seq)) => Known::Is(Fate::Repeated(self.repeat(seq, draft)?)),
                (None, None) => Known::No,
            });
        }
        Ok(known)
    }

    /// The receipt of an entry that was appended with the same key before this commit.
    fn repeat(&self, seq: u64, draft: &Prepared) -> Result<Receipt> {
        let bytes = LedgerReader {
            state: self.state.clone(),
        }
        .envelope_bytes(seq)?;
        let envelope = Envelope::parse(&bytes)?;
        let keys = self.state.keys.read().unwrap_or_else(PoisonError::into_inner);
        let Some(secret) = keys.secret_of(&envelope.scope, envelope.nth) else {
            let message = "the idempotency key was used before, for an entry whose content has been erased since";
            return Err(Error::new(ErrorKind::Redacted, message));
        };
        if quipu_format::commitment(&secret.salt, &draft.plaintext) != envelope.body
            || !draft.says_the_same_as(&envelope)
        {
            return Err(draft.conflict());
        }
        Ok(Receipt {
            seq,
            id: envelope.id,
            ts: envelope.ts,
            hash: leaf_hash(&bytes),
            repeated: true,
        })
    }

    /// Gives one entry its place. Returns its number in the commit.
    fn place(&mut self, draft: Prepared, slot: usize) -> usize {
        let Prepared {
            mut envelope,
            plaintext,
            ..
        } = draft;
        let hot = &mut self.hot[slot];
        (envelope.ts, envelope.id) = self.stamps.next();
        (envelope.seq, envelope.nth) = (self.next, hot.count);
        self.next += 1;
        hot.count += 1;
        if let Some(key) = envelope.key {
            self.remembered.insert(key, envelope.seq);
        }
        let Batch {
            parts,
            order,
            lent,
            shared,
            ..
        } = &mut self.batch;
        let (part, chain) = *hot.lent.get_or_insert_with(|| {
            // A chain stays in one part; a new one goes where there is less to do.
            let part = usize::from(*shared && parts[1].entries.len() < parts[0].entries.len());
            lent.push(slot);
            parts[part].chains.push(std::mem::take(&mut hot.chain));
            (part, parts[part].chains.len() - 1)
        });
        order.push((part, parts[part].entries.len()));
        parts[part].entries.push(Entry {
            envelope,
            body: plaintext,
            chain,
            hash: Hash([0; 32]),
            line: 0..0,
        });
        order.len() - 1
    }

    fn place_clock(&mut self, said: Disagreement) {
        let draft = (|| {
            let body = Body::new(None, "{}")?;
            let mut draft = Draft::new(
                Scope::ledger(),
                Actor::new("host:quipu")?,
                Kind::new("quipu.clock")?,
                body,
            );
            draft.sys = Some(json!({"clock": {"wall": said.wall, "expected": said.expected}}));
            let keys = self.state.keys.read().unwrap_or_else(PoisonError::into_inner);
            Prepared::new(draft, &keys.secret)
        })();
        match draft {
            Ok(draft) => {
                let slot = self.slot(&Scope::ledger());
                self.place(draft, slot);
            }
            Err(error) => tracing::warn!(%error, "a clock disagreement could not be recorded"),
        }
    }

    /// Chains, seals and hashes what has its place. If it fails the ledger contradicts itself, and nothing more is
    /// written.
    fn stage(&mut self, first: u64) -> Result<()> {
        let (parts, last) = (&mut self.batch.parts, self.next.saturating_sub(1));
        if parts[1].entries.is_empty() {
            return parts[0].stage(&self.state, first, last);
        }
        let helper = match &self.helper {
            Some(helper) => helper,
            None => self.helper.insert(Helper::start(self.state.clone())?),
        };
        helper.stage(parts, &self.state, first, last)
    }

    /// Writes and syncs the commit, then shows it to readers.
    fn write(&mut self) -> Result<()> {
        if self.batch.order.is_empty() {
            return Ok(());
        }
        let place = self.active.commit(self.batch.join()).map_err(|e| {
            let message = format!("{e}. Whether the entries of this commit are kept is unknown: open the ledger again, and repeat appends with the same idempotency keys");
            Error::new(ErrorKind::Unavailable, message)
        })?;
        let base = place.start as usize;
        let mut index = self.state.index.write().unwrap_or_else(PoisonError::into_inner);
        for Entry {
            envelope, hash, line, ..
        } in self.batch.entries()
        {
            index.push(envelope, *hash, base + line.start..base + line.end);
        }
        Ok(())
    }

    /// Ends a commit: chains go home.
    fn clear(&mut self) {
        let Batch {
            parts,
            order,
            lent,
            joined,
            ..
        } = &mut self.batch;
        for slot in lent.drain(..) {
            let hot = &mut self.hot[slot];
            if let Some((part, chain)) = hot.lent.take()
                && let Some(chain) = parts[part].chains.get_mut(chain)
            {
                hot.chain = std::mem::take(chain);
            }
        }
        order.clear();
        joined.clear();
        joined.shrink_to(KEPT_BYTES);
        parts.iter_mut().for_each(Part::clear);
        if self.hot.len() > HOT_SCOPES {
            self.hot.clear();
            self.slots.clear();
        }
    }

    /// The slot of a scope. All that is not hot is written, so the index knows it.
    fn slot(&mut self, scope: &Scope) -> usize {
        if let Some(slot) = self.slots.get(scope) {
            return *slot;
        }
        let index = self.state.index.read().unwrap_or_else(PoisonError::into_inner);
        let (count, last) = match index.scopes.get(scope) {
            Some(head) => (head.count, Some(head.last)),
            None => (0, None),
        };
        self.hot.push(Hot {
            count,
            chain: Chain {
                last,
                ..Chain::default()
            },
            lent: None,
        });
        self.slots.insert(scope.clone(), self.hot.len() - 1);
        self.hot.len() - 1
    }
}

/// What an idempotency key tells of a draft.
enum Known {
    No,
    /// It repeats the draft of that number in its request.
    Twin(usize),
    Is(Fate),
}

impl Batch {
    fn entry(&self, number: usize) -> &Entry {
        let (part, at) = self.order[number];
        &self.parts[part].entries[at]
    }

    /// In the order of `seq`.
    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.order.iter().map(|&(part, at)| &self.parts[part].entries[at])
    }

    /// All lines in the order of `seq`; each entry then says where its line is among them.
    fn join(&mut self) -> &[u8] {
        if self.parts[1].entries.is_empty() {
            return &self.parts[0].lines;
        }
        self.joined.clear();
        for &(part, at) in &self.order {
            let Part { entries, lines, .. } = &mut self.parts[part];
            let line = &mut entries[at].line;
            let start = self.joined.len();
            self.joined.extend_from_slice(&lines[line.clone()]);
            *line = start..self.joined.len();
        }
        &self.joined
    }

    fn receipt(&self, fate: Fate) -> Receipt {
        match fate {
            Fate::Placed(number) => self.entry(number).receipt(false),
            Fate::Repeats(number) => self.entry(number).receipt(true),
            Fate::Repeated(receipt) => receipt,
        }
    }
}

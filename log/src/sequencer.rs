//! Gives entries their place: one thread at a time assigns positions, has them staged, writes and syncs.

// Long because what one commit does, in the order that durability rests on.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, PoisonError},
};

use quipu_format::{Actor, Body, Envelope, Hash, KeyPath, KeyTree, Kind, Scope, leaf_hash, limits};
use serde_json::json;
use tokio::sync::oneshot;

use crate::{
    Draft, Error, ErrorKind, LedgerReader, Receipt, Result,
    draft::Prepared,
    keyfile::KeyFile,
    operators::Operators,
    random,
    reader::ReadState,
    remembered::Remembered,
    segment::ActiveSegment,
    staging::{Batch, Chain, Entry},
    stamps::{Disagreement, Stamps},
};

type Answer = Result<Vec<Receipt>>;

/// Drafts that are appended together or not at all, and who waits for them.
pub(crate) struct Request {
    pub(crate) drafts: Vec<Prepared>,
    pub(crate) reply: oneshot::Sender<Answer>,
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

/// The one place where entries come into being.
pub(crate) struct Sequencer {
    state: Arc<ReadState>,
    keyfile: KeyFile,
    active: ActiveSegment,
    stamps: Stamps,
    remembered: Remembered,
    operators: Operators,
    /// Which of the chains is a scope's.
    hot: HashMap<Scope, usize>,
    chains: Vec<Chain>,
    next: u64,
    batch: Batch,
    /// A write or sync failed: nothing is known of the disk any more, and only opening again tells.
    broken: Option<Error>,
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

/// What came of a commit.
#[must_use = "those who wait have not been answered"]
pub(crate) struct Outcome {
    answers: Vec<(oneshot::Sender<Answer>, Answer)>,
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
        operators: Operators,
    ) -> Self {
        let next = state.index.read().unwrap_or_else(PoisonError::into_inner).next();
        Self {
            state,
            keyfile,
            active,
            stamps,
            remembered,
            operators,
            hot: HashMap::new(),
            chains: Vec::new(),
            next,
            batch: Batch::default(),
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
        if let Some(disagreement) = self.stamps.look() {
            self.place_clock(disagreement);
        }
        let placed: Vec<_> = requests
            .into_iter()
            .map(|request| (request.reply, self.place_all(first, request.drafts)))
            .collect();
        let written = self.stage().and_then(|()| self.write());
        if let Err(error) = &written {
            self.broken = Some(error.clone());
        }
        let entries = &self.batch.entries;
        let answers = placed.into_iter().map(|(reply, fates)| {
            let answer = fates.and_then(|fates| {
                written.clone()?;
                Ok(fates.into_iter().map(|fate| receipt(entries, fate)).collect())
            });
            (reply, answer)
        });
        let outcome = Outcome {
            answers: answers.collect(),
            leaves: written.map_or_else(|_| Vec::new(), |()| entries.iter().map(|entry| entry.hash).collect()),
        };
        self.batch.clear();
        if self.chains.len() > HOT_SCOPES {
            self.hot.clear();
            self.chains.clear();
        }
        outcome
    }

    /// Writes the key file anew, as an erasure does.
    #[cfg(test)]
    pub(crate) fn rewrite_keys(&mut self, ledger: &crate::disk::Folder) -> Result<()> {
        let mut keys = self.state.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.generation += 1;
        self.keyfile = KeyFile::replace(ledger, &keys)?;
        Ok(())
    }

    /// Ends what goes on beside the commits.
    pub(crate) fn close(&mut self) {
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
        let unknown: BTreeSet<&Scope> = scopes
            .filter(|scope| !self.hot.contains_key(*scope) && !keys.trees.contains_key(*scope))
            .collect();
        drop(keys);
        if unknown.is_empty() {
            return Ok(());
        }
        let mut fresh = Vec::with_capacity(unknown.len());
        for scope in unknown {
            let mut root = zeroize::Zeroizing::new([0; 32]);
            random::fill(&mut *root)?;
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
        let fresh = drafts
            .iter()
            .zip(&known)
            .filter(|(_, known)| matches!(known, Known::No));
        self.operators
            .admit(fresh.map(|(draft, _)| &draft.envelope), self.next)?;
        if self.next + drafts.len() as u64 > limits::LAST_SEQ {
            return Err(Error::new(
                ErrorKind::TooLarge,
                "the ledger holds 2^53 entries and takes no more",
            ));
        }
        let mut chains = Vec::with_capacity(drafts.len());
        for Prepared { envelope, .. } in &drafts {
            let chain = self.chain(&envelope.scope);
            if u64::from(self.chains[chain].count) + drafts.len() as u64 > u64::from(limits::SCOPE_ENTRIES) {
                let message = format!("the scope {} holds 2^32 - 1 entries and takes no more", envelope.scope);
                return Err(Error::new(ErrorKind::TooLarge, message));
            }
            chains.push(chain);
        }
        let mut fates: Vec<Fate> = Vec::with_capacity(drafts.len());
        for ((draft, chain), known) in drafts.into_iter().zip(chains).zip(known) {
            fates.push(match known {
                Known::No => Fate::Placed(self.place(draft, chain)),
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
                    let entry = &self.batch.entries[number];
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
    fn place(&mut self, draft: Prepared, chain: usize) -> usize {
        let Prepared {
            mut envelope,
            plaintext,
            ..
        } = draft;
        let count = &mut self.chains[chain].count;
        (envelope.ts, envelope.id) = self.stamps.next();
        (envelope.seq, envelope.nth) = (self.next, *count);
        self.next += 1;
        *count += 1;
        if let Some(key) = envelope.key {
            self.remembered.insert(key, envelope.seq);
        }
        if envelope.kind.is_reserved()
            && let Err(error) = self.operators.take(&envelope)
        {
            // It was admitted just now.
            tracing::error!(%error, "an act was appended that does not count");
        }
        self.batch.entries.push(Entry {
            envelope,
            body: plaintext,
            chain,
            hash: Hash([0; 32]),
            line: 0..0,
        });
        self.batch.entries.len() - 1
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
                let chain = self.chain(&Scope::ledger());
                self.place(draft, chain);
            }
            Err(error) => tracing::warn!(%error, "a clock disagreement could not be recorded"),
        }
    }

    /// Seals, chains and hashes what has its place. If it fails the ledger contradicts itself, and nothing more is
    /// written.
    fn stage(&mut self) -> Result<()> {
        let keys = self.state.keys.read().unwrap_or_else(PoisonError::into_inner);
        self.batch.stage(&keys, &mut self.chains)
    }

    /// Writes and syncs the commit, then shows it to readers.
    fn write(&mut self) -> Result<()> {
        if self.batch.entries.is_empty() {
            return Ok(());
        }
        let place = self.active.commit(&self.batch.lines).map_err(|e| {
            let message = format!("{e}. Whether the entries of this commit are kept is unknown: open the ledger again, and repeat appends with the same idempotency keys");
            Error::new(ErrorKind::Unavailable, message)
        })?;
        let base = place.start as usize;
        let mut index = self.state.index.write().unwrap_or_else(PoisonError::into_inner);
        for Entry {
            envelope, hash, line, ..
        } in &self.batch.entries
        {
            index.push(envelope, *hash, base + line.start..base + line.end);
        }
        Ok(())
    }

    /// The number of a scope's chain. All of a scope that is not hot is written, so the index knows it.
    fn chain(&mut self, scope: &Scope) -> usize {
        if let Some(chain) = self.hot.get(scope) {
            return *chain;
        }
        let index = self.state.index.read().unwrap_or_else(PoisonError::into_inner);
        let (count, last) = match index.scopes.get(scope) {
            Some(head) => (head.count, head.last),
            None => (0, Hash::of_nothing()),
        };
        self.chains.push(Chain {
            count,
            last,
            path: KeyPath::default(),
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
    Is(Fate),
}

fn receipt(entries: &[Entry], fate: Fate) -> Receipt {
    match fate {
        Fate::Placed(number) => entries[number].receipt(false),
        Fate::Repeats(number) => entries[number].receipt(true),
        Fate::Repeated(receipt) => receipt,
    }
}

//! Gives entries their place: one thread at a time assigns positions, chains, seals, hashes, writes and syncs.

// Long because what one commit does, in the order that durability rests on.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Range,
    sync::{Arc, PoisonError},
};

use quipu_format::{Actor, Body, Envelope, Hash, KeyPath, KeyTree, Kind, Scope, encode_line, leaf_hash, limits};
use serde_json::json;
use tokio::sync::oneshot;

use crate::{
    Draft, Error, ErrorKind, LedgerReader, Receipt, Result,
    draft::Prepared,
    keyfile::KeyFile,
    random,
    reader::ReadState,
    remembered::Remembered,
    segment::ActiveSegment,
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
/// Scopes whose last entry and way down the key tree are held ready; each takes up to 2 KiB.
const HOT_SCOPES: usize = 4_096;

/// The one place where entries come into being.
pub(crate) struct Sequencer {
    state: Arc<ReadState>,
    keyfile: KeyFile,
    active: ActiveSegment,
    stamps: Stamps,
    remembered: Remembered,
    hot: HashMap<Scope, Hot>,
    next: u64,
    /// A write or sync failed: nothing is known of the disk any more, and only opening again tells.
    broken: Option<Error>,
}

/// A scope that was written lately.
struct Hot {
    count: u32,
    last: Hash,
    path: KeyPath,
}

/// An entry that has its place but is not written yet.
struct Staged {
    envelope: Envelope,
    bytes: Vec<u8>,
    sealed: Vec<u8>,
    hash: Hash,
}

/// What becomes of a draft.
enum Fate {
    /// It is entry number `.0` of this commit.
    Staged(usize),
    /// It was appended before.
    Repeated(Receipt),
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
            hot: HashMap::new(),
            next,
            broken: None,
        }
    }

    /// Makes requests durable in one commit, answers them, and returns the leaf hashes of the entries that came to be.
    pub(crate) fn commit(&mut self, requests: Vec<Request>) -> Vec<Hash> {
        if let Err(error) = self.prepare(&requests) {
            requests
                .into_iter()
                .for_each(|request| drop(request.reply.send(Err(error.clone()))));
            return Vec::new();
        }
        let mut staged = Vec::new();
        if let Some(disagreement) = self.stamps.look() {
            self.stage_clock(&mut staged, disagreement);
        }
        let fates: Vec<_> = requests
            .iter()
            .map(|request| self.stage_request(&mut staged, &request.drafts))
            .collect();
        let written = match &self.broken {
            Some(error) => Err(error.clone()),
            None => self.write(&staged),
        };
        if let Err(error) = &written {
            self.broken = Some(error.clone());
        }
        for (request, fate) in requests.into_iter().zip(fates) {
            let answer = fate.and_then(|fates| {
                written.clone()?;
                Ok(fates.iter().map(|fate| receipt(&staged, fate)).collect())
            });
            // Whoever waited may have gone: the entry stays.
            let _ = request.reply.send(answer);
        }
        if written.is_err() {
            Vec::new()
        } else {
            staged.into_iter().map(|entry| entry.hash).collect()
        }
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
            .map_err(|e| match e.kind() {
                ErrorKind::Unavailable => self.broken.insert(e).clone(),
                _ => e,
            })?;
        if rotated {
            let mut index = self.state.index.write().unwrap_or_else(PoisonError::into_inner);
            index.rotate(self.next, self.active.file.clone());
        }
        self.mint(requests)
    }

    /// Gives new scopes their root secret, durably: a scope's record precedes the first byte of its first entry.
    fn mint(&mut self, requests: &[Request]) -> Result<()> {
        let keys = self.state.keys.read().unwrap_or_else(PoisonError::into_inner);
        let scopes = requests
            .iter()
            .flat_map(|request| &request.drafts)
            .map(|draft| &draft.draft.scope);
        let unknown: BTreeSet<&Scope> = scopes.filter(|scope| !keys.trees.contains_key(*scope)).collect();
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

    /// Stages all of a request or nothing of it.
    fn stage_request(&mut self, staged: &mut Vec<Staged>, drafts: &[Prepared]) -> Result<Vec<Fate>> {
        let mut fates: Vec<Option<Fate>> = Vec::with_capacity(drafts.len());
        for (i, draft) in drafts.iter().enumerate() {
            // A key that was used earlier in the same request is compared once that draft is staged.
            let twin = draft
                .key
                .and_then(|key| drafts[..i].iter().position(|other| other.key == Some(key)));
            match twin {
                Some(twin) if is_same(&drafts[twin], draft) => fates.push(None),
                Some(_) => return Err(conflict(draft)),
                None => fates.push(self.repeat(staged, draft)?.map(Fate::Repeated)),
            }
        }
        self.check_counts(drafts)?;
        let mut first: HashMap<_, Receipt> = HashMap::new();
        let mut done = Vec::with_capacity(drafts.len());
        for (draft, fate) in drafts.iter().zip(fates) {
            let twin = draft.key.and_then(|key| first.get(&key).cloned());
            let fate = match (fate, twin) {
                (Some(fate), _) => fate,
                (None, Some(twin)) => Fate::Repeated(Receipt { repeated: true, ..twin }),
                (None, None) => Fate::Staged(self.stage(staged, &draft.draft, &draft.plaintext, draft.key)?),
            };
            if let Some(key) = draft.key {
                first.entry(key).or_insert_with(|| receipt(staged, &fate));
            }
            done.push(fate);
        }
        Ok(done)
    }

    fn check_counts(&mut self, drafts: &[Prepared]) -> Result<()> {
        if self.next + drafts.len() as u64 > limits::LAST_SEQ {
            return Err(Error::new(
                ErrorKind::TooLarge,
                "the ledger holds 2^53 entries and takes no more",
            ));
        }
        for draft in drafts {
            let count = u64::from(self.hot(&draft.draft.scope).count);
            if count + drafts.len() as u64 > u64::from(limits::SCOPE_ENTRIES) {
                let message = format!(
                    "the scope {} holds 2^32 - 1 entries and takes no more",
                    draft.draft.scope
                );
                return Err(Error::new(ErrorKind::TooLarge, message));
            }
        }
        Ok(())
    }

    /// The receipt of the entry that was appended with the same key before, if there is one.
    fn repeat(&self, staged: &[Staged], draft: &Prepared) -> Result<Option<Receipt>> {
        let Some(seq) = draft.key.and_then(|key| self.remembered.get(&key)) else {
            return Ok(None);
        };
        let first = self.next - staged.len() as u64;
        let (envelope, hash) = match seq.checked_sub(first).and_then(|i| staged.get(i as usize)) {
            Some(entry) => (entry.envelope.clone(), entry.hash),
            None => {
                let bytes = LedgerReader {
                    state: self.state.clone(),
                }
                .envelope_bytes(seq)?;
                (Envelope::parse(&bytes)?, leaf_hash(&bytes))
            }
        };
        let keys = self.state.keys.read().unwrap_or_else(PoisonError::into_inner);
        let Some(secret) = keys.secret_of(&envelope.scope, envelope.nth) else {
            let message = "the idempotency key was used before, for an entry whose content has been erased since";
            return Err(Error::new(ErrorKind::Redacted, message));
        };
        let same = quipu_format::commitment(&secret.salt, &draft.plaintext) == envelope.body
            && envelope.kind == draft.draft.kind
            && envelope.evidence == draft.draft.evidence
            && envelope.supersedes == draft.draft.supersedes;
        if !same {
            return Err(conflict(draft));
        }
        Ok(Some(Receipt {
            seq,
            id: envelope.id,
            ts: envelope.ts,
            hash,
            repeated: true,
        }))
    }

    /// Gives one entry its place. Returns its number in the commit. It fails only where the ledger contradicts itself,
    /// and then nothing more is written.
    fn stage(
        &mut self,
        staged: &mut Vec<Staged>,
        draft: &Draft,
        plaintext: &[u8],
        key: Option<quipu_format::IdempotencyKey>,
    ) -> Result<usize> {
        let (ts, id) = self.stamps.next();
        let seq = self.next;
        let state = self.state.clone();
        let hot = self.hot(&draft.scope);
        let keys = state.keys.read().unwrap_or_else(PoisonError::into_inner);
        let Some(secret) = keys.secret_via(&draft.scope, hot.count, &mut hot.path) else {
            let message = format!("the keys of {} hold no secret for its entry {}", draft.scope, hot.count);
            drop(keys);
            return Err(self.refuse_all(Error::new(ErrorKind::Tampered, message)));
        };
        drop(keys);
        let (commitment, sealed) = quipu_format::seal(&secret, &draft.scope, hot.count, plaintext);
        let mut envelope = Envelope::new(
            seq,
            id,
            ts,
            draft.actor.clone(),
            draft.kind.clone(),
            draft.scope.clone(),
            hot.count,
            hot.last,
            commitment,
        );
        envelope.run = draft.run;
        envelope.evidence = draft.evidence.clone();
        envelope.supersedes = draft.supersedes.clone();
        envelope.key = key;
        envelope.sys = draft.sys.clone();
        // What goes into an envelope was bounded when the draft was prepared.
        let bytes = match envelope.to_bytes() {
            Ok(bytes) => bytes,
            Err(e) => return Err(self.refuse_all(Error::from(e).into_kind(ErrorKind::TooLarge))),
        };
        let hash = leaf_hash(&bytes);
        hot.count += 1;
        hot.last = hash;
        self.next += 1;
        if let Some(key) = key {
            self.remembered.insert(key, seq);
        }
        staged.push(Staged {
            envelope,
            bytes,
            sealed,
            hash,
        });
        Ok(staged.len() - 1)
    }

    fn refuse_all(&mut self, error: Error) -> Error {
        self.broken = Some(error.clone());
        error
    }

    fn stage_clock(&mut self, staged: &mut Vec<Staged>, said: Disagreement) {
        let draft = (|| {
            let body = Body::new(None, "{}")?;
            let mut draft = Draft::new(
                Scope::ledger(),
                Actor::new("host:quipu")?,
                Kind::new("quipu.clock")?,
                body,
            );
            draft.sys = Some(json!({"clock": {"wall": said.wall, "expected": said.expected}}));
            let plaintext = draft.body.to_bytes()?;
            self.stage(staged, &draft, &plaintext, None)
        })();
        if let Err(error) = draft {
            tracing::warn!(%error, "a clock disagreement could not be recorded");
        }
    }

    /// Writes and syncs the commit, then shows it to readers.
    fn write(&mut self, staged: &[Staged]) -> Result<()> {
        let (Some(first), Some(last)) = (staged.first(), staged.last()) else {
            return Ok(());
        };
        let (first, last) = (first.envelope.seq, last.envelope.seq);
        let mut bytes = Vec::new();
        let mut ranges = Vec::with_capacity(staged.len());
        for entry in staged {
            let start = bytes.len();
            encode_line(&mut bytes, &entry.bytes, &entry.sealed, first, last);
            ranges.push(start..bytes.len());
        }
        let place = self.active.commit(&bytes).map_err(|e| {
            let message = format!("{e}. Whether the entries of this commit are kept is unknown: open the ledger again, and repeat appends with the same idempotency keys");
            Error::new(ErrorKind::Unavailable, message)
        })?;
        let base = place.start as usize;
        let mut index = self.state.index.write().unwrap_or_else(PoisonError::into_inner);
        for (entry, Range { start, end }) in staged.iter().zip(ranges) {
            index.push(&entry.envelope, entry.hash, base + start..base + end);
        }
        Ok(())
    }

    fn hot(&mut self, scope: &Scope) -> &mut Hot {
        if self.hot.len() > HOT_SCOPES && !self.hot.contains_key(scope) {
            // Entries that are staged now are not in the index yet, so only what is written may be forgotten.
            let index = self.state.index.read().unwrap_or_else(PoisonError::into_inner);
            let written =
                |scope: &Scope, hot: &Hot| index.scopes.get(scope).is_some_and(|head| head.count == hot.count);
            self.hot.retain(|scope, hot| !written(scope, hot));
        }
        self.hot.entry(scope.clone()).or_insert_with(|| {
            let index = self.state.index.read().unwrap_or_else(PoisonError::into_inner);
            let (count, last) = match index.scopes.get(scope) {
                Some(head) => (head.count, head.last),
                None => (0, Hash::of_nothing()),
            };
            Hot {
                count,
                last,
                path: KeyPath::default(),
            }
        })
    }
}

fn receipt(staged: &[Staged], fate: &Fate) -> Receipt {
    match fate {
        Fate::Repeated(receipt) => receipt.clone(),
        Fate::Staged(at) => {
            let Staged { envelope, hash, .. } = &staged[*at];
            Receipt {
                seq: envelope.seq,
                id: envelope.id,
                ts: envelope.ts,
                hash: *hash,
                repeated: false,
            }
        }
    }
}

fn is_same(a: &Prepared, b: &Prepared) -> bool {
    a.plaintext == b.plaintext
        && a.draft.kind == b.draft.kind
        && a.draft.evidence == b.draft.evidence
        && a.draft.supersedes == b.draft.supersedes
}

fn conflict(draft: &Prepared) -> Error {
    let key = draft.draft.key.as_deref().unwrap_or_default();
    let message = format!(
        "the idempotency key {key:?} was used before in {} by {} with other content: use another key for another entry",
        draft.draft.scope, draft.draft.actor
    );
    Error::new(ErrorKind::Conflict, message)
}

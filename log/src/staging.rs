//! What is done to each entry of a commit once it has its place: sealing, chaining, hashing, writing its line. It needs
//! nothing but the keys and the end of the scope's chain. The line ends with the commit's range, known when it is whole.

use std::ops::Range;

use quipu_format::{
    Envelope, Erasure, EventId, Hash, IdempotencyKey, KeyPath, Scope, end_line, leaf_hash, push_sealed, seal_in_place,
};

use crate::{Error, ErrorKind, Receipt, Result, keyfile::Keys, quotas::Allowed, recent::Listed};

/// Bytes of memory for lines that are kept from one commit to the next.
const KEPT_BYTES: usize = 4 << 20;

/// An entry that is staged. Its envelope is among the staged bytes.
pub(crate) struct Entry {
    seq: u64,
    id: EventId,
    scope: Scope,
    nth: u32,
    key: Option<IdempotencyKey>,
    erases: bool,
    /// Its bytes, as quotas count them.
    bytes: u32,
    /// Its leaf hash.
    pub(crate) hash: Hash,
    /// Where its line begins and ends: among the lines as far as they are staged, and once they are finished, among
    /// what is written.
    pub(crate) line: Range<usize>,
}

impl Entry {
    /// What the index takes of it.
    pub(crate) fn listed(&self) -> Listed<'_> {
        Listed {
            seq: self.seq,
            id: self.id,
            scope: &self.scope,
            nth: self.nth,
            key: self.key,
            erases: self.erases,
            hash: self.hash,
            bytes: self.bytes,
        }
    }
}

/// Where a scope stands.
pub(crate) struct Chain {
    /// Entries that have their place, those that are staged among them.
    pub(crate) count: u32,
    /// Leaf hash of the last one.
    pub(crate) last: Hash,
    /// The way down the scope's key tree to that entry.
    pub(crate) path: KeyPath,
    /// Bytes of those entries, as quotas count them.
    pub(crate) bytes: u64,
    /// What holds for the scope.
    pub(crate) quota: Allowed,
}

/// The entries of a commit, in the order of `seq`. Its memory is kept for a later one.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) entries: Vec<Entry>,
    /// Envelope and sealed body of each.
    staged: Vec<u8>,
    /// What is written to the log.
    pub(crate) lines: Vec<u8>,
}

impl Batch {
    /// Adds the entry that comes next: seals `body` in place, and fills in the envelope. It fails only where the ledger
    /// contradicts itself.
    pub(crate) fn stage(
        &mut self,
        keys: &Keys,
        chain: &mut Chain,
        envelope: &mut Envelope,
        body: &mut Vec<u8>,
    ) -> Result<Receipt> {
        let Some(secret) = keys.secret_via(&envelope.scope, envelope.nth, &mut chain.path) else {
            let message = format!(
                "the keys of {} hold no secret for its entry {}",
                envelope.scope, envelope.nth
            );
            return Err(Error::new(ErrorKind::Tampered, message));
        };
        envelope.prev = chain.last;
        envelope.body = seal_in_place(&secret, &envelope.scope, envelope.nth, body);
        let start = self.staged.len();
        // What goes into an envelope was bounded when the draft was prepared.
        envelope
            .write_to(&mut self.staged)
            .map_err(|e| Error::from(e).into_kind(ErrorKind::TooLarge))?;
        let hash = leaf_hash(&self.staged[start..]);
        chain.last = hash;
        push_sealed(&mut self.staged, body);
        let bytes = self.staged.len() - start;
        chain.bytes += bytes as u64;
        self.entries.push(Entry {
            seq: envelope.seq,
            id: envelope.id,
            scope: envelope.scope.clone(),
            nth: envelope.nth,
            key: envelope.key,
            erases: envelope.kind.as_str() == Erasure::KIND,
            bytes: bytes as u32,
            hash,
            line: start..self.staged.len(),
        });
        Ok(Receipt {
            seq: envelope.seq,
            id: envelope.id,
            ts: envelope.ts,
            hash,
            repeated: false,
        })
    }

    /// The first position.
    pub(crate) fn first(&self) -> Option<u64> {
        self.entries.first().map(|entry| entry.seq)
    }

    /// The envelope's bytes of the entry at a position, where it is one of these and they are not finished.
    pub(crate) fn envelope_bytes(&self, seq: u64) -> Option<&[u8]> {
        let number = seq.checked_sub(self.first()?)?;
        let entry = self.entries.get(usize::try_from(number).ok()?)?;
        self.staged[entry.line.clone()].split(|&byte| byte == b'\t').next()
    }

    /// Ends all lines: no entry is added any more.
    pub(crate) fn finish(&mut self) {
        let (Some(first), Some(last)) = (self.first(), self.entries.last().map(|entry| entry.seq)) else {
            return;
        };
        for entry in &mut self.entries {
            let start = self.lines.len();
            self.lines.extend_from_slice(&self.staged[entry.line.clone()]);
            end_line(&mut self.lines, start, first, last);
            entry.line = start..self.lines.len();
        }
    }

    /// Empties it, keeping the memory.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        for bytes in [&mut self.staged, &mut self.lines] {
            bytes.clear();
            bytes.shrink_to(KEPT_BYTES);
        }
    }
}

//! What is done to each entry of a commit once it has its place: sealing, chaining, hashing, writing its line. It needs
//! nothing but the keys and the ends of the scopes' chains.

use std::ops::Range;

use quipu_format::{Envelope, Hash, KeyPath, end_line, leaf_hash, seal_in_place};

use crate::{Error, ErrorKind, Receipt, Result, keyfile::Keys};

/// Bytes of memory for lines that are kept from one commit to the next.
const KEPT_BYTES: usize = 4 << 20;

/// An entry that has its place.
pub(crate) struct Entry {
    /// `prev` and `body` come with staging.
    pub(crate) envelope: Envelope,
    /// The plaintext, and after staging the sealed body.
    pub(crate) body: Vec<u8>,
    /// Number of its scope's chain.
    pub(crate) chain: usize,
    /// After staging: its leaf hash.
    pub(crate) hash: Hash,
    /// After staging: its line among the commit's.
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
pub(crate) struct Chain {
    /// Entries that have their place, those of the commit that is being made among them.
    pub(crate) count: u32,
    /// Leaf hash of the last one that is staged.
    pub(crate) last: Hash,
    /// The way down the scope's key tree to that entry.
    pub(crate) path: KeyPath,
}

/// The entries of a commit, in the order of `seq`. Its memory is kept for the next one.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) entries: Vec<Entry>,
    /// What is written to the log.
    pub(crate) lines: Vec<u8>,
}

impl Batch {
    /// Stages all entries. It fails only where the ledger contradicts itself.
    pub(crate) fn stage(&mut self, keys: &Keys, chains: &mut [Chain]) -> Result<()> {
        let (Some(first), Some(last)) = (self.entries.first(), self.entries.last()) else {
            return Ok(());
        };
        let (first, last) = (first.envelope.seq, last.envelope.seq);
        for entry in &mut self.entries {
            let (envelope, chain) = (&mut entry.envelope, &mut chains[entry.chain]);
            let Some(secret) = keys.secret_via(&envelope.scope, envelope.nth, &mut chain.path) else {
                let message = format!(
                    "the keys of {} hold no secret for its entry {}",
                    envelope.scope, envelope.nth
                );
                return Err(Error::new(ErrorKind::Tampered, message));
            };
            envelope.prev = chain.last;
            envelope.body = seal_in_place(&secret, &envelope.scope, envelope.nth, &mut entry.body);
            let start = self.lines.len();
            // What goes into an envelope was bounded when the draft was prepared.
            envelope
                .write_to(&mut self.lines)
                .map_err(|e| Error::from(e).into_kind(ErrorKind::TooLarge))?;
            entry.hash = leaf_hash(&self.lines[start..]);
            chain.last = entry.hash;
            end_line(&mut self.lines, start, &entry.body, first, last);
            entry.line = start..self.lines.len();
        }
        Ok(())
    }

    /// Empties it, keeping the memory for the next commit.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.lines.clear();
        self.lines.shrink_to(KEPT_BYTES);
    }
}

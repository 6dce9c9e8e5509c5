//! The keys that a ledger was signed with, one after the other: the first entry names the first, an entry `quipu.key` the
//! one that comes after it, and where a copy went on under another name, an entry says from which key and checkpoint.
//! docs/FORMAT.md, "Rotation of keys" and "Copies".

use quipu_format::{Checkpoint, Envelope, VerifierKey, tree::Frontier};

use crate::{rotation, verifier_keys::VerifierKeys};

/// Kind of the entry that a copy goes on with.
pub(crate) const FORK: &str = "quipu.fork";

#[derive(Default)]
pub(crate) struct Lineage {
    /// The keys since the ledger has its name, as far as they are known, and where the newest was named.
    keys: Option<(VerifierKeys, u64)>,
    /// Entries that may have named one could not be read.
    gap: bool,
}

impl Lineage {
    /// Passes over entries that cannot be read.
    pub(crate) fn pass(&mut self) {
        (self.keys, self.gap) = (None, true);
    }

    /// Looks at the next entry; `before` is the tree of those before it. Returns what is wrong with it, if it names a key.
    pub(crate) fn take(&mut self, envelope: &Envelope, before: &Frontier) -> Result<(), String> {
        let Some(sys) = &envelope.sys else { return Ok(()) };
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let known = self.keys.as_ref().map(|(keys, _)| keys);
        if envelope.seq == 0 {
            let key: Option<VerifierKey> = text(&sys["genesis"]["verifierKey"]).and_then(|key| key.parse().ok());
            self.keys = key.map(|key| (key.into(), 0));
        } else if envelope.kind.as_str() == FORK {
            let fork = &sys["fork"];
            let from: Option<VerifierKey> = text(&fork["from"]["verifierKey"]).and_then(|key| key.parse().ok());
            let fits = match known {
                Some(known) => from.as_ref() == Some(&**known),
                None => from.is_some() && self.gap,
            };
            if !fits {
                return Err("it goes on from another key than the ledger had".into());
            }
            let note = fork["from"]["checkpoint"].as_str().unwrap_or_default();
            let checkpoint = from.and_then(|key| Checkpoint::open(note.as_bytes(), &key).ok());
            if !checkpoint.is_some_and(|c| c.size == before.size() && c.root == before.root()) {
                return Err("it goes on from a checkpoint that the entries before it do not give".into());
            }
            let key: Option<VerifierKey> = text(&fork["verifierKey"]).and_then(|key| key.parse().ok());
            self.keys = key.map(|key| (key.into(), envelope.seq));
        } else if let Some(next) = rotation::successor(envelope, known.map(|known| &**known))? {
            let keys = known.map(|known| known.followed_by(next, envelope.seq));
            let keys = keys.map(|keys| keys.ok_or("it names a key that cannot come after the one before"));
            self.keys = keys.transpose()?.map(|keys| (keys, envelope.seq));
        }
        Ok(())
    }

    /// Where the last key was named, if the ledger's keys are others. One rotation of which no checkpoint covers the entry
    /// is not finished: the next open finishes it. `live`: there may have been several since the keys were read.
    pub(crate) fn refuse(&self, keys: &VerifierKeys, covered: u64, live: bool) -> Option<u64> {
        match &self.keys {
            Some((named, _)) if named == keys => None,
            Some((named, _)) if named.since(keys, covered).is_some_and(|later| live || later == 1) => None,
            None if self.gap => None,
            named => Some(named.as_ref().map_or(0, |(_, seq)| *seq)),
        }
    }
}

//! The keys that a ledger was signed with, one after the other: the first entry names the first, and where a copy went on
//! under another name, an entry says from which key and checkpoint. docs/FORMAT.md, "Copies".

use quipu_format::{Checkpoint, Envelope, VerifierKey, tree::Frontier};

/// Kind of the entry that a copy goes on with.
pub(crate) const FORK: &str = "quipu.fork";

#[derive(Default)]
pub(crate) struct Lineage {
    /// The key that was named last, and where.
    key: Option<(String, u64)>,
    /// Entries that may have named one could not be read.
    gap: bool,
}

impl Lineage {
    /// Passes over entries that cannot be read.
    pub(crate) fn pass(&mut self) {
        (self.key, self.gap) = (None, true);
    }

    /// Looks at the next entry; `before` is the tree of those before it. Returns what is wrong with it, if it names a key.
    pub(crate) fn take(&mut self, envelope: &Envelope, before: &Frontier) -> Result<(), String> {
        let Some(sys) = &envelope.sys else { return Ok(()) };
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        if envelope.seq == 0 {
            self.key = text(&sys["genesis"]["verifierKey"]).map(|key| (key, 0));
        } else if envelope.kind.as_str() == FORK {
            let fork = &sys["fork"];
            let from = text(&fork["from"]["verifierKey"]);
            let known = self.key.as_ref().map(|(key, _)| key);
            if from.is_none() || from.as_ref() != known && !(known.is_none() && self.gap) {
                return Err("it goes on from another key than the ledger had".into());
            }
            let key: Option<VerifierKey> = from.and_then(|key| key.parse().ok());
            let note = fork["from"]["checkpoint"].as_str().unwrap_or_default();
            let checkpoint = key.and_then(|key| Checkpoint::open(note.as_bytes(), &key).ok());
            if !checkpoint.is_some_and(|c| c.size == before.size() && c.root == before.root()) {
                return Err("it goes on from a checkpoint that the entries before it do not give".into());
            }
            self.key = text(&fork["verifierKey"]).map(|key| (key, envelope.seq));
        }
        Ok(())
    }

    /// Where the last key was named, if it is not the ledger's.
    pub(crate) fn refuse(&self, key: &VerifierKey) -> Option<u64> {
        match &self.key {
            Some((named, _)) if *named == key.to_string() => None,
            None if self.gap => None,
            named => Some(named.as_ref().map_or(0, |(_, seq)| *seq)),
        }
    }
}

//! A fact as its statements make it.

use std::collections::BTreeSet;

use rusqlite::{Row, Transaction};

use crate::{
    confidence::{Voice, hear, together},
    error::Result,
    hearing::Heard,
    limits,
    saying::{Saying, unpack_tags},
    schema::position,
    statements::Digest,
};

/// What the statements of one fact come to. The order in which they are added does not matter.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tally {
    pub(crate) slot: Option<Digest>,
    /// Set by whoever knows all the voices.
    pub(crate) confidence: f64,
    /// Events that state it; 0: nobody does, and it is no fact.
    pub(crate) count: u64,
    pub(crate) first_ms: u64,
    pub(crate) last_ms: u64,
    /// From when on nobody states it. `None`: for ever.
    pub(crate) expires_ms: Option<u64>,
    /// From when on fewer state it.
    pub(crate) changes_ms: Option<u64>,
    /// Its newest statement, whose wording it has.
    pub(crate) newest: u64,
    /// The last entry that has a say in it.
    pub(crate) decided: u64,
    /// Entries of other scopes would have a say in it.
    pub(crate) crosses: bool,
    pub(crate) tags: BTreeSet<String>,
}

impl Tally {
    /// Adds a statement. True: it is heard.
    pub(crate) fn add(&mut self, saying: &Saying, heard: &Heard) -> bool {
        self.decided = self.decided.max(heard.decided);
        self.crosses |= heard.more;
        let Some(states) = &saying.states else { return false };
        self.slot = states.slot;
        if heard.voices.is_empty() {
            return false;
        }
        let first = self.count == 0;
        self.count += 1;
        self.first_ms = if first {
            saying.time_ms
        } else {
            self.first_ms.min(saying.time_ms)
        };
        self.last_ms = self.last_ms.max(saying.time_ms);
        self.expires_ms = match (first, self.expires_ms, saying.expires_ms) {
            (true, _, expires) => expires,
            (false, Some(a), Some(b)) => Some(a.max(b)),
            _ => None,
        };
        self.changes_ms = match (self.changes_ms, saying.expires_ms) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.newest = self.newest.max(saying.seq);
        self.tags.extend(states.tags.iter().cloned());
        // The first in their order, so that which ones are kept does not depend on when they came.
        while self.tags.len() > limits::TAGS {
            self.tags.pop_last();
        }
        true
    }
}

/// The confidence of voices, each source once.
pub(crate) fn confidence(voices: &[Voice]) -> f64 {
    let mut confidences: Vec<_> = voices.iter().map(|voice| voice.confidence).collect();
    confidences.sort_by(|a, b| b.total_cmp(a));
    together(confidences)
}

/// A fact as the statements that are in sight make it, at an instant.
pub(crate) struct Tallied {
    pub(crate) tally: Tally,
    /// The statements that are heard, the oldest first.
    pub(crate) sayings: Vec<Saying>,
}

impl Tallied {
    /// Of statements and how each is heard, the oldest first; those that have expired by `now_ms` count for nothing.
    pub(crate) fn of(statements: impl IntoIterator<Item = (Saying, Heard)>, now_ms: Option<u64>) -> (Self, Vec<Voice>) {
        let mut tallied = Self {
            tally: Tally::default(),
            sayings: Vec::new(),
        };
        let mut voices = Vec::new();
        for (saying, heard) in statements {
            if saying
                .expires_ms
                .is_some_and(|expires| now_ms.is_some_and(|now| expires <= now))
            {
                continue;
            }
            if tallied.tally.add(&saying, &heard) {
                heard.voices.iter().for_each(|voice| hear(&mut voices, *voice));
                tallied.sayings.push(saying);
            }
        }
        tallied.tally.confidence = confidence(&voices);
        (tallied, voices)
    }
}

/// The row of a fact.
pub(crate) fn load(tx: &Transaction<'_>, fact: &Digest) -> Result<Option<Tally>> {
    let mut select = tx.prepare_cached("SELECT * FROM fact WHERE fact = ?1")?;
    let mut rows = select.query([fact])?;
    rows.next()?.map(tally).transpose()
}

/// A row of `fact`.
pub(crate) fn tally(row: &Row<'_>) -> Result<Tally> {
    let instant = |name| row.get::<_, Option<i64>>(name)?.map(position).transpose();
    Ok(Tally {
        slot: row.get("slot")?,
        confidence: row.get("confidence")?,
        count: position(row.get("count")?)?,
        first_ms: position(row.get("first_ms")?)?,
        last_ms: position(row.get("last_ms")?)?,
        expires_ms: instant("expires_ms")?,
        changes_ms: instant("changes_ms")?,
        newest: position(row.get("newest")?)?,
        decided: position(row.get("decided")?)?,
        crosses: row.get("crosses")?,
        tags: unpack_tags(&row.get::<_, String>("tags")?)?,
    })
}

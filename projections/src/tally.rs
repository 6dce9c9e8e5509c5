//! A fact as its statements make it.

use std::collections::BTreeSet;

use rusqlite::{Row, Transaction, params};

use crate::{
    confidence::Voices,
    error::Result,
    hearing::Heard,
    limits,
    schema::position,
    statements::Digest,
    stating::{Stating, unpack_tags},
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
    fn add(&mut self, stating: &Stating, heard: &Heard) -> bool {
        self.decided = self.decided.max(heard.decided);
        self.crosses |= heard.more;
        if heard.voices.is_empty() {
            return false;
        }
        let first = self.count == 0;
        self.count += 1;
        self.first_ms = if first {
            stating.time_ms
        } else {
            self.first_ms.min(stating.time_ms)
        };
        self.last_ms = self.last_ms.max(stating.time_ms);
        self.expires_ms = match (first, self.expires_ms, stating.expires_ms) {
            (true, _, expires) => expires,
            (false, Some(a), Some(b)) => Some(a.max(b)),
            _ => None,
        };
        self.changes_ms = match (self.changes_ms, stating.expires_ms) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.newest = self.newest.max(stating.seq);
        self.tags.extend(stating.tags.iter().cloned());
        // The first in their order, so that which ones are kept does not depend on when they came.
        while self.tags.len() > limits::TAGS {
            self.tags.pop_last();
        }
        true
    }
}

/// A fact as statements make it, and who is heard in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tallied {
    pub(crate) tally: Tally,
    pub(crate) voices: Voices,
}

impl Tallied {
    /// Of no statement yet. What a fact's key is its row says.
    pub(crate) fn new(slot: Option<Digest>) -> Self {
        let mut this = Self::default();
        this.tally.slot = slot;
        this
    }

    /// Adds a statement. True: it is heard.
    pub(crate) fn add(&mut self, stating: &Stating, heard: &Heard) -> bool {
        let is_heard = self.tally.add(stating, heard);
        if is_heard {
            heard.voices.iter().for_each(|voice| self.voices.hear(*voice));
        }
        is_heard
    }

    /// The same with the confidence that follows from the voices.
    pub(crate) fn settled(mut self) -> Self {
        self.tally.confidence = self.voices.confidence();
        self
    }
}

/// The row of a fact of a scope.
pub(crate) fn load(tx: &Transaction<'_>, scope: i64, fact: &Digest) -> Result<Option<Tallied>> {
    let mut select = tx.prepare_cached("SELECT * FROM fact WHERE scope = ?1 AND fact = ?2")?;
    let mut rows = select.query(params![scope, fact])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(Tallied {
        tally: tally(row)?,
        voices: Voices::unpacked(row.get_ref(13)?.as_blob()?)?,
    }))
}

/// A row of `fact`, all of its columns. They are asked for by number: by name costs more than the rest.
pub(crate) fn tally(row: &Row<'_>) -> Result<Tally> {
    let instant = |column| row.get::<_, Option<i64>>(column)?.map(position).transpose();
    Ok(Tally {
        slot: row.get(2)?,
        confidence: row.get(3)?,
        count: position(row.get(4)?)?,
        first_ms: position(row.get(5)?)?,
        last_ms: position(row.get(6)?)?,
        expires_ms: instant(7)?,
        changes_ms: instant(8)?,
        newest: position(row.get(9)?)?,
        decided: position(row.get(10)?)?,
        crosses: row.get(11)?,
        tags: unpack_tags(row.get_ref(12)?.as_str()?)?,
    })
}

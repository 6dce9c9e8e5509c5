//! Who says something, and how sure: a row for each statement, and for each event that a statement rests on.

use rusqlite::{OptionalExtension, Row, Transaction, params};

use crate::{
    error::Result,
    schema::{number, position},
    statements::{Digest, Said},
};

/// What of an event is heard; see [`Said`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Saying {
    pub(crate) seq: u64,
    pub(crate) scope: i64,
    pub(crate) run: Option<[u8; 16]>,
    pub(crate) source: Digest,
    pub(crate) confidence: f64,
    /// What it states.
    pub(crate) states: Option<States>,
}

/// The fact that a statement states, and its text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct States {
    pub(crate) fact: Digest,
    pub(crate) text: Digest,
}

impl Saying {
    pub(crate) fn new(scope: i64, seq: u64, run: Option<[u8; 16]>, said: &Said) -> Self {
        Self {
            seq,
            scope,
            run,
            source: said.source,
            confidence: said.confidence,
            states: said.states.as_ref().map(|states| States {
                fact: states.fact,
                text: states.text,
            }),
        }
    }

    pub(crate) fn insert(&self, tx: &Transaction<'_>) -> Result<()> {
        tx.prepare_cached("INSERT OR IGNORE INTO saying VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
            .execute(params![
                number(self.seq),
                self.scope,
                self.run,
                self.source,
                self.confidence,
                self.states.map(|states| states.fact),
                self.states.map(|states| states.text),
            ])?;
        Ok(())
    }

    /// Of the entry at `seq`.
    pub(crate) fn load(tx: &Transaction<'_>, seq: u64) -> Result<Option<Self>> {
        let mut select =
            tx.prepare_cached("SELECT seq, scope, run, source, confidence, fact, text FROM saying WHERE seq = ?1")?;
        let mut rows = select.query([number(seq)])?;
        rows.next()?.map(Self::of).transpose()
    }

    /// Whether there is a row for the entry at `seq`.
    pub(crate) fn exists(tx: &Transaction<'_>, seq: u64) -> Result<bool> {
        let mut select = tx.prepare_cached("SELECT 1 FROM saying WHERE seq = ?1")?;
        Ok(select.query_row([number(seq)], |_| Ok(())).optional()?.is_some())
    }

    fn of(row: &Row<'_>) -> Result<Self> {
        let (fact, text): (Option<Digest>, Option<Digest>) = (row.get(5)?, row.get(6)?);
        Ok(Self {
            seq: position(row.get(0)?)?,
            scope: row.get(1)?,
            run: row.get(2)?,
            source: row.get(3)?,
            confidence: row.get(4)?,
            states: fact.zip(text).map(|(fact, text)| States { fact, text }),
        })
    }
}

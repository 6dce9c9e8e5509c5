//! A row for each statement among those of its fact: what it adds to the fact, and how its scope alone hears it, so that
//! a fact of many statements is made again by adding up and not by listening anew.

use std::collections::BTreeSet;

use quipu_format::{Event, EventId};
use rusqlite::{Row, Transaction, params};
use ulid::Ulid;

use crate::{
    confidence::{pack, unpack},
    error::{Cause, Result},
    hearing::Heard,
    schema::{number, position},
    statements::{Digest, Said},
};

/// A statement, as far as its fact goes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stating {
    pub(crate) seq: u64,
    pub(crate) id: EventId,
    pub(crate) time_ms: u64,
    pub(crate) expires_ms: Option<u64>,
    pub(crate) tags: BTreeSet<String>,
    /// As its scope alone hears it, all of it that is folded.
    pub(crate) heard: Heard,
}

/// Columns that [`Stating::of`] wants.
const COLUMNS: &str = "seq, id, time_ms, expires_ms, tags, decided, more, voices";

impl Stating {
    /// All that state a fact of a scope, the oldest first.
    pub(crate) fn each(
        tx: &Transaction<'_>,
        scope: i64,
        fact: &Digest,
        mut each: impl FnMut(Self) -> Result<()>,
    ) -> Result<()> {
        let sql = format!("SELECT {COLUMNS} FROM statement WHERE scope = ?1 AND fact = ?2 ORDER BY seq");
        let mut select = tx.prepare_cached(&sql)?;
        let mut rows = select.query(params![scope, fact])?;
        while let Some(row) = rows.next()? {
            each(Self::of(row)?)?;
        }
        Ok(())
    }

    /// Writes how it is heard now.
    pub(crate) fn update(tx: &Transaction<'_>, scope: i64, fact: &Digest, seq: u64, heard: &Heard) -> Result<()> {
        tx.prepare_cached(
            "UPDATE statement SET decided = ?4, more = ?5, voices = ?6 WHERE scope = ?1 AND fact = ?2 AND seq = ?3",
        )?
        .execute(params![
            scope,
            fact,
            number(seq),
            number(heard.decided),
            heard.more,
            pack(&heard.voices)
        ])?;
        Ok(())
    }

    pub(crate) fn delete(tx: &Transaction<'_>, scope: i64, fact: &Digest, seq: u64) -> Result<()> {
        tx.prepare_cached("DELETE FROM statement WHERE scope = ?1 AND fact = ?2 AND seq = ?3")?
            .execute(params![scope, fact, number(seq)])?;
        Ok(())
    }

    fn of(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            seq: position(row.get(0)?)?,
            id: EventId(Ulid::from_bytes(row.get(1)?)),
            time_ms: position(row.get(2)?)?,
            expires_ms: row.get::<_, Option<i64>>(3)?.map(position).transpose()?,
            tags: unpack_tags(row.get_ref(4)?.as_str()?)?,
            heard: Heard {
                decided: position(row.get(5)?)?,
                more: row.get(6)?,
                voices: unpack(row.get_ref(7)?.as_blob()?)?,
                echo: false,
            },
        })
    }
}

/// A statement that is yet to be written. Written in the order of facts, they are found beside each other.
pub(crate) struct Unwritten {
    pub(crate) stating: Stating,
    kind: String,
    speaker: Option<String>,
}

impl Unwritten {
    pub(crate) fn new(event: &Event, said: &Said, tags: &BTreeSet<String>, heard: Heard) -> Self {
        Self {
            stating: Stating {
                seq: event.envelope.seq,
                id: event.envelope.id,
                time_ms: said.time_ms,
                expires_ms: said.expires_ms,
                tags: tags.clone(),
                heard,
            },
            kind: event.envelope.kind.as_str().to_owned(),
            speaker: said.speaker.clone(),
        }
    }

    pub(crate) fn insert(&self, tx: &Transaction<'_>, scope: i64, fact: &Digest) -> Result<()> {
        let Stating { seq, id, heard, .. } = &self.stating;
        tx.prepare_cached("INSERT INTO statement VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)")?
            .execute(params![
                scope,
                fact,
                number(*seq),
                id.0.to_bytes(),
                number(self.stating.time_ms),
                self.stating.expires_ms.map(number),
                self.kind,
                self.speaker,
                pack_tags(&self.stating.tags),
                number(heard.decided),
                heard.more,
                pack(&heard.voices),
            ])?;
        Ok(())
    }
}

/// Tags as a column has them: a list in JSON, sorted.
pub(crate) fn pack_tags(tags: &BTreeSet<String>) -> String {
    serde_json::to_string(tags).unwrap_or_default()
}

pub(crate) fn unpack_tags(text: &str) -> Result<BTreeSet<String>> {
    match text {
        "[]" => Ok(BTreeSet::new()),
        text => serde_json::from_str(text).map_err(|error| Cause::Damaged(format!("tags: {error}"))),
    }
}

//! A row for each statement, and for each event that a statement rests on.

use std::collections::BTreeSet;

use quipu_format::{Event, EventId};
use rusqlite::{OptionalExtension, Row, Transaction, named_params};
use ulid::Ulid;

use crate::{
    error::{Cause, Result},
    schema::{number, position},
    statements::{Digest, Said, Stated},
};

/// What an event says, as far as facts go; see [`Said`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Saying {
    pub(crate) seq: u64,
    pub(crate) id: EventId,
    pub(crate) run: Option<[u8; 16]>,
    pub(crate) source: Digest,
    pub(crate) confidence: f64,
    pub(crate) time_ms: u64,
    pub(crate) expires_ms: Option<u64>,
    pub(crate) states: Option<Stated>,
}

const COLUMNS: &str = "seq, id, run, source, confidence, time_ms, expires_ms, fact, text, slot, tags";

impl Saying {
    /// Keeps what an event of a scope says.
    pub(crate) fn insert(tx: &Transaction<'_>, scope: i64, event: &Event, said: &Said) -> Result<()> {
        let envelope = &event.envelope;
        let states = said.states.as_ref();
        tx.prepare_cached(
            "INSERT OR IGNORE INTO saying VALUES (:seq, :id, :scope, :nth, :run, :source, :confidence, :time_ms, :expires_ms,
             :kind, :speaker, :fact, :text, :slot, :tags, 0)",
        )?
        .execute(named_params! {
            ":seq": number(envelope.seq),
            ":id": envelope.id.0.to_bytes(),
            ":scope": scope,
            ":nth": envelope.nth,
            ":run": envelope.run.map(|run| run.0.to_bytes()),
            ":source": said.source,
            ":confidence": said.confidence,
            ":time_ms": number(said.time_ms),
            ":expires_ms": said.expires_ms.map(number),
            ":kind": envelope.kind.as_str(),
            ":speaker": said.speaker,
            ":fact": states.map(|states| states.fact),
            ":text": states.map(|states| states.text),
            ":slot": states.and_then(|states| states.slot),
            ":tags": states.map(|states| pack_tags(&states.tags)),
        })?;
        Ok(())
    }

    /// Of the entry at `seq`.
    pub(crate) fn load(tx: &Transaction<'_>, seq: u64) -> Result<Option<Self>> {
        let mut select = tx.prepare_cached(&format!("SELECT {COLUMNS} FROM saying WHERE seq = ?1"))?;
        let mut rows = select.query([number(seq)])?;
        rows.next()?.map(Self::of).transpose()
    }

    /// All that state a fact, the oldest first.
    pub(crate) fn of_fact(tx: &Transaction<'_>, fact: &Digest) -> Result<Vec<Self>> {
        let mut select = tx.prepare_cached(&format!("SELECT {COLUMNS} FROM saying WHERE fact = ?1 ORDER BY seq"))?;
        let mut rows = select.query([fact])?;
        let mut sayings = Vec::new();
        while let Some(row) = rows.next()? {
            sayings.push(Self::of(row)?);
        }
        Ok(sayings)
    }

    /// Whether there is a row for the entry at `seq`.
    pub(crate) fn exists(tx: &Transaction<'_>, seq: u64) -> Result<bool> {
        let mut select = tx.prepare_cached("SELECT 1 FROM saying WHERE seq = ?1")?;
        Ok(select.query_row([number(seq)], |_| Ok(())).optional()?.is_some())
    }

    fn of(row: &Row<'_>) -> Result<Self> {
        let fact: Option<Digest> = row.get("fact")?;
        let states = fact
            .map(|fact| -> Result<_> {
                Ok(Stated {
                    fact,
                    text: row.get("text")?,
                    slot: row.get("slot")?,
                    tags: unpack_tags(&row.get::<_, String>("tags")?)?,
                })
            })
            .transpose()?;
        Ok(Self {
            seq: position(row.get("seq")?)?,
            id: EventId(Ulid::from_bytes(row.get("id")?)),
            run: row.get("run")?,
            source: row.get("source")?,
            confidence: row.get("confidence")?,
            time_ms: position(row.get("time_ms")?)?,
            expires_ms: row.get::<_, Option<i64>>("expires_ms")?.map(position).transpose()?,
            states,
        })
    }
}

/// Tags as a column has them: a list in JSON, sorted.
pub(crate) fn pack_tags(tags: &BTreeSet<String>) -> String {
    serde_json::to_string(tags).unwrap_or_default()
}

pub(crate) fn unpack_tags(text: &str) -> Result<BTreeSet<String>> {
    serde_json::from_str(text).map_err(|error| Cause::Damaged(format!("tags: {error}")))
}

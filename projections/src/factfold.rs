//! Statements into facts, as each scope by itself makes them: of its own entries, all that are folded, before anything
//! has expired. A new statement is added to its fact at once; where an entry takes something back, the facts that it
//! touches are made again from their statements when the batch ends, so that the rows are the same however the log was
//! cut into batches, and whatever was erased in between.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use quipu_format::{Event, EventId};
use quipu_log::LedgerReader;
use rusqlite::{OptionalExtension, Transaction, named_params, params};
use serde_json::Value;

use crate::{
    confidence::{Voice, together},
    error::{Result, unless_damaged},
    hearing::{Heard, Hearing, ancestry},
    limits,
    noise::Rules,
    retract::OneScope,
    runs,
    saying::{Saying, pack_tags},
    schema::{number, position},
    signals,
    statements::{Digest, RETRACT, Said, states},
    tally::{Tallied, Tally, load},
    touch::Touch,
};

/// Folds what events state. Its rows are whole after [`finish`](Self::finish).
pub(crate) struct FactFold<'t> {
    pub(crate) tx: &'t Transaction<'t>,
    ledger: LedgerReader,
    rules: Arc<Rules>,
    actors: HashMap<String, i64>,
    /// Facts that are made again at the end, each with its scope.
    pub(crate) again: BTreeSet<(i64, Digest)>,
}

impl<'t> FactFold<'t> {
    pub(crate) fn new(tx: &'t Transaction<'t>, ledger: &LedgerReader, rules: Arc<Rules>) -> Self {
        Self {
            tx,
            ledger: ledger.clone(),
            rules,
            actors: HashMap::new(),
            again: BTreeSet::new(),
        }
    }

    /// The number of an actor: as they come in the log.
    pub(crate) fn actor(&mut self, name: &str) -> Result<i64> {
        if let Some(&known) = self.actors.get(name) {
            return Ok(known);
        }
        self.tx
            .prepare_cached("INSERT OR IGNORE INTO actor (name) VALUES (?1)")?
            .execute([name])?;
        let mut select = self.tx.prepare_cached("SELECT id FROM actor WHERE name = ?1")?;
        let id = select.query_row([name], |row| row.get(0))?;
        self.actors.insert(name.to_owned(), id);
        Ok(id)
    }

    /// Folds an event of a scope, whose row and links are there.
    pub(crate) fn event(&mut self, scope: i64, event: &Event) -> Result<()> {
        let envelope = &event.envelope;
        if envelope.kind.as_str() == runs::TOLD {
            self.told(event)?;
        }
        if !envelope.supersedes.is_empty() {
            self.superseded(envelope.seq, envelope.kind.as_str() == RETRACT)?;
        }
        signals::keep(self.tx, &self.rules, scope, event)?;
        if states(&envelope.kind) {
            self.keep_evidence(envelope.seq)?;
            if let Some(said) = Said::of(event).filter(|said| said.states.is_some()) {
                Saying::insert(self.tx, scope, event, &said)?;
                self.state(scope, envelope.seq)?;
            }
        }
        Ok(())
    }

    /// Forgets what was erased, as if it had been before it was folded.
    pub(crate) fn forget(&mut self, scope: i64, [first, last]: [u32; 2]) -> Result<()> {
        let mut select = self
            .tx
            .prepare_cached("SELECT seq FROM saying WHERE scope = ?1 AND nth BETWEEN ?2 AND ?3")?;
        let seqs = select.query_map(params![scope, first, last], |row| row.get::<_, i64>(0))?;
        let seqs = seqs.collect::<rusqlite::Result<Vec<_>>>()?;
        for seq in seqs {
            self.forget_saying(position(seq)?)?;
        }
        self.tx
            .prepare_cached("DELETE FROM noise WHERE scope = ?1 AND nth BETWEEN ?2 AND ?3")?
            .execute(params![scope, first, last])?;
        // What recall showed to runs stands in entries that may be erased themselves.
        let mut select = self.tx.prepare_cached(
            "SELECT DISTINCT told FROM shown JOIN told ON told.seq = shown.told WHERE scope = ?1 AND nth BETWEEN ?2 AND ?3",
        )?;
        let told = select.query_map(params![scope, first, last], |row| row.get::<_, i64>(0))?;
        for told in told.collect::<rusqlite::Result<Vec<_>>>()? {
            self.forget_shown("SELECT run, text FROM shown WHERE told = ?1", told)?;
            self.tx
                .prepare_cached("DELETE FROM shown WHERE told = ?1")?
                .execute([told])?;
        }
        self.tx
            .prepare_cached("DELETE FROM told WHERE scope = ?1 AND nth BETWEEN ?2 AND ?3")?
            .execute(params![scope, first, last])?;
        Ok(())
    }

    /// Makes the facts again that have changed otherwise than by a new statement.
    pub(crate) fn finish(mut self) -> Result<()> {
        for (scope, fact) in std::mem::take(&mut self.again) {
            self.make_again(scope, &fact)?;
        }
        self.tx
            .prepare_cached("UPDATE meta SET rules = ?1")?
            .execute([self.rules.digest.as_bytes()])?;
        Ok(())
    }

    /// Adds a new statement to its fact.
    fn state(&mut self, scope: i64, seq: u64) -> Result<()> {
        let Some(saying) = Saying::load(self.tx, seq)? else {
            return Ok(());
        };
        let Some(fact) = saying.states.as_ref().map(|states| states.fact) else {
            return Ok(());
        };
        let heard = Hearing::new(self.tx, &OneScope(scope))?.hear(&saying)?;
        let mut tally = load(self.tx, &fact)?.unwrap_or_default();
        if tally.add(&saying, &heard) {
            self.speaks(seq)?;
            self.voices(&fact, &heard.voices)?;
            let mut select = self
                .tx
                .prepare_cached("SELECT confidence FROM voice WHERE fact = ?1 ORDER BY confidence DESC LIMIT ?2")?;
            let confidences =
                select.query_map(params![fact, number(limits::VOICES as u64)], |row| row.get::<_, f64>(0))?;
            tally.confidence = together(confidences.collect::<rusqlite::Result<Vec<_>>>()?);
        }
        self.write(scope, &fact, &tally)
    }

    fn make_again(&mut self, scope: i64, fact: &Digest) -> Result<()> {
        let sayings = Saying::of_fact(self.tx, fact)?;
        self.tx
            .prepare_cached("UPDATE saying SET speaks = 0 WHERE fact = ?1 AND speaks = 1")?
            .execute([fact])?;
        self.tx
            .prepare_cached("DELETE FROM voice WHERE fact = ?1")?
            .execute([fact])?;
        if sayings.is_empty() {
            self.tx
                .prepare_cached("DELETE FROM fact WHERE fact = ?1")?
                .execute([fact])?;
            return Ok(());
        }
        let sees = OneScope(scope);
        let hearing = Hearing::new(self.tx, &sees)?;
        let heard = sayings.into_iter().map(|saying| {
            let heard = hearing.hear(&saying)?;
            Ok((saying, heard))
        });
        let heard = heard.collect::<Result<Vec<(Saying, Heard)>>>()?;
        let (tallied, voices) = Tallied::of(heard, None);
        for saying in &tallied.sayings {
            self.speaks(saying.seq)?;
        }
        self.voices(fact, &voices)?;
        self.write(scope, fact, &tallied.tally)
    }

    fn speaks(&self, seq: u64) -> Result<()> {
        self.tx
            .prepare_cached("UPDATE saying SET speaks = 1 WHERE seq = ?1")?
            .execute([number(seq)])?;
        Ok(())
    }

    fn voices(&self, fact: &Digest, voices: &[Voice]) -> Result<()> {
        let mut upsert = self.tx.prepare_cached(
            "INSERT INTO voice VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET confidence = max(confidence, excluded.confidence)",
        )?;
        for voice in voices {
            upsert.execute(params![fact, voice.source, voice.confidence])?;
        }
        Ok(())
    }

    fn write(&self, scope: i64, fact: &Digest, tally: &Tally) -> Result<()> {
        self.tx
            .prepare_cached(
                "INSERT OR REPLACE INTO fact VALUES (:fact, :scope, :slot, :confidence, :count, :first_ms, :last_ms, :expires_ms,
                 :changes_ms, :newest, :decided, :crosses, :tags)",
            )?
            .execute(named_params! {
                ":fact": fact,
                ":scope": scope,
                ":slot": tally.slot,
                ":confidence": tally.confidence,
                ":count": number(tally.count),
                ":first_ms": number(tally.first_ms),
                ":last_ms": number(tally.last_ms),
                ":expires_ms": tally.expires_ms.map(number),
                ":changes_ms": tally.changes_ms.map(number),
                ":newest": number(tally.newest),
                ":decided": number(tally.decided),
                ":crosses": tally.crosses,
                ":tags": pack_tags(&tally.tags),
            })?;
        Ok(())
    }

    /// Keeps what the events say that an entry goes back to. That it does is in its envelope, so that the same are kept
    /// whether or not it has been erased.
    fn keep_evidence(&mut self, seq: u64) -> Result<()> {
        for earlier in ancestry(self.tx, seq)?.into_iter().skip(1) {
            if !Saying::exists(self.tx, earlier)? {
                self.keep(earlier)?;
            }
        }
        Ok(())
    }

    fn keep(&self, seq: u64) -> Result<()> {
        // One that is damaged is as one that is erased.
        let event = unless_damaged(self.ledger.event(seq))?;
        let mut scope = self.tx.prepare_cached("SELECT scope FROM entry WHERE seq = ?1")?;
        if let Some((event, said)) = event.and_then(|event| Said::of(&event).map(|said| (event, said)))
            // Statements have rows of their own; one without text states nothing and is evidence like any other.
            && said.states.is_none()
            && let Some(scope) = scope.query_row([number(seq)], |row| row.get(0)).optional()?
        {
            Saying::insert(self.tx, scope, &event, &said)?;
        }
        Ok(())
    }

    fn forget_saying(&mut self, seq: u64) -> Result<()> {
        self.touch(seq, Touch::Voice)?;
        self.forget_shown("SELECT run, text FROM shown WHERE event = ?1", number(seq))?;
        for delete in [
            "DELETE FROM shown WHERE event = ?1",
            "DELETE FROM saying WHERE seq = ?1",
        ] {
            self.tx.prepare_cached(delete)?.execute([number(seq)])?;
        }
        Ok(())
    }

    /// Statements that were repeats of something shown may be none now.
    fn forget_shown(&mut self, which: &str, of: i64) -> Result<()> {
        let mut select = self.tx.prepare_cached(which)?;
        let rows = select.query_map([of], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let shown: Vec<([u8; 16], Digest)> = rows.collect::<rusqlite::Result<_>>()?;
        for (run, text) in shown {
            let mut select = self
                .tx
                .prepare_cached("SELECT seq FROM saying WHERE run = ?1 AND text = ?2")?;
            let seqs = select.query_map(params![run, text], |row| row.get::<_, i64>(0))?;
            for seq in seqs.collect::<rusqlite::Result<Vec<_>>>()? {
                self.touch(position(seq)?, Touch::Voice)?;
            }
        }
        Ok(())
    }

    /// Keeps which statements recall showed to a run.
    fn told(&mut self, event: &Event) -> Result<()> {
        let envelope = &event.envelope;
        let (Some(run), Some(payload)) = (envelope.run, event.payload()) else {
            return Ok(());
        };
        let told: Value = serde_json::from_str(payload).unwrap_or_default();
        let shown: HashSet<EventId> = runs::shown(&told["told"]).collect();
        self.tx
            .prepare_cached("INSERT INTO told SELECT seq, scope, ?2 FROM entry WHERE seq = ?1")?
            .execute(params![number(envelope.seq), envelope.nth])?;
        for id in shown {
            let Some(seq) = unless_damaged(self.ledger.find(id))?.filter(|seq| *seq < envelope.seq) else {
                continue;
            };
            let Some(states) = Saying::load(self.tx, seq)?.and_then(|saying| saying.states) else {
                continue;
            };
            self.tx
                .prepare_cached("INSERT OR IGNORE INTO shown VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![
                    run.0.to_bytes(),
                    states.text,
                    number(seq),
                    number(envelope.seq)
                ])?;
        }
        Ok(())
    }
}

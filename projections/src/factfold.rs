// Long because all that changes the rows of a batch is one type, whose state they share.

//! Statements into facts, as each scope by itself makes them: of its own entries, all that are folded, before anything
//! has expired. A new statement is added to its fact at once. Where an entry takes something back, the statements that it
//! touches are heard anew when the batch ends, and their facts are added up again, so that the rows are the same however
//! the log was cut into batches, and whatever was erased in between.
//!
//! Facts and statements of a batch are held in memory, and are written at its end in the order in which they are stored.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    rc::Rc,
};

use quipu_format::{Event, EventId};
use quipu_log::LedgerReader;
use rusqlite::{OptionalExtension, Transaction, named_params, params};
use serde_json::Value;

use crate::{
    confidence::Voice,
    error::{Result, is_missing, unless_damaged},
    gist::Gist,
    hearing::{Counts, ERASED, Heard, Hearing, ancestry},
    noise::Rules,
    retract::{OneScope, Quarantines},
    runs,
    saying::Saying,
    schema::{number, position},
    signals,
    statements::{Digest, RETRACT, Said, states, text_digest},
    stating::{Stating, Unwritten, pack_tags},
    tally::{Tallied, load},
    touch::Touch,
};

/// A fact of a scope.
type Place = (i64, Digest);

/// Folds what events state. Its rows are whole after [`finish`](Self::finish).
pub(crate) struct FactFold<'t> {
    pub(crate) tx: &'t Transaction<'t>,
    ledger: LedgerReader,
    rules: std::sync::Arc<Rules>,
    actors: HashMap<String, i64>,
    pub(crate) quarantines: Rc<Quarantines>,
    /// Facts that this batch states.
    facts: HashMap<Place, Tallied>,
    /// Statements of this batch.
    unwritten: BTreeMap<(i64, Digest, u64), Unwritten>,
    /// Entries that others may be heard through at the end, or nobody.
    pub(crate) touched: BTreeSet<u64>,
    /// Facts that are added up again at the end.
    again: BTreeSet<Place>,
    /// Whether recall showed a run something.
    shown: HashMap<[u8; 16], bool>,
}

impl<'t> FactFold<'t> {
    pub(crate) fn new(tx: &'t Transaction<'t>, ledger: &LedgerReader, rules: std::sync::Arc<Rules>) -> Result<Self> {
        Ok(Self {
            tx,
            ledger: ledger.clone(),
            rules,
            actors: HashMap::new(),
            quarantines: Quarantines::load(tx)?,
            facts: HashMap::new(),
            unwritten: BTreeMap::new(),
            touched: BTreeSet::new(),
            again: BTreeSet::new(),
            shown: HashMap::new(),
        })
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
    pub(crate) fn event(&mut self, scope: i64, event: &Event, gist: &Gist) -> Result<()> {
        let envelope = &event.envelope;
        if envelope.kind.as_str() == runs::TOLD {
            self.told(event)?;
        }
        if !envelope.supersedes.is_empty() {
            self.superseded(envelope.seq, envelope.kind.as_str() == RETRACT)?;
        }
        if states(&envelope.kind) && !envelope.evidence.is_empty() {
            self.keep_evidence(envelope.seq)?;
        }
        let Some(said) = &gist.said else { return Ok(()) };
        let counts = match said.states {
            Some(_) => Counts::of(&self.state(scope, event, said)?),
            None => self.hearing(&OneScope(scope)).counts(envelope.seq)?,
        };
        signals::keep(self.tx, &gist.rules, scope, event, said, counts)
    }

    /// Forgets what was erased, as if it had been before it was folded: a stretch of a scope, and the `seq` of each event in
    /// it that had a body.
    pub(crate) fn forget(&mut self, scope: i64, [first, last]: [u32; 2], seqs: &[u64]) -> Result<()> {
        for &seq in seqs {
            self.forget_saying(seq)?;
        }
        // What recall showed to runs stands in entries that may be erased themselves.
        let mut select = self.tx.prepare_cached(
            "SELECT told.seq, run FROM told JOIN entry USING (seq) WHERE told.scope = ?1 AND nth BETWEEN ?2 AND ?3",
        )?;
        let told = select.query_map(params![scope, first, last], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for (told, run) in told.collect::<rusqlite::Result<Vec<(i64, [u8; 16])>>>()? {
            for delete in ["DELETE FROM shown WHERE told = ?1", "DELETE FROM told WHERE seq = ?1"] {
                self.tx.prepare_cached(delete)?.execute([told])?;
            }
            self.show(run, ERASED, position(told)?, position(told)?)?;
            self.touch_after(run, told)?;
        }
        Ok(())
    }

    /// Writes what the batch has changed.
    pub(crate) fn finish(mut self) -> Result<()> {
        for ((scope, fact, _), statement) in &self.unwritten {
            statement.insert(self.tx, *scope, fact)?;
        }
        for seq in std::mem::take(&mut self.touched) {
            self.hear_again(seq)?;
        }
        for (scope, fact) in std::mem::take(&mut self.again) {
            self.add_up(scope, fact)?;
        }
        let mut facts: Vec<_> = std::mem::take(&mut self.facts).into_iter().collect();
        facts.sort_unstable_by_key(|(place, _)| *place);
        for ((scope, fact), tallied) in facts {
            self.write(scope, &fact, &tallied.settled())?;
        }
        self.tx
            .prepare_cached("UPDATE meta SET rules = ?1")?
            .execute([self.rules.folded_by().as_bytes()])?;
        Ok(())
    }

    /// Adds a new statement to its fact, and returns how it is heard.
    fn state(&mut self, scope: i64, event: &Event, said: &Said) -> Result<Heard> {
        let envelope = &event.envelope;
        let Some(states) = &said.states else {
            return Ok(Heard::default());
        };
        let run = envelope.run.map(|run| run.0.to_bytes());
        let saying = Saying::new(scope, envelope.seq, run, said);
        let heard = match envelope.evidence.is_empty() && self.quarantines.is_empty() && !self.was_shown(run)? {
            // Nothing that is folded has a say in it.
            true => Heard {
                voices: vec![Voice {
                    source: said.source,
                    confidence: said.confidence,
                }],
                decided: envelope.seq,
                ..Heard::default()
            },
            false => self.hearing(&OneScope(scope)).hear(&saying)?,
        };
        saying.insert(self.tx)?;
        let place = (scope, states.fact);
        if let std::collections::hash_map::Entry::Vacant(new) = self.facts.entry(place) {
            let row = load(self.tx, scope, &states.fact)?;
            new.insert(row.unwrap_or_else(|| Tallied::new(states.slot)));
        }
        let statement = Unwritten::new(event, said, &states.tags, heard.clone());
        if let Some(fact) = self.facts.get_mut(&place) {
            fact.add(&statement.stating, &heard);
        }
        self.unwritten.insert((scope, states.fact, envelope.seq), statement);
        Ok(heard)
    }

    fn hearing<'a>(&self, sees: &'a OneScope) -> Hearing<'a>
    where
        't: 'a,
    {
        Hearing::under(self.tx, sees, self.quarantines.clone())
    }

    fn was_shown(&mut self, run: Option<[u8; 16]>) -> Result<bool> {
        let Some(run) = run else { return Ok(false) };
        if let Some(known) = self.shown.get(&run) {
            return Ok(*known);
        }
        let mut select = self.tx.prepare_cached("SELECT 1 FROM shown WHERE run = ?1")?;
        let shown = select.exists([run])?;
        self.shown.insert(run, shown);
        Ok(shown)
    }

    /// Listens anew to what the entry at `seq` says, if it states something or matches a rule.
    fn hear_again(&mut self, seq: u64) -> Result<()> {
        let mut scope = self.tx.prepare_cached("SELECT scope FROM entry WHERE seq = ?1")?;
        let Some(scope) = scope.query_row([number(seq)], |row| row.get(0)).optional()? else {
            return Ok(());
        };
        let sees = OneScope(scope);
        let hearing = self.hearing(&sees);
        if let Some(saying) = Saying::load(self.tx, seq)?
            && let Some(states) = saying.states
        {
            Stating::update(self.tx, scope, &states.fact, seq, &hearing.hear(&saying)?)?;
            self.again.insert((scope, states.fact));
        }
        signals::settle(self.tx, &hearing, seq)
    }

    /// Adds up a fact again.
    fn add_up(&mut self, scope: i64, fact: Digest) -> Result<()> {
        let known = match self.facts.remove(&(scope, fact)) {
            Some(known) => Some(known),
            None => load(self.tx, scope, &fact)?,
        };
        let mut made = Tallied::new(known.and_then(|known| known.tally.slot));
        let mut some = false;
        Stating::each(self.tx, scope, &fact, |stating| {
            some = true;
            made.add(&stating, &stating.heard);
            Ok(())
        })?;
        match some {
            true => drop(self.facts.insert((scope, fact), made)),
            false => drop(
                self.tx
                    .prepare_cached("DELETE FROM fact WHERE scope = ?1 AND fact = ?2")?
                    .execute(params![scope, fact])?,
            ),
        }
        Ok(())
    }

    fn write(&self, scope: i64, fact: &Digest, Tallied { tally, voices }: &Tallied) -> Result<()> {
        self.tx
            .prepare_cached(
                "INSERT INTO fact VALUES (:scope, :fact, :slot, :confidence, :count, :first_ms, :last_ms, :expires_ms,
                 :changes_ms, :newest, :decided, :crosses, :tags, :voices)
                 ON CONFLICT DO UPDATE SET confidence = :confidence, count = :count, first_ms = :first_ms,
                 last_ms = :last_ms, expires_ms = :expires_ms, changes_ms = :changes_ms, newest = :newest,
                 decided = :decided, crosses = :crosses, tags = :tags, voices = :voices",
            )?
            .execute(named_params! {
                ":scope": scope,
                ":fact": fact,
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
                ":voices": voices.packed(),
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
        let event = match self.ledger.event(seq) {
            // It was there when it was folded; when it is again, this is to be folded anew.
            Err(error) if is_missing(&error) => {
                tracing::warn!(%error, seq, "an entry that another rests on cannot be read");
                self.tx
                    .prepare_cached("INSERT OR IGNORE INTO missing VALUES (?1)")?
                    .execute([number(seq)])?;
                None
            }
            event => event?,
        };
        let mut entry = self.tx.prepare_cached("SELECT scope, run FROM entry WHERE seq = ?1")?;
        if let Some(said) = event.as_ref().and_then(Said::of)
            // Statements have rows of their own; one without text states nothing and is evidence like any other.
            && said.states.is_none()
            && let Some((scope, run)) = entry
                .query_row([number(seq)], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?
        {
            Saying::new(scope, seq, run, &said).insert(self.tx)?;
        }
        Ok(())
    }

    fn forget_saying(&mut self, seq: u64) -> Result<()> {
        self.touch(seq, Touch::Voice)?;
        if let Some(saying) = Saying::load(self.tx, seq)?
            && let Some(states) = saying.states
        {
            self.unwritten.remove(&(saying.scope, states.fact, seq));
            Stating::delete(self.tx, saying.scope, &states.fact, seq)?;
            self.again.insert((saying.scope, states.fact));
        }
        // Statements that were repeats of it may be anything now.
        let mut select = self
            .tx
            .prepare_cached("SELECT run, told FROM shown WHERE event = ?1 AND told != event")?;
        let rows = select.query_map([number(seq)], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for (run, told) in rows.collect::<rusqlite::Result<Vec<([u8; 16], i64)>>>()? {
            self.touch_after(run, told)?;
        }
        self.tx
            .prepare_cached("UPDATE shown SET text = ?2 WHERE event = ?1")?
            .execute(params![number(seq), ERASED])?;
        for delete in ["DELETE FROM saying WHERE seq = ?1", "DELETE FROM noise WHERE seq = ?1"] {
            self.tx.prepare_cached(delete)?.execute([number(seq)])?;
        }
        Ok(())
    }

    /// Touches what a run stated after it was told something.
    fn touch_after(&mut self, run: [u8; 16], told: i64) -> Result<()> {
        let mut select = self.tx.prepare_cached(
            "SELECT seq FROM entry JOIN saying USING (seq) WHERE entry.run = ?1 AND seq > ?2 AND fact IS NOT NULL",
        )?;
        let seqs = select.query_map(params![run, told], |row| row.get::<_, i64>(0))?;
        for seq in seqs.collect::<rusqlite::Result<Vec<_>>>()? {
            self.touch(position(seq)?, Touch::Voice)?;
        }
        Ok(())
    }

    /// Keeps which statements recall showed to a run.
    fn told(&mut self, event: &Event) -> Result<()> {
        let envelope = &event.envelope;
        let Some(run) = envelope.run.map(|run| run.0.to_bytes()) else {
            return Ok(());
        };
        let Some(payload) = event.payload() else {
            return self.show(run, ERASED, envelope.seq, envelope.seq);
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
            if let Some(text) = self.text(seq)? {
                self.show(run, text, seq, envelope.seq)?;
            }
        }
        Ok(())
    }

    /// The text of an event, if its kind states facts: [`ERASED`] where it is, and that of nothing where it has none.
    fn text(&self, seq: u64) -> Result<Option<Digest>> {
        let mut select = self
            .tx
            .prepare_cached("SELECT states, text FROM entry LEFT JOIN saying USING (seq) WHERE entry.seq = ?1")?;
        let row = select.query_row([number(seq)], |row| Ok((row.get::<_, bool>(0)?, row.get(1)?)));
        match row.optional()? {
            Some((true, Some(text))) => Ok(Some(text)),
            Some((true, None)) => {
                let event = unless_damaged(self.ledger.event(seq))?;
                let erased = event.is_none_or(|event| event.body().is_none());
                Ok(Some(if erased { ERASED } else { text_digest("") }))
            }
            _ => Ok(None),
        }
    }

    fn show(&mut self, run: [u8; 16], text: Digest, event: u64, told: u64) -> Result<()> {
        self.shown.insert(run, true);
        self.tx
            .prepare_cached("INSERT OR IGNORE INTO shown VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![run, text, number(event), number(told)])?;
        Ok(())
    }
}

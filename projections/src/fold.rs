//! Events into rows, in `seq` order. What comes out is a function of the log alone: not of the size of a batch, nor of
//! when or by whom it was folded.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    sync::Arc,
};

use quipu_format::{Envelope, Erasure, Event, EventId, Scope};
use quipu_log::LedgerReader;
use rusqlite::{OptionalExtension, Transaction, named_params, params};

use crate::{
    document::Document,
    error::{Cause, Result},
    factfold::FactFold,
    noise::Rules,
    packing::{Outline, Place, block_start, put_outline, put_place, terms},
    retract::Quarantine,
    schema::{self, BLOCK, EVIDENCE, SUPERSEDES, number, outline},
    snapshots,
    statements::RETRACT,
    text::Analyzer,
};

/// Folds events into the tables of a transaction, which the caller commits after [`Fold::finish`].
pub(crate) struct Fold<'t> {
    tx: &'t Transaction<'t>,
    analyzer: Analyzer,
    facts: FactFold<'t>,
    /// `seq` of the next event.
    as_of: u64,
    scopes: HashMap<Scope, Folded>,
    words: usize,
    forgot: bool,
    /// Some entries could not be read.
    missed: bool,
}

/// A scope's row.
#[derive(Clone, Copy)]
struct Folded {
    id: i64,
    entries: u32,
}

impl<'t> Fold<'t> {
    /// Goes on from `as_of`, the position that the tables have reached.
    pub(crate) fn new(tx: &'t Transaction<'t>, ledger: &LedgerReader, rules: Arc<Rules>, as_of: u64) -> Result<Self> {
        Ok(Self {
            missed: !schema::missing(tx)?.is_empty(),
            tx,
            analyzer: Analyzer::new(),
            facts: FactFold::new(tx, ledger, rules),
            as_of,
            scopes: HashMap::new(),
            words: 0,
            forgot: false,
        })
    }

    /// Whether an erasure was among what was folded: the file then holds what is to be gone until it is cut.
    pub(crate) fn forgot(&self) -> bool {
        self.forgot
    }

    /// Words folded so far: what the work of a transaction grows with.
    pub(crate) fn words(&self) -> usize {
        self.words
    }

    /// Folds the next event; `find` gives the `seq` of an earlier one, and `counts` says whether an operator's act is one.
    pub(crate) fn event(
        &mut self,
        event: &Event,
        find: impl Fn(EventId) -> Result<Option<u64>>,
        mut counts: impl FnMut(&Envelope) -> Result<bool>,
    ) -> Result<()> {
        let envelope = &event.envelope;
        let mut scope = self.scope(&envelope.scope)?;
        if envelope.nth > scope.entries && self.missed {
            // Some of the scope's entries cannot be read: what is there of their blocks is all that there will be.
            for block in scope.entries / BLOCK..envelope.nth / BLOCK {
                self.close_block(scope.id, block)?;
            }
            scope.entries = envelope.nth;
        }
        if (envelope.seq, envelope.nth) != (self.as_of, scope.entries) {
            return Err(Cause::Damaged(format!(
                "it expects entry {} of the ledger to be number {} of its scope",
                self.as_of, scope.entries
            )));
        }
        let actor = self.facts.actor(envelope.actor.as_str())?;
        self.tx
            .prepare_cached("INSERT INTO entry VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
            .execute(params![
                number(envelope.seq),
                scope.id,
                envelope.run.map(|run| run.0.to_bytes()),
                event.hash.as_bytes(),
                actor,
                envelope.kind.as_str() == RETRACT,
                envelope.kind.is_reserved(),
            ])?;
        for (relation, ids) in [(EVIDENCE, &envelope.evidence), (SUPERSEDES, &envelope.supersedes)] {
            for &id in ids {
                if let Some(earlier) = find(id)?.filter(|&earlier| earlier < envelope.seq) {
                    self.tx
                        .prepare_cached("INSERT OR IGNORE INTO link VALUES (?1, ?2, ?3)")?
                        .execute(params![number(envelope.seq), relation, number(earlier)])?;
                }
            }
        }
        if let Some(document) = Document::of(event, &mut self.analyzer) {
            self.words += document.length as usize;
            self.insert(event, scope.id, &document)?;
        }
        self.facts.event(scope.id, event)?;
        // What no operator signed takes nothing back.
        if let Some(quarantine) = Quarantine::of(envelope)
            && counts(envelope)?
        {
            self.facts.quarantine(envelope.seq, &quarantine)?;
        }
        // Before a block is closed with this entry, which an erasure never covers.
        if envelope.kind.as_str() == Erasure::KIND
            && let Some(erasure) = envelope.sys.as_ref().map(|sys| &sys[Erasure::MEMBER])
            && let Ok(erasure) = Erasure::parse(erasure)
            && counts(envelope)?
        {
            for range in erasure.ranges {
                self.forget(scope.id, range)?;
                self.facts.forget(scope.id, range)?;
            }
            snapshots::forget(self.tx)?;
            self.forgot = true;
        }
        if envelope.nth % BLOCK == BLOCK - 1 {
            self.close_block(scope.id, envelope.nth / BLOCK)?;
        }
        scope.entries = scope.entries.saturating_add(1);
        self.scopes.insert(envelope.scope.clone(), scope);
        self.as_of += 1;
        Ok(())
    }

    /// Passes over the next entry, which cannot be read.
    pub(crate) fn missing(&mut self, error: &quipu_log::Error) -> Result<()> {
        tracing::warn!(%error, seq = self.as_of, "an entry cannot be read and is left out of what is recalled");
        self.tx
            .prepare_cached("INSERT INTO missing VALUES (?1)")?
            .execute([number(self.as_of)])?;
        self.missed = true;
        self.as_of += 1;
        Ok(())
    }

    /// Writes the position reached, which it returns.
    pub(crate) fn finish(self) -> Result<u64> {
        let mut update = self.tx.prepare_cached("UPDATE scope SET entries = ?2 WHERE id = ?1")?;
        for scope in self.scopes.values() {
            update.execute(params![scope.id, scope.entries])?;
        }
        self.tx
            .prepare_cached("UPDATE meta SET as_of = ?1")?
            .execute([number(self.as_of)])?;
        self.facts.finish()?;
        Ok(self.as_of)
    }

    fn scope(&self, name: &Scope) -> Result<Folded> {
        if let Some(scope) = self.scopes.get(name) {
            return Ok(*scope);
        }
        let mut select = self
            .tx
            .prepare_cached("SELECT id, entries FROM scope WHERE name = ?1")?;
        let found = select.query_row([name.as_str()], |row| {
            Ok(Folded {
                id: row.get(0)?,
                entries: row.get(1)?,
            })
        });
        if let Some(scope) = found.optional()? {
            return Ok(scope);
        }
        // Numbered as they come in the log.
        self.tx
            .prepare_cached("INSERT INTO scope (name, entries) VALUES (?1, 0)")?
            .execute([name.as_str()])?;
        Ok(Folded {
            id: self.tx.last_insert_rowid(),
            entries: 0,
        })
    }

    fn insert(&self, event: &Event, scope: i64, document: &Document) -> Result<()> {
        let envelope = &event.envelope;
        self.tx
            .prepare_cached(
                "INSERT INTO doc VALUES (:scope, :nth, :seq, :run, :time_ms, :expires_ms, :length, :terms)",
            )?
            .execute(named_params! {
                ":scope": scope,
                ":nth": envelope.nth,
                ":seq": number(envelope.seq),
                ":run": envelope.run.map(|run| run.0.to_bytes()),
                ":time_ms": number(document.time.as_ms()),
                ":expires_ms": document.expires.map(|expires| number(expires.as_ms())),
                ":length": document.length,
                ":terms": document.packed_terms(),
            })?;
        Ok(())
    }

    /// Drops what is known of the documents of a stretch, as if they had been erased before they were folded.
    fn forget(&self, scope: i64, [first, last]: [u32; 2]) -> Result<()> {
        let mut select = self
            .tx
            .prepare_cached("SELECT DISTINCT nth / ?4 FROM doc WHERE scope = ?1 AND nth BETWEEN ?2 AND ?3")?;
        let blocks: Vec<u32> = select
            .query_map(params![scope, first, last, BLOCK], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for block in blocks {
            let closed = self.open_block(scope, block)?;
            let within = [first.max(block * BLOCK), last.min(block * BLOCK + (BLOCK - 1))];
            self.tx
                .prepare_cached("DELETE FROM doc WHERE scope = ?1 AND nth BETWEEN ?2 AND ?3")?
                .execute(params![scope, within[0], within[1]])?;
            if closed {
                self.close_block(scope, block)?;
            }
        }
        Ok(())
    }

    /// Takes back what closing a block put there. Returns whether it was closed.
    fn open_block(&self, scope: i64, block: u32) -> Result<bool> {
        let closed = self
            .tx
            .prepare_cached("DELETE FROM block WHERE scope = ?1 AND block = ?2")?
            .execute(params![scope, block])?
            > 0;
        if closed {
            let mut delete = self
                .tx
                .prepare_cached("DELETE FROM posting WHERE scope = ?1 AND term = ?2 AND block = ?3")?;
            for (_, packed) in self.documents(scope, block * BLOCK)? {
                for term in terms(&packed) {
                    delete.execute(params![scope, term?.0, block])?;
                }
            }
        }
        Ok(closed)
    }

    /// Turns the terms of a block's documents into postings: merged from lists that are sorted, so that memory is
    /// bounded by the documents, however many different words they have.
    fn close_block(&self, scope: i64, block: u32) -> Result<()> {
        let first = block.saturating_mul(BLOCK);
        let documents = self.documents(scope, first)?;
        let (mut outlines, mut before) = (Vec::new(), block_start(first));
        let mut lists = Vec::new();
        let mut next = BinaryHeap::new();
        for (outline, packed) in &documents {
            put_outline(&mut outlines, outline, &before);
            before = *outline;
            let mut list = terms(packed);
            next.extend(
                list.next()
                    .transpose()?
                    .map(|(term, times)| Reverse((term, lists.len(), times))),
            );
            lists.push((outline.nth, list));
        }
        self.tx
            .prepare_cached("INSERT INTO block VALUES (?1, ?2, ?3)")?
            .execute(params![scope, block, outlines])?;

        let mut insert = self.tx.prepare_cached("INSERT INTO posting VALUES (?1, ?2, ?3, ?4)")?;
        let (mut places, mut nth_after) = (Vec::new(), first);
        while let Some(Reverse((term, at, times))) = next.pop() {
            let Some((nth, list)) = lists.get_mut(at) else { continue };
            put_place(&mut places, Place { nth: *nth, times }, nth_after);
            nth_after = nth.saturating_add(1);
            next.extend(list.next().transpose()?.map(|(term, times)| Reverse((term, at, times))));
            if next.peek().is_none_or(|Reverse((following, ..))| *following != term) {
                insert.execute(params![scope, term, block, places])?;
                places.clear();
                nth_after = first;
            }
        }
        Ok(())
    }

    /// The documents of the block that begins with `first`, each with its packed terms.
    fn documents(&self, scope: i64, first: u32) -> Result<Vec<(Outline, Vec<u8>)>> {
        let sql = "SELECT * FROM doc WHERE scope = ?1 AND nth BETWEEN ?2 AND ?3 ORDER BY nth";
        let mut select = self.tx.prepare_cached(sql)?;
        let mut rows = select.query(params![scope, first, first.saturating_add(BLOCK - 1)])?;
        let mut documents = Vec::new();
        while let Some(row) = rows.next()? {
            documents.push((outline(row)?, row.get("terms")?));
        }
        Ok(documents)
    }
}

//! Events into rows, in `seq` order. What comes out is a function of the log alone: not of the size of a batch, nor of
//! when or by whom it was folded.

use std::{collections::HashMap, sync::Arc};

use quipu_format::{Envelope, Erasure, EventId, Scope};
use quipu_log::LedgerReader;
use rusqlite::{OptionalExtension, Transaction, params};

use crate::{
    ahead::Prepared,
    blocks::{Changed, Fresh},
    dense,
    error::{Cause, Result},
    factfold::FactFold,
    noise::Rules,
    retract::Quarantine,
    schema::{self, EVIDENCE, SUPERSEDES, number},
    snapshots,
    statements::{RETRACT, states},
    tiers,
};

/// Folds events into the tables of a transaction, which the caller commits after [`Fold::finish`].
pub(crate) struct Fold<'t> {
    tx: &'t Transaction<'t>,
    facts: FactFold<'t>,
    /// `seq` of the next event.
    as_of: u64,
    scopes: HashMap<Scope, Folded>,
    words: usize,
    forgot: bool,
    /// There are tables of what documents mean.
    dense: bool,
    /// Some entries could not be read.
    missed: bool,
}

/// A scope's row, and what is not in the tables yet.
struct Folded {
    id: i64,
    /// As many as the row says.
    before: u32,
    entries: u32,
    changed: Changed,
}

impl<'t> Fold<'t> {
    /// Goes on from `as_of`, the position that the tables have reached.
    pub(crate) fn new(tx: &'t Transaction<'t>, ledger: &LedgerReader, rules: Arc<Rules>, as_of: u64) -> Result<Self> {
        if let Some(vectors) = &rules.vectors {
            dense::prepare(tx, vectors)?;
        }
        Ok(Self {
            missed: !schema::missing(tx)?.is_empty(),
            tx,
            dense: rules.vectors.is_some(),
            facts: FactFold::new(tx, ledger, rules)?,
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
        Prepared { event, document, gist }: Prepared,
        find: impl Fn(EventId) -> Result<Option<u64>>,
        mut counts: impl FnMut(&Envelope) -> Result<bool>,
    ) -> Result<()> {
        let envelope = &event.envelope;
        let (as_of, missed) = (self.as_of, self.missed);
        let scope = self.scope(&envelope.scope)?;
        // Where some of the scope's entries cannot be read, those that can are all that there will be.
        let expected = match missed {
            true => envelope.nth.max(scope.entries),
            false => scope.entries,
        };
        if (envelope.seq, envelope.nth) != (as_of, expected) {
            return Err(Cause::Damaged(format!(
                "it expects entry {as_of} of the ledger to be number {} of its scope",
                scope.entries
            )));
        }
        scope.entries = envelope.nth.saturating_add(1);
        let scope = scope.id;
        let (actor, run) = (
            self.facts.actor(envelope.actor.as_str())?,
            envelope.run.map(|run| run.0.to_bytes()),
        );
        self.tx
            .prepare_cached("INSERT INTO entry VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
            .execute(params![
                number(envelope.seq),
                scope,
                run,
                event.hash.as_bytes(),
                actor,
                envelope.kind.as_str() == RETRACT,
                states(&envelope.kind),
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
        if let Some(document) = document {
            self.words += document.length as usize;
            self.scope(&envelope.scope)?.changed.fresh.push(Fresh {
                nth: envelope.nth,
                seq: envelope.seq,
                run,
                document,
            });
        }
        self.facts.event(scope, &event, &gist)?;
        tiers::keep(self.tx, scope, &event)?;
        // What no operator signed takes nothing back.
        if let Some(quarantine) = Quarantine::of(envelope)
            && counts(envelope)?
        {
            let lifted = quarantine.lifted().map_or(Ok(None), &find)?;
            self.facts.quarantine(envelope.seq, &quarantine, lifted)?;
            tiers::quarantined(self.tx, envelope.seq)?;
        }
        if envelope.kind.as_str() == Erasure::KIND
            && let Some(erasure) = envelope.sys.as_ref().map(|sys| &sys[Erasure::MEMBER])
            && let Ok(erasure) = Erasure::parse(erasure)
            && counts(envelope)?
        {
            for range in erasure.ranges {
                let tx = self.tx;
                let forgotten = self.scope(&envelope.scope)?.changed.forget(tx, scope, range)?;
                if self.dense {
                    dense::forget(tx, scope, range)?;
                }
                self.facts.forget(scope, range, &forgotten)?;
                tiers::forget(tx, scope, range, envelope.seq)?;
            }
            snapshots::forget(self.tx, envelope.seq)?;
            self.forgot = true;
        }
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

    /// Writes the documents, makes the blocks that are full, and writes the position reached, which it returns.
    pub(crate) fn finish(self) -> Result<u64> {
        let mut update = self.tx.prepare_cached("UPDATE scope SET entries = ?2 WHERE id = ?1")?;
        let mut scopes: Vec<_> = self.scopes.into_values().collect();
        scopes.sort_unstable_by_key(|scope| scope.id);
        for scope in scopes {
            scope.changed.settle(self.tx, scope.id, scope.before, scope.entries)?;
            update.execute(params![scope.id, scope.entries])?;
        }
        self.tx
            .prepare_cached("UPDATE meta SET as_of = ?1")?
            .execute([number(self.as_of)])?;
        self.facts.finish()?;
        Ok(self.as_of)
    }

    fn scope(&mut self, name: &Scope) -> Result<&mut Folded> {
        if !self.scopes.contains_key(name) {
            let scope = self.load(name)?;
            self.scopes.insert(name.clone(), scope);
        }
        let scope = self.scopes.get_mut(name);
        scope.ok_or_else(|| Cause::Damaged("a scope is not known".into()))
    }

    fn load(&self, name: &Scope) -> Result<Folded> {
        let mut select = self
            .tx
            .prepare_cached("SELECT id, entries FROM scope WHERE name = ?1")?;
        let found = select.query_row([name.as_str()], |row| Ok((row.get(0)?, row.get(1)?)));
        let (id, entries) = match found.optional()? {
            Some(found) => found,
            None => {
                // Numbered as they come in the log.
                self.tx
                    .prepare_cached("INSERT INTO scope (name, entries) VALUES (?1, 0)")?
                    .execute([name.as_str()])?;
                (self.tx.last_insert_rowid(), 0)
            }
        };
        Ok(Folded {
            id,
            before: entries,
            entries,
            changed: Changed::default(),
        })
    }
}

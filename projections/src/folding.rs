//! How the tables follow the log: folded a batch at a time, thrown away where they are of another log, and asked.

use std::{
    cell::RefCell,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use quipu_format::{Envelope, Event};
use rusqlite::Transaction;

use crate::{
    Projections,
    ahead::Ahead,
    error::{Result, is_missing, unless_damaged},
    facts::{Fact, leave_tags},
    fold::Fold,
    limits,
    noise::Rules,
    schema,
    tiers::Reached,
};

impl Projections {
    /// Asks the tables; if they prove to be damaged, makes them again and asks once more.
    pub(crate) fn answer<T>(&self, ask: impl Fn(&Transaction<'_>) -> Result<T>) -> Result<T> {
        match self.store.read(&ask) {
            Err(cause) if cause.is_damage() => {
                self.fold_up_to(u64::MAX)?;
                self.store.read(&ask)
            }
            answer => answer,
        }
    }

    pub(crate) fn fold_up_to(&self, to: u64) -> Result<u64> {
        self.fold_telling(to, &mut |_, _| {})
    }

    /// The same; `progress` is told the position reached, and how far it goes.
    pub(crate) fn fold_telling(&self, to: u64, progress: &mut dyn FnMut(u64, u64)) -> Result<u64> {
        let to = to.min(self.ledger.head());
        // Mostly there is nothing to do, and that needs no lock.
        let mut reached = self.reached_so_far()?;
        if reached.is_none_or(|seq| seq < to) {
            let ahead = RefCell::new(Ahead::new(&self.ledger, to));
            while reached.is_none_or(|seq| seq < to) {
                let (seq, forgot) = self
                    .store
                    .write(|tx| self.fold_batch(tx, to, &mut ahead.borrow_mut()))?;
                progress(seq, to);
                reached = Some(seq);
                // What was missing when it was to be folded may be what is erased, and be here by now.
                if forgot && self.take_back()? {
                    reached = None;
                }
            }
            self.store.cut_wal(limits::WAL_BYTES, Duration::ZERO)?;
        }
        // Another process may have folded an erasure, and ended before it could cut the file.
        let erased = self.ledger.erased_below()?;
        if reached.is_some_and(|seq| seq >= erased) && self.erased.fetch_max(erased, Ordering::AcqRel) < erased {
            self.uncut.store(true, Ordering::Release);
        }
        if self.uncut.load(Ordering::Acquire) && self.store.cut_wal(0, Duration::ZERO)? {
            self.uncut.store(false, Ordering::Release);
        }
        Ok(reached.unwrap_or(0).min(self.ledger.head()))
    }

    /// [`Self::reached`] by itself; `None` also of a file that was damaged, which is gone by now.
    pub(crate) fn reached_so_far(&self) -> Result<Option<u64>> {
        match self.store.read(|tx| self.reached(tx)) {
            Err(cause) if cause.is_damage() => Ok(None),
            reached => reached,
        }
    }

    /// Folds the next entries below `to`, and returns the `seq` reached, and whether an erasure was among them.
    fn fold_batch(&self, tx: &Transaction<'_>, to: u64, ahead: &mut Ahead<'_>) -> Result<(u64, bool)> {
        // Once: what is compared is what is folded by.
        let rules = self.rules()?;
        let as_of = match self.reached_by(tx, &rules)? {
            Some(as_of) => as_of,
            None => {
                tracing::warn!(
                    "the projection is of another ledger, of one that was rolled back, or of other rules: it is made again"
                );
                self.throw_away(tx)?;
                0
            }
        };
        if as_of >= to {
            return Ok((as_of, false));
        }
        let mut fold = Fold::new(tx, &self.ledger, rules.clone(), as_of)?;
        let to = to.min(as_of.saturating_add(limits::BATCH_EVENTS as u64));
        let mut authority = self.ledger.authority();
        for seq in as_of..to {
            let Some(prepared) = ahead.take(seq, &rules) else { break };
            let counts = |act: &Envelope| match authority.refusal(act) {
                // Who was an operator is in a segment that is not here. Rather too much is forgotten than too little.
                Err(e) if e.kind() == quipu_log::ErrorKind::NotHere => Ok(true),
                refusal => Ok(refusal?.is_none()),
            };
            match prepared {
                Err(error) if is_missing(&error) => fold.missing(&error)?,
                prepared => fold.event(prepared?, |id| unless_damaged(self.ledger.find(id)), counts)?,
            }
            if fold.words() >= limits::BATCH_WORDS {
                break;
            }
        }
        let forgot = fold.forgot();
        if forgot {
            self.uncut.store(true, Ordering::Release);
        }
        Ok((fold.finish()?, forgot))
    }

    /// Throws everything away if entries that could not be read when they were folded can be read now: the log was
    /// mended, or an archive is back. Returns whether it did.
    pub(crate) fn take_back(&self) -> Result<bool> {
        let missing = match self.store.read(schema::missing) {
            Err(cause) if cause.is_damage() => Vec::new(),
            missing => missing?,
        };
        let is_back = missing.iter().any(|seq| matches!(self.ledger.event(*seq), Ok(Some(_))));
        if is_back {
            self.store.write(|tx| self.throw_away(tx))?;
        }
        Ok(is_back)
    }

    /// Empties the tables. What they held may be in the write-ahead file, which is to be cut.
    pub(crate) fn throw_away(&self, tx: &Transaction<'_>) -> Result<()> {
        self.uncut.store(true, Ordering::Release);
        schema::reset(tx, self.ledger.origin())
    }

    /// The `seq` up to which the tables hold what this reader's ledger says; 0 if they are of another.
    pub(crate) fn folded(&self, tx: &Transaction<'_>) -> Result<u64> {
        Ok(self.reached(tx)?.unwrap_or(0).min(self.ledger.head()))
    }

    /// The same, and how far erasures have come.
    pub(crate) fn how_far(&self, tx: &Transaction<'_>) -> Result<Reached> {
        Ok(Reached {
            folded: self.folded(tx)?,
            erased: self.ledger.erased_below()?,
        })
    }

    /// Facts without what an erasure covers that the tables do not know of.
    pub(crate) fn without_erased<'f>(
        &self,
        tx: &Transaction<'_>,
        facts: impl IntoIterator<Item = &'f mut Fact>,
    ) -> Result<()> {
        let reached = self.how_far(tx)?;
        if reached.erased > reached.folded {
            for fact in facts.into_iter().filter(|fact| fact.rule.is_none()) {
                let find = |id| unless_damaged(self.ledger.find(id));
                leave_tags(fact, find, |seq| self.event(seq))?;
            }
        }
        Ok(())
    }

    /// The `seq` that the tables have reached; `None` if they are of another ledger, or of one that went on otherwise.
    ///
    /// They may be ahead of this reader: another process serves an entry as soon as it is durable, a reader only when
    /// it can tell. So they are compared at the last entry that both have.
    pub(crate) fn reached(&self, tx: &Transaction<'_>) -> Result<Option<u64>> {
        self.reached_by(tx, &*self.rules()?)
    }

    fn reached_by(&self, tx: &Transaction<'_>, rules: &Rules) -> Result<Option<u64>> {
        let Some(meta) = schema::meta(tx)?.filter(|meta| meta.origin == self.ledger.origin()) else {
            return Ok(None);
        };
        // What is derived by other rules is not what these would give.
        let digest = rules.folded_by();
        if meta.rules.is_some_and(|rules| rules != digest) {
            return Ok(None);
        }
        let Some((last, folded)) = schema::last_hash(tx, meta.as_of.min(self.ledger.head()))? else {
            return Ok(Some(meta.as_of));
        };
        // One that has been damaged since then does not say that the log is another.
        let same = self.event(last)?.is_none_or(|event| event.hash == folded);
        Ok(same.then_some(meta.as_of))
    }

    pub(crate) fn rules(&self) -> Result<Arc<Rules>> {
        self.rules.now()
    }

    pub(crate) fn event(&self, seq: u64) -> Result<Option<Event>> {
        let event = self.ledger.event(seq);
        if event.as_ref().is_err_and(is_missing) {
            let mut unreadable = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
            unreadable.insert(seq);
        }
        unless_damaged(event)
    }
}

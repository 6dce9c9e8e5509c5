//! How far what is derived has come: lag, waiting for an entry, and folding a long log while others ask.
//!
//! Appends never wait for any of this: it reads the log, and locks nothing but its own files.

use std::{
    collections::BTreeSet,
    fs::File,
    sync::PoisonError,
    thread,
    time::{Duration, Instant},
};

use quipu_log::LedgerReader;
use serde::Serialize;

use crate::{
    Error, Projections,
    error::{Cause, Result},
    limits::{BATCH_EVENTS, LOOK, TOGETHER},
    schema,
};

/// How far what is derived is behind the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Lag {
    /// The `seq` that the next entry of the log gets.
    pub next: u64,
    /// Entries below it are folded.
    pub as_of: u64,
    /// Entries that are not: the difference.
    pub lag: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// Somebody folds a long stretch of the log at this moment.
    pub building: bool,
}

impl Projections {
    /// How far what is derived from a ledger is behind its log. Nothing is made or folded by asking.
    pub fn lag(ledger: &LedgerReader) -> std::result::Result<Lag, Error> {
        let next = ledger.head();
        let (mut as_of, mut bytes, mut building) = (0, 0, false);
        if Self::exist(ledger) {
            let this = Self::open(ledger)?;
            as_of = this.as_of()?;
            bytes = this.store.bytes();
            building = this.store.building()?.is_none();
        }
        Ok(Lag {
            next,
            as_of,
            lag: next.saturating_sub(as_of),
            bytes,
            building,
        })
    }

    /// Entries that are left out of what is recalled, for they could not be read: when they were folded, or when an answer
    /// of this process needed them.
    pub fn missing(&self) -> std::result::Result<BTreeSet<u64>, Error> {
        let mut missing: BTreeSet<_> = self.answer(schema::missing)?.into_iter().collect();
        missing.extend(self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).iter());
        Ok(missing)
    }

    /// Folds what is missing, and returns the `seq` reached: the ledger's head. Where much is missing and somebody else is
    /// folding it, it returns at once with how far that has come, so that there is an answer meanwhile. `progress` is told
    /// the position reached, and the head.
    pub fn build(&self, progress: &mut dyn FnMut(u64, u64)) -> std::result::Result<u64, Error> {
        let (head, reached) = (self.ledger.head(), self.as_of()?);
        let mut building = None;
        if head.saturating_sub(reached) > BATCH_EVENTS as u64 {
            building = self.take_building()?;
            if building.is_none() {
                return Ok(reached);
            }
        }
        let reached = self.fold_telling(head, progress)?;
        drop(building);
        Ok(reached)
    }

    /// As [`rebuild`](Self::rebuild); `progress` is told the position reached, and the head. Returns the `seq` reached.
    pub fn rebuild_telling(&self, progress: &mut dyn FnMut(u64, u64)) -> std::result::Result<u64, Error> {
        let Some(_building) = self.take_building()? else {
            return Err(Cause::Building.into());
        };
        self.store.write(|tx| self.throw_away(tx))?;
        Ok(self.fold_telling(u64::MAX, progress)?)
    }

    /// Waits until the entry at `seq` is in what is answered, and returns the `seq` reached, which is behind it. Meanwhile
    /// it looks at the log again, where another process writes it, and folds what is missing up to the entry and, while there
    /// is time, some entries behind it, which others will wait for; unless somebody else folds a long stretch.
    ///
    /// # Errors
    /// `Behind` where `limit` has passed; the message says how far it has come. A stretch of at most 32,768 entries that
    /// is being folded then is folded to its end.
    pub fn wait_for(&self, seq: u64, limit: Duration) -> std::result::Result<u64, Error> {
        let begun = Instant::now();
        loop {
            let head = match self.ledger.head() {
                head if head > seq => head,
                _ => self.ledger.refresh().map_err(Cause::from)?,
            };
            let reached = self.as_of()?;
            if reached > seq {
                return Ok(reached);
            }
            if begun.elapsed() >= limit {
                let waited = limit;
                return Err(Cause::Behind {
                    seq,
                    waited,
                    reached,
                    head,
                }
                .into());
            }
            let wanted = seq.saturating_add(1).min(head);
            // What is one step takes nobody's turn. The lock is not held while there is nothing to do but wait.
            let is_short = head.saturating_sub(reached) <= BATCH_EVENTS as u64;
            let building = match is_short || wanted <= reached {
                true => None,
                false => self.store.building()?,
            };
            if wanted > reached && (is_short || building.is_some()) {
                let together = match begun.elapsed() < limit / 2 {
                    true => head.min(reached.saturating_add(TOGETHER)),
                    false => wanted,
                };
                let step = wanted.max(together).min(reached.saturating_add(BATCH_EVENTS as u64));
                match self.fold_up_to(step) {
                    Err(cause) if cause.is_busy() => {}
                    folded => drop(folded?),
                }
            } else {
                thread::sleep(LOOK.min(limit.saturating_sub(begun.elapsed())));
            }
        }
    }

    /// `None`: somebody else is folding. Whoever only looks whether that is so has it for a moment, too.
    fn take_building(&self) -> Result<Option<File>> {
        for _ in 0..5 {
            if let Some(building) = self.store.building()? {
                return Ok(Some(building));
            }
            thread::sleep(LOOK);
        }
        Ok(None)
    }
}

//! Which statements are heard otherwise where an entry takes something back.

use std::collections::{HashSet, VecDeque};

use rusqlite::{OptionalExtension, Transaction, params};

use crate::{
    error::Result,
    factfold::FactFold,
    retract::{Quarantine, Quarantines},
    schema::{EVIDENCE, SUPERSEDES, number, position},
};

impl FactFold<'_> {
    /// Folds a quarantine, and what lifts one: that is the entry at `lifted`.
    pub(crate) fn quarantine(&mut self, seq: u64, quarantine: &Quarantine, lifted: Option<u64>) -> Result<()> {
        let (run, actor, first, end) = match quarantine {
            Quarantine::Run(run) => (Some(run.0.to_bytes()), None, 0, 0),
            Quarantine::Actor { name, first, end } => (None, Some(self.actor(name.as_str())?), *first, *end),
            Quarantine::Lift(_) => (None, None, 0, 0),
        };
        if quarantine.lifted().is_some() && lifted.is_none_or(|lifted| lifted >= seq) {
            return Ok(());
        }
        self.tx
            .prepare_cached("INSERT INTO quarantine VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![
                number(seq),
                run,
                actor,
                number(first),
                number(end),
                lifted.map(number)
            ])?;
        self.quarantines = Quarantines::load(self.tx)?;
        self.touch_covered(seq)
    }

    /// Touches what a quarantine covers, or the one that is lifted in the end.
    fn touch_covered(&mut self, mut seq: u64) -> Result<()> {
        let mut select = self
            .tx
            .prepare_cached("SELECT lifts, run, actor, first, end FROM quarantine WHERE seq = ?1")?;
        type Row = (Option<i64>, Option<[u8; 16]>, Option<i64>, i64, i64);
        let (run, actor, first, end) = loop {
            let row: Option<Row> = select
                .query_row([number(seq)], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
                })
                .optional()?;
            match row {
                Some((Some(lifts), ..)) => seq = position(lifts)?,
                Some((None, run, actor, first, end)) => break (run, actor, first, end),
                // It is none, or nobody signed it.
                None => return Ok(()),
            }
        };
        drop(select);
        let mut select = match run {
            Some(_) => self.tx.prepare_cached("SELECT seq FROM entry WHERE run = ?1"),
            None => self
                .tx
                .prepare_cached("SELECT seq FROM entry WHERE actor = ?1 AND seq >= ?2 AND seq < ?3"),
        }?;
        let seqs: Vec<i64> = match run {
            Some(run) => select
                .query_map([run], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?,
            None => select
                .query_map(params![actor, first, end], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?,
        };
        for seq in seqs {
            self.touch(position(seq)?, Touch::Retracted)?;
        }
        Ok(())
    }

    pub(crate) fn superseded(&mut self, by: u64, retracts: bool) -> Result<()> {
        let how = if retracts { Touch::Retracted } else { Touch::Replaced };
        for earlier in linked(self.tx, Along::Superseded, by)? {
            self.touch(earlier, how)?;
        }
        Ok(())
    }

    /// Statements of which others are heard where something changes about an entry are to be heard anew.
    pub(crate) fn touch(&mut self, seq: u64, how: Touch) -> Result<()> {
        let mut seen = HashSet::from([(seq, how)]);
        let mut todo = VecDeque::from([(seq, how)]);
        while let Some((seq, how)) = todo.pop_front() {
            self.touched.insert(seq);
            let mut next = Vec::new();
            if how == Touch::Retracted {
                let mut select = self.tx.prepare_cached("SELECT retracts FROM entry WHERE seq = ?1")?;
                let retracts = select.query_row([number(seq)], |row| row.get(0)).optional()?;
                let theirs = if retracts == Some(true) {
                    Touch::Retracted
                } else {
                    Touch::Replaced
                };
                next.extend(
                    linked(self.tx, Along::Superseded, seq)?
                        .into_iter()
                        .map(|seq| (seq, theirs)),
                );
            }
            if how != Touch::Replaced {
                next.extend(
                    linked(self.tx, Along::Rests, seq)?
                        .into_iter()
                        .map(|seq| (seq, Touch::Voice)),
                );
            }
            todo.extend(next.into_iter().filter(|next| seen.insert(*next)));
        }
        Ok(())
    }
}

/// What may have changed about an entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Touch {
    /// Whether it is replaced.
    Replaced,
    /// Whether it is retracted: with it goes what it superseded, and what rests on it.
    Retracted,
    /// Who is heard through it.
    Voice,
}

enum Along {
    /// What an entry supersedes.
    Superseded,
    /// What rests on an entry.
    Rests,
}

fn linked(tx: &Transaction<'_>, along: Along, seq: u64) -> Result<Vec<u64>> {
    let (sql, relation) = match along {
        Along::Superseded => (
            "SELECT earlier FROM link WHERE later = ?1 AND relation = ?2",
            SUPERSEDES,
        ),
        Along::Rests => ("SELECT later FROM link WHERE earlier = ?1 AND relation = ?2", EVIDENCE),
    };
    let mut select = tx.prepare_cached(sql)?;
    let rows = select.query_map(params![number(seq), relation], |row| row.get::<_, i64>(0))?;
    rows.map(|seq| position(seq?)).collect()
}

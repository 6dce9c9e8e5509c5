//! Which facts change where an entry takes something back.

use std::collections::{HashSet, VecDeque};

use rusqlite::{OptionalExtension, Transaction, params};

use crate::{
    error::Result,
    factfold::FactFold,
    retract::Quarantine,
    schema::{EVIDENCE, SUPERSEDES, number, position},
};

impl FactFold<'_> {
    pub(crate) fn quarantine(&mut self, seq: u64, quarantine: &Quarantine) -> Result<()> {
        let (run, actor, first, end) = match quarantine {
            Quarantine::Run(run) => (Some(run.0.to_bytes()), None, 0, 0),
            Quarantine::Actor { name, first, end } => (None, Some(self.actor(name.as_str())?), *first, *end),
        };
        self.tx
            .prepare_cached("INSERT INTO quarantine VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![number(seq), run, actor, number(first), number(end)])?;
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
                .query_map(params![actor, number(first), number(end)], |row| row.get(0))?
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

    /// The facts that change where something changes about an entry are to be made again.
    pub(crate) fn touch(&mut self, seq: u64, how: Touch) -> Result<()> {
        let mut seen = HashSet::from([(seq, how)]);
        let mut todo = VecDeque::from([(seq, how)]);
        while let Some((seq, how)) = todo.pop_front() {
            let mut select = self
                .tx
                .prepare_cached("SELECT scope, fact FROM saying WHERE seq = ?1 AND fact IS NOT NULL")?;
            let fact = select.query_row([number(seq)], |row| Ok((row.get(0)?, row.get(1)?)));
            self.again.extend(fact.optional()?);
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

//! What descends from events: what has to be looked at, and mostly erased, when they are.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use quipu_format::{EventId, Kind, RunId, Scope};
use quipu_log::LedgerReader;
use rusqlite::Transaction;
use serde::Serialize;
use ulid::Ulid;

use crate::{
    error::{Cause, Result},
    limits,
    runs::{Knew, Run},
    schema::{SUPERSEDES, number, position},
};

/// An entry that descends from others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Descendant {
    /// Its position.
    pub seq: u64,
    /// Its name.
    pub id: EventId,
    /// Its scope.
    pub scope: Scope,
    /// What it is.
    pub kind: Kind,
    /// Why it descends.
    pub because: Because,
    /// From which event, as far as is known first.
    pub of: EventId,
    /// The run that wrote it, where that is why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// Its content is gone already.
    pub erased: bool,
}

/// Why an entry descends from an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Because {
    /// It names the event as evidence.
    Evidence,
    /// It supersedes the event.
    Supersedes,
    /// It was written by a run that recall had shown the event.
    Shown,
    /// It was written by a run that had read the event.
    Read,
    /// It was written by a run that might read the event; what that run read is not recorded.
    MayHaveRead,
}

/// Why, from what, and through which run.
type Link = (Because, EventId, Option<RunId>);

/// Walks forward from the entries at `from`, in the order of the log: whatever descends comes later. What is at `end` or
/// behind it is not looked at.
pub(crate) fn descent(
    tx: &Transaction<'_>,
    ledger: &LedgerReader,
    from: &[u64],
    end: u64,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Vec<Descendant>> {
    let mut runs = Runs::load(tx, ledger, from.iter().min().copied().unwrap_or(0)..end, progress)?;
    let mut found: BTreeMap<u64, Option<Link>> = from.iter().map(|&seq| (seq, None)).collect();
    let mut descendants = Vec::new();
    while let Some((seq, link)) = found.pop_first() {
        let Some(entry) = ledger.envelope(seq)? else { continue };
        for (later, because) in named_by(tx, seq, end)? {
            found.entry(later).or_insert(Some((because, entry.id, None)));
        }
        for (run, knew) in runs.take(&entry) {
            let because = match knew {
                Knew::Shown => Because::Shown,
                Knew::Read => Because::Read,
                Knew::MayHaveRead => Because::MayHaveRead,
            };
            // What it wrote before the event existed owes nothing to it.
            for &wrote in run.wrote.iter().filter(|wrote| **wrote > seq) {
                found.entry(wrote).or_insert(Some((because, entry.id, Some(run.id))));
            }
        }
        if let Some((because, of, run)) = link {
            let event = ledger.event(seq)?;
            descendants.push(Descendant {
                seq,
                id: entry.id,
                scope: entry.scope,
                kind: entry.kind,
                because,
                of,
                run,
                erased: event.is_none_or(|event| event.body().is_none()),
            });
        }
        if descendants.len() + found.len() > limits::DESCENDANTS {
            return Err(Cause::Invalid(format!(
                "more than {} entries descend from these events: erase the whole scope instead",
                limits::DESCENDANTS
            )));
        }
    }
    Ok(descendants)
}

/// What names the entry at `seq`, below `end`.
fn named_by(tx: &Transaction<'_>, seq: u64, end: u64) -> Result<Vec<(u64, Because)>> {
    let mut select = tx.prepare_cached(
        "SELECT later, relation FROM link WHERE earlier = ?1 AND later < ?2 ORDER BY relation, later",
    )?;
    let mut rows = select.query([number(seq), number(end)])?;
    let mut later = Vec::new();
    while let Some(row) = rows.next()? {
        let because = match row.get::<_, i64>(1)? {
            SUPERSEDES => Because::Supersedes,
            _ => Because::Evidence,
        };
        later.push((position(row.get(0)?)?, because));
    }
    Ok(later)
}

/// The runs that wrote something after the first of the events, each until it is found to have known one of them.
struct Runs {
    runs: Vec<Option<Run>>,
    /// Numbers of those that may have read in a scope.
    of_scope: HashMap<Scope, Vec<usize>>,
    /// Of those that may have read in any.
    of_any: Vec<usize>,
    /// Of those that were shown an event.
    shown: HashMap<EventId, Vec<usize>>,
}

impl Runs {
    fn load(
        tx: &Transaction<'_>,
        ledger: &LedgerReader,
        Range { start, end }: Range<u64>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self> {
        let mut select =
            tx.prepare("SELECT DISTINCT run FROM entry WHERE run IS NOT NULL AND seq > ?1 AND seq < ?2")?;
        let ids: Vec<[u8; 16]> = select
            .query_map([number(start), number(end)], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let mut this = Self {
            runs: Vec::with_capacity(ids.len()),
            of_scope: HashMap::new(),
            of_any: Vec::new(),
            shown: HashMap::new(),
        };
        for (at, id) in ids.iter().enumerate() {
            let run = Run::load(tx, ledger, RunId(Ulid::from_bytes(*id)), end)?;
            match run.scopes() {
                None => this.of_any.push(at),
                Some(scopes) => scopes.for_each(|scope| this.of_scope.entry(scope.clone()).or_default().push(at)),
            }
            run.shown().for_each(|id| this.shown.entry(*id).or_default().push(at));
            this.runs.push(Some(run));
            progress(at as u64 + 1, ids.len() as u64);
        }
        Ok(this)
    }

    /// Takes out the runs that knew the entry. All that such a run wrote later descends from it, so that what else the
    /// run knew, later in the log, adds nothing.
    fn take(&mut self, entry: &quipu_format::Envelope) -> Vec<(Run, Knew)> {
        let in_scope = self.of_scope.get(&entry.scope).into_iter().flatten();
        let candidates = in_scope
            .chain(&self.of_any)
            .chain(self.shown.get(&entry.id).into_iter().flatten());
        let mut known = Vec::new();
        for &at in candidates {
            let knew = self.runs[at].as_ref().and_then(|run| run.knew(entry));
            if let Some(knew) = knew {
                known.extend(self.runs[at].take().map(|run| (run, knew)));
            }
        }
        known
    }
}

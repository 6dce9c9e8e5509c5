//! Tiers: an event that summarises nothing is of tier 0, an event of kind `memory.summary` of the tier that its payload
//! says, or else of tier 1. What it names as evidence is what it covers.
//!
//! A summary *holds* if nothing that it covers, itself or through other summaries, was retracted, quarantined or erased
//! since it was written, nor a statement that nobody is heard through any more. That it is superseded is another matter,
//! and [`Fates`] says so.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap, HashSet},
};

use quipu_format::{Event, Scope};
use rusqlite::{OptionalExtension, Transaction, params};
use serde_json::Value;

use crate::{
    context::Answer,
    error::Result,
    hearing::Hearing,
    limits,
    retract::Fates,
    schema::{self, EVIDENCE, SUPERSEDES, number, position},
    statements::{Digest, RETRACT, SUMMARY, rule_digest},
    view::{Sight, View},
};

/// In `undone`: of all scopes.
const ALL_SCOPES: i64 = 0;
/// Answers that one summary must cover for it to be shown with them.
const STANDS_FOR: usize = 3;

/// Keeps what an event of a scope is in this: a summary, or what takes something back.
pub(crate) fn keep(tx: &Transaction<'_>, scope: i64, event: &Event) -> Result<()> {
    let envelope = &event.envelope;
    if envelope.kind.as_str() == RETRACT {
        tx.prepare_cached(
            "INSERT OR IGNORE INTO undone SELECT scope, later FROM link JOIN entry ON entry.seq = earlier
             WHERE later = ?1 AND relation = ?2",
        )?
        .execute(params![number(envelope.seq), SUPERSEDES])?;
    }
    if envelope.kind.as_str() != SUMMARY {
        return Ok(());
    }
    // What was erased before it is folded is as if it were erased afterwards.
    let payload: Option<Value> = event
        .payload()
        .map(|json| serde_json::from_str(json).unwrap_or_default());
    let tier = payload.as_ref().map_or(0, tier_of);
    let rule = payload.as_ref().and_then(|payload| rule_digest(&payload["rule"]));
    tx.prepare_cached(
        "INSERT INTO summary SELECT ?1, ?2, ?3, ?4, ?5, EXISTS (
             SELECT 1 FROM link JOIN entry ON entry.seq = earlier LEFT JOIN summary ON summary.seq = earlier
             WHERE later = ?2 AND relation = ?6 AND (entry.scope <> ?1 OR crosses))",
    )?
    .execute(params![scope, number(envelope.seq), envelope.nth, tier, rule, EVIDENCE])?;
    Ok(())
}

/// Forgets what summaries said that were erased by the entry at `seq`.
pub(crate) fn forget(tx: &Transaction<'_>, scope: i64, [first, last]: [u32; 2], seq: u64) -> Result<()> {
    tx.prepare_cached("UPDATE summary SET tier = 0, rule = NULL WHERE scope = ?1 AND nth BETWEEN ?2 AND ?3")?
        .execute(params![scope, first, last])?;
    tx.prepare_cached("INSERT OR IGNORE INTO undone VALUES (?1, ?2)")?
        .execute(params![scope, number(seq)])?;
    Ok(())
}

/// Remembers that a quarantine took something back.
pub(crate) fn quarantined(tx: &Transaction<'_>, seq: u64) -> Result<()> {
    tx.prepare_cached("INSERT OR IGNORE INTO undone VALUES (?1, ?2)")?
        .execute(params![ALL_SCOPES, number(seq)])?;
    Ok(())
}

/// How many entries below `head` took something of a scope back.
pub(crate) fn undone(tx: &Transaction<'_>, scope: &Scope, head: u64) -> Result<u64> {
    let mut select = tx.prepare_cached(
        "SELECT count(*) FROM undone WHERE scope IN (?1, (SELECT id FROM scope WHERE name = ?2)) AND seq < ?3",
    )?;
    position(select.query_row(params![ALL_SCOPES, scope.as_str(), number(head)], |row| row.get(0))?)
}

/// The tier that a summary's payload says.
pub(crate) fn tier_of(payload: &Value) -> u32 {
    let tier = payload["tier"].as_u64().unwrap_or(1);
    u32::try_from(tier).unwrap_or(limits::TIERS).clamp(1, limits::TIERS)
}

/// A summary's row.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) seq: u64,
    /// 0: it is erased.
    pub(crate) tier: u32,
    pub(crate) rule: Option<Digest>,
}

/// The summaries of a scope below `head`, the newest first.
pub(crate) fn of_scope(tx: &Transaction<'_>, scope: &Scope, head: u64) -> Result<Vec<Row>> {
    let mut select = tx.prepare_cached(
        "SELECT seq, tier, rule FROM summary WHERE scope = (SELECT id FROM scope WHERE name = ?1) AND seq < ?2 ORDER BY seq DESC",
    )?;
    let mut rows = select.query(params![scope.as_str(), number(head)])?;
    let mut summaries = Vec::new();
    while let Some(row) = rows.next()? {
        summaries.push(Row {
            seq: position(row.get(0)?)?,
            tier: row.get(1)?,
            rule: row.get(2)?,
        });
    }
    Ok(summaries)
}

/// Shows, where one summary covers several of the answers, the summary with each of them in place of the turns around it.
pub(crate) fn stand_in(
    tx: &Transaction<'_>,
    reached: Reached,
    end: u64,
    view: &View,
    event: &dyn Fn(u64) -> Result<Option<Event>>,
    answers: &mut [Answer],
) -> Result<()> {
    let sight = view.sight(tx, end)?;
    let fates = Fates::load(tx, &sight)?;
    Tiers::new(tx, reached, &sight, &fates, event)?.stand_in(answers)
}

/// How far the tables and the log's erasures have come. The tables may be behind: they do not know of all erasures then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reached {
    /// Entries below it are folded.
    pub(crate) folded: u64,
    /// Erasures in entries below it are carried out.
    pub(crate) erased: u64,
}

/// What an entry names, one way or the other, oldest first.
pub(crate) fn named(tx: &Transaction<'_>, seq: u64, relation: i64) -> Result<Vec<u64>> {
    let mut select =
        tx.prepare_cached("SELECT earlier FROM link WHERE later = ?1 AND relation = ?2 ORDER BY earlier")?;
    let rows = select.query_map(params![number(seq), relation], |row| row.get(0))?;
    rows.map(|seq| position(seq?)).collect()
}

/// Tells of which tier an entry is, and whether it holds, in a sight.
pub(crate) struct Tiers<'a> {
    tx: &'a Transaction<'a>,
    sight: &'a Sight,
    fates: &'a Fates<'a>,
    hearing: Hearing<'a>,
    /// Reads an event of the log.
    event: &'a dyn Fn(u64) -> Result<Option<Event>>,
    /// The position behind the last erasure.
    erased: u64,
    /// The same of one that the tables do not know of; 0: there is none.
    unknown: u64,
    /// What is known of summaries, and of what they cover: whether it holds.
    known: RefCell<HashMap<u64, bool>>,
}

/// When an answer is given, in the order of its score among others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Now,
    /// After those that are given now.
    Later,
    Never,
}

impl<'a> Tiers<'a> {
    pub(crate) fn new(
        tx: &'a Transaction<'a>,
        reached: Reached,
        sight: &'a Sight,
        fates: &'a Fates<'a>,
        event: &'a dyn Fn(u64) -> Result<Option<Event>>,
    ) -> Result<Self> {
        let folded = schema::meta(tx)?.map_or(0, |meta| meta.erasures);
        Ok(Self {
            tx,
            sight,
            fates,
            hearing: Hearing::under(tx, sight, fates.quarantines()),
            event,
            erased: folded.max(reached.erased),
            unknown: Some(reached.erased)
                .filter(|erased| *erased > reached.folded)
                .unwrap_or(0),
            known: RefCell::default(),
        })
    }

    /// Originals come first, unless a tier is asked for; then there is nothing else.
    pub(crate) fn turn(&self, seq: u64, wanted: Option<u32>) -> Result<Turn> {
        let tier = self.tier(seq)?;
        Ok(match wanted {
            Some(wanted) if wanted != tier.unwrap_or(0) => Turn::Never,
            _ if tier.is_some() && !self.holds(seq)? => Turn::Never,
            None if tier.is_some() => Turn::Later,
            _ => Turn::Now,
        })
    }

    /// `None`: it is no summary.
    pub(crate) fn tier(&self, seq: u64) -> Result<Option<u32>> {
        let mut select = self.tx.prepare_cached("SELECT tier FROM summary WHERE seq = ?1")?;
        Ok(select.query_row([number(seq)], |row| row.get(0)).optional()?)
    }

    /// Whether nothing that a summary covers was taken back since it was written.
    pub(crate) fn holds(&self, summary: u64) -> Result<bool> {
        let mut select = self.tx.prepare_cached(
            "SELECT 1 FROM summary JOIN undone ON undone.scope IN (summary.scope, ?2) OR crosses
             WHERE summary.seq = ?1 AND undone.seq > ?1",
        )?;
        if self.unknown <= summary && !select.exists(params![number(summary), ALL_SCOPES])? {
            return Ok(true);
        }
        let (mut todo, mut found) = (vec![summary], HashSet::from([summary]));
        while let Some(seq) = todo.pop() {
            let holds = match self.known.borrow().get(&seq).copied() {
                Some(true) => continue,
                Some(false) => false,
                None => seq == summary || (found.len() <= limits::HOLDING && self.is_there(seq)?),
            };
            if !holds {
                self.known.borrow_mut().extend([(seq, false), (summary, false)]);
                return Ok(false);
            }
            if self.tier(seq)?.is_some() {
                todo.extend(
                    named(self.tx, seq, EVIDENCE)?
                        .into_iter()
                        .filter(|seq| found.insert(*seq)),
                );
            }
        }
        self.known.borrow_mut().extend(found.into_iter().map(|seq| (seq, true)));
        Ok(true)
    }

    /// A summary, and those that it covers.
    pub(crate) fn below(&self, summary: u64) -> Result<HashSet<u64>> {
        let (mut todo, mut found) = (vec![summary], HashSet::from([summary]));
        while let Some(seq) = todo.pop() {
            for covered in named(self.tx, seq, EVIDENCE)? {
                if self.tier(covered)?.is_some() && found.insert(covered) {
                    todo.push(covered);
                }
            }
        }
        Ok(found)
    }

    /// Whether an entry that a summary covers was not taken back. That it was replaced does not matter.
    fn is_there(&self, seq: u64) -> Result<bool> {
        if self.fates.retraction(seq)?.retracted {
            return Ok(false);
        }
        // To read them all costs more than all the rest.
        if self.erased > seq && (self.event)(seq)?.is_some_and(|event| event.body().is_none()) {
            return Ok(false);
        }
        Ok(self.fates.of(seq)?.is_withdrawn() || self.hearing.counts(seq)?.counts)
    }

    /// The newest summary of tier 1 that covers an entry, stands and holds.
    fn over(&self, seq: u64) -> Result<Option<u64>> {
        let mut select = self.tx.prepare_cached(
            "SELECT later, entry.scope, run FROM link JOIN summary ON summary.seq = later JOIN entry ON entry.seq = later
             WHERE earlier = ?1 AND relation = ?2 AND tier = 1 ORDER BY later DESC",
        )?;
        let mut rows = select.query(params![number(seq), EVIDENCE])?;
        while let Some(row) = rows.next()? {
            let summary = position(row.get(0)?)?;
            let run = row.get::<_, Option<[u8; 16]>>(2)?;
            if self.sight.sees(row.get(1)?, summary, run.as_ref())
                && !self.fates.of(summary)?.is_withdrawn()
                && self.holds(summary)?
            {
                return Ok(Some(summary));
            }
        }
        Ok(None)
    }

    fn stand_in(&self, answers: &mut [Answer]) -> Result<()> {
        let mut over = BTreeMap::<u64, Vec<usize>>::new();
        for (nth, answer) in answers.iter().enumerate() {
            if let Some(summary) = self.over(answer.event.envelope.seq)? {
                over.entry(summary).or_default().push(nth);
            }
        }
        for (summary, covered) in over.into_iter().filter(|(_, covered)| covered.len() >= STANDS_FOR) {
            let Some(event) = (self.event)(summary)? else { continue };
            for nth in covered {
                if let Some(answer) = answers.get_mut(nth) {
                    answer.around = vec![event.clone()];
                }
            }
        }
        Ok(())
    }
}

//! The summaries that are there, and what has to change.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use quipu_format::{EventId, Scope};
use rusqlite::{OptionalExtension, Transaction};

use crate::{
    compact::{Compaction, Maker, NewSummary, TierPlan},
    error::Result,
    limits,
    retract::Fates,
    schema::{EVIDENCE, SUPERSEDES, number},
    statements::Digest,
    tiers,
    view::{Handle, View},
};

/// The compactor's summaries of a scope that nothing supersedes.
pub(super) struct Standing {
    summaries: Vec<Found>,
}

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) seq: u64,
    /// 0: it is erased.
    tier: u32,
    /// It is of this rule in this version.
    is_ours: bool,
    /// What it names as evidence, rising.
    covers: Vec<u64>,
    /// The first original that it covers.
    pub(super) first: u64,
}

impl Standing {
    pub(super) fn load(tx: &Transaction<'_>, compaction: &Compaction, rule: Option<Digest>, head: u64) -> Result<Self> {
        let view = View::Handles(vec![Handle {
            scope: compaction.scope.clone(),
            head,
            run: None,
        }]);
        let sight = view.sight(tx, head)?;
        let fates = Fates::load(tx, &sight)?;
        let mut select = tx.prepare_cached(
            "SELECT 1 FROM entry WHERE seq = ?1 AND run IS NULL AND actor = (SELECT id FROM actor WHERE name = ?2)",
        )?;
        let mut summaries = Vec::new();
        for row in tiers::of_scope(tx, &compaction.scope, head)? {
            let by = select.query_row((number(row.seq), compaction.actor.as_str()), |_| Ok(()));
            if by.optional()?.is_none() || fates.of(row.seq)?.is_withdrawn() {
                continue;
            }
            summaries.push(Found {
                seq: row.seq,
                tier: row.tier,
                is_ours: row.rule.is_some() && row.rule == rule,
                covers: tiers::named(tx, row.seq, EVIDENCE)?,
                first: first(tx, row.seq)?,
            });
        }
        Ok(Self { summaries })
    }

    /// Originals that are covered.
    pub(super) fn covered(&self) -> HashSet<u64> {
        let first_tier = self.summaries.iter().filter(|summary| summary.tier <= 1);
        first_tier.flat_map(|summary| summary.covers.iter().copied()).collect()
    }

    pub(super) fn of_tier(&self, tier: u32) -> Vec<&Found> {
        self.summaries.iter().filter(|summary| summary.tier == tier).collect()
    }

    /// What makes the summaries of a tier cover these parts.
    pub(super) fn plan(self, maker: &Maker<'_>, scope: &Scope, tier: u32, parts: Vec<Vec<u64>>) -> Result<TierPlan> {
        // An erased one does not say of which tier it was: what it covers does.
        let there: Vec<_> = self
            .summaries
            .iter()
            .filter(|summary| [0, tier].contains(&summary.tier))
            .collect();
        // Of several that cover the same the first is kept.
        let mut ours = HashMap::<&[u64], usize>::new();
        for (nth, found) in there.iter().enumerate().rev() {
            if found.is_ours && found.tier == tier {
                ours.insert(&found.covers, nth);
            }
        }
        let undone = tiers::undone(maker.tx, scope, maker.head)?;
        let (mut kept, mut new) = (HashSet::new(), Vec::new());
        for covers in parts {
            match ours.get(&*covers) {
                Some(nth) => drop(kept.insert(*nth)),
                None => new.push(NewSummary {
                    covers,
                    replaces: Vec::new(),
                    undone,
                }),
            }
        }
        let mut part_of = HashMap::new();
        for (nth, new) in new.iter().enumerate() {
            part_of.extend(new.covers.iter().map(|seq| (*seq, nth)));
        }
        let mut obsolete = Vec::new();
        for (_, found) in there.iter().enumerate().filter(|(nth, _)| !kept.contains(nth)) {
            // Of what it covered, what has come in its place meanwhile.
            let mut heirs = BTreeSet::new();
            for &seq in &found.covers {
                heirs.extend(part_of.get(&newest(maker.tx, seq)?));
            }
            let full = |nth: &&usize| new[**nth].replaces.len() >= limits::COVERED;
            match heirs.iter().find(|nth| !full(nth)) {
                Some(heir) => new[*heir].replaces.push(found.seq),
                // What is erased says nothing that would have to be taken back.
                None if found.tier == 0 => {}
                None => obsolete.extend(with_replaced(maker, found.seq)?),
            }
        }
        new.iter_mut().for_each(|new| new.replaces.sort_unstable());
        let higher = self.summaries.iter().any(|summary| summary.tier > tier);
        Ok(TierPlan {
            tier,
            more: kept.len() + new.len() > 1 || higher,
            kept: kept.len(),
            new,
            obsolete,
        })
    }
}

/// The first original below a summary.
fn first(tx: &Transaction<'_>, mut seq: u64) -> Result<u64> {
    // Each is older than the one that covers it.
    while let Some(&below) = tiers::named(tx, seq, EVIDENCE)?.first() {
        seq = below;
        let mut select = tx.prepare_cached("SELECT 1 FROM summary WHERE seq = ?1")?;
        if !select.exists([number(seq)])? {
            break;
        }
    }
    Ok(seq)
}

/// The last of the summaries that came in an entry's place.
fn newest(tx: &Transaction<'_>, mut seq: u64) -> Result<u64> {
    let mut select = tx.prepare_cached(
        "SELECT max(later) FROM link JOIN summary ON summary.seq = later WHERE earlier = ?1 AND relation = ?2",
    )?;
    while let Some(later) = select.query_row((number(seq), SUPERSEDES), |row| row.get::<_, Option<i64>>(0))? {
        seq = crate::schema::position(later)?;
    }
    Ok(seq)
}

/// A summary and all that it replaced: retracting it alone would bring them back.
fn with_replaced(maker: &Maker<'_>, seq: u64) -> Result<Vec<EventId>> {
    let (mut all, mut todo) = (BTreeMap::new(), vec![seq]);
    while let Some(seq) = todo.pop() {
        if let Some(event) = (maker.event)(seq)?
            && all.insert(seq, event.envelope.id).is_none()
        {
            todo.extend(tiers::named(maker.tx, seq, SUPERSEDES)?);
        }
    }
    Ok(all.into_values().collect())
}

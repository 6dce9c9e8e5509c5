//! A summary as it is told: each line with the events that it goes back to.

use std::collections::BTreeSet;

use quipu_format::{Actor, Event, EventId, Scope};
use rusqlite::{Transaction, params};
use serde::Serialize;

use crate::{
    compact::lines::{self, Covers, Line},
    error::{Cause, Result},
    limits,
    retract::Fates,
    schema::number,
    statements::{SUMMARY, normal},
    tiers::{self, Reached, Tiers},
    view::{Handle, View},
};

/// A scope's summary.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Summary {
    /// The entry that holds it.
    pub event: Event,
    /// Who wrote it: whoever may append to the scope may. The host stamps that.
    pub actor: Actor,
    /// Its tier, from 1.
    pub tier: u32,
    /// What it says, line by line.
    pub lines: Vec<SummaryLine>,
    /// What it covers, where it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub covers: Option<Covers>,
    /// It takes nothing into account that is at this position or behind it.
    pub as_of: u64,
    /// Events of the scope that came since then and can be recalled.
    pub since: u64,
    /// Other summaries of the scope that stand and hold, and that it does not cover: 0 where it is of all of the scope.
    pub beside: u64,
    /// Facts and signals that did not fit into it.
    pub left_out: u64,
    /// Long texts of which the beginning alone was looked at.
    pub cut: u64,
}

/// A line of a summary.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SummaryLine {
    /// What it says.
    pub text: String,
    /// How many events say it.
    pub count: u64,
    /// The events that it rests on, oldest first; at most 256.
    pub events: Vec<EventId>,
}

/// The newest summary of a scope below `head` that stands and holds.
pub(crate) fn summary(
    tx: &Transaction<'_>,
    reached: Reached,
    scope: &Scope,
    head: u64,
    event: &dyn Fn(u64) -> Result<Option<Event>>,
) -> Result<Option<Summary>> {
    let view = View::Handles(vec![Handle {
        scope: scope.clone(),
        head,
        run: None,
    }]);
    let sight = view.sight(tx, reached.folded)?;
    let fates = Fates::load(tx, &sight)?;
    let tiers = Tiers::new(tx, reached, &sight, &fates, event)?;
    let head = head.min(reached.folded);
    let rows = tiers::of_scope(tx, scope, head)?;
    let stands =
        |row: &tiers::Row| Ok::<_, Cause>(row.tier > 0 && !fates.of(row.seq)?.is_withdrawn() && tiers.holds(row.seq)?);
    for row in &rows {
        if !stands(row)? {
            continue;
        }
        let Some(found) = event(row.seq)?.filter(|event| event.body().is_some()) else {
            continue;
        };
        let mut told = Vec::new();
        for line in lines::read(&found) {
            let events = origins(tx, event, &found, &line)?;
            told.push(SummaryLine {
                text: line.text,
                count: line.count,
                events: events.into_iter().collect(),
            });
        }
        let covers = lines::covers(&found);
        let as_of = covers.as_ref().map_or(row.seq, |covers| covers.last.saturating_add(1));
        let mut select = tx.prepare_cached(
            "SELECT count(*) FROM doc WHERE scope = (SELECT id FROM scope WHERE name = ?1) AND seq >= ?2 AND seq < ?3
             AND NOT EXISTS (SELECT 1 FROM summary WHERE summary.seq = doc.seq)
             AND NOT EXISTS (SELECT 1 FROM entry WHERE entry.seq = doc.seq AND retracts)",
        )?;
        let since: i64 = select.query_row(params![scope.as_str(), number(as_of), number(head)], |row| row.get(0))?;
        let below = tiers.below(row.seq)?;
        let mut beside = 0;
        for other in rows.iter().filter(|row| !below.contains(&row.seq)) {
            beside += u64::from(stands(other)?);
        }
        let (left_out, cut) = lines::lacks(&found);
        return Ok(Some(Summary {
            actor: found.envelope.actor.clone(),
            beside,
            left_out,
            cut,
            tier: lines::tier(&found),
            event: found,
            lines: told,
            covers,
            as_of,
            since: crate::schema::position(since)?,
        }));
    }
    Ok(None)
}

/// The originals that a line goes back to: through summaries that say the same, else the last such summary's evidence.
fn origins(
    tx: &Transaction<'_>,
    event: &dyn Fn(u64) -> Result<Option<Event>>,
    summary: &Event,
    line: &Line,
) -> Result<BTreeSet<EventId>> {
    let said = normal(&line.text);
    let mut found = BTreeSet::new();
    // Summaries may share what they cover: each is looked at once.
    let mut seen = BTreeSet::from([summary.envelope.seq]);
    let mut todo = vec![(summary.envelope.clone(), line.of.clone())];
    while let Some((summary, of)) = todo.pop() {
        let covered = tiers::named(tx, summary.seq, crate::schema::EVIDENCE)?;
        for nth in of {
            if found.len() >= limits::EVIDENCE {
                return Ok(found);
            }
            // Evidence rises with `seq`, in the compactor's summaries; where it does not, its id is all there is to say.
            let id = summary.evidence.get(nth).copied();
            let below = match covered.get(nth) {
                Some(&seq) if seen.contains(&seq) => continue,
                Some(&seq) => event(seq)?.filter(|below| Some(below.envelope.id) == id),
                None => None,
            };
            let below = below.filter(|below| below.envelope.kind.as_str() == SUMMARY);
            let same = below.and_then(|below| {
                let lines = lines::read(&below);
                let same = lines.into_iter().find(|line| normal(&line.text) == said)?;
                Some((below.envelope, same.of))
            });
            match same {
                Some(same) => {
                    seen.insert(same.0.seq);
                    todo.push(same);
                }
                None => found.extend(id),
            }
        }
    }
    Ok(found)
}

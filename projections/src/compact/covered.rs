//! What each summary of a tier should cover.

use std::collections::BTreeMap;

use quipu_format::{Event, Timestamp};
use quipu_log::import::event_time;
use rusqlite::{Transaction, params};

use crate::{
    compact::{Compaction, lines, lines::Covers, standing::Standing},
    error::Result,
    hearing::Hearing,
    limits,
    schema::{Turn, number, position},
    view::{Handle, View},
};

/// Parts of a group are cut at an entry that its name marks, so that one that goes out of a long group changes one part, or
/// two, and not all behind it: not before so many entries,
const LEAST_PART: usize = limits::COVERED / 4;
/// and then at every so many-th on average.
const CUT_AT: u64 = limits::COVERED as u64 / 4;

/// The parts of the originals of a scope, each of them rising; in the order of their first.
pub(super) fn originals(
    tx: &Transaction<'_>,
    compaction: &Compaction,
    standing: &Standing,
    head: u64,
) -> Result<Vec<Vec<u64>>> {
    let view = View::Handles(vec![Handle {
        scope: compaction.scope.clone(),
        head,
        run: None,
    }]);
    let sight = view.sight(tx, head)?;
    let hearing = Hearing::new(tx, &sight)?;
    let covered = standing.covered();
    let mut select = tx.prepare_cached(
        "SELECT doc.seq, time_ms, expires_ms, thread FROM doc JOIN entry ON entry.seq = doc.seq
         WHERE doc.scope = (SELECT id FROM scope WHERE name = ?1) AND doc.seq < ?2 AND NOT retracts
             AND NOT EXISTS (SELECT 1 FROM summary WHERE summary.seq = doc.seq)
         ORDER BY nth",
    )?;
    let mut rows = select.query(params![compaction.scope.as_str(), number(head)])?;
    let mut groups = Groups::default();
    while let Some(row) = rows.next()? {
        let seq = position(row.get(0)?)?;
        let time_ms = position(row.get(1)?)?;
        let expires_ms = row.get::<_, Option<i64>>(2)?.map_or(Ok(u64::MAX), position)?;
        let is_due = compaction.before.is_none_or(|before| time_ms < before.as_ms()) || covered.contains(&seq);
        if is_due && expires_ms > compaction.now.as_ms() && hearing.tells(seq)? {
            groups.add(
                seq,
                Turn {
                    thread: row.get(3)?,
                    time_ms,
                },
            );
        }
    }
    Ok(groups.parts())
}

/// The parts of the summaries of the tier below; none where one covers all.
pub(super) fn summaries(standing: &Standing, tier: u32) -> Vec<Vec<u64>> {
    let mut below = standing.of_tier(tier - 1);
    if below.len() < 2 {
        return Vec::new();
    }
    // By what they cover, and not by when they were written.
    below.sort_by_key(|summary| (summary.first, summary.seq));
    let seqs: Vec<_> = below.iter().map(|summary| summary.seq).collect();
    let mut parts: Vec<_> = seqs.chunks(limits::COVERED).map(<[u64]>::to_vec).collect();
    parts.iter_mut().for_each(|part| part.sort_unstable());
    parts
}

/// Entries by the session or month that they are of.
#[derive(Default)]
struct Groups {
    groups: Vec<Vec<u64>>,
    /// The last turn of each conversation, and its group.
    threads: BTreeMap<u32, (Turn, usize)>,
    months: BTreeMap<String, usize>,
}

impl Groups {
    /// The entries come in the order of the log.
    fn add(&mut self, seq: u64, turn: Turn) {
        let new = self.groups.len();
        let group = match self.threads.get(&turn.thread) {
            Some((last, group)) if last.leads_to(&turn) => *group,
            _ if turn.thread != 0 => new,
            _ => {
                let day = Timestamp::from_ms(turn.time_ms).to_string();
                *self
                    .months
                    .entry(day.get(..7).unwrap_or_default().to_owned())
                    .or_insert(new)
            }
        };
        if turn.thread != 0 {
            self.threads.insert(turn.thread, (turn, group));
        }
        if group == new {
            self.groups.push(Vec::new());
        }
        if let Some(group) = self.groups.get_mut(group) {
            group.push(seq);
        }
    }

    fn parts(self) -> Vec<Vec<u64>> {
        let mut parts = Vec::new();
        for group in self.groups {
            if group.len() <= limits::COVERED {
                parts.push(group);
                continue;
            }
            let mut part = Vec::new();
            for seq in group {
                part.push(seq);
                if part.len() == limits::COVERED || (part.len() >= LEAST_PART && is_mark(seq)) {
                    parts.push(std::mem::take(&mut part));
                }
            }
            parts.extend(Some(part).filter(|part| !part.is_empty()));
        }
        parts
    }
}

/// Whether a group may be cut behind the entry: a function of it alone, as good as random.
fn is_mark(seq: u64) -> bool {
    // Knuth's multiplicative hash; its high bits are the mixed ones.
    (seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32).is_multiple_of(CUT_AT)
}

/// What an entry covers, a summary by what it covers itself.
pub(super) fn interval(event: &Event) -> Covers {
    lines::covers(event)
        .filter(|_| event.envelope.kind.as_str() == crate::statements::SUMMARY)
        .unwrap_or(Covers {
            since: event_time(event),
            until: event_time(event),
            first: event.envelope.seq,
            last: event.envelope.seq,
            events: 1,
        })
}

/// What two cover together.
pub(super) fn together(all: Covers, covers: Covers) -> Covers {
    Covers {
        since: all.since.min(covers.since),
        until: all.until.max(covers.until),
        first: all.first.min(covers.first),
        last: all.last.max(covers.last),
        events: all.events.saturating_add(covers.events),
    }
}

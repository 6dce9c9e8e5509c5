//! What an event rests on, and what rests on it.

use std::collections::{HashMap, hash_map::Entry};

use quipu_format::{
    Event, EventId,
    limits::{PAGE_BYTES, PAGE_EVENTS},
};
use rusqlite::{OptionalExtension, Transaction};

use crate::{
    error::Result,
    schema::{SUPERSEDES, number, position},
    view::{Sight, View},
};

/// An event and what it rests on, back to the roots, or what rests on it, as far as the view shows it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Trail {
    /// The nearest first; the first is the one that was asked for.
    pub events: Vec<Event>,
    /// How these events lean on each other, in the order in which they were reached.
    pub links: Vec<Link>,
    /// False: cut at 1,000 events, or where their bodies together pass 4 MiB.
    pub complete: bool,
    /// Everything that the view shows below it was taken into account.
    pub as_of: u64,
}

/// `later` names `earlier`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The event that names the other.
    pub later: EventId,
    /// The event that is named.
    pub earlier: EventId,
    /// As what.
    pub relation: Relation,
}

/// How one event leans on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// It rests on it.
    Evidence,
    /// It replaces it in what is derived.
    Supersedes,
}

/// Which way links are followed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// To what an entry names.
    Back,
    /// To what names it.
    Forward,
}

/// Walks from the entry at `seq`; `None` if the view does not show it, or it is not folded yet.
pub(crate) fn trail(
    tx: &Transaction<'_>,
    folded: u64,
    view: &View,
    seq: u64,
    way: Way,
    event: impl Fn(u64) -> Result<Option<Event>>,
) -> Result<Option<Trail>> {
    let sight = view.sight(tx, folded)?;
    // Asked once more of the log itself, as search does.
    let event = |seq| Ok(event(seq)?.filter(|event| view.sees(&event.envelope)));
    let seen = tx
        .prepare_cached("SELECT scope, run FROM entry WHERE seq = ?1")?
        .query_row([number(seq)], |row| {
            Ok((row.get(0)?, row.get::<_, Option<[u8; 16]>>(1)?))
        })
        .optional()?
        .is_some_and(|(scope, run)| sight.sees(scope, seq, run.as_ref()));
    match seen {
        true => walk(
            seq,
            folded.min(view.head()),
            way,
            |seq| linked(tx, &sight, seq, way),
            event,
        ),
        false => Ok(None),
    }
}

/// What the entry at `seq` names, or what names it, as far as the view shows it: evidence first.
fn linked(tx: &Transaction<'_>, sight: &Sight, seq: u64, way: Way) -> Result<Vec<(u64, Relation)>> {
    let mut select = tx.prepare_cached(match way {
        Way::Back => {
            "SELECT earlier, relation, scope, run FROM link JOIN entry ON entry.seq = earlier WHERE later = ?1
             ORDER BY relation, earlier"
        }
        Way::Forward => {
            "SELECT later, relation, scope, run FROM link JOIN entry ON entry.seq = later WHERE earlier = ?1
             ORDER BY relation, later"
        }
    })?;
    let mut rows = select.query([number(seq)])?;
    let mut linked = Vec::new();
    while let Some(row) = rows.next()? {
        let other = position(row.get(0)?)?;
        if sight.sees(row.get(2)?, other, row.get::<_, Option<[u8; 16]>>(3)?.as_ref()) {
            let relation = if row.get::<_, i64>(1)? == SUPERSEDES {
                Relation::Supersedes
            } else {
                Relation::Evidence
            };
            linked.push((other, relation));
        }
    }
    Ok(linked)
}

/// Breadth first from `start`, along `next`. `None`: `event` does not give the start.
fn walk(
    start: u64,
    as_of: u64,
    way: Way,
    next: impl Fn(u64) -> Result<Vec<(u64, Relation)>>,
    event: impl Fn(u64) -> Result<Option<Event>>,
) -> Result<Option<Trail>> {
    let Some(first) = event(start)? else { return Ok(None) };
    let mut bytes = body_bytes(&first);
    let mut order = vec![(start, first.envelope.id)];
    // `None`: looked for and not shown.
    let mut reached = HashMap::from([(start, Some(first.envelope.id))]);
    let mut trail = Trail {
        events: vec![first],
        links: Vec::new(),
        complete: true,
        as_of,
    };
    let mut walked = 0;
    while let Some(&(seq, id)) = order.get(walked) {
        walked += 1;
        for (neighbour, relation) in next(seq)? {
            let full = trail.events.len() >= PAGE_EVENTS || bytes >= PAGE_BYTES;
            let other = match reached.entry(neighbour) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(_) if full => {
                    trail.complete = false;
                    None
                }
                Entry::Vacant(new) => {
                    let found = event(neighbour)?;
                    let id = found.as_ref().map(|event| event.envelope.id);
                    order.extend(id.map(|id| (neighbour, id)));
                    bytes += found.as_ref().map_or(0, body_bytes);
                    trail.events.extend(found);
                    *new.insert(id)
                }
            };
            trail.links.extend(other.map(|other| {
                let (later, earlier) = match way {
                    Way::Back => (id, other),
                    Way::Forward => (other, id),
                };
                Link {
                    later,
                    earlier,
                    relation,
                }
            }));
        }
    }
    Ok(Some(trail))
}

/// Bytes that an event's body takes of an answer.
pub(crate) fn body_bytes(event: &Event) -> usize {
    event
        .body()
        .and_then(|body| body.to_bytes().ok())
        .map_or(0, |bytes| bytes.len())
}

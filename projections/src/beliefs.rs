//! Where a belief comes from and how it changed: who introduced it, its revisions, what a quarantine would take back.

use std::collections::{BTreeSet, HashMap, HashSet};

use quipu_format::{Event, EventId, Scope, Timestamp, limits::PAGE_EVENTS};
use rusqlite::{OptionalExtension, Transaction, params};
use serde::Serialize;

use crate::{
    asking::{Asking, Place},
    confidence::{Voice, Voices},
    error::Result,
    hearing::Hearing,
    retract::{Fates, Quarantine},
    saying::Saying,
    schema::{SUPERSEDES, number, position},
    search::Query,
    statements::{Digest, Said, normal, text_digest},
    tally::load,
    view::View,
};

/// A statement of a belief, and what has become of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Statement {
    /// The event.
    pub event: Event,
    /// Whether it counts.
    pub standing: Standing,
}

/// What has become of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Standing {
    /// It is heard.
    Holds,
    /// An entry that is no retraction supersedes it.
    Replaced,
    /// It was retracted, or quarantined.
    Retracted,
    /// Its run repeats what recall had shown to it.
    Echo,
    /// What it rests on was retracted.
    Unsupported,
    /// What it rests on is erased, or more than 256 events back: how sure that was, nobody knows, and it is no fact.
    ErasedEvidence,
    /// Its time is over.
    Expired,
    /// A newer text holds under its key.
    Outdated,
}

/// Statements of a scope that say this text, whatever their keys, oldest first; the first 1,000.
pub(crate) fn statements(
    tx: &Transaction<'_>,
    folded: u64,
    view: &View,
    scope: &Scope,
    text: &str,
    now: Timestamp,
    event: impl Fn(u64) -> Result<Option<Event>>,
) -> Result<Vec<Statement>> {
    let sight = view.sight(tx, folded)?;
    let query = Query {
        now,
        ..Query::default()
    };
    let (asking, fates) = (Asking::new(tx, &sight, &query)?, Fates::load(tx, &sight)?);
    let mut outdated = HashMap::<Digest, bool>::new();
    let mut select = tx.prepare_cached(
        "SELECT saying.seq, expires_ms FROM statement JOIN saying USING (seq)
         WHERE statement.scope = (SELECT id FROM scope WHERE name = ?1) AND text = ?2 ORDER BY saying.seq",
    )?;
    let rows = select.query_map(params![scope.as_str(), text_digest(&normal(text))], |row| {
        Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?))
    })?;
    let mut statements = Vec::new();
    for row in rows {
        let (seq, expires_ms) = row?;
        let seq = position(seq)?;
        let event = event(seq)?.filter(|event| event.body().is_some() && view.sees(&event.envelope));
        let (Some(event), Some(saying)) = (event, Saying::load(tx, seq)?) else {
            continue;
        };
        let (heard, fate) = (asking.hearing.hear(&saying)?, fates.of(seq)?);
        let unknown = saying.confidence > 0.0 && heard.voices.iter().all(|voice| voice.confidence <= 0.0);
        let standing = match () {
            () if fate.retracted => Standing::Retracted,
            () if fate.replaced => Standing::Replaced,
            () if heard.voices.is_empty() && heard.echo => Standing::Echo,
            () if heard.voices.is_empty() => Standing::Unsupported,
            () if expires_ms.is_some_and(|expires| expires <= number(now.as_ms())) => Standing::Expired,
            () if unknown => Standing::ErasedEvidence,
            () if is_outdated(&asking, &saying, &mut outdated)? => Standing::Outdated,
            () => Standing::Holds,
        };
        statements.push(Statement { event, standing });
        if statements.len() == PAGE_EVENTS {
            break;
        }
    }
    Ok(statements)
}

/// Whether a newer text holds under the key of a statement; `known` of the facts that were looked at.
fn is_outdated(asking: &Asking<'_>, saying: &Saying, known: &mut HashMap<Digest, bool>) -> Result<bool> {
    let sight = asking.sight.scopes();
    let shown = sight.into_iter().find(|(scope, _)| *scope == saying.scope);
    let (Some((scope, shown)), Some(states)) = (shown, saying.states) else {
        return Ok(false);
    };
    if let Some(known) = known.get(&states.fact) {
        return Ok(*known);
    }
    let place = Place {
        scope,
        shown,
        collapsed: HashSet::new(),
    };
    let outdated = match load(asking.tx, scope, &states.fact)? {
        Some(row) => {
            let tally = asking.made(&place, &states.fact, row.tally)?.tally;
            asking.is_outdated(&place, &states.fact, &tally)?
        }
        None => false,
    };
    known.insert(states.fact, outdated);
    Ok(outdated)
}

/// All revisions of what the entry at `seq` revises and is revised by, as far as the view shows them, oldest first; at
/// most 1,000. `None`: the view does not show it.
pub(crate) fn history(
    tx: &Transaction<'_>,
    folded: u64,
    view: &View,
    seq: u64,
    event: impl Fn(u64) -> Result<Option<Event>>,
) -> Result<Option<Vec<Event>>> {
    let sight = view.sight(tx, folded)?;
    let mut shown = tx.prepare_cached("SELECT scope, run FROM entry WHERE seq = ?1")?;
    let mut is_shown = |seq: u64| -> Result<bool> {
        let row = shown.query_row([number(seq)], |row| {
            Ok((row.get(0)?, row.get::<_, Option<[u8; 16]>>(1)?))
        });
        Ok(row
            .optional()?
            .is_some_and(|(scope, run)| sight.sees(scope, seq, run.as_ref())))
    };
    if !is_shown(seq)? {
        return Ok(None);
    }
    let mut select = tx.prepare_cached(
        "SELECT earlier FROM link WHERE later = ?1 AND relation = ?2
         UNION SELECT later FROM link WHERE earlier = ?1 AND relation = ?2",
    )?;
    let (mut reached, mut todo) = (BTreeSet::from([seq]), vec![seq]);
    while let Some(seq) = todo.pop() {
        for other in select.query_map(params![number(seq), SUPERSEDES], |row| row.get(0))? {
            let other = position(other?)?;
            if reached.len() < PAGE_EVENTS && is_shown(other)? && reached.insert(other) {
                todo.push(other);
            }
        }
    }
    let mut events = Vec::new();
    for seq in reached {
        events.extend(event(seq)?.filter(|event| view.sees(&event.envelope)));
    }
    Ok(Some(events))
}

/// The confidence of all who are heard through these events, each event that is no statement by itself.
pub(crate) fn supported(
    tx: &Transaction<'_>,
    folded: u64,
    view: &View,
    events: &[EventId],
    find: impl Fn(EventId) -> Result<Option<u64>>,
    event: impl Fn(u64) -> Result<Option<Event>>,
) -> Result<f64> {
    let sight = view.sight(tx, folded)?;
    let hearing = Hearing::new(tx, &sight)?;
    let mut voices = Voices::default();
    for &id in events {
        let Some(seq) = find(id)? else { continue };
        let Some(event) = event(seq)?.filter(|event| view.sees(&event.envelope)) else {
            continue;
        };
        match (Saying::load(tx, seq)?, Said::of(&event)) {
            (Some(saying), _) => hearing
                .hear(&saying)?
                .voices
                .iter()
                .for_each(|voice| voices.hear(*voice)),
            (None, Some(Said { source, confidence, .. })) if hearing.tells(seq)? => {
                voices.hear(Voice { source, confidence });
            }
            (None, _) => {}
        }
    }
    Ok(voices.confidence())
}

/// Entries below `folded` that a quarantine covers, the oldest first; the host's own among them, which it does not touch.
pub(crate) fn covered(tx: &Transaction<'_>, folded: u64, quarantine: &Quarantine) -> Result<Vec<u64>> {
    let collect = |mut select: rusqlite::CachedStatement<'_>, params: &[&dyn rusqlite::ToSql]| -> Result<Vec<u64>> {
        let rows = select.query_map(params, |row| row.get(0))?;
        rows.map(|seq| position(seq?)).collect()
    };
    match quarantine {
        Quarantine::Lift(_) => Ok(Vec::new()),
        Quarantine::Run(run) => {
            let select = tx.prepare_cached("SELECT seq FROM entry WHERE run = ?1 AND seq < ?2 ORDER BY seq")?;
            collect(select, &[&run.0.to_bytes(), &number(folded)])
        }
        Quarantine::Actor { name, first, end } => {
            let select = tx.prepare_cached(
                "SELECT seq FROM entry WHERE actor = (SELECT id FROM actor WHERE name = ?1) AND seq >= ?2 AND seq < ?3
                 ORDER BY seq",
            )?;
            collect(select, &[&name.as_str(), &number(*first), &number((*end).min(folded))])
        }
    }
}

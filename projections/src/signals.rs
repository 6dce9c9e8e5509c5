//! Signals: what a rule makes of the events that match it, in a sight. See [`crate::noise`].

use std::collections::{HashMap, HashSet};

use quipu_format::{Event, EventId, Scope, Timestamp};
use rusqlite::{Transaction, params};
use ulid::Ulid;

use crate::{
    confidence::{STATED, together},
    error::Result,
    facts::Fact,
    hearing::{Counts, Hearing},
    limits,
    noise::{Rule, Rules},
    schema::{number, position},
    statements::{Digest, Said},
    view::Sight,
};

/// A signal that holds, and the events that it stands for.
pub(crate) struct Signal {
    pub(crate) fact: Fact,
    pub(crate) newest: u64,
    pub(crate) events: HashSet<u64>,
}

/// Keeps which rules an event of a scope matches, and whether it counts.
pub(crate) fn keep(
    tx: &Transaction<'_>,
    rules: &[usize],
    scope: i64,
    event: &Event,
    said: &Said,
    counts: Counts,
) -> Result<()> {
    for &rule in rules {
        tx.prepare_cached("INSERT INTO noise VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)")?
            .execute(params![
                scope,
                rule as i64,
                number(said.time_ms),
                number(event.envelope.seq),
                event.envelope.id.0.to_bytes(),
                event.envelope.run.map(|run| run.0.to_bytes()),
                said.source,
                // What one signal says of many events is no surer than a statement that does not say how sure it is.
                said.confidence.min(STATED),
                counts.counts,
                number(counts.decided),
                counts.more,
                event.envelope.nth,
            ])?;
    }
    Ok(())
}

/// Writes whether an event counts now, if it matches a rule.
pub(crate) fn settle(tx: &Transaction<'_>, hearing: &Hearing<'_>, seq: u64) -> Result<()> {
    let mut matches = tx.prepare_cached("SELECT 1 FROM noise WHERE seq = ?1")?;
    if matches.exists([number(seq)])? {
        let now = hearing.counts(seq)?;
        tx.prepare_cached("UPDATE noise SET counts = ?2, decided = ?3, more = ?4 WHERE seq = ?1")?
            .execute(params![number(seq), now.counts, number(now.decided), now.more])?;
    }
    Ok(())
}

/// The signals of a scope that hold in a sight.
pub(crate) fn signals(
    tx: &Transaction<'_>,
    sight: &Sight,
    hearing: &Hearing<'_>,
    rules: &Rules,
    scope: i64,
    now_ms: u64,
) -> Result<Vec<Signal>> {
    let several = sight.scopes().len() > 1;
    let head = sight.head(scope);
    // Whether the row of an event says what this sight shows.
    let is_right = |decided: u64, more: bool| decided < head && !(more && several);
    let mut signals = Vec::new();
    for (number, rule) in rules.rules.iter().enumerate() {
        let counts = |seq: u64, run: Option<&[u8; 16]>, row: Counts| match is_right(row.decided, row.more) {
            true => Ok(row.counts),
            false => Ok(sight.sees(scope, seq, run) && hearing.counts(seq)?.counts),
        };
        signals.extend(signal(tx, counts, scope, (number, rule), now_ms)?);
    }
    Ok(signals)
}

fn signal(
    tx: &Transaction<'_>,
    counts: impl Fn(u64, Option<&[u8; 16]>, Counts) -> Result<bool>,
    scope: i64,
    (rule_number, rule): (usize, &Rule),
    now_ms: u64,
) -> Result<Option<Signal>> {
    let mut select = tx.prepare_cached(
        "SELECT time_ms, seq, id, run, source, confidence, counts, decided, more FROM noise WHERE scope = ?1 AND rule = ?2
         ORDER BY time_ms DESC, seq DESC",
    )?;
    let mut rows = select.query(params![scope, rule_number as i64])?;
    let (mut times, mut evidence, mut events, mut voices) = (Vec::new(), Vec::new(), HashSet::new(), HashMap::new());
    while let Some(row) = rows.next()? {
        let (time_ms, seq) = (position(row.get(0)?)?, position(row.get(1)?)?);
        let run: Option<[u8; 16]> = row.get(3)?;
        if times.first().is_some_and(|newest| time_ms + rule.within_ms < *newest)
            || events.len() == limits::NOISE_EVENTS
        {
            break;
        }
        let row_says = Counts {
            counts: row.get(6)?,
            decided: position(row.get(7)?)?,
            more: row.get(8)?,
        };
        if !counts(seq, run.as_ref(), row_says)? {
            continue;
        }
        times.push(time_ms);
        evidence.push(EventId(Ulid::from_bytes(row.get(2)?)));
        events.insert(seq);
        let confidence: f64 = row.get(5)?;
        let voice = voices.entry(row.get::<_, Digest>(4)?).or_insert(confidence);
        *voice = voice.max(confidence);
    }
    let (Some(&last), Some(&first)) = (times.first(), times.last()) else {
        return Ok(None);
    };
    let expires = last.saturating_add(rule.within_ms);
    if events.len() < rule.count || expires <= now_ms {
        return Ok(None);
    }
    let mut confidences: Vec<f64> = voices.into_values().collect();
    confidences.sort_by(|a, b| b.total_cmp(a));
    let name: String = tx
        .prepare_cached("SELECT name FROM scope WHERE id = ?1")?
        .query_row([scope], |row| row.get(0))?;
    let Ok(scope) = Scope::new(&name) else { return Ok(None) };
    evidence.truncate(limits::EVIDENCE);
    evidence.reverse();
    let mut tags = rule.tags.clone();
    tags.sort();
    tags.dedup();
    Ok(Some(Signal {
        newest: events.iter().max().copied().unwrap_or(0),
        fact: Fact {
            scope,
            text: rule.signal.clone(),
            confidence: together(confidences),
            tags,
            count: events.len() as u64,
            first_seen: Timestamp::from_ms(first),
            last_seen: Timestamp::from_ms(last),
            expires: Some(Timestamp::from_ms(expires)),
            evidence,
            rule: Some(rule.name().to_owned()),
        },
        events,
    }))
}

//! Signals: what a rule makes of the events that match it, in a sight. See [`crate::noise`].

use std::collections::HashSet;

use quipu_format::{Event, EventId, Scope, Timestamp};
use rusqlite::{Transaction, params};
use ulid::Ulid;

use crate::{
    confidence::{STATED, Voice, hear},
    error::Result,
    facts::Fact,
    hearing::Hearing,
    limits,
    noise::{Rule, Rules},
    retract::Fates,
    saying::Saying,
    schema::{number, position},
    statements::Said,
    tally::confidence,
    view::Sight,
};

/// A signal that holds, and the events that it stands for.
pub(crate) struct Signal {
    pub(crate) fact: Fact,
    pub(crate) newest: u64,
    pub(crate) events: HashSet<u64>,
}

/// Keeps which rules an event of a scope matches.
pub(crate) fn keep(tx: &Transaction<'_>, rules: &Rules, scope: i64, event: &Event) -> Result<()> {
    for rule in rules.matching(event) {
        let Some(said) = Said::of(event) else { continue };
        tx.prepare_cached("INSERT INTO noise VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?
            .execute(params![
                scope,
                rule as i64,
                number(said.time_ms),
                number(event.envelope.seq),
                event.envelope.nth,
                event.envelope.id.0.to_bytes(),
                event.envelope.run.map(|run| run.0.to_bytes()),
                said.source,
                // What one signal says of many events is no surer than a statement that does not say how sure it is.
                said.confidence.min(STATED),
            ])?;
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
    let fates = Fates::load(tx, sight)?;
    let mut signals = Vec::new();
    for (number, rule) in rules.rules.iter().enumerate() {
        signals.extend(signal(tx, sight, hearing, &fates, scope, (number, rule), now_ms)?);
    }
    Ok(signals)
}

fn signal(
    tx: &Transaction<'_>,
    sight: &Sight,
    hearing: &Hearing<'_>,
    fates: &Fates<'_>,
    scope: i64,
    (rule_number, rule): (usize, &Rule),
    now_ms: u64,
) -> Result<Option<Signal>> {
    let mut select = tx.prepare_cached(
        "SELECT time_ms, seq, id, run, source, confidence FROM noise WHERE scope = ?1 AND rule = ?2
         ORDER BY time_ms DESC, seq DESC",
    )?;
    let mut rows = select.query(params![scope, rule_number as i64])?;
    let (mut times, mut evidence, mut events, mut voices) = (Vec::new(), Vec::new(), HashSet::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let (time_ms, seq) = (position(row.get(0)?)?, position(row.get(1)?)?);
        let run: Option<[u8; 16]> = row.get(3)?;
        if times.first().is_some_and(|newest| time_ms + rule.within_ms < *newest)
            || events.len() == limits::NOISE_EVENTS
        {
            break;
        }
        if !sight.sees(scope, seq, run.as_ref()) || fates.of(seq)?.is_withdrawn() {
            continue;
        }
        if let Some(saying) = Saying::load(tx, seq)?
            && saying.states.is_some()
            && hearing.hear(&saying)?.voices.is_empty()
        {
            continue;
        }
        times.push(time_ms);
        evidence.push(EventId(Ulid::from_bytes(row.get(2)?)));
        events.insert(seq);
        let (source, confidence) = (row.get(4)?, row.get(5)?);
        hear(&mut voices, Voice { source, confidence });
    }
    let (Some(&last), Some(&first)) = (times.first(), times.last()) else {
        return Ok(None);
    };
    let expires = last.saturating_add(rule.within_ms);
    if events.len() < rule.count || expires <= now_ms {
        return Ok(None);
    }
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
            confidence: confidence(&voices),
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

//! Signals: what a rule makes of the events that match it, in a sight. See [`crate::noise`].

use std::collections::HashSet;

use quipu_format::{Event, EventId, Scope, Timestamp};
use rusqlite::{Transaction, params};
use ulid::Ulid;

use crate::{
    confidence::{STATED, Voice, Voices, pack, unpack},
    error::Result,
    facts::Fact,
    hearing::{Counts, Hearing},
    limits,
    noise::{Rule, Rules},
    schema::{number, position},
    statements::Said,
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
    let own = Voice {
        source: said.source,
        confidence: said.confidence,
    };
    let voices = counts.voices.map_or_else(|| subdued(&[own]), |voices| subdued(&voices));
    for &rule in rules {
        tx.prepare_cached("INSERT INTO noise VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")?
            .execute(params![
                scope,
                rule as i64,
                number(said.time_ms),
                number(event.envelope.seq),
                event.envelope.id.0.to_bytes(),
                event.envelope.run.map(|run| run.0.to_bytes()),
                pack(&voices),
                counts.counts,
                number(counts.decided),
                counts.more,
                event.envelope.nth,
            ])?;
    }
    Ok(())
}

/// What one signal says of many events is no surer than a statement that does not say how sure it is.
fn subdued(voices: &[Voice]) -> Vec<Voice> {
    voices.iter().map(|voice| voice.through(STATED)).collect()
}

/// Writes whether an event counts now, if it matches a rule.
pub(crate) fn settle(tx: &Transaction<'_>, hearing: &Hearing<'_>, seq: u64) -> Result<()> {
    let mut matches = tx.prepare_cached("SELECT 1 FROM noise WHERE seq = ?1")?;
    if matches.exists([number(seq)])? {
        let now = hearing.counts(seq)?;
        let voices = now.voices.map(|voices| pack(&subdued(&voices)));
        tx.prepare_cached(
            "UPDATE noise SET counts = ?2, decided = ?3, more = ?4, voices = coalesce(?5, voices) WHERE seq = ?1",
        )?
        .execute(params![number(seq), now.counts, number(now.decided), now.more, voices])?;
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
        let heard = |seq: u64, run: Option<&[u8; 16]>, row: Counts| {
            if is_right(row.decided, row.more) {
                return Ok(row.voices.filter(|_| row.counts));
            }
            if !sight.sees(scope, seq, run) {
                return Ok(None);
            }
            let now = hearing.counts(seq)?;
            let voices = now.voices.map(|voices| subdued(&voices)).or(row.voices);
            Ok(voices.filter(|_| now.counts))
        };
        signals.extend(signal(tx, heard, scope, (number, rule), now_ms)?);
    }
    Ok(signals)
}

fn signal(
    tx: &Transaction<'_>,
    heard: impl Fn(u64, Option<&[u8; 16]>, Counts) -> Result<Option<Vec<Voice>>>,
    scope: i64,
    (rule_number, rule): (usize, &Rule),
    now_ms: u64,
) -> Result<Option<Signal>> {
    let mut select = tx.prepare_cached(
        "SELECT time_ms, seq, id, run, voices, counts, decided, more FROM noise WHERE scope = ?1 AND rule = ?2
         ORDER BY time_ms DESC, seq DESC",
    )?;
    let mut rows = select.query(params![scope, rule_number as i64])?;
    let (mut times, mut evidence, mut events, mut voices) = (Vec::new(), Vec::new(), HashSet::new(), Voices::default());
    while let Some(row) = rows.next()? {
        let (time_ms, seq) = (position(row.get(0)?)?, position(row.get(1)?)?);
        let run: Option<[u8; 16]> = row.get(3)?;
        if times.first().is_some_and(|newest| time_ms + rule.within_ms < *newest)
            || events.len() == limits::NOISE_EVENTS
        {
            break;
        }
        let row_says = Counts {
            voices: Some(unpack(row.get_ref(4)?.as_blob()?)?),
            counts: row.get(5)?,
            decided: position(row.get(6)?)?,
            more: row.get(7)?,
        };
        let Some(heard) = heard(seq, run.as_ref(), row_says)? else {
            continue;
        };
        times.push(time_ms);
        evidence.push(EventId(Ulid::from_bytes(row.get(2)?)));
        events.insert(seq);
        heard.into_iter().for_each(|voice| voices.hear(voice));
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
            confidence: voices.confidence(),
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

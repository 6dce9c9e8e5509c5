//! What is believed, answered from the tables.

use std::collections::HashSet;

use quipu_format::{Event, EventId, Scope, Timestamp, limits::PAGE_BYTES};
use rusqlite::Transaction;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    asking::Asking,
    best::{Best, Candidate},
    document::tags,
    error::Result,
    limits,
    noise::Rules,
    search::Query,
    tiers::Reached,
    view::View,
};

/// Facts, the surest first; with text, those first of which a statement matches best.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FactAnswer {
    /// Fewer than asked for also where they name more than 8,192 events, or their texts pass 4 MiB.
    pub facts: Vec<Fact>,
    /// Everything that the view shows below it was taken into account.
    pub as_of: u64,
}

/// A belief, merged from the events that state it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Fact {
    /// Where it is believed.
    pub scope: Scope,
    /// As its newest statement words it.
    pub text: String,
    /// 0 to 1: the greatest within a source, distinct sources combined, and never more than the evidence supports.
    pub confidence: f64,
    /// All tags of its statements, sorted; at most 256.
    pub tags: Vec<String>,
    /// How many events state it, from 1.
    pub count: u64,
    /// When it was first stated, by event time.
    pub first_seen: Timestamp,
    /// When it was last stated, by event time.
    pub last_seen: Timestamp,
    /// When nobody states it any more. `None`: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The events that state it, oldest first; the newest 256.
    pub evidence: Vec<EventId>,
    /// The rule that made it a signal of many events; `None`: it is stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

/// Answers from the tables, as far as they have come; `event` reads the log.
pub(crate) fn facts(
    tx: &Transaction<'_>,
    reached: Reached,
    rules: &Rules,
    view: &View,
    query: &Query,
    event: impl Fn(u64) -> Result<Option<Event>>,
) -> Result<FactAnswer> {
    let end = query.as_of.unwrap_or(u64::MAX).min(reached.folded);
    let sight = view.sight(tx, end)?;
    let asking = Asking::new(tx, &sight, query)?;
    let mut best = Best::new(query.limit.clamp(1, limits::HITS));
    let hits = match query.text.trim().is_empty() {
        true => None,
        false => Some(asking.matching(reached, view, &event)?),
    };
    for (scope, shown) in sight.scopes() {
        let (place, signals) = asking.place(rules, scope, shown)?;
        for signal in signals {
            if let Some(score) = asking.matches(&signal, hits.as_ref()) {
                best.signal(score, signal);
            }
        }
        match &hits {
            None => asking.surest(&place, &mut best)?,
            Some(hits) => asking.found(&place, hits, &mut best)?,
        }
    }
    let mut facts = Vec::new();
    let (mut bytes, mut named) = (0, 0);
    for (digest, believed) in best.in_order() {
        let fact = match believed {
            Candidate::Signal(fact) => fact,
            Candidate::Stated(believed) => match asking.fact(&digest, believed, view, &event)? {
                Some(fact) => fact,
                None => continue,
            },
        };
        bytes += fact.text.len();
        named += fact.evidence.len();
        if !facts.is_empty() && (bytes > PAGE_BYTES || named > limits::ANSWER_EVIDENCE) {
            break;
        }
        facts.push(fact);
    }
    Ok(FactAnswer {
        facts,
        as_of: end.min(view.head()),
    })
}

/// Leaves a fact the tags that events in the log have: where an erasure is not folded, the tables still have those of what it
/// covers.
pub(crate) fn leave_tags(
    fact: &mut Fact,
    find: impl Fn(EventId) -> Result<Option<u64>>,
    event: impl Fn(u64) -> Result<Option<Event>>,
) -> Result<()> {
    let mut left = HashSet::new();
    for &id in &fact.evidence {
        let event = find(id)?.map(&event).transpose()?.flatten();
        let payload: Map<String, Value> = event
            .as_ref()
            .and_then(|event| serde_json::from_str(event.payload()?).ok())
            .unwrap_or_default();
        left.extend(tags(&payload).map(str::to_owned));
    }
    fact.tags.retain(|tag| left.contains(tag));
    Ok(())
}

/// The text that an event states.
pub(crate) fn text(event: &Event) -> Option<String> {
    let payload: Value = serde_json::from_str(event.payload()?).ok()?;
    Some(payload.get("text")?.as_str()?.trim().to_owned())
}

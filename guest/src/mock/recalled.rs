//! What a host offers to recall, as simply as it can be done: shared words, equal texts, links.

use std::collections::{BTreeMap, BTreeSet};

use super::{Reader, State, calls, with};
use crate::{
    Budget, Context, Event, Fact, FactAnswer, Hit, Link, Relation, SearchAnswer, Seq, Trail,
    bindings::{recall::Query, types::Error},
};

/// Characters of a token, as they are counted here.
const TOKEN_CHARACTERS: usize = 4;
/// How sure a statement is that does not say so.
const CONFIDENCE: f64 = 0.5;

/// As the interface has it.
pub fn search(memory: &[&Reader], query: &Query) -> Result<SearchAnswer, Error> {
    with(|state| {
        let asked = words(&query.text);
        let mut hits: Vec<_> = state
            .candidates(memory, query)
            .filter_map(|event| {
                let said = words(&event.text()?);
                let shared = asked.intersection(&said).count();
                let score = shared as f64 / asked.len().max(1) as f64;
                (asked.is_empty() || shared > 0).then(|| (score, event.clone()))
            })
            .collect();
        // The newest first among equals.
        hits.sort_by(|(a, x), (b, y)| b.total_cmp(a).then(y.seq.cmp(&x.seq)));
        hits.truncate(query.limit as usize);
        let hits = hits.into_iter().map(|(score, event)| Hit { event, score }).collect();
        let as_of = state.as_of(memory, query);
        Ok(SearchAnswer { hits, as_of })
    })
}

/// As the interface has it.
pub fn facts(memory: &[&Reader], query: &Query) -> Result<FactAnswer, Error> {
    with(|state| {
        let asked = words(&query.text);
        let mut facts: BTreeMap<String, Fact> = BTreeMap::new();
        for event in state
            .candidates(memory, query)
            .filter(|event| event.kind == "memory.write")
        {
            let Some(text) = event.text() else { continue };
            if !asked.is_empty() && words(&text).is_disjoint(&asked) {
                continue;
            }
            let confidence = member(event, "confidence").and_then(|value| value.as_f64());
            let confidence = confidence.unwrap_or(CONFIDENCE);
            let fact = facts.entry(text.to_lowercase()).or_insert_with(|| Fact {
                text,
                confidence,
                tags: tags(event),
                count: 0,
                first_seen: event.ts.clone(),
                last_seen: event.ts.clone(),
                expires: None,
                evidence: Vec::new(),
            });
            fact.count += 1;
            fact.confidence = fact.confidence.max(confidence);
            fact.last_seen.clone_from(&event.ts);
            fact.evidence.push(event.id.clone());
        }
        let mut facts: Vec<_> = facts.into_values().collect();
        facts.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        facts.truncate(query.limit as usize);
        let as_of = state.as_of(memory, query);
        Ok(FactAnswer { facts, as_of })
    })
}

/// As the interface has it.
pub fn why(memory: &[&Reader], id: &str) -> Result<Trail, Error> {
    trail(memory, id, |link, id| (link.later == id).then_some(&link.earlier))
}

/// As the interface has it.
pub fn impact(memory: &[&Reader], id: &str) -> Result<Trail, Error> {
    trail(memory, id, |link, id| (link.earlier == id).then_some(&link.later))
}

/// As the interface has it.
pub fn compose(memory: &[&Reader], query: &Query, budget: Budget) -> Result<Context, Error> {
    let answer = search(memory, query)?;
    let mut left = match budget {
        Budget::Characters(characters) => characters as usize,
        Budget::Tokens(tokens) => tokens as usize * TOKEN_CHARACTERS,
    };
    let mut context = Context {
        text: String::new(),
        events: Vec::new(),
        as_of: answer.as_of,
    };
    for hit in answer.hits {
        let line = format!("{} [{}]\n", hit.event.text().unwrap_or_default(), hit.event.id);
        let characters = line.chars().count();
        if characters <= left {
            left -= characters;
            context.text += &line;
            context.events.push(hit.event.id);
        }
    }
    Ok(context)
}

/// What is reached from an event by links, the nearest first.
fn trail(
    memory: &[&Reader],
    id: &str,
    follow: impl for<'a> Fn(&'a Link, &str) -> Option<&'a String>,
) -> Result<Trail, Error> {
    with(|state| {
        let seen: Vec<_> = state.seen_by(memory).collect();
        let first = seen.iter().find(|event| event.id == id).ok_or_else(calls::not_found)?;
        let links: Vec<Link> = seen.iter().flat_map(|event| links(event)).collect();
        let mut events: Vec<Event> = vec![(*first).clone()];
        let mut used = Vec::new();
        let mut at = 0;
        while let Some(from) = events.get(at).map(|event| event.id.clone()) {
            for link in &links {
                let Some(to) = follow(link, &from) else { continue };
                let Some(event) = seen.iter().find(|event| event.id == *to) else {
                    continue;
                };
                used.push(link.clone());
                if !events.iter().any(|known| known.id == *to) {
                    events.push((*event).clone());
                }
            }
            at += 1;
        }
        Ok(Trail {
            events,
            links: used,
            complete: true,
            as_of: state.head(),
        })
    })
}

fn links(event: &Event) -> impl Iterator<Item = Link> {
    let link = |earlier: &String, relation| Link {
        later: event.id.clone(),
        earlier: earlier.clone(),
        relation,
    };
    let evidence = event.evidence.iter().map(move |id| link(id, Relation::Evidence));
    evidence.chain(event.supersedes.iter().map(move |id| link(id, Relation::Supersedes)))
}

impl State {
    fn seen_by<'a>(&'a self, memory: &'a [&'a Reader]) -> impl Iterator<Item = &'a Event> {
        memory.iter().flat_map(|reader| self.seen(reader.handle()))
    }

    /// What a query asks among: what is seen, not erased, and not superseded by anything seen.
    fn candidates<'a>(&'a self, memory: &'a [&'a Reader], query: &'a Query) -> impl Iterator<Item = &'a Event> {
        let as_of = query.as_of.unwrap_or(Seq::MAX);
        let superseded: BTreeSet<&String> = self
            .seen_by(memory)
            .filter(|event| event.seq <= as_of)
            .flat_map(|event| &event.supersedes)
            .collect();
        let one_of = |wanted: &[String], is: &String| wanted.is_empty() || wanted.contains(is);
        self.seen_by(memory).filter(move |event| {
            event.seq <= as_of
                && event.payload.is_some()
                && !superseded.contains(&event.id)
                && one_of(&query.kinds, &event.kind)
                && one_of(&query.actors, &event.actor)
                && (query.tags.is_empty() || tags(event).iter().any(|tag| query.tags.contains(tag)))
                && query.since.as_ref().is_none_or(|since| event.ts >= *since)
                && query.until.as_ref().is_none_or(|until| event.ts < *until)
        })
    }

    fn as_of(&self, memory: &[&Reader], query: &Query) -> Seq {
        let newest = self.seen_by(memory).map(|event| event.seq).max().unwrap_or(0);
        query.as_of.map_or(newest, |as_of| as_of.min(newest))
    }
}

fn words(text: &str) -> BTreeSet<String> {
    let words = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

fn member(event: &Event, name: &str) -> Option<serde_json::Value> {
    let mut payload: serde_json::Map<_, _> = event.payload_as().ok()?;
    payload.remove(name)
}

fn tags(event: &Event) -> Vec<String> {
    member(event, "tags")
        .and_then(|tags| serde_json::from_value(tags).ok())
        .unwrap_or_default()
}

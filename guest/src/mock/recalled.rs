//! What a host offers to recall, as simply as it can be done: shared words, equal texts, links.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Reader, State,
    calls::{named, not_found, refused, wanted},
    with,
};
use crate::{
    Budget, Context, ErrorKind, Event, Fact, FactAnswer, Hit, Link, Relation, SearchAnswer, Seq, Trail,
    bindings::{recall::Query, types::Error},
};

/// Characters of a token, as they are counted here.
const TOKEN_CHARACTERS: usize = 4;
const RETRACT: &str = "memory.retract";
const SUMMARY: &str = "memory.summary";
/// Of a question: items of a list, and bytes of its text and of each item.
const NAMES: usize = 256;
const BYTES: usize = 4_096;
/// How sure a statement is that does not say so.
const CONFIDENCE: f64 = 0.5;

/// As the interface has it.
pub fn search(memory: &[&Reader], query: &Query) -> Result<SearchAnswer, Error> {
    let most = checked(memory, query)?;
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
        // Summaries last, the newest first among equals.
        let is_summary = |event: &Event| event.kind == SUMMARY;
        hits.sort_by(|(a, x), (b, y)| {
            let last = is_summary(x).cmp(&is_summary(y));
            last.then(b.total_cmp(a)).then(y.seq.cmp(&x.seq))
        });
        hits.truncate(most);
        let hits = hits.into_iter().map(|(score, event)| Hit { event, score }).collect();
        let as_of = state.as_of(memory, query.as_of);
        Ok(SearchAnswer { hits, as_of })
    })
}

/// As the interface has it.
pub fn facts(memory: &[&Reader], query: &Query) -> Result<FactAnswer, Error> {
    let most = checked(memory, query)?;
    let states = |kind: &str| kind.starts_with("memory.") && ![RETRACT, SUMMARY].contains(&kind);
    with(|state| {
        let asked = words(&query.text);
        let mut facts: BTreeMap<String, Fact> = BTreeMap::new();
        for event in state.candidates(memory, query).filter(|event| states(&event.kind)) {
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
        facts.truncate(most);
        let as_of = state.as_of(memory, query.as_of);
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
    if matches!(budget, Budget::Characters(0) | Budget::Tokens(0)) {
        return Err(refused(ErrorKind::Invalid, "a budget is what fits, from 1"));
    }
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

/// How many results are wanted; refused where nothing can be asked so.
fn checked(memory: &[&Reader], query: &Query) -> Result<usize, Error> {
    is_given(memory)?;
    let most = wanted(query.limit)?;
    let lists = [&query.kinds, &query.tags, &query.actors];
    let is_long = |text: &String| text.len() > BYTES;
    if lists.iter().any(|list| list.len() > NAMES || list.iter().any(is_long)) || is_long(&query.text) {
        let message = format!("a question's lists have at most {NAMES} items, and each text has at most {BYTES} bytes");
        return Err(refused(ErrorKind::TooLarge, &message));
    }
    match [&query.since, &query.until]
        .into_iter()
        .flatten()
        .all(|text| is_instant(text))
    {
        true => Ok(most),
        false => Err(refused(
            ErrorKind::Invalid,
            "an instant has the form 2026-02-20T02:11:43.123Z",
        )),
    }
}

fn is_given(memory: &[&Reader]) -> Result<(), Error> {
    match memory.is_empty() {
        true => Err(refused(ErrorKind::Invalid, "there is no memory to look through")),
        false => Ok(()),
    }
}

/// Whether it has the form of one; no calendar is asked.
fn is_instant(text: &str) -> bool {
    const FORM: &[u8] = b"0000-00-00T00:00:00.000Z";
    let is_as = |(is, form): (u8, &u8)| is == *form || *form == b'0' && is.is_ascii_digit();
    text.len() == FORM.len() && text.bytes().zip(FORM).all(is_as)
}

/// What is reached from an event by links, the nearest first.
fn trail(
    memory: &[&Reader],
    id: &str,
    follow: impl for<'a> Fn(&'a Link, &str) -> Option<&'a String>,
) -> Result<Trail, Error> {
    named(id)?;
    is_given(memory)?;
    with(|state| {
        let seen: Vec<_> = state.seen_by(memory).collect();
        let first = seen.iter().find(|event| event.id == id).ok_or_else(not_found)?;
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
            as_of: state.as_of(memory, None),
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
        let end = query.as_of.unwrap_or(Seq::MAX);
        let superseded: BTreeSet<&String> = self
            .seen_by(memory)
            .filter(|event| event.seq < end)
            .flat_map(|event| &event.supersedes)
            .collect();
        let one_of = |wanted: &[String], is: &String| wanted.is_empty() || wanted.contains(is);
        self.seen_by(memory).filter(move |event| {
            let original = event.original().unwrap_or_default();
            let happened = original.ts.as_ref().unwrap_or(&event.ts);
            let speaks_for = original.actor.as_ref().unwrap_or(&event.actor);
            let tagged = tags(event);
            event.seq < end
                && event.payload.is_some()
                && !superseded.contains(&event.id)
                && one_of(&query.kinds, &event.kind)
                && (one_of(&query.actors, &event.actor) || one_of(&query.actors, speaks_for))
                && query.tags.iter().all(|tag| tagged.contains(tag))
                && query.since.as_ref().is_none_or(|since| happened >= since)
                && query.until.as_ref().is_none_or(|until| happened < until)
        })
    }

    /// The position below which an answer takes everything into account.
    fn as_of(&self, memory: &[&Reader], asked: Option<Seq>) -> Seq {
        let heads = memory.iter().map(|reader| self.reads[reader.handle() as usize].1);
        heads.chain(asked).min().unwrap_or(0)
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

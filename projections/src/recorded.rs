//! Answers of recall that were given once, made again of the events that they were of and of what was noted beside: what
//! an answer says is in those events alone, and goes with them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use quipu_format::{Event, EventId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    context::{Form, Line, turn, written},
    document::tags,
    facts::{Fact, text},
    limits,
    trail::{Link, Relation},
};

/// What is noted of a fact beside its confidence and the events that state it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FactNote {
    /// How many events state it.
    pub count: u64,
    /// When it was first stated, by event time.
    pub first: Timestamp,
    /// When it was last stated, by event time.
    pub last: Timestamp,
    /// When nobody states it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// How many tags it has.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tags: usize,
    /// Of a signal: its text and tags, which a rule has and no event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<(String, Vec<String>)>,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl FactNote {
    /// Of a fact as it is told.
    pub fn of(fact: &Fact) -> Self {
        Self {
            count: fact.count,
            first: fact.first_seen,
            last: fact.last_seen,
            expires: fact.expires,
            tags: fact.tags.len(),
            signal: fact.rule.as_ref().map(|_| (fact.text.clone(), fact.tags.clone())),
        }
    }
}

/// How the text of a context was put together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Layout {
    /// Of which form its lines are.
    pub version: u32,
    /// The first lines are facts: how sure each is, as it is written, and of a signal its text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<(String, Option<String>)>,
    /// Which line was cut, counted from 0, and how many bytes of it were kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<(usize, usize)>,
}

/// The form of lines that this release writes; another has another number.
const VERSION: u32 = 1;

impl Layout {
    pub(crate) fn of(lines: &[Line]) -> Self {
        let mut layout = Self {
            version: VERSION,
            facts: Vec::new(),
            cut: None,
        };
        for (nth, line) in lines.iter().enumerate() {
            match &line.form {
                Form::Fact { confidence, signal } => layout.facts.push((confidence.clone(), signal.clone())),
                Form::Turn { kept: Some(kept) } => layout.cut = Some((nth, *kept)),
                Form::Turn { kept: None } => {}
            }
        }
        layout
    }
}

/// A fact that was told with this confidence, of the events that it was told with, the oldest first. `None`: they do not
/// say all that it said.
pub fn fact_again(confidence: f64, evidence: &[Event], note: &FactNote) -> Option<Fact> {
    let newest = evidence.last()?;
    let (text, tags) = match &note.signal {
        Some((text, tags)) => (text.clone(), tags.clone()),
        None => (text(newest)?, tags_of(evidence)),
    };
    // It has tags of statements that are older than those that it names.
    if tags.len() != note.tags {
        return None;
    }
    Some(Fact {
        scope: newest.envelope.scope.clone(),
        text,
        confidence,
        tags,
        count: note.count,
        first_seen: note.first,
        last_seen: note.last,
        expires: note.expires,
        evidence: evidence.iter().map(|event| event.envelope.id).collect(),
        rule: None,
    })
}

fn tags_of(events: &[Event]) -> Vec<String> {
    let mut all = BTreeSet::new();
    for event in events {
        let payload: Map<String, Value> = event
            .payload()
            .and_then(|payload| serde_json::from_str(payload).ok())
            .unwrap_or_default();
        let tags = tags(&payload).filter(|tag| tag.len() <= limits::LABEL_BYTES);
        all.extend(tags.take(limits::TAGS).map(str::to_owned));
    }
    all.into_iter().take(limits::TAGS).collect()
}

/// The text of a context, of the events that its lines name, in its order, which are opened one by one. `None`: they do not
/// fit the layout, another release laid it out, or it would have more than `most` bytes.
///
/// # Errors
/// The first of an event.
pub fn context_again<E>(
    layout: &Layout,
    events: impl ExactSizeIterator<Item = Result<Event, E>>,
    most: usize,
) -> Result<Option<String>, E> {
    if layout.version != VERSION || layout.facts.len() > events.len() {
        return Ok(None);
    }
    let mut all = String::new();
    for (nth, event) in events.enumerate() {
        match line_again(layout, nth, &event?) {
            Some(line) if all.len() <= most => all.push_str(&written(&line)),
            _ => return Ok(None),
        }
    }
    Ok((all.len() <= most).then_some(all))
}

fn line_again(layout: &Layout, nth: usize, event: &Event) -> Option<Line> {
    let line = match layout.facts.get(nth) {
        Some((confidence, Some(signal))) => Line::fact(confidence.clone(), signal, event.envelope.id),
        Some((confidence, None)) => Line::fact(confidence.clone(), &text(event)?, event.envelope.id),
        None => turn(event),
    };
    match layout.cut.filter(|(cut, _)| *cut == nth) {
        Some((_, kept)) => line.cut(kept),
        None => Some(line),
    }
}

/// The links of a trail, of its events in its order: to what each names, or to what names it.
pub fn links_again(events: &[Event], forward: bool) -> Vec<Link> {
    let seqs: HashMap<EventId, u64> = events
        .iter()
        .map(|event| (event.envelope.id, event.envelope.seq))
        .collect();
    // By the one that a walk goes on from; evidence comes first, and then what is superseded, each in the order of the log.
    let mut leaning: BTreeMap<u64, BTreeSet<(bool, u64, EventId)>> = BTreeMap::new();
    for event in events {
        let later = &event.envelope;
        for (supersedes, named) in [(false, &later.evidence), (true, &later.supersedes)] {
            for earlier in named {
                let Some(&seq) = seqs.get(earlier) else { continue };
                let (from, to) = match forward {
                    false => (later.seq, (supersedes, seq, *earlier)),
                    true => (seq, (supersedes, later.seq, later.id)),
                };
                leaning.entry(from).or_default().insert(to);
            }
        }
    }
    let mut links = Vec::new();
    for event in events {
        let id = event.envelope.id;
        for (supersedes, _, other) in leaning.get(&event.envelope.seq).into_iter().flatten() {
            let (later, earlier) = if forward { (*other, id) } else { (id, *other) };
            let relation = if *supersedes {
                Relation::Supersedes
            } else {
                Relation::Evidence
            };
            links.push(Link {
                later,
                earlier,
                relation,
            });
        }
    }
    links
}

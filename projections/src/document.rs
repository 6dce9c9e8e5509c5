//! What of an event can be searched and filtered by.

use std::collections::BTreeMap;

use quipu_format::{Event, Source, Timestamp};
use serde_json::{Map, Value};

use crate::{
    limits,
    packing::put_term,
    text::{Analyzer, beginning, words},
};

/// An event as search knows it.
#[derive(Debug, PartialEq)]
pub(crate) struct Document {
    /// When it happened: an imported event's original time, otherwise when the host took it.
    pub(crate) time: Timestamp,
    /// When it stops being recalled.
    pub(crate) expires: Option<Timestamp>,
    /// Words that are indexed.
    pub(crate) length: u32,
    /// Words and labels, each once, and how often it has them.
    pub(crate) terms: BTreeMap<String, u16>,
}

impl Document {
    /// `None` where there is nothing to recall: the event is erased, or its kind is the host's own.
    pub(crate) fn of(event: &Event, analyzer: &mut Analyzer) -> Option<Self> {
        let envelope = &event.envelope;
        let body = event.body().filter(|_| !envelope.kind.is_reserved())?;
        // Depth and size were bounded when it was appended; text that still does not parse cannot be searched.
        let payload: Map<String, Value> = serde_json::from_str(body.payload.get()).unwrap_or_default();
        // What a run appends has no original: a guest must not back-date itself, nor lend itself another's name.
        let original = body
            .source
            .as_ref()
            .filter(|_| envelope.run.is_none())
            .and_then(original);
        let original = |member| original?.get(member)?.as_str();

        let time = original("ts")
            .and_then(|ts| Timestamp::parse_rfc3339(ts).ok())
            .unwrap_or(envelope.ts);
        let mut document = Self {
            time,
            expires: expiry(time, &payload),
            length: 0,
            terms: BTreeMap::new(),
        };
        document.label(kind_label(envelope.kind.as_str()));
        document.label(actor_label(envelope.actor.as_str()));
        document.label(original("actor").and_then(actor_label));
        tags(&payload)
            .take(limits::TAGS)
            .for_each(|tag| document.label(tag_label(tag)));
        document.words(body.source.as_ref(), &payload, analyzer);
        Some(document)
    }

    /// The terms as one blob.
    pub(crate) fn packed_terms(&self) -> Vec<u8> {
        let mut blob = Vec::new();
        for (term, &times) in &self.terms {
            put_term(&mut blob, term, times);
        }
        blob
    }

    fn label(&mut self, label: Option<String>) {
        if let Some(label) = label {
            self.terms.insert(label, 1);
        }
    }

    /// Indexes the payload's strings: `text` first, then the tags, then who is said to speak, then all others, until a
    /// limit is reached.
    fn words(&mut self, source: Option<&Source>, payload: &Map<String, Value>, analyzer: &mut Analyzer) {
        let (first, mut others): (Vec<_>, Vec<_>) =
            payload.iter().partition(|(name, _)| FIRST.contains(&name.as_str()));
        // The order must not depend on how the JSON library keeps an object's members.
        others.sort_by_key(|(name, _)| *name);
        let first = FIRST
            .iter()
            .flat_map(|name| first.iter().filter(move |(of, _)| of == name));
        let speaker = source.and_then(|source| source.extra.get("speaker"));
        let values = first
            .map(|(_, value)| *value)
            .chain(speaker)
            .chain(others.into_iter().map(|(_, value)| value));

        let mut bytes = limits::INDEXED_BYTES;
        for value in values {
            for_each_string(value, &mut |text| {
                let text = beginning(text, bytes);
                bytes -= text.len();
                for word in words(text).take(limits::INDEXED_WORDS.saturating_sub(self.length as usize)) {
                    self.length += 1;
                    self.count(analyzer.stem(&word));
                }
                bytes > 0 && (self.length as usize) < limits::INDEXED_WORDS
            });
        }
    }

    fn count(&mut self, stem: &str) {
        match self.terms.get_mut(stem) {
            Some(times) => *times = times.saturating_add(1),
            None => {
                self.terms.insert(stem.to_owned(), 1);
            }
        }
    }
}

/// Members of a payload whose strings come before those of all others.
const FIRST: [&str; 2] = ["text", "tags"];

/// The term under which events of a kind are found. No word begins with U+0001.
pub(crate) fn kind_label(kind: &str) -> Option<String> {
    label('k', kind)
}

/// The term under which events of an actor are found.
pub(crate) fn actor_label(actor: &str) -> Option<String> {
    label('a', actor)
}

/// The term under which events with a tag are found.
pub(crate) fn tag_label(tag: &str) -> Option<String> {
    label('t', tag)
}

/// `None` for what is too long to be filtered by.
fn label(sort: char, text: &str) -> Option<String> {
    (text.len() <= limits::LABEL_BYTES).then(|| format!("\u{1}{sort}{text}"))
}

/// What an import kept of the event that it read.
pub(crate) fn original(source: &Source) -> Option<&Map<String, Value>> {
    source.extra.get("original")?.as_object()
}

pub(crate) fn tags(payload: &Map<String, Value>) -> impl Iterator<Item = &str> {
    payload
        .get("tags")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

pub(crate) fn expiry(time: Timestamp, payload: &Map<String, Value>) -> Option<Timestamp> {
    const DAY_MS: f64 = 86_400_000.0;
    let days = payload.get("ttlDays")?.as_f64().filter(|days| *days >= 0.0)?;
    // The cast saturates, and so do instants past the year 9999.
    Some(Timestamp::from_ms(time.as_ms().saturating_add((days * DAY_MS) as u64)))
}

/// Every string in a value, in a fixed order, while `each` wants more.
fn for_each_string(value: &Value, each: &mut dyn FnMut(&str) -> bool) -> bool {
    match value {
        Value::String(text) => each(text),
        Value::Array(values) => values.iter().all(|value| for_each_string(value, each)),
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            members.into_iter().all(|(_, value)| for_each_string(value, each))
        }
        _ => true,
    }
}

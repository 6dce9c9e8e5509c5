//! What of an event can be searched and filtered by.

use std::sync::Arc;

use quipu_format::{Body, Event, Source, Timestamp};
use serde_json::{Map, Value};

use crate::{
    limits,
    packing::put_term,
    statements::states,
    text::{Analyzer, beginning, words},
    vectors::{Mean, Meaning, Vectors},
};

/// An event as search knows it.
#[derive(Debug, PartialEq)]
pub(crate) struct Document {
    /// When it happened: an imported event's original time, otherwise when the host took it.
    pub(crate) time: Timestamp,
    /// When it stops being recalled.
    pub(crate) expires: Option<Timestamp>,
    /// How sure of itself it says it is, in millionths.
    pub(crate) confidence: Option<u32>,
    /// Which conversation it is a turn of: 0 if of none, otherwise a number that turns of one session have in common.
    pub(crate) thread: u32,
    /// Its text asks something.
    pub(crate) asks: bool,
    /// Words that are indexed.
    pub(crate) length: u32,
    /// Words and labels as [`put_term`] packs them: sorted, each once, and how often the event has it.
    pub(crate) terms: Vec<u8>,
    /// By the operator's word vectors; `None` without.
    pub(crate) meaning: Option<Meaning>,
}

/// An event of which something can be recalled.
pub(crate) struct Readable<'e> {
    pub(crate) event: &'e Event,
    pub(crate) body: &'e Body,
    pub(crate) payload: Map<String, Value>,
}

impl<'e> Readable<'e> {
    /// `None` where there is nothing to recall: the event is erased, or its kind is the host's own.
    pub(crate) fn of(event: &'e Event) -> Option<Self> {
        let body = event.body().filter(|_| !event.envelope.kind.is_reserved())?;
        // Depth and size were bounded when it was appended; text that still does not parse cannot be searched.
        let payload = serde_json::from_str(body.payload.get()).unwrap_or_default();
        Some(Self { event, body, payload })
    }
}

impl Document {
    pub(crate) fn of(
        Readable { event, body, payload }: &Readable<'_>,
        analyzer: &mut Analyzer,
        vectors: Option<&Vectors>,
    ) -> Self {
        let envelope = &event.envelope;
        let source = body.source.as_ref();
        // Who spoke, and when, is not for a run to say: a guest must not back-date itself, nor lend itself another's name.
        let trusted = source.filter(|_| envelope.run.is_none());
        let original = trusted.and_then(original);
        let original = |member| original?.get(member)?.as_str();

        let mut terms = Terms::default();
        terms.label(kind_label(envelope.kind.as_str()));
        terms.label(states(&envelope.kind).then(|| STATES.to_owned()));
        terms.label(actor_label(envelope.actor.as_str()));
        terms.label(original("actor").and_then(actor_label));
        tags(payload)
            .take(limits::TAGS)
            .for_each(|tag| terms.label(tag_label(tag)));
        if let Some(name) = trusted.and_then(speaker).and_then(Value::as_str) {
            words(beginning(name, limits::LABEL_BYTES))
                .for_each(|word| terms.label(speaker_label(&analyzer.stem(&word))));
        }
        terms.words(trusted, payload, analyzer, vectors);

        let time = original("ts")
            .and_then(|ts| Timestamp::parse_rfc3339(ts).ok())
            .unwrap_or(envelope.ts);
        Self {
            time,
            expires: expiry(time, payload),
            confidence: payload.get("confidence").and_then(Value::as_f64).map(millionths),
            thread: source.map_or(0, thread),
            asks: payload.get("text").and_then(Value::as_str).is_some_and(asks),
            length: terms.length,
            meaning: terms.mean.meaning(),
            terms: terms.packed(),
        }
    }
}

/// The terms of a document as they are found.
#[derive(Default)]
struct Terms {
    /// Words among them.
    length: u32,
    all: Vec<Term>,
    mean: Mean,
}

/// A term, the faster told from others by its first eight bytes: that is what most are told by.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Term {
    /// As a number that orders as they do.
    head: u64,
    term: Arc<str>,
}

impl Term {
    fn new(term: Arc<str>) -> Self {
        let mut head = [0; 8];
        head.iter_mut().zip(term.bytes()).for_each(|(head, byte)| *head = byte);
        Self {
            head: u64::from_be_bytes(head),
            term,
        }
    }
}

impl Terms {
    fn packed(mut self) -> Vec<u8> {
        self.all.sort_unstable();
        let mut blob = Vec::new();
        for same in self.all.chunk_by(|a, b| a == b) {
            let Some(Term { term, .. }) = same.first() else {
                continue;
            };
            // A label is there or not.
            let times = if is_label(term) { 1 } else { same.len() };
            put_term(&mut blob, term, u16::try_from(times).unwrap_or(u16::MAX));
        }
        blob
    }

    fn label(&mut self, label: Option<String>) {
        self.all.extend(label.map(|label| Term::new(label.into())));
    }

    /// Indexes the payload's strings: `text` first, then the tags, then who is said to speak, then all others, until a
    /// limit is reached.
    fn words(
        &mut self,
        source: Option<&Source>,
        payload: &Map<String, Value>,
        analyzer: &mut Analyzer,
        vectors: Option<&Vectors>,
    ) {
        let (first, mut others): (Vec<_>, Vec<_>) =
            payload.iter().partition(|(name, _)| FIRST.contains(&name.as_str()));
        // The order must not depend on how the JSON library keeps an object's members.
        others.sort_by_key(|(name, _)| *name);
        let first = FIRST
            .iter()
            .flat_map(|name| first.iter().filter(move |(of, _)| of == name));
        let speaker = source.and_then(speaker);
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
                    self.all.push(Term::new(analyzer.stem(&word)));
                    if let Some(vectors) = vectors {
                        self.mean.add(vectors, &word);
                    }
                }
                bytes > 0 && (self.length as usize) < limits::INDEXED_WORDS
            });
        }
    }
}

/// Members of a payload whose strings come before those of all others.
const FIRST: [&str; 2] = ["text", "tags"];

/// The term under which events are found whose kind states facts.
pub(crate) const STATES: &str = "\u{1}f";

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

/// The term under which events are found whose speaker's name has a word of this stem.
pub(crate) fn speaker_label(stem: &str) -> Option<String> {
    label('s', stem)
}

fn is_label(term: &str) -> bool {
    term.starts_with('\u{1}')
}

/// `None` for what is too long to be filtered by.
fn label(sort: char, text: &str) -> Option<String> {
    (text.len() <= limits::LABEL_BYTES).then(|| format!("\u{1}{sort}{text}"))
}

/// A confidence from 0 to 1, in millionths.
pub(crate) fn millionths(confidence: f64) -> u32 {
    // What is no such number counts as the next that is; the cast saturates.
    (confidence * 1e6).round().clamp(0.0, 1e6) as u32
}

/// A number for what tells one conversation from another: `conversationId`, and `session` where it has sessions.
fn thread(source: &Source) -> u32 {
    let Some(conversation) = &source.conversation_id else {
        return 0;
    };
    let session = source.extra.get("session").map(Value::to_string).unwrap_or_default();
    // FNV-1a. Only turns that follow one another are compared, so that a rare coincidence does little.
    let bytes = source
        .channel
        .bytes()
        .chain([0])
        .chain(conversation.bytes())
        .chain([0])
        .chain(session.bytes());
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hash.max(1)
}

/// Who is said to speak.
fn speaker(source: &Source) -> Option<&Value> {
    source.extra.get("speaker")
}

/// Whether a text has a question mark: of Latin, East Asian or Arabic script.
fn asks(text: &str) -> bool {
    text.contains(['?', '\u{ff1f}', '\u{61f}'])
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

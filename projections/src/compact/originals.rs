//! What originals say: facts merged, noise collapsed, of the rest the sentences that say most.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use quipu_format::{Event, Hash};
use serde_json::Value;

use super::{
    extract,
    lines::{Facts, Line, Told, fitted, one_line, room},
};
use crate::{
    document::Readable,
    facts::text,
    gist::Gist,
    limits,
    noise::Rules,
    statements::{Said, normal},
    text::{Analyzer, beginning},
};

/// Makes the lines of originals, which it is given one by one, the oldest first: facts merged, noise collapsed, of the rest
/// the sentences that say most.
pub(crate) struct Originals<'a> {
    rules: &'a Rules,
    all: Vec<Original>,
    /// When each event happened that matches a rule, and its number.
    matching: BTreeMap<usize, Vec<(u64, usize)>>,
    /// Texts of which the beginning alone is kept.
    cut: u64,
}

/// What is kept of an original: its body may be long.
struct Original {
    kind: String,
    text: Option<String>,
    states: bool,
    key: Option<String>,
    speaker: Option<String>,
}

impl<'a> Originals<'a> {
    pub(crate) fn new(rules: &'a Rules) -> Self {
        Self {
            rules,
            all: Vec::new(),
            matching: BTreeMap::new(),
            cut: 0,
        }
    }

    pub(crate) fn add(&mut self, event: &Event) {
        let time_ms = quipu_log::import::event_time(event).as_ms();
        let gist = Readable::of(event).map(|readable| Gist::of(&readable, self.rules));
        for rule in gist.unwrap_or_default().rules {
            self.matching.entry(rule).or_default().push((time_ms, self.all.len()));
        }
        let text = text(event).map(|text| match beginning(&text, limits::SUMMARISED_BYTES) {
            whole if whole.len() == text.len() => text,
            kept => {
                self.cut += 1;
                kept.to_owned()
            }
        });
        self.all.push(Original {
            kind: event.envelope.kind.to_string(),
            text: text.filter(|text| !text.is_empty()),
            states: Said::of(event).is_some_and(|said| said.states.is_some()),
            key: key_of(event),
            speaker: speaker(event),
        });
    }

    pub(crate) fn told(self, analyzer: &mut Analyzer) -> Told {
        let (mut lines, collapsed) = self.signals();
        let (mut facts, mut sentences, mut said_bytes) = (Facts::default(), Vec::new(), 0);
        for (nth, original) in self.all.iter().enumerate().filter(|(nth, _)| !collapsed.contains(nth)) {
            let Some(said) = &original.text else { continue };
            if original.states {
                facts.add(Line {
                    text: one_line(said),
                    count: 1,
                    said: false,
                    key: original.key.clone(),
                    of: BTreeSet::from([nth]),
                });
                continue;
            }
            said_bytes += said.len();
            let found = extract::sentences(said, nth, analyzer).into_iter();
            sentences.extend(found.map(|mut sentence| {
                sentence.text = original.says(&sentence.text);
                sentence
            }));
        }
        lines.splice(0..0, facts.lines());
        let room = (said_bytes / 5)
            .max(limits::SUMMARY_LINE_BYTES)
            .min(room(&lines, limits::SUMMARY_BYTES));
        lines.extend(extract::best(sentences, room).into_iter().map(Line::from));
        if lines.is_empty() {
            lines = self.at_least();
        }
        Told {
            cut: self.cut,
            ..fitted(lines, limits::SUMMARY_BYTES)
        }
    }

    /// Where there is nothing to choose from: the first text, or else the kinds of what has none.
    fn at_least(&self) -> Vec<Line> {
        let mut kinds = BTreeMap::<&str, BTreeSet<usize>>::new();
        for (nth, original) in self.all.iter().enumerate() {
            if let Some(text) = &original.text {
                return vec![Line::said(original.says(text), BTreeSet::from([nth]))];
            }
            kinds.entry(&original.kind).or_default().insert(nth);
        }
        kinds
            .into_iter()
            .map(|(kind, of)| Line::said(kind.to_owned(), of))
            .collect()
    }

    /// A line for each rule that enough of the events match, close enough to the newest of them; and the events that do.
    fn signals(&self) -> (Vec<Line>, HashSet<usize>) {
        let (mut lines, mut collapsed) = (Vec::new(), HashSet::new());
        for (&rule, matching) in &self.matching {
            let Some(rule) = self.rules.rules.get(rule) else {
                continue;
            };
            let newest = matching.iter().map(|(time_ms, _)| *time_ms).max().unwrap_or(0);
            let near = matching
                .iter()
                .filter(|(time_ms, _)| time_ms + rule.within_ms >= newest);
            let of: BTreeSet<_> = near.map(|(_, nth)| *nth).collect();
            if of.len() >= rule.count {
                collapsed.extend(&of);
                lines.push(Line {
                    said: false,
                    ..Line::said(one_line(&rule.signal), of)
                });
            }
        }
        (lines, collapsed)
    }
}

impl Original {
    /// A sentence of it on one line, with who said it.
    fn says(&self, sentence: &str) -> String {
        match &self.speaker {
            Some(who) => one_line(&format!("{who}: {sentence}")),
            None => one_line(sentence),
        }
    }
}

/// The key of a fact; a long one is known by its beginning and a digest.
fn key_of(event: &Event) -> Option<String> {
    let payload: Value = serde_json::from_str(event.payload()?).ok()?;
    let key = payload["key"].as_str().map(normal).filter(|key| !key.is_empty())?;
    match beginning(&key, limits::LABEL_BYTES) {
        whole if whole.len() == key.len() => Some(key),
        cut => Some(format!("{cut}\u{2026}{}", Hash::of(&[key.as_bytes()]).to_hex())),
    }
}

/// Who is said to have said it, which is not for a run to say.
fn speaker(event: &Event) -> Option<String> {
    let source = event.body()?.source.as_ref().filter(|_| event.envelope.run.is_none())?;
    let who = source.extra.get("speaker").and_then(Value::as_str);
    let who = who.or_else(|| quipu_log::import::original_actor(event))?;
    Some(one_line(beginning(who, limits::LABEL_BYTES)))
}

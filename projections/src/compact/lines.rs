//! What a summary says, line by line, and which of the entries that it covers each line rests on.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use quipu_format::{Event, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    compact::extract,
    document::Readable,
    facts::text,
    gist::Gist,
    limits,
    noise::Rules,
    statements::{Said, normal},
    text::{Analyzer, beginning},
    tiers,
};

/// A line of a summary.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) text: String,
    /// How many originals say it.
    pub(crate) count: u64,
    /// It is a sentence of a conversation, and no fact or signal.
    said: bool,
    /// The key of the fact.
    key: Option<String>,
    /// Numbers of the covered entries that it rests on, as evidence has them.
    pub(crate) of: BTreeSet<usize>,
}

/// A line as a payload has it, besides its text.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    count: u64,
    of: Vec<usize>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    said: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

/// What a summary covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Covers {
    /// When the first of it happened.
    pub since: Timestamp,
    /// When the last of it happened.
    pub until: Timestamp,
    /// The `seq` of the first original.
    pub first: u64,
    /// The `seq` of the last original.
    pub last: u64,
    /// How many originals.
    pub events: u64,
}

/// The lines of originals: facts merged, noise collapsed, of the rest the sentences that say most.
pub(crate) fn of_originals(events: &[Event], rules: &Rules, analyzer: &mut Analyzer) -> Vec<Line> {
    let (mut lines, collapsed) = signals(events, rules);
    let (mut facts, mut sentences, mut said_bytes) = (Facts::default(), Vec::new(), 0);
    for (nth, event) in events.iter().enumerate().filter(|(nth, _)| !collapsed.contains(nth)) {
        let Some(said) = text(event).filter(|text| !text.is_empty()) else {
            continue;
        };
        let states = Said::of(event).and_then(|said| said.states);
        if states.is_some() {
            let key = key_of(event);
            facts.add(Line {
                text: one_line(&said),
                count: 1,
                said: false,
                key,
                of: BTreeSet::from([nth]),
            });
        } else {
            said_bytes += said.len();
            let who = speaker(event).map(|who| format!("{who}: ")).unwrap_or_default();
            sentences.extend(
                extract::sentences(&said, nth, analyzer)
                    .into_iter()
                    .map(|mut sentence| {
                        sentence.text = one_line(&format!("{who}{}", sentence.text));
                        sentence
                    }),
            );
        }
    }
    lines.splice(0..0, facts.lines());
    let room = (said_bytes / 5)
        .max(limits::SUMMARY_LINE_BYTES)
        .min(room(&lines, limits::SUMMARY_BYTES));
    lines.extend(extract::best(sentences, room).into_iter().map(|sentence| Line {
        text: sentence.text,
        count: 1,
        said: true,
        key: None,
        of: BTreeSet::from([sentence.turn]),
    }));
    fitted(lines, limits::SUMMARY_BYTES)
}

/// The lines of summaries, which are merged and chosen from as those of originals are.
pub(crate) fn of_summaries(events: &[Event], analyzer: &mut Analyzer) -> Vec<Line> {
    let (mut facts, mut sentences) = (Facts::default(), Vec::new());
    // By what they cover, and not by when they were written: of facts under one key the newest holds.
    let mut in_time: Vec<_> = events.iter().enumerate().collect();
    in_time.sort_by_key(|(nth, event)| (covers(event).map(|covers| covers.last), *nth));
    for (nth, event) in in_time {
        for mut line in read(event) {
            line.of = BTreeSet::from([nth]);
            match line.said {
                false => facts.add(line),
                true => sentences.push(extract::Sentence::new(line.text, nth, analyzer)),
            }
        }
    }
    let mut lines = facts.lines();
    let bytes = 4 * limits::SUMMARY_BYTES;
    let chosen = extract::best(sentences, room(&lines, bytes));
    lines.extend(chosen.into_iter().map(|sentence| Line {
        text: sentence.text,
        count: 1,
        said: true,
        key: None,
        of: BTreeSet::from([sentence.turn]),
    }));
    fitted(lines, bytes)
}

/// Facts by what they say; of those under one key the newest.
#[derive(Default)]
struct Facts {
    of: BTreeMap<(Option<String>, String), (usize, Line)>,
    newest: BTreeMap<String, String>,
}

impl Facts {
    /// The newest last.
    fn add(&mut self, line: Line) {
        let said = normal(&line.text);
        if let Some(key) = &line.key {
            self.newest.insert(key.clone(), said.clone());
        }
        let at = self.of.len();
        match self.of.entry((line.key.clone(), said)) {
            std::collections::btree_map::Entry::Vacant(new) => drop(new.insert((at, line))),
            std::collections::btree_map::Entry::Occupied(mut known) => {
                let (_, known) = known.get_mut();
                known.text = line.text;
                known.count += line.count;
                known.of.extend(line.of);
            }
        }
    }

    /// Those that are said most often first, then in the order in which they came.
    fn lines(self) -> Vec<Line> {
        let newest = self.newest;
        let holds =
            |(key, said): &(Option<String>, String)| key.as_ref().is_none_or(|key| newest.get(key) == Some(said));
        let mut facts: Vec<_> = self
            .of
            .into_iter()
            .filter(|(name, _)| holds(name))
            .map(|(_, fact)| fact)
            .collect();
        facts.sort_by_key(|(at, line)| (std::cmp::Reverse(line.count), *at));
        facts.into_iter().map(|(_, line)| line).collect()
    }
}

/// A line for each rule that enough of the events match, close enough to the newest of them; and the events that do.
fn signals(events: &[Event], rules: &Rules) -> (Vec<Line>, HashSet<usize>) {
    let mut matching = BTreeMap::<usize, Vec<(u64, usize)>>::new();
    for (nth, event) in events.iter().enumerate() {
        let time_ms = quipu_log::import::event_time(event).as_ms();
        let gist = Readable::of(event).map(|readable| Gist::of(&readable, rules));
        for rule in gist.unwrap_or_default().rules {
            matching.entry(rule).or_default().push((time_ms, nth));
        }
    }
    let (mut lines, mut collapsed) = (Vec::new(), HashSet::new());
    for (rule, mut matching) in matching {
        let Some(rule) = rules.rules.get(rule) else { continue };
        let newest = matching.iter().map(|(time_ms, _)| *time_ms).max().unwrap_or(0);
        matching.retain(|(time_ms, _)| time_ms + rule.within_ms >= newest);
        if matching.len() >= rule.count {
            let of: BTreeSet<_> = matching.iter().map(|(_, nth)| *nth).collect();
            collapsed.extend(&of);
            let (text, count) = (one_line(&rule.signal), of.len() as u64);
            lines.push(Line {
                text,
                count,
                said: false,
                key: None,
                of,
            });
        }
    }
    (lines, collapsed)
}

/// The payload of a summary.
pub(crate) fn payload(lines: &[Line], tier: u32, rule: &Value, covers: &Covers) -> Value {
    let text: Vec<_> = lines.iter().map(written).collect();
    let notes = lines.iter().map(|line| Note {
        count: line.count,
        of: line.of.iter().copied().collect(),
        said: line.said,
        key: line.key.clone(),
    });
    let notes: Vec<_> = notes.collect();
    json!({ "text": text.join("\n"), "tier": tier, "rule": rule, "covers": covers, "lines": notes })
}

/// The lines of a summary. Of one that does not say what its lines rest on, each rests on all that it covers.
pub(crate) fn read(event: &Event) -> Vec<Line> {
    let payload: Value = event
        .payload()
        .and_then(|json| serde_json::from_str(json).ok())
        .unwrap_or_default();
    let text = payload["text"].as_str().unwrap_or_default();
    let said: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let notes: Vec<Note> = serde_json::from_value(payload["lines"].clone()).unwrap_or_default();
    let covered = event.envelope.evidence.len();
    if notes.len() != said.len() {
        let line = |text: &&str| Line {
            text: (*text).to_owned(),
            count: 1,
            said: true,
            key: None,
            of: (0..covered).collect(),
        };
        return said.iter().map(line).collect();
    }
    let lines = said.iter().zip(notes).map(|(text, note)| Line {
        text: text.strip_suffix(&times(note.count)).unwrap_or(text).to_owned(),
        count: note.count,
        said: note.said,
        key: note.key,
        of: note.of.into_iter().filter(|nth| *nth < covered).collect(),
    });
    lines.collect()
}

/// What a summary covers, as it says itself.
pub(crate) fn covers(event: &Event) -> Option<Covers> {
    let payload: Value = serde_json::from_str(event.payload()?).ok()?;
    serde_json::from_value(payload["covers"].clone()).ok()
}

/// The tier of a summary.
pub(crate) fn tier(event: &Event) -> u32 {
    let payload: Value = event
        .payload()
        .and_then(|json| serde_json::from_str(json).ok())
        .unwrap_or_default();
    tiers::tier_of(&payload)
}

fn written(line: &Line) -> String {
    format!("{}{}", line.text, times(line.count))
}

/// How often something was said, as it stands behind it.
fn times(count: u64) -> String {
    match count {
        0 | 1 => String::new(),
        count => format!(" (\u{d7}{count})"),
    }
}

/// What is left of so many bytes.
fn room(lines: &[Line], bytes: usize) -> usize {
    bytes.saturating_sub(lines.iter().map(|line| written(line).len() + 1).sum())
}

/// As many lines as fit.
fn fitted(lines: Vec<Line>, bytes: usize) -> Vec<Line> {
    let mut left = bytes;
    let fits = |line: &Line| {
        let length = written(line).len() + 1;
        let fits = length <= left;
        left -= if fits { length } else { 0 };
        fits
    };
    lines.into_iter().filter(fits).collect()
}

/// A text on one line of bounded length.
fn one_line(text: &str) -> String {
    let line = text.split(|c: char| c.is_whitespace() || c.is_control());
    let line = line.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match beginning(&line, limits::SUMMARY_LINE_BYTES - 3) {
        all if all.len() == line.len() => line,
        cut => format!("{cut}\u{2026}"),
    }
}

fn key_of(event: &Event) -> Option<String> {
    let payload: Value = serde_json::from_str(event.payload()?).ok()?;
    payload["key"].as_str().map(normal).filter(|key| !key.is_empty())
}

/// Who is said to have said it, which is not for a run to say.
fn speaker(event: &Event) -> Option<String> {
    let source = event.body()?.source.as_ref().filter(|_| event.envelope.run.is_none())?;
    let who = source.extra.get("speaker").and_then(Value::as_str);
    let who = who.or_else(|| quipu_log::import::original_actor(event))?;
    Some(one_line(beginning(who, limits::LABEL_BYTES)))
}

//! What a summary says, line by line, and which of the entries that it covers each line rests on.

use std::collections::{BTreeMap, BTreeSet};

use quipu_format::{Event, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    compact::extract,
    limits,
    statements::normal,
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
    pub(super) said: bool,
    /// The key of the fact.
    pub(super) key: Option<String>,
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

/// The lines of a summary, and what is not in them.
pub(crate) struct Told {
    pub(crate) lines: Vec<Line>,
    /// Facts and signals that did not fit.
    pub(crate) left_out: u64,
    /// Texts of which the beginning alone was looked at.
    pub(crate) cut: u64,
}

impl Line {
    /// What was said by these.
    pub(super) fn said(text: String, of: BTreeSet<usize>) -> Self {
        Self {
            text,
            count: of.len() as u64,
            said: true,
            key: None,
            of,
        }
    }
}

impl From<extract::Sentence> for Line {
    fn from(sentence: extract::Sentence) -> Self {
        Self::said(sentence.text, BTreeSet::from([sentence.turn]))
    }
}

/// The lines of summaries, which are merged and chosen from as those of originals are.
pub(crate) fn of_summaries(events: &[Event], analyzer: &mut Analyzer) -> Told {
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
    let chosen = match sentences.len() {
        // A sentence that says little is better than none.
        1 if lines.is_empty() => sentences,
        _ => extract::best(sentences, room(&lines, bytes)),
    };
    lines.extend(chosen.into_iter().map(Line::from));
    let mut told = fitted(lines, bytes);
    // Anybody may have written a summary, and any number into it.
    for event in events {
        let (left_out, cut) = lacks(event);
        told.left_out = told.left_out.saturating_add(left_out);
        told.cut = told.cut.saturating_add(cut);
    }
    told
}

/// Facts by what they say; of those under one key the newest.
#[derive(Default)]
pub(super) struct Facts {
    of: BTreeMap<(Option<String>, String), (usize, Line)>,
    newest: BTreeMap<String, String>,
}

impl Facts {
    /// The newest last.
    pub(super) fn add(&mut self, line: Line) {
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
                known.count = known.count.saturating_add(line.count);
                known.of.extend(line.of);
            }
        }
    }

    /// Those that are said most often first, then in the order in which they came.
    pub(super) fn lines(self) -> Vec<Line> {
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

/// The payload of a summary.
pub(crate) fn payload(told: &Told, tier: u32, rule: &Value, covers: &Covers) -> Value {
    let text: Vec<_> = told.lines.iter().map(written).collect();
    let notes: Vec<_> = told.lines.iter().map(Note::of).collect();
    let mut payload = json!({ "text": text.join("\n"), "tier": tier, "rule": rule, "covers": covers, "lines": notes });
    for (member, count) in [(LEFT_OUT, told.left_out), (CUT, told.cut)] {
        if count > 0 {
            payload[member] = json!(count);
        }
    }
    payload
}

/// Member of a summary's payload: facts and signals that did not fit.
const LEFT_OUT: &str = "leftOut";
/// Member of a summary's payload: texts of which the beginning alone was looked at.
const CUT: &str = "cut";

/// How much is not in a summary, as it says itself: what was left out, and texts that were cut.
pub(crate) fn lacks(event: &Event) -> (u64, u64) {
    let payload = said_by(event);
    let count = |member: &str| payload[member].as_u64().unwrap_or(0);
    (count(LEFT_OUT), count(CUT))
}

/// The payload of an event; null where it is erased.
fn said_by(event: &Event) -> Value {
    let payload = event.payload().and_then(|json| serde_json::from_str(json).ok());
    payload.unwrap_or_default()
}

impl Note {
    fn of(line: &Line) -> Self {
        Self {
            count: line.count,
            of: line.of.iter().copied().collect(),
            said: line.said,
            key: line.key.clone(),
        }
    }
}

/// The lines of a summary. Of one that does not say what its lines rest on, each rests on all that it covers.
pub(crate) fn read(event: &Event) -> Vec<Line> {
    let payload = said_by(event);
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
    serde_json::from_value(said_by(event)["covers"].clone()).ok()
}

/// The tier of a summary.
pub(crate) fn tier(event: &Event) -> u32 {
    tiers::tier_of(&said_by(event))
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
pub(super) fn room(lines: &[Line], bytes: usize) -> usize {
    bytes.saturating_sub(lines.iter().map(|line| written(line).len() + 1).sum())
}

/// As many lines as fit, with what is noted on them.
pub(super) fn fitted(lines: Vec<Line>, bytes: usize) -> Told {
    let (mut text_left, mut notes_left) = (bytes, limits::SUMMARY_NOTES_BYTES);
    let mut told = Told {
        lines: Vec::new(),
        left_out: 0,
        cut: 0,
    };
    for line in lines {
        let text_bytes = written(&line).len() + 1;
        let note_bytes = serde_json::to_string(&Note::of(&line)).map_or(usize::MAX, |note| note.len());
        if text_bytes > text_left || note_bytes > notes_left {
            told.left_out += u64::from(!line.said);
            continue;
        }
        text_left -= text_bytes;
        notes_left -= note_bytes;
        told.lines.push(line);
    }
    told
}

/// A text on one line of bounded length.
pub(super) fn one_line(text: &str) -> String {
    let line = text.split(|c: char| c.is_whitespace() || c.is_control());
    let line = line.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match beginning(&line, limits::SUMMARY_LINE_BYTES - 3) {
        all if all.len() == line.len() => line,
        cut => format!("{cut}\u{2026}"),
    }
}

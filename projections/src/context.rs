//! Text for a prompt: what is believed, what answers a question and what was said around it, fitted to a budget.

use std::collections::{BTreeMap, HashSet};

use quipu_format::{Event, EventId, Source};
use quipu_log::import::{event_time, original_actor};
use serde_json::Value;

use crate::{budget::Budget, facts::Fact, recorded::Layout, statements::normal};

/// Text ready for a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Context {
    /// Lines, each ending with the id of the event that it comes from: facts, the best first, with their newest
    /// statement; then events in the order of the log.
    pub text: String,
    /// The events named in the text, in its order.
    pub events: Vec<EventId>,
    /// The other events that state the facts in the text.
    pub evidence: Vec<EventId>,
    /// Everything that the view shows below it was taken into account.
    pub as_of: u64,
    /// What it takes, besides these events, to put the text together again.
    pub layout: Layout,
}

/// Something that is said in one line, and the event that it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    text: String,
    event: EventId,
    pub(crate) form: Form,
}

/// What a line is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// How sure it is, as it is written, and the text of a signal, which no event has.
    Fact { confidence: String, signal: Option<String> },
    /// How many bytes were kept of one that was cut.
    Turn { kept: Option<usize> },
}

impl Line {
    /// No turn begins so: it begins with a day.
    pub(crate) fn fact(confidence: String, text: &str, event: EventId) -> Self {
        Self {
            text: format!("[fact {confidence}] {}", words(text)),
            event,
            form: Form::Fact {
                confidence,
                signal: None,
            },
        }
    }

    /// Its first so many bytes. `None`: it has none, or no character ends there.
    pub(crate) fn cut(self, kept: usize) -> Option<Self> {
        let beginning = self.text.get(..kept).filter(|beginning| !beginning.is_empty())?;
        Some(Self {
            text: format!("{beginning}\u{2026}"),
            form: Form::Turn { kept: Some(kept) },
            ..self
        })
    }
}

/// An event that answers, and the turns before and after it.
pub(crate) struct Answer {
    pub(crate) event: Event,
    pub(crate) around: Vec<Event>,
}

/// The part of a budget that facts may take: one in so many.
const FACTS: usize = 3;

/// Fits facts and answers, the best of each first, to a budget. Facts may take a third of it, and stand for the events that
/// state them. The answers may take two thirds of what is left then, then come the turns around them, then the other
/// answers. What does not fit is left out, and what comes after it may still fit; only the first answer is cut rather than
/// left out.
pub(crate) fn compose(facts: &[Fact], answers: &[Answer], budget: Budget, as_of: u64) -> Context {
    let whole = budget.whole();
    let mut page = Page {
        budget,
        left: whole,
        said: HashSet::new(),
        events: HashSet::new(),
        evidence: Vec::new(),
        facts: Vec::new(),
        believed: HashSet::new(),
        turns: BTreeMap::new(),
    };
    for fact in facts {
        page.take_fact(fact, whole - whole / FACTS);
    }
    if let Some(first) = answers.first() {
        page.take_first(&first.event);
    }
    let kept = page.left / 3;
    for answer in answers {
        page.take_turn(&answer.event, kept);
    }
    for event in answers.iter().flat_map(|answer| &answer.around) {
        page.take_turn(event, 0);
    }
    for answer in answers {
        page.take_turn(&answer.event, 0);
    }
    page.written(as_of)
}

/// What has been taken so far.
struct Page {
    budget: Budget,
    left: usize,
    /// What the lines say, so that nothing is said twice.
    said: HashSet<String>,
    /// Named, or stood for by a fact.
    events: HashSet<EventId>,
    evidence: Vec<EventId>,
    facts: Vec<Line>,
    /// Their texts, as they are compared.
    believed: HashSet<String>,
    /// By `seq`.
    turns: BTreeMap<u64, Line>,
}

impl Page {
    /// Takes a line, if it is new and leaves so much of the budget.
    fn take(&mut self, line: Line, leaving: usize) -> Option<Line> {
        let cost = self.cost(&line);
        if cost + leaving > self.left
            || self.events.contains(&line.event)
            || !self.said.insert(line.text.to_lowercase())
        {
            return None;
        }
        self.left -= cost;
        self.events.insert(line.event);
        Some(line)
    }

    fn take_fact(&mut self, fact: &Fact, leaving: usize) {
        let Some((&newest, others)) = fact.evidence.split_last() else {
            return;
        };
        let mut line = Line::fact(format!("{:.2}", fact.confidence), &fact.text, newest);
        if let (Form::Fact { signal, .. }, Some(_)) = (&mut line.form, &fact.rule) {
            *signal = Some(fact.text.clone());
        }
        if let Some(line) = self.take(line, leaving) {
            self.believed.insert(normal(&fact.text));
            self.events.extend(others);
            self.evidence.extend(others);
            self.facts.push(line);
        }
    }

    fn take_turn(&mut self, event: &Event, leaving: usize) {
        if self.is_believed(event) {
            return;
        }
        if let Some(line) = self.take(turn(event), leaving) {
            self.turns.insert(event.envelope.seq, line);
        }
    }

    /// Takes as much of the best answer as fits.
    fn take_first(&mut self, event: &Event) {
        if self.is_believed(event) {
            return;
        }
        let mut line = turn(event);
        if self.cost(&line) > self.left {
            let ending = Line {
                text: "\u{2026}".into(),
                ..line.clone()
            };
            let Some(left) = self.left.checked_sub(self.cost(&ending)) else {
                return;
            };
            let kept = self.budget.beginning(&line.text, left).len();
            let Some(beginning) = line.cut(kept) else { return };
            line = beginning;
        }
        if let Some(line) = self.take(line, 0) {
            self.turns.insert(event.envelope.seq, line);
        }
    }

    /// Whether a fact says the same.
    fn is_believed(&self, event: &Event) -> bool {
        !self.believed.is_empty() && self.believed.contains(&normal(&said(event)))
    }

    fn cost(&self, line: &Line) -> usize {
        self.budget.cost(&written(line))
    }

    fn written(self, as_of: u64) -> Context {
        let lines: Vec<_> = self.facts.into_iter().chain(self.turns.into_values()).collect();
        Context {
            text: lines.iter().map(written).collect(),
            events: lines.iter().map(|line| line.event).collect(),
            evidence: self.evidence,
            as_of,
            layout: Layout::of(&lines),
        }
    }
}

pub(crate) fn written(line: &Line) -> String {
    format!("{} {}\n", line.text, line.event)
}

/// An event in one line: when, who, and what; where it has no text, its payload.
pub(crate) fn turn(event: &Event) -> Line {
    let time = event_time(event).to_string();
    let source = event.body().and_then(|body| body.source.as_ref());
    // A run speaks for its own actor, whoever it says is speaking.
    let who = source
        .filter(|_| event.envelope.run.is_none())
        .and_then(speaker)
        .or_else(|| original_actor(event))
        .unwrap_or(event.envelope.actor.as_str());
    let day = time.get(..10).unwrap_or(&time);
    Line {
        text: format!("{day} {}: {}", one_line(who), words(&said(event))),
        event: event.envelope.id,
        form: Form::Turn { kept: None },
    }
}

fn said(event: &Event) -> String {
    let payload = event.payload().unwrap_or_default();
    let parsed: Value = serde_json::from_str(payload).unwrap_or_default();
    parsed["text"].as_str().unwrap_or(payload).to_owned()
}

/// A line is a line, whatever the text has in it.
fn words(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn speaker(source: &Source) -> Option<&str> {
    source.extra.get("speaker")?.as_str()
}

fn one_line(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

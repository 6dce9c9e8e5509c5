//! Facts by a computation that is as simple as can be: each question asked of all events anew.

use std::collections::BTreeMap;

use quipu_format::{Envelope, Event, EventId, Timestamp};
use quipu_projections::{Projections, QUARANTINE, Quarantine, Query, View};
use serde_json::Value;

use crate::beliefs::{DAY_MS, SCOPES, TEXTS};

/// A fact as the simple computation has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plain {
    pub(crate) scope: String,
    pub(crate) confidence: f64,
    pub(crate) count: u64,
    pub(crate) text: String,
    pub(crate) seen: [u64; 2],
    pub(crate) expires: Option<u64>,
    pub(crate) tags: Vec<String>,
    pub(crate) evidence: Vec<EventId>,
}

/// The events of a ledger, and who sees them.
pub(crate) struct Model<'a> {
    pub(crate) events: &'a [Event],
    pub(crate) view: &'a View,
    pub(crate) as_of: u64,
}

impl Model<'_> {
    fn sees(&self, entry: &Envelope) -> bool {
        entry.seq < self.as_of
            && match self.view {
                View::Everything { head } => entry.seq < *head,
                View::Handles(handles) => handles.iter().any(|handle| {
                    handle.scope == entry.scope
                        && (entry.seq < handle.head || handle.run.is_some() && handle.run == entry.run)
                }),
            }
    }

    fn head(&self, scope: &str) -> u64 {
        let head = match self.view {
            View::Everything { head } => *head,
            View::Handles(handles) => {
                let of = handles.iter().filter(|handle| handle.scope.as_str() == scope);
                of.map(|handle| handle.head).max().unwrap_or(0)
            }
        };
        head.min(self.as_of)
    }

    fn of(&self, id: &EventId) -> Option<&Event> {
        self.events.iter().find(|event| event.envelope.id == *id)
    }

    fn retracted(&self, event: &Event) -> bool {
        let entry = &event.envelope;
        let mut lifted = Vec::new();
        let quarantined = self.events.iter().rev().any(|by| {
            let sys = by
                .envelope
                .sys
                .as_ref()
                .filter(|_| by.envelope.kind.as_str() == "quipu.quarantine");
            let seen = by.envelope.seq < self.head(entry.scope.as_str());
            let stands = seen && !lifted.contains(&by.envelope.id);
            sys.filter(|_| stands).is_some_and(|sys| {
                let what: Quarantine = serde_json::from_value(sys[QUARANTINE].clone()).unwrap();
                if let Quarantine::Lift(id) = what {
                    lifted.push(id);
                }
                what.covers(entry)
            })
        });
        quarantined || self.superseded(event, true)
    }

    fn superseded(&self, event: &Event, by_retraction: bool) -> bool {
        self.events.iter().any(|by| {
            by.envelope.supersedes.contains(&event.envelope.id)
                && self.sees(&by.envelope)
                && (by.envelope.kind.as_str() == "memory.retract") == by_retraction
                && !self.retracted(by)
        })
    }

    fn payload(event: &Event) -> Option<Value> {
        let reserved = event.envelope.kind.as_str().starts_with("quipu.");
        serde_json::from_str(event.payload().filter(|_| !reserved)?).ok()
    }

    fn text(event: &Event) -> Option<String> {
        let states = event.envelope.kind.as_str() == "memory.write";
        Some(Self::payload(event).filter(|_| states)?["text"].as_str()?.to_owned())
    }

    fn confidence(event: &Event) -> f64 {
        let said = Self::payload(event).and_then(|payload| payload["confidence"].as_f64());
        said.unwrap_or(if Self::text(event).is_some() { 0.8 } else { 1.0 })
    }

    /// Whose voice it is: its author's, apart by channel where no run wrote it.
    fn own_voice(event: &Event) -> String {
        let source = event.body().unwrap().source.as_ref();
        let channel = source.filter(|_| event.envelope.run.is_none());
        let channel = channel.map_or("", |source| &source.channel);
        format!("{} {channel}", event.envelope.actor)
    }

    /// Whether it repeats what its run was shown, and whether it may, for that is erased.
    fn echo(&self, event: &Event) -> (bool, bool) {
        let (mut same, mut erased) = (false, false);
        let (Some(of_run), Some(text)) = (event.envelope.run, Self::text(event)) else {
            return (same, erased);
        };
        for told in self.events {
            let kind = told.envelope.kind.as_str() == "quipu.run.told";
            if !kind || told.envelope.run != Some(of_run) || told.envelope.seq > event.envelope.seq {
                continue;
            }
            let Some(payload) = told.payload() else {
                erased |= self.sees(&told.envelope);
                continue;
            };
            let payload: Value = serde_json::from_str(payload).unwrap();
            let hits = payload["told"][0]["hits"]["hits"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            for hit in hits {
                let shown = self.of(&hit[0].as_str().unwrap().parse().unwrap()).unwrap();
                if self.sees(&shown.envelope) && shown.envelope.kind.as_str() == "memory.write" {
                    same |= Self::text(shown).as_ref() == Some(&text);
                    erased |= shown.body().is_none();
                }
            }
        }
        (same, erased)
    }

    /// Who is heard through an event, by actor and channel.
    fn voices(&self, event: &Event) -> BTreeMap<String, f64> {
        let mut voices = BTreeMap::<String, f64>::new();
        if Self::payload(event).is_none() {
            return voices;
        }
        let (echo, mut erased) = self.echo(event);
        let (mut silent, repeats) = (echo, echo || erased);
        for id in &event.envelope.evidence {
            let evidence = self.of(id).unwrap();
            let repeated = repeats && Self::text(evidence).is_some() && Self::text(evidence) == Self::text(event);
            let seen = self.sees(&evidence.envelope);
            erased |= seen && evidence.body().is_none() && !evidence.envelope.kind.is_reserved();
            if !seen || repeated {
                continue;
            }
            let theirs = match self.retracted(evidence) {
                true => BTreeMap::new(),
                false => self.voices(evidence),
            };
            silent |= theirs.is_empty() && (self.retracted(evidence) || Self::payload(evidence).is_some());
            for (source, confidence) in theirs {
                let lent = confidence.min(Self::confidence(event));
                let heard = voices.entry(source).or_insert(0.0);
                *heard = heard.max(lent);
            }
        }
        if voices.is_empty() && !silent {
            let confidence = if erased { 0.0 } else { Self::confidence(event) };
            voices.insert(Self::own_voice(event), confidence);
        }
        voices
    }

    fn time(event: &Event) -> u64 {
        let original = event
            .body()
            .unwrap()
            .source
            .as_ref()
            .filter(|_| event.envelope.run.is_none());
        original.map_or(event.envelope.ts.as_ms(), |source| {
            Timestamp::parse_rfc3339(source.extra["original"]["ts"].as_str().unwrap())
                .unwrap()
                .as_ms()
        })
    }

    fn together(voices: &BTreeMap<String, f64>) -> f64 {
        let greatest = voices.values().copied().fold(0.0, f64::max);
        let doubt: f64 = voices.values().map(|confidence| 1.0 - confidence).product();
        (1.0 - doubt).min(0.99).max(greatest)
    }

    pub(crate) fn facts(&self, now: u64) -> Vec<Plain> {
        let mut by_fact = BTreeMap::<(String, bool, String), Vec<&Event>>::new();
        for event in self.events.iter().filter(|event| self.sees(&event.envelope)) {
            let Some(text) = Self::text(event) else { continue };
            let payload = Self::payload(event).unwrap();
            let expires = payload["ttlDays"]
                .as_u64()
                .map(|days| Self::time(event) + days * DAY_MS);
            let out = self.retracted(event) || self.superseded(event, false) || expires.is_some_and(|e| e <= now);
            if !out && !self.voices(event).is_empty() {
                let fact = (event.envelope.scope.to_string(), !payload["key"].is_null(), text);
                by_fact.entry(fact).or_default().push(event);
            }
        }
        let signals = SCOPES
            .iter()
            .filter_map(|scope| self.signal(scope, now))
            .collect::<Vec<_>>();
        let newest = |events: &[&Event]| events.last().unwrap().envelope.seq;
        let hidden = |scope: &str, events: &[&Event]| {
            let of = signals.iter().find(|(plain, _)| plain.scope == scope);
            of.is_some_and(|(_, events_of)| events_of.contains(&newest(events)))
        };
        let mut facts: Vec<Plain> = Vec::new();
        for ((scope, keyed, text), events) in &by_fact {
            let slot = by_fact.iter().filter(|((of, key, _), _)| of == scope && *key);
            let outdated = *keyed
                && slot
                    .map(|(_, others)| newest(others))
                    .any(|other| other > newest(events));
            if outdated || hidden(scope, events) {
                continue;
            }
            let mut voices = BTreeMap::new();
            for (source, confidence) in events.iter().flat_map(|event| self.voices(event)) {
                let heard: &mut f64 = voices.entry(source).or_insert(0.0);
                *heard = heard.max(confidence);
            }
            // What nobody is sure of at all is no belief.
            if Self::together(&voices) == 0.0 {
                continue;
            }
            let payloads = || events.iter().map(|event| Self::payload(event).unwrap());
            let mut tags: Vec<_> = payloads()
                .map(|payload| payload["tags"][0].as_str().unwrap().to_owned())
                .collect();
            tags.sort();
            tags.dedup();
            let times: Vec<_> = events.iter().map(|event| Self::time(event)).collect();
            let expires = events.iter().zip(payloads()).map(|(event, payload)| {
                payload["ttlDays"]
                    .as_u64()
                    .map(|days| Self::time(event) + days * DAY_MS)
            });
            facts.push(Plain {
                scope: scope.clone(),
                confidence: Self::together(&voices),
                count: events.len() as u64,
                text: text.clone(),
                seen: [*times.iter().min().unwrap(), *times.iter().max().unwrap()],
                expires: expires
                    .collect::<Option<Vec<_>>>()
                    .map(|all| all.into_iter().max().unwrap()),
                tags,
                evidence: events.iter().map(|event| event.envelope.id).collect(),
            });
        }
        facts.extend(signals.into_iter().map(|(plain, _)| plain));
        facts
    }

    fn signal(&self, scope: &str, now: u64) -> Option<(Plain, Vec<u64>)> {
        let mut events: Vec<_> = self
            .events
            .iter()
            .filter(|event| {
                let entry = &event.envelope;
                let kind = ["memory.write", "message"].contains(&entry.kind.as_str());
                let text = Self::payload(event).is_some_and(|payload| payload["text"] == TEXTS[3]);
                let silent = Self::text(event).is_some() && self.voices(event).values().all(|sure| *sure == 0.0);
                entry.scope.as_str() == scope && kind && text && self.sees(entry) && !silent
            })
            .filter(|event| !self.retracted(event) && !self.superseded(event, false))
            .collect();
        events.sort_by_key(|event| (Self::time(event), event.envelope.seq));
        let newest = Self::time(events.last()?);
        events.retain(|event| Self::time(event) + 3 * DAY_MS >= newest);
        if events.len() < 2 || newest + 3 * DAY_MS <= now {
            return None;
        }
        let mut voices = BTreeMap::new();
        for event in &events {
            if Self::text(event).is_some() {
                for (source, confidence) in self.voices(event) {
                    let heard: &mut f64 = voices.entry(source).or_insert(0.0);
                    *heard = heard.max(confidence.min(0.8));
                }
                continue;
            }
            let heard: &mut f64 = voices.entry(Self::own_voice(event)).or_insert(0.0);
            *heard = heard.max(Self::confidence(event).min(0.8));
        }
        let plain = Plain {
            scope: scope.to_owned(),
            confidence: Self::together(&voices),
            count: events.len() as u64,
            text: "pricing-sensitive".to_owned(),
            seen: [Self::time(events[0]), newest],
            expires: Some(newest + 3 * DAY_MS),
            tags: vec!["signal".to_owned()],
            evidence: events.iter().map(|event| event.envelope.id).collect(),
        };
        Some((plain, events.iter().map(|event| event.envelope.seq).collect()))
    }
}

/// The facts of a projection, in the model's form.
pub(crate) fn told(projections: &Projections, view: &View, query: &Query) -> Vec<Plain> {
    let answer = projections.facts(view, query).unwrap();
    let sure: Vec<_> = answer.facts.iter().map(|fact| fact.confidence).collect();
    assert!(sure.is_sorted_by(|a, b| a >= b), "the surest come first");
    let plain = answer.facts.into_iter().map(|fact| Plain {
        scope: fact.scope.to_string(),
        confidence: fact.confidence,
        count: fact.count,
        text: fact.text,
        seen: [fact.first_seen.as_ms(), fact.last_seen.as_ms()],
        expires: fact.expires.map(Timestamp::as_ms),
        tags: fact.tags,
        evidence: fact.evidence,
    });
    sorted(plain.collect())
}

pub(crate) fn sorted(mut facts: Vec<Plain>) -> Vec<Plain> {
    for fact in &mut facts {
        fact.confidence = (fact.confidence * 1e9).round() / 1e9;
    }
    facts.sort_by(|a, b| (&a.scope, &a.evidence).cmp(&(&b.scope, &b.evidence)));
    facts
}

// Long because the simple computation is beside the steps that it is compared over.

//! Facts against a computation that is as simple as can be, over ledgers in which everything happens; and that what is
//! derived is the same however it was derived.

use std::{collections::BTreeMap, fs};

use proptest::prelude::*;
use quipu_format::{Envelope, Event, EventId, Signer, Timestamp};
use quipu_log::{CreateOptions, ErasurePlan, Ledger, SignedAct, Target};
use quipu_projections::{Handle, Projections, QUARANTINE, Quarantine, Query, View};
use serde_json::{Value, json};

use crate::fixture::{Fixture, dump, payload, query, run, scope};

const SCOPES: [&str; 2] = ["a", "b"];
const TEXTS: [&str; 4] = ["likes tea", "likes coffee", "pays late", "asked about pricing"];
const ACTORS: [&str; 3] = ["agent:one", "agent:two", "user:ann"];
const RUNS: [&str; 2] = ["FAV", "FAW"];
const DAY_MS: u64 = 86_400_000;

/// What happens next. Numbers choose among what is there.
#[derive(Debug, Clone)]
enum Step {
    Say {
        scope: usize,
        kind: usize,
        text: usize,
        key: bool,
        actor: usize,
        channel: usize,
        confidence: Option<u8>,
        ttl: Option<u8>,
        run: usize,
        evidence: Vec<usize>,
        supersedes: Vec<usize>,
    },
    Tell {
        run: usize,
        events: Vec<usize>,
    },
    Erase {
        event: usize,
    },
    Quarantine {
        run: Option<usize>,
        actor: usize,
        back: usize,
    },
    Lift {
        quarantine: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let some = || prop::collection::vec(0..100_usize, 0..3);
    let few = || prop_oneof![3 => Just(Vec::new()), 1 => some()];
    let say = (
        (
            0..SCOPES.len(),
            0..6_usize,
            0..TEXTS.len(),
            prop::bool::weighted(0.2),
            0..ACTORS.len(),
            0..2_usize,
        ),
        (
            prop::option::of(0..=4_u8),
            prop::option::weighted(0.2, 0..9_u8),
            0..4_usize,
            few(),
            few(),
        ),
    );
    let say = say.prop_map(
        |((scope, kind, text, key, actor, channel), (confidence, ttl, run, evidence, supersedes))| Step::Say {
            scope,
            kind,
            text,
            key,
            actor,
            channel,
            confidence,
            ttl,
            run,
            evidence,
            supersedes,
        },
    );
    let tell = (0..RUNS.len(), some()).prop_map(|(run, events)| Step::Tell { run, events });
    let erase = (0..100_usize).prop_map(|event| Step::Erase { event });
    let quarantine = (prop::option::of(0..RUNS.len()), 0..ACTORS.len(), 1..20_usize)
        .prop_map(|(run, actor, back)| Step::Quarantine { run, actor, back });
    let lift = (0..100_usize).prop_map(|quarantine| Step::Lift { quarantine });
    let step = prop_oneof![28 => say, 6 => tell, 3 => erase, 2 => quarantine, 1 => lift];
    prop::collection::vec(step, 1..45)
}

/// A ledger in which all that happened.
fn ledger(steps: &[Step]) -> Fixture {
    written(steps, |_| ())
}

/// The same, folded after each step.
fn ledger_folded(steps: &[Step]) -> Fixture {
    written(steps, |memory| {
        memory.catch_up();
    })
}

fn written(steps: &[Step], after_each: impl Fn(&Fixture)) -> Fixture {
    let kim = Signer::new("operator:kim", [9; 32]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = CreateOptions::new("example.com/test")
        .operator(&kim.verifier_key())
        .unwrap();
    let ledger = Ledger::create(&folder.path().join("ledger"), options).unwrap();
    let projections = Projections::open(ledger.reader()).unwrap();
    let memory = Fixture {
        folder,
        ledger,
        projections,
    };
    let rules = "[[rule]]\nname = \"pricing\"\npattern = \"pricing\"\nkinds = [\"memory.write\", \"message\"]\ncount = 2\n\
                 within = 3\nsignal = \"pricing-sensitive\"\ntags = [\"signal\"]\n";
    fs::write(memory.folder.path().join("ledger/noise.toml"), rules).unwrap();
    let (mut ids, mut quarantines): (Vec<EventId>, Vec<EventId>) = Default::default();
    let pick = |ids: &[EventId], picks: &[usize]| -> Vec<EventId> {
        let picked = picks
            .iter()
            .filter(|_| !ids.is_empty())
            .map(|pick| ids[pick % ids.len()]);
        let mut picked: Vec<_> = picked.collect();
        picked.sort();
        picked.dedup();
        picked
    };
    let reader = memory.ledger.reader();
    for step in steps {
        match step {
            Step::Say {
                scope,
                kind,
                text,
                key,
                actor,
                channel,
                confidence,
                ttl,
                run: of_run,
                evidence,
                supersedes,
            } => {
                let mut said = json!({"text": TEXTS[*text], "tags": [format!("t{text}{channel}")]});
                if *key {
                    said["key"] = json!("slot");
                }
                if let Some(quarters) = confidence {
                    said["confidence"] = json!(f64::from(*quarters) / 4.0);
                }
                if let Some(days) = ttl {
                    said["ttlDays"] = json!(days);
                }
                let mut draft = payload(SCOPES[*scope], said);
                let kinds = [
                    "memory.write",
                    "memory.write",
                    "memory.write",
                    "memory.retract",
                    "message",
                    "memory.summary",
                ];
                draft.kind = kinds[*kind].parse().unwrap();
                draft.actor = ACTORS[*actor].parse().unwrap();
                draft.run = RUNS.get(*of_run).map(|name| run(name));
                let time = Timestamp::from_ms(1_700_000_000_000 + (ids.len() as u64 % 7) * DAY_MS);
                let source = json!({"channel": format!("c{channel}"), "original": {"ts": time.to_string()}});
                draft.body.source = Some(serde_json::from_value(source).unwrap());
                draft.evidence = pick(&ids, evidence);
                draft.supersedes = pick(&ids, supersedes);
                ids.push(memory.append(draft).id);
            }
            Step::Tell { run: of_run, events } => {
                let hits: Vec<Value> = pick(&ids, events).iter().map(|id| json!([id, 0.5])).collect();
                let mut draft = payload("a", json!({"told": [{"call": 1, "hits": {"hits": hits, "asOf": 1}}]}));
                (draft.kind, draft.run) = ("quipu.run.told".parse().unwrap(), Some(run(RUNS[*of_run])));
                ids.push(memory.append(draft).id);
            }
            Step::Erase { event } => {
                let target = Target::Events(pick(&ids, &[*event]));
                if !ids.is_empty()
                    && let Ok(plan) = ErasurePlan::new(reader, &target, None)
                {
                    let acts = plan.sign(reader, &kim, "").unwrap();
                    // What is erased already needs none.
                    if !acts.is_empty() {
                        memory.ledger.act_blocking(acts).unwrap();
                    }
                }
            }
            Step::Quarantine {
                run: of_run,
                actor,
                back,
            } => {
                let head = reader.head();
                let what = match of_run {
                    Some(of_run) => Quarantine::Run(run(RUNS[*of_run])),
                    None => Quarantine::Actor {
                        name: ACTORS[*actor].parse().unwrap(),
                        first: head.saturating_sub(*back as u64),
                        end: head,
                    },
                };
                let act = SignedAct::sign(reader.origin(), head, QUARANTINE, &what, &kim).unwrap();
                quarantines.push(memory.ledger.act_blocking(vec![act]).unwrap()[0].id);
            }
            Step::Lift { quarantine } => {
                for id in pick(&quarantines, &[*quarantine]) {
                    let what = Quarantine::Lift(id);
                    let act = SignedAct::sign(reader.origin(), reader.head(), QUARANTINE, &what, &kim).unwrap();
                    quarantines.push(memory.ledger.act_blocking(vec![act]).unwrap()[0].id);
                }
            }
        }
        after_each(&memory);
    }
    memory
}

/// A fact as the simple computation has it.
#[derive(Debug, Clone, PartialEq)]
struct Plain {
    scope: String,
    confidence: f64,
    count: u64,
    text: String,
    seen: [u64; 2],
    expires: Option<u64>,
    tags: Vec<String>,
    evidence: Vec<EventId>,
}

/// The events of a ledger, and who sees them.
struct Model<'a> {
    events: &'a [Event],
    view: &'a View,
    as_of: u64,
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
            let channel = event
                .body()
                .unwrap()
                .source
                .as_ref()
                .map_or("", |source| &source.channel);
            let channel = if event.envelope.run.is_some() { "" } else { channel };
            let confidence = if erased { 0.0 } else { Self::confidence(event) };
            voices.insert(format!("{} {channel}", event.envelope.actor), confidence);
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

    fn facts(&self, now: u64) -> Vec<Plain> {
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
            let channel = event
                .body()
                .unwrap()
                .source
                .as_ref()
                .map_or("", |source| &source.channel);
            let channel = if event.envelope.run.is_some() { "" } else { channel };
            let heard: &mut f64 = voices
                .entry(format!("{} {channel}", event.envelope.actor))
                .or_insert(0.0);
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
fn told(projections: &Projections, view: &View, query: &Query) -> Vec<Plain> {
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

fn sorted(mut facts: Vec<Plain>) -> Vec<Plain> {
    for fact in &mut facts {
        fact.confidence = (fact.confidence * 1e9).round() / 1e9;
    }
    facts.sort_by(|a, b| (&a.scope, &a.evidence).cmp(&(&b.scope, &b.evidence)));
    facts
}

fn views(head: u64) -> Vec<View> {
    let handle = |name: &str, head, by: Option<&str>| Handle {
        scope: scope(name),
        head,
        run: by.map(run),
    };
    let half = head / 2;
    vec![
        View::Everything { head },
        View::Everything { head: half },
        View::Handles(vec![handle("a", head, None)]),
        View::Handles(vec![handle("b", half, Some("FAV"))]),
        View::Handles(vec![handle("a", half, Some("FAV")), handle("b", head, Some("FAV"))]),
        View::Handles(vec![handle("a", half, Some("FAW")), handle("b", half, Some("FAW"))]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, max_shrink_iters: 60, ..ProptestConfig::default() })]

    /// Facts are those of the simple computation, whoever looks, whenever; and as of any position they are those of a
    /// projection that has folded no more.
    #[test]
    fn facts_are_what_the_rules_make_of_what_is_seen(steps in steps(), day in 0..12_u64) {
        let memory = ledger(&steps);
        memory.catch_up();
        let head = memory.head();
        let events: Vec<_> = memory.ledger.reader().events(0..head).map(Result::unwrap).collect();
        for now in [0, 1_700_000_000_000 + day * DAY_MS] {
            for view in views(head) {
                for as_of in [head, head * 2 / 3] {
                    let model = Model { events: &events, view: &view, as_of };
                    let asked = query("", |q| (q.limit, q.now, q.as_of) = (1_000, Timestamp::from_ms(now), Some(as_of)));
                    let ours = told(&memory.projections, &view, &asked);
                    prop_assert_eq!(ours, sorted(model.facts(now)), "{:?} as of {} at {}", view, as_of, now);
                }
            }
        }
        let asked = |as_of| query("", |q| (q.limit, q.as_of) = (1_000, as_of));
        let positions = [head / 3, head / 2, head - 1];
        let now = positions.map(|as_of| {
            memory.projections.facts(&View::Everything { head }, &asked(Some(as_of))).unwrap()
        });
        fs::remove_dir_all(memory.folder.path().join("ledger/projections")).unwrap();
        for (as_of, now) in positions.into_iter().zip(now) {
            prop_assert_eq!(memory.projections.catch_up(as_of).unwrap(), as_of);
            let then = memory.projections.facts(&View::Everything { head: as_of }, &asked(None)).unwrap();
            prop_assert_eq!(then, now);
        }
    }

    /// However the log is cut into batches and whatever is erased in between, the rows are those of a rebuild.
    #[test]
    fn rows_are_the_same_however_they_came_to_be(steps in steps(), cuts in prop::collection::btree_set(0..60_u64, 0..20)) {
        let memory = ledger(&steps);
        for cut in cuts {
            memory.projections.catch_up(cut).unwrap();
        }
        memory.catch_up();
        let rows = dump(&memory.projections);
        memory.projections.rebuild().unwrap();
        prop_assert_eq!(rows, dump(&memory.projections));
    }

    /// A batch of one, of a few, and of all.
    #[test]
    fn rows_are_the_same_in_batches_of_any_size(steps in steps()) {
        let memory = ledger(&steps);
        let mut rows = Vec::new();
        for size in [1, 7, 1_000] {
            fs::remove_dir_all(memory.folder.path().join("ledger/projections")).unwrap();
            for to in (0..memory.head()).step_by(size).chain([u64::MAX]) {
                memory.projections.catch_up(to).unwrap();
            }
            rows.push(dump(&memory.projections));
        }
        prop_assert_eq!(&rows[0], &rows[1]);
        prop_assert_eq!(&rows[0], &rows[2]);
    }

    /// Whoever erases makes nobody surer of anything.
    #[test]
    fn no_erasure_makes_a_fact_surer(steps in steps(), event in 0..100_usize) {
        let without_keys = steps.into_iter().filter(|step| !matches!(step, Step::Say { key: true, .. }));
        let mut steps: Vec<_> = without_keys.collect();
        let sure = |steps: &[Step]| {
            let memory = ledger(steps);
            memory.catch_up();
            let view = View::Everything { head: memory.head() };
            let facts = told(&memory.projections, &view, &query("", |q| q.limit = 1_000)).into_iter();
            // A text that a signal stood for may come out again.
            let facts = facts.filter(|fact| !fact.text.contains("pricing"));
            facts.map(|fact| ((fact.scope, fact.text), fact.confidence)).collect::<BTreeMap<_, _>>()
        };
        let before = sure(&steps);
        steps.push(Step::Erase { event });
        for (fact, confidence) in sure(&steps) {
            let was = before.get(&fact).copied().unwrap_or(0.0);
            prop_assert!(confidence <= was, "{:?} was {} and is {}", fact, was, confidence);
        }
    }

    /// As it is used: folded while it is written, so that what is erased was folded before.
    #[test]
    fn folding_after_each_step_gives_the_rows_of_a_rebuild(steps in steps()) {
        let memory = ledger_folded(&steps);
        let rows = dump(&memory.projections);
        memory.projections.rebuild().unwrap();
        prop_assert_eq!(rows, dump(&memory.projections));
    }
}

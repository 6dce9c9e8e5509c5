//! What must not make anybody surer: an erasure, damage, and what a run says of itself; and what operators lift.

use std::fs;

use quipu_format::{EventId, Timestamp};
use quipu_log::{Draft, SignedAct, Target};
use quipu_projections::{Fact, Projections, QUARANTINE, Quarantine, Query, Standing};
use serde_json::{json, value::to_raw_value};

use crate::{
    compact::{compact, compaction, summary},
    erase::{erase, fixture},
    fixture::{Fixture, ids, payload, query, resting_on, run, scope, superseding},
};

fn sure(text: &str, confidence: f64) -> Draft {
    payload("a", json!({"text": text, "confidence": confidence}))
}

fn heard(text: &str, confidence: f64) -> Draft {
    let mut draft = sure(text, confidence);
    (draft.kind, draft.actor) = ("message".parse().unwrap(), "user:ann".parse().unwrap());
    draft
}

fn facts(memory: &Fixture) -> Vec<Fact> {
    memory.catch_up();
    told(&memory.projections, memory)
}

fn told(projections: &Projections, memory: &Fixture) -> Vec<Fact> {
    projections
        .facts(&memory.pinned(&["a"]), &Query::default())
        .unwrap()
        .facts
}

/// Confidence and count of the only fact.
fn only(facts: &[Fact]) -> (f64, u64) {
    assert_eq!(facts.len(), 1, "{facts:?}");
    (facts[0].confidence, facts[0].count)
}

fn same_when_rebuilt(memory: &Fixture) {
    let rows = memory.dump();
    memory.projections.rebuild().unwrap();
    assert_eq!(memory.dump(), rows);
}

/// Once it freed what was derived from it: 0.3 became 0.9.
#[test]
fn erased_evidence_leaves_what_rests_on_it_alone_without_trust() {
    let (memory, kim) = fixture();
    let ann = memory.append(heard("I like tea", 0.3)).id;
    memory.append(resting_on(sure("likes tea", 0.9), &[ann]));
    assert_eq!(only(&facts(&memory)), (0.3, 1));
    erase(&memory, &kim, &Target::Events(vec![ann]));
    assert_eq!(facts(&memory), [], "what nobody knows how sure it is, is no belief");
    let seen = memory.pinned(&["a"]);
    let stated = memory
        .projections
        .statements(&seen, &scope("a"), "likes tea", Timestamp::FIRST);
    assert_eq!(stated.unwrap()[0].standing, Standing::ErasedEvidence);
    // Of two, the one that is left is heard.
    let bob = memory.append(heard("she likes tea", 0.5)).id;
    memory.append(resting_on(sure("likes tea", 0.9), &[ann, bob]));
    assert_eq!(only(&facts(&memory)), (0.5, 2));
    same_when_rebuilt(&memory);
}

#[test]
fn what_was_shown_and_erased_does_not_come_back_surer_from_the_run() {
    for erase_telling in [false, true] {
        let (memory, kim) = fixture();
        let tea = memory.append(sure("likes tea", 0.6)).id;
        let answer = json!({"told": [{"call": 1, "hits": {"hits": [[tea, 0.5]], "asOf": 2}}]});
        let mut telling = payload("a", answer);
        (telling.kind, telling.run) = ("quipu.run.told".parse().unwrap(), Some(run("FAV")));
        let telling = memory.append(telling).id;
        let mut repeats = sure("likes tea", 0.9);
        repeats.run = Some(run("FAV"));
        memory.append(repeats);
        assert_eq!(only(&facts(&memory)), (0.6, 1));
        erase(&memory, &kim, &Target::Events(vec![tea]));
        if erase_telling {
            let _ = facts(&memory);
            erase(&memory, &kim, &Target::Events(vec![telling]));
        }
        assert_eq!(facts(&memory), []);
        same_when_rebuilt(&memory);
    }
}

/// Where a byte of the line of the entry at `seq` is changed, or changed back.
fn flip(memory: &Fixture, seq: usize) {
    let segment = memory.folder.path().join("ledger/log/00000000000000000000.log");
    let mut bytes = fs::read(&segment).unwrap();
    let mut ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let start = ends.nth(seq - 1).unwrap().0 + 1;
    bytes[start + 20] ^= 1;
    fs::write(&segment, &bytes).unwrap();
}

#[test]
fn evidence_that_could_not_be_read_when_it_was_named_is_folded_once_it_can() {
    let memory = Fixture::new();
    let ann = memory.append(heard("I like tea", 0.3));
    memory.catch_up();
    flip(&memory, ann.seq as usize);
    memory.append(resting_on(sure("likes tea", 0.9), &[ann.id]));
    assert_eq!(facts(&memory), []);
    flip(&memory, ann.seq as usize);
    let mended = Projections::open(memory.ledger.reader()).unwrap();
    mended.catch_up(u64::MAX).unwrap();
    assert_eq!(only(&told(&mended, &memory)), (0.3, 1));
}

#[test]
fn what_was_missing_is_taken_back_when_an_erasure_comes() {
    let (memory, kim) = fixture();
    let other = memory.append(heard("something else", 0.3)).id;
    let tea = memory.append(sure("likes tea", 0.6));
    flip(&memory, tea.seq as usize);
    assert!(facts(&memory).is_empty());
    flip(&memory, tea.seq as usize);
    assert!(facts(&memory).is_empty(), "nobody looks again before");
    erase(&memory, &kim, &Target::Events(vec![other]));
    assert_eq!(only(&facts(&memory)), (0.6, 1));
}

#[test]
fn a_quarantine_is_lifted_by_what_an_operator_signs_alone() {
    let (memory, kim) = fixture();
    let act = |what: &Quarantine| -> EventId {
        let reader = memory.ledger.reader();
        let act = SignedAct::sign(reader.origin(), reader.head(), QUARANTINE, what, &kim).unwrap();
        memory.ledger.act_blocking(vec![act]).unwrap()[0].id
    };
    let mut draft = sure("likes tea", 0.6);
    draft.run = Some(run("FAV"));
    memory.append(draft);
    let (before, found) = (facts(&memory), memory.search(&["a"], &query("tea", |_| ())));
    let quarantined = memory.head();
    let quarantine = act(&Quarantine::Run(run("FAV")));
    assert!(facts(&memory).is_empty());
    assert!(memory.search(&["a"], &query("tea", |_| ())).is_empty());
    // A guest's word does not.
    let mut retraction = superseding(payload("a", json!({})), quarantine);
    (retraction.kind, retraction.run) = ("memory.retract".parse().unwrap(), Some(run("FAW")));
    memory.append(retraction);
    assert!(facts(&memory).is_empty());
    let lifted = act(&Quarantine::Lift(quarantine));
    assert_eq!(facts(&memory), before);
    assert_eq!(ids(&memory.search(&["a"], &query("tea", |_| ()))), ids(&found));
    // As of then it stood; and what lifted it can be lifted.
    let then = query("", |query| query.as_of = Some(quarantined + 1));
    let view = memory.pinned(&["a"]);
    assert!(memory.projections.facts(&view, &then).unwrap().facts.is_empty());
    let again = act(&Quarantine::Lift(lifted));
    assert!(facts(&memory).is_empty());
    let last = act(&Quarantine::Lift(again));
    assert_eq!(facts(&memory), before);
    let by = |id| memory.projections.lifted_by(id).unwrap();
    assert_eq!(
        [quarantine, lifted, again, last].map(by),
        [Some(lifted), None, Some(last), None]
    );
    same_when_rebuilt(&memory);
}

#[test]
fn a_run_does_not_say_who_speaks() {
    let memory = Fixture::new();
    let spoken = |of_run: Option<&str>| {
        let mut draft = payload("a", json!({"text": "I like tea"}));
        let source = json!({"channel": "chat", "speaker": "Caroline", "original": {"actor": "user:caroline"}});
        draft.body.source = Some(serde_json::from_value(source).unwrap());
        draft.run = of_run.map(run);
        draft
    };
    memory.append(spoken(Some("FAV")));
    assert!(memory.search(&["a"], &query("Caroline", |_| ())).is_empty());
    let by_caroline = query("", |query| query.actors = vec!["user:caroline".into()]);
    let told = |memory: &Fixture| {
        memory
            .projections
            .facts(&memory.pinned(&["a"]), &by_caroline)
            .unwrap()
            .facts
    };
    assert!(told(&memory).is_empty());
    let imported = memory.append(spoken(None)).id;
    assert_eq!(ids(&memory.search(&["a"], &query("Caroline", |_| ()))), [imported]);
    assert_eq!(told(&memory).len(), 1);
    // Nor in a text for a prompt, where turns are told with who spoke.
    for (of_run, named) in [(Some("FAV"), false), (None, true)] {
        let memory = Fixture::new();
        let mut turn = spoken(of_run);
        turn.kind = "message".parse().unwrap();
        memory.append(turn);
        memory.catch_up();
        let budget = quipu_projections::Budget::Characters(1_000);
        let asked = query("tea", |_| ());
        let text = memory
            .projections
            .compose(&memory.pinned(&["a"]), &asked, budget)
            .unwrap()
            .text;
        assert!(text.contains("tea") && text.contains("Caroline") == named, "{text}");
        // Nor in a summary, which is the compactor's word.
        let mut turn = spoken(of_run);
        turn.kind = "message".parse().unwrap();
        turn.body.payload = to_raw_value(&json!({"text": "I drank 3 cups of green tea in Lisbon yesterday."})).unwrap();
        memory.append(turn);
        compact(&memory, &compaction("a"), usize::MAX);
        let lines = summary(&memory, "a").unwrap().lines;
        let told = lines.iter().map(|line| &*line.text).collect::<Vec<_>>().join("\n");
        assert!(told.contains("Lisbon") && told.contains("Caroline") == named, "{told}");
    }
}

/// Asked about pricing: five times within 90 days make a signal, and it goes when one is taken back.
#[test]
fn a_signal_holds_as_long_as_enough_events_count() {
    let (memory, kim) = fixture();
    let mut asked = Vec::new();
    for n in 0..5 {
        let mut draft = payload("a", json!({"text": format!("asked about pricing of plan {n}")}));
        (draft.kind, draft.run) = ("message".parse().unwrap(), Some(run("FAV")));
        assert!(facts(&memory).is_empty(), "{n} are too few");
        asked.push(memory.append(draft).id);
    }
    let signal = facts(&memory);
    assert_eq!(only(&signal), (0.8, 5));
    assert_eq!(
        (&signal[0].text[..], &signal[0].evidence),
        ("pricing-sensitive", &asked)
    );
    let mut retraction = superseding(payload("a", json!({})), asked[2]);
    retraction.kind = "memory.retract".parse().unwrap();
    let retraction = memory.append(retraction).id;
    assert!(facts(&memory).is_empty());
    let mut again = superseding(payload("a", json!({})), retraction);
    again.kind = "memory.retract".parse().unwrap();
    memory.append(again);
    assert_eq!(facts(&memory), signal);
    let reader = memory.ledger.reader();
    let what = Quarantine::Run(run("FAV"));
    let act = SignedAct::sign(reader.origin(), reader.head(), QUARANTINE, &what, &kim).unwrap();
    memory.ledger.act_blocking(vec![act]).unwrap();
    assert!(facts(&memory).is_empty());
    same_when_rebuilt(&memory);
}

#[test]
fn what_was_taken_back_supports_nothing_whatever_its_kind() {
    let memory = Fixture::new();
    let ann = memory.append(heard("I like tea", 0.7)).id;
    memory.catch_up();
    let supported = |memory: &Fixture| {
        memory.catch_up();
        memory.projections.supported(&memory.pinned(&["a"]), &[ann]).unwrap()
    };
    assert_eq!(supported(&memory), 0.7);
    let mut retraction = superseding(payload("a", json!({})), ann);
    retraction.kind = "memory.retract".parse().unwrap();
    memory.append(retraction);
    assert_eq!(supported(&memory), 0.0);
}

/// What lies further back than is looked at was taken for the roots.
#[test]
fn a_long_way_back_makes_nothing_surer() {
    let memory = Fixture::new();
    let mut last = memory.append(sure("root", 0.1)).id;
    for nth in 0..300 {
        last = memory.append(resting_on(sure(&format!("step {nth}"), 0.9), &[last])).id;
    }
    memory.catch_up();
    let near = query("", |query| query.limit = 1_000);
    let told = memory.projections.facts(&memory.pinned(&["a"]), &near).unwrap().facts;
    assert!(
        told.len() > 200 && told.iter().all(|fact| fact.confidence <= 0.1),
        "{:?}",
        told[0]
    );
    assert!(memory.projections.supported(&memory.pinned(&["a"]), &[last]).unwrap() <= 0.1);
    same_when_rebuilt(&memory);
}

#[test]
fn a_signal_is_no_surer_than_what_its_events_rest_on() {
    let memory = Fixture::new();
    let ann = memory.append(heard("what does it cost", 0.2)).id;
    for n in 0..5 {
        let mut draft = resting_on(sure(&format!("asked about pricing of plan {n}"), 0.9), &[ann]);
        draft.actor = format!("agent:n{n}").parse().unwrap();
        memory.append(draft);
    }
    assert_eq!(only(&facts(&memory)), (0.2, 5));
    same_when_rebuilt(&memory);
}

#[test]
fn blame_tells_what_has_expired_and_what_is_outdated() {
    let memory = Fixture::new();
    memory.append(payload("a", json!({"text": "on holiday", "ttlDays": 1})));
    memory.append(payload("a", json!({"text": "pays by card", "key": "payment"})));
    memory.append(payload("a", json!({"text": "pays by invoice", "key": "payment"})));
    memory.catch_up();
    let standing = |text: &str, now: &str| {
        let seen = memory.pinned(&["a"]);
        let stated = memory
            .projections
            .statements(&seen, &scope("a"), text, now.parse().unwrap());
        stated.unwrap()[0].standing
    };
    let (early, late) = ("1970-01-01T00:00:00.000Z", "9000-01-01T00:00:00.000Z");
    assert_eq!(standing("On holiday", early), Standing::Holds);
    assert_eq!(standing("On holiday", late), Standing::Expired);
    assert_eq!(standing("pays by card", early), Standing::Outdated);
    assert_eq!(standing("pays by invoice", early), Standing::Holds);
}

#[test]
fn who_retracted_an_event_is_told_until_that_is_retracted() {
    let memory = Fixture::new();
    let tea = memory.append(sure("likes tea", 0.6)).id;
    let by = |id| {
        memory.catch_up();
        memory.projections.retracted_by(&memory.pinned(&["a"]), id).unwrap()
    };
    let retracts = |id| {
        let mut retraction = superseding(payload("a", json!({})), id);
        retraction.kind = "memory.retract".parse().unwrap();
        memory.append(retraction).id
    };
    assert_eq!(by(tea), None);
    let first = retracts(tea);
    assert_eq!(by(tea), Some(first));
    let back = retracts(first);
    assert_eq!((by(tea), by(first)), (None, Some(back)));
    assert_eq!(by(retracts(tea)), None);
    assert!(by(tea).is_some());
    memory.append(superseding(sure("likes coffee", 0.6), tea));
    let revised = memory.append(sure("likes milk", 0.6)).id;
    memory.append(superseding(sure("likes cream", 0.6), revised));
    assert_eq!(by(revised), None, "to replace is not to retract");
}

/// Of what was damaged after it was folded nobody was told.
#[test]
fn what_an_answer_could_not_read_is_told() {
    let memory = Fixture::new();
    let tea = memory.append(sure("likes tea", 0.6));
    assert_eq!(facts(&memory).len(), 1);
    assert!(memory.projections.missing().unwrap().is_empty());
    flip(&memory, tea.seq as usize);
    assert!(facts(&memory).is_empty());
    assert_eq!(memory.projections.missing().unwrap(), [tea.seq].into());
}

//! Each rule by which statements become facts.

use quipu_format::{EventId, Kind};
use quipu_log::Draft;
use quipu_projections::{Fact, Handle, Query, View};
use serde_json::{Value, json};

use crate::fixture::{Fixture, imported, instant, payload, query, resting_on, run, say, scope, superseding};

/// The facts of a scope now, the surest first.
fn facts(memory: &Fixture, name: &str) -> Vec<Fact> {
    asked(memory, name, &everything())
}

fn asked(memory: &Fixture, name: &str, query: &Query) -> Vec<Fact> {
    memory.catch_up();
    memory.projections.facts(&memory.pinned(&[name]), query).unwrap().facts
}

fn everything() -> Query {
    query("", |query| query.limit = 1_000)
}

fn texts(facts: &[Fact]) -> Vec<&str> {
    facts.iter().map(|fact| fact.text.as_str()).collect()
}

fn only(facts: Vec<Fact>) -> Fact {
    assert_eq!(facts.len(), 1, "{facts:?}");
    facts.into_iter().next().unwrap()
}

fn by(actor: &str, mut draft: Draft) -> Draft {
    draft.actor = actor.parse().unwrap();
    draft
}

fn of_kind(kind: &str, mut draft: Draft) -> Draft {
    draft.kind = Kind::new(kind).unwrap();
    draft
}

fn in_run(name: &str, mut draft: Draft) -> Draft {
    draft.run = Some(run(name));
    draft
}

fn sure(text: &str, confidence: f64) -> Draft {
    payload("a", json!({"text": text, "confidence": confidence}))
}

fn retract(memory: &Fixture, event: EventId) -> EventId {
    memory
        .append(superseding(of_kind("memory.retract", payload("a", json!({}))), event))
        .id
}

/// What recall showed to a run.
fn told(memory: &Fixture, name: &str, told: Value) {
    memory.append(in_run(
        name,
        of_kind("quipu.run.told", payload("a", json!({"told": [told]}))),
    ));
}

#[test]
fn repeats_are_one_fact_in_the_newest_words() {
    let memory = Fixture::new();
    let first = memory
        .append(payload(
            "a",
            json!({"text": "Prefers CSV exports", "tags": ["billing"]}),
        ))
        .id;
    memory.say("a", "pays late");
    let second = memory
        .append(payload(
            "a",
            json!({"text": "prefers  csv EXPORTS!", "tags": ["preference"]}),
        ))
        .id;
    memory.say("b", "prefers CSV exports");
    let found = facts(&memory, "a");
    assert_eq!(texts(&found), ["prefers  csv EXPORTS!", "pays late"]);
    let fact = &found[0];
    assert_eq!((fact.count, &fact.evidence[..]), (2, &[first, second][..]));
    assert_eq!(fact.tags, ["billing", "preference"]);
    assert!(fact.first_seen <= fact.last_seen && fact.expires.is_none());
    assert_eq!(fact.scope, scope("a"));
    assert_eq!(only(facts(&memory, "b")).count, 1);
}

#[test]
fn turns_of_a_conversation_are_no_facts() {
    let memory = Fixture::new();
    for kind in [
        "message",
        "observation",
        "thought.hypothesis",
        "decision",
        "memory.summary",
        "memory.retract",
    ] {
        memory.append(of_kind(kind, say("a", "likes tea")));
    }
    memory.append(payload("a", json!({"note": "no text"})));
    memory.append(payload("a", json!({"text": " … "})));
    assert!(facts(&memory, "a").is_empty());
    memory.append(of_kind("memory.preference", say("a", "likes tea")));
    assert_eq!(texts(&facts(&memory, "a")), ["likes tea"]);
}

#[test]
fn one_source_is_as_sure_as_it_is_at_most_and_several_are_surer() {
    let memory = Fixture::new();
    for confidence in [0.5, 0.4, 0.5] {
        memory.append(sure("likes tea", confidence));
    }
    assert_eq!(only(facts(&memory, "a")).confidence, 0.5);
    memory.append(by("agent:other", sure("likes tea", 0.5)));
    assert_eq!(only(facts(&memory, "a")).confidence, 0.75);
    for n in 0..10 {
        memory.append(by(&format!("agent:n{n}"), sure("likes tea", 0.9)));
    }
    assert_eq!(only(facts(&memory, "a")).confidence, 0.99);
    // What does not say how sure it is.
    memory.say("b", "likes coffee");
    assert_eq!(only(facts(&memory, "b")).confidence, 0.8);
}

#[test]
fn a_run_is_one_source_whatever_conversations_it_names() {
    let memory = Fixture::new();
    let spoken = |conversation: &str| {
        let mut draft = sure("likes tea", 0.5);
        let source = json!({"channel": "chat", "conversationId": conversation, "original": {"actor": conversation}});
        draft.body.source = Some(serde_json::from_value(source).unwrap());
        draft
    };
    memory.append(in_run("FAV", spoken("1")));
    memory.append(in_run("FAV", spoken("2")));
    memory.append(in_run("FAW", spoken("3")));
    assert_eq!(only(facts(&memory, "a")).confidence, 0.5);
    // What no run appended is of as many sources as there are conversations.
    memory.append(spoken("1"));
    assert_eq!(only(facts(&memory, "a")).confidence, 0.75);
    memory.append(spoken("2"));
    assert_eq!(only(facts(&memory, "a")).confidence, 0.875);
}

#[test]
fn a_key_holds_its_newest_text_and_gives_back_the_one_before() {
    let memory = Fixture::new();
    let keyed = |text: &str| payload("a", json!({"text": text, "key": "invoice.format"}));
    let csv = memory.append(keyed("CSV")).id;
    memory.append(keyed("csv."));
    let pdf = memory.append(keyed("PDF")).id;
    memory.say("a", "CSV");
    let found = facts(&memory, "a");
    assert_eq!(texts(&found), ["CSV", "PDF"]);
    assert_eq!(found.iter().map(|fact| fact.count).collect::<Vec<_>>(), [1, 1]);
    retract(&memory, pdf);
    let found = facts(&memory, "a");
    assert_eq!(found[1].evidence[0], csv);
    assert_eq!(found[1].count, 2);
}

#[test]
fn what_supersedes_replaces() {
    let memory = Fixture::new();
    let first = memory.say("a", "likes tea");
    let again = memory.say("a", "likes tea");
    memory.append(superseding(say("a", "likes coffee"), first));
    // The other statement of it stands.
    let found = facts(&memory, "a");
    assert_eq!(texts(&found), ["likes coffee", "likes tea"]);
    assert_eq!(found[1].evidence, [again]);
    memory.append(superseding(say("a", "likes water"), again));
    assert_eq!(texts(&facts(&memory, "a")), ["likes water", "likes coffee"]);
}

#[test]
fn retracting_gives_back_what_was_before() {
    let memory = Fixture::new();
    let tea = memory.append(sure("likes tea", 0.5)).id;
    let before = facts(&memory, "a");
    let poison = memory.append(superseding(sure("likes poison", 0.9), tea)).id;
    let rests = memory.append(resting_on(sure("wants poison daily", 0.9), &[poison])).id;
    memory.append(resting_on(sure("orders poison", 0.9), &[rests]));
    assert_eq!(facts(&memory, "a").len(), 3);
    let retracted = retract(&memory, poison);
    assert_eq!(facts(&memory, "a"), before);
    // And back: what retracts can be retracted.
    retract(&memory, retracted);
    assert_eq!(facts(&memory, "a").len(), 3);
    let rows = memory.dump();
    memory.projections.rebuild().unwrap();
    assert_eq!(memory.dump(), rows);
}

#[test]
fn search_recovers_as_facts_do() {
    let memory = Fixture::new();
    let tea = memory.say("a", "likes tea");
    let poison = memory.append(superseding(say("a", "likes poison"), tea)).id;
    let found = || -> Vec<_> {
        memory
            .search(&["a"], &query("likes", |_| ()))
            .into_iter()
            .map(|hit| hit.0)
            .collect()
    };
    assert_eq!(found(), [poison]);
    retract(&memory, poison);
    assert_eq!(found(), [tea]);
}

#[test]
fn what_is_derived_is_no_surer_than_what_it_rests_on() {
    let memory = Fixture::new();
    let heard = memory
        .append(by("user:ann", of_kind("message", sure("I like tea", 0.6))))
        .id;
    memory.append(resting_on(by("agent:one", sure("likes tea", 0.9)), &[heard]));
    assert_eq!(only(facts(&memory, "a")).confidence, 0.6);
    // Another that goes back to the same is not another source,
    let two = memory
        .append(resting_on(by("agent:two", sure("likes tea", 0.9)), &[heard]))
        .id;
    assert_eq!(only(facts(&memory, "a")).confidence, 0.6);
    // nor is one that rests on the fact itself,
    memory.append(resting_on(by("agent:three", sure("likes tea", 1.0)), &[two]));
    assert_eq!(only(facts(&memory, "a")).confidence, 0.6);
    // and a cautious one lends no more than it has.
    memory.append(resting_on(by("agent:four", sure("likes green tea", 0.3)), &[two]));
    assert_eq!(facts(&memory, "a")[1].confidence, 0.3);
    // What was seen twice is.
    let seen = memory
        .append(by("user:bob", of_kind("message", sure("she likes tea", 0.5))))
        .id;
    memory.append(resting_on(by("agent:one", sure("likes tea", 0.9)), &[seen]));
    assert_eq!(facts(&memory, "a")[0].confidence, 0.8);
}

#[test]
fn what_recall_showed_to_a_run_is_nothing_new_from_that_run() {
    let memory = Fixture::new();
    let tea = memory.append(by("user:ann", sure("likes tea", 0.6))).id;
    told(
        &memory,
        "FAV",
        json!({"call": 1, "hits": {"hits": [[tea, 0.5]], "asOf": 2}}),
    );
    for _ in 0..3 {
        memory.append(in_run("FAV", sure("Likes tea.", 0.9)));
    }
    memory.append(in_run("FAV", resting_on(sure("likes tea", 0.9), &[tea])));
    let fact = only(facts(&memory, "a"));
    assert_eq!((fact.confidence, fact.count, &fact.evidence[..]), (0.6, 1, &[tea][..]));
    // A run that was not shown it is a source of its own; what was seen anew is evidence.
    memory.append(in_run("FAW", sure("likes tea", 0.5)));
    assert_eq!(only(facts(&memory, "a")).confidence, 0.8);
    let seen = memory
        .append(by("user:bob", of_kind("message", sure("she likes tea", 0.5))))
        .id;
    memory.append(in_run("FAV", resting_on(sure("likes tea", 0.9), &[seen])));
    let fact = only(facts(&memory, "a"));
    assert_eq!((fact.confidence, fact.count), (0.9, 3));
    // With what it repeats goes the repeat.
    let memory = Fixture::new();
    let tea = memory.append(by("user:ann", sure("likes tea", 0.6))).id;
    told(
        &memory,
        "FAV",
        json!({"call": 1, "facts": {"facts": [[0.6, [tea]]], "asOf": 2}}),
    );
    memory.append(in_run("FAV", sure("likes tea", 0.9)));
    retract(&memory, tea);
    assert!(facts(&memory, "a").is_empty());
}

#[test]
fn what_has_expired_counts_for_nothing() {
    let memory = Fixture::new();
    let tea = |ts, days: u32, confidence| {
        let said = json!({"text": "likes tea", "ttlDays": days, "confidence": confidence});
        imported("a", said, ts, "user:ann")
    };
    memory.append(tea("2026-01-01T00:00:00.000Z", 10, 0.9));
    memory.append(tea("2026-01-05T00:00:00.000Z", 20, 0.5));
    let at = |now: &str| asked(&memory, "a", &query("", |query| query.now = instant(now)));
    let fact = only(at("2026-01-06T00:00:00.000Z"));
    assert_eq!((fact.confidence, fact.count), (0.9, 2));
    assert_eq!(fact.expires, Some(instant("2026-01-25T00:00:00.000Z")));
    let fact = only(at("2026-01-11T00:00:00.000Z"));
    assert_eq!((fact.confidence, fact.count), (0.5, 1));
    assert!(at("2026-01-25T00:00:00.000Z").is_empty());
    // One that does not expire keeps it.
    memory.append(sure("likes tea", 0.1));
    assert_eq!(only(at("2027-01-25T00:00:00.000Z")).expires, None);
}

#[test]
fn bounds_choose_facts_by_their_statements() {
    let memory = Fixture::new();
    memory.append(imported(
        "a",
        json!({"text": "likes tea", "tags": ["drink"]}),
        "2026-01-01T00:00:00.000Z",
        "user:ann",
    ));
    memory.append(by(
        "user:bob",
        payload("a", json!({"text": "likes tea", "tags": ["hot"]})),
    ));
    memory.append(of_kind("memory.preference", say("a", "likes cake")));
    let found = |set: &dyn Fn(&mut Query)| {
        let found = asked(&memory, "a", &query("", |query| set(query)));
        found.into_iter().map(|fact| fact.text).collect::<Vec<_>>()
    };
    assert_eq!(found(&|q| q.tags = vec!["drink".into(), "hot".into()]), ["likes tea"]);
    assert!(found(&|q| q.tags = vec!["cold".into()]).is_empty());
    assert_eq!(found(&|q| q.kinds = vec!["memory.preference".into()]), ["likes cake"]);
    assert_eq!(found(&|q| q.actors = vec!["user:ann".into()]), ["likes tea"]);
    assert_eq!(found(&|q| q.actors = vec!["user:bob".into()]), ["likes tea"]);
    assert_eq!(
        found(&|q| q.until = Some(instant("2026-01-02T00:00:00.000Z"))),
        ["likes tea"]
    );
    assert_eq!(found(&|q| q.limit = 1), ["likes tea"]);
    assert_eq!(asked(&memory, "a", &query("cakes", |_| ())).len(), 1);
}

#[test]
fn a_run_sees_its_own_later_statements_and_nobody_elses() {
    let memory = Fixture::new();
    memory.append(sure("likes tea", 0.5));
    let head = memory.head();
    let tea = memory.append(in_run("FAV", sure("likes coffee", 0.6))).id;
    memory.append(by("agent:other", sure("likes coffee", 0.6)));
    memory.append(by("agent:other", sure("likes tea", 0.5)));
    memory.catch_up();
    let seen = |name: Option<&str>| {
        let view = View::Handles(vec![Handle {
            scope: scope("a"),
            head,
            run: name.map(run),
        }]);
        let facts = memory.projections.facts(&view, &everything()).unwrap().facts;
        facts
            .into_iter()
            .map(|fact| (fact.text, fact.confidence))
            .collect::<Vec<_>>()
    };
    let tea_alone = ("likes tea".to_owned(), 0.5);
    assert_eq!(seen(Some("FAV")), [("likes coffee".to_owned(), 0.6), tea_alone.clone()]);
    assert_eq!(seen(Some("FAW")), std::slice::from_ref(&tea_alone));
    assert_eq!(seen(None), [tea_alone]);
    // What it takes back, it takes back for itself.
    memory.append(in_run(
        "FAV",
        superseding(of_kind("memory.retract", payload("a", json!({}))), tea),
    ));
    memory.catch_up();
    assert_eq!(seen(Some("FAV")), [("likes tea".to_owned(), 0.5)]);
}

#[test]
fn another_scope_has_a_say_only_where_it_is_seen() {
    let memory = Fixture::new();
    let tea = memory.append(sure("likes tea", 0.9)).id;
    let elsewhere = memory
        .append(of_kind(
            "message",
            payload("b", json!({"text": "x", "confidence": 0.2})),
        ))
        .id;
    memory.append(resting_on(sure("likes cake", 0.7), &[elsewhere]));
    memory.append(superseding(of_kind("memory.retract", payload("b", json!({}))), tea));
    memory.catch_up();
    let seen = |names: &[&str]| {
        let found = memory
            .projections
            .facts(&memory.pinned(names), &everything())
            .unwrap()
            .facts;
        found
            .into_iter()
            .map(|fact| (fact.text, fact.confidence))
            .collect::<Vec<_>>()
    };
    let fact = |text: &str, confidence: f64| (text.to_owned(), confidence);
    assert_eq!(seen(&["a"]), [fact("likes tea", 0.9), fact("likes cake", 0.7)]);
    assert_eq!(seen(&["a", "b"]), [fact("likes cake", 0.2)]);
}

/// Many sources are heard of which the first 64 count, and some of them say more later.
#[test]
fn a_fact_of_many_sources_is_the_same_however_it_was_folded() {
    let memory = Fixture::new();
    for n in 0..300_u32 {
        let confidence = f64::from(n * 37 % 100) / 1_000.0;
        memory.append(by(&format!("agent:n{}", n % 90), sure("likes tea", confidence)));
        if n % 50 == 0 {
            memory.catch_up();
        }
    }
    let fact = only(facts(&memory, "a"));
    let mut surest = std::collections::BTreeMap::<u32, f64>::new();
    for n in 0..300_u32 {
        let sure = surest.entry(n % 90).or_default();
        *sure = sure.max(f64::from(n * 37 % 100) / 1_000.0);
    }
    let mut surest: Vec<f64> = surest.into_values().collect();
    surest.sort_by(|a, b| b.total_cmp(a));
    let doubt: f64 = surest.iter().take(64).map(|sure| 1.0 - sure).product();
    assert!((fact.confidence - (1.0 - doubt).min(0.99)).abs() < 1e-12);
    let rows = memory.dump();
    memory.projections.rebuild().unwrap();
    assert_eq!(memory.dump(), rows);
}

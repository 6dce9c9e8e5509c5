//! How long facts take. `cargo test --release -p quipu-projections --test recall -- --ignored speed --nocapture`

use std::time::{Duration, Instant};

use quipu_format::Timestamp;
use quipu_projections::{Handle, Query, View};
use serde_json::json;

use crate::fixture::{Fixture, payload, query, run, scope};

const EVENTS: usize = 100_000;
const FACTS: usize = 20_000;

#[test]
#[ignore = "measures"]
fn speed_of_facts_of_a_scope_with_100_000_events() {
    let memory = Fixture::new();
    let mut ids = Vec::new();
    for batch in 0..EVENTS / 1_000 {
        let drafts = (0..1_000).map(|n| {
            let nth = batch * 1_000 + n;
            let said = json!({
                "text": format!("Fact number {} of a customer who says a good deal", nth * 7_919 % FACTS),
                "confidence": (nth % 90 + 10) as f64 / 100.0,
                "tags": [format!("t{}", nth % 7)],
            });
            let mut draft = payload("a", said);
            draft.actor = format!("agent:n{}", nth % 11).parse().unwrap();
            if nth % 5 == 0 && nth > 1_000 {
                draft.evidence = vec![ids[nth % 1_000]];
            }
            if nth % 50 == 0 && nth > 2_000 {
                draft.supersedes = vec![ids[nth - 1_500]];
            }
            draft
        });
        ids.extend(memory.append_all(drafts.collect()).iter().map(|receipt| receipt.id));
    }
    let begin = Instant::now();
    memory.catch_up();
    let folded = begin.elapsed();
    let file = std::fs::metadata(memory.file()).unwrap().len();
    println!(
        "folded {EVENTS} statements of {FACTS} facts in {folded:?}: {:.0} events/s; {} bytes of tables an event",
        EVENTS as f64 / folded.as_secs_f64(),
        file / EVENTS as u64
    );
    let head = memory.head();
    let view = |head, name: Option<&str>| {
        View::Handles(vec![Handle {
            scope: scope("a"),
            head,
            run: name.map(run),
        }])
    };
    let now = |query: &mut Query| query.now = Timestamp::from_ms(4_000_000_000_000);
    measure(&memory, "limit 10", &view(head, None), &query("", now));
    measure(&memory, "limit 100", &view(head, None), &query("", |q| q.limit = 100));
    measure(
        &memory,
        "limit 10, a tag",
        &view(head, None),
        &query("", |q| q.tags = vec!["t3".into()]),
    );
    measure(
        &memory,
        "limit 10, pinned 100 entries ago",
        &view(head - 100, Some("FAV")),
        &query("", now),
    );
    measure(
        &memory,
        "limit 10, words",
        &view(head, None),
        &query("number 4711 customer", now),
    );
    // Between two appends, as a run asks.
    let mut times = Vec::new();
    for n in 0..200 {
        memory.append(payload(
            "a",
            json!({"text": format!("Fact number {n} of a customer who says a good deal")}),
        ));
        let begin = Instant::now();
        memory.catch_up();
        times.push(begin.elapsed());
    }
    report("catching up with one new statement", times);
    let begin = Instant::now();
    let facts = memory
        .projections
        .facts(&view(head / 2, None), &query("", now))
        .unwrap()
        .facts
        .len();
    println!("as of the middle, {facts} facts: {:?}", begin.elapsed());
}

fn measure(memory: &Fixture, what: &str, view: &View, query: &Query) {
    let mut times = Vec::new();
    for _ in 0..500 {
        let begin = Instant::now();
        let facts = memory.projections.facts(view, query).unwrap().facts;
        times.push(begin.elapsed());
        assert!(!facts.is_empty());
    }
    report(what, times);
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("{what}: p50 {:?}, p99 {:?}, most {:?}", at(0.5), at(0.99), at(1.0));
}

/// The events and scopes can be set: `QUIPU_EVENTS`, `QUIPU_SCOPES`.
#[test]
#[ignore = "measures"]
fn speed_of_facts_in_many_scopes() {
    let set = |name: &str, or: usize| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(or);
    let (events, scopes) = (set("QUIPU_EVENTS", 1_000_000), set("QUIPU_SCOPES", 10_000));
    let memory = Fixture::new();
    for batch in 0..events / 1_000 {
        let drafts = (batch * 1_000..(batch + 1) * 1_000).map(|nth| {
            let said = json!({
                "text": format!("Fact number {} of a customer who says a good deal", nth / scopes % 40),
                "confidence": (nth % 90 + 10) as f64 / 100.0,
            });
            let mut draft = payload(&format!("customer:{}", nth % scopes), said);
            draft.actor = format!("agent:n{}", nth % 11).parse().unwrap();
            draft
        });
        memory.append_all(drafts.collect());
    }
    let begin = Instant::now();
    memory.catch_up();
    let folded = begin.elapsed();
    println!(
        "folded {events} statements of {scopes} scopes in {folded:?}: {:.0} events/s",
        events as f64 / folded.as_secs_f64()
    );
    let mut times = Vec::new();
    for nth in 0..2_000 {
        let view = memory.pinned(&[&format!("customer:{}", nth * 7_919 % scopes)]);
        let begin = Instant::now();
        let facts = memory.projections.facts(&view, &query("", |_| ())).unwrap().facts;
        times.push(begin.elapsed());
        assert!(!facts.is_empty());
    }
    report("facts of one scope of many", times);
}

/// One fact that is stated again and again, of which one statement after the other is taken back.
#[test]
#[ignore = "measures"]
fn speed_of_taking_back() {
    let memory = Fixture::new();
    let mut ids = Vec::new();
    for _ in 0..20 {
        let drafts = (0..1_000).map(|n| {
            let mut draft = payload("a", json!({"text": "asked about pricing"}));
            draft.actor = format!("agent:n{}", n % 11).parse().unwrap();
            draft
        });
        ids.extend(memory.append_all(drafts.collect()).iter().map(|receipt| receipt.id));
    }
    memory.catch_up();
    let mut times = Vec::new();
    for id in ids.iter().take(100) {
        let mut draft = payload("a", json!({}));
        draft.kind = "memory.retract".parse().unwrap();
        draft.supersedes = vec![*id];
        memory.append(draft);
        let begin = Instant::now();
        memory.catch_up();
        times.push(begin.elapsed());
    }
    report("taking one of 20,000 statements of a fact back", times);
    measure(
        &memory,
        "facts under a signal of 4,096 events",
        &memory.pinned(&["a"]),
        &query("", |_| ()),
    );
}

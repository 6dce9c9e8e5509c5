//! Summaries that must not be shown, or not as what they are not.

use std::time::{Duration, Instant};

use quipu_format::{Actor, EventId, Kind};
use quipu_log::{Draft, Target};
use quipu_projections::{Budget, Query, RETRACT, View};
use serde_json::json;

use crate::{
    compact::{compact, compaction, summary, talk},
    erase,
    fixture::{Fixture, instant, payload, query, say, scope, words},
};

fn summarises(text: &str, evidence: &[EventId]) -> Draft {
    let mut draft = payload("a", json!({ "text": text }));
    draft.kind = Kind::new("memory.summary").unwrap();
    draft.evidence = evidence.to_vec();
    draft
}

fn retracts(events: &[EventId]) -> Draft {
    let mut draft = payload("a", json!({}));
    draft.kind = Kind::new(RETRACT).unwrap();
    draft.supersedes = events.to_vec();
    draft
}

/// What is folded may be behind the log, for as long as it takes to make it again.
#[test]
fn what_quotes_the_erased_is_not_shown_before_the_erasure_is_folded() {
    let (it, kim) = erase::fixture();
    let said: Vec<_> = (0..3)
        .map(|nth| it.say("a", &format!("the safe opens with {nth}")))
        .collect();
    let below = it.append(summarises("the safe opens with 0", &said)).id;
    it.append(summarises("safes and how they open", &[below]));
    it.catch_up();
    let view = View::Everything { head: it.head() };
    let shown = |it: &Fixture| {
        let tier = query("safe", |query| query.tier = Some(1));
        let found = it.find(&view, &tier).len();
        let budget = Budget::Characters(10_000);
        let text = it.projections.compose(&view, &words("the safe opens with"), budget);
        let told = it.projections.summary(&scope("a"), u64::MAX).unwrap();
        (found, text.unwrap().text.contains("how they open"), told.is_some())
    };
    assert_eq!(shown(&it), (2, true, true));
    erase::erase(&it, &kim, &Target::Events(vec![said[0]]));
    assert_eq!(shown(&it), (0, false, false));
    it.catch_up();
    assert_eq!(shown(&it), (0, false, false));
}

#[test]
fn tags_of_the_erased_are_not_told_before_the_erasure_is_folded() {
    let (it, kim) = erase::fixture();
    let tagged = |tag: &str| payload("a", json!({ "text": "likes tea", "tags": [tag] }));
    let secret = it.append(tagged("xylographer")).id;
    it.append(tagged("drinks"));
    let facts = |it: &Fixture| {
        it.projections
            .facts(&it.pinned(&["a"]), &Query::default())
            .unwrap()
            .facts
    };
    it.catch_up();
    assert_eq!(facts(&it)[0].tags, ["drinks", "xylographer"]);
    erase::erase(&it, &kim, &Target::Events(vec![secret]));
    assert_eq!(facts(&it)[0].tags, ["drinks"]);
    it.catch_up();
    assert_eq!(facts(&it)[0].tags, ["drinks"]);
}

/// Each of these covers two hundred before it: to look at all below each of them anew took minutes.
#[test]
fn what_summaries_share_is_looked_at_once_in_an_answer() {
    let it = Fixture::new();
    let other = it.say("a", "likes coffee");
    let facts = (0..200).map(|nth| say("a", &format!("likes tea {nth}")));
    let mut covered: Vec<_> = it
        .append_all(facts.collect())
        .iter()
        .map(|receipt| receipt.id)
        .collect();
    for nth in 0..600 {
        covered.push(it.append(summarises(&format!("tea, {nth}"), &covered[nth..])).id);
    }
    it.append(retracts(&[other]));
    it.catch_up();
    let begun = Instant::now();
    let tier = query("tea", |query| (query.tier, query.limit) = (Some(1), 1_000));
    assert_eq!(it.find(&it.pinned(&["a"]), &tier).len(), 600);
    println!("looked at in {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    it.append(retracts(&covered[199..200]));
    assert_eq!(it.search(&["a"], &tier).len(), 0);
}

#[test]
fn a_summary_stands_in_only_where_nothing_bounds_the_question() {
    let it = Fixture::new();
    talk(&it);
    compact(&it, &compaction("a"), usize::MAX);
    it.catch_up();
    let summaries = |set: &dyn Fn(&mut Query)| {
        let query = query("parcel 3 round", |query| {
            query.limit = 30;
            set(query);
        });
        let budget = Budget::Characters(100_000);
        let context = it.projections.compose(&it.pinned(&["a"]), &query, budget).unwrap();
        let reader = it.ledger.reader();
        let events = context.events.iter().map(|id| reader.find(*id).unwrap().unwrap());
        let kinds = events.map(|seq| reader.event(seq).unwrap().unwrap().envelope.kind);
        kinds.filter(|kind| kind.as_str() == "memory.summary").count()
    };
    assert_eq!(summaries(&|_| ()), 3);
    assert_eq!(summaries(&|query| query.actors = vec!["user:ann".into()]), 0);
    assert_eq!(summaries(&|query| query.kinds = vec!["message".into()]), 0);
    assert_eq!(
        summaries(&|query| query.since = Some(instant("2026-01-01T00:00:00Z"))),
        0
    );
    assert_eq!(
        summaries(&|query| query.until = Some(instant("2027-01-01T00:00:00Z"))),
        0
    );
    assert_eq!(summaries(&|query| query.min_confidence = Some(0.1)), 0);
    assert_eq!(summaries(&|query| query.tier = Some(0)), 0);
}

#[test]
fn what_has_few_words_is_not_summarised_by_nothing() {
    let it = Fixture::new();
    let told = |it: &Fixture| {
        compact(it, &compaction("a"), usize::MAX);
        let lines = summary(it, "a").unwrap().lines;
        lines
            .into_iter()
            .map(|line| (line.text, line.count))
            .collect::<Vec<_>>()
    };
    let of_kind = |kind: &str, body| {
        let mut draft = payload("a", body);
        draft.kind = Kind::new(kind).unwrap();
        draft
    };
    it.append(of_kind("tool.call", json!({ "tool": "crm", "arguments": [1] })));
    it.append(of_kind("tool.call", json!({ "tool": "crm", "arguments": [2] })));
    assert_eq!(told(&it), [("tool.call".to_owned(), 2)]);
    it.append(of_kind("message", json!({ "text": "solo" })));
    assert_eq!(told(&it), [("solo".to_owned(), 1)]);
    it.append(say("a", "likes tea"));
    assert_eq!(told(&it), [("likes tea".to_owned(), 1)]);
}

#[test]
fn a_summary_tells_what_stands_beside_it_and_whose_it_is() {
    let it = Fixture::new();
    let said = talk(&it);
    compact(&it, &compaction("a"), usize::MAX);
    assert_eq!(summary(&it, "a").unwrap().beside, 0, "it covers the others");
    let mut theirs = summarises("all is well", &said[..2]);
    theirs.actor = Actor::new("agent:mallory").unwrap();
    it.append(theirs);
    let told = summary(&it, "a").unwrap();
    assert_eq!((told.actor.as_str(), told.beside), ("agent:mallory", 6));
}

/// A key is as long as a body lets it be, and was written again into the summary.
#[test]
fn long_keys_and_bodies_do_not_stop_it() {
    let it = Fixture::new();
    let long = "k".repeat(900_000);
    for (nth, text) in ["pays by card", "pays by invoice"].into_iter().enumerate() {
        it.append(payload("a", json!({ "text": text, "key": long })));
        it.append(payload("a", json!({ "text": text, "key": format!("{long}{nth}") })));
    }
    let mut speech = payload(
        "a",
        json!({ "text": "Rosa sent parcel 7 to Lisbon by train. ".repeat(25_000) }),
    );
    speech.kind = Kind::new("message").unwrap();
    it.append(speech);
    let begun = Instant::now();
    assert_eq!(compact(&it, &compaction("a"), usize::MAX), 1);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let told = summary(&it, "a").unwrap();
    assert!(told.event.payload().unwrap().len() < 64 << 10);
    assert_eq!((told.left_out, told.cut), (0, 1));
    let mut lines: Vec<_> = told.lines.iter().map(|line| &*line.text).collect();
    lines.sort_unstable();
    // Of the texts under the one key the newest holds; the other keys are others.
    let parcel = "Rosa sent parcel 7 to Lisbon by train.";
    assert_eq!(lines, [parcel, "pays by card", "pays by invoice", "pays by invoice"]);
}

#[test]
fn what_did_not_fit_is_counted() {
    let it = Fixture::new();
    let facts = (0..200).map(|nth| say("a", &format!("{nth} {}", "very long ".repeat(20))));
    it.append_all(facts.collect());
    compact(&it, &compaction("a"), usize::MAX);
    let told = summary(&it, "a").unwrap();
    assert!(told.left_out > 0);
    assert_eq!(told.lines.len() as u64 + told.left_out, 200);
}

/// It compared each summary that there was with each that there is to be.
#[test]
fn planning_grows_with_the_scope_and_no_faster() {
    let it = Fixture::new();
    for part in 0..30 {
        let turn = |nth: usize| {
            let mut draft = payload("a", json!({ "text": format!("parcel {nth} went to Lisbon") }));
            draft.kind = Kind::new("message").unwrap();
            let source = json!({ "channel": "chat", "conversationId": format!("c{}", (part * 1_000 + nth) / 2) });
            draft.body.source = Some(serde_json::from_value(source).unwrap());
            draft
        };
        it.append_all((0..1_000).map(turn).collect());
    }
    it.catch_up();
    let compaction = compaction("a");
    let begun = Instant::now();
    let plan = it.projections.compaction(&compaction, 1).unwrap();
    assert_eq!(plan.new.len(), 15_000);
    for some in plan.new.chunks(1_000) {
        let drafts = some
            .iter()
            .map(|new| it.projections.summarised(&compaction, 1, new).unwrap());
        it.append_all(drafts.collect());
    }
    it.catch_up();
    let made = begun.elapsed();
    let plan = || {
        let begun = Instant::now();
        let plan = it.projections.compaction(&compaction, 1).unwrap();
        (plan, begun.elapsed())
    };
    let (plan_kept, kept) = plan();
    assert_eq!(plan_kept.kept, 15_000);
    // By other rules each of them is replaced.
    std::fs::write(it.folder.path().join("ledger/noise.toml"), "").unwrap();
    it.catch_up();
    let (plan, replaced) = plan();
    assert!(plan.new.len() == 15_000 && plan.new.iter().all(|new| new.replaces.len() == 1));
    println!("made in {made:?}, planned to keep in {kept:?}, to replace in {replaced:?}");
    assert!(kept + replaced < Duration::from_secs(10), "{kept:?} {replaced:?}");
}

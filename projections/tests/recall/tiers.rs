//! Which summaries hold, and when answers show them.

use quipu_format::Kind;
use quipu_log::Target;
use quipu_projections::{Budget, Projections, Query, View};
use serde_json::json;

use crate::{
    compact::{compact, compaction, standing, summary, talk},
    erase,
    fixture::{Fixture, dump, payload, query, resting_on, say, words},
};

#[test]
fn what_is_retracted_is_out_of_summaries_at_once_and_after_the_next_run_they_hold_again() {
    let it = Fixture::new();
    let said = talk(&it);
    compact(&it, &compaction("a"), usize::MAX);
    let before = standing(&it, "a");
    let berlin = said[69];
    let mut retraction = payload("a", json!({ "reason": "wrong" }));
    retraction.kind = Kind::new("memory.retract").unwrap();
    retraction.supersedes = vec![berlin];
    let retraction = it.append(retraction).id;
    // What covers it does not hold, and neither does what covers that; other sessions' summaries do.
    assert_eq!(summary(&it, "a").unwrap().tier, 1);
    assert!(!standing(&it, "a").iter().any(|(_, text, _)| text.contains("Berlin")));
    let found = |it: &Fixture| it.search(&["a"], &query("Berlin", |query| query.tier = Some(1))).len();
    assert_eq!(found(&it), 0);
    // Nothing is left of its month: that summary is taken back, and the one over all is made anew.
    assert_eq!(compact(&it, &compaction("a"), usize::MAX), 2);
    let top = summary(&it, "a").unwrap();
    assert!(!top.lines.iter().any(|line| line.text.contains("Berlin")));
    assert_eq!(
        (top.covers.unwrap().events, compact(&it, &compaction("a"), usize::MAX)),
        (69, 0)
    );
    // To take the retraction back brings it back, under another key.
    let mut back = payload("a", json!({ "reason": "it was right" }));
    back.kind = Kind::new("memory.retract").unwrap();
    back.supersedes = vec![retraction];
    it.append(back);
    compact(&it, &compaction("a"), usize::MAX);
    assert_eq!(standing(&it, "a"), before);
    assert_eq!(compact(&it, &compaction("a"), usize::MAX), 0);
}

#[test]
fn what_is_erased_is_in_no_summary_that_holds() {
    let (it, kim) = erase::fixture();
    let said = talk(&it);
    compact(&it, &compaction("a"), usize::MAX);
    let csv = said[60];
    let impact: Vec<_> = it.projections.descent(&[csv], u64::MAX, &mut |_, _| ()).unwrap();
    assert_eq!(
        impact.len(),
        2,
        "its month's summary and the one over all descend from it"
    );
    erase::erase(&it, &kim, &Target::Events(vec![csv]));
    assert!(!standing(&it, "a").iter().any(|(_, text, _)| text.contains("csv")));
    assert_eq!(compact(&it, &compaction("a"), usize::MAX), 2);
    let top = summary(&it, "a").unwrap();
    let line = top
        .lines
        .iter()
        .find(|line| line.text == "prefers csv exports")
        .unwrap();
    assert_eq!((line.count, &line.events[..]), (1, &said[61..62]));
    // A summary that is erased by itself is written again.
    erase::erase(&it, &kim, &Target::Events(vec![top.event.envelope.id]));
    assert!(summary(&it, "a").is_none_or(|summary| summary.tier == 1));
    assert_eq!(compact(&it, &compaction("a"), usize::MAX), 1);
    assert_eq!(summary(&it, "a").unwrap().covers.unwrap().events, 69);
    assert_eq!(compact(&it, &compaction("a"), usize::MAX), 0);
    let again = Projections::open(it.ledger.reader()).unwrap();
    let before = it.dump();
    again.rebuild().unwrap();
    assert_eq!(dump(&again), before);
}

#[test]
fn search_gives_originals_first_and_a_tier_where_it_is_asked_for() {
    let it = Fixture::new();
    let said = talk(&it);
    it.say("b", "parcel to Lisbon");
    let ask = |tier: Option<u32>, limit: usize| {
        it.search(
            &["a"],
            &query("Rosa parcel Lisbon", |query| (query.tier, query.limit) = (tier, limit)),
        )
    };
    let before = ask(None, 10);
    compact(&it, &compaction("a"), usize::MAX);
    assert!(ask(None, 10).iter().all(|(id, _)| said.contains(id)));
    assert_eq!(before.len(), 10);
    let all = ask(None, 100);
    let originals = all.iter().take_while(|(id, _)| said.contains(id)).count();
    assert_eq!(
        (originals, all.len()),
        (60, 64),
        "three sessions' summaries and the one over all come last"
    );
    assert_eq!(ask(Some(0), 100).len(), 60);
    assert_eq!(
        (
            ask(Some(1), 100).len(),
            ask(Some(2), 100).len(),
            ask(Some(3), 100).len()
        ),
        (3, 1, 0)
    );
    // Another scope has none, and nothing of this one.
    assert_eq!(
        it.search(&["b"], &query("Lisbon", |query| query.tier = Some(1))).len(),
        0
    );
}

#[test]
fn context_shows_the_summary_where_it_covers_several_answers() {
    let it = Fixture::new();
    talk(&it);
    let ask = |text: &str, limit: usize| {
        it.catch_up();
        let query: Query = query(text, |query| query.limit = limit);
        let context = it
            .projections
            .compose(&it.pinned(&["a"]), &query, Budget::Characters(100_000))
            .unwrap();
        let events = context
            .events
            .iter()
            .map(|id| it.ledger.reader().find(*id).unwrap().unwrap());
        let events = events.map(|seq| it.ledger.reader().event(seq).unwrap().unwrap());
        events
            .filter(|event| event.envelope.kind.as_str() == "memory.summary")
            .count()
    };
    assert_eq!(ask("parcel 3 round", 30), 0);
    compact(&it, &compaction("a"), usize::MAX);
    assert_eq!(
        ask("parcel 3 round", 30),
        3,
        "of thirty answers each conversation has three or more"
    );
    assert_eq!(ask("parcel 3 round", 2), 0, "two answers need no summary");
}

#[test]
fn an_agents_summary_is_told_with_all_that_it_names() {
    let it = Fixture::new();
    let said = [it.say("a", "likes tea"), it.say("a", "likes coffee")];
    let mut draft = payload("a", json!({ "text": "Likes hot drinks.\nMore tea." }));
    draft.kind = Kind::new("memory.summary").unwrap();
    draft.evidence = said.to_vec();
    it.append(draft);
    let summary = summary(&it, "a").unwrap();
    assert_eq!(
        (summary.lines.len(), summary.tier, &summary.lines[1].events[..]),
        (2, 1, &said[..])
    );
    let seen = it.find(&View::Everything { head: it.head() }, &words("drinks"));
    assert_eq!(seen.len(), 1);
}

/// A belief whose evidence was retracted is none, and a summary must not bring it back.
#[test]
fn what_lost_its_support_is_out_of_summaries() {
    let it = Fixture::new();
    let moved = it.append(say("a", "Moved to Paris")).id;
    it.append(resting_on(say("a", "Send all mail to Paris"), &[moved]));
    it.append(say("a", "Prefers CSV exports"));
    compact(&it, &compaction("a"), usize::MAX);
    let told = |it: &Fixture| {
        summary(it, "a").map(|summary| {
            let lines = summary.lines.into_iter().map(|line| line.text);
            lines.collect::<Vec<_>>()
        })
    };
    assert_eq!(told(&it).unwrap().len(), 3);
    let mut retraction = payload("a", json!({ "reason": "spoofed" }));
    retraction.kind = Kind::new("memory.retract").unwrap();
    retraction.supersedes = vec![moved];
    it.append(retraction);
    assert_eq!(told(&it), None, "it holds no more");
    compact(&it, &compaction("a"), usize::MAX);
    assert_eq!(told(&it).unwrap(), ["Prefers CSV exports"]);
}

use quipu_format::Kind;
use quipu_projections::{ErrorKind, Handle, View, limits};
use serde_json::json;

use crate::fixture::{Fixture, bits, ids, imported, instant, payload, query, run, say, scope, superseding, words};

#[test]
fn the_best_match_comes_first_and_ties_go_to_the_newer() {
    let memory = Fixture::new();
    let older = memory.say("a:1", "invoices by mail");
    let other = memory.say("a:1", "the weather is fine");
    let newer = memory.say("a:1", "invoices by mail");
    let best = memory.say("a:1", "PDF invoice");
    let hits = memory.search(&["a:1"], &words("How are PDF invoices sent?"));
    assert_eq!(ids(&hits), [best, newer, older]);
    assert!(!ids(&hits).contains(&other));
    assert!(hits.iter().all(|(_, score)| (0.0..1.0).contains(score)));
}

#[test]
fn another_scopes_entries_never_move_a_score() {
    let memory = Fixture::new();
    for i in 0..20 {
        memory.say(
            "customer:a",
            if i % 3 == 0 {
                "pdf invoices please"
            } else {
                "nothing of note"
            },
        );
    }
    let before = memory.search(&["customer:a"], &words("pdf invoices"));
    for _ in 0..50 {
        memory.append_all(vec![
            say("customer:b", "pdf invoices pdf invoices"),
            say("customer:b", "a long sentence about pdf"),
        ]);
    }
    let after = memory.search(&["customer:a"], &words("pdf invoices"));
    assert_eq!(bits(&before), bits(&after));

    // Nor do they when both scopes are asked at once.
    let both = memory.search(
        &["customer:a", "customer:b"],
        &query("pdf invoices", |q| q.limit = 1_000),
    );
    let of_a: Vec<_> = both.into_iter().filter(|(id, _)| ids(&before).contains(id)).collect();
    assert_eq!(bits(&before), bits(&of_a));
}

#[test]
fn a_pinned_handle_is_not_moved_by_what_comes_later() {
    let memory = Fixture::new();
    let first = memory.say("a:1", "pdf invoices");
    memory.say("a:1", "lunch");
    let pinned = memory.pinned(&["a:1"]);
    memory.catch_up();
    let before = memory.find(&pinned, &words("pdf invoices"));
    let mut correction = say("a:1", "pdf invoices, but to the new address");
    correction.supersedes = vec![first];
    let correction = memory.append(correction).id;
    memory.say("a:1", "pdf pdf pdf");
    memory.catch_up();
    assert_eq!(bits(&before), bits(&memory.find(&pinned, &words("pdf invoices"))));
    let now = ids(&memory.search(&["a:1"], &words("pdf invoices")));
    assert!(now.contains(&correction) && !now.contains(&first));
}

#[test]
fn a_run_finds_what_it_has_appended_itself() {
    let memory = Fixture::new();
    memory.say("a:1", "pdf");
    let head = memory.head();
    let view = |name| {
        View::Handles(vec![Handle {
            scope: scope("a:1"),
            head,
            run: Some(run(name)),
        }])
    };
    let mut own = say("a:1", "pdf of mine");
    own.run = Some(run("FAV"));
    let own = memory.append(own).id;
    let mut elsewhere = say("b:2", "pdf of mine, in another scope");
    elsewhere.run = Some(run("FAV"));
    memory.append(elsewhere);
    let mut other = say("a:1", "pdf of another run");
    other.run = Some(run("FAW"));
    let other = memory.append(other).id;
    memory.catch_up();
    assert!(ids(&memory.find(&view("FAV"), &words("pdf"))).contains(&own));
    assert_eq!(memory.find(&view("FAV"), &words("pdf")).len(), 2);
    assert!(ids(&memory.find(&view("FAW"), &words("pdf"))).contains(&other));
    assert!(!ids(&memory.find(&view("FAW"), &words("pdf"))).contains(&own));
    // As of a position before it, its own are not there either.
    assert_eq!(
        memory.find(&view("FAV"), &query("pdf", |q| q.as_of = Some(head))).len(),
        1
    );
}

#[test]
fn only_what_the_view_shows_supersedes() {
    let memory = Fixture::new();
    let first = memory.say("a:1", "pays by card");
    let mut elsewhere = say("b:2", "retracted elsewhere");
    elsewhere.supersedes = vec![first];
    memory.append(elsewhere);
    assert_eq!(ids(&memory.search(&["a:1"], &words("card"))), [first]);
    assert!(memory.search(&["a:1", "b:2"], &words("card")).is_empty());
    assert!(memory.search(&["b:2"], &words("card")).is_empty());
    // Before it was superseded it held.
    assert_eq!(
        ids(&memory.search(&["a:1", "b:2"], &query("card", |q| q.as_of = Some(memory.head() - 1)))),
        [first]
    );
}

#[test]
fn what_has_expired_is_not_recalled() {
    let memory = Fixture::new();
    let draft = |days| {
        imported(
            "a:1",
            json!({ "text": "on holiday", "ttlDays": days }),
            "2026-01-01T00:00:00Z",
            "user:kim",
        )
    };
    let week = memory.append(draft(json!(7))).id;
    let half = memory.append(draft(json!(0.5))).id;
    let nonsense = memory.append(draft(json!(-3))).id;
    let for_ever = memory.append(draft(json!(1e300))).id;
    let at = |now| ids(&memory.search(&["a:1"], &query("holiday", |q| q.now = instant(now))));
    assert_eq!(at("2026-01-01T11:59:59.999Z").len(), 4);
    assert_eq!(at("2026-01-01T12:00:00Z"), [for_ever, nonsense, week]);
    assert_eq!(at("2026-01-07T23:59:59.999Z"), [for_ever, nonsense, week]);
    assert_eq!(at("2026-01-08T00:00:00Z"), [for_ever, nonsense]);
    assert!(!at("2026-01-08T00:00:00Z").contains(&half));
}

#[test]
fn bounds_are_by_event_time() {
    let memory = Fixture::new();
    let old = memory
        .append(imported(
            "a:1",
            json!({"text": "moved"}),
            "2024-03-01T00:00:00+01:00",
            "user:kim",
        ))
        .id;
    let new = memory.say("a:1", "moved");
    let since = ids(&memory.search(
        &["a:1"],
        &query("moved", |q| q.since = Some(instant("2025-01-01T00:00:00Z"))),
    ));
    let until = ids(&memory.search(
        &["a:1"],
        &query("moved", |q| q.until = Some(instant("2025-01-01T00:00:00Z"))),
    ));
    assert_eq!((since, until), (vec![new], vec![old]));
    let exact = |since, until| {
        memory.search(
            &["a:1"],
            &query("moved", |q| {
                (q.since, q.until) = (Some(instant(since)), Some(instant(until)))
            }),
        )
    };
    assert_eq!(exact("2024-02-29T23:00:00Z", "2024-02-29T23:00:00.001Z").len(), 1);
    assert_eq!(exact("2024-02-29T00:00:00Z", "2024-02-29T23:00:00Z").len(), 0);
}

#[test]
fn kinds_tags_and_actors_narrow() {
    let memory = Fixture::new();
    let mut decision = payload("a:1", json!({ "text": "ship it", "tags": ["release", "q3"] }));
    decision.kind = Kind::new("decision").unwrap();
    let decision = memory.append(decision).id;
    let memo = memory
        .append(payload("a:1", json!({ "text": "ship it", "tags": ["release"] })))
        .id;
    let kim = memory
        .append(imported(
            "a:1",
            json!({ "text": "ship it" }),
            "2026-01-01T00:00:00Z",
            "user:kim",
        ))
        .id;
    let search = |q: quipu_projections::Query| ids(&memory.search(&["a:1"], &q));
    assert_eq!(
        search(query("ship", |q| q.kinds = vec!["decision".into(), "none".into()])),
        [decision]
    );
    assert_eq!(
        search(query("ship", |q| q.tags = vec!["release".into()])),
        [memo, decision]
    );
    assert_eq!(
        search(query("ship", |q| q.tags = vec!["release".into(), "q3".into()])),
        [decision]
    );
    assert_eq!(search(query("ship", |q| q.actors = vec!["user:kim".into()])), [kim]);
    assert_eq!(
        search(query("ship", |q| q.actors = vec!["agent:teddy".into()])).len(),
        3
    );
    assert!(search(query("ship", |q| q.actors = vec!["agent:ted".into()])).is_empty());
    assert!(search(query("ship", |q| q.tags = vec!["x".repeat(limits::LABEL_BYTES + 1)])).is_empty());
    // Without words: all that pass, the newest first.
    assert_eq!(search(query("", |q| q.tags = vec!["release".into()])), [memo, decision]);
    // Words that cannot be looked for find nothing.
    assert!(search(words("🎉 …")).is_empty());
}

#[test]
fn a_guest_cannot_lend_itself_anothers_name_or_time() {
    let memory = Fixture::new();
    let mut forged = imported(
        "a:1",
        json!({ "text": "transfer approved" }),
        "2020-01-01T00:00:00Z",
        "user:boss",
    );
    forged.run = Some(run("FAV"));
    memory.append(forged);
    assert_eq!(memory.search(&["a:1"], &words("transfer")).len(), 1);
    assert!(
        memory
            .search(&["a:1"], &query("transfer", |q| q.actors = vec!["user:boss".into()]))
            .is_empty()
    );
    let past = query("transfer", |q| q.until = Some(instant("2021-01-01T00:00:00Z")));
    assert!(memory.search(&["a:1"], &past).is_empty());
}

#[test]
fn the_hosts_own_kinds_are_not_found() {
    let memory = Fixture::new();
    let mut own = say("a:1", "secret input of a run");
    own.kind = Kind::new("quipu.run").unwrap();
    memory.append(own);
    assert!(memory.search(&["a:1"], &words("secret input")).is_empty());
    assert!(memory.search(&["a:1"], &words("")).is_empty());
}

#[test]
fn an_answer_as_of_a_position_is_that_of_a_ledger_that_ended_there() {
    let memory = Fixture::new();
    let mut earlier = None;
    let mut answers = Vec::new();
    for i in 0..12 {
        let mut draft = say(
            "a:1",
            if i % 2 == 0 {
                "tea with milk"
            } else {
                "coffee, black, no milk at all"
            },
        );
        draft.supersedes = earlier.filter(|_| i % 5 == 4).into_iter().collect();
        earlier = Some(memory.append(draft).id);
        memory.say("b:2", "milk");
        answers.push((memory.head(), memory.search(&["a:1", "b:2"], &words("milk tea"))));
    }
    for (head, answer) in answers {
        let now = memory.search(&["a:1", "b:2"], &query("milk tea", |q| q.as_of = Some(head)));
        assert_eq!(bits(&answer), bits(&now), "as of {head}");
    }
}

#[test]
fn the_limit_is_clamped_and_the_answer_says_as_of_when_it_is() {
    let memory = Fixture::new();
    let drafts = || (0..1_000).map(|_| say("a:1", "again")).collect();
    memory.append_all(drafts());
    memory.append_all(drafts());
    assert_eq!(memory.search(&["a:1"], &query("again", |q| q.limit = 0)).len(), 1);
    assert_eq!(
        memory.search(&["a:1"], &query("again", |q| q.limit = usize::MAX)).len(),
        limits::HITS
    );

    let reached = memory.catch_up();
    let head = memory.head();
    memory.say("a:1", "later");
    let view = memory.pinned(&["a:1"]);
    assert_eq!(
        memory.projections.search(&view, &words("later")).unwrap().as_of,
        reached
    );
    assert_eq!(memory.find(&view, &words("later")), []);
    memory.catch_up();
    assert_eq!(
        memory.projections.search(&view, &words("later")).unwrap().as_of,
        head + 1
    );
    let early = memory
        .projections
        .search(&view, &query("again", |q| q.as_of = Some(7)))
        .unwrap();
    assert_eq!((early.as_of, early.hits.len() as u64), (7, 7 - (head - 2_000)));
}

#[test]
fn an_answers_bodies_are_bounded_together() {
    let memory = Fixture::new();
    for _ in 0..8 {
        memory.append(payload("a:1", json!({ "text": "huge", "rest": "x".repeat(900_000) })));
    }
    let found = memory.search(&["a:1"], &query("huge", |q| q.limit = 8)).len();
    assert_eq!(found, quipu_format::limits::PAGE_BYTES.div_ceil(900_000));
}

#[test]
fn too_many_names_are_refused() {
    let memory = Fixture::new();
    let names = vec!["x".to_owned(); limits::QUERY_LABELS + 1];
    for q in [
        query("", |q| q.kinds = names.clone()),
        query("", |q| q.tags = names.clone()),
        query("", |q| q.actors = names.clone()),
    ] {
        let error = memory.projections.search(&memory.pinned(&["a:1"]), &q).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}

#[test]
fn no_handle_shows_nothing_and_a_scope_that_is_not_there_looks_empty() {
    let memory = Fixture::new();
    memory.say("a:1", "pdf");
    memory.catch_up();
    for view in [
        View::Handles(Vec::new()),
        memory.pinned(&["no:such"]),
        memory.pinned(&["a:10"]),
    ] {
        assert!(memory.find(&view, &words("pdf")).is_empty());
        assert!(memory.find(&view, &words("")).is_empty());
    }
    assert_eq!(
        memory.find(&View::Everything { head: u64::MAX }, &words("pdf")).len(),
        1
    );
    assert_eq!(memory.find(&View::Everything { head: 0 }, &words("pdf")).len(), 0);
}

/// More of the best are withdrawn than are kept beside those that are wanted, several times over.
#[test]
fn what_is_withdrawn_makes_room_for_all_that_is_not() {
    let memory = Fixture::new();
    let worse = memory.say("a:1", "tea, and much else that makes it a worse answer to that");
    let receipts = memory.append_all((0..600).map(|_| say("a:1", "tea")).collect());
    let withdrawing = receipts.iter().map(|tea| superseding(say("a:1", "gone"), tea.id));
    memory.append_all(withdrawing.collect());
    assert_eq!(ids(&memory.search(&["a:1"], &query("tea", |q| q.limit = 1))), [worse]);
    assert_eq!(ids(&memory.search(&["a:1"], &words("tea"))), [worse]);
}

/// However many turns that state nothing match better.
#[test]
fn facts_are_looked_for_among_what_states_them() {
    let memory = Fixture::new();
    let fact = memory.say("a:1", "tea is what she likes best of all that there is to drink");
    for _ in 0..2 {
        let turns = (0..600).map(|_| {
            let mut turn = say("a:1", "tea");
            turn.kind = Kind::new("message").unwrap();
            turn
        });
        memory.append_all(turns.collect());
    }
    memory.catch_up();
    let found = memory
        .projections
        .facts(&memory.pinned(&["a:1"]), &words("tea"))
        .unwrap();
    assert_eq!(found.facts.len(), 1);
    assert_eq!(found.facts[0].evidence, [fact]);
}

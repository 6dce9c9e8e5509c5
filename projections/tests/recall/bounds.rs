//! What bounds facts: each limit, and one past it.

use quipu_projections::{Query, limits};
use serde_json::json;

use crate::fixture::{Fixture, payload, query, resting_on, say, superseding};

fn all() -> Query {
    query("", |query| query.limit = 1_000)
}

#[test]
fn evidence_is_named_up_to_a_number_and_counted_beyond() {
    let memory = Fixture::new();
    let most = limits::EVIDENCE;
    let ids: Vec<_> = (0..=most).map(|_| memory.say("a", "likes tea")).collect();
    memory.catch_up();
    let facts = memory.projections.facts(&memory.pinned(&["a"]), &all()).unwrap().facts;
    assert_eq!((facts[0].count, facts[0].evidence.len()), (most as u64 + 1, most));
    assert_eq!(facts[0].evidence, ids[1..], "the newest, the oldest of them first");
    // As made anew of what is seen.
    memory.say("a", "likes tea");
    memory.catch_up();
    let as_of = query("", |query| query.as_of = Some(memory.head() - 1));
    assert_eq!(
        memory.projections.facts(&memory.pinned(&["a"]), &as_of).unwrap().facts,
        facts
    );
}

#[test]
fn an_answer_names_so_many_events_and_no_more() {
    let memory = Fixture::new();
    let whole = limits::ANSWER_EVIDENCE / limits::EVIDENCE;
    for fact in 0..=whole {
        memory.append_all(
            (0..limits::EVIDENCE)
                .map(|_| say("a", &format!("fact {fact}")))
                .collect(),
        );
    }
    memory.catch_up();
    let facts = memory.projections.facts(&memory.pinned(&["a"]), &all()).unwrap().facts;
    assert_eq!(facts.len(), whole);
}

#[test]
fn evidence_is_followed_back_so_far_and_no_further() {
    let memory = Fixture::new();
    let mut chain = vec![memory.say("a", "step 0")];
    for step in 1..=limits::DERIVATION {
        chain.push(
            memory
                .append(resting_on(say("a", &format!("step {step}")), &[chain[step - 1]]))
                .id,
        );
    }
    let believed = |memory: &Fixture| {
        memory.catch_up();
        let facts = memory.projections.facts(&memory.pinned(&["a"]), &all()).unwrap().facts;
        facts.into_iter().map(|fact| fact.text).collect::<Vec<_>>()
    };
    // The last step goes back to the first one through as many as are looked at, and one more: how sure it is, nobody
    // knows.
    let last = format!("step {}", limits::DERIVATION);
    let before = believed(&memory);
    assert_eq!((before.len(), before.contains(&last)), (limits::DERIVATION, false));
    let mut retract = superseding(payload("a", json!({})), chain[0]);
    retract.kind = "memory.retract".parse().unwrap();
    memory.append(retract);
    assert!(believed(&memory).is_empty());
}

#[test]
fn tags_and_voices_of_a_fact_are_bounded() {
    let memory = Fixture::new();
    let drafts = (0..limits::TAGS + 50).map(|n| {
        let mut draft = payload(
            "a",
            json!({"text": "likes tea", "tags": [format!("t{n:04}")], "confidence": 0.01}),
        );
        draft.actor = format!("agent:n{n}").parse().unwrap();
        draft
    });
    memory.append_all(drafts.collect());
    memory.catch_up();
    let facts = memory.projections.facts(&memory.pinned(&["a"]), &all()).unwrap().facts;
    assert_eq!(facts[0].tags.len(), limits::TAGS);
    assert_eq!(facts[0].tags[0], "t0000");
    let together = 1.0 - 0.99_f64.powi(limits::VOICES as i32);
    assert!((facts[0].confidence - together).abs() < 1e-9, "{}", facts[0].confidence);
}

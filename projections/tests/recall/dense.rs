//! What means the same in other words, by a table of word vectors beside the ledger.

use std::fs;

use crate::fixture::{Fixture, say};
#[cfg(feature = "dense")]
use crate::{
    erase::{erase, fixture},
    fixture::{bits, ids, payload, query, words},
};

/// Cars, doctors and bills. Its numbers are whole, so that a text of one word has just these in the file.
const TABLE: &str = "the 40 40 40 40 40 40 127\n\
    car 127 3 -5 7 11 -13 17\nautomobile 127 5 -3 9 12 -11 13\nengine 90 127 1 0 0 0 0\n\
    doctor -3 4 127 5 1 2 -20\nphysician -2 6 127 3 2 0 -23\n\
    invoice 0 0 0 127 -9 -5 2\nbill 1 2 0 127 -12 -8 3\n";

fn put(memory: &Fixture, table: &str) {
    fs::write(memory.folder.path().join("ledger/vectors.txt"), table).unwrap();
}

#[test]
#[cfg(not(feature = "dense"))]
fn a_build_without_gives_the_same_rows_and_answers() {
    let memory = Fixture::new();
    memory.say("a", "we bought an automobile");
    memory.catch_up();
    let rows = memory.dump();
    put(&memory, TABLE);
    memory.projections.rebuild().unwrap();
    assert_eq!(memory.dump(), rows);
    assert!(memory.search(&["a"], &crate::fixture::words("car")).is_empty());
    memory.append(say("a", "and a car"));
    assert_eq!(memory.search(&["a"], &crate::fixture::words("car")).len(), 1);
}

#[cfg(feature = "dense")]
#[test]
fn a_question_finds_what_has_no_word_of_it() {
    let memory = Fixture::new();
    let bought = memory.say("a", "we bought an automobile");
    let called = memory.say("a", "the physician called");
    memory.say("a", "what no table knows");
    assert!(memory.search(&["a"], &words("car")).is_empty());
    put(&memory, TABLE);
    assert_eq!(ids(&memory.search(&["a"], &words("car"))), [bought]);
    assert_eq!(ids(&memory.search(&["a"], &words("Which doctor?"))), [called]);
    // Words and what they mean are added up.
    let said = memory.say("a", "a car");
    let hits = memory.search(&["a"], &words("car"));
    assert_eq!(ids(&hits), [said, bought]);
    assert!(hits.iter().all(|(_, score)| (0.0..=1.0).contains(score)));
    // Facts are found by their words alone.
    let facts = memory
        .projections
        .facts(&memory.pinned(&["a"]), &words("doctor"))
        .unwrap();
    assert!(facts.facts.is_empty());
}

#[cfg(feature = "dense")]
#[test]
fn bounds_hold_for_what_has_no_word_of_the_question() {
    let memory = Fixture::new();
    put(&memory, TABLE);
    let first = memory.say("a", "an automobile");
    let head = memory.head();
    let second = memory
        .append(payload(
            "a",
            serde_json::json!({"text": "the automobile", "tags": ["t"], "confidence": 0.2}),
        ))
        .id;
    let found = |set: fn(&mut quipu_projections::Query)| ids(&memory.search(&["a"], &query("car", set)));
    assert_eq!(found(|_| ()).len(), 2);
    assert_eq!(found(|query| query.limit = 1).len(), 1);
    assert_eq!(found(|query| query.tags = vec!["t".into()]), [second]);
    assert_eq!(found(|query| query.min_confidence = Some(0.5)), [first]);
    assert!(found(|query| query.kinds = vec!["message".into()]).is_empty());
    let as_of = query("car", |query| query.as_of = Some(head));
    assert_eq!(ids(&memory.search(&["a"], &as_of)), [first]);
    assert!(memory.search(&["b"], &words("car")).is_empty());
    let mut retraction = payload("a", serde_json::json!({"reason": "wrong"}));
    retraction.kind = "memory.retract".parse().unwrap();
    retraction.supersedes = vec![first];
    memory.append(retraction);
    assert_eq!(ids(&memory.search(&["a"], &words("car"))), [second]);
}

#[cfg(feature = "dense")]
#[test]
fn other_scopes_and_what_is_not_shown_move_no_score() {
    let memory = Fixture::new();
    put(&memory, TABLE);
    for text in [
        "an automobile",
        "the engine of the car",
        "the physician and the car",
        "a bill",
    ] {
        memory.say("a", text);
    }
    let view = memory.pinned(&["a"]);
    memory.catch_up();
    let before = bits(&memory.find(&view, &words("Is the car an invoice?")));
    assert!(before.len() >= 3);
    for n in 0..200 {
        memory.say("b", &format!("automobile {n} and its engine, a bill"));
    }
    memory.say("a", "a car, an invoice, an automobile");
    memory.catch_up();
    assert_eq!(bits(&memory.find(&view, &words("Is the car an invoice?"))), before);
}

#[cfg(feature = "dense")]
#[test]
fn rows_are_the_same_however_they_were_folded_and_whatever_was_erased() {
    let (memory, kim) = fixture();
    put(&memory, TABLE);
    // As they stand in the file: a text of one word.
    let canary = [127, 3, -5, 7, 11, -13, 17_i8].map(i8::cast_unsigned);
    let mut receipts = Vec::new();
    for part in 0..5 {
        let text = |n| match part * 40 + n {
            17 | 130 => "car",
            nth if nth % 3 == 0 => "the bill of the engine",
            nth if nth % 3 == 1 => "nothing",
            _ => "a physician",
        };
        receipts.extend(memory.append_all((0..40).map(|n| say("a", text(n))).collect()));
        memory.catch_up();
    }
    let holds = || {
        let files = fs::read_dir(memory.folder.path().join("ledger/projections")).unwrap();
        let mut bytes = files.map(|file| fs::read(file.unwrap().path()).unwrap());
        bytes.any(|bytes| bytes.windows(canary.len()).any(|window| window == canary))
    };
    let rows = memory.dump();
    assert!(rows.contains("\nmeaning\t") && holds(), "the search can find something");
    memory.projections.rebuild().unwrap();
    assert_eq!(memory.dump(), rows);
    erase(
        &memory,
        &kim,
        &quipu_log::Target::Events(vec![receipts[17].id, receipts[130].id]),
    );
    assert!(memory.projections.forget().unwrap());
    assert!(!holds());
    let hits = memory.search(&["a"], &words("automobile"));
    assert!(!ids(&hits).contains(&receipts[17].id));
    let rows = memory.dump();
    memory.projections.rebuild().unwrap();
    assert_eq!(memory.dump(), rows);
    erase(&memory, &kim, &quipu_log::Target::Scope("a".parse().unwrap()));
    memory.catch_up();
    assert!(!memory.dump().contains("\nmeaning\t"));
}

#[cfg(feature = "dense")]
#[test]
fn another_table_and_none_make_all_of_it_again() {
    let memory = Fixture::new();
    let bought = memory.say("a", "we bought an automobile");
    memory.catch_up();
    let without = memory.dump();
    put(&memory, TABLE);
    assert_eq!(ids(&memory.search(&["a"], &words("car"))), [bought]);
    let with = memory.dump();
    assert!(with.contains("\nvectors\t1\t"));
    // The same words, which mean something else.
    put(&memory, "car 1 0 0\nautomobile 0 0 1\n");
    assert!(memory.search(&["a"], &words("car")).is_empty());
    assert_ne!(memory.dump(), with);
    put(&memory, "car 1\nautomobile x\n");
    let refused = memory
        .projections
        .search(&memory.pinned(&["a"]), &words("car"))
        .unwrap_err();
    assert!(refused.to_string().contains("vectors.txt") && refused.to_string().contains("line 2"));
    fs::remove_file(memory.folder.path().join("ledger/vectors.txt")).unwrap();
    memory.catch_up();
    assert_eq!(memory.dump(), without);
}

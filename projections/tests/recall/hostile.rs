use std::time::{Duration, Instant};

use quipu_format::{Body, limits::BODY_BYTES};
use quipu_projections::limits;
use serde_json::{Value, json};

use crate::fixture::{Fixture, payload, query, say, words};

/// Far more than any of these needs, even in a debug build on a busy machine.
const LONG: Duration = Duration::from_secs(20);

#[test]
fn any_payload_is_folded_in_bounded_time() {
    let memory = Fixture::new();
    let started = Instant::now();
    let deep = format!("{}\"found deep\"{}", "{\"a\":[".repeat(62), "]}".repeat(62));
    let mut drafts = vec![
        say("a:1", &"a".repeat(1_000_000)),
        say(
            "a:1",
            &"é\u{301}\u{0}\u{1}kmemory.write 👩‍👩‍👧‍👦\u{202e}\u{feff} ".repeat(10_000),
        ),
        say("a:1", &(0..100_000).map(|i| format!("w{i} ")).collect::<String>()),
        say("a:1", "\u{0}\u{1}\u{7f}"),
        say("a:1", ""),
        payload(
            "a:1",
            json!({ "text": ["not", { "a": "string" }], "tags": "no list", "ttlDays": "soon" }),
        ),
        payload(
            "a:1",
            json!({ "tags": (0..5_000).map(|i| format!("t{i}")).collect::<Vec<_>>() }),
        ),
        payload("a:1", json!({ "\u{0}": Value::Null, "n": 1e308, "ttlDays": -0.0 })),
        payload("a:1", json!({})),
    ];
    let mut nested = say("a:1", "");
    nested.body = Body::new(None, &deep).unwrap();
    drafts.push(nested);
    for draft in &drafts {
        assert!(draft.body.to_bytes().unwrap().len() <= BODY_BYTES);
    }
    memory.append_all(drafts);
    memory.catch_up();
    assert_eq!(memory.search(&["a:1"], &words("deep")).len(), 1);
    assert_eq!(memory.search(&["a:1"], &words("string")).len(), 1);
    assert!(started.elapsed() < LONG, "{:?}", started.elapsed());
}

#[test]
fn an_event_is_searched_up_to_its_limits() {
    let memory = Fixture::new();
    let numbered: String = (0..=limits::INDEXED_WORDS).map(|i| format!("w{i} ")).collect();
    memory.say("a:1", &numbered);
    let last = limits::INDEXED_WORDS - 1;
    assert_eq!(memory.search(&["a:1"], &words(&format!("w{last}"))).len(), 1);
    assert_eq!(memory.search(&["a:1"], &words(&format!("w{}", last + 1))).len(), 0);

    memory.say("a:1", &format!("{}early", " ".repeat(limits::INDEXED_BYTES - 5)));
    memory.say("a:1", &format!("{}late", " ".repeat(limits::INDEXED_BYTES)));
    assert_eq!(memory.search(&["a:1"], &words("early")).len(), 1);
    assert_eq!(memory.search(&["a:1"], &words("late")).len(), 0);

    let tags: Vec<_> = (0..=limits::TAGS).map(|i| format!("t{i}")).collect();
    memory.append(payload("a:1", json!({ "tags": tags })));
    let tagged = |i: usize| {
        memory
            .search(&["a:1"], &query("", |q| q.tags = vec![format!("t{i}")]))
            .len()
    };
    assert_eq!((tagged(limits::TAGS - 1), tagged(limits::TAGS)), (1, 0));

    // The text is read before all else, whatever comes first in the payload.
    let mut draft = say("a:1", "");
    let filler = "x ".repeat(limits::INDEXED_BYTES / 2);
    draft.body = Body::new(None, &format!("{{\"a\":{filler:?},\"text\":\"needle\"}}")).unwrap();
    memory.append(draft);
    assert_eq!(memory.search(&["a:1"], &words("needle")).len(), 1);
}

#[test]
fn any_query_is_answered_in_bounded_time() {
    let memory = Fixture::new();
    memory.append_all((0..1_000).map(|i| say("a:1", &format!("w{i} of many"))).collect());
    memory.catch_up();
    let started = Instant::now();
    for text in [
        "w".repeat(100_000),
        (0..20_000).map(|i| format!("w{i} ")).collect(),
        "\u{0}\u{1}kmemory.write".repeat(5_000),
        "👩‍👩‍👧‍👦".repeat(10_000),
        "'\"%*();--\\".repeat(10_000),
        "e\u{301}".repeat(50_000),
    ] {
        memory.search(&["a:1"], &words(&text));
    }
    assert!(started.elapsed() < LONG, "{:?}", started.elapsed());
    // Words of a query are no labels.
    assert!(memory.search(&["a:1"], &words("\u{1}kmemory.write")).is_empty());
}

#[test]
fn a_block_full_of_different_words_is_folded() {
    let memory = Fixture::new();
    let text = |i: usize| (0..400).map(|j| format!("w{}x{j} ", i % 700)).collect::<String>();
    memory.append_all((0..600).map(|i| say("a:1", &text(i))).collect());
    memory.append_all((600..1_100).map(|i| say("a:1", &text(i))).collect());
    assert_eq!(memory.search(&["a:1"], &words("w3x399")).len(), 2);
    assert_eq!(memory.search(&["a:1"], &words("w699x0")).len(), 1);
}

//! Search against a computation that is as simple as can be, over a ledger that fills whole blocks.

use std::{
    collections::{BTreeSet, HashSet},
    sync::LazyLock,
};

use proptest::{prelude::*, sample::subsequence};
use quipu_format::{Envelope, Event, EventId, Timestamp};
use quipu_projections::{Handle, Query, View};
use serde_json::{Value, json};

use crate::fixture::{Fixture, ids, imported, query, run, say, scope};

const WORDS: [&str; 12] = [
    "alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet", "kilo", "lima",
];
const SCOPES: [&str; 3] = ["a:1", "b:2", "c:3"];
const RUNS: [&str; 2] = ["FAV", "FAW"];
const TAGS: [&str; 3] = ["red", "green", "blue"];
const DAY_MS: u64 = 86_400_000;

/// 3,000 events, two thirds of them in one scope, with all that search looks at.
pub(crate) static LEDGER: LazyLock<(Fixture, Vec<Event>)> = LazyLock::new(|| {
    let memory = Fixture::new();
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut known: Vec<EventId> = Vec::new();
    for _ in 0..10 {
        let mut drafts = Vec::new();
        for _ in 0..300 {
            let scope = SCOPES[[0, 0, 0, 0, 1, 2][random(6)]];
            // Rare words and common ones, short texts and long ones.
            let length = 1 + random(14);
            let text: Vec<_> = (0..length)
                .map(|_| WORDS[random(WORDS.len()).min(random(WORDS.len()))])
                .collect();
            let tags: Vec<_> = TAGS.iter().filter(|_| random(4) == 0).collect();
            let mut payload = json!({ "text": text.join(" "), "colours": tags, "tags": tags });
            if random(5) == 0 {
                payload["ttlDays"] = json!(random(40));
            }
            let mut draft = say(scope, "");
            if random(3) == 0 {
                let ts = Timestamp::from_ms(1_700_000_000_000 + random(40) as u64 * DAY_MS);
                draft = imported(scope, json!({}), &ts.to_string(), "user:kim");
            }
            draft.body.payload = serde_json::value::to_raw_value(&payload).unwrap();
            draft.run = [None, None, Some(run(RUNS[0])), Some(run(RUNS[1]))][random(4)];
            if random(8) == 0 && !known.is_empty() {
                draft.supersedes = vec![known[random(known.len())]];
            }
            if random(20) == 0 {
                draft.kind = "quipu.run".parse().unwrap();
            }
            drafts.push(draft);
        }
        known.extend(memory.append_all(drafts).iter().map(|receipt| receipt.id));
    }
    memory.catch_up();
    let events: Vec<_> = memory.ledger.reader().events(0..u64::MAX).map(Result::unwrap).collect();
    assert!(
        events
            .iter()
            .filter(|event| event.envelope.scope.as_str() == "a:1")
            .count()
            > 1_500
    );
    (memory, events)
});

fn sees(view: &View, entry: &Envelope) -> bool {
    match view {
        View::Everything { head } => entry.seq < *head,
        View::Handles(handles) => handles.iter().any(|handle| {
            let own = handle.run.is_some() && entry.run == handle.run;
            entry.scope == handle.scope && (own || entry.seq < handle.head)
        }),
    }
}

/// The words of a document, and what bounds it.
struct Plain<'a> {
    event: &'a Event,
    words: Vec<String>,
    tags: Vec<String>,
    time: Timestamp,
    expires: Option<u64>,
}

fn plain(event: &Event) -> Plain<'_> {
    let body = event.body().unwrap();
    let payload: Value = serde_json::from_str(body.payload.get()).unwrap();
    let strings = |name: &str| -> Vec<String> {
        let list = payload.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut words: Vec<_> = payload["text"]
        .as_str()
        .unwrap_or("")
        .split(' ')
        .map(str::to_owned)
        .collect();
    words.extend(strings("tags").into_iter().chain(strings("colours")));
    words.retain(|word| !word.is_empty());
    let original = body
        .source
        .as_ref()
        .filter(|_| event.envelope.run.is_none())
        .and_then(|s| s.extra.get("original"));
    let time = original.map_or(event.envelope.ts, |o| {
        Timestamp::parse_rfc3339(o["ts"].as_str().unwrap()).unwrap()
    });
    let expires = payload["ttlDays"].as_u64().map(|days| time.as_ms() + days * DAY_MS);
    Plain {
        event,
        words,
        tags: strings("tags"),
        time,
        expires,
    }
}

fn naive(events: &[Event], view: &View, query: &Query) -> Vec<(EventId, f64)> {
    let shown: Vec<_> = events
        .iter()
        .filter(|event| event.envelope.seq < query.as_of.unwrap_or(u64::MAX) && sees(view, &event.envelope))
        .collect();
    let superseded: HashSet<_> = shown.iter().flat_map(|event| &event.envelope.supersedes).collect();
    let looked_for: BTreeSet<_> = query.text.split(' ').filter(|word| !word.is_empty()).collect();
    let mut hits = Vec::new();
    for scope in SCOPES.iter().chain(&["quipu:ledger"]) {
        let documents: Vec<_> = shown
            .iter()
            .filter(|e| e.envelope.scope.as_str() == *scope && !e.envelope.kind.is_reserved())
            .map(|e| plain(e))
            .collect();
        let n = documents.len() as f64;
        let mean = documents.iter().map(|d| d.words.len() as f64).sum::<f64>() / n;
        let idf = |word: &str| {
            let df = documents.iter().filter(|d| d.words.iter().any(|w| w == word)).count() as f64;
            (1.0 + (n - df + 0.5) / (df + 0.5)).ln()
        };
        let idfs: Vec<_> = looked_for.iter().map(|word| idf(word)).collect();
        for d in &documents {
            let norm = 0.9 * (0.6 + 0.4 * d.words.len() as f64 / mean);
            let mut score = 0.0;
            for (word, idf) in looked_for.iter().zip(&idfs) {
                let tf = d.words.iter().filter(|w| w == word).count() as f64;
                score += if tf > 0.0 { idf * tf / (tf + norm) } else { 0.0 };
            }
            let kept = (score > 0.0 || query.text.is_empty())
                && !superseded.contains(&d.event.envelope.id)
                && d.expires.is_none_or(|expires| expires > query.now.as_ms())
                && query.since.is_none_or(|since| d.time >= since)
                && query.until.is_none_or(|until| d.time < until)
                && query.tags.iter().all(|tag| d.tags.contains(tag));
            if kept {
                let share = if query.text.is_empty() {
                    0.0
                } else {
                    score / idfs.iter().sum::<f64>()
                };
                hits.push((d.event.envelope.seq, d.event.envelope.id, share));
            }
        }
    }
    // Equal but for the last bits is equal, and the newer comes first.
    let rounded = |score: f64| (score * 1e9).round() as i64;
    hits.sort_by_key(|(seq, _, score)| (-rounded(*score), -(*seq as i64)));
    hits.into_iter()
        .map(|(_, id, score)| (id, score))
        .take(query.limit)
        .collect()
}

fn views() -> impl Strategy<Value = View> {
    let handle = (0..4_usize, 0..3_400_u64, 0..3_usize).prop_map(|(at, head, by)| Handle {
        scope: scope(SCOPES.get(at).unwrap_or(&SCOPES[0])),
        head,
        run: RUNS.get(by).map(|name| run(name)),
    });
    prop_oneof![
        1 => (0..3_400_u64).prop_map(|head| View::Everything { head }),
        4 => prop::collection::vec(handle, 0..4).prop_map(View::Handles),
    ]
}

fn queries() -> impl Strategy<Value = Query> {
    let text = subsequence(&WORDS[..], 0..5).prop_map(|words| words.join(" "));
    let day = || {
        prop::option::weighted(
            0.2,
            (0..60_u64).prop_map(|d| Timestamp::from_ms(1_700_000_000_000 + d * DAY_MS)),
        )
    };
    let tags = prop_oneof![2 => Just(Vec::new()), 1 => subsequence(&TAGS[..], 1..3)];
    (
        text,
        prop_oneof![Just(10), Just(1_000)],
        tags,
        day(),
        day(),
        day(),
        prop::option::weighted(0.3, 0..3_400_u64),
    )
        .prop_map(|(text, limit, tags, since, until, now, as_of)| {
            query(&text, |q| {
                (q.limit, q.since, q.until, q.as_of) = (limit, since, until, as_of);
                q.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
                q.now = now.unwrap_or(Timestamp::FIRST);
            })
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn search_finds_what_a_naive_computation_finds(view in views(), query in queries()) {
        let (memory, events) = &*LEDGER;
        let (ours, naive) = (memory.find(&view, &query), naive(events, &view, &query));
        prop_assert_eq!(ids(&ours), ids(&naive));
        for ((_, ours), (_, naive)) in ours.iter().zip(&naive) {
            prop_assert!((ours - naive).abs() < 1e-12, "{} {}", ours, naive);
        }
    }
}

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
    // What goes on in each scope: 0 is no conversation.
    let mut conversations = [0; 3];
    for _ in 0..10 {
        let mut drafts = Vec::new();
        for _ in 0..300 {
            let at = [0, 0, 0, 0, 1, 2][random(6)];
            let scope = SCOPES[at];
            if random(7) == 0 {
                conversations[at] = random(4);
            }
            // Rare words and common ones, short texts and long ones.
            let length = 1 + random(14);
            let text: Vec<_> = (0..length)
                .map(|_| WORDS[random(WORDS.len()).min(random(WORDS.len()))])
                .collect();
            let tags: Vec<_> = TAGS.iter().filter(|_| random(4) == 0).collect();
            let text = text.join(" ") + if random(3) == 0 { " ?" } else { "" };
            let mut payload = json!({ "text": text, "colours": tags, "tags": tags });
            if random(5) == 0 {
                payload["ttlDays"] = json!(random(40));
            }
            let mut draft = say(scope, "");
            if random(3) == 0 {
                let ts = Timestamp::from_ms(1_700_000_000_000 + random(40) as u64 * DAY_MS);
                draft = imported(scope, json!({}), &ts.to_string(), "user:kim");
            }
            if conversations[at] > 0 {
                let mut source = serde_json::to_value(&draft.body.source).unwrap();
                if source.is_null() {
                    source = json!({ "channel": "test" });
                }
                source["conversationId"] = json!("talk");
                source["session"] = json!(conversations[at]);
                draft.body.source = Some(serde_json::from_value(source).unwrap());
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
    asks: bool,
    /// Its conversation, if it is a turn of one.
    talk: Option<(String, String)>,
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
    let asks = words.contains(&"?".to_owned());
    words.retain(|word| !word.is_empty() && word != "?");
    let original = body
        .source
        .as_ref()
        .filter(|_| event.envelope.run.is_none())
        .and_then(|s| s.extra.get("original"));
    let time = original.map_or(event.envelope.ts, |o| {
        Timestamp::parse_rfc3339(o["ts"].as_str().unwrap()).unwrap()
    });
    let talk = body.source.as_ref().and_then(|source| {
        let session = source.extra.get("session")?.to_string();
        Some((source.channel.clone(), session))
    });
    let expires = payload["ttlDays"].as_u64().map(|days| time.as_ms() + days * DAY_MS);
    Plain {
        event,
        words,
        tags: strings("tags"),
        time,
        expires,
        asks,
        talk,
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
        let mut sessions: Vec<Vec<usize>> = Vec::new();
        for (at, d) in documents.iter().enumerate() {
            let goes_on = at > 0 && {
                let before = &documents[at - 1];
                let gap = before.time.as_ms().abs_diff(d.time.as_ms());
                d.talk.is_some() && before.talk == d.talk && gap <= 6 * 3_600_000
            };
            match sessions.last_mut().filter(|_| goes_on) {
                Some(session) => session.push(at),
                None => sessions.push(vec![at]),
            }
        }
        let n = documents.len() as f64;
        let length = |session: &[usize]| session.iter().map(|&at| documents[at].words.len()).sum::<usize>() as f64;
        let mean = length(&(0..documents.len()).collect::<Vec<_>>()) / n;
        let talks: Vec<_> = sessions.iter().filter(|session| session.len() > 1).collect();
        let mean_talk = talks.iter().map(|session| length(session)).sum::<f64>() / talks.len() as f64;
        let idf = |word: &str| {
            let df = documents.iter().filter(|d| d.words.iter().any(|w| w == word)).count() as f64;
            (1.0 + (n - df + 0.5) / (df + 0.5)).ln()
        };
        let idfs: Vec<_> = looked_for.iter().map(|word| idf(word)).collect();
        // The share of the query's weight that some documents have as one text.
        let share = |session: &[usize], mean: f64| {
            let norm = 0.9 * (0.6 + 0.4 * length(session) / mean);
            let mut share = 0.0;
            for (word, idf) in looked_for.iter().zip(&idfs) {
                let words = session.iter().flat_map(|&at| &documents[at].words);
                let tf = words.filter(|w| w == word).count() as f64;
                share += if tf > 0.0 { idf * tf / (tf + norm) } else { 0.0 };
            }
            if share > 0.0 {
                share / idfs.iter().sum::<f64>()
            } else {
                0.0
            }
        };
        let own: Vec<f64> = (0..documents.len()).map(|at| share(&[at], mean)).collect();
        for session in &sessions {
            let of = |at: usize| session.get(at).map_or(0.0, |&at| own[at]);
            for (at, &document) in session.iter().enumerate() {
                let d = &documents[document];
                let before = |by: usize| at.checked_sub(by).map_or(0.0, of);
                let asked = at > 0 && documents[session[at - 1]].asks;
                let near = before(2) + before(1) + of(at + 1) + of(at + 2);
                let said = of(at) + 0.3 * near + if asked { 0.4 * before(1) } else { 0.0 };
                let session_share = match session.len() {
                    1 => 0.9 * of(at),
                    _ => 0.3 * share(session, mean_talk),
                };
                let kept = (said > 0.0 || query.text.is_empty())
                    && !superseded.contains(&d.event.envelope.id)
                    && d.expires.is_none_or(|expires| expires > query.now.as_ms())
                    && query.since.is_none_or(|since| d.time >= since)
                    && query.until.is_none_or(|until| d.time < until)
                    && query.tags.iter().all(|tag| d.tags.contains(tag));
                if kept {
                    let score = if said > 0.0 { (said + session_share) / 3.5 } else { 0.0 };
                    hits.push((d.event.envelope.seq, d.event.envelope.id, score));
                }
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

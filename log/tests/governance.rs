//! Holds, retention policies and requests: what they refuse, whoever comes first.

use std::{path::Path, thread};

use quipu_format::{
    Act, Actor, Body, Cause, Erasure, Hold, Kind, Release, RequestChange, RequestId, RetentionChange, Scope, Signer,
    Timestamp,
};
use quipu_log::{CreateOptions, Draft, Error, ErrorKind, Ledger, OpenOptions, SignedAct};
use serde_json::{Value, json};

const ORIGIN: &str = "example.com/governance";
const DAY_MS: u64 = 86_400_000;

fn kim() -> Signer {
    Signer::new("operator:kim", [9; 32]).unwrap()
}

fn create(folder: &Path) -> Ledger {
    let options = CreateOptions::new(ORIGIN).operator(&kim().verifier_key()).unwrap();
    Ledger::create(&folder.join("ledger"), options).unwrap()
}

fn reopen(folder: &Path, ledger: Ledger) -> Ledger {
    ledger.close().unwrap();
    Ledger::open(&folder.join("ledger"), OpenOptions::default()).unwrap()
}

fn scope() -> Scope {
    Scope::new("customer:acme").unwrap()
}

fn write(ledger: &Ledger, payload: Value) -> u64 {
    let body = Body::new(None, &payload.to_string()).unwrap();
    let (actor, kind) = (Actor::new("user:ann").unwrap(), Kind::new("message").unwrap());
    ledger
        .append_blocking(Draft::new(scope(), actor, kind, body))
        .unwrap()
        .seq
}

fn signed(ledger: &Ledger, member: &str, value: Value) -> SignedAct {
    SignedAct::sign(ORIGIN, ledger.reader().head(), member, &value, &kim())
        .unwrap()
        .because("as counsel asked")
}

fn act(ledger: &Ledger, member: &str, value: Value) -> Result<u64, Error> {
    Ok(ledger.act_blocking(vec![signed(ledger, member, value)])?[0].seq)
}

fn erasure(first: u32, last: u32) -> Erasure {
    Erasure {
        cause: Cause::Redact,
        ranges: vec![[first, last]],
        request: None,
        scope: scope(),
    }
}

fn erase(ledger: &Ledger, first: u32, last: u32) -> Result<u64, Error> {
    act(ledger, Erasure::MEMBER, json!(erasure(first, last)))
}

#[test]
fn what_is_held_is_not_erased_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = create(folder.path());
    for i in 0..6 {
        write(&ledger, json!({"text": format!("said {i}")}));
    }
    let hold = json!({"id": "hold-1", "over": [{"scope": scope(), "ranges": [[2, 3]]}]});
    let seq = act(&ledger, Hold::MEMBER, hold).unwrap();
    assert_eq!(
        ledger.reader().reason(seq).unwrap().as_deref(),
        Some("as counsel asked")
    );
    let envelope = ledger.reader().envelope(seq).unwrap().unwrap();
    assert!(!envelope.sys.unwrap().to_string().contains("counsel"));
    for again in [false, true] {
        if again {
            ledger = reopen(folder.path(), ledger);
        }
        let head = ledger.reader().head();
        let refused = erase(&ledger, 1, 2).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Held);
        assert!(refused.to_string().contains("hold-1"), "{refused}");
        // All or none.
        let both = vec![
            signed(&ledger, "erase", json!(erasure(0, 0))),
            signed(&ledger, "erase", json!(erasure(3, 3))),
        ];
        assert_eq!(ledger.act_blocking(both).unwrap_err().kind(), ErrorKind::Held);
        assert_eq!(ledger.reader().head(), head);
        let refusal = ledger
            .reader()
            .refusal(&erasure(1, 2), Timestamp::from_ms(u64::MAX))
            .unwrap();
        assert!(refusal.unwrap().to_string().contains("hold-1"));
    }
    erase(&ledger, 0, 1).unwrap();
    act(&ledger, Release::MEMBER, json!({"hold": "hold-1"})).unwrap();
    erase(&ledger, 2, 2).unwrap();
    let ledger = reopen(folder.path(), ledger);
    erase(&ledger, 3, 3).unwrap();
}

/// What an act orders counts for the acts behind it in the same append.
#[test]
fn a_hold_and_an_erasure_in_one_append_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = create(folder.path());
    write(&ledger, json!({"text": "said"}));
    let head = ledger.reader().head();
    let hold = signed(&ledger, "hold", json!({"id": "hold-1", "over": [{"scope": scope()}]}));
    let erasing = signed(&ledger, "erase", json!(erasure(0, 0)));
    let refused = ledger.act_blocking(vec![hold.clone(), erasing.clone()]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Held);
    assert_eq!(ledger.reader().head(), head);
    assert_eq!(ledger.reader().governance().unwrap().holds().count(), 0);
    ledger.act_blocking(vec![erasing, hold]).unwrap();
}

#[test]
fn nobody_orders_without_an_operators_signature() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = create(folder.path());
    for (kind, sys) in [
        ("quipu.hold", json!({"hold": {"id": "h", "over": [{"scope": "a"}]}})),
        ("quipu.release", json!({"release": {"hold": "h"}})),
        ("quipu.retention", json!({"retention": {"remove": "a"}})),
        (
            "quipu.request",
            json!({"request": {"close": {"id": "r", "outcome": "refused"}}}),
        ),
    ] {
        let body = Body::new(None, "{}").unwrap();
        let (actor, kind) = (Actor::new("host:quipu").unwrap(), Kind::new(kind).unwrap());
        let mut draft = Draft::new(Scope::ledger(), actor, kind, body);
        draft.sys = Some(sys);
        let refused = ledger.append_blocking(draft).unwrap_err();
        assert!(refused.to_string().contains("signature"), "{refused}");
    }
}

/// A hold is added while erasures are on the way: each erasure is before it in the log, or was refused.
#[test]
fn no_erasure_slips_past_a_hold() {
    for round in 0..8 {
        let folder = tempfile::tempdir().unwrap();
        let ledger = create(folder.path());
        for _ in 0..40 {
            write(&ledger, json!({"text": "said"}));
        }
        let hold = json!({"id": "hold-1", "over": [{"scope": scope()}]});
        let held = thread::scope(|threads| {
            let erasing: Vec<_> = (0..4_u32)
                .map(|part| {
                    let ledger = ledger.clone();
                    threads.spawn(move || {
                        (0..10)
                            .map(|i| erase(&ledger, part * 10 + i, part * 10 + i))
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            thread::sleep(std::time::Duration::from_millis(round));
            let held = act(&ledger, Hold::MEMBER, hold).unwrap();
            for erased in erasing.into_iter().flat_map(|thread| thread.join().unwrap()) {
                match erased {
                    Ok(seq) => assert!(seq < held, "erased at {seq}, held since {held}"),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Held, "{error}"),
                }
            }
            held
        });
        let erasures = ledger.reader().events(0..u64::MAX).filter_map(|event| {
            let envelope = event.unwrap().envelope;
            Act::of(&envelope)
                .unwrap()
                .filter(|act| act.member == "erase")
                .map(|_| envelope.seq)
        });
        assert!(erasures.max().is_none_or(|last| last < held));
    }
}

#[test]
fn a_policy_keeps_what_is_young() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = create(folder.path());
    for _ in 0..3 {
        write(&ledger, json!({"text": "said"}));
    }
    let set = json!({"set": {"of": "customer:*", "keepDays": 30}});
    act(&ledger, RetentionChange::MEMBER, set).unwrap();
    let ledger = reopen(folder.path(), ledger);
    let refused = erase(&ledger, 0, 1).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Held);
    assert!(refused.to_string().contains("customer:*"), "{refused}");
    let now = ledger.reader().event(2).unwrap().unwrap().envelope.ts.as_ms();
    let refusal = |ms: u64| ledger.reader().refusal(&erasure(0, 1), Timestamp::from_ms(ms)).unwrap();
    assert!(refusal(now + 30 * DAY_MS - 1).is_some());
    assert!(refusal(now + 30 * DAY_MS).is_none());
    // Its own scope's policy stands in for the wider one.
    let set = json!({"set": {"of": scope(), "eraseAfterDays": 1}});
    act(&ledger, RetentionChange::MEMBER, set).unwrap();
    erase(&ledger, 0, 1).unwrap();
}

#[test]
fn what_is_due_is_a_prefix_without_what_is_held() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = create(folder.path());
    for ttl in [None, Some(1), Some(1), None, Some(1), Some(90)] {
        write(
            &ledger,
            ttl.map_or(json!({"text": "said"}), |days| json!({"ttlDays": days})),
        );
    }
    let reader = ledger.reader();
    let written = |nth: u32| {
        let seq = reader.seq_of(&scope(), nth).unwrap().unwrap();
        reader.envelope(seq).unwrap().unwrap().ts.as_ms()
    };
    let last = written(5);
    let due = |ms: u64| reader.due(Timestamp::from_ms(ms), &mut |_, _| {}).unwrap();
    assert!(due(u64::MAX).is_empty());

    let set = json!({"set": {"of": "*", "eraseAfterDays": 10, "keepDays": 2}});
    act(&ledger, RetentionChange::MEMBER, set).unwrap();
    assert!(due(written(0) + 10 * DAY_MS - 1).is_empty());
    let all = due(last + 10 * DAY_MS);
    assert_eq!((all.len(), &all[0].erasures[0].ranges), (1, &vec![[0, 5]]));
    assert_eq!(all[0].erasures[0].cause, Cause::Retain);

    let hold = json!({"id": "hold-1", "over": [{"scope": scope(), "ranges": [[1, 1], [5, 9]]}]});
    act(&ledger, Hold::MEMBER, hold).unwrap();
    let parted = due(last + 10 * DAY_MS);
    assert_eq!(parted[0].erasures[0].ranges, [[0, 0], [2, 4]]);
    assert_eq!(parted[0].held[0].ranges, [[1, 1], [5, 5]]);

    // Expiry: entry 0 has no end, so that all behind it waits; nothing before the minimum age.
    let set = json!({"set": {"of": "*", "eraseExpired": true, "keepDays": 2}});
    act(&ledger, RetentionChange::MEMBER, set).unwrap();
    let first = reader
        .event(reader.seq_of(&scope(), 0).unwrap().unwrap())
        .unwrap()
        .unwrap();
    let waiting = due(last + 3 * DAY_MS);
    assert!(waiting[0].erasures.is_empty());
    assert_eq!(
        (waiting[0].waiting, waiting[0].waiting_for),
        (3, Some(first.envelope.id))
    );
}

/// Each run of a policy of no days erased what the run before it said of itself, and said so.
#[test]
fn an_erasure_alone_is_not_due() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = create(folder.path());
    let said = || write(&ledger, json!({"text": "said"}));
    for _ in 0..6 {
        said();
    }
    let hold = json!({"id": "hold-1", "over": [{"scope": scope(), "ranges": [[1, 1], [5, 5]]}]});
    act(&ledger, Hold::MEMBER, hold).unwrap();
    let policy = json!({"set": {"of": "*", "eraseAfterDays": 0}});
    act(&ledger, RetentionChange::MEMBER, policy).unwrap();
    let due = || {
        let now = Timestamp::from_ms(u64::MAX);
        let due = ledger.reader().due(now, &mut |_, _| {}).unwrap().remove(0);
        assert_eq!(due.held[0].ranges, [[1, 1], [5, 5]]);
        due.erasures.into_iter().flat_map(|erasure| erasure.ranges)
    };
    assert!(due().eq([[0, 0], [2, 4]]));
    let erasing = Erasure {
        ranges: vec![[0, 0], [2, 4]],
        ..erasure(0, 0)
    };
    act(&ledger, "erase", json!(erasing)).unwrap();
    act(&ledger, "erase", json!(erasing)).unwrap();
    assert_eq!(due().count(), 0);
    said();
    assert!(due().eq([[6, 8]]));
}

#[test]
fn what_has_expired_is_due_up_to_the_first_that_has_not() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = create(folder.path());
    for ttl in [1, 1, 50, 1] {
        write(&ledger, json!({"ttlDays": ttl}));
    }
    let set = json!({"set": {"of": scope(), "eraseExpired": true, "keepDays": 5}});
    act(&ledger, RetentionChange::MEMBER, set).unwrap();
    let reader = ledger.reader();
    let last = reader.event(4).unwrap().unwrap().envelope.ts.as_ms();
    let due = |days: u64| {
        reader
            .due(Timestamp::from_ms(last + days * DAY_MS), &mut |_, _| {})
            .unwrap()
    };
    // Expired, and kept for its minimum age.
    assert!(due(3)[0].erasures.is_empty());
    let due = due(5);
    assert_eq!(due[0].erasures[0].ranges, [[0, 1]]);
    assert_eq!(due[0].erasures[0].cause, Cause::Expiry);
    assert_eq!(due[0].waiting, 1);
}

#[test]
fn an_erasure_names_a_request_that_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = create(folder.path());
    write(&ledger, json!({"text": "said"}));
    let mut erasing = erasure(0, 0);
    erasing.request = Some(RequestId::new("dsr-1").unwrap());
    assert_eq!(
        act(&ledger, "erase", json!(erasing)).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let open = json!({"open": {
        "deadline": "2026-12-01T00:00:00.000Z", "id": "dsr-1", "scopes": [scope()], "subject": "person:1",
    }});
    act(&ledger, RequestChange::MEMBER, open).unwrap();
    let ledger = reopen(folder.path(), ledger);
    act(&ledger, "erase", json!(erasing)).unwrap();
    let state = ledger.reader().governance().unwrap();
    let state = state.request(&RequestId::new("dsr-1").unwrap()).unwrap();
    assert!(state.is_overdue(state.request.deadline) && !state.is_overdue(Timestamp::FIRST));
    let close = json!({"close": {"id": "dsr-1", "outcome": "completed"}});
    act(&ledger, RequestChange::MEMBER, close).unwrap();
    assert_eq!(
        act(&ledger, "erase", json!(erasing)).unwrap_err().kind(),
        ErrorKind::Conflict
    );
}

/// What stands in clear of an act has at most 16 KiB.
#[test]
fn an_act_that_names_too_much_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = create(folder.path());
    let head = ledger.reader().head();
    let hold = |scopes: usize| {
        let over: Vec<_> = (0..scopes)
            .map(|n| json!({"scope": format!("customer:{n:05}")}))
            .collect();
        act(
            &ledger,
            Hold::MEMBER,
            json!({"id": format!("hold-{scopes}"), "over": over}),
        )
    };
    // 28 bytes each.
    let refused = hold(600).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(refused.to_string().contains("16 KiB"), "{refused}");
    assert_eq!(ledger.reader().head(), head);
    hold(570).unwrap();
}

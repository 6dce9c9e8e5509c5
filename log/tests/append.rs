//! Appending and reading back: stamps, chains, idempotency, limits, many writers.

// Long because one short test a behaviour of appending and reading.

mod ledgers;

use std::{collections::HashMap, time::Duration};

use ledgers::{TestLedger, draft, text_of};
use quipu_format::{Body, Hash, Kind, Scope, limits};
use quipu_log::{CreateOptions, Direction, Draft, ErrorKind, Ledger, OpenOptions, verify};

#[test]
fn what_is_appended_is_read_back_and_verifies() {
    let test = TestLedger::create();
    let ledger = test.open();
    let receipts: Vec<_> = (0..10)
        .map(|i| {
            ledger
                .append_blocking(draft(&format!("customer:{}", i % 3), &format!("note {i}")))
                .unwrap()
        })
        .collect();
    for (i, receipt) in receipts.iter().enumerate() {
        let event = ledger.reader().event(receipt.seq).unwrap().unwrap();
        assert_eq!(text_of(&event), format!("note {i}"));
        assert_eq!(
            (event.envelope.id, event.envelope.ts, event.hash),
            (receipt.id, receipt.ts, receipt.hash)
        );
        assert_eq!(ledger.reader().find(receipt.id).unwrap(), Some(receipt.seq));
    }
    ledger.close().unwrap();
    let verdict = test.verify();
    assert_eq!((verdict.fault, verdict.entries, verdict.intact), (None, 11, 11));
    let reader = Ledger::open_read_only(test.path()).unwrap();
    assert_eq!(reader.head(), 11);
    assert_eq!(text_of(&reader.event(receipts[9].seq).unwrap().unwrap()), "note 9");
}

#[test]
fn each_scope_is_a_chain_of_its_own() {
    let test = TestLedger::create();
    let ledger = test.open();
    for i in 0..9 {
        ledger.append_blocking(draft(["a", "b", "c"][i % 3], "x")).unwrap();
    }
    for scope in ["a", "b", "c"] {
        let scope = Scope::new(scope).unwrap();
        let page = ledger
            .reader()
            .page(&scope, 0..u64::MAX, Direction::Forward, 100)
            .unwrap();
        let mut last = Hash::of_nothing();
        for (nth, event) in page.events.iter().enumerate() {
            assert_eq!((event.envelope.nth as usize, event.envelope.prev), (nth, last));
            last = event.hash;
        }
        assert_eq!(page.events.len(), 3);
    }
}

#[test]
fn pages_go_both_ways_and_end() {
    let test = TestLedger::create();
    let ledger = test.open();
    let drafts = (0..25).map(|i| draft("a", &i.to_string())).collect();
    let receipts = ledger.append_all_blocking(drafts).unwrap();
    let scope = Scope::new("a").unwrap();
    let read = |range, direction, limit| {
        let page = ledger.reader().page(&scope, range, direction, limit).unwrap();
        (page.events.iter().map(text_of).collect::<Vec<_>>(), page.more)
    };
    let (first, last) = (receipts[0].seq, receipts[24].seq);
    assert_eq!(
        read(0..u64::MAX, Direction::Forward, 2),
        (vec!["0".into(), "1".into()], true)
    );
    assert_eq!(
        read(first + 23..u64::MAX, Direction::Forward, 2),
        (vec!["23".into(), "24".into()], false)
    );
    assert_eq!(
        read(0..last, Direction::Backward, 2),
        (vec!["23".into(), "22".into()], true)
    );
    assert_eq!(read(0..first + 1, Direction::Backward, 9), (vec!["0".into()], false));
    assert_eq!(read(5..5, Direction::Forward, 9), (vec![], false));
    assert!(
        ledger
            .reader()
            .page(&Scope::new("nobody").unwrap(), 0..9, Direction::Forward, 9)
            .unwrap()
            .events
            .is_empty()
    );
}

#[test]
fn a_page_ends_at_its_bytes_but_holds_at_least_one_event() {
    let test = TestLedger::create();
    let ledger = test.open();
    let large = "x".repeat(limits::BODY_BYTES - 1_000);
    for _ in 0..6 {
        ledger.append_blocking(draft("a", &large)).unwrap();
    }
    let scope = Scope::new("a").unwrap();
    let page = ledger
        .reader()
        .page(&scope, 0..u64::MAX, Direction::Forward, 1_000)
        .unwrap();
    assert_eq!((page.events.len(), page.more), (4, true));
}

#[test]
fn an_idempotency_key_gives_the_first_receipt_again() {
    let test = TestLedger::create();
    let ledger = test.open();
    let keyed = |text: &str, key: &str| Draft {
        key: Some(key.into()),
        ..draft("a", text)
    };
    let first = ledger.append_blocking(keyed("x", "k")).unwrap();
    let again = ledger.append_blocking(keyed("x", "k")).unwrap();
    assert!(!first.repeated && again.repeated);
    assert_eq!((first.seq, first.id, first.hash), (again.seq, again.id, again.hash));
    let refused = ledger.append_blocking(keyed("y", "k")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    let other_kind = Draft {
        kind: Kind::new("decision").unwrap(),
        ..keyed("x", "k")
    };
    assert_eq!(
        ledger.append_blocking(other_kind).unwrap_err().kind(),
        ErrorKind::Conflict
    );
    // The key means something else in another scope and for another actor.
    assert!(
        !ledger
            .append_blocking(Draft {
                scope: Scope::new("b").unwrap(),
                ..keyed("y", "k")
            })
            .unwrap()
            .repeated
    );
    // In one request, and mixed with new ones.
    let mixed = ledger
        .append_all_blocking(vec![keyed("n", "n"), keyed("x", "k"), keyed("n", "n")])
        .unwrap();
    assert_eq!(
        mixed.iter().map(|r| r.repeated).collect::<Vec<_>>(),
        [false, true, true]
    );
    assert_eq!((mixed[0].seq, mixed[1].seq), (mixed[2].seq, first.seq));
    let head = ledger.reader().head();
    let refused = ledger
        .append_all_blocking(vec![keyed("new", "o"), keyed("p", "o")])
        .unwrap_err();
    assert_eq!(
        (refused.kind(), ledger.reader().head()),
        (ErrorKind::Conflict, head),
        "all or nothing"
    );
    ledger.close().unwrap();
    let ledger = test.open();
    assert_eq!(
        ledger.append_blocking(keyed("x", "k")).unwrap().seq,
        first.seq,
        "remembered across opens"
    );
    assert_eq!(
        ledger.append_blocking(keyed("y", "k")).unwrap_err().kind(),
        ErrorKind::Conflict
    );
}

#[test]
fn evidence_must_be_in_the_ledger() {
    let test = TestLedger::create();
    let ledger = test.open();
    let first = ledger.append_blocking(draft("a", "x")).unwrap();
    let good = Draft {
        evidence: vec![first.id],
        ..draft("b", "y")
    };
    ledger.append_blocking(good).unwrap();
    let unknown = "evt_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
    let bad = Draft {
        supersedes: vec![unknown],
        ..draft("b", "y")
    };
    assert_eq!(ledger.append_blocking(bad).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn past_each_limit_nothing_is_appended() {
    let test = TestLedger::create();
    let ledger = test.open();
    let id = ledger.append_blocking(draft("a", "x")).unwrap().id;
    let head = ledger.reader().head();
    let payload = format!("{{\"text\":\"{}\"}}", "x".repeat(limits::BODY_BYTES));
    assert!(Body::new(None, &payload).is_err());
    let sys = Some(serde_json::json!({"x": "y".repeat(17 << 10)}));
    let cases: Vec<(Vec<Draft>, ErrorKind)> = vec![
        (
            vec![Draft {
                evidence: vec![id; limits::LINKS + 1],
                ..draft("a", "x")
            }],
            ErrorKind::TooLarge,
        ),
        (
            vec![Draft {
                supersedes: vec![id; limits::LINKS + 1],
                ..draft("a", "x")
            }],
            ErrorKind::TooLarge,
        ),
        (
            vec![Draft {
                key: Some("k".repeat(limits::KEY_BYTES + 1)),
                ..draft("a", "x")
            }],
            ErrorKind::Invalid,
        ),
        (
            vec![Draft {
                key: Some(String::new()),
                ..draft("a", "x")
            }],
            ErrorKind::Invalid,
        ),
        (
            vec![Draft {
                sys: Some(serde_json::json!({})),
                ..draft("a", "x")
            }],
            ErrorKind::Invalid,
        ),
        (
            vec![Draft {
                sys,
                kind: Kind::new("quipu.x").unwrap(),
                ..draft("a", "x")
            }],
            ErrorKind::Invalid,
        ),
        (vec![draft("a", "x"); limits::DRAFTS + 1], ErrorKind::TooLarge),
        (vec![], ErrorKind::Invalid),
        (vec![draft("a", &"x".repeat(1_000_000)); 20], ErrorKind::TooLarge),
    ];
    for (i, (drafts, kind)) in cases.into_iter().enumerate() {
        assert_eq!(ledger.append_all_blocking(drafts).unwrap_err().kind(), kind, "case {i}");
    }
    assert_eq!(ledger.reader().head(), head);
    let most = Draft {
        evidence: vec![id; limits::LINKS],
        supersedes: vec![id; limits::LINKS],
        ..draft("a", "x")
    };
    ledger.append_all_blocking(vec![most; 900]).unwrap();
    ledger.close().unwrap();
    assert_eq!(test.verify().fault, None);
}

#[test]
fn many_writers_on_threads_and_tasks_all_get_their_own_place() {
    let test = TestLedger::create();
    let ledger = test.open();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let mut seqs: Vec<u64> = std::thread::scope(|threads| {
        let blocking: Vec<_> = (0..4)
            .map(|t| {
                let ledger = ledger.clone();
                threads.spawn(move || {
                    (0..50)
                        .map(|i| {
                            ledger
                                .append_blocking(draft(&format!("t{t}"), &i.to_string()))
                                .unwrap()
                                .seq
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        let tasks: Vec<_> = (0..32)
            .map(|t| {
                let ledger = ledger.clone();
                runtime.spawn(async move {
                    let mut seqs = Vec::new();
                    for i in 0..20 {
                        seqs.push(
                            ledger
                                .append(draft(&format!("a{t}"), &i.to_string()))
                                .await
                                .unwrap()
                                .seq,
                        );
                    }
                    seqs
                })
            })
            .collect();
        let mut all: Vec<u64> = blocking.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        for task in tasks {
            all.extend(runtime.block_on(task).unwrap());
        }
        all
    });
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=840).collect::<Vec<_>>());
    drop(ledger);
    let verdict = test.verify();
    assert_eq!((verdict.fault, verdict.entries), (None, 841));
}

#[test]
fn a_large_commit_of_many_scopes_keeps_order_chains_and_keys() {
    let test = TestLedger::create();
    let ledger = test.open();
    for round in 0..3 {
        let drafts = (0..300)
            .map(|i| Draft {
                key: (i % 3 == 0).then(|| format!("{round} {}", i % 60)),
                ..draft(&format!("scope:{}", i % 7 * (i % 2)), &(i % 60).to_string())
            })
            .collect::<Vec<_>>();
        let mut fresh = HashMap::new();
        let receipts = ledger.append_all_blocking(drafts.clone()).unwrap();
        for (i, (draft, receipt)) in drafts.iter().zip(&receipts).enumerate() {
            let named = draft.key.clone().map(|key| (key, draft.scope.clone()));
            let known = named.clone().and_then(|named| fresh.get(&named).copied());
            assert_eq!(receipt.repeated, known.is_some(), "draft {i} of round {round}");
            assert!(known.is_none_or(|seq| seq == receipt.seq));
            let event = ledger.reader().event(receipt.seq).unwrap().unwrap();
            assert_eq!((text_of(&event), event.hash), ((i % 60).to_string(), receipt.hash));
            assert_eq!(event.envelope.scope, draft.scope);
            fresh.extend(named.map(|named| (named, receipt.seq)));
        }
        let placed: Vec<_> = receipts.iter().filter(|receipt| !receipt.repeated).collect();
        assert!(
            placed
                .windows(2)
                .all(|pair| pair[0].seq + 1 == pair[1].seq && pair[0].id < pair[1].id)
        );
        assert!(placed.len() > 100 && placed.len() < 300);
    }
    ledger.close().unwrap();
    assert_eq!(test.verify().fault, None);
    drop(test.open());
}

#[test]
fn segments_rotate_and_are_read_across() {
    let test = TestLedger::create_with(64 << 10);
    let ledger = test.open();
    let text = "x".repeat(3_000);
    for i in 0..200 {
        ledger.append_blocking(draft("a", &format!("{i} {text}"))).unwrap();
    }
    let stats = ledger.reader().stats().unwrap();
    assert!(stats.segments > 5, "{stats:?}");
    // A commit that fits no segment has one of its own.
    ledger.append_all_blocking(vec![draft("a", &text); 100]).unwrap();
    ledger.append_blocking(draft("a", "after")).unwrap();
    let all: Vec<_> = ledger
        .reader()
        .events(0..u64::MAX)
        .map(|event| event.unwrap().envelope.seq)
        .collect();
    assert_eq!(all, (0..302).collect::<Vec<_>>());
    ledger.close().unwrap();
    assert_eq!(test.verify().fault, None);
    let ledger = test.open();
    assert_eq!(ledger.reader().head(), 302);
    ledger.append_blocking(draft("a", "and goes on")).unwrap();
    ledger.close().unwrap();
    assert_eq!(test.verify().fault, None);
}

#[test]
fn a_second_writer_is_told_who_the_first_is_and_readers_need_no_lock() {
    let test = TestLedger::create();
    let ledger = test.open();
    ledger.append_blocking(draft("a", "x")).unwrap();
    let mut options = OpenOptions::default();
    options.wait = Duration::from_millis(50);
    let refused = Ledger::open(test.path(), options).err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::Locked);
    assert!(
        refused.to_string().contains(&format!("pid {}", std::process::id())),
        "{refused}"
    );
    let reader = Ledger::open_read_only(test.path()).unwrap();
    assert!(reader.head() >= 1);
    ledger.close().unwrap();
    assert_eq!(reader.refresh().unwrap(), 2);
    test.open();
}

#[test]
fn create_refuses_a_ledger_and_open_refuses_none() {
    let test = TestLedger::create();
    let again = Ledger::create(test.path(), CreateOptions::new("example.com/x"))
        .err()
        .unwrap();
    assert_eq!(again.kind(), ErrorKind::Exists);
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("nothing");
    assert_eq!(
        Ledger::open(&missing, OpenOptions::default()).err().unwrap().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(
        Ledger::open_read_only(&missing).err().unwrap().kind(),
        ErrorKind::NotFound
    );
    assert!(!missing.exists(), "a typo creates nothing");
    std::fs::write(folder.path().join("mine.txt"), "x").unwrap();
    let full = Ledger::create(folder.path(), CreateOptions::new("example.com/x"))
        .err()
        .unwrap();
    assert_eq!(full.kind(), ErrorKind::Exists);
    let origin = Ledger::create(&folder.path().join("l"), CreateOptions::new("no spaces"))
        .err()
        .unwrap();
    assert_eq!(origin.kind(), ErrorKind::Invalid);
}

#[test]
fn a_closed_ledger_takes_nothing_more() {
    let test = TestLedger::create();
    let ledger = test.open();
    let other = ledger.clone();
    ledger.close().unwrap();
    assert_eq!(
        other.append_blocking(draft("a", "x")).unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    assert_eq!(other.reader().head(), 1);
}

#[test]
fn what_is_proved_verifies_against_the_checkpoint() {
    let test = TestLedger::create();
    let ledger = test.open();
    for i in 0..600 {
        ledger.append_blocking(draft(&format!("s{}", i % 7), "x")).unwrap();
    }
    ledger.close().unwrap();
    let reader = Ledger::open_read_only(test.path()).unwrap();
    for seq in [0, 1, 255, 256, 257, 511, 512, 600] {
        let proof = reader.prove(seq).unwrap();
        let hash = reader.event(seq).unwrap().unwrap().hash;
        assert_eq!(proof.verify(&hash, reader.verifier_key()).unwrap().size, 601);
        let text = proof.to_string();
        assert!(text.starts_with("c2sp.org/tlog-proof@v1\nextra "), "{text}");
    }
    assert_eq!(reader.prove(601).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn components_are_kept_under_their_digest() {
    let test = TestLedger::create();
    let ledger = test.open();
    let digest = ledger.put_component(b"\0asm").unwrap();
    assert_eq!(ledger.put_component(b"\0asm").unwrap(), digest);
    assert_eq!(
        ledger.reader().component(&digest).unwrap().as_deref(),
        Some(&b"\0asm"[..])
    );
    assert_eq!(ledger.reader().component(&Hash::of(&[b"other"])).unwrap(), None);
}

#[test]
fn verify_goes_on_without_keys() {
    let test = TestLedger::create();
    let ledger = test.open();
    ledger.append_blocking(draft("a", "x")).unwrap();
    ledger.close().unwrap();
    std::fs::remove_file(test.path().join("keys")).unwrap();
    let verdict = verify(test.path(), &mut |_| {}).unwrap();
    assert_eq!((verdict.fault, verdict.sealed, verdict.intact), (None, 2, 0));
}

#[test]
fn payload_bytes_are_kept_as_they_were_given() {
    let test = TestLedger::create();
    let ledger = test.open();
    let payload = "{ \"text\" : \"ü€😀\\u0000\", \"unknown\": {\"z\":1.50, \"a\":[1e3]} }";
    let body = Body::new(None, payload).unwrap();
    let receipt = ledger.append_blocking(Draft { body, ..draft("a", "") }).unwrap();
    assert_eq!(
        ledger.reader().event(receipt.seq).unwrap().unwrap().payload(),
        Some(payload)
    );
}

/// `init` in a folder that holds a file named `lock` once replaced that file's content before it refused.
#[test]
fn create_leaves_a_strangers_files_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("lock"), "mine").unwrap();
    let refused = Ledger::create(folder.path(), CreateOptions::new("example.com/x"))
        .err()
        .unwrap();
    assert_eq!(refused.kind(), ErrorKind::Exists);
    assert_eq!(std::fs::read_to_string(folder.path().join("lock")).unwrap(), "mine");
}

/// A tile file that could not be opened once left leaves out of the tree, and a wrong root was signed.
#[test]
fn a_tile_that_cannot_be_written_delays_the_checkpoint_and_no_leaf_is_lost() {
    let test = TestLedger::create();
    let ledger = test.open();
    std::fs::create_dir(test.path().join("tree/1")).unwrap();
    for i in 0..300 {
        ledger.append_blocking(draft("a", &i.to_string())).unwrap();
    }
    std::thread::sleep(Duration::from_millis(1_500));
    std::fs::remove_dir(test.path().join("tree/1")).unwrap();
    ledger.append_blocking(draft("a", "after")).unwrap();
    ledger.close().unwrap();
    let verdict = test.verify();
    assert_eq!(
        (verdict.fault, verdict.entries, verdict.checkpoint_size),
        (None, 302, 302)
    );
    test.open();
}

#[test]
fn an_export_never_goes_into_a_ledger() {
    let test = TestLedger::create();
    let reader = Ledger::open_read_only(test.path()).unwrap();
    assert_eq!(
        reader.export_tiles(test.path(), &mut |_, _| {}).unwrap_err().kind(),
        ErrorKind::Exists
    );
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(reader.export_tiles(folder.path(), &mut |_, _| {}).unwrap().entries, 1);
    assert_eq!(
        reader.export_tiles(folder.path(), &mut |_, _| {}).unwrap().entries,
        1,
        "over an earlier export"
    );
}

/// Scopes that come while a verification walks the log were once taken for lost keys, and commits that were read
/// while they were written for damage.
#[test]
fn a_ledger_verifies_and_is_read_while_it_is_written() {
    let test = TestLedger::create_with(1 << 20);
    let ledger = test.open();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for i in 0..u32::MAX {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                ledger.append_blocking(draft(&format!("s{i}"), "x")).unwrap();
            }
        });
        let reader = Ledger::open_read_only(test.path()).unwrap();
        let mut seen = 0;
        for _ in 0..60 {
            assert_eq!(test.verify().fault, None);
            let head = reader.refresh().unwrap();
            for event in reader.events(seen..head) {
                assert!(event.unwrap().payload().is_some());
            }
            seen = head;
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(seen > 1);
    });
}

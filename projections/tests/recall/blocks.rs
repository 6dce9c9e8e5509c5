//! Scopes that fill blocks of both sizes.

use quipu_format::{Scope, Signer};
use quipu_log::{CreateOptions, ErasurePlan, Ledger, Target};
use quipu_projections::Projections;

use crate::fixture::{Fixture, dump, ids, query, say, words};

/// Entries of the scope: one large block, one small one, and some that are in none.
const ENTRIES: usize = 8_192 + 512 + 100;

fn fixture() -> (Fixture, Signer) {
    let kim = Signer::new("operator:kim", [9; 32]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = CreateOptions::new("example.com/test")
        .operator(&kim.verifier_key())
        .unwrap();
    let ledger = Ledger::create(&folder.path().join("ledger"), options).unwrap();
    let projections = Projections::open(ledger.reader()).unwrap();
    (
        Fixture {
            folder,
            ledger,
            projections,
        },
        kim,
    )
}

#[test]
fn blocks_that_grow_together_are_those_of_one_fold() {
    let (memory, kim) = fixture();
    let mut receipts = Vec::new();
    let mut left = ENTRIES;
    // Steps that end before, at and past the ends of blocks.
    for step in [500, 12, 1, 511, 700, 900, 900, 900, 900, 900, 900, 1_000, 67, 1]
        .into_iter()
        .cycle()
    {
        let step = step.min(left).min(1_000);
        let drafts = (0..step).map(|i| {
            let nth = receipts.len() + i;
            say("a:1", &format!("word{} of {}", nth % 97, nth))
        });
        let drafts = drafts.collect();
        receipts.extend(memory.append_all(drafts));
        memory.catch_up();
        left -= step;
        if left == 0 {
            break;
        }
    }
    let rows = memory.dump();
    assert_eq!(rows.lines().filter(|row| row.starts_with("block\t")).count(), 2);
    for nth in [0, 511, 512, 8_191, 8_192, 8_703, 8_704, ENTRIES - 1] {
        assert_eq!(
            ids(&memory.search(&["a:1"], &words(&nth.to_string())))[0],
            receipts[nth].id,
            "{nth}"
        );
    }
    // As of a position within each block, nothing later is counted.
    let common = |as_of| memory.search(&["a:1"], &query("word7", |q| (q.limit, q.as_of) = (1_000, as_of)));
    for nth in [300, 8_000, 8_300, 8_750] {
        let seen = (0..nth).filter(|i| i % 97 == 7).count();
        assert_eq!(common(Some(receipts[nth].seq)).len(), seen, "{nth}");
    }
    memory.projections.rebuild().unwrap();
    assert!(rows == dump(&memory.projections), "rebuilt rows differ");

    let target = Target::Events(vec![receipts[8_000].id, receipts[8_200].id, receipts[ENTRIES - 1].id]);
    let erase = |target: &Target| {
        let reader = memory.ledger.reader();
        let plan = ErasurePlan::new(reader, target, None).unwrap();
        memory
            .ledger
            .act_blocking(plan.sign(reader, &kim, "").unwrap())
            .unwrap();
        memory.catch_up();
        let rows = memory.dump();
        memory.projections.rebuild().unwrap();
        assert!(
            rows == dump(&memory.projections),
            "rebuilt rows differ after an erasure"
        );
        rows
    };
    erase(&target);
    assert!(memory.search(&["a:1"], &words("8000")).is_empty());
    assert!(!memory.search(&["a:1"], &words("8001")).is_empty());
    let rows = erase(&Target::Scope(Scope::new("a:1").unwrap()));
    assert!(!rows.contains("word"), "words are left");
}

//! An entry that cannot be read stops nobody from recalling all the rest.

use std::fs;

use quipu_projections::{Projections, Query};

use crate::fixture::{Fixture, dump, ids, query, say};

fn tea() -> Query {
    query("tea", |query| query.limit = 100)
}

/// Past a full block, so that blocks are closed without the entry that would have closed them.
#[test]
fn a_damaged_entry_is_left_out_and_comes_back_when_it_is_mended() {
    let memory = Fixture::new();
    let mut events = Vec::new();
    for part in 0..3 {
        let drafts = (0..400).map(|n| match (part, n) {
            (1, 7) => say("b", "tea elsewhere"),
            (_, n) if n % 100 == 8 => say("a", &format!("tea number {part} {n}")),
            _ => say("a", "something else"),
        });
        events.extend(
            memory
                .append_all(drafts.collect())
                .into_iter()
                .map(|receipt| receipt.id),
        );
    }
    memory.catch_up();
    let all = (memory.search(&["a"], &tea()), memory.dump());
    fs::remove_dir_all(memory.file().parent().unwrap()).unwrap();

    // Entry 1,025 of the ledger is number 1,023 of its scope, behind which a block ends; and one that was found.
    let segment = memory.folder.path().join("ledger/log/00000000000000000000.log");
    let whole = fs::read(&segment).unwrap();
    let mut bytes = whole.clone();
    let starts: Vec<_> = bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .map(|(at, _)| at + 1)
        .collect();
    let lost = events[408];
    for seq in [409, 1_025] {
        bytes[starts[seq - 1] + 20] ^= 1;
    }
    fs::write(&segment, &bytes).unwrap();
    assert_eq!(memory.catch_up(), memory.head());
    let found = ids(&memory.search(&["a"], &tea()));
    assert_eq!(found.len(), 11);
    assert!(!found.contains(&lost));
    assert_eq!(memory.search(&["b"], &tea()).len(), 1);
    assert_eq!(
        memory
            .projections
            .facts(&memory.pinned(&["b"]), &tea())
            .unwrap()
            .facts
            .len(),
        1
    );
    let rows = memory.dump();
    memory.projections.rebuild().unwrap();
    assert_eq!(memory.dump(), rows);

    fs::write(&segment, &whole).unwrap();
    let mended = Projections::open(memory.ledger.reader()).unwrap();
    mended.catch_up(u64::MAX).unwrap();
    assert_eq!(dump(&mended), all.1);
    assert_eq!(memory.search(&["a"], &tea()), all.0);
}

//! How far behind what is derived is, and who waits for what.

use std::{
    fs::File,
    thread,
    time::{Duration, Instant},
};

use quipu_log::Ledger;
use quipu_projections::{ErrorKind, Projections};

use crate::fixture::{Fixture, dump, say};

#[test]
fn the_lag_is_told_without_folding_anything() {
    let memory = Fixture::new();
    memory.say("a", "one");
    let lag = || Projections::lag(memory.ledger.reader()).unwrap();
    assert_eq!((lag().next, lag().as_of, lag().lag, lag().building), (2, 0, 2, false));
    memory.catch_up();
    assert_eq!((lag().as_of, lag().lag), (2, 0));
    assert!(lag().bytes > 0);
}

#[test]
fn an_append_waits_for_nothing_that_is_derived() {
    let memory = Fixture::new();
    memory.say("a", "one");
    memory.catch_up();
    let db = rusqlite::Connection::open(memory.file()).unwrap();
    db.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let _building = building(&memory);
    let begun = Instant::now();
    memory.say("a", "two");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drop(db);
}

#[test]
fn who_waits_for_an_entry_folds_it_or_is_told_how_far_it_has_come() {
    let memory = Fixture::new();
    memory.say("a", "one");
    let wait = |seq, ms| memory.projections.wait_for(seq, Duration::from_millis(ms));
    assert_eq!(wait(1, 0).unwrap_err().kind(), ErrorKind::Behind);
    assert_eq!(wait(1, 10_000).unwrap(), 2);
    let late = wait(5, 30).unwrap_err();
    assert!(
        late.to_string().contains("no entry 5") && late.to_string().contains("ends with entry 1."),
        "{late}"
    );
    // It comes while somebody waits.
    thread::scope(|scope| {
        let waiting = scope.spawn(|| wait(2, 20_000));
        thread::sleep(Duration::from_millis(50));
        memory.say("a", "two");
        assert_eq!(waiting.join().unwrap().unwrap(), 3);
    });
    // Of another process's ledger, which is looked at again.
    let reader = Ledger::open_read_only(&memory.folder.path().join("ledger")).unwrap();
    let theirs = Projections::open(&reader).unwrap();
    memory.say("a", "three");
    memory.say("a", "four");
    assert!(theirs.wait_for(3, Duration::from_secs(20)).unwrap() > 3);
}

#[test]
fn while_another_builds_there_are_answers_and_no_second_builder() {
    let memory = Fixture::new();
    for _ in 0..33 {
        memory.append_all((0..1_000).map(|_| say("a", "again and again")).collect());
    }
    let lock = building(&memory);
    assert!(Projections::lag(memory.ledger.reader()).unwrap().building);
    let begun = Instant::now();
    assert_eq!(memory.projections.build(&mut |_, _| {}).unwrap(), 0);
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(memory.projections.rebuild().unwrap_err().kind(), ErrorKind::Busy);
    // Who waits does not fold either.
    let late = memory.projections.wait_for(1, Duration::from_millis(50)).unwrap_err();
    assert_eq!(
        (late.kind(), memory.projections.as_of().unwrap()),
        (ErrorKind::Behind, 0)
    );
    drop(lock);
    let mut told = Vec::new();
    let reached = memory
        .projections
        .build(&mut |reached, head| told.push((reached, head)))
        .unwrap();
    assert_eq!(reached, memory.head());
    assert!(told.len() > 1 && told.last() == Some(&(reached, reached)), "{told:?}");
    let rows = memory.dump();
    let mut told = Vec::new();
    memory
        .projections
        .rebuild_telling(&mut |reached, _| told.push(reached))
        .unwrap();
    assert!(told.is_sorted() && told.len() > 1, "{told:?}");
    assert!(dump(&memory.projections) == rows);
}

fn building(memory: &Fixture) -> File {
    let lock = File::create(memory.file().with_file_name("building.lock")).unwrap();
    lock.lock().unwrap();
    lock
}

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
    thread,
    time::Duration,
};

use proptest::prelude::*;
use quipu_log::Ledger;
use quipu_projections::Projections;

use crate::{
    fixture::{Fixture, dump, file, say},
    model::LEDGER,
};

/// The rows of [`LEDGER`], folded at one go.
static ROWS: LazyLock<String> = LazyLock::new(|| LEDGER.0.dump());

/// A copy of the big ledger without its projection.
fn copy() -> (tempfile::TempDir, Projections) {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&LEDGER.0.folder.path().join("ledger"), folder.path());
    for file in std::fs::read_dir(folder.path().join("projections")).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let projections = Projections::open(&Ledger::open_read_only(folder.path()).unwrap()).unwrap();
    (folder, projections)
}

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy_folder(&entry.path(), &to.join(entry.file_name()));
        } else if kind.is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// The first difference, for a dump is long.
fn assert_same(ours: &str, theirs: &str) {
    if let Some((a, b)) = ours.lines().zip(theirs.lines()).find(|(a, b)| a != b) {
        panic!("the rows differ:\n{a:.200}\n{b:.200}");
    }
    assert_eq!(ours.len(), theirs.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_batches_give_the_same_rows(cuts in prop::collection::btree_set(0_u64..3_100, 0..60)) {
        let (_folder, projections) = copy();
        for cut in cuts.into_iter().chain([u64::MAX]) {
            let reached = projections.catch_up(cut).unwrap();
            prop_assert!(reached >= cut.min(projections.as_of().unwrap()));
        }
        assert_same(&dump(&projections), &ROWS);
    }
}

#[test]
fn single_events_give_the_same_rows() {
    let (_folder, projections) = copy();
    for to in 0..400 {
        assert_eq!(projections.catch_up(to).unwrap(), to);
    }
    projections.catch_up(u64::MAX).unwrap();
    assert_same(&dump(&projections), &ROWS);
}

#[test]
fn a_rebuild_gives_the_same_rows() {
    let (_folder, projections) = copy();
    projections.catch_up(1_234).unwrap();
    projections.rebuild().unwrap();
    assert_same(&dump(&projections), &ROWS);
}

#[test]
fn several_that_catch_up_at_once_do_not_get_into_each_others_way() {
    let (folder, first) = copy();
    let second = Projections::open(&Ledger::open_read_only(folder.path()).unwrap()).unwrap();
    let step = |projections: &Projections, step: usize| {
        for to in (0..3_100).step_by(step) {
            assert!(projections.catch_up(to).unwrap() >= to.min(3_000));
        }
        projections.catch_up(u64::MAX).unwrap();
    };
    thread::scope(|scope| {
        scope.spawn(|| step(&first, 37));
        scope.spawn(|| step(&first, 53));
        scope.spawn(|| step(&second, 41));
    });
    assert_same(&dump(&first), &ROWS);
    assert_same(&dump(&second), &ROWS);
}

#[test]
fn readers_do_not_wait_for_a_writer() {
    let memory = Fixture::new();
    memory.say("a:1", "pdf");
    memory.catch_up();
    let head = memory.head();
    memory.say("a:1", "pdf again");
    let writer = rusqlite::Connection::open(memory.file()).unwrap();
    writer
        .execute_batch("BEGIN IMMEDIATE; UPDATE meta SET as_of = 0; DELETE FROM doc;")
        .unwrap();
    assert_eq!(
        memory
            .find(&memory.pinned(&["a:1"]), &crate::fixture::words("pdf"))
            .len(),
        1
    );
    assert_eq!(memory.projections.as_of().unwrap(), head);
    // What is broken off leaves nothing behind, and what was missing is folded.
    drop(writer);
    assert_eq!(memory.catch_up(), head + 1);
    assert_eq!(
        memory
            .find(&memory.pinned(&["a:1"]), &crate::fixture::words("pdf"))
            .len(),
        2
    );
}

/// Run by the test below, in a process of its own.
#[test]
#[ignore = "folds for ever, to be killed"]
fn child_that_folds() {
    let Some(folder) = std::env::var_os("QUIPU_TEST_LEDGER").map(PathBuf::from) else {
        return;
    };
    let projections = Projections::open(&Ledger::open_read_only(&folder).unwrap()).unwrap();
    loop {
        for to in (0..3_100).step_by(150) {
            projections.catch_up(to).unwrap();
        }
        projections.rebuild().unwrap();
    }
}

#[test]
fn a_process_that_is_killed_leaves_a_whole_state() {
    let (folder, projections) = copy();
    let mut seen = BTreeSet::new();
    let mut wait = Duration::from_millis(60);
    // Longer, where the machine is so busy that nothing was folded in that time.
    for round in 0..60 {
        if round >= 15 && seen.len() > 3 {
            break;
        }
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "fold::child_that_folds", "--ignored"])
            .env("QUIPU_TEST_LEDGER", folder.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(wait);
        wait += Duration::from_millis(17);
        child.kill().unwrap();
        child.wait().unwrap();
        let reached = projections.as_of().unwrap();
        seen.insert(reached);
        // What is there is what a fold up to there gives.
        let (_folder, reference) = copy();
        reference.catch_up(reached).unwrap();
        assert_same(&dump(&projections), &dump(&reference));
    }
    projections.catch_up(u64::MAX).unwrap();
    assert_same(&dump(&projections), &ROWS);
    assert!(seen.len() > 3, "no state between was seen: {seen:?}");
}

#[test]
fn a_reader_that_lags_behind_neither_believes_nor_throws_away_what_is_ahead_of_it() {
    let memory = Fixture::new();
    memory.say("a:1", "pdf");
    let lagging = Ledger::open_read_only(&memory.folder.path().join("ledger")).unwrap();
    let behind = lagging.head();
    for _ in 0..5 {
        memory.append(say("a:1", "pdf again"));
    }
    memory.catch_up();
    let rows = memory.dump();
    let theirs = Projections::open(&lagging).unwrap();
    assert_eq!(theirs.catch_up(u64::MAX).unwrap(), behind);
    assert_eq!(theirs.as_of().unwrap(), behind);
    assert_same(&memory.dump(), &rows);
    assert!(file(&memory.folder.path().join("ledger")).exists());
}

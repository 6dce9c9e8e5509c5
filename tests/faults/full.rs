//! The disk is full: a clear refusal, nothing lost, what an operator must be able to do is possible, and when there is
//! room again writing goes on.

use std::{
    fs::{self, OpenOptions},
    path::Path,
};

use quipu_format::limits;
use serde_json::json;

use crate::{
    driver::{Ledger, Ran, quipu, run},
    machine::{Mount, fill_up, may_mount, skip},
    work::{Acknowledged, append, append_of, appending, assert_kept},
};

const UNTESTED: &str = "what a full disk does";
/// What is said of a full disk: the file, why, and what to do.
const SAID: &[&str] = &[
    "cannot write ",
    "No space left on device",
    "Make room on the disk and try again",
];

/// A file system in memory for the test of that name.
fn small_disk(test: &str, mebibytes: u64) -> Option<Mount> {
    if !may_mount(&format!("full::{test}"), UNTESTED) {
        return None;
    }
    Mount::tmpfs(mebibytes).map_err(|why| skip(&why, UNTESTED)).ok()
}

/// The closing checkpoint covers all: nothing is left for the next open to sign.
#[track_caller]
fn assert_closed(ledger: &Ledger) {
    ledger.verify().good();
    let stats = ledger.run(["stats", "--json"]).good().json();
    assert_eq!(stats["checkpointSize"], stats["entries"]);
}

#[track_caller]
fn assert_reserve(ledger: &Ledger, bytes: std::ops::RangeInclusive<u64>) {
    let reserve = fs::metadata(ledger.path().join("reserve")).map_or(0, |reserve| reserve.len());
    assert!(bytes.contains(&reserve), "the reserve has {reserve} bytes");
}

fn one(ledger: &Ledger) -> Ran {
    ledger.run([
        "append",
        "--scope",
        "one",
        "--actor",
        "operator:kim",
        "--text",
        "one more",
    ])
}

#[test]
fn a_full_disk_refuses_and_takes_up_again() {
    if let Some(disk) = small_disk("a_full_disk_refuses_and_takes_up_again", 6) {
        fill_and_go_on(disk.path(), 300);
    }
}

/// The same where blocks are given out late and freed ones come back late.
#[test]
fn a_full_ext4_refuses_and_takes_up_again() {
    if !may_mount("full::a_full_ext4_refuses_and_takes_up_again", UNTESTED) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    match Mount::ext4(16, folder.path()) {
        Ok(disk) => fill_and_go_on(disk.path(), 10_000),
        Err(why) => skip(&why, UNTESTED),
    }
}

fn fill_and_go_on(disk: &Path, bytes: usize) {
    let ledger = Ledger::within(disk);
    assert_reserve(&ledger, limits::RESERVE_BYTES..=limits::RESERVE_BYTES);
    let ballast = disk.join("ballast");
    fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    let mut acknowledged = Acknowledged::new();
    let ran = append_of(
        bytes,
        &mut appending(&ledger),
        &mut acknowledged,
        100_000,
        100_000,
        |_| {},
    );
    ran.exits(2).tells(SAID);
    assert!(acknowledged.len() > 100, "only {} fitted", acknowledged.len());
    // What is left, if anything, is below what an append needs; now nothing is.
    let rest = fill_up(disk, "rest");
    assert_closed(&ledger);
    // A smaller one may still fit into what the log has.
    while one(&ledger).code == 0 {}
    for _ in 0..3 {
        one(&ledger).exits(2).tells(SAID);
        assert_closed(&ledger);
    }
    assert_reserve(&ledger, limits::RESERVE_BYTES / 2..=limits::RESERVE_BYTES);

    fs::remove_file(rest).unwrap();
    fs::remove_file(ballast).unwrap();
    let more = acknowledged.len() as u64 + 20;
    append(&mut appending(&ledger), &mut acknowledged, more, 20, |_| {}).good();
    assert_eq!(acknowledged.len() as u64, more);
    assert_reserve(&ledger, limits::RESERVE_BYTES / 2..=limits::RESERVE_BYTES);
    assert_kept(&ledger.path(), &acknowledged, "with room again");
}

/// A writer that lives on: the disk fills up and gets room again while it works.
#[test]
fn a_writer_goes_on_when_there_is_room_again() {
    let Some(disk) = small_disk("a_writer_goes_on_when_there_is_room_again", 4) else {
        return;
    };
    let ledger = Ledger::within(disk.path());
    let open = quipu_log::Ledger::open(&ledger.path(), quipu_log::OpenOptions::default()).unwrap();
    let body = quipu_format::Body::new(None, &json!({"text": "x".repeat(10_000)}).to_string()).unwrap();
    let draft = || {
        let scope = quipu_format::Scope::new("s").unwrap();
        let actor = quipu_format::Actor::new("tool:test").unwrap();
        let kind = quipu_format::Kind::new("memo").unwrap();
        quipu_log::Draft::new(scope, actor, kind, body.clone())
    };
    let mut kept = 0;
    for round in 0..3 {
        let ballast = fill_up(disk.path(), "ballast");
        let refused = loop {
            match open.append_blocking(draft()) {
                Ok(_) => kept += 1,
                Err(refused) => break refused,
            }
        };
        assert_eq!(refused.kind(), quipu_log::ErrorKind::Full, "{refused}");
        let again = open.append_blocking(draft()).unwrap_err();
        assert_eq!(again.kind(), quipu_log::ErrorKind::Full, "{again}");
        fs::remove_file(ballast).unwrap();
        disk.resize(6 + 2 * round);
        open.append_blocking(draft()).unwrap();
        kept += 1;
    }
    open.close().unwrap();
    ledger.verify().good();
    assert_eq!(ledger.log(&["--scope", "s"]).len(), kept);
}

/// A crash left a torn commit, and there is no room to copy it aside but the reserve.
#[test]
fn a_full_disk_is_opened_with_the_reserve() {
    let Some(disk) = small_disk("a_full_disk_is_opened_with_the_reserve", 6) else {
        return;
    };
    let ledger = Ledger::within(disk.path());
    let mut acknowledged = Acknowledged::new();
    append(&mut appending(&ledger), &mut acknowledged, 100, 100, |_| {}).good();
    let tear = || {
        let path = ledger.path().join("log/00000000000000000000.log");
        let bytes = fs::read(&path).unwrap();
        let end = bytes.iter().rposition(|&byte| byte != b'\n').unwrap() as u64 + 2;
        let file = OpenOptions::new().write(true).open(path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, br#"{"v":1,"seq":"#, end).unwrap();
    };
    tear();
    let ballast = fill_up(disk.path(), "ballast");
    one(&ledger).good();
    assert_closed(&ledger);
    let torn = || fs::read_dir(ledger.path().join("torn")).unwrap().count();
    assert_eq!(torn(), 1);

    // Without it the open is refused, clearly, and what was there stays.
    tear();
    fs::remove_file(ledger.path().join("reserve")).unwrap();
    let more = fill_up(disk.path(), "more");
    one(&ledger)
        .exits(2)
        .tells(&["No space left on device", "Make room on the disk"]);
    assert_eq!(ledger.log(&["--scope", "one"]).len(), 1, "reading goes on");
    fs::remove_file(more).unwrap();
    fs::remove_file(ballast).unwrap();
    one(&ledger).good();
    assert_eq!(torn(), 2);
    assert_kept(&ledger.path(), &acknowledged, "with room again");
}

#[test]
fn an_import_that_met_a_full_disk_is_finished_by_the_next() {
    const EVENTS: usize = 6_000;
    let Some(disk) = small_disk("an_import_that_met_a_full_disk_is_finished_by_the_next", 6) else {
        return;
    };
    let ledger = Ledger::within(disk.path());
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events.jsonl");
    let line = |n: usize| {
        json!({"id": format!("m{n}"), "scope": format!("s:{}", n % 3), "kind": "message",
            "payload": {"n": n, "text": "x".repeat(300)}})
    };
    fs::write(
        &events,
        (0..EVENTS).map(|n| format!("{}\n", line(n))).collect::<String>(),
    )
    .unwrap();
    ledger.import(&events, &[]).exits(2).tells(SAID);
    assert_closed(&ledger);
    let before = ledger.log(&["--actor", "tool:import"]).len();
    assert!((1..EVENTS).contains(&before), "{before} were imported");
    disk.resize(32);
    ledger.import(&events, &[]).good();
    let imported = ledger.log(&["--actor", "tool:import"]);
    let ns = imported
        .iter()
        .map(|event| event["payload"]["n"].as_u64().unwrap() as usize);
    assert!(ns.eq(0..EVENTS), "each once, in order");
    assert_closed(&ledger);
}

/// There is room for the segment that is written and not for the next: appends go on up to its end.
#[test]
fn the_next_segment_finds_no_room() {
    let Some(disk) = small_disk("the_next_segment_finds_no_room", 90) else {
        return;
    };
    let ledger = Ledger::within(disk.path());
    let mut acknowledged = Acknowledged::new();
    let bytes = 200_000;
    let ran = append_of(bytes, &mut appending(&ledger), &mut acknowledged, 1_000, 1_000, |_| {});
    ran.exits(2)
        .tells(&["cannot write log/", "No space left on device", "Make room on the disk"]);
    let names = || -> Vec<_> {
        let entries = fs::read_dir(ledger.path().join("log")).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    assert_eq!(names().len(), 1, "what there was of log/next has given its room back");
    assert!(acknowledged.len() as u64 * bytes as u64 > limits::SEGMENT_BYTES / 2);
    let written: u64 = ledger.run(["stats", "--json"]).good().json()["entryBytes"]
        .as_u64()
        .unwrap();
    assert!(
        limits::SEGMENT_BYTES - written < 1 << 20,
        "the segment was used up to {written}"
    );
    assert_closed(&ledger);
    disk.resize(200);
    let more = acknowledged.len() as u64 + 20;
    append_of(bytes, &mut appending(&ledger), &mut acknowledged, more, 20, |_| {}).good();
    assert_eq!(names().iter().filter(|name| name.ends_with(".log")).count(), 2);
    assert_kept(&ledger.path(), &acknowledged, "with room again");
}

#[test]
fn a_ledger_is_not_made_on_a_full_disk() {
    let Some(disk) = small_disk("a_ledger_is_not_made_on_a_full_disk", 1) else {
        return;
    };
    let ballast = fill_up(disk.path(), "ballast");
    let place = disk.path().join("ledger");
    let init = || run(quipu().arg("init").arg(&place));
    init()
        .exits(2)
        .tells(&["No space left on device", "Make room on the disk"]);
    fs::remove_file(ballast).unwrap();
    disk.resize(8);
    init()
        .exits(2)
        .tells(&["is not empty", "remove it where making a ledger was broken off"]);
    fs::remove_dir_all(&place).unwrap();
    init().good();
}

/// The reserve is there from the beginning, private, and put right by whoever opens for writing, and by nobody else.
#[test]
fn the_reserve_is_kept_as_large_as_it_should_be() {
    let ledger = Ledger::new();
    let path = ledger.path().join("reserve");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let whole = limits::RESERVE_BYTES..=limits::RESERVE_BYTES;
    for length in [0, 1, limits::RESERVE_BYTES - 1] {
        OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(length)
            .unwrap();
        ledger.verify().good();
        ledger.log(&[]);
        assert_reserve(&ledger, length..=length);
        one(&ledger).good();
        assert_reserve(&ledger, whole.clone());
    }
    fs::remove_file(&path).unwrap();
    one(&ledger).good();
    assert_reserve(&ledger, whole);
}

//! Pages of a ledger whose sidecars were merged: they answer as the segments do, and nothing is hidden silently.

mod ledgers;

use std::{
    fs,
    ops::Range,
    path::PathBuf,
    time::{Duration, Instant},
};

use ledgers::{TestLedger, draft};
use quipu_format::{Scope, checksum};
use quipu_log::{Direction, Ledger, LedgerReader};

const SCOPES: usize = 40;
/// The only entries of this scope.
const RARE: [usize; 3] = [100, 1_234, 2_345];
const BLOCK: usize = 4_096;

fn scope_of(i: usize) -> String {
    match RARE.contains(&i) {
        true => "rare".to_owned(),
        false => format!("scope:{}", i * 7 % SCOPES),
    }
}

/// Entries in segments of 64 KiB, appended behind those that are there.
fn append(ledger: &Ledger, range: Range<usize>) {
    for first in range.clone().step_by(13) {
        let batch = (first..range.end.min(first + 13))
            .map(|i| draft(&scope_of(i), &format!("{i} {}", "x".repeat(1_400 + i % 13))))
            .collect();
        ledger.append_all_blocking(batch).unwrap();
    }
}

/// Merged sidecars that are there, in order.
fn merged(test: &TestLedger) -> Vec<PathBuf> {
    let entries = fs::read_dir(test.path().join("log")).unwrap();
    let mut paths: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "idx") && path.to_str().unwrap().contains('-'))
        .filter(|path| path.file_stem().unwrap().len() == 41)
        .collect();
    paths.sort();
    paths
}

/// A ledger of more than 64 segments, whose sidecars are merged as far as they can be.
fn many() -> TestLedger {
    let test = TestLedger::create_with(80 << 10);
    let ledger = test.open();
    append(&ledger, 0..2_600);
    until_merged(&test);
    ledger.close().unwrap();
    test
}

fn until_merged(test: &TestLedger) {
    let segments = test.segments();
    let full = segments.len() - 1;
    assert!((64..128).contains(&full), "{full} full segments");
    let first_behind: u64 = segments[64].file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let largest = format!("{:020}-{:020}.idx", 0, first_behind - 1);
    let begin = Instant::now();
    while merged(test).len() != 1 + full % 64 / 8 || !merged(test)[0].ends_with(&largest) {
        assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", merged(test));
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// All pages of some kinds, as text; nothing is missing in any of them.
fn pages(reader: &LedgerReader) -> Vec<String> {
    let mut said = Vec::new();
    for scope in ["scope:0", "scope:7", "rare", "quipu:ledger", "none"] {
        let scope = Scope::new(scope).unwrap();
        for direction in [Direction::Forward, Direction::Backward] {
            for range in [0..u64::MAX, 0..1_000, 700..2_500, 2_400..2_590, 3..3, 5_000..6_000] {
                for limit in [1, 20, 1_000] {
                    let page = reader.page(&scope, range.clone(), direction, limit).unwrap();
                    assert_eq!(page.missing, 0, "{scope} {range:?} {limit}: {page:?}");
                    said.push(format!("{page:?}"));
                }
            }
        }
    }
    said
}

#[test]
fn pages_are_the_same_with_and_without_merged_sidecars_and_with_damage_in_them() {
    let test = many();
    let read_only = || Ledger::open_read_only(test.path()).unwrap();
    let with = pages(&read_only());
    let stats = read_only().stats().unwrap();
    let bytes = |paths: &[PathBuf]| paths.iter().map(|path| fs::metadata(path).unwrap().len()).sum::<u64>();
    assert!(stats.sidecar_bytes > bytes(&merged(&test)));
    let kept: Vec<_> = merged(&test)
        .iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    for (path, _) in &kept {
        fs::remove_file(path).unwrap();
    }
    assert!(pages(&read_only()) == with);
    assert_eq!(
        read_only().stats().unwrap().sidecar_bytes,
        stats.sidecar_bytes - kept.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>()
    );
    // A reader that has them open, and one that looked for them before they went.
    for (path, bytes) in &kept {
        fs::write(path, bytes).unwrap();
    }
    let reader = read_only();
    for (path, _) in &kept {
        fs::remove_file(path).unwrap();
    }
    assert!(pages(&reader) == with);
    let (path, good) = &kept[0];
    for at in (0..good.len()).step_by(BLOCK + 17) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(path, bad).unwrap();
        assert!(pages(&read_only()) == with, "byte {at}");
    }
    // The writer makes them anew, out of the same.
    fs::write(path, &good[..good.len() / 2]).unwrap();
    let ledger = test.open();
    pages(ledger.reader());
    append(&ledger, 2_600..2_650);
    until_merged(&test);
    assert!(fs::read(path).unwrap() == *good);
    let last = pages(ledger.reader());
    ledger.close().unwrap();
    assert!(pages(&read_only()) == last);
    assert_eq!(test.verify().fault, None);
}

/// Where the record of the scope stands in a merged sidecar: found by reading the whole table.
fn record_of(bytes: &[u8], scope: &str) -> usize {
    let number = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
    let digest = quipu_format::Hash::of(&[scope.as_bytes()]).0;
    let (postings, scopes) = (number(32), number(40));
    let begin = 1 + postings.div_ceil(4_080 / 12);
    (0..scopes)
        .map(|at| (begin + at / 170) * BLOCK + at % 170 * 24)
        .find(|&at| bytes[at..at + 16] == digest[..16])
        .unwrap()
}

/// Changes a file of blocks and puts the checksums right, as one has them who means to deceive.
fn lie(bytes: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    change(&mut bytes);
    for block in bytes.chunks_exact_mut(BLOCK) {
        let (covered, crc) = block.split_last_chunk_mut::<8>().unwrap();
        *crc = checksum(covered);
    }
    bytes
}

#[test]
fn a_merged_sidecar_that_lies_hides_nothing_silently() {
    let test = many();
    let path = &merged(&test)[0];
    let good = fs::read(path).unwrap();
    let scope = Scope::new("scope:7").unwrap();
    let page = |range: Range<u64>, direction, limit| {
        let reader = Ledger::open_read_only(test.path()).unwrap();
        reader.page(&scope, range, direction, limit).unwrap()
    };
    let whole = page(0..u64::MAX, Direction::Forward, 1_000);
    assert_eq!(whole.missing, 0);
    let seq = |at: usize| whole.events[at].envelope.seq;
    let record = record_of(&good, "scope:7");
    let count = u32::from_be_bytes(good[record + 20..record + 24].try_into().unwrap());
    let hidden = [
        ("the last ones", 0, count - 3, 3),
        ("the first ones", 2, count - 2, 2),
        ("all", 0, 0, count),
    ];
    for (what, from, left, missing) in hidden {
        let lied = lie(&good, |bytes| {
            let first = u32::from_be_bytes(bytes[record + 16..record + 20].try_into().unwrap()) + from;
            bytes[record + 16..record + 20].copy_from_slice(&first.to_be_bytes());
            bytes[record + 20..record + 24].copy_from_slice(&left.to_be_bytes());
        });
        fs::write(path, lied).unwrap();
        for direction in [Direction::Forward, Direction::Backward] {
            assert_eq!(page(0..u64::MAX, direction, 1_000).missing, missing, "{what}");
            // Up to somewhere in the middle of what is hidden, and no further.
            let end = if what == "the last ones" {
                seq(count as usize - 1)
            } else {
                seq(2)
            };
            let of_these = if what == "all" { 2 } else { 2.min(missing) };
            let found = page(0..end, direction, 1_000);
            assert!(found.missing >= of_these, "{what}, not to the end: {found:?}");
        }
        assert!(page(0..u64::MAX, Direction::Forward, 5).missing > 0 || what == "the last ones");
    }
    // It leads to another entry, or to none: the line is checked.
    let first = u32::from_be_bytes(good[record + 16..record + 20].try_into().unwrap()) as usize;
    let posting = (1 + first / 340) * BLOCK + first % 340 * 12;
    for (what, at) in [
        ("another offset", 6),
        ("another length", 10),
        ("a length of gigabytes", 8),
    ] {
        fs::write(path, lie(&good, |bytes| bytes[posting + at] ^= 0x41)).unwrap();
        let found = page(0..u64::MAX, Direction::Forward, 1_000);
        assert_eq!(
            (found.missing, found.events.len() + 1),
            (1, whole.events.len()),
            "{what}"
        );
    }
    // One entry twice instead of another one: it is not asked at all.
    let twice = lie(&good, |bytes| bytes.copy_within(posting..posting + 12, posting + 12));
    fs::write(path, twice).unwrap();
    assert_eq!(page(0..u64::MAX, Direction::Forward, 1_000), whole);
}

#[test]
fn a_reader_follows_while_sidecars_are_merged() {
    let test = TestLedger::create_with(80 << 10);
    let ledger = test.open();
    let reader = Ledger::open_read_only(test.path()).unwrap();
    for first in (0..2_600).step_by(200) {
        append(&ledger, first..first + 200);
        reader.refresh().unwrap();
        for scope in ["scope:7", "rare"].map(|scope| Scope::new(scope).unwrap()) {
            let head = reader.head();
            let page = |reader: &LedgerReader| reader.page(&scope, 0..head, Direction::Forward, 1_000).unwrap();
            assert_eq!(page(&reader), page(ledger.reader()));
            assert_eq!(page(&reader).missing, 0);
        }
    }
    until_merged(&test);
    ledger.close().unwrap();
    reader.refresh().unwrap();
    assert!(pages(&reader) == pages(&Ledger::open_read_only(test.path()).unwrap()));
}

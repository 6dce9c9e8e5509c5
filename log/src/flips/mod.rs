//! Every way to change a closed ledger a little: each bit flipped, each end cut off, each two entries swapped. Verify
//! finds every one, and says where.
//!
//! `cargo xtask fuzz flips` does the same to a ledger of 1,000 entries, of which an unchanged line is looked into once.

mod memory;
mod seen;

use std::{
    env, fs,
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use memory::{MemoryFile, MemoryFolder};
use quipu_format::{Actor, Body, Kind, Scope};

pub(crate) use self::seen::Seen;
use crate::{CreateOptions, Draft, Fault, Ledger, OpenOptions, Verification, entry::Scopes, verify::verify_all};

/// A closed ledger, of which each thread changes a copy.
struct Campaign {
    folder: tempfile::TempDir,
    segment: String,
    /// The segment's bytes, and the range of each entry's line.
    bytes: Vec<u8>,
    lines: Vec<Range<usize>>,
    /// What is said of a line that has not changed is said again.
    is_large: bool,
}

/// What is done to a file of a copy.
#[derive(Debug, Clone, Copy)]
enum Change {
    Flip { at: usize, bit: usize },
    Cut { to: usize },
    Swap { first: usize, second: usize },
}

impl Campaign {
    fn new(entries: usize, is_large: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let options = CreateOptions::new("example.com/flips");
        Ledger::create(&path, options).unwrap().close().unwrap();
        let ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
        for n in 1..entries {
            let scope = Scope::new(["a", "b"][n % 2]).unwrap();
            let (actor, kind) = (Actor::new("a").unwrap(), Kind::new("m").unwrap());
            let draft = Draft::new(scope, actor, kind, Body::new(None, "{}").unwrap());
            ledger.append_blocking(draft).unwrap();
        }
        ledger.close().unwrap();
        // What is filled ahead is all alike, and a copy has none of it: a little will do.
        let segment = "log/00000000000000000000.log";
        let file = path.join(segment);
        let content = fs::read(&file).unwrap().trim_ascii_end().len() + 1;
        let cut = fs::File::options().write(true).open(&file);
        cut.and_then(|file| file.set_len(content as u64 + 64)).unwrap();
        let bytes = fs::read(&file).unwrap();
        let mut at = 0;
        let mut line = |line: &[u8]| {
            at += line.len();
            at - line.len()..at
        };
        let lines = bytes.split_inclusive(|b| *b == b'\n').take(entries);
        let this = Self {
            lines: lines.map(&mut line).collect(),
            segment: segment.to_owned(),
            bytes,
            folder,
            is_large,
        };
        let control = verdict_on(&this.copy(), &Scopes::default());
        let entries = entries as u64;
        assert_eq!(
            (control.fault, control.entries, control.intact),
            (None, entries, entries)
        );
        this
    }

    fn copy(&self) -> MemoryFolder {
        MemoryFolder::read(&self.folder.path().join("ledger"))
    }

    /// Makes each change to that file of a copy, one after the other, and looks at what verify says of it.
    #[track_caller]
    fn each(&self, name: &str, changes: &[Change], expect: impl Fn(Change, &Verification) + Sync) {
        let begin = Instant::now();
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
                let (next, expect) = (&next, &expect);
                scope.spawn(move || {
                    let copy = self.copy();
                    let file = copy.file(name).expect("it is a file of the ledger");
                    let good = file.bytes().clone();
                    let mut scopes = Scopes::default();
                    scopes.seen = self.is_large.then(Seen::default);
                    while let Some(&change) = changes.get(next.fetch_add(1, Ordering::Relaxed)) {
                        self.make(change, file);
                        if !self.is_large {
                            scopes = Scopes::default();
                        }
                        expect(change, &verdict_on(&copy, &scopes));
                        file.bytes().clone_from(&good);
                    }
                    let whole = verdict_on(&copy, &Scopes::default());
                    assert_eq!((whole.fault, whole.notes), (None, Vec::new()), "it is whole again");
                });
            }
        });
        println!(
            "{name}: {} changes, all found, in {:.1?}",
            changes.len(),
            begin.elapsed()
        );
    }

    /// Changes a file that is as it was; a swap is of the segment's lines.
    fn make(&self, change: Change, file: &MemoryFile) {
        let mut bytes = file.bytes();
        match change {
            Change::Flip { at, bit } => bytes[at] ^= 1 << bit,
            Change::Cut { to } => bytes.truncate(to),
            Change::Swap { first, second } => {
                let (first, second) = (self.lines[first].clone(), self.lines[second].clone());
                let between = &self.bytes[first.end..second.start];
                let swapped = [&self.bytes[second.clone()], between, &self.bytes[first.clone()]].concat();
                bytes[first.start..second.end].copy_from_slice(&swapped);
            }
        }
    }

    /// The entry in whose line a byte is.
    fn line_at(&self, at: usize) -> usize {
        self.lines.partition_point(|line| line.end <= at)
    }

    /// The fault is in the segment, at that entry.
    #[track_caller]
    fn is_at(&self, entry: usize, change: Change, verdict: &Verification) {
        let fault = fault(change, verdict);
        let start = self.lines.get(entry).map(|line| line.start as u64);
        let place = (&*fault.file, Some(fault.offset), fault.seq);
        assert_eq!(
            place,
            (&*self.segment, start, Some(entry as u64)),
            "{change:?}: {}",
            fault.what
        );
    }

    fn all(&self, every_bit: bool) {
        let flips = |length: usize| -> Vec<Change> {
            let bits = move |at| (0..8).filter(move |bit| every_bit || *bit == at % 8);
            let flips = (0..length).flat_map(|at| bits(at).map(move |bit| Change::Flip { at, bit }));
            flips.collect()
        };
        let cuts = |length: usize| (0..length).map(|to| Change::Cut { to }).collect::<Vec<_>>();
        let content = self.lines.last().unwrap().end;

        self.each(&self.segment, &flips(self.bytes.len()), |change, verdict| {
            let Change::Flip { at, .. } = change else {
                unreachable!()
            };
            if at < content {
                self.is_at(self.line_at(at), change, verdict);
            } else {
                let fault = fault(change, verdict);
                assert_eq!(fault.file, self.segment, "the fill, {change:?}: {}", fault.what);
            }
        });
        self.each(&self.segment, &cuts(content), |change, verdict| {
            let Change::Cut { to } = change else { unreachable!() };
            self.is_at(self.line_at(to), change, verdict);
        });
        let pairs =
            (0..self.lines.len()).flat_map(|first| (first + 1..self.lines.len()).map(move |second| (first, second)));
        let swaps: Vec<_> = pairs.map(|(first, second)| Change::Swap { first, second }).collect();
        self.each(&self.segment, &swaps, |change, verdict| {
            let Change::Swap { first, .. } = change else {
                unreachable!()
            };
            self.is_at(first, change, verdict);
        });

        let length = |name: &str| self.copy().file(name).map_or(0, |file| file.bytes().len());
        for changes in [flips(length("checkpoint")), cuts(length("checkpoint"))] {
            self.each("checkpoint", &changes, |change, verdict| {
                let fault = fault(change, verdict);
                assert_eq!(fault.file, "checkpoint", "{change:?}: {}", fault.what);
            });
        }
        for level in 0.. {
            let name = format!("tree/{level}");
            if self.copy().file(&name).is_none() {
                break;
            }
            self.each(&name, &flips(length(&name)), |change, verdict| {
                let Change::Flip { at, .. } = change else {
                    unreachable!()
                };
                let (fault, hash) = (fault(change, verdict), at as u64 / 32);
                let place = (&*fault.file, fault.offset, fault.seq);
                assert_eq!(place, (&*name, hash * 32, Some(hash << (8 * level))), "{change:?}");
            });
            // What a power cut may leave: it is said where, and is no fault.
            self.each(&name, &cuts(length(&name)), |change, verdict| {
                let Change::Cut { to } = change else { unreachable!() };
                let place = format!("{name}, byte {}: ", to / 32 * 32);
                assert_eq!(verdict.fault, None, "{change:?}");
                assert!(
                    verdict.notes.len() == 1 && verdict.notes[0].starts_with(&place),
                    "{change:?}: {:?}",
                    verdict.notes
                );
            });
        }
    }
}

fn verdict_on(copy: &MemoryFolder, scopes: &Scopes) -> Verification {
    verify_all(&copy.folder(), None, scopes, &mut |_| {}).unwrap()
}

#[track_caller]
fn fault(change: Change, verdict: &Verification) -> &Fault {
    let fault = verdict.fault.as_ref();
    fault.unwrap_or_else(|| panic!("nobody notices {change:?}"))
}

#[test]
fn every_small_change_is_found_and_located() {
    Campaign::new(100, false).all(true);
}

/// As many entries as QUIPU_FLIPS says; one bit of each byte, or with QUIPU_ALL_BITS all.
#[test]
#[ignore = "it takes many minutes: cargo xtask fuzz flips"]
fn every_small_change_of_a_larger_ledger_is_found_and_located() {
    let entries = env::var("QUIPU_FLIPS").map_or(1_000, |text| text.parse().expect("QUIPU_FLIPS is a number"));
    Campaign::new(entries, true).all(env::var_os("QUIPU_ALL_BITS").is_some());
}

//! Every way to change a closed ledger a little: each bit flipped, each end cut off, each two entries swapped. Verify
//! finds every one, and says where.
//!
//! `cargo xtask fuzz flips` does the same to a ledger of 1,000 entries.

mod ledgers;

use std::{
    env, fs,
    fs::File,
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use ledgers::{TestLedger, draft};
use quipu_log::{Fault, Verification, verify};

/// A closed ledger, the copies of it that threads change, and what was tried.
struct Campaign {
    sound: TestLedger,
    segment: String,
    /// The segment's bytes, and the range of each entry's line.
    bytes: Vec<u8>,
    lines: Vec<Range<usize>>,
}

/// What is done to a file of a copy.
#[derive(Debug, Clone, Copy)]
enum Change {
    Flip { at: usize, bit: usize },
    Cut { to: usize },
    Swap { first: usize, second: usize },
}

impl Campaign {
    fn new(entries: usize) -> Self {
        let sound = TestLedger::create_in_memory();
        let ledger = sound.open();
        for n in 1..entries {
            let scope = ["a", "b", "c"][n % 3];
            ledger.append_blocking(draft(scope, &n.to_string())).unwrap();
        }
        ledger.close().unwrap();
        // What is filled ahead is all alike, and a copy has none of it: a little will do.
        let segment = sound.newest_segment();
        let content = fs::read(&segment).unwrap().trim_ascii_end().len() + 1;
        File::options()
            .write(true)
            .open(&segment)
            .and_then(|file| file.set_len(content as u64 + 64))
            .unwrap();
        let control = sound.verify();
        let entries = entries as u64;
        assert_eq!(
            (control.fault, control.entries, control.intact),
            (None, entries, entries)
        );
        let bytes = fs::read(&segment).unwrap();
        let mut at = 0;
        let mut line = |line: &[u8]| {
            at += line.len();
            at - line.len()..at
        };
        let lines = bytes.split_inclusive(|b| *b == b'\n').take(entries as usize);
        Self {
            lines: lines.map(&mut line).collect(),
            segment: format!("log/{}", segment.file_name().unwrap().to_string_lossy()),
            bytes,
            sound,
        }
    }

    /// Makes each change to that file of a copy, one after the other, and looks at what verify says of it.
    #[track_caller]
    fn each(&self, name: &str, changes: &[Change], expect: impl Fn(Change, &Verification) + Sync) {
        let begin = Instant::now();
        let good = fs::read(self.sound.path().join(name)).unwrap();
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for number in 0..thread::available_parallelism().map_or(2, usize::from) {
                let (good, next, expect) = (&good, &next, &expect);
                scope.spawn(move || {
                    let copy = self.sound.path().with_file_name(format!("copy-{number}"));
                    copy_folder(self.sound.path(), &copy);
                    let file = File::options().read(true).write(true).open(copy.join(name)).unwrap();
                    while let Some(&change) = changes.get(next.fetch_add(1, Ordering::Relaxed)) {
                        self.make(change, &file);
                        expect(change, &verify(&copy, &mut |_| {}).unwrap());
                        let changed = self.changed(change, good.len());
                        file.write_all_at(&good[changed.clone()], changed.start as u64).unwrap();
                    }
                    let whole = verify(&copy, &mut |_| {}).unwrap();
                    assert_eq!((whole.fault, whole.notes), (None, Vec::new()), "it is whole again");
                    fs::remove_dir_all(&copy).unwrap();
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
    fn make(&self, change: Change, file: &File) {
        match change {
            Change::Flip { at, bit } => {
                let mut byte = [0];
                file.read_exact_at(&mut byte, at as u64).unwrap();
                file.write_all_at(&[byte[0] ^ (1 << bit)], at as u64).unwrap();
            }
            Change::Cut { to } => file.set_len(to as u64).unwrap(),
            Change::Swap { first, second } => {
                let (first, second) = (self.lines[first].clone(), self.lines[second].clone());
                let between = &self.bytes[first.end..second.start];
                let swapped = [&self.bytes[second.clone()], between, &self.bytes[first.clone()]].concat();
                file.write_all_at(&swapped, first.start as u64).unwrap();
            }
        }
    }

    /// The bytes that a change of a file of that length takes away or makes others.
    fn changed(&self, change: Change, length: usize) -> Range<usize> {
        match change {
            Change::Flip { at, .. } => at..at + 1,
            Change::Cut { to } => to..length,
            Change::Swap { first, second } => self.lines[first].start..self.lines[second].end,
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

        let length = |name: &str| fs::metadata(self.sound.path().join(name)).unwrap().len() as usize;
        for changes in [flips(length("checkpoint")), cuts(length("checkpoint"))] {
            self.each("checkpoint", &changes, |change, verdict| {
                let fault = fault(change, verdict);
                assert_eq!(fault.file, "checkpoint", "{change:?}: {}", fault.what);
            });
        }
        for level in 0.. {
            let name = format!("tree/{level}");
            if !self.sound.path().join(&name).exists() {
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

#[track_caller]
fn fault(change: Change, verdict: &Verification) -> &Fault {
    let fault = verdict.fault.as_ref();
    fault.unwrap_or_else(|| panic!("nobody notices {change:?}"))
}

/// One bit of each byte: all of them take some minutes of processor.
#[test]
fn every_small_change_is_found_and_located() {
    Campaign::new(100).all(false);
}

/// As many entries as QUIPU_FLIPS says; one bit of each byte, or with QUIPU_ALL_BITS all.
#[test]
#[ignore = "it takes minutes: cargo xtask fuzz flips"]
fn every_small_change_of_a_larger_ledger_is_found_and_located() {
    let entries = env::var("QUIPU_FLIPS").map_or(1_000, |text| text.parse().expect("QUIPU_FLIPS is a number"));
    Campaign::new(entries).all(env::var_os("QUIPU_ALL_BITS").is_some());
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else if !target.ends_with("socket") {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

//! Acknowledged bytes are damaged in the middle of the log: it is noticed, named, nothing else is lost, and nothing on
//! disk is changed.

use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::Instant,
};

use quipu_format::{Actor, Body, Event, Kind, Scope};
use quipu_log::{CreateOptions, Draft, ErrorKind, Ledger as Log, LedgerReader, OpenOptions, verify};

use crate::{driver::Ledger, machine::memory, work::number};

const EVENTS: u64 = 200;
/// The entry that is damaged.
const VICTIM: u64 = 100;
const SEGMENT: &str = "log/00000000000000000000.log";

/// A closed ledger of 200 acknowledged events, as it was.
struct Sound {
    ledger: Ledger,
    events: Vec<Event>,
    /// The segment's bytes, and the range of each entry's line.
    bytes: Vec<u8>,
    lines: Vec<Range<usize>>,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Sound {
    fn new() -> Self {
        let ledger = Ledger::none_within(&memory());
        let log = Log::create(&ledger.path(), CreateOptions::new("example.org/test")).unwrap();
        for n in 0..EVENTS {
            let body = Body::new(None, &format!(r#"{{"n":{n},"text":"{}"}}"#, "x".repeat(300))).unwrap();
            let scope = Scope::new(&format!("scope:{}", n % 3)).unwrap();
            let (actor, kind) = (Actor::new("tool:test").unwrap(), Kind::new("memo").unwrap());
            log.append_blocking(Draft::new(scope, actor, kind, body)).unwrap();
        }
        log.close().unwrap();
        // Whoever is refused does not make a new one either.
        fs::remove_file(ledger.path().join("reserve")).unwrap();
        let reader = Log::open_read_only(&ledger.path()).unwrap();
        let events: Vec<_> = reader.events(0..reader.head()).map(Result::unwrap).collect();
        let bytes = fs::read(ledger.path().join(SEGMENT)).unwrap();
        let mut lines = Vec::new();
        let mut at = 0;
        for line in bytes.split_inclusive(|&byte| byte == b'\n').take(events.len()) {
            lines.push(at..at + line.len());
            at += line.len();
        }
        let files = content(&ledger.path());
        Self {
            ledger,
            events,
            bytes,
            lines,
            files,
        }
    }

    fn put(&self, segment: &[u8]) {
        overwrite(&self.ledger.path().join(SEGMENT), segment);
    }

    /// The damaged ledger is refused to writers; readers and verify say where the damage is, show all outside it as it
    /// was, and prove those entries that are asked for; and nothing has been changed.
    #[track_caller]
    fn assert_noticed(&self, damaged: &Range<u64>, prove: &[u64], what: &str) {
        let path = self.ledger.path();
        let before = content(&path);

        let verdict = verify(&path, &mut |_| {}).unwrap();
        let fault = verdict
            .fault
            .unwrap_or_else(|| panic!("{what}: verify does not notice"));
        let first = self.lines[damaged.start as usize].start as u64;
        assert_eq!(
            (&*fault.file, fault.offset, fault.seq),
            (SEGMENT, first, Some(damaged.start)),
            "{what}: {}",
            fault.what
        );

        let refused = Log::open(&path, OpenOptions::default())
            .err()
            .unwrap_or_else(|| panic!("{what}: it is opened for writing"));
        let kinds = [ErrorKind::Corrupt, ErrorKind::LostEntries, ErrorKind::Tampered];
        assert!(kinds.contains(&refused.kind()), "{what}: {refused:?}");
        let place = format!("{SEGMENT}, byte {first}: entry {}", damaged.start);
        assert!(
            refused.to_string().contains(&place),
            "{what}: {refused} does not say {place}"
        );

        let reader = Log::open_read_only(&path).unwrap();
        assert_eq!(
            reader.head(),
            self.events.len() as u64,
            "{what}: no entry is missing silently"
        );
        for (sound, event) in self.events.iter().zip(reader.events(0..reader.head())) {
            let seq = sound.envelope.seq;
            match event {
                // Also of what was damaged, where all that was acknowledged of it is still whole.
                Ok(event) => assert_eq!(event, *sound, "{what}: {seq} is altered"),
                Err(error) => {
                    assert!(damaged.contains(&seq), "{what}: {seq} cannot be read: {error}");
                    assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
                    assert!(error.to_string().contains(SEGMENT), "{what}: {error}");
                }
            }
        }
        self.prove(&reader, prove, what);
        drop(reader);
        assert!(content(&path) == before, "{what}: something on disk was changed");
    }

    #[track_caller]
    fn prove(&self, reader: &LedgerReader, seqs: &[u64], what: &str) {
        for &seq in seqs {
            let hash = &self.events[seq as usize].hash;
            let proof = reader
                .prove(seq)
                .unwrap_or_else(|e| panic!("{what}: {seq} is not proved: {e}"));
            proof.verify(hash, reader.verifier_key()).unwrap();
        }
    }

    /// All but the damaged.
    fn outside(&self, damaged: &Range<u64>) -> Vec<u64> {
        (0..self.events.len() as u64)
            .filter(|seq| !damaged.contains(seq))
            .collect()
    }
}

/// Gives a file that content. Not `fs::write`: some file systems take the cutting of a file for a reason to sync it.
fn overwrite(path: &Path, bytes: &[u8]) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
}

/// Every file of a folder but `lock`, in which whoever tries to write leaves its process id.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(content(&path));
        } else if !path.ends_with("lock") {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    files
}

/// One bit at each byte of an entry's line; all eight with QUIPU_ALL_BITS.
#[test]
fn a_flipped_bit_is_noticed_and_nothing_else_is_lost() {
    let begin = Instant::now();
    let sound = Sound::new();
    let victim = VICTIM..VICTIM + 1;
    let all_bits = number("QUIPU_ALL_BITS").is_some();
    let mut flips = 0;
    for at in sound.lines[VICTIM as usize].clone() {
        for bit in (0..8).filter(|&bit| all_bits || bit == at % 8) {
            let mut segment = sound.bytes.clone();
            segment[at] ^= 1 << bit;
            sound.put(&segment);
            let proved = match flips % 256 {
                0 => sound.outside(&victim),
                n if n % 8 == 0 => vec![VICTIM - 1, VICTIM + 1],
                _ => vec![],
            };
            sound.assert_noticed(&victim, &proved, &format!("bit {bit} of byte {at} is flipped"));
            flips += 1;
        }
    }
    println!(
        "{flips} flipped bits: all refused, 0 lost, 0 altered, 0 unnoticed; {:.1?}",
        begin.elapsed()
    );
}

#[test]
fn a_zeroed_sector_is_noticed_and_nothing_else_is_lost() {
    let sound = Sound::new();
    let start = sound.lines[VICTIM as usize].start / 512 * 512;
    let mut segment = sound.bytes.clone();
    segment[start..start + 512].fill(0);
    sound.put(&segment);
    let hit = |line: &Range<usize>| line.start < start + 512 && line.end > start;
    let first = sound.lines.iter().position(hit).unwrap() as u64;
    let last = sound.lines.iter().rposition(hit).unwrap() as u64;
    let damaged = first..last + 1;
    sound.assert_noticed(&damaged, &sound.outside(&damaged), "a sector is zeroed");
    assert_command_says(&sound, &damaged, sound.outside(&damaged));
}

#[test]
fn a_flipped_bit_is_told_by_the_command() {
    let sound = Sound::new();
    let mut segment = sound.bytes.clone();
    segment[sound.lines[VICTIM as usize].start + 40] ^= 1;
    sound.put(&segment);
    let damaged = VICTIM..VICTIM + 1;
    assert_command_says(&sound, &damaged, sound.outside(&damaged));
}

/// What stood behind a cut is gone, and that is said: by who opens, by verify and by who reads.
#[test]
fn a_cut_is_noticed_and_nothing_before_it_is_lost() {
    let sound = Sound::new();
    let end = sound.lines[VICTIM as usize].start;
    for kept in [end, end + 100] {
        sound.put(&sound.bytes[..kept]);
        let path = sound.ledger.path();
        let before = content(&path);
        let fault = verify(&path, &mut |_| {}).unwrap().fault.expect("verify notices");
        assert_eq!(
            (&*fault.file, fault.offset, fault.seq),
            (SEGMENT, end as u64, Some(VICTIM))
        );
        let refused = Log::open(&path, OpenOptions::default()).err().expect("it is refused");
        assert_eq!(refused.kind(), ErrorKind::LostEntries, "{refused}");
        let reader = Log::open_read_only(&path).unwrap();
        assert_eq!(reader.head(), VICTIM);
        let read = reader.events(0..reader.head()).map(Result::unwrap);
        assert!(read.eq(sound.events[..VICTIM as usize].iter().cloned()));
        sound.prove(&reader, &(0..VICTIM).collect::<Vec<_>>(), "the log is cut");
        assert!(content(&path) == before, "something on disk was changed");
        assert_command_says(&sound, &(VICTIM..EVENTS + 1), (0..VICTIM).collect());
    }
}

/// `quipu` prints and shows all that is readable, names the damage, and its exit codes say that there is some.
#[track_caller]
fn assert_command_says(sound: &Sound, damaged: &Range<u64>, readable: Vec<u64>) {
    let (ledger, victim) = (&sound.ledger, damaged.start.to_string());
    let before = content(&ledger.path());
    let ran = ledger.run(["verify"]).exits(1);
    let place = format!(
        "{SEGMENT} at byte {}, seq {victim}",
        sound.lines[damaged.start as usize].start
    );
    assert!(ran.out.contains(&place), "{}", ran.out);

    let ran = ledger.run(["log", "--json"]).exits(1);
    let seqs = ran.json_lines().into_iter().map(|event| event["seq"].as_u64().unwrap());
    assert!(seqs.eq(readable.iter().copied()), "{}", ran.err);
    assert!(ran.err.contains("run `quipu verify`"), "{}", ran.err);
    for seq in [readable[0], *readable.last().unwrap(), damaged.start - 1] {
        let shown = ledger.run(["show", &seq.to_string(), "--json"]).good().json();
        assert_eq!(shown["hash"], sound.events[seq as usize].hash.to_string());
    }
    assert_ne!(ledger.run(["show", &victim]).code, 0);
    let append = ["append", "--scope", "s", "--actor", "operator:kim", "--text", "x"];
    ledger
        .run(append)
        .exits(2)
        .tells(&["Nothing was changed", "run `quipu verify`"]);
    assert!(content(&ledger.path()) == before, "something on disk was changed");
}

/// One bit at each byte of the other files that an open rests on.
#[test]
fn a_flipped_bit_in_another_file_is_noticed_or_changes_nothing() {
    let sound = Sound::new();
    let path = sound.ledger.path();
    let (mut refused, mut harmless) = (0, Vec::new());
    for name in ["checkpoint", "keys", "quipu.json", "signer"] {
        let file = path.join(name);
        let good = &sound.files[&file];
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << (at % 8);
            overwrite(&file, &bytes);
            let before = content(&path);
            match Log::open(&path, OpenOptions::default()) {
                Err(error) => {
                    assert!(
                        content(&path) == before,
                        "{name}, byte {at}: a refused open changed something"
                    );
                    assert!(error.to_string().contains(name), "{name}, byte {at}: {error}");
                    refused += 1;
                }
                Ok(log) => {
                    log.close().unwrap();
                    harmless.push((name, at));
                    let reader = Log::open_read_only(&path).unwrap();
                    let read: Vec<_> = reader.events(0..reader.head()).map(Result::unwrap).collect();
                    assert!(read == sound.events, "{name}, byte {at}");
                    assert_eq!(verify(&path, &mut |_| {}).unwrap().fault, None, "{name}, byte {at}");
                }
            }
            for (file, bytes) in &sound.files {
                if fs::read(file).ok().as_ref() != Some(bytes) {
                    overwrite(file, bytes);
                }
            }
        }
    }
    println!("{refused} refused, {} harmless: {harmless:?}", harmless.len());
    assert!(refused > 500);
}

//! Segments in a cold folder: read from there, verified there, and missed by name when it is not there.

// Long because all ways in which a cold folder is not what it should be are tried on one kind of ledger.

mod ledgers;

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use ledgers::{TestLedger, draft, text_of};
use quipu_format::Scope;
use quipu_log::{
    ArchiveSummary, Direction, ErrorKind, Ledger, LedgerReader, OpenOptions, RestoreOptions, backup, restore, verify,
};

const ENTRIES: usize = 250;

fn fill(ledger: &Ledger, numbers: Range<usize>) {
    for i in numbers {
        let mut draft = draft(&format!("scope:{}", i % 3), &format!("{i} {}", "x".repeat(900)));
        draft.key = Some(format!("key {i}"));
        draft.evidence = ledger
            .reader()
            .event(i as u64 / 2)
            .unwrap()
            .map(|event| event.envelope.id)
            .into_iter()
            .collect();
        ledger.append_blocking(draft).unwrap();
    }
}

/// A ledger of several segments, and a folder beside it.
fn many() -> (TestLedger, tempfile::TempDir) {
    let test = TestLedger::create_with(64 << 10);
    let ledger = test.open();
    fill(&ledger, 0..ENTRIES);
    ledger.close().unwrap();
    assert!(test.segments().len() > 4);
    (test, tempfile::tempdir().unwrap())
}

fn archive(test: &TestLedger, before: u64, to: &Path) -> ArchiveSummary {
    let ledger = test.open();
    let summary = ledger.archive(before, to, &mut |_, _| {}).unwrap();
    ledger.close().unwrap();
    summary
}

fn reader(test: &TestLedger) -> LedgerReader {
    Ledger::open_read_only(test.path()).unwrap()
}

fn everything(reader: &LedgerReader) -> Vec<String> {
    reader
        .events(0..u64::MAX)
        .map(|event| format!("{:?}", event.unwrap()))
        .collect()
}

fn cold_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

fn overwrite(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

/// First entry of a segment's file.
fn first_of(path: &Path) -> u64 {
    path.file_name().unwrap().to_str().unwrap()[..20].parse().unwrap()
}

#[test]
fn what_is_archived_is_read_and_verified_from_there() {
    let (test, cold) = many();
    let (whole, segments) = (everything(&reader(&test)), test.segments());
    let summary = archive(&test, u64::MAX, cold.path());
    assert_eq!(summary.segments as usize, segments.len() - 1, "the newest one stays");
    assert!(summary.cold_bytes < summary.bytes);
    assert_eq!(test.segments(), segments[segments.len() - 1..]);
    assert_eq!(everything(&reader(&test)), whole);
    assert_eq!(everything(test.open().reader()), whole);
    let verification = test.verify();
    assert_eq!((verification.fault, verification.intact), (None, ENTRIES as u64 + 1));
    let stats = reader(&test).stats().unwrap();
    assert_eq!(
        (stats.archived_segments, stats.archived_bytes),
        (summary.segments, summary.cold_bytes)
    );
    reader(&test).prove(3).unwrap();
    // It goes on, and remembers keys of entries that are cold.
    let ledger = test.open();
    let mut again = draft("scope:1", &format!("1 {}", "x".repeat(900)));
    again.key = Some("key 1".into());
    again.evidence = vec![ledger.reader().event(0).unwrap().unwrap().envelope.id];
    assert!(ledger.append_blocking(again).unwrap().repeated);
    fill(&ledger, ENTRIES..2 * ENTRIES);
    // A reader that was open before goes on too, and so does the writer's own.
    let follower = reader(&test);
    ledger.archive(u64::MAX, cold.path(), &mut |_, _| {}).unwrap();
    let (followed, written) = (everything(&follower), everything(ledger.reader()));
    assert!(followed.len() > ENTRIES && followed == written[..followed.len()]);
    ledger.close().unwrap();
    assert_eq!(test.verify().intact, 2 * ENTRIES as u64 + 1);
    // Without what is derived, all is read from there once.
    fs::remove_file(test.path().join("heads")).unwrap();
    fs::remove_dir_all(test.path().join("tree")).unwrap();
    assert_eq!(everything(&reader(&test)).len(), 2 * ENTRIES + 1);
    test.open().close().unwrap();
    // Any tool that knows zstd gives a segment back, and what is in log/ is read there.
    let file = &cold_files(cold.path())[0];
    let bytes = zstd::stream::decode_all(fs::File::open(file).unwrap()).unwrap();
    fs::write(test.path().join("log").join(file.file_stem().unwrap()), bytes).unwrap();
    fs::remove_file(file).unwrap();
    assert_eq!(test.verify().intact, 2 * ENTRIES as u64 + 1);
}

#[test]
fn only_segments_whose_entries_all_come_before_are_archived() {
    let (test, cold) = many();
    let segments = test.segments();
    assert_eq!(archive(&test, first_of(&segments[2]) - 1, cold.path()).segments, 1);
    assert_eq!(archive(&test, first_of(&segments[2]), cold.path()).segments, 1);
    assert_eq!(archive(&test, 0, cold.path()).segments, 0);
    assert_eq!(test.segments(), segments[2..]);
}

#[test]
fn a_folder_that_is_not_there_is_named_and_is_no_tampering() {
    let (test, cold) = many();
    let segments = test.segments();
    let (first, second) = (first_of(&segments[1]), first_of(&segments[2]));
    archive(&test, second, cold.path());
    let file = cold
        .path()
        .join(segments[1].file_name().unwrap())
        .with_extension("log.zst");
    let away = cold.path().join("away");
    fs::rename(&file, &away).unwrap();
    let verification = test.verify();
    assert_eq!(verification.fault, None);
    let [absent] = &verification.absent[..] else {
        panic!("{:?}", verification.absent)
    };
    assert_eq!((&absent.file, absent.first, absent.last), (&file, first, second - 1));
    assert_eq!(verification.entries, ENTRIES as u64 + 1 - (second - first));
    assert_eq!(verification.intact, verification.entries);
    let reader = reader(&test);
    let error = reader.event(first).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotHere, "{error}");
    assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
    // A page says so too: no entry looks as if it were damaged.
    let scope = Scope::new("scope:1").unwrap();
    let page = |range: Range<u64>| reader.page(&scope, range, Direction::Forward, 1_000);
    assert_eq!(page(first..second).unwrap_err().kind(), ErrorKind::NotHere);
    assert!(page(second..u64::MAX).is_ok_and(|page| page.missing == 0 && page.events.len() > 20));
    assert!(page(0..first).is_ok_and(|page| !page.events.is_empty()));
    // Everything else goes on: writing, proofs, other archives.
    let ledger = test.open();
    fill(&ledger, ENTRIES..ENTRIES + 50);
    ledger.reader().prove(second).unwrap();
    ledger.close().unwrap();
    let other = tempfile::tempdir().unwrap();
    assert!(archive(&test, u64::MAX, other.path()).segments > 0);
    assert_eq!(test.verify().absent.len(), 1);
    // All of both, the first entry among them.
    for folder in [cold.path(), other.path()] {
        fs::rename(folder, folder.with_extension("gone")).unwrap();
    }
    let verification = test.verify();
    assert_eq!(
        (verification.fault, verification.absent.len()),
        (None, test_segments(&test))
    );
    test.open().close().unwrap();
    for folder in [cold.path(), other.path()] {
        fs::rename(folder.with_extension("gone"), folder).unwrap();
    }
    fs::rename(&away, &file).unwrap();
    assert_eq!(test.verify().intact, ENTRIES as u64 + 51);
}

/// Segments that were archived.
fn test_segments(test: &TestLedger) -> usize {
    let names = fs::read_dir(test.path().join("log")).unwrap();
    let names = names.map(|name| name.unwrap().file_name().into_string().unwrap());
    // Not the merged sidecars, which are of several segments.
    names
        .filter(|name| name.ends_with(".idx") && !name.contains('-'))
        .count()
}

/// What is missing is not believed blindly: the leaf hashes that stand for it must give the signed root, and what comes
/// after must follow from it.
#[test]
fn tampering_beside_a_missing_segment_is_found() {
    let (test, cold) = many();
    let segments = test.segments();
    archive(&test, first_of(&segments[1]), cold.path());
    fs::remove_file(&cold_files(cold.path())[0]).unwrap();
    assert_eq!(test.verify().absent.len(), 1);
    // What operators ordered may stand there, or that they took it back.
    let known = reader(&test).governance_whole();
    assert_eq!(known.unwrap_err().kind(), ErrorKind::NotHere);
    assert!(reader(&test).governance().is_ok());
    // The forger's line has a good checksum; its entry follows from none before it.
    let path = &segments[2];
    let good = fs::read(path).unwrap();
    let text = String::from_utf8(good.clone()).unwrap();
    let mut lines: Vec<_> = text.split_inclusive('\n').map(str::to_owned).collect();
    let at = lines[1].find("\"prev\":\"").unwrap() + 8;
    let swapped = if &lines[1][at..=at] == "A" { "B" } else { "A" };
    lines[1].replace_range(at..=at, swapped);
    let end = lines[1].rfind('\t').unwrap() + 1;
    let checksum = quipu_format::checksum(&lines[1].as_bytes()[..end]);
    lines[1] = format!("{}{}\n", &lines[1][..end], std::str::from_utf8(&checksum).unwrap());
    overwrite(path, lines.concat().as_bytes());
    let verification = test.verify();
    assert!(
        verification
            .fault
            .is_some_and(|fault| fault.what.contains("does not follow"))
    );
    overwrite(path, &good);
    // Hashes of the tree are derived: wrong ones are no verdict on the log.
    let tree = test.path().join("tree/0");
    let mut bytes = fs::read(&tree).unwrap();
    bytes[40] ^= 1;
    fs::write(&tree, bytes).unwrap();
    let error = verify(test.path(), &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotHere, "{error}");
}

#[test]
fn a_damaged_cold_file_is_a_fault_that_names_it() {
    let (test, cold) = many();
    archive(&test, u64::MAX, cold.path());
    let file = &cold_files(cold.path())[1];
    let good = fs::read(file).unwrap();
    for damage in [good.len() / 2, 0, good.len() - 1, good.len()] {
        let mut bad = good.clone();
        match bad.get_mut(damage) {
            Some(byte) => *byte ^= 1,
            None => bad.truncate(100),
        }
        overwrite(file, &bad);
        let fault = test.verify().fault.unwrap();
        assert_eq!(fault.file, file.display().to_string(), "{fault:?}");
        assert_eq!(fault.seq.is_some(), damage >= good.len() - 1, "{fault:?}");
        let error = reader(&test).event(first_of(file)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
    }
    // Another segment under its name.
    overwrite(file, &fs::read(&cold_files(cold.path())[0]).unwrap());
    assert!(test.verify().fault.is_some());
    overwrite(file, &good);
    assert_eq!(test.verify().fault, None);
}

/// Each state that a crash can leave between two steps: nothing is lost, and archiving again finishes it.
#[test]
fn a_crash_between_any_two_steps_loses_nothing() {
    let (test, cold) = many();
    let whole = everything(&reader(&test));
    let segments = test.segments();
    let hot: Vec<_> = segments.iter().map(|path| fs::read(path).unwrap()).collect();
    let finished = |what: &str| {
        assert_eq!(everything(&reader(&test)), whole, "{what}");
        assert_eq!(test.verify().fault, None, "{what}");
        archive(&test, u64::MAX, cold.path());
        assert_eq!(test.segments().len(), 1, "{what}");
        assert_eq!(everything(&reader(&test)), whole, "{what}");
        assert_eq!(test.verify().intact as usize, whole.len(), "{what}");
        for (path, bytes) in segments.iter().zip(&hot) {
            let _ = fs::remove_file(path);
            fs::write(path, bytes).unwrap();
        }
    };
    let record = test.path().join("archive");
    // Half a cold file, not under its name yet.
    fs::write(cold.path().join("00000000000000000000.log.zst.new"), "half").unwrap();
    finished("half a cold file");
    // The cold files, and no record of them.
    fs::remove_file(&record).unwrap();
    finished("no record");
    // The record, and the hot files still there.
    fs::write(test.path().join("archive.new"), "half").unwrap();
    finished("hot files");
}

/// Each step is refused in its turn: the segment is in `log/` until all before the last has been done.
#[test]
fn a_step_that_fails_leaves_the_segment_where_it_was() {
    let (test, cold) = many();
    let segments = test.segments();
    let name = segments[0].file_name().unwrap().to_str().unwrap();
    // A folder stands where the new file would be written.
    for blocked in [
        cold.path().join(format!("{name}.zst.new")),
        test.path().join("archive.new"),
    ] {
        fs::create_dir(&blocked).unwrap();
        let ledger = test.open();
        ledger.archive(u64::MAX, cold.path(), &mut |_, _| {}).unwrap_err();
        ledger.append_blocking(draft("scope:1", "it goes on")).unwrap();
        ledger.close().unwrap();
        assert_eq!(test.segments(), segments);
        assert_eq!(test.verify().fault, None);
        fs::remove_dir(&blocked).unwrap();
    }
    assert_eq!(
        archive(&test, u64::MAX, cold.path()).segments as usize,
        segments.len() - 1
    );
    assert_eq!(test.verify().intact, ENTRIES as u64 + 3);
}

#[test]
fn what_is_in_the_folder_is_never_overwritten() {
    let (test, cold) = many();
    let strange = cold.path().join("00000000000000000000.log.zst");
    fs::write(&strange, "another ledger's").unwrap();
    let ledger = test.open();
    let error = ledger.archive(u64::MAX, cold.path(), &mut |_, _| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
    assert_eq!(fs::read_to_string(&strange).unwrap(), "another ledger's");
    ledger.close().unwrap();
    assert_eq!(test.verify().intact, ENTRIES as u64 + 1);
}

#[test]
fn a_cold_folder_that_was_moved_is_found_again() {
    let (test, cold) = many();
    let (old, new) = (cold.path().join("old"), cold.path().join("new"));
    let summary = archive(&test, u64::MAX, &old);
    fs::rename(&old, &new).unwrap();
    assert_eq!(test.verify().absent.len() as u64, summary.segments);
    assert_eq!(archive(&test, 0, &new).found, summary.segments);
    assert_eq!(test.verify().intact, ENTRIES as u64 + 1);
}

#[test]
fn a_damaged_record_changes_nothing_and_says_so() {
    let (test, cold) = many();
    archive(&test, u64::MAX, cold.path());
    let record = test.path().join("archive");
    let good = fs::read_to_string(&record).unwrap();
    let huge = good.replacen("\"last\": ", "\"last\": 99999999", 1);
    for bad in ["", "{", &good.replace("\"format\": 1", "\"format\": 2"), &huge] {
        fs::write(&record, bad).unwrap();
        let error = verify(test.path(), &mut |_| {}).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(test.try_open().is_err());
    }
    fs::write(&record, good).unwrap();
    assert_eq!(test.verify().intact, ENTRIES as u64 + 1);
}

#[test]
fn a_backup_takes_what_is_archived_or_names_what_it_left_out() {
    let (test, cold) = many();
    let segments = test.segments();
    archive(&test, first_of(&segments[2]), cold.path());
    let (folder, mut options) = (tempfile::tempdir().unwrap(), RestoreOptions::default());
    let (full, part) = (folder.path().join("full"), folder.path().join("part"));
    let summary = backup(test.path(), &full, true, &mut |_| {}).unwrap();
    assert_eq!(
        (summary.left_out.len(), summary.segments_copied as usize),
        (0, segments.len())
    );
    assert_eq!(verify(&full, &mut |_| {}).unwrap().intact, ENTRIES as u64 + 1);
    let file = &cold_files(cold.path())[1];
    let away = file.with_extension("away");
    fs::rename(file, &away).unwrap();
    // What the backup holds already needs no cold file.
    assert_eq!(backup(test.path(), &full, true, &mut |_| {}).unwrap().left_out, []);
    let summary = backup(test.path(), &part, true, &mut |_| {}).unwrap();
    assert_eq!(summary.left_out.len(), 1);
    assert_eq!(&summary.left_out[0].file, file);
    let verification = verify(&part, &mut |_| {}).unwrap();
    assert_eq!((verification.fault, verification.absent), (None, summary.left_out));
    // A ledger can be made of it, and reads everything once the file is back.
    let again = folder.path().join("again");
    options.fork = None;
    restore(&part, &again, &options, &mut |_| {}).unwrap();
    assert_eq!(verify(&again, &mut |_| {}).unwrap().absent.len(), 1);
    fs::rename(&away, file).unwrap();
    quipu_log::confirm(&again, &fs::read(test.path().join("checkpoint")).unwrap()).unwrap();
    let ledger = Ledger::open(&again, OpenOptions::default()).unwrap();
    assert!(text_of(&ledger.reader().event(first_of(file)).unwrap().unwrap()).ends_with("xxx"));
    ledger.close().unwrap();
    assert_eq!(backup(test.path(), &part, true, &mut |_| {}).unwrap().left_out, []);
    assert_eq!(verify(&part, &mut |_| {}).unwrap().intact, ENTRIES as u64 + 1);
    assert!(!part.join("archive").exists());
}

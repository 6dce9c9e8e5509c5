//! Copies of a live ledger, and ledgers made of them: whole or finished by trying again, and never a second history under
//! one key.

// Long because backing up, restoring and going on are tested on one kind of ledger.

mod ledgers;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use ledgers::{TestLedger, draft, text_of};
use quipu_format::Scope;
use quipu_log::{
    CopySummary, Direction, ErrorKind, Ledger, OpenOptions, RestoreOptions, Verification, backup, confirm, restore,
    rotate_key, verify,
};

fn fill(ledger: &Ledger, numbers: std::ops::Range<usize>) {
    for i in numbers {
        let text = format!("{i} {}", "x".repeat(900));
        ledger
            .append_blocking(draft(&format!("scope:{}", i % 5), &text))
            .unwrap();
    }
}

/// A ledger of some segments.
fn many() -> TestLedger {
    let test = TestLedger::create_with(64 << 10);
    fs::write(test.path().join("torn/00000000000000000000-7-0011.torn"), "half").unwrap();
    let ledger = test.open();
    ledger.put_component(b"some component").unwrap();
    fill(&ledger, 0..200);
    ledger.close().unwrap();
    test
}

fn back_up(test: &TestLedger, to: &Path, with_keys: bool) -> CopySummary {
    backup(test.path(), to, with_keys, &mut |_| {}).unwrap()
}

fn verified(path: &Path) -> Verification {
    let verification = verify(path, &mut |_| {}).unwrap();
    assert_eq!(verification.fault, None);
    verification
}

/// Every file below a folder that a copy is made of, with its content.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.ends_with("lock") {
            found.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    found.sort();
    found
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn assert_read_only(path: &Path) {
    let opened = Ledger::open(path, OpenOptions::default());
    assert_eq!(opened.err().map(|e| e.kind()), Some(ErrorKind::ReadOnly));
}

fn given(test: &TestLedger) -> RestoreOptions {
    let mut options = RestoreOptions::default();
    options.keys = Some(test.path().join("keys"));
    options.signer = Some(test.path().join("signer"));
    options
}

fn put_back(from: &Path, to: &Path, options: &RestoreOptions) -> quipu_log::Result<CopySummary> {
    restore(from, to, options, &mut |_| {})
}

#[test]
fn a_backup_verifies_with_and_without_keys() {
    let (test, folder) = (many(), tempfile::tempdir().unwrap());
    let (bare, keyed) = (folder.path().join("bare"), folder.path().join("keyed"));
    let summary = back_up(&test, &bare, false);
    assert_eq!((summary.entries, summary.with_keys), (202, false));
    assert_eq!(summary.segments_copied as usize, test.segments().len());
    let verification = verified(&bare);
    assert_eq!((verification.entries, verification.sealed), (202, 202));
    for secret in ["keys", "signer"] {
        assert!(!bare.join(secret).exists());
    }
    assert!(back_up(&test, &keyed, true).with_keys);
    assert_eq!(verified(&keyed).intact, 202);
    for secret in ["keys", "signer"] {
        assert_eq!(mode(&keyed.join(secret)), 0o600);
    }
    for kept in ["components", "torn"] {
        let names = |path: &Path| fs::read_dir(path.join(kept)).unwrap().count();
        assert_eq!(names(&keyed), names(test.path()));
    }
    // Keys that are not kept up with the log are worse than none.
    let error = backup(test.path(), &keyed, false, &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
}

#[test]
fn a_second_backup_copies_what_is_new_and_mends_what_is_damaged() {
    let (test, folder) = (many(), tempfile::tempdir().unwrap());
    let to = folder.path().join("backup");
    let first = back_up(&test, &to, false);
    let again = back_up(&test, &to, false);
    assert_eq!((again.segments_copied, again.segments_held), (0, first.segments_copied));
    let ledger = test.open();
    fill(&ledger, 200..300);
    ledger.close().unwrap();
    let later = back_up(&test, &to, false);
    assert_eq!(
        later.segments_held,
        first.segments_copied - 1,
        "the newest one has grown"
    );
    assert_eq!(verified(&to).entries, 302);
    let whole = files(&to);
    for damage in [
        |bytes: &mut Vec<u8>| bytes[70] ^= 1,
        // A checksum finds accidents; this is none.
        |bytes: &mut Vec<u8>| forge_first_line(bytes),
        |bytes: &mut Vec<u8>| bytes.truncate(5_000),
        |bytes: &mut Vec<u8>| bytes.clear(),
    ] {
        let path = to.join("log/00000000000000000000.log");
        let mut bytes = fs::read(&path).unwrap();
        damage(&mut bytes);
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
        assert_eq!(back_up(&test, &to, false).segments_copied, 1);
        assert_eq!(files(&to), whole);
    }
}

/// Another actor, and a checksum that fits.
fn forge_first_line(bytes: &mut [u8]) {
    let at = bytes.windows(10).position(|part| part == b"host:quipu").unwrap();
    bytes[at] = b'm';
    let end = bytes.iter().position(|&b| b == b'\n').unwrap() - 8;
    let checksum = quipu_format::checksum(&bytes[..end]);
    bytes[end..end + 8].copy_from_slice(&checksum);
}

/// Whatever was in place when it was broken off, and half a file behind it: backing up again gives the same.
/// What witnesses signed goes with the copy, as far as that holds it: how that is signed is tested elsewhere.
#[test]
fn a_backup_holds_the_newest_cosigned_checkpoint_that_is_of_what_it_holds() {
    let (test, folder) = (many(), tempfile::tempdir().unwrap());
    let (to, again, fork) = (
        folder.path().join("backup"),
        folder.path().join("again"),
        folder.path().join("fork"),
    );
    let size = |path: &Path| {
        Ledger::open_read_only(path)
            .unwrap()
            .cosigned(&[])
            .map(|cosigned| cosigned.size)
    };
    back_up(&test, &to, true);
    assert_eq!(size(&to).unwrap_err().kind(), ErrorKind::NotFound);
    test.open().reader().submission().unwrap().keep().unwrap();
    back_up(&test, &to, true);
    let seen = size(&to).unwrap();
    assert_eq!(seen, verified(&to).entries);
    put_back(&to, &again, &RestoreOptions::default()).unwrap();
    assert_eq!(size(&again).unwrap(), seen);
    // It was signed under the other name.
    let mut options = RestoreOptions::default();
    options.fork = Some("example.com/on".into());
    put_back(&to, &fork, &options).unwrap();
    assert!(!fork.join("cosigned").exists());

    // One of what the copy does not hold is none of it, and what it had stays.
    let ledger = test.open();
    fill(&ledger, 200..210);
    ledger.close().unwrap();
    test.open().reader().submission().unwrap().keep().unwrap();
    let now = verified(test.path()).entries;
    assert!(size(test.path()).unwrap() == now && now > seen);
    let other = TestLedger::create();
    other.open().reader().submission().unwrap().keep().unwrap();
    for strange in [test.path(), other.path()] {
        fs::copy(strange.join("cosigned"), again.join("cosigned")).unwrap();
        backup(&again, &to, true, &mut |_| {}).unwrap();
        assert_eq!(size(&to).unwrap(), seen);
    }
    // After a rotation the old key's word still holds.
    rotate_key(test.path(), Duration::ZERO).unwrap();
    assert_eq!(size(test.path()).unwrap(), now);
    back_up(&test, &to, true);
    assert_eq!(size(&to).unwrap(), now);
}

#[test]
fn a_backup_that_was_broken_off_is_finished_by_another() {
    let (test, folder) = (many(), tempfile::tempdir().unwrap());
    let whole = folder.path().join("whole");
    back_up(&test, &whole, true);
    let mut wanted = files(&whole);
    // The order of writing: what the copy is of, the log, what belongs to it, the keys, the checkpoint.
    let rank = |path: &PathBuf| {
        let name = path.strip_prefix(&whole).unwrap().to_string_lossy().into_owned();
        let order = [
            "quipu.json",
            "log/",
            "tree/",
            "components/",
            "torn/",
            "signer",
            "keys",
            "checkpoint",
        ];
        order.iter().position(|begin| name.starts_with(begin)).unwrap()
    };
    wanted.sort_by_key(|(path, _)| (rank(path), path.clone()));
    for count in 0..wanted.len() {
        let broken = folder.path().join(format!("broken {count}"));
        fs::create_dir(&broken).unwrap();
        for (number, (path, bytes)) in wanted[..=count].iter().enumerate() {
            let to = broken.join(path.strip_prefix(&whole).unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            if number < count {
                fs::write(to, bytes).unwrap();
            } else {
                let fresh = format!("{}.new", to.display());
                fs::write(fresh, &bytes[..bytes.len() / 2]).unwrap();
            }
        }
        if count > 0 {
            let half = verify(&broken, &mut |_| {}).unwrap();
            assert!(half.fault.is_some(), "half a copy passes for a whole one: {count}");
            assert_read_only(&broken);
        }
        back_up(&test, &broken, true);
        assert_eq!(verified(&broken).intact, 202);
        for (path, bytes) in &wanted {
            assert_eq!(
                fs::read(broken.join(path.strip_prefix(&whole).unwrap())).unwrap(),
                *bytes
            );
        }
    }
}

#[test]
fn a_backup_is_taken_while_others_append() {
    let (test, folder) = (TestLedger::create_with(256 << 10), tempfile::tempdir().unwrap());
    let (to, ledger) = (folder.path().join("backup"), test.open());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0.. {
                fill(&ledger, i * 10..i * 10 + 10);
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let mut entries = 0;
        for round in 0..12 {
            let acknowledged = ledger.reader().checkpoint().unwrap().1.size;
            let summary = back_up(&test, &to, true);
            assert!(summary.entries >= acknowledged.max(entries), "round {round}");
            entries = summary.entries;
            let verification = verified(&to);
            assert_eq!((verification.intact, verification.checkpoint_size), (entries, entries));
            thread::sleep(std::time::Duration::from_millis(100));
        }
        done.store(true, Ordering::Relaxed);
        assert!(entries > 100, "{entries}");
    });
}

#[test]
fn a_folder_that_holds_something_else_is_left_alone() {
    let (test, folder) = (many(), tempfile::tempdir().unwrap());
    let to = folder.path().join("backup");
    let refused = |to: &Path, kind| {
        let before = files(to);
        let error = backup(test.path(), to, false, &mut |_| {}).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(files(to), before);
    };
    fs::create_dir(&to).unwrap();
    fs::write(to.join("letter.txt"), "dear").unwrap();
    refused(&to, ErrorKind::Exists);
    // A ledger, the original among them.
    refused(test.path(), ErrorKind::Exists);
    // Another ledger's backup, though the name is the same.
    let (other, others) = (many(), folder.path().join("others"));
    back_up(&other, &others, false);
    refused(&others, ErrorKind::Exists);
    // A segment that nobody knows.
    let strange = folder.path().join("strange");
    back_up(&test, &strange, false);
    fs::write(strange.join("log/00000000000000000007.log"), "").unwrap();
    refused(&strange, ErrorKind::Exists);
}

/// One key, two histories: the ledger was put back to an older state and went on.
#[test]
fn a_backup_of_another_history_is_not_overwritten() {
    let (test, folder) = (many(), tempfile::tempdir().unwrap());
    let old = folder.path().join("old");
    copy_tree(test.path(), &old);
    let ledger = test.open();
    fill(&ledger, 200..230);
    ledger.close().unwrap();
    let to = folder.path().join("backup");
    back_up(&test, &to, false);
    let before = files(&to);
    let refused = |kind| {
        let error = backup(&old, &to, false, &mut |_| {}).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(files(&to), before);
    };
    refused(ErrorKind::LostEntries);
    let ledger = Ledger::open(&old, OpenOptions::default()).unwrap();
    fill(&ledger, 500..540);
    ledger.close().unwrap();
    refused(ErrorKind::Tampered);
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn a_damaged_log_is_not_backed_up_as_if_it_were_whole() {
    let (test, folder) = (many(), tempfile::tempdir().unwrap());
    let segment = &test.segments()[1];
    let mut bytes = fs::read(segment).unwrap();
    bytes[2_000] ^= 1;
    fs::remove_file(segment).unwrap();
    fs::write(segment, bytes).unwrap();
    let to = folder.path().join("backup");
    let error = backup(test.path(), &to, false, &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(
        error
            .to_string()
            .contains(segment.file_name().unwrap().to_str().unwrap()),
        "{error}"
    );
    assert!(!to.join("checkpoint").exists());
}

#[test]
fn a_restored_ledger_answers_as_the_original_and_goes_on_once_confirmed() {
    let (test, folder) = (many(), tempfile::tempdir().unwrap());
    let (to, again) = (folder.path().join("backup"), folder.path().join("again"));
    back_up(&test, &to, false);
    put_back(&to, &again, &given(&test)).unwrap();
    assert_eq!(verified(&again).intact, 202);
    let reader = Ledger::open_read_only(&again).unwrap();
    let scope = Scope::new("scope:3").unwrap();
    let page = reader.page(&scope, 0..u64::MAX, Direction::Forward, 100).unwrap();
    assert_eq!(page.events.len(), 40);
    reader.prove(77).unwrap();
    // Neither the backup nor what was restored from it is written.
    for path in [&to, &again] {
        let before = files(path);
        assert_read_only(path);
        assert_eq!(files(path), before);
    }
    let note = fs::read(test.path().join("checkpoint")).unwrap();
    assert_eq!(confirm(&again, &note).unwrap().size, 202);
    let ledger = Ledger::open(&again, OpenOptions::default()).unwrap();
    fill(&ledger, 200..250);
    ledger.close().unwrap();
    assert_eq!(verified(&again).intact, verified(&again).entries);
    assert_eq!(
        confirm(&again, &note).unwrap_err().kind(),
        ErrorKind::Invalid,
        "it is no copy any more"
    );
    assert_eq!(
        put_back(&to, &again, &given(&test)).unwrap_err().kind(),
        ErrorKind::Exists
    );
}

#[test]
fn a_restored_older_copy_does_not_go_on() {
    let (test, folder) = (many(), tempfile::tempdir().unwrap());
    let (to, a, b) = (
        folder.path().join("backup"),
        folder.path().join("a"),
        folder.path().join("b"),
    );
    back_up(&test, &to, true);
    let taken = fs::read(test.path().join("checkpoint")).unwrap();
    // Two of one backup. The first goes on, and from then on its checkpoint is the newest that is known.
    for path in [&a, &b] {
        put_back(&to, path, &RestoreOptions::default()).unwrap();
    }
    confirm(&a, &taken).unwrap();
    let ledger = Ledger::open(&a, OpenOptions::default()).unwrap();
    fill(&ledger, 200..220);
    ledger.close().unwrap();
    let newest = fs::read(a.join("checkpoint")).unwrap();
    let refused = |note: &[u8], kind| {
        let before = files(&b);
        let error = confirm(&b, note).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(files(&b), before);
        assert_read_only(&b);
    };
    refused(&newest, ErrorKind::LostEntries);
    // A checkpoint of another ledger, and no checkpoint.
    refused(
        &fs::read(many().path().join("checkpoint")).unwrap(),
        ErrorKind::Tampered,
    );
    refused(b"1", ErrorKind::Tampered);
}

#[test]
fn a_checkpoint_of_another_history_confirms_nothing() {
    let (test, folder) = (many(), tempfile::tempdir().unwrap());
    let (to, again, fork) = (
        folder.path().join("backup"),
        folder.path().join("a"),
        folder.path().join("fork"),
    );
    copy_tree(test.path(), &fork);
    for (path, numbers) in [(test.path(), 200..230), (&fork, 400..420)] {
        let ledger = Ledger::open(path, OpenOptions::default()).unwrap();
        fill(&ledger, numbers);
        ledger.close().unwrap();
    }
    back_up(&test, &to, true);
    put_back(&to, &again, &RestoreOptions::default()).unwrap();
    let error = confirm(&again, &fs::read(fork.join("checkpoint")).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tampered, "{error}");
}

#[test]
fn restoring_needs_the_keys_of_the_same_ledger() {
    let (test, folder) = (many(), tempfile::tempdir().unwrap());
    let (to, again) = (folder.path().join("backup"), folder.path().join("again"));
    back_up(&test, &to, false);
    let old_keys = folder.path().join("old keys");
    fs::copy(test.path().join("keys"), &old_keys).unwrap();
    let other = many();
    for (keys, signer) in [("keys", "signer"), ("signer", "keys")] {
        let mut options = given(&test);
        match keys {
            "keys" => options.signer = Some(other.path().join(signer)),
            _ => options.keys = Some(other.path().join("signer")),
        }
        let error = put_back(&to, &again, &options).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Tampered | ErrorKind::Corrupt),
            "{error}"
        );
    }
    // A key file from before a scope came.
    let ledger = test.open();
    ledger.append_blocking(draft("late", "x")).unwrap();
    ledger.close().unwrap();
    back_up(&test, &to, false);
    let mut options = given(&test);
    options.keys = Some(old_keys);
    let error = put_back(&to, &again, &options).unwrap_err();
    assert!(error.to_string().contains("late"), "{error}");
    put_back(&to, &again, &given(&test)).unwrap();
    assert_eq!(verified(&again).intact, 203);
}

#[test]
fn a_copy_goes_on_under_a_new_name_and_says_so() {
    let (test, folder) = (many(), tempfile::tempdir().unwrap());
    let (to, on) = (folder.path().join("backup"), folder.path().join("on"));
    back_up(&test, &to, true);
    let mut options = RestoreOptions::default();
    options.fork = Some("example.com/test".into());
    assert_eq!(
        put_back(&to, &on, &options).unwrap_err().kind(),
        ErrorKind::Invalid,
        "the same name"
    );
    options.fork = Some("example.com/on".into());
    put_back(&to, &on, &options).unwrap();
    let ledger = Ledger::open(&on, OpenOptions::default()).unwrap();
    let event = ledger.reader().event(202).unwrap().unwrap();
    assert_eq!(event.envelope.kind.as_str(), "quipu.fork");
    let fork = &event.envelope.sys.as_ref().unwrap()["fork"];
    let old = test.open().reader().verifier_key().to_string();
    assert_eq!(fork["from"]["verifierKey"], old);
    assert_eq!(
        fork["from"]["checkpoint"].as_str().unwrap(),
        fs::read_to_string(test.path().join("checkpoint")).unwrap()
    );
    assert_eq!(ledger.reader().origin(), "example.com/on");
    fill(&ledger, 200..240);
    assert!(text_of(&ledger.reader().event(6).unwrap().unwrap()).starts_with("4 "));
    ledger.reader().prove(6).unwrap();
    ledger.close().unwrap();
    let verification = verified(&on);
    assert_eq!(
        (verification.intact, verification.origin.as_str()),
        (243, "example.com/on")
    );
    // And once more, from a backup of that.
    let (to, further) = (folder.path().join("second"), folder.path().join("further"));
    backup(&on, &to, true, &mut |_| {}).unwrap();
    options.fork = Some("example.com/further".into());
    put_back(&to, &further, &options).unwrap();
    assert_eq!(verified(&further).intact, 244);
    // A ledger whose last name is not the one that its entries tell is not accepted.
    let json = fs::read_to_string(on.join("quipu.json")).unwrap();
    fs::write(further.join("quipu.json"), json).unwrap();
    for file in ["checkpoint", "keys"] {
        fs::copy(on.join(file), further.join(file)).unwrap();
    }
    let fault = verify(&further, &mut |_| {}).unwrap().fault.unwrap();
    assert!(fault.what.contains("another key"), "{fault:?}");
}

/// Each state that a crash can leave while a copy is being given its new name.
#[test]
fn a_forking_that_was_broken_off_is_finished_by_another() {
    let (test, folder) = (many(), tempfile::tempdir().unwrap());
    let (to, whole) = (folder.path().join("backup"), folder.path().join("whole"));
    back_up(&test, &to, true);
    let mut options = RestoreOptions::default();
    options.fork = Some("example.com/on".into());
    put_back(&to, &whole, &options).unwrap();
    let key = fs::read_to_string(whole.join("signer")).unwrap();
    let copy = fs::read_to_string(whole.join("quipu.json")).unwrap();
    let copy = copy.replace("\n}", ",\n  \"copy\": true\n}");
    let on = folder.path().join("on");
    // All is there but the last step; the checkpoint is missing; all but the signer is missing.
    for gone in [
        &[][..],
        &["checkpoint"],
        &["checkpoint", "quipu.json", "log", "tree", "torn", "components", "keys"],
    ] {
        copy_tree(&whole, &on);
        fs::write(on.join("quipu.json"), &copy).unwrap();
        for name in gone.iter().chain(&["heads", "projections", "reserve"]) {
            let path = on.join(name);
            let _ = if path.is_dir() {
                fs::remove_dir_all(path)
            } else {
                fs::remove_file(path)
            };
        }
        put_back(&to, &on, &options).unwrap();
        assert_eq!(fs::read_to_string(on.join("signer")).unwrap(), key);
        assert_eq!(verified(&on).intact, 203);
        Ledger::open(&on, OpenOptions::default()).unwrap().close().unwrap();
        fs::remove_dir_all(&on).unwrap();
    }
}

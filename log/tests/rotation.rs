//! The key that checkpoints are signed with is replaced, and all that held before holds.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use quipu_format::{Actor, Body, Checkpoint, Given, Kind, RequestChange, RequestId, Scope, Signer, TrustedKeys, check};
use quipu_log::{
    CreateOptions, Draft, ErrorKind, Ledger, OpenOptions, RestoreOptions, SignedAct, backup, confirm, restore,
    rotate_key, verify,
};
use serde_json::json;

fn draft() -> Draft {
    let body = Body::new(None, r#"{"text":"x"}"#).unwrap();
    let actor = Actor::new("agent:a").unwrap();
    Draft::new(Scope::new("a").unwrap(), actor, Kind::new("note").unwrap(), body)
}

fn append(path: &Path) -> Ledger {
    let ledger = Ledger::open(path, OpenOptions::default()).unwrap();
    ledger.append_blocking(draft()).unwrap();
    ledger
}

fn note(path: &Path) -> Vec<u8> {
    fs::read(path.join("checkpoint")).unwrap()
}

#[test]
fn a_ledger_goes_on_under_its_new_key_and_its_past_is_good() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("ledger"), folder.path().join("copy"));
    let options = CreateOptions::new("example.com/rotated");
    Ledger::create(&path, options).unwrap().close().unwrap();
    append(&path).close().unwrap();
    backup(&path, &copy, false, &mut |_| {}).unwrap();
    let mut keys = vec![Ledger::open_read_only(&path).unwrap().verifier_key().clone()];
    let mut kept = vec![note(&path)];
    let stays_open = Ledger::open_read_only(&path).unwrap();
    for turn in 1..4 {
        let key = rotate_key(&path, Duration::ZERO).unwrap();
        assert_eq!(key.name(), "example.com/rotated");
        assert!(!keys.contains(&key));
        // A signed note by the new key, and by no other.
        Checkpoint::open(&note(&path), &key).unwrap();
        assert!(keys.iter().all(|old| Checkpoint::open(&note(&path), old).is_err()));
        keys.push(key);
        assert!(!path.join("signer.next").exists());
        assert_eq!(verify(&path, &mut |_| {}).unwrap().fault, None, "turn {turn}");
        append(&path).close().unwrap();
        assert_eq!(verify(&path, &mut |_| {}).unwrap().fault, None, "turn {turn}");
        kept.push(note(&path));
        let reader = Ledger::open_read_only(&path).unwrap();
        for old in &kept {
            reader.prove_consistency(old).unwrap();
        }
        reader
            .prove(1)
            .unwrap()
            .verify(&reader.event(1).unwrap().unwrap().hash, &keys[turn])
            .unwrap();
    }
    // Who read before goes on reading.
    assert_eq!(stays_open.refresh().unwrap(), 8);
    stays_open.checkpoint().unwrap();
    // A copy from before is brought up to now.
    backup(&path, &copy, false, &mut |_| {}).unwrap();
    assert_eq!(verify(&copy, &mut |_| {}).unwrap().fault, None);
    assert_eq!(verify(&copy, &mut |_| {}).unwrap().entries, 8);
}

/// Rotated by another process, as far as the ledger can tell: through its socket, while its writer appends.
#[test]
fn a_writer_goes_on_under_the_new_key_and_so_does_who_reads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let ledger = Ledger::create(path, CreateOptions::new("example.com/busy")).unwrap();
    let reader = Ledger::open_read_only(path).unwrap();
    let (first, old) = (reader.verifier_key().clone(), note(path));
    let done = AtomicBool::new(false);
    let (keys, proved) = thread::scope(|threads| {
        let appending = threads.spawn(|| {
            let mut proved = Vec::new();
            while !done.load(Ordering::Relaxed) || proved.len() < 20 {
                proved.push(ledger.append_proved_blocking(draft()).unwrap());
            }
            proved
        });
        let mut keys = vec![first.clone()];
        for _ in 0..3 {
            keys.push(rotate_key(path, Duration::ZERO).unwrap());
            assert!(!path.join("signer.next").exists());
            assert_eq!(ledger.reader().verifier_key(), &keys[keys.len() - 1]);
        }
        done.store(true, Ordering::Relaxed);
        (keys, appending.join().unwrap())
    });
    let states = ledger.reader().verifier_keys();
    let listed: Vec<_> = states.iter().map(|state| state.verifier_key.clone()).collect();
    assert_eq!(listed, keys.iter().map(ToString::to_string).collect::<Vec<_>>());
    // Each checkpoint that was handed out is signed by the one key that holds for its size.
    for proved in &proved {
        let good = |key| proved.proof.verify(&proved.receipt.hash, key);
        let by: Vec<_> = keys.iter().enumerate().filter(|(_, key)| good(key).is_ok()).collect();
        let [(number, key)] = by[..] else { panic!("{by:?}") };
        let size = good(key).unwrap().size;
        let state = &states[number];
        assert!(
            state.from <= size && state.until.is_none_or(|until| size <= until),
            "{size} by {state:?}"
        );
    }
    // Who has read all the time has come along.
    reader.refresh().unwrap();
    assert_eq!(reader.verifier_key(), &keys[3]);
    let last = ledger.append_proved_blocking(draft()).unwrap();
    for old in [&old, last.proof.checkpoint.as_bytes()] {
        reader.prove_consistency(old).unwrap();
    }
    assert_ne!(first, keys[3]);
    ledger.close().unwrap();
    assert_eq!(verify(path, &mut |_| {}).unwrap().fault, None);
    append(path).close().unwrap();
}

#[test]
fn an_entry_that_names_a_key_needs_the_word_of_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::create(folder.path(), CreateOptions::new("example.com/taken")).unwrap();
    let other = Signer::new("example.com/taken", [3; 32])
        .unwrap()
        .verifier_key()
        .to_string();
    let own = ledger.reader().verifier_key().to_string();
    let actor = Actor::new("host:quipu").unwrap();
    let body = Body::new(None, "{}").unwrap();
    let mut key = Draft::new(Scope::ledger(), actor, Kind::new("quipu.key").unwrap(), body);
    key.sys = Some(json!({"key": {"from": own, "verifierKey": other, "note": "trust me"}}));
    assert_eq!(ledger.append_blocking(key).unwrap_err().kind(), ErrorKind::Invalid);
    ledger.append_proved_blocking(draft()).unwrap();
    ledger.close().unwrap();
    assert_eq!(verify(folder.path(), &mut |_| {}).unwrap().fault, None);
}

/// A file that an error left there, whose key no entry names, kept the ledger from ever rotating its key until it was
/// opened anew.
#[test]
fn what_an_error_left_of_a_rotation_does_not_hold_up_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let ledger = Ledger::create(path, CreateOptions::new("example.com/twice")).unwrap();
    ledger.append_blocking(draft()).unwrap();
    let left = Signer::new("example.com/twice", [3; 32]).unwrap();
    for text in [&*left.to_text(), "half a k"] {
        fs::write(path.join("signer.next"), text).unwrap();
        let key = rotate_key(path, Duration::ZERO).unwrap();
        assert_ne!(key, left.verifier_key());
        assert!(!path.join("signer.next").exists());
        Checkpoint::open(
            ledger
                .append_proved_blocking(draft())
                .unwrap()
                .proof
                .checkpoint
                .as_bytes(),
            &key,
        )
        .unwrap();
    }
    // Where `signer` holds another key, the one beside it may be the only one that is left.
    fs::write(path.join("signer.next"), fs::read(path.join("signer")).unwrap()).unwrap();
    fs::write(path.join("signer"), &*left.to_text()).unwrap();
    let kept = fs::read(path.join("signer.next")).unwrap();
    assert_eq!(
        rotate_key(path, Duration::ZERO).unwrap_err().kind(),
        ErrorKind::Tampered
    );
    assert_eq!(fs::read(path.join("signer.next")).unwrap(), kept);
    ledger.close().unwrap();
    append(path).close().unwrap();
    assert_eq!(verify(path, &mut |_| {}).unwrap().fault, None);
}

/// The key that an entry names is the only one that may sign what includes it: another does not take its place.
#[test]
fn a_rotation_that_could_not_be_finished_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let ledger = Ledger::create(path, CreateOptions::new("example.com/first")).unwrap();
    // `quipu.json` cannot be written, so that the new key does not come into use.
    fs::create_dir(path.join("quipu.json.new")).unwrap();
    assert_eq!(
        rotate_key(path, Duration::ZERO).unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    let next = fs::read(path.join("signer.next")).unwrap();
    assert_eq!(
        rotate_key(path, Duration::ZERO).unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    assert_eq!(fs::read(path.join("signer.next")).unwrap(), next);
    fs::remove_dir(path.join("quipu.json.new")).unwrap();
    rotate_key(path, Duration::ZERO).unwrap();
    assert_eq!(ledger.reader().verifier_keys().len(), 3);
    ledger.close().unwrap();
    assert_eq!(verify(path, &mut |_| {}).unwrap().fault, None);
}

/// A copy with keys failed at its end, for the file `signer` held another key than when it began.
#[test]
fn a_backup_with_keys_during_which_the_key_is_rotated_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("ledger"), folder.path().join("copy"));
    let ledger = Ledger::create(&path, CreateOptions::new("example.com/copied")).unwrap();
    ledger.append_proved_blocking(draft()).unwrap();
    let mut key = None;
    let mut rotate_once = |_| {
        key.get_or_insert_with(|| rotate_key(&path, Duration::ZERO).unwrap());
    };
    backup(&path, &copy, true, &mut rotate_once).unwrap();
    ledger.close().unwrap();
    let manifest = fs::read_to_string(copy.join("quipu.json")).unwrap();
    assert!(
        manifest.contains(&format!("\"verifierKey\": \"{}\"", key.unwrap())),
        "{manifest}"
    );
    assert_eq!(verify(&copy, &mut |_| {}).unwrap().fault, None);
    let restored = folder.path().join("restored");
    restore(&copy, &restored, &RestoreOptions::default(), &mut |_| {}).unwrap();
    confirm(&restored, &note(&path)).unwrap();
    append(&restored).close().unwrap();
}

/// Who verifies has read which keys there are before it reads the log, in which two rotations stand by then.
#[test]
fn a_live_ledger_verifies_while_its_key_is_rotated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let ledger = Ledger::create(path, CreateOptions::new("example.com/live")).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|threads| {
        threads.spawn(|| {
            for _ in 0..40 {
                ledger.append_blocking(draft()).unwrap();
                rotate_key(path, Duration::ZERO).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            let verified = verify(path, &mut |_| {}).unwrap();
            assert_eq!(verified.fault, None);
        }
    });
    ledger.close().unwrap();
    assert_eq!(verify(path, &mut |_| {}).unwrap().fault, None);
}

/// What a reader is shown was signed by a key that it has not heard of.
#[test]
fn a_reader_learns_of_a_rotation_from_what_the_new_key_signed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let ledger = Ledger::create(path, CreateOptions::new("example.com/behind")).unwrap();
    let behind = [(); 2].map(|()| Ledger::open_read_only(path).unwrap());
    rotate_key(path, Duration::ZERO).unwrap();
    behind[0].prove_consistency(&note(path)).unwrap();
    Ledger::open_read_only(path)
        .unwrap()
        .submission()
        .unwrap()
        .keep()
        .unwrap();
    assert_eq!(behind[1].cosigned(&[]).unwrap().size, ledger.reader().head());
}

/// A report is signed by the key that is in force for it. It was collected under one key and signed by the next, which no
/// list of the ledger's keys lets pass.
#[test]
fn a_report_during_which_the_key_is_rotated_can_be_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let kim = Signer::new("operator:kim", [9; 32]).unwrap();
    let options = CreateOptions::new("example.com/asked")
        .operator(&kim.verifier_key())
        .unwrap();
    let ledger = Ledger::create(path, options).unwrap();
    ledger.append_blocking(draft()).unwrap();
    let open =
        json!({"open": {"deadline": "2030-01-01T00:00:00.000Z", "id": "dsr-1", "scopes": ["a"], "subject": "p:1"}});
    let size = ledger.reader().head();
    let act = SignedAct::sign("example.com/asked", size, RequestChange::MEMBER, &open, &kim).unwrap();
    ledger.act_blocking(vec![act]).unwrap();
    let (id, before) = (RequestId::new("dsr-1").unwrap(), ledger.reader().head());
    let reader = Ledger::open_read_only(path).unwrap();
    for who in [ledger.reader(), &reader] {
        let mut rotated = false;
        let mut rotate_once = |_, _| {
            if !rotated {
                rotate_key(path, Duration::ZERO).unwrap();
                rotated = true;
            }
        };
        let note = who.signed_report(&id, &[], &mut rotate_once).unwrap();
        let listed = ledger.reader().verifier_keys();
        let listed: Vec<_> = listed.iter().map(|key| serde_json::to_string(key).unwrap()).collect();
        let given = Given::with(TrustedKeys::parse(&listed.join("\n")).unwrap());
        let finding = check(note.as_bytes(), &given).unwrap().unwrap();
        assert!(finding.facts[0].1["size"].as_u64().unwrap() > before, "{finding:?}");
    }
}

#[test]
fn what_a_crash_left_of_signers_is_destroyed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    Ledger::create(path, CreateOptions::new("example.com/left"))
        .unwrap()
        .close()
        .unwrap();
    let signer = fs::read(path.join("signer")).unwrap();
    let other = Signer::new("example.com/left", [3; 32]).unwrap().to_text();
    let left = ["signer.new", "signer.next.new", "signer.next"];
    for text in ["", &other[..20], &other] {
        for name in left {
            fs::write(path.join(name), text).unwrap();
        }
        append(path).close().unwrap();
        assert!(left.iter().all(|name| !path.join(name).exists()), "{text:?}");
        assert_eq!(fs::read(path.join("signer")).unwrap(), signer);
    }
}

#[test]
fn a_key_that_nobody_signed_for_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    Ledger::create(path, CreateOptions::new("example.com/taken"))
        .unwrap()
        .close()
        .unwrap();
    let before = fs::read_to_string(path.join("quipu.json")).unwrap();
    rotate_key(path, Duration::ZERO).unwrap();
    let after = fs::read_to_string(path.join("quipu.json")).unwrap();
    // The manifest from before, with the checkpoint from after.
    fs::write(path.join("quipu.json"), &before).unwrap();
    assert!(verify(path, &mut |_| {}).unwrap().fault.is_some());
    // A manifest that says another size.
    assert!(after.contains(r#""until": 1"#), "{after}");
    fs::write(path.join("quipu.json"), after.replace(r#""until": 1"#, r#""until": 0"#)).unwrap();
    let fault = verify(path, &mut |_| {}).unwrap().fault.unwrap();
    assert_eq!((&*fault.file, fault.seq), ("quipu.json", Some(1)), "{fault:?}");
    fs::write(path.join("quipu.json"), after).unwrap();
    assert_eq!(verify(path, &mut |_| {}).unwrap().fault, None);
}

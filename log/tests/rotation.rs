//! The key that checkpoints are signed with is replaced, and all that held before holds.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use quipu_format::{Actor, Body, Checkpoint, Kind, Scope, Signer};
use quipu_log::{CreateOptions, Draft, ErrorKind, Ledger, OpenOptions, backup, rotate_key, verify};
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

/// The next key is the only one that may sign, once an entry names it: no other takes its place.
#[test]
fn a_rotation_that_is_not_finished_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let ledger = Ledger::create(path, CreateOptions::new("example.com/twice")).unwrap();
    let next = Signer::new("example.com/twice", [3; 32]).unwrap().to_text();
    fs::write(path.join("signer.next"), &next).unwrap();
    let refused = rotate_key(path, Duration::ZERO).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    assert_eq!(fs::read(path.join("signer.next")).unwrap(), next.as_bytes());
    ledger.close().unwrap();
    rotate_key(path, Duration::ZERO).unwrap();
    assert_eq!(verify(path, &mut |_| {}).unwrap().fault, None);
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

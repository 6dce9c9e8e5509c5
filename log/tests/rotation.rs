//! The key that checkpoints are signed with is replaced, and all that held before holds.

use std::{fs, path::Path, time::Duration};

use quipu_format::{Actor, Body, Checkpoint, Kind, Scope};
use quipu_log::{CreateOptions, Draft, ErrorKind, Ledger, OpenOptions, backup, rotate_key, verify};

fn append(path: &Path) -> Ledger {
    let ledger = Ledger::open(path, OpenOptions::default()).unwrap();
    let body = Body::new(None, r#"{"text":"x"}"#).unwrap();
    let actor = Actor::new("agent:a").unwrap();
    let scope = Scope::new("a").unwrap();
    ledger
        .append_blocking(Draft::new(scope, actor, Kind::new("note").unwrap(), body))
        .unwrap();
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

#[test]
fn while_another_writes_nothing_is_rotated() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::create(folder.path(), CreateOptions::new("example.com/busy")).unwrap();
    let error = rotate_key(folder.path(), Duration::ZERO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    ledger.close().unwrap();
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

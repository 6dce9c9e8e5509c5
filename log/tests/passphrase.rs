//! A ledger whose key file is sealed under a passphrase.

use std::{fs, path::Path, time::Duration};

use quipu_format::{Actor, Body, Content, Kind, Scope};
use quipu_log::{
    CreateOptions, Draft, ErrorKind, Ledger, LedgerAt, OpenOptions, Passphrase, RestoreOptions, backup, is_sealed,
    plan_recovery, restore, rotate_key, set_passphrase, verify, verify_since,
};

fn draft(scope: &str) -> Draft {
    let body = Body::new(None, r#"{"text":"prefers CSV exports"}"#).unwrap();
    let (actor, kind) = (Actor::new("agent:a").unwrap(), Kind::new("memory.write").unwrap());
    Draft::new(Scope::new(scope).unwrap(), actor, kind, body)
}

fn passphrase() -> Passphrase {
    Passphrase::new("correct horse battery staple").unwrap()
}

fn options() -> OpenOptions {
    OpenOptions::default().passphrase(passphrase())
}

/// A ledger of three entries that is closed.
fn made(path: &Path) {
    let ledger = Ledger::create(path, CreateOptions::new("example.com/sealed").passphrase(passphrase())).unwrap();
    for scope in ["a", "b"] {
        ledger.append_blocking(draft(scope)).unwrap();
    }
    ledger.close().unwrap();
}

#[test]
fn a_ledger_opens_with_its_passphrase_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    made(&path);
    assert!(is_sealed(&path).unwrap());
    let keys = fs::read(path.join("keys")).unwrap();
    assert_eq!(
        keys.split(|&byte| byte == b'\n').count(),
        5,
        "a header, three scopes, nothing"
    );
    let wrong = Passphrase::new("correct horse").unwrap();
    for other in [None, Some(&wrong)] {
        let at = LedgerAt::new(&path).passphrase(other);
        let given = other.map_or_else(OpenOptions::default, |other| {
            OpenOptions::default().passphrase(other.clone())
        });
        let refusals = [
            Ledger::open(&path, given.clone()).map(drop).unwrap_err(),
            Ledger::open_shared(&path, given).map(drop).unwrap_err(),
            Ledger::open_read_only(at).map(drop).unwrap_err(),
            plan_recovery(at).map(drop).unwrap_err(),
            rotate_key(at, Duration::ZERO).map(drop).unwrap_err(),
            set_passphrase(at, None, Duration::ZERO).unwrap_err(),
        ];
        for refusal in refusals {
            assert_eq!(refusal.kind(), ErrorKind::Sealed, "{refusal}");
        }
    }
    assert_eq!(fs::read(path.join("keys")).unwrap(), keys);
    let ledger = Ledger::open(&path, options()).unwrap();
    ledger.append_blocking(draft("c")).unwrap();
    let right = passphrase();
    let at = LedgerAt::new(&path).passphrase(Some(&right));
    let reader = Ledger::open_read_only(at).unwrap();
    // What is appended through another process's handle is served by both.
    let client = Ledger::open_shared(&path, options()).unwrap();
    client.append_blocking(draft("d")).unwrap();
    reader.refresh().unwrap();
    ledger.close().unwrap();
    client.append_blocking(draft("e")).unwrap();
    client.close().unwrap();
    reader.refresh().unwrap();
    assert_eq!(reader.head(), 6);
    for seq in 1..6 {
        let event = reader.event(seq).unwrap().unwrap();
        assert!(matches!(event.content, Content::Open(_)), "{event:?}");
    }
}

#[test]
fn verifying_without_the_passphrase_is_as_without_keys() {
    let folder = tempfile::tempdir().unwrap();
    made(folder.path());
    let note = fs::read(folder.path().join("checkpoint")).unwrap();
    let right = passphrase();
    let at = LedgerAt::new(folder.path()).passphrase(Some(&right));
    for verdict in [verify(at, &mut |_| {}), verify_since(at, &note, &mut |_| {})] {
        let verdict = verdict.unwrap();
        assert_eq!((verdict.fault, verdict.intact, verdict.sealed), (None, 3, 0));
    }
    let verdict = verify(folder.path(), &mut |_| {}).unwrap();
    assert_eq!((verdict.fault, verdict.intact, verdict.sealed), (None, 0, 3));
    assert!(
        verdict.notes.iter().any(|note| note.contains("passphrase")),
        "{:?}",
        verdict.notes
    );
    let wrong = Passphrase::new("x").unwrap();
    let refused = verify(LedgerAt::new(folder.path()).passphrase(Some(&wrong)), &mut |_| {});
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Sealed);
}

#[test]
fn a_passphrase_is_set_changed_and_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let ledger = Ledger::create(&path, CreateOptions::new("example.com/plain")).unwrap();
    ledger.append_blocking(draft("a")).unwrap();
    let first = passphrase();
    let busy = set_passphrase(&path, Some(&first), Duration::ZERO).unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Locked);
    ledger.close().unwrap();
    let second = Passphrase::new("another one").unwrap();
    let mut now = None;
    for new in [Some(&first), Some(&second), None] {
        let at = LedgerAt::new(&path).passphrase(now);
        set_passphrase(at, new, Duration::ZERO).unwrap();
        assert_eq!(is_sealed(&path).unwrap(), new.is_some());
        if now.is_some() && new.is_some() {
            assert_eq!(Ledger::open_read_only(at).err().unwrap().kind(), ErrorKind::Sealed);
        }
        let at = LedgerAt::new(&path).passphrase(new);
        let reader = Ledger::open_read_only(at).unwrap();
        assert!(matches!(reader.event(1).unwrap().unwrap().content, Content::Open(_)));
        assert_eq!(verify(at, &mut |_| {}).unwrap().fault, None);
        assert!(!path.join("keys.new").exists());
        now = new;
    }
}

#[test]
fn a_backup_with_keys_stays_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let [path, copy, again, fork] = ["ledger", "copy", "again", "fork"].map(|name| folder.path().join(name));
    made(&path);
    let right = passphrase();
    let without = backup(&path, &copy, true, &mut |_| {}).unwrap_err();
    assert_eq!(without.kind(), ErrorKind::Sealed);
    let summary = backup(LedgerAt::new(&path).passphrase(Some(&right)), &copy, true, &mut |_| {}).unwrap();
    assert!(summary.with_keys && is_sealed(&copy).unwrap());
    let mut options = RestoreOptions::default();
    assert_eq!(
        restore(&copy, &again, &options, &mut |_| {}).unwrap_err().kind(),
        ErrorKind::Sealed
    );
    options.passphrase = Some(passphrase());
    restore(&copy, &again, &options, &mut |_| {}).unwrap();
    options.fork = Some("example.com/fork".into());
    restore(&copy, &fork, &options, &mut |_| {}).unwrap();
    for path in [&again, &fork] {
        assert!(is_sealed(path).unwrap());
        let verdict = verify(LedgerAt::new(path).passphrase(Some(&right)), &mut |_| {}).unwrap();
        assert_eq!((verdict.fault, verdict.sealed), (None, 0));
    }
}

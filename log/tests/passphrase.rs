//! A ledger whose key file is sealed under a passphrase.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

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

fn signer(path: &Path) -> String {
    fs::read_to_string(path.join("signer")).unwrap()
}

/// Copies a ledger's files, without folders in folders in folders.
fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copied(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn the_signer_is_sealed_as_the_key_file_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let plain = Ledger::create(&path, CreateOptions::new("example.com/sealed")).unwrap();
    let key = plain.reader().verifier_key().to_string();
    plain.close().unwrap();
    let clear = signer(&path);
    assert!(clear.starts_with("PRIVATE+KEY+"), "{clear}");
    // The secret is base64, and may have a plus in it.
    let secret = clear.splitn(5, '+').nth(4).unwrap().trim_end();
    assert!(secret.len() > 40, "{}", secret.len());
    let (right, other) = (passphrase(), Passphrase::new("another one").unwrap());
    set_passphrase(&path, Some(&right), Duration::ZERO).unwrap();
    let sealed = signer(&path);
    assert!(
        sealed.starts_with(&format!("quipu-signer 1\t{key}\t")) && !sealed.contains(secret),
        "{sealed}"
    );
    assert_eq!(
        fs::metadata(path.join("signer")).unwrap().permissions().mode() & 0o777,
        0o600
    );
    Ledger::open(&path, options())
        .unwrap()
        .append_blocking(draft("a"))
        .unwrap();

    // One that an earlier release left in clear works, and is sealed.
    fs::write(path.join("signer"), &clear).unwrap();
    Ledger::open(&path, options())
        .unwrap()
        .append_blocking(draft("a"))
        .unwrap();
    assert!(!signer(&path).contains(secret) && !path.join("signer.next").exists());

    // The key is rotated under the passphrase, and changing and taking that away changes the file.
    let at = LedgerAt::new(&path).passphrase(Some(&right));
    let rotated = rotate_key(at, Duration::ZERO).unwrap().to_string();
    assert!(signer(&path).starts_with(&format!("quipu-signer 1\t{rotated}\t")));
    let before = signer(&path);
    set_passphrase(at, Some(&other), Duration::ZERO).unwrap();
    assert_ne!(signer(&path), before);
    let at = LedgerAt::new(&path).passphrase(Some(&other));
    set_passphrase(at, None, Duration::ZERO).unwrap();
    assert!(signer(&path).starts_with("PRIVATE+KEY+"));
    Ledger::open(&path, OpenOptions::default()).unwrap();
    assert_eq!(verify(&path, &mut |_| {}).unwrap().fault, None);
}

/// Each state that a crash leaves of a change: the signer beside it is written, the key file is, the names are exchanged.
#[test]
fn a_change_of_passphrase_that_was_broken_off_leaves_one_that_opens_both_files() {
    let folder = tempfile::tempdir().unwrap();
    let other = Passphrase::new("another one").unwrap();
    let passphrases = [None, Some(passphrase()), Some(other)];
    for (case, [old, new]) in [[0, 1], [1, 2], [2, 0]].into_iter().enumerate() {
        let (old, new) = (passphrases[old].as_ref(), passphrases[new].as_ref());
        let [before, after] = ["before", "after"].map(|name| folder.path().join(format!("{name}{case}")));
        let mut options = CreateOptions::new("example.com/crashed");
        if let Some(old) = old {
            options = options.passphrase(old.clone());
        }
        let ledger = Ledger::create(&before, options).unwrap();
        ledger.append_blocking(draft("a")).unwrap();
        ledger.close().unwrap();
        copied(&before, &after);
        set_passphrase(LedgerAt::new(&after).passphrase(old), new, Duration::ZERO).unwrap();
        // Which of keys, signer and signer.next is of after, and which passphrase opens.
        for (state, keys, signer, next, opens) in [
            ("beside", &before, &before, &after, old),
            ("keys", &after, &before, &after, new),
            ("exchanged", &after, &after, &before, new),
        ] {
            let path = folder.path().join(format!("{state}{case}"));
            copied(&after, &path);
            fs::copy(keys.join("keys"), path.join("keys")).unwrap();
            fs::copy(signer.join("signer"), path.join("signer")).unwrap();
            fs::copy(next.join("signer"), path.join("signer.next")).unwrap();
            let mut options = OpenOptions::default();
            if let Some(opens) = opens {
                options = options.passphrase(opens.clone());
            }
            let ledger = Ledger::open(&path, options).unwrap_or_else(|e| panic!("{state}, case {case}: {e}"));
            ledger.append_proved_blocking(draft("b")).unwrap();
            ledger.close().unwrap();
            assert!(!path.join("signer.next").exists());
            let sealed = self::signer(&path).starts_with("quipu-signer 1");
            assert_eq!(sealed, opens.is_some(), "{state}, case {case}");
            let verdict = verify(LedgerAt::new(&path).passphrase(opens), &mut |_| {}).unwrap();
            assert_eq!((verdict.fault, verdict.intact), (None, 3), "{state}, case {case}");
        }
    }
}

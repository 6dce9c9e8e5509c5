use super::*;

const ORIGIN: &str = "example.com/test";

fn scope(name: &str) -> Scope {
    Scope::new(name).unwrap()
}

fn made() -> (tempfile::TempDir, Folder, KeyFile, Keys) {
    let temporary = tempfile::tempdir().unwrap();
    let folder = Folder::open(temporary.path()).unwrap();
    let mut keys = Keys::new(ORIGIN, [7; 32]);
    let mut file = KeyFile::create(&folder, &keys).unwrap();
    for name in ["a", "b"] {
        let tree = KeyTree::new([name.as_bytes()[0]; 32]);
        file.add(&[(scope(name), tree.clone())]).unwrap();
        keys.trees.insert(scope(name), tree);
    }
    (temporary, folder, file, keys)
}

fn same(a: &Keys, b: &Keys) -> bool {
    let secret = |keys: &Keys, nth| ["a", "b"].map(|name| keys.secret_of(&scope(name), nth).map(|s| (s.salt, s.key)));
    (a.generation, a.applied, *a.secret) == (b.generation, b.applied, *b.secret)
        && (0..20).all(|nth| secret(a, nth) == secret(b, nth))
}

#[test]
fn what_is_added_is_read_back() {
    let (_temporary, folder, _, keys) = made();
    assert!(same(&Keys::read(&folder, ORIGIN).unwrap(), &keys));
    assert!(same(&KeyFile::open(&folder, ORIGIN).unwrap().1, &keys));
}

#[test]
fn a_key_file_of_another_ledger_is_refused() {
    let (_temporary, folder, ..) = made();
    assert_eq!(
        Keys::read(&folder, "example.com/other").err().unwrap().kind(),
        ErrorKind::Tampered
    );
}

/// A crash while a record is added leaves any part of it; the next open cuts it off and goes on.
#[test]
fn a_record_that_was_not_finished_is_cut_off() {
    let mut record = Zeroizing::new(String::new());
    push_scope(&mut record, &scope("c"), &KeyTree::new([9; 32]));
    for cut in 1..record.len() {
        let (temporary, folder, file, keys) = made();
        let path = temporary.path().join(FILE);
        let bytes = std::fs::read(&path).unwrap();
        drop(file);
        let torn = &record.as_bytes()[..cut];
        std::fs::write(&path, [&bytes, torn].concat()).unwrap();
        assert!(same(&Keys::read(&folder, ORIGIN).unwrap(), &keys));
        let (mut file, opened) = KeyFile::open(&folder, ORIGIN).unwrap();
        assert!(same(&opened, &keys));
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        file.add(&[(scope("d"), KeyTree::new([1; 32]))]).unwrap();
        assert_eq!(Keys::read(&folder, ORIGIN).unwrap().trees.len(), 3);
    }
}

/// Damage in the header is refused. A damaged record is like one that was being added, and so is all behind it:
/// whether an entry rests on it after all is checked against the log, before anything is cut off.
#[test]
fn damage_loses_records_but_never_changes_one() {
    let (temporary, folder, file, keys) = made();
    drop(file);
    let path = temporary.path().join(FILE);
    let bytes = std::fs::read(&path).unwrap();
    let header = bytes.iter().position(|&b| b == b'\n').unwrap();
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 0x20;
        std::fs::write(&path, &bad).unwrap();
        match Keys::read(&folder, ORIGIN) {
            Ok(read) => {
                assert!(at > header && read.trees.len() < 2, "byte {at}");
                assert!(read.trees.keys().all(|scope| keys.trees.contains_key(scope)));
            }
            Err(e) => assert!(at <= header, "byte {at}: {e}"),
        }
    }
}

/// Several scopes of one commit are added in one write, whose pages may reach the disk in any order.
#[test]
fn a_write_of_many_records_that_lost_its_beginning_is_cut_off() {
    let (temporary, folder, file, keys) = made();
    drop(file);
    let path = temporary.path().join(FILE);
    let mut bytes = std::fs::read(&path).unwrap();
    let whole = bytes.clone();
    let mut text = Zeroizing::new(String::new());
    for name in ["c", "d", "e"] {
        push_scope(&mut text, &scope(name), &KeyTree::new([9; 32]));
    }
    bytes.extend(std::iter::repeat_n(0, 70));
    bytes.extend_from_slice(&text.as_bytes()[70..]);
    std::fs::write(&path, &bytes).unwrap();
    let (_, opened) = KeyFile::open(&folder, ORIGIN).unwrap();
    assert!(same(&opened, &keys));
    assert_eq!(std::fs::read(&path).unwrap(), whole);
}

#[test]
fn keys_that_others_may_read_are_refused() {
    use std::os::unix::fs::PermissionsExt;
    let (temporary, folder, ..) = made();
    let path = temporary.path().join(FILE);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(check_mode(&folder, FILE).err().unwrap().kind(), ErrorKind::Invalid);
}

/// An erasure: each step of it done and the next one not, then opened again.
#[test]
fn after_a_crash_in_an_erasure_the_higher_whole_generation_stays() {
    let erased = |keys: &Keys| {
        let mut erased = Keys::new(ORIGIN, *keys.secret);
        (erased.generation, erased.applied) = (keys.generation + 1, 3);
        erased.trees = keys.trees.clone();
        erased.trees.get_mut(&scope("a")).unwrap().puncture(0..=9).unwrap();
        erased
    };
    // The new file was being written: it is not whole, and the old one stays.
    let (temporary, folder, _, keys) = made();
    let text = erased(&keys).to_text();
    for cut in [0, 1, 40, text.len() - 1] {
        std::fs::write(temporary.path().join(FRESH), &text.as_bytes()[..cut]).unwrap();
        let (_, opened) = KeyFile::open(&folder, ORIGIN).unwrap();
        assert!(same(&opened, &keys), "cut at {cut}");
        assert!(!temporary.path().join(FRESH).exists());
    }
    // It is whole and synced, and the names are not exchanged: the erasure is finished.
    std::fs::write(temporary.path().join(FRESH), text.as_bytes()).unwrap();
    std::fs::set_permissions(
        temporary.path().join(FRESH),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    let (_, opened) = KeyFile::open(&folder, ORIGIN).unwrap();
    assert!(same(&opened, &erased(&keys)) && opened.secret_of(&scope("a"), 0).is_none());
    assert!(!temporary.path().join(FRESH).exists());
    // The names are exchanged, and the old one lies under the new name: it is wiped.
    let (temporary, folder, _, keys) = made();
    std::fs::write(temporary.path().join(FRESH), keys.to_text().as_bytes()).unwrap();
    std::fs::write(temporary.path().join(FILE), erased(&keys).to_text().as_bytes()).unwrap();
    let (_, opened) = KeyFile::open(&folder, ORIGIN).unwrap();
    assert!(same(&opened, &erased(&keys)));
    assert!(!temporary.path().join(FRESH).exists());
}

#[test]
fn replacing_destroys_what_was_erased() {
    let (temporary, folder, _, mut keys) = made();
    keys.generation += 1;
    keys.trees.get_mut(&scope("a")).unwrap().puncture(4..=4).unwrap();
    let mut file = KeyFile::replace(&folder, &keys).unwrap();
    file.add(&[(scope("c"), KeyTree::new([3; 32]))]).unwrap();
    let read = Keys::read(&folder, ORIGIN).unwrap();
    assert!(read.secret_of(&scope("a"), 4).is_none() && read.secret_of(&scope("a"), 5).is_some());
    assert_eq!(read.trees.len(), 3);
    assert!(!temporary.path().join(FRESH).exists());
}

/// Many changed bytes would still be a name, a number or a secret: without its checksum a record would be believed.
#[test]
fn a_changed_byte_of_what_the_header_counts_is_damage() {
    let (temporary, folder, _, mut keys) = made();
    keys.generation += 1;
    KeyFile::replace(&folder, &keys).unwrap();
    let path = temporary.path().join(FILE);
    let good = std::fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&path, bad).unwrap();
        let refused = Keys::read(&folder, ORIGIN).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::Corrupt, "byte {at}: {refused}");
    }
}

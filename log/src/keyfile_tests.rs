use quipu_format::KeyCost;

use super::*;
use crate::Passphrase;

const ORIGIN: &str = "example.com/test";

/// What a key file is like: its secrets in clear, or sealed. Every row of the table holds for both.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Clear,
    Sealed,
}

const KINDS: [Kind; 2] = [Kind::Clear, Kind::Sealed];

impl Kind {
    fn passphrase(self) -> Option<Passphrase> {
        (self == Self::Sealed).then(|| passphrase("correct horse"))
    }
}

/// One that costs next to nothing to try.
fn passphrase(text: &str) -> Passphrase {
    Passphrase::with_cost(text.into(), KeyCost::new(8, 1, 1).unwrap()).unwrap()
}

fn scope(name: &str) -> Scope {
    Scope::new(name).unwrap()
}

fn made(kind: Kind) -> (tempfile::TempDir, Folder, KeyFile, Keys) {
    let temporary = tempfile::tempdir().unwrap();
    let folder = Folder::open(temporary.path())
        .unwrap()
        .with_passphrase(kind.passphrase());
    let mut keys = Keys::new(ORIGIN, [7; 32]);
    keys.lock = kind.passphrase().map(|passphrase| passphrase.fresh().unwrap());
    let mut file = KeyFile::create(&folder, &keys).unwrap();
    for name in ["a", "b"] {
        let tree = KeyTree::new([name.as_bytes()[0]; 32]);
        file.add(&[(scope(name), tree.clone())]).unwrap();
        keys.trees.insert(scope(name), tree);
    }
    (temporary, folder, file, keys)
}

/// The whole text of a file with these keys.
fn text(keys: &Keys) -> Zeroizing<String> {
    keys.to_text().unwrap().0
}

fn same(a: &Keys, b: &Keys) -> bool {
    let secret = |keys: &Keys, nth| ["a", "b"].map(|name| keys.secret_of(&scope(name), nth).map(|s| (s.salt, s.key)));
    (a.generation, a.applied, *a.secret) == (b.generation, b.applied, *b.secret)
        && (0..20).all(|nth| secret(a, nth) == secret(b, nth))
}

#[test]
fn what_is_added_is_read_back() {
    for kind in KINDS {
        let (_temporary, folder, _, keys) = made(kind);
        assert!(same(&Keys::read(&folder, ORIGIN).unwrap(), &keys));
        assert!(same(&KeyFile::open(&folder, ORIGIN).unwrap().1, &keys));
    }
}

#[test]
fn a_key_file_of_another_ledger_is_refused() {
    for kind in KINDS {
        let (_temporary, folder, ..) = made(kind);
        assert_eq!(
            Keys::read(&folder, "example.com/other").err().unwrap().kind(),
            ErrorKind::Tampered
        );
    }
}

/// A crash while a record is added leaves any part of it; the next open cuts it off and goes on.
#[test]
fn a_record_that_was_not_finished_is_cut_off() {
    for kind in KINDS {
        let length = {
            let (temporary, _, mut file, _) = made(kind);
            let path = temporary.path().join(FILE);
            let before = std::fs::read(&path).unwrap().len();
            file.add(&[(scope("c"), KeyTree::new([9; 32]))]).unwrap();
            std::fs::read(&path).unwrap().len() - before
        };
        for cut in 1..length {
            let (temporary, folder, mut file, keys) = made(kind);
            let path = temporary.path().join(FILE);
            let bytes = std::fs::read(&path).unwrap();
            file.add(&[(scope("c"), KeyTree::new([9; 32]))]).unwrap();
            drop(file);
            let added = std::fs::read(&path).unwrap();
            std::fs::write(&path, &added[..bytes.len() + cut]).unwrap();
            assert!(same(&Keys::read(&folder, ORIGIN).unwrap(), &keys));
            let (mut file, opened) = KeyFile::open(&folder, ORIGIN).unwrap();
            assert!(same(&opened, &keys));
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
            file.add(&[(scope("d"), KeyTree::new([1; 32]))]).unwrap();
            assert_eq!(Keys::read(&folder, ORIGIN).unwrap().trees.len(), 3);
        }
    }
}

/// Damage in the header is refused. A damaged record is like one that was being added, and so is all behind it:
/// whether an entry rests on it after all is checked against the log, before anything is cut off.
#[test]
fn damage_loses_records_but_never_changes_one() {
    for kind in KINDS {
        let (temporary, folder, file, keys) = made(kind);
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
}

/// Several scopes of one commit are added in one write, whose pages may reach the disk in any order.
#[test]
fn a_write_of_many_records_that_lost_its_beginning_is_cut_off() {
    for kind in KINDS {
        let (temporary, folder, mut file, keys) = made(kind);
        let path = temporary.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        let fresh = ["c", "d", "e"].map(|name| (scope(name), KeyTree::new([9; 32])));
        file.add(&fresh).unwrap();
        drop(file);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[whole.len()..whole.len() + 50].fill(0);
        std::fs::write(&path, &bytes).unwrap();
        let (_, opened) = KeyFile::open(&folder, ORIGIN).unwrap();
        assert!(same(&opened, &keys));
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }
}

#[test]
fn keys_that_others_may_read_are_refused() {
    use std::os::unix::fs::PermissionsExt;
    for kind in KINDS {
        let (temporary, folder, ..) = made(kind);
        let path = temporary.path().join(FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(check_mode(&folder, FILE).err().unwrap().kind(), ErrorKind::Invalid);
    }
}

/// An erasure: each step of it done and the next one not, then opened again.
#[test]
fn after_a_crash_in_an_erasure_the_higher_whole_generation_stays() {
    for kind in KINDS {
        let erased = |keys: &Keys| {
            let mut erased = Keys::new(ORIGIN, *keys.secret);
            (erased.generation, erased.applied) = (keys.generation + 1, 3);
            erased.trees = keys.trees.clone();
            erased.lock = keys.lock.clone();
            erased.trees.get_mut(&scope("a")).unwrap().puncture(0..=9).unwrap();
            erased
        };
        // The new file was being written: it is not whole, and the old one stays.
        let (temporary, folder, _, keys) = made(kind);
        let whole = text(&erased(&keys));
        for cut in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
            std::fs::write(temporary.path().join(FRESH), &whole.as_bytes()[..cut]).unwrap();
            let (_, opened) = KeyFile::open(&folder, ORIGIN).unwrap();
            assert!(same(&opened, &keys), "cut at {cut}");
            assert!(!temporary.path().join(FRESH).exists());
        }
        // It is whole and synced, and the names are not exchanged: the erasure is finished.
        std::fs::write(temporary.path().join(FRESH), whole.as_bytes()).unwrap();
        std::fs::set_permissions(
            temporary.path().join(FRESH),
            std::os::unix::fs::PermissionsExt::from_mode(0o600),
        )
        .unwrap();
        let (_, opened) = KeyFile::open(&folder, ORIGIN).unwrap();
        assert!(same(&opened, &erased(&keys)) && opened.secret_of(&scope("a"), 0).is_none());
        assert!(!temporary.path().join(FRESH).exists());
        // The names are exchanged, and the old one lies under the new name: it is wiped.
        let (temporary, folder, _, keys) = made(kind);
        std::fs::write(temporary.path().join(FRESH), text(&keys).as_bytes()).unwrap();
        std::fs::write(temporary.path().join(FILE), text(&erased(&keys)).as_bytes()).unwrap();
        let (_, opened) = KeyFile::open(&folder, ORIGIN).unwrap();
        assert!(same(&opened, &erased(&keys)));
        assert!(!temporary.path().join(FRESH).exists());
    }
}

#[test]
fn replacing_destroys_what_was_erased() {
    for kind in KINDS {
        let (temporary, folder, _, mut keys) = made(kind);
        keys.generation += 1;
        keys.trees.get_mut(&scope("a")).unwrap().puncture(4..=4).unwrap();
        let mut file = KeyFile::replace(&folder, &keys).unwrap();
        file.add(&[(scope("c"), KeyTree::new([3; 32]))]).unwrap();
        let read = Keys::read(&folder, ORIGIN).unwrap();
        assert!(read.secret_of(&scope("a"), 4).is_none() && read.secret_of(&scope("a"), 5).is_some());
        assert_eq!(read.trees.len(), 3);
        assert!(!temporary.path().join(FRESH).exists());
    }
}

/// Many changed bytes would still be a name, a number or a secret: without its checksum a record would be believed.
#[test]
fn a_changed_byte_of_what_the_header_counts_is_damage() {
    for kind in KINDS {
        let (temporary, folder, _, mut keys) = made(kind);
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
}

/// What lies in a sealed file tells no secret: neither as its bytes nor as the text that a file in clear has.
#[test]
fn no_secret_is_in_a_sealed_file() {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    let found = |kind| {
        let (temporary, folder, _, mut keys) = made(kind);
        keys.trees.get_mut(&scope("a")).unwrap().puncture(4..=4).unwrap();
        let nodes = keys.trees.values().flat_map(KeyTree::nodes).map(|node| *node.secret());
        let secrets: Vec<_> = nodes.chain([*keys.secret]).collect();
        keys.generation += 1;
        KeyFile::replace(&folder, &keys).unwrap();
        let bytes = std::fs::read(temporary.path().join(FILE)).unwrap();
        let is_there = |secret: &[u8; 32]| {
            let text = BASE64_URL_SAFE_NO_PAD.encode(secret);
            [&secret[..], text.as_bytes()]
                .iter()
                .any(|text| memchr::memmem::find(&bytes, text).is_some())
        };
        (secrets.iter().filter(|secret| is_there(secret)).count(), secrets.len())
    };
    let (found_clear, all) = found(Kind::Clear);
    assert!(all == 34 && found_clear == all, "{found_clear} of {all}");
    assert_eq!(found(Kind::Sealed), (0, all));
}

#[test]
fn without_its_passphrase_a_file_is_refused_and_stays() {
    let (temporary, folder, file, keys) = made(Kind::Sealed);
    drop(file);
    let path = temporary.path().join(FILE);
    let bytes = std::fs::read(&path).unwrap();
    for other in [None, Some(passphrase("correct horst"))] {
        let folder = folder.clone().with_passphrase(other);
        assert_eq!(Keys::read(&folder, ORIGIN).err().unwrap().kind(), ErrorKind::Sealed);
        assert_eq!(KeyFile::open(&folder, ORIGIN).err().unwrap().kind(), ErrorKind::Sealed);
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
    assert!(same(&Keys::read(&folder, ORIGIN).unwrap(), &keys));
    assert!(is_sealed(temporary.path()).unwrap());
    // One that is not needed does no harm.
    let (clear, folder, _, keys) = made(Kind::Clear);
    let folder = folder.with_passphrase(Some(passphrase("x")));
    assert!(same(&Keys::read(&folder, ORIGIN).unwrap(), &keys));
    assert!(!is_sealed(clear.path()).unwrap());
}

/// A line with a checksum that fits: what only a seal can find.
fn with_line(bytes: &[u8], number: usize, change: impl Fn(&str) -> String) -> Vec<u8> {
    let text = std::str::from_utf8(bytes).unwrap();
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let changed = change(&lines[number][..lines[number].len() - 8]);
    let crc = quipu_format::checksum(changed.as_bytes()).map(char::from);
    lines[number] = changed + &crc.iter().collect::<String>();
    lines.join("\n").into_bytes().into_iter().chain(*b"\n").collect()
}

/// Whoever can write the file can make checksums fit. They change nothing that is believed.
#[test]
fn a_sealed_header_and_records_are_bound_to_their_place() {
    let (temporary, folder, _, mut keys) = made(Kind::Sealed);
    keys.generation += 1;
    keys.applied = 5;
    KeyFile::replace(&folder, &keys).unwrap();
    let path = temporary.path().join(FILE);
    let good = std::fs::read(&path).unwrap();
    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Keys::read(&folder, ORIGIN).err().unwrap().kind()
    };
    // Generation, applied, and the number of records: an erasure that was carried out would be forgotten.
    for (field, value) in [(2, "1"), (3, "4"), (4, "1")] {
        let changed = with_line(&good, 0, |line| {
            let mut fields: Vec<_> = line.split('\t').collect();
            fields[field] = value;
            fields.join("\t")
        });
        assert_eq!(refused(&changed), ErrorKind::Sealed, "field {field}");
    }
    // Costs past the limits are not paid.
    for (field, value) in [(5, "1048577"), (5, "4294967295"), (6, "17"), (7, "17")] {
        let changed = with_line(&good, 0, |line| {
            let mut fields: Vec<_> = line.split('\t').collect();
            fields[field] = value;
            fields.join("\t")
        });
        assert_eq!(refused(&changed), ErrorKind::Corrupt, "field {field}");
    }
    // Two records change places.
    let text = String::from_utf8(good.clone()).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let swapped = [lines[0], lines[2], lines[1], ""].join("\n");
    assert_eq!(refused(swapped.as_bytes()), ErrorKind::Corrupt);
    // One of an earlier generation comes in the place of the same number.
    keys.generation += 1;
    keys.trees.get_mut(&scope("a")).unwrap().puncture(4..=4).unwrap();
    KeyFile::replace(&folder, &keys).unwrap();
    let newer = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
    let newer: Vec<_> = newer.lines().collect();
    let mixed = [newer[0], lines[1], newer[2], ""].join("\n");
    assert_eq!(refused(mixed.as_bytes()), ErrorKind::Corrupt);
}

/// Setting, changing and taking away a passphrase: cut at any byte of the new file, and between the steps after. One of the
/// two always opens it, and the secrets are the same.
#[test]
fn a_crash_in_a_change_of_the_passphrase_leaves_one_of_the_two() {
    let (old, new) = (passphrase("old"), passphrase("new"));
    for (from, to) in [(None, Some(&new)), (Some(&old), Some(&new)), (Some(&old), None)] {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(temporary.path()).unwrap();
        let mut keys = Keys::new(ORIGIN, [7; 32]);
        keys.trees.insert(scope("a"), KeyTree::new([1; 32]));
        keys.lock = from.map(|from| from.fresh().unwrap());
        let before = text(&keys);
        keys.generation += 1;
        keys.lock = to.map(|to| to.fresh().unwrap());
        let after = text(&keys);
        let path = |name| temporary.path().join(name);
        let opens = |passphrase: Option<&Passphrase>| {
            let folder = folder.clone().with_passphrase(passphrase.cloned());
            KeyFile::open(&folder, ORIGIN).is_ok_and(|(_, opened)| {
                opened.secret_of(&scope("a"), 3).map(|s| s.key) == keys.secret_of(&scope("a"), 3).map(|s| s.key)
            })
        };
        for cut in 0..=after.len() {
            std::fs::write(path(FILE), &*before).unwrap();
            std::fs::write(path(FRESH), &after.as_bytes()[..cut]).unwrap();
            assert!(opens(from), "cut at {cut}");
            assert!(!path(FRESH).exists());
        }
        std::fs::write(path(FILE), &*after).unwrap();
        std::fs::write(path(FRESH), &*before).unwrap();
        assert!(opens(to) && !path(FRESH).exists());
        assert_eq!(std::fs::read(path(FILE)).unwrap(), after.as_bytes());
    }
}

//! What is read with keys that may have been rotated meanwhile.

use std::{cell::Cell, time::Duration};

use super::*;
use crate::{CreateOptions, Ledger, rotate_key};

/// Another thread had learned of the rotation in between, so that this one found nothing new and took the checkpoint
/// for a forged one.
#[test]
fn what_a_later_key_signed_is_read_whoever_learned_of_it_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let ledger = Ledger::create(path, CreateOptions::new("example.com/between")).unwrap();
    let folder = Folder::open(path).unwrap();
    let manifests = Manifests::new(Manifest::read(&folder).unwrap());
    let turns = Cell::new(0);
    let checkpoint = manifests.signed(&folder, |manifest| {
        turns.set(turns.get() + 1);
        if turns.get() < 3 {
            rotate_key(path, Duration::ZERO).unwrap();
        }
        if turns.get() == 1 {
            assert!(manifests.look(&folder).unwrap());
        }
        manifest
            .verifier_key
            .open(ledger.reader().checkpoint().unwrap().0.as_bytes())
    });
    assert_eq!((checkpoint.unwrap().size, turns.get()), (ledger.reader().head(), 3));
    assert_eq!(manifests.into_newest().verifier_key.earlier().len(), 2);
    // What none of the keys signed is told once.
    let manifests = Manifests::new(Manifest::read(&folder).unwrap());
    let refused = manifests.signed(&folder, |_| {
        turns.set(turns.get() + 1);
        Err::<(), _>(())
    });
    assert_eq!((refused, turns.get()), (Err(()), 4));
}

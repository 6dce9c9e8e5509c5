//! What must hold of an import, whatever its input.

use std::sync::LazyLock;

use quipu_format::Actor;
use quipu_log::{
    Ledger, LedgerReader, OpenOptions,
    import::{Format, Plan},
    verify,
};

use crate::frozen::{Folder, frozen};

/// Reads an input, and where it is good imports it twice: all of it comes in, once, and the ledger verifies.
pub fn import(format: Format, input: &[u8]) {
    static FOLDER: LazyLock<Folder> = LazyLock::new(|| Folder::new("import"));
    static FROZEN: LazyLock<(Folder, LedgerReader)> = LazyLock::new(|| {
        let folder = Folder::new("reader");
        folder.put(&frozen().files);
        let reader = Ledger::open_read_only(&folder.path).expect("it is good");
        (folder, reader)
    });
    // Most inputs are no good, and a reader that stays open tells so at once.
    let read = |reader: &LedgerReader| Plan::read(format, input, reader);
    let count = match read(&FROZEN.1) {
        Ok(plan) => plan.summary().events,
        Err(errors) => {
            assert!(!errors.is_empty(), "refused without a reason");
            assert!(errors.is_sorted_by_key(|error| error.line), "errors out of order");
            return;
        }
    };
    if count == 0 {
        return;
    }
    FOLDER.put(&frozen().files);
    let ledger = Ledger::open(&FOLDER.path, OpenOptions::default()).expect("it is good");
    let actor = Actor::new("tool:import").expect("it is one");
    let before = ledger.reader().head();
    let mut appended = 0;
    for appended_before in [None, Some(count)] {
        let plan = read(ledger.reader()).expect("it was good");
        match plan.apply(&ledger, &actor, &mut |_, _| {}) {
            Ok(done) => {
                assert_eq!(done.appended + done.already, count);
                assert!(appended_before.is_none() || done.appended == 0, "imported twice");
                appended += done.appended;
            }
            // One id with two contents; found when it is appended.
            Err(e) => {
                assert_eq!(e.kind(), quipu_log::ErrorKind::Conflict, "{e}");
                return;
            }
        }
    }
    let came = ledger.reader().events(before..u64::MAX);
    let came = came.filter(|event| event.as_ref().is_ok_and(|event| event.envelope.actor == actor));
    assert_eq!(came.count(), appended, "what came in is not what was there");
    ledger.close().expect("the disk is good");
    let verdict = verify(&FOLDER.path, &mut |_| {}).expect("it can be read");
    assert_eq!(verdict.fault, None);
}

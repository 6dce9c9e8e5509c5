//! Any one byte of a closed log changed, its fill included: verify fails.

mod ledgers;

use std::{
    fs::OpenOptions,
    os::unix::fs::FileExt,
    sync::atomic::{AtomicUsize, Ordering},
};

use ledgers::{TestLedger, draft};
use quipu_log::verify;

#[test]
fn any_one_byte_changed_fails_verification() {
    let test = TestLedger::create();
    let ledger = test.open();
    for i in 0..199 {
        ledger
            .append_blocking(draft(["a", "b", "c"][i % 3], &format!("note number {i}")))
            .unwrap();
    }
    ledger.close().unwrap();
    let control = test.verify();
    assert_eq!((control.fault, control.entries, control.intact), (None, 200, 200));

    // Each thread has a copy of its own.
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let length = std::fs::metadata(test.newest_segment()).unwrap().len() as usize;
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (test, next) = (&test, &next);
            scope.spawn(move || {
                let copy = test.path().with_file_name(format!("copy-{thread}"));
                copy_folder(test.path(), &copy);
                let segment = copy.join("log").join(test.newest_segment().file_name().unwrap());
                let file = OpenOptions::new().read(true).write(true).open(segment).unwrap();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= length {
                        break;
                    }
                    let mut byte = [0];
                    file.read_exact_at(&mut byte, at as u64).unwrap();
                    // Every bit is met at some byte.
                    file.write_all_at(&[byte[0] ^ (1 << (at % 8))], at as u64).unwrap();
                    let verdict = verify(&copy, &mut |_| {}).unwrap();
                    assert!(
                        verdict.fault.is_some(),
                        "byte {at} of {length} was changed and nobody noticed"
                    );
                    file.write_all_at(&byte, at as u64).unwrap();
                }
                assert_eq!(
                    verify(&copy, &mut |_| {}).unwrap().fault,
                    None,
                    "the copy is whole again"
                );
            });
        }
    });
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

//! Files that are derived from the log and never trusted: sidecars, `heads`, the tree's hashes. The first byte chooses
//! which, and whether its checksums are put right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quipu_fuzz::{check, frozen, mend};

const NAMES: [&str; 4] = [
    "log/00000000000000000000.idx",
    "log/00000000000000000082.idx",
    "heads",
    "tree/0",
];

fuzz_target!(|input: &[u8]| {
    let Some((&first, bytes)) = input.split_first() else {
        return;
    };
    let name = NAMES[usize::from(first & 3)];
    let mut bytes = bytes.to_vec();
    if first & 4 != 0 {
        mend(name, &mut bytes);
    }
    let mut files = frozen().files.clone();
    files.insert(name.into(), bytes);
    check(&files, false);
});

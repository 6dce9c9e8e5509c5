//! The key file, and the one that an erasure leaves beside it when it is cut off. The first byte chooses which, and
//! whether its checksums are put right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quipu_fuzz::{check, frozen, mend};

fuzz_target!(|input: &[u8]| {
    let Some((&first, bytes)) = input.split_first() else {
        return;
    };
    let name = if first & 1 == 0 { "keys" } else { "keys.new" };
    let mut bytes = bytes.to_vec();
    if first & 2 != 0 {
        mend(name, &mut bytes);
    }
    let mut files = frozen().files.clone();
    files.insert(name.into(), bytes);
    check(&files, false);
});

//! A whole ledger: the frozen one, with the damage that the input describes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quipu_fuzz::{check, edit, frozen};

fuzz_target!(|input: &[u8]| {
    let mut files = frozen().files.clone();
    let mended = edit(&mut files, input);
    check(&files, mended);
});

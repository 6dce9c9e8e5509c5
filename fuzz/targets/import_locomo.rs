//! Import, `Format::Locomo`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quipu_log::import::Format;

fuzz_target!(|input: &[u8]| quipu_fuzz::import(Format::Locomo, input));

//! An envelope: what parses is written in a way that parses to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quipu_format::Envelope;

fuzz_target!(|bytes: &[u8]| {
    let version = Envelope::version(bytes);
    let Ok(envelope) = Envelope::parse(bytes) else { return };
    assert_eq!(version, Some(1));
    // White space and other orders are read and not written, so it may only get shorter.
    let written = envelope.to_bytes().expect("it was small enough");
    assert!(Envelope::parse(&written).expect("it was written") == envelope);
});

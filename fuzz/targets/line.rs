//! A line of a segment: what parses is what encoding gives again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quipu_format::{Line, checksum, encode_line};

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // Past the checksum, too.
    check(&[bytes, &checksum(bytes)].concat());
});

fn check(bytes: &[u8]) {
    let Ok(line) = Line::parse(bytes) else { return };
    let Ok(sealed) = line.sealed_bytes() else { return };
    let mut again = Vec::new();
    encode_line(&mut again, line.envelope, &sealed, line.first, line.last);
    assert_eq!(again, [bytes, b"\n"].concat());
}

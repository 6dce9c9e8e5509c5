//! What SHA-256 is made of, where a digest is of so few bytes that its blocks are made by hand.

/// Bytes that are compressed at once (FIPS 180-4, 5.2.1).
pub(crate) const BYTES: usize = 64;
/// The byte behind a message's last (FIPS 180-4, 5.1.1).
pub(crate) const END: u8 = 0x80;
/// What a digest begins with (FIPS 180-4, 5.3.3).
pub(crate) const START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The digest that a state is.
pub(crate) fn put_words(words: &[u32; 8], bytes: &mut [u8]) {
    for (four, word) in bytes.chunks_exact_mut(4).zip(words) {
        four.copy_from_slice(&word.to_be_bytes());
    }
}

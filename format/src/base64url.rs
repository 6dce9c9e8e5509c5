//! base64url without padding (RFC 4648, section 5) of few bytes, which every envelope has.

/// The bytes of a text. None: it is not the one text of so many bytes.
pub(crate) fn decode<const BYTES: usize>(text: &[u8]) -> Option<[u8; BYTES]> {
    if text.len() != (BYTES * 4).div_ceil(3) {
        return None;
    }
    // All digits' values, one over the other: that of what is no digit shows.
    let mut seen = 0;
    let mut bits = |digits: &[u8]| {
        digits.iter().fold(0_u32, |bits, digit| {
            let value = VALUES[usize::from(*digit)];
            seen |= value;
            bits << 6 | u32::from(value)
        })
    };
    let mut bytes = [0; BYTES];
    let (fours, rest) = text.as_chunks::<4>();
    let (threes, last) = bytes.as_chunks_mut::<3>();
    for (three, four) in threes.iter_mut().zip(fours) {
        let [_, bytes @ ..] = bits(four).to_be_bytes();
        *three = bytes;
    }
    let spare = 6 * rest.len() - 8 * last.len();
    let word = bits(rest);
    if seen == NO_DIGIT || word & ((1 << spare) - 1) != 0 {
        return None;
    }
    let word = (word >> spare).to_be_bytes();
    last.copy_from_slice(&word[word.len() - last.len()..]);
    Some(bytes)
}

/// It has bits that no digit's value has.
const NO_DIGIT: u8 = 0xFF;

/// Value of each digit.
const VALUES: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < alphabet.len() {
        values[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    fn library<const BYTES: usize>(text: &[u8]) -> Option<[u8; BYTES]> {
        BASE64_URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
    }

    fn reads_alike(text: &[u8]) -> Result<(), TestCaseError> {
        prop_assert_eq!(decode::<32>(text), library(text));
        prop_assert_eq!(decode::<16>(text), library(text));
        prop_assert_eq!(decode::<3>(text), library(text));
        Ok(())
    }

    proptest! {
        #[test]
        fn it_reads_what_the_library_reads(
            bytes in prop_oneof![prop::collection::vec(any::<u8>(), 32), prop::collection::vec(any::<u8>(), 0..40)],
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        ) {
            let mut text = BASE64_URL_SAFE_NO_PAD.encode(&bytes).into_bytes();
            reads_alike(&text)?;
            for (at, byte) in changes {
                if !text.is_empty() {
                    let at = at.index(text.len());
                    text[at] = byte;
                    reads_alike(&text)?;
                }
            }
        }
    }

    #[test]
    fn every_byte_at_every_place_is_read_alike() {
        for length in [4, 22, 43] {
            let text = vec![b'Q'; length];
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut text = text.clone();
                    text[at] = byte;
                    reads_alike(&text).unwrap();
                }
            }
        }
    }
}

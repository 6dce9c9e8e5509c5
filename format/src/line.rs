use base64::{Engine, prelude::BASE64_STANDARD};
use base64_simd::STANDARD;

use crate::{Error, Result, canonical, limits, seal::TAG_BYTES};

/// Hexadecimal digits of the checksum.
const CRC_DIGITS: usize = 8;
/// Bytes of a sealed body's text, at most.
const SEALED_TEXT_BYTES: usize = (limits::BODY_BYTES + TAG_BYTES).div_ceil(3) * 4;

/// One line of a segment: `envelope TAB base64(sealed body) TAB first-last TAB crc32c LF`.
///
/// JSON strings hold no raw tab or line feed and base64 none at all, so nothing needs escaping. The checksum, CRC-32C in
/// 8 lower-case hexadecimal digits, covers all bytes of the line before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// The envelope's bytes, the leaf of the tree.
    pub envelope: &'a [u8],
    /// The sealed body, in padded standard base64.
    pub sealed: &'a [u8],
    /// First `seq` of the commit that wrote this line.
    pub first: u64,
    /// Last `seq` of that commit.
    pub last: u64,
}

impl<'a> Line<'a> {
    /// Reads a line without its LF and checks the checksum. Whether the envelope is one is for
    /// [`Envelope::parse`](crate::Envelope::parse), and the base64 for [`sealed_bytes`](Self::sealed_bytes).
    pub fn parse(line: &'a [u8]) -> Result<Self> {
        let refused = || Error::new("the line is not of the form envelope TAB body TAB first-last TAB checksum");
        let (covered, crc) = line.split_last_chunk::<CRC_DIGITS>().ok_or_else(refused)?;
        if *crc != checksum(covered) {
            return Err(Error::new("the line's checksum is not that of its bytes"));
        }
        let mut fields = covered;
        let mut field = || {
            let (field, rest) = fields.split_at_checked(memchr::memchr(b'\t', fields)?)?;
            fields = rest.get(1..)?;
            Some(field)
        };
        let (Some(envelope), Some(sealed), Some(commit)) = (field(), field(), field()) else {
            return Err(refused());
        };
        if !fields.is_empty() {
            return Err(refused());
        }
        if envelope.len() > limits::ENVELOPE_BYTES || sealed.len() > SEALED_TEXT_BYTES {
            return Err(Error::new(
                "the line's envelope or body is larger than an entry's can be",
            ));
        }
        let dash = commit.iter().position(|&byte| byte == b'-').ok_or_else(refused)?;
        let (first, last) = (
            commit.get(..dash).and_then(decimal),
            commit.get(dash + 1..).and_then(decimal),
        );
        match (first, last) {
            (Some(first), Some(last)) if first <= last => Ok(Self {
                envelope,
                sealed,
                first,
                last,
            }),
            _ => Err(Error::new("the line's commit is not a range of seq")),
        }
    }

    /// Bytes of the entry, as [`counted_bytes`] counts them.
    pub fn counted_bytes(&self) -> usize {
        self.envelope.len() + 1 + self.sealed.len()
    }

    /// The sealed body: ciphertext ‖ tag.
    pub fn sealed_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.sealed_into(&mut bytes)?;
        Ok(bytes)
    }

    /// The same, in place of what `bytes` held.
    pub fn sealed_into(&self, bytes: &mut Vec<u8>) -> Result<()> {
        bytes.clear();
        if STANDARD.decode_append(self.sealed, bytes).is_ok() {
            return Ok(());
        }
        // The slower one decides, and says where.
        bytes.clear();
        BASE64_STANDARD
            .decode_vec(self.sealed, bytes)
            .map_err(|e| Error::new(format!("the line's body is not base64: {e}")))
    }
}

/// Appends a line to `out`, LF included: the envelope's bytes, the sealed body, and the first and last `seq` of the
/// commit that it is written in.
pub fn encode_line(out: &mut Vec<u8>, envelope: &[u8], sealed: &[u8], first: u64, last: u64) {
    out.reserve(line_bytes(envelope.len(), sealed.len()));
    let start = out.len();
    out.extend_from_slice(envelope);
    push_sealed(out, sealed);
    end_line(out, start, first, last);
}

/// Appends TAB and the sealed body to the envelope's bytes: the part of a line that does not depend on its commit.
pub fn push_sealed(out: &mut Vec<u8>, sealed: &[u8]) {
    out.push(b'\t');
    STANDARD.encode_append(sealed, out);
}

/// Ends the line that begins at `start` of `out`, where its envelope and [sealed body](push_sealed) stand already.
pub fn end_line(out: &mut Vec<u8>, start: usize, first: u64, last: u64) {
    out.push(b'\t');
    push_decimal(out, first);
    out.push(b'-');
    push_decimal(out, last);
    out.push(b'\t');
    let crc = checksum(&out[start..]);
    out.extend_from_slice(&crc);
    out.push(b'\n');
}

/// Appends a number as Rust prints it.
pub(crate) fn push_decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] += (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Bytes of an entry: its envelope, TAB and the sealed body's text, the part of its line that does not depend on its commit.
/// Quotas are counted in them.
pub fn counted_bytes(envelope_len: usize, sealed_len: usize) -> usize {
    envelope_len + 1 + base64_bytes(sealed_len)
}

/// Bytes that [`encode_line`] appends at most.
pub fn line_bytes(envelope_len: usize, sealed_len: usize) -> usize {
    const NUMBER: usize = 20;
    counted_bytes(envelope_len, sealed_len) + 1 + NUMBER + 1 + NUMBER + 1 + CRC_DIGITS + 1
}

fn base64_bytes(len: usize) -> usize {
    len.div_ceil(3) * 4
}

/// CRC-32C (Castagnoli) of `bytes` in 8 lower-case hexadecimal digits, as lines of segments and of the key file end with.
pub fn checksum(bytes: &[u8]) -> [u8; CRC_DIGITS] {
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes);
    std::array::from_fn(|i| b"0123456789abcdef"[(crc >> (28 - 4 * i)) as usize & 15])
}

/// A number as Rust prints it, at most the highest `seq`.
fn decimal(text: &[u8]) -> Option<u64> {
    let is_one = matches!(text, [b'0'] | [b'1'..=b'9', ..]) && text.len() <= 16 && text.iter().all(u8::is_ascii_digit);
    let number = is_one.then(|| canonical::decimal(text))?;
    (number <= limits::LAST_SEQ).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(envelope: &[u8], sealed: &[u8], first: u64, last: u64) -> Vec<u8> {
        let mut out = b"what is there already".to_vec();
        let before = out.len();
        encode_line(&mut out, envelope, sealed, first, last);
        assert!(out.len() - before <= line_bytes(envelope.len(), sealed.len()));
        assert_eq!(out.pop(), Some(b'\n'));
        let line = out.split_off(before);
        if let Ok(read) = Line::parse(&line) {
            assert_eq!(read.counted_bytes(), counted_bytes(envelope.len(), sealed.len()));
        }
        line
    }

    /// The checksum is put right, so that it is not what refuses.
    fn with_checksum(covered: &str) -> Vec<u8> {
        [covered.as_bytes(), &checksum(covered.as_bytes())].concat()
    }

    #[test]
    fn a_line_has_four_fields() {
        assert_eq!(line(b"{}", b"abcd", 0, 7), b"{}\tYWJjZA==\t0-7\t7f60d625");
    }

    #[test]
    fn the_checksum_is_crc_32c() {
        // RFC 3720, B.4, and the catalogue's check value of CRC-32/ISCSI.
        assert_eq!(&checksum(&[0; 32]), b"8a9136aa");
        assert_eq!(&checksum(b"123456789"), b"e3069283");
    }

    #[test]
    fn the_longest_line_fits_its_bound() {
        let (envelope, sealed) = (
            vec![b'x'; limits::ENVELOPE_BYTES],
            vec![7; limits::BODY_BYTES + TAG_BYTES],
        );
        let text = line(&envelope, &sealed, limits::LAST_SEQ, limits::LAST_SEQ);
        assert_eq!(Line::parse(&text).unwrap().sealed_bytes().unwrap(), sealed);
        assert!(Line::parse(&line(&[&envelope[..], b"x"].concat(), &sealed, 0, 0)).is_err());
        assert!(Line::parse(&line(&envelope, &[&sealed[..], b"xyz"].concat(), 0, 0)).is_err());
    }

    #[test]
    fn every_flipped_bit_and_every_missing_byte_is_refused() {
        let text = line(b"{\"v\":1}", b"some sealed bytes", 98, 99);
        for bit in 0..text.len() * 8 {
            let mut damaged = text.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Line::parse(&damaged).is_err(), "bit {bit}");
        }
        for len in 0..text.len() {
            assert!(Line::parse(&text[..len]).is_err(), "the first {len} bytes");
        }
    }

    #[test]
    fn what_is_not_of_the_form_is_refused_although_its_checksum_is_right() {
        assert!(Line::parse(&with_checksum("{}\t\t0-0\t")).is_ok());
        for covered in [
            "",
            "\t",
            "\t\t",
            "{}\t0-0\t",
            "{}\t\t0-0",
            "{}\t\t0-0\t\t",
            "{}\t\t\t0-0\t",
            "{}\t\t0\t",
            "{}\t\t-\t",
            "{}\t\t0-\t",
            "{}\t\t-0\t",
            "{}\t\t1-0\t",
            "{}\t\t00-0\t",
            "{}\t\t+0-1\t",
            "{}\t\t0-0-0\t",
            "{}\t\t0 - 1\t",
            "{}\t\t0-9007199254740992\t",
            "{}\t\t0-99999999999999999999999\t",
        ] {
            assert!(Line::parse(&with_checksum(covered)).is_err(), "{covered:?}");
        }
    }

    #[test]
    fn a_body_that_is_not_canonical_base64_is_refused() {
        for body in ["YQ", "YR==", "YQ=", "Y Q=", "YQ==\n", "_-8=", "===="] {
            let text = with_checksum(&format!("{{}}\t{body}\t0-0\t"));
            assert!(Line::parse(&text).unwrap().sealed_bytes().is_err(), "{body:?}");
        }
    }

    /// Two libraries read bodies, the fast one first: it must not read more than the other, nor otherwise.
    fn reads_alike(sealed: &[u8]) {
        let line = Line {
            envelope: b"{}",
            sealed,
            first: 0,
            last: 0,
        };
        let text = String::from_utf8_lossy(sealed);
        assert_eq!(
            line.sealed_bytes().ok(),
            BASE64_STANDARD.decode(sealed).ok(),
            "{text:?}"
        );
    }

    #[test]
    fn every_ending_is_read_alike() {
        let alphabet = b"AQgwBEIMCDYZaz09+/=-_ \n";
        for length in [0, 4, 32, 60] {
            let mut text = vec![b'A'; length + 4];
            for number in 0..alphabet.len().pow(4) {
                for (place, byte) in text[length..].iter_mut().enumerate() {
                    *byte = alphabet[number / alphabet.len().pow(place as u32) % alphabet.len()];
                }
                reads_alike(&text);
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn bodies_are_read_alike(
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
            changes in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), proptest::prelude::any::<u8>(), 0..4_u8), 0..3),
        ) {
            let mut text = BASE64_STANDARD.encode(&bytes).into_bytes();
            reads_alike(&text);
            for (at, byte, how) in changes {
                if text.is_empty() {
                    continue;
                }
                let at = at.index(text.len());
                match how {
                    0 => text[at] = byte,
                    1 => text[at] = b'=',
                    2 => drop(text.remove(at)),
                    _ => text.insert(at, byte),
                }
                reads_alike(&text);
            }
        }
    }
}

//! Lines of a segment, given anything at all.

use proptest::{collection::vec, prelude::*};
use quipu_format::{Envelope, Line, encode_line, limits, line_bytes};

proptest! {
    #[test]
    fn what_is_encoded_is_read_back(
        envelope in "\\{[ -~]{0,200}\\}",
        sealed in vec(any::<u8>(), 0..300),
        first in 0..=limits::LAST_SEQ,
        more in 0..5_u64,
    ) {
        let last = (first + more).min(limits::LAST_SEQ);
        let mut out = Vec::new();
        encode_line(&mut out, envelope.as_bytes(), &sealed, first, last);
        prop_assert!(out.len() <= line_bytes(envelope.len(), sealed.len()));
        let line = Line::parse(out.strip_suffix(b"\n").unwrap()).unwrap();
        prop_assert_eq!((line.envelope, line.first, line.last), (envelope.as_bytes(), first, last));
        prop_assert_eq!(line.sealed_bytes().unwrap(), sealed);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = Line::parse(&bytes);
        let _ = Envelope::parse(&bytes);
    }

    /// The same with a checksum that is right, so that the fields are reached.
    #[test]
    fn no_fields_make_a_reader_panic(fields in vec("[ -~]{0,20}", 0..6)) {
        let mut covered = fields.join("\t").into_bytes();
        let crc = crc_fast::crc32_iscsi(&covered);
        covered.extend_from_slice(format!("{crc:08x}").as_bytes());
        if let Ok(line) = Line::parse(&covered) {
            let _ = line.sealed_bytes();
        }
    }

    #[test]
    fn any_changed_byte_is_refused(sealed in vec(any::<u8>(), 0..100), at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let mut out = Vec::new();
        encode_line(&mut out, br#"{"v":1,"seq":7}"#, &sealed, 7, 9);
        let line = out.strip_suffix(b"\n").unwrap();
        let mut damaged = line.to_vec();
        damaged[at.index(line.len())] ^= flip;
        prop_assert!(Line::parse(&damaged).is_err());
    }
}

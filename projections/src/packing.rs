//! Lists of numbers in blobs: each in groups of seven bits, the lowest first (LEB128), as differences where they rise.
//!
//! A blob that does not decode was not written by a fold: it is damage, never a panic.

use crate::error::{Cause, Result};

/// How often a document has a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The document's `nth` in its scope.
    pub(crate) nth: u32,
    pub(crate) times: u16,
}

/// What ranking needs of a document whose terms are not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outline {
    /// The document's `nth` in its scope.
    pub(crate) nth: u32,
    pub(crate) seq: u64,
    /// Words of the document.
    pub(crate) length: u32,
    /// Event time, in milliseconds since 1970.
    pub(crate) time_ms: u64,
    /// When it expires; `u64::MAX` if never.
    pub(crate) expires_ms: u64,
}

/// Adds a term of a document: at most 255 bytes, and how often it has it.
pub(crate) fn put_term(out: &mut Vec<u8>, term: &str, times: u16) {
    put(out, term.len() as u64);
    out.extend_from_slice(term.as_bytes());
    put(out, times.into());
}

/// The terms of a document, in the order in which they were put.
pub(crate) fn terms(blob: &[u8]) -> impl Iterator<Item = Result<(&[u8], u16)>> {
    decoded(blob, |rest| {
        let length = usize::try_from(take(rest)?).ok()?;
        let (term, after) = rest.split_at_checked(length)?;
        *rest = after;
        Some((term, u16::try_from(take(rest)?).ok()?))
    })
}

/// Adds a document that has a term; `next` is the `nth` that follows the one before, or that the block begins with.
pub(crate) fn put_place(out: &mut Vec<u8>, place: Place, next: u32) {
    put(out, (place.nth - next).into());
    put(out, place.times.into());
}

/// The documents that have a term, of the block that begins with `next`.
pub(crate) fn places(blob: &[u8], mut next: u32) -> impl Iterator<Item = Result<Place>> {
    decoded(blob, move |rest| {
        let nth = next.checked_add(take(rest)?.try_into().ok()?)?;
        next = nth.checked_add(1)?;
        Some(Place {
            nth,
            times: take(rest)?.try_into().ok()?,
        })
    })
}

/// Adds the next document of a block; `before` is the one before.
pub(crate) fn put_outline(out: &mut Vec<u8>, outline: &Outline, before: &Outline) {
    put(out, (outline.nth - before.nth).into());
    put(out, outline.length.into());
    put(out, outline.seq.wrapping_sub(before.seq));
    // Imported events come with the times that they had, so these may fall: the lowest bit is the sign.
    let later = outline.time_ms.wrapping_sub(before.time_ms) as i64;
    put(out, ((later << 1) ^ (later >> 63)) as u64);
    put(
        out,
        outline
            .expires_ms
            .checked_add(1)
            .map_or(0, |expires| expires.saturating_sub(outline.time_ms)),
    );
}

/// The documents of a block that begins with `first`.
pub(crate) fn outlines(blob: &[u8], first: u32) -> impl Iterator<Item = Result<Outline>> {
    let mut before = block_start(first);
    decoded(blob, move |rest| {
        let nth = before.nth.checked_add(take(rest)?.try_into().ok()?)?;
        let length = take(rest)?.try_into().ok()?;
        let seq = before.seq.checked_add(take(rest)?)?;
        let later = take(rest)?;
        let time_ms = before.time_ms.wrapping_add((later >> 1) ^ (later & 1).wrapping_neg());
        let expires_ms = match take(rest)? {
            0 => u64::MAX,
            after => time_ms.checked_add(after - 1)?,
        };
        before = Outline {
            nth,
            seq,
            length,
            time_ms,
            expires_ms,
        };
        Some(before)
    })
}

/// What the first document of a block is put after.
pub(crate) fn block_start(first: u32) -> Outline {
    Outline {
        nth: first,
        seq: 0,
        length: 0,
        time_ms: 0,
        expires_ms: u64::MAX,
    }
}

/// Items from a blob until it is used up; one that does not decode ends it.
fn decoded<'a, T>(
    mut blob: &'a [u8],
    mut next: impl FnMut(&mut &'a [u8]) -> Option<T>,
) -> impl Iterator<Item = Result<T>> {
    std::iter::from_fn(move || {
        if blob.is_empty() {
            return None;
        }
        Some(next(&mut blob).ok_or_else(|| {
            blob = &[];
            Cause::Damaged("a list does not decode".into())
        }))
    })
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take(blob: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = blob.split_first()?;
        *blob = rest;
        let bits = u64::from(byte & 0x7F);
        number |= bits << shift;
        if bits << shift >> shift != bits {
            return None;
        }
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_cut_off_or_too_large_is_damage() {
        assert!(terms(&[5, b'a']).any(|term| term.is_err()));
        assert!(places(&[0x80], 0).any(|place| place.is_err()));
        assert!(places(&[1, 1, 1, 1], u32::MAX - 2).any(|place| place.is_err()));
        assert!(outlines(&[1, 2, 3, 4], 0).any(|outline| outline.is_err()));
        assert_eq!(take(&mut &[0xFF; 10][..]), None);
        assert_eq!(
            take(&mut &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1][..]),
            Some(u64::MAX)
        );
        assert_eq!(
            take(&mut &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2][..]),
            None
        );
    }

    proptest! {
        #[test]
        fn terms_come_back(put in prop::collection::vec(("\\PC{0,40}", any::<u16>()), 0..20)) {
            let mut blob = Vec::new();
            put.iter().for_each(|(term, times)| put_term(&mut blob, term, *times));
            let back: Vec<_> = terms(&blob).map(Result::unwrap).map(|(t, n)| (t.to_vec(), n)).collect();
            let put: Vec<_> = put.into_iter().map(|(t, n)| (t.into_bytes(), n)).collect();
            prop_assert_eq!(back, put);
        }

        #[test]
        fn places_come_back(first: u16, put in prop::collection::btree_map(0_u32..5_000, any::<u16>(), 0..50)) {
            let first = first.into();
            let put: Vec<_> = put.into_iter().map(|(nth, times)| Place { nth: nth + first, times }).collect();
            let (mut blob, mut next) = (Vec::new(), first);
            for place in &put {
                put_place(&mut blob, *place, next);
                next = place.nth + 1;
            }
            let back: Vec<_> = places(&blob, first).map(Result::unwrap).collect();
            prop_assert_eq!(back, put);
        }

        #[test]
        fn outlines_come_back(
            first: u16,
            put in prop::collection::btree_map(0_u32..5_000, (any::<u32>(), 0_u64..1 << 40, 0_u64..1 << 48, any::<Option<u32>>()), 0..50)
        ) {
            let (mut blob, mut before, mut seq) = (Vec::new(), block_start(first.into()), 0);
            let mut outlined = Vec::new();
            for (nth, (length, gap, time_ms, ttl)) in put {
                seq += gap;
                let expires_ms = ttl.map_or(u64::MAX, |ttl| time_ms + u64::from(ttl));
                let outline = Outline { nth: nth + u32::from(first), seq, length, time_ms, expires_ms };
                put_outline(&mut blob, &outline, &before);
                before = outline;
                outlined.push(outline);
            }
            let back: Vec<_> = outlines(&blob, first.into()).map(Result::unwrap).collect();
            prop_assert_eq!(back, outlined);
        }

        #[test]
        fn any_blob_decodes_or_is_refused(blob: Vec<u8>) {
            terms(&blob).for_each(drop);
            places(&blob, u32::MAX - 9).for_each(drop);
            outlines(&blob, u32::MAX - 9).for_each(drop);
        }
    }
}

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

/// What bounds whether a document is an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Event time, in milliseconds since 1970.
    pub(crate) time_ms: u64,
    /// When it expires; `u64::MAX` if never.
    pub(crate) expires_ms: u64,
    /// How sure of itself it says it is, in millionths.
    pub(crate) confidence: Option<u32>,
}

/// What ranking needs of a document whose terms are not looked at, in two bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Shape(u16);

impl Shape {
    /// There is no document, or it is not shown.
    pub(crate) const NONE: Self = Self(0);
    /// There is one.
    const DOCUMENT: u16 = 0x2000;
    /// It asks something.
    const ASKS: u16 = 0x4000;
    /// It goes on with the conversation of the document before it.
    const GOES_ON: u16 = 0x8000;
    /// Bits of its length. A document has at most [`limits::INDEXED_WORDS`] words.
    const LENGTH: u16 = 0x1FFF;

    pub(crate) fn new(length: u32, asks: bool) -> Self {
        let length = u16::try_from(length).map_or(Self::LENGTH, |length| length.min(Self::LENGTH));
        Self(length | Self::DOCUMENT | if asks { Self::ASKS } else { 0 })
    }

    /// The same document, which goes on with the conversation of the one before it, or does not.
    pub(crate) fn going_on(self, goes_on: bool) -> Self {
        Self(self.0 & !Self::GOES_ON | if goes_on { Self::GOES_ON } else { 0 })
    }

    pub(crate) fn asks(self) -> bool {
        self.0 & Self::ASKS != 0
    }

    pub(crate) fn is_document(self) -> bool {
        self.0 & Self::DOCUMENT != 0
    }

    pub(crate) fn goes_on(self) -> bool {
        self.0 & Self::GOES_ON != 0
    }

    pub(crate) fn length(self) -> u32 {
        (self.0 & Self::LENGTH).into()
    }
}

/// The shapes of a block as its blob.
pub(crate) fn put_shapes(shapes: &[Shape]) -> Vec<u8> {
    shapes.iter().flat_map(|shape| shape.0.to_le_bytes()).collect()
}

/// The shapes of a block of `size` documents.
pub(crate) fn shapes(blob: &[u8], size: u32) -> Result<impl Iterator<Item = Shape>> {
    if blob.len() != size as usize * 2 {
        return Err(Cause::Damaged("a block is shorter or longer than its documents".into()));
    }
    let pairs = blob.as_chunks::<2>().0.iter();
    Ok(pairs.map(|pair| Shape(u16::from_le_bytes(*pair))))
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

/// Adds the next document of a block; `before_ms` is the time of the one before, or 0.
pub(crate) fn put_bounds(out: &mut Vec<u8>, bounds: &Bounds, before_ms: u64) {
    // Imported events come with the times that they had, so these may fall: the lowest bit is the sign.
    let later = bounds.time_ms.wrapping_sub(before_ms) as i64;
    put(out, ((later << 1) ^ (later >> 63)) as u64);
    let after = bounds.expires_ms.checked_add(1);
    put(out, after.map_or(0, |expires| expires.saturating_sub(bounds.time_ms)));
    put(out, bounds.confidence.map_or(0, |confidence| u64::from(confidence) + 1));
}

/// The bounds of the documents of a block, those that there are.
pub(crate) fn bounds(blob: &[u8]) -> impl Iterator<Item = Result<Bounds>> {
    let mut before_ms = 0_u64;
    decoded(blob, move |rest| {
        let later = take(rest)?;
        let time_ms = before_ms.wrapping_add((later >> 1) ^ (later & 1).wrapping_neg());
        before_ms = time_ms;
        let expires_ms = match take(rest)? {
            0 => u64::MAX,
            after => time_ms.checked_add(after - 1)?,
        };
        let confidence = match take(rest)? {
            0 => None,
            more => Some(u32::try_from(more - 1).ok()?),
        };
        Some(Bounds {
            time_ms,
            expires_ms,
            confidence,
        })
    })
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
    // Mostly it is a small one.
    if let Some((&byte, rest)) = blob.split_first()
        && byte < 0x80
    {
        *blob = rest;
        return Some(byte.into());
    }
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
        assert!(bounds(&[1, 2, 3, 4]).any(|bounds| bounds.is_err()));
        assert!(shapes(&[1, 2, 3], 2).is_err() && shapes(&[1, 2, 3, 4], 3).is_err());
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
        fn bounds_come_back(
            put in prop::collection::vec((0_u64..1 << 48, any::<Option<u32>>(), prop::option::of(0_u32..=1_000_000)), 0..50)
        ) {
            let (mut blob, mut before_ms, mut all) = (Vec::new(), 0, Vec::new());
            for (time_ms, ttl, confidence) in put {
                let expires_ms = ttl.map_or(u64::MAX, |ttl| time_ms + u64::from(ttl));
                let bounds = Bounds { time_ms, expires_ms, confidence };
                put_bounds(&mut blob, &bounds, before_ms);
                before_ms = time_ms;
                all.push(bounds);
            }
            let back: Vec<_> = bounds(&blob).map(Result::unwrap).collect();
            prop_assert_eq!(back, all);
        }

        #[test]
        fn shapes_come_back(put in prop::collection::vec(prop::option::of((0_u32..=4_096, any::<bool>(), any::<bool>())), 0..50)) {
            let put: Vec<_> = put.iter().map(|of| of.map_or(Shape::NONE, |(length, asks, on)| Shape::new(length, asks).going_on(on))).collect();
            let back: Vec<_> = shapes(&put_shapes(&put), put.len() as u32).unwrap().collect();
            prop_assert_eq!(back, put);
        }

        #[test]
        fn any_blob_decodes_or_is_refused(blob: Vec<u8>) {
            terms(&blob).for_each(drop);
            places(&blob, u32::MAX - 9).for_each(drop);
            bounds(&blob).for_each(drop);
        }
    }
}

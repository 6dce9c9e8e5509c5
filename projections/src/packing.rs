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

    /// A session begins with it.
    pub(crate) fn begins(self) -> bool {
        self.0 & (Self::DOCUMENT | Self::GOES_ON) == Self::DOCUMENT
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
        let term = take_bytes(rest)?;
        Some((term, u16::try_from(take(rest)?).ok()?))
    })
}

/// Adds a document that has a term; `next` is the `nth` that follows the one before, or that the block begins with.
pub(crate) fn put_place(out: &mut Vec<u8>, place: Place, next: u32) {
    // Mostly it has it once: then that is one bit.
    let times = (place.times != 1).then_some(place.times);
    put(out, u64::from(place.nth - next) << 1 | u64::from(times.is_some()));
    if let Some(times) = times {
        put(out, times.into());
    }
}

/// The next document that has a term, from the rest of a list; `next` is as for [`put_place`]. `None`: it is damaged.
#[inline]
pub(crate) fn take_place(rest: &mut &[u8], next: u32) -> Option<Place> {
    let first = take(rest)?;
    Some(Place {
        nth: next.checked_add(u32::try_from(first >> 1).ok()?)?,
        times: if first & 1 == 0 {
            1
        } else {
            take(rest)?.try_into().ok()?
        },
    })
}

/// The documents that have a term, of the block that begins with `next`.
pub(crate) fn places(blob: &[u8], mut next: u32) -> impl Iterator<Item = Result<Place>> {
    decoded(blob, move |rest| {
        let place = take_place(rest, next)?;
        next = place.nth.checked_add(1)?;
        Some(place)
    })
}

/// A term on a page, and where it is.
pub(crate) struct Group<'a> {
    pub(crate) term: &'a [u8],
    /// How many documents of the page have it.
    pub(crate) count: u32,
    /// These, as [`put_place`] packs them, from the beginning of the block on.
    pub(crate) places: &'a [u8],
}

/// Adds a term to a page: at most 255 bytes, of which it has some in common with the `before` that was added last.
pub(crate) fn put_group(page: &mut Vec<u8>, before: &[u8], group: &Group<'_>) {
    let common = before.iter().zip(group.term).take_while(|(a, b)| a == b).count();
    let rest = group.term.get(common..).unwrap_or_default();
    put(page, common as u64);
    put(page, rest.len() as u64);
    page.extend_from_slice(rest);
    put(page, group.count.into());
    put(page, group.places.len() as u64);
    page.extend_from_slice(group.places);
}

/// Gives `each` the terms of a page, in the order in which they were put, while it wants more.
pub(crate) fn groups(mut page: &[u8], mut each: impl FnMut(Group<'_>) -> Result<bool>) -> Result<()> {
    let mut term = Vec::with_capacity(64);
    while !page.is_empty() {
        let group = take_group(&mut page, &mut term);
        let (count, places) = group.ok_or_else(|| Cause::Damaged("a page of terms does not decode".into()))?;
        let term = &term;
        if !each(Group { term, count, places })? {
            break;
        }
    }
    Ok(())
}

fn take_group<'a>(page: &mut &'a [u8], term: &mut Vec<u8>) -> Option<(u32, &'a [u8])> {
    let common = usize::try_from(take(page)?)
        .ok()
        .filter(|common| *common <= term.len())?;
    term.truncate(common);
    term.extend_from_slice(take_bytes(page)?);
    let count = take(page)?.try_into().ok()?;
    Some((count, take_bytes(page)?))
}

fn take_bytes<'a>(blob: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take(blob)?).ok()?;
    let (bytes, rest) = blob.split_at_checked(length)?;
    *blob = rest;
    Some(bytes)
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

#[inline]
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
        assert!(places(&[2, 2, 2, 2], u32::MAX - 4).any(|place| place.is_err()));
        for page in [
            &[1, 1, b'a', 1, 0][..],
            &[0, 2, b'a'],
            &[0, 1, b'a', 1, 1],
            &[0, 1, b'a'],
        ] {
            assert!(groups(page, |_| Ok(true)).is_err(), "{page:?}");
        }
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
        fn groups_come_back(put in prop::collection::vec(("[ab]{0,6}", any::<u32>(), any::<Vec<u8>>()), 0..20)) {
            let (mut page, mut before) = (Vec::new(), Vec::new());
            for (term, count, places) in &put {
                put_group(&mut page, &before, &Group { term: term.as_bytes(), count: *count, places });
                before = term.as_bytes().to_vec();
            }
            let mut back = Vec::new();
            groups(&page, |group| {
                back.push((String::from_utf8(group.term.to_vec()).unwrap(), group.count, group.places.to_vec()));
                Ok(true)
            }).unwrap();
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
            let _ = groups(&blob, |_| Ok(true));
        }
    }
}

//! Looking through a text and all that it may mean.

use std::{collections::BTreeSet, ops::Range};

use quipu_format::limits;
use zeroize::Zeroizing;

use crate::{
    Scanner, TooMuch, Work, decode, fold, join,
    view::{Edit, View},
};

/// What was found, in bytes of the text that the search began with.
pub(crate) struct Found {
    pub(crate) rule: &'static str,
    pub(crate) range: Range<usize>,
    pub(crate) value: Zeroizing<String>,
}

/// Says where a part of a text stood in the one that the search began with; none if that is of no interest.
type Back<'a> = &'a dyn Fn(Range<usize>) -> Option<Range<usize>>;

pub(crate) struct Search<'a> {
    scanner: &'a dyn Scanner,
    work: &'a mut Work,
    /// Stop at the first.
    first: bool,
    seen: BTreeSet<(&'static str, usize, usize)>,
    pub(crate) found: Vec<Found>,
}

impl<'a> Search<'a> {
    pub(crate) fn new(scanner: &'a dyn Scanner, work: &'a mut Work, first: bool) -> Self {
        Self {
            scanner,
            work,
            first,
            seen: BTreeSet::new(),
            found: Vec::new(),
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.first && !self.found.is_empty()
    }

    /// Looks at a text as it is, with plain characters in place of those that look like them, put together where it was
    /// pulled apart, and at what is encoded in each of these.
    pub(crate) fn look(&mut self, text: &str, back: Back<'_>) -> Result<(), TooMuch> {
        self.look_into(text, limits::GUARD_DEPTH, back)
    }

    fn look_into(&mut self, text: &str, depth: usize, back: Back<'_>) -> Result<(), TooMuch> {
        if self.is_done() {
            return Ok(());
        }
        self.scan(text, back)?;
        self.put_together(text, depth, back)?;
        self.through(text, fold::edits(text), back, |search, text, back| {
            search.scan(text, back)?;
            search.put_together(text, depth, back)
        })
    }

    fn put_together(&mut self, text: &str, depth: usize, back: Back<'_>) -> Result<(), TooMuch> {
        self.decode(text, depth, back)?;
        self.through(text, join::edits(text), back, |search, text, back| {
            search.scan(text, back)?;
            search.decode(text, depth, back)
        })
    }

    fn decode(&mut self, text: &str, depth: usize, back: Back<'_>) -> Result<(), TooMuch> {
        let Some(depth) = depth.checked_sub(1) else {
            return Ok(());
        };
        self.through(text, decode::edits(text), back, |search, text, back| {
            search.look_into(text, depth, back)
        })
    }

    /// Goes on with what a text is once it is edited.
    pub(crate) fn through(
        &mut self,
        text: &str,
        edits: Vec<Edit>,
        back: Back<'_>,
        go_on: impl FnOnce(&mut Self, &str, Back<'_>) -> Result<(), TooMuch>,
    ) -> Result<(), TooMuch> {
        if edits.is_empty() || self.is_done() {
            return Ok(());
        }
        let view = View::around(text, &edits);
        go_on(self, &view.text, &|range| back(view.source(range)))
    }

    pub(crate) fn scan(&mut self, text: &str, back: Back<'_>) -> Result<(), TooMuch> {
        let mut start = 0;
        while start < text.len() && !self.is_done() {
            let end = text.floor_char_boundary(start + limits::GUARD_PIECE_BYTES);
            self.work.spend(end - start)?;
            for found in self.scanner.scan(&text[start..end], self.work)? {
                let range = start + found.range.start..start + found.range.end;
                let range = text.floor_char_boundary(range.start)..text.ceil_char_boundary(range.end);
                if is_handle(&text[range.clone()]) {
                    continue;
                }
                let Some(place) = back(range.clone()) else { continue };
                if self.seen.insert((found.rule, place.start, place.end)) {
                    self.found.push(Found {
                        rule: found.rule,
                        range: place,
                        value: Zeroizing::new(text[range].to_owned()),
                    });
                }
            }
            if end == text.len() {
                break;
            }
            start = text.floor_char_boundary(end - limits::GUARD_OVERLAP_BYTES);
        }
        Ok(())
    }
}

/// Whether all of it stands for a secret that was found before. There is no room in it for another one.
fn is_handle(text: &str) -> bool {
    let parts = text.strip_prefix("secret://").and_then(|rest| rest.split_once('/'));
    parts.is_some_and(|(rule, hash)| {
        let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let is_hash = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        rule.bytes().all(is_name) && hash.len() == 12 && hash.bytes().all(is_hash)
    })
}

//! Where a term is in what a view shows of a scope.

use std::slice;

use crate::{
    error::{Cause, Result},
    packing::{Place, take_place},
};

/// The documents that have a term, by rising `nth`. Those in whole blocks stay packed until they are looked at: there
/// may be as many as the scope has documents.
#[derive(Default)]
pub(crate) struct Places {
    /// Lists as the pages of blocks have them, one after the other.
    packed: Vec<u8>,
    /// For each list where its block begins, and where the list ends in `packed`.
    lists: Vec<(u32, usize)>,
    /// Those behind.
    rest: Vec<Place>,
    count: u64,
}

impl Places {
    /// Adds so many places of a block that begins with `first`.
    pub(crate) fn add_list(&mut self, first: u32, count: u32, packed: &[u8]) {
        self.packed.extend_from_slice(packed);
        self.lists.push((first, self.packed.len()));
        self.count += u64::from(count);
    }

    /// Adds one behind all others; no list may follow.
    pub(crate) fn push(&mut self, place: Place) {
        self.rest.push(place);
        self.count += 1;
    }

    /// How many documents have the term.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// From the first on.
    pub(crate) fn cursor(&self) -> Cursor<'_> {
        let mut cursor = Cursor {
            place: None,
            packed: &self.packed,
            taken: 0,
            lists: self.lists.iter(),
            list: &[],
            next: 0,
            rest: self.rest.iter(),
            damaged: false,
        };
        cursor.advance();
        cursor
    }

    /// Gives `each` all of them.
    pub(crate) fn for_each(&self, mut each: impl FnMut(Place)) -> Result<()> {
        let mut cursor = self.cursor();
        while let Some(place) = cursor.place {
            each(place);
            cursor.advance();
        }
        cursor.end()
    }
}

/// Goes through [`Places`].
pub(crate) struct Cursor<'a> {
    /// The one that it stands at.
    pub(crate) place: Option<Place>,
    packed: &'a [u8],
    taken: usize,
    lists: slice::Iter<'a, (u32, usize)>,
    /// What is left of a list, and the `nth` that may come next there.
    list: &'a [u8],
    next: u32,
    rest: slice::Iter<'a, Place>,
    damaged: bool,
}

impl Cursor<'_> {
    /// Goes to the next one. What is damaged ends it.
    #[inline]
    pub(crate) fn advance(&mut self) {
        while self.list.is_empty() {
            let Some(&(first, end)) = self.lists.next() else {
                self.place = self.rest.next().copied();
                return;
            };
            self.list = self.packed.get(self.taken..end).unwrap_or_default();
            (self.taken, self.next) = (end, first);
        }
        self.place = take_place(&mut self.list, self.next);
        match self.place {
            Some(place) => self.next = place.nth.saturating_add(1),
            None => {
                self.damaged = true;
                (self.list, self.lists, self.rest) = (&[], [].iter(), [].iter());
            }
        }
    }

    /// Whether it stands at one before `end`.
    pub(crate) fn is_before(&self, end: usize) -> bool {
        self.place.is_some_and(|place| (place.nth as usize) < end)
    }

    /// Whether all that it went through could be read.
    pub(crate) fn end(self) -> Result<()> {
        match self.damaged {
            true => Err(Cause::Damaged("a list does not decode".into())),
            false => Ok(()),
        }
    }
}

/// Documents of a scope that are marked, by `nth`.
#[derive(Default)]
pub(crate) struct Marks(Vec<u64>);

impl Marks {
    /// Those of so many that have one of several terms.
    pub(crate) fn of(terms: &[Places], documents: usize) -> Result<Self> {
        if terms.iter().all(|places| places.count == 0) {
            return Ok(Self::default());
        }
        let mut marks = vec![0; documents.div_ceil(64)];
        for places in terms {
            places.for_each(|place| {
                if let Some(word) = marks.get_mut(place.nth as usize / 64) {
                    *word |= 1 << (place.nth % 64);
                }
            })?;
        }
        Ok(Self(marks))
    }

    /// Marks another one; one that there is not is passed over.
    pub(crate) fn mark(&mut self, nth: u32, documents: usize) {
        self.0.resize(documents.div_ceil(64), 0);
        if let Some(word) = self.0.get_mut(nth as usize / 64) {
            *word |= 1 << (nth % 64);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn has(&self, nth: usize) -> bool {
        self.0.get(nth / 64).is_some_and(|word| word >> (nth % 64) & 1 == 1)
    }
}

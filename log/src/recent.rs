//! Where each entry of one segment stands, in memory: of the segment that is written, and of one that is full until it
//! has its sidecar.

use std::{collections::HashMap, ops::Range};

use quipu_format::{Envelope, Erasure, EventId, Hash, IdempotencyKey, Scope, Timestamp};
use ulid::Ulid;

use crate::reader::Direction;

/// Where a line stands in its segment's file, LF included. `length` 0: the line is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    pub(crate) offset: u32,
    pub(crate) length: u32,
}

/// What is kept here of an entry, and of its scope.
pub(crate) struct Listed<'a> {
    pub(crate) seq: u64,
    pub(crate) id: EventId,
    pub(crate) scope: &'a Scope,
    pub(crate) nth: u32,
    pub(crate) key: Option<IdempotencyKey>,
    /// It is an erasure.
    pub(crate) erases: bool,
    /// Its leaf hash.
    pub(crate) hash: Hash,
    /// Its bytes, as quotas count them.
    pub(crate) bytes: u32,
}

impl<'a> Listed<'a> {
    pub(crate) fn of(envelope: &'a Envelope, hash: Hash, bytes: u32) -> Self {
        Self {
            seq: envelope.seq,
            id: envelope.id,
            scope: &envelope.scope,
            nth: envelope.nth,
            key: envelope.key,
            erases: envelope.kind.as_str() == Erasure::KIND,
            hash,
            bytes,
        }
    }
}

/// A scope's entries in one segment.
#[derive(Debug, Clone)]
pub(crate) struct Postings {
    /// Numbers in the segment, rising.
    pub(crate) numbers: Vec<u32>,
    /// Entries of the scope up to the last of these.
    pub(crate) count: u32,
    /// Leaf hash of the last of these.
    pub(crate) last: Hash,
    /// Bytes of these, as quotas count them.
    pub(crate) bytes: u64,
}

/// An entry is named by its number in the segment: its `seq` less the segment's first.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    pub(crate) first: u64,
    pub(crate) places: Vec<Place>,
    pub(crate) ids: Vec<Ulid>,
    pub(crate) scopes: HashMap<Scope, Postings>,
    pub(crate) keyed: Vec<(IdempotencyKey, u32)>,
    /// Bytes of all lines.
    pub(crate) entry_bytes: u64,
    /// Position behind the last erasure among them; 0: there is none.
    pub(crate) erased: u64,
}

impl Recent {
    pub(crate) fn new(first: u64) -> Self {
        Self {
            first,
            ..Self::default()
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.places.len() as u32
    }

    /// Adds an entry. Where it is not the next one, those between are missing.
    pub(crate) fn push(&mut self, entry: Listed<'_>, range: Range<usize>) {
        let number = entry.seq.saturating_sub(self.first) as u32;
        let missing = (number as usize).saturating_sub(self.places.len());
        let before = self.ids.last().copied().unwrap_or_default();
        self.places.extend(std::iter::repeat_n(Place::default(), missing));
        self.ids.extend(std::iter::repeat_n(before, missing));
        self.places.push(Place {
            offset: range.start as u32,
            length: range.len() as u32,
        });
        self.ids.push(entry.id.0);
        self.entry_bytes += range.len() as u64;
        if entry.erases {
            self.erased = entry.seq + 1;
        }
        if let Some(key) = entry.key {
            self.keyed.push((key, number));
        }
        match self.scopes.get_mut(entry.scope) {
            Some(postings) => {
                postings.numbers.push(number);
                (postings.count, postings.last) = (entry.nth.saturating_add(1), entry.hash);
                postings.bytes += u64::from(entry.bytes);
            }
            None => {
                let postings = Postings {
                    numbers: vec![number],
                    count: entry.nth.saturating_add(1),
                    last: entry.hash,
                    bytes: u64::from(entry.bytes),
                };
                self.scopes.insert(entry.scope.clone(), postings);
            }
        }
    }

    pub(crate) fn place(&self, number: u32) -> Place {
        self.places.get(number as usize).copied().unwrap_or_default()
    }

    /// Number of the entry of that name: names rise with numbers.
    pub(crate) fn find(&self, id: EventId) -> Option<u32> {
        // Entries that are missing repeat the name before them: the first of equals is the one.
        let at = self.ids.partition_point(|other| *other < id.0);
        (self.ids.get(at) == Some(&id.0) && self.places[at].length > 0).then_some(at as u32)
    }

    /// First number at or after an instant: a name begins with its entry's time.
    pub(crate) fn number_at(&self, ts: Timestamp) -> u32 {
        self.ids.partition_point(|id| id.timestamp_ms() < ts.as_ms()) as u32
    }

    /// Positions and places of a scope's entries within `range`, at most `limit`, in the direction's order.
    pub(crate) fn select(
        &self,
        scope: &Scope,
        range: &Range<u64>,
        direction: Direction,
        limit: usize,
    ) -> Vec<(u64, Place)> {
        let Some(postings) = self.scopes.get(scope) else {
            return Vec::new();
        };
        let position = |number: u32| self.first + u64::from(number);
        let point = |bound: u64| postings.numbers.partition_point(|&number| position(number) < bound);
        let from = point(range.start);
        let to = point(range.end).max(from);
        let within = postings.numbers[from..to]
            .iter()
            .map(|&number| (position(number), self.place(number)));
        match direction {
            Direction::Forward => within.take(limit).collect(),
            Direction::Backward => within.rev().take(limit).collect(),
        }
    }
}

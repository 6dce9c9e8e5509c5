//! Where each entry stands, by position, name and scope. Held in memory, about 40 bytes an entry, and derived from
//! the segments each time a ledger is opened.

use std::{collections::HashMap, ops::Range, sync::Arc};

use quipu_format::{Envelope, EventId, Hash, Scope, Timestamp};
use ulid::Ulid;

use crate::{disk::DiskFile, scan::Found};

/// A segment file that has been opened.
#[derive(Clone)]
pub(crate) struct Segment {
    pub(crate) first: u64,
    pub(crate) file: Arc<DiskFile>,
}

/// Where a line stands. `length` 0: the entry's line is damaged.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    pub(crate) length: u32,
}

/// A scope's entries.
#[derive(Clone)]
pub(crate) struct Postings {
    pub(crate) seqs: Vec<u64>,
    /// Leaf hash of the last one.
    pub(crate) last: Hash,
}

#[derive(Default)]
pub(crate) struct Index {
    pub(crate) segments: Vec<Segment>,
    pub(crate) places: Vec<Place>,
    pub(crate) scopes: HashMap<Scope, Postings>,
    ids: Vec<Ulid>,
}

impl Index {
    /// Position that the next entry will have.
    pub(crate) fn next(&self) -> u64 {
        self.places.len() as u64
    }

    /// Adds an entry of the newest segment. Where it is not the next one, those between are missing.
    pub(crate) fn push(&mut self, envelope: &Envelope, hash: Hash, range: Range<usize>) {
        let segment = self.segments.len().saturating_sub(1) as u32;
        let missing = (envelope.seq as usize).saturating_sub(self.places.len());
        let before = self.ids.last().copied().unwrap_or_default();
        self.places.extend(std::iter::repeat_n(
            Place {
                segment,
                offset: 0,
                length: 0,
            },
            missing,
        ));
        self.ids.extend(std::iter::repeat_n(before, missing));
        self.places.push(Place {
            segment,
            offset: range.start as u32,
            length: range.len() as u32,
        });
        self.ids.push(envelope.id.0);
        if let Some(postings) = self.scopes.get_mut(&envelope.scope) {
            postings.seqs.push(envelope.seq);
            postings.last = hash;
        } else {
            self.scopes.insert(
                envelope.scope.clone(),
                Postings {
                    seqs: vec![envelope.seq],
                    last: hash,
                },
            );
        }
    }

    /// Adds an entry that a scan found.
    pub(crate) fn push_found(&mut self, found: &Found<'_>, hash: Hash) {
        self.push(&found.envelope, hash, found.range.clone());
    }

    /// Position of the entry of that name: names rise with positions.
    pub(crate) fn find(&self, id: EventId) -> Option<u64> {
        // Entries that are missing repeat the name before them: the first of equals is the one.
        let at = self.ids.partition_point(|other| *other < id.0);
        (self.ids.get(at) == Some(&id.0) && self.places[at].length > 0).then_some(at as u64)
    }

    /// First position at or after an instant: a name begins with its entry's time.
    pub(crate) fn seq_at(&self, ts: Timestamp) -> u64 {
        self.ids.partition_point(|id| id.timestamp_ms() < ts.as_ms()) as u64
    }

    /// The file and place of an entry.
    pub(crate) fn place(&self, seq: u64) -> Option<(Arc<DiskFile>, Place)> {
        let place = *self.places.get(usize::try_from(seq).ok()?)?;
        Some((self.segments.get(place.segment as usize)?.file.clone(), place))
    }
}

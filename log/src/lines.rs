//! A line of a segment with its envelope read whole.

use std::ops::Range;

use quipu_format::{Envelope, Hash, Line, leaf_hash};

use crate::{parts::Place, recent::Listed};

/// A line in a segment.
pub(crate) struct Found {
    /// Its bytes, LF included.
    pub(crate) range: Range<usize>,
    /// First and last `seq` of its commit.
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) envelope: Envelope,
    /// Leaf hash of the envelope.
    pub(crate) hash: Hash,
    /// Bytes of the entry, as quotas count them.
    pub(crate) bytes: u32,
}

/// What is read of a line.
pub(crate) struct Whole {
    envelope: Envelope,
    hash: Hash,
    bytes: u32,
}

impl Found {
    /// Reads the envelope of a line that stands there.
    pub(crate) fn new(range: Range<usize>, line: &Line<'_>) -> quipu_format::Result<Self> {
        let (seq, whole) = whole(&mut (), line)?;
        let Line { first, last, .. } = *line;
        Ok(Self::from((
            Place {
                range,
                first,
                last,
                seq,
            },
            whole,
        )))
    }

    /// What the index takes of it.
    pub(crate) fn listed(&self) -> Listed<'_> {
        Listed::of(&self.envelope, self.hash, self.bytes)
    }
}

impl From<(Place, Whole)> for Found {
    fn from((place, whole): (Place, Whole)) -> Self {
        Self {
            range: place.range,
            first: place.first,
            last: place.last,
            envelope: whole.envelope,
            hash: whole.hash,
            bytes: whole.bytes,
        }
    }
}

/// The whole envelope of a line, its leaf hash, and its bytes.
pub(crate) fn whole(_: &mut (), line: &Line<'_>) -> quipu_format::Result<(u64, Whole)> {
    let envelope = Envelope::parse(line.envelope)?;
    let whole = Whole {
        hash: leaf_hash(line.envelope),
        // A line's envelope and body are bounded.
        bytes: line.counted_bytes() as u32,
        envelope,
    };
    Ok((whole.envelope.seq, whole))
}

//! A line of a segment with its envelope read whole.

use std::ops::Range;

use quipu_format::{Envelope, Hash, Line, leaf_hash};

use crate::parts::Place;

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
}

impl From<(Place, (Envelope, Hash))> for Found {
    fn from((place, (envelope, hash)): (Place, (Envelope, Hash))) -> Self {
        Self {
            range: place.range,
            first: place.first,
            last: place.last,
            envelope,
            hash,
        }
    }
}

/// The whole envelope of a line, and its leaf hash.
pub(crate) fn whole(_: &mut (), line: &Line<'_>) -> quipu_format::Result<(u64, (Envelope, Hash))> {
    let envelope = Envelope::parse(line.envelope)?;
    Ok((envelope.seq, (envelope, leaf_hash(line.envelope))))
}

//! A scope's entries in a sidecar: one table finds the scope by its digest, another holds the numbers of its entries.
//! docs/FORMAT.md, "Sidecar".

use std::ops::Range;

use quipu_format::{Hash, Scope};

use crate::{
    Result,
    blocks::{Cursor, Table, array, number, partition_point},
    reader::Direction,
};

/// Bytes of a scope's digest in a record.
pub(crate) const DIGEST_BYTES: usize = 16;
/// Bytes of a scope's record.
pub(crate) const SCOPE_BYTES: usize = DIGEST_BYTES + 8;

/// A scope's postings in the table of postings.
#[derive(Clone, Copy)]
pub(crate) struct ScopePostings {
    pub(crate) digest: [u8; DIGEST_BYTES],
    pub(crate) first: u32,
    pub(crate) count: u32,
}

impl ScopePostings {
    pub(crate) fn read(record: &[u8; SCOPE_BYTES]) -> Self {
        Self {
            digest: array(record),
            first: number(&record[DIGEST_BYTES..]),
            count: number(&record[DIGEST_BYTES + 4..]),
        }
    }

    pub(crate) fn write(&self) -> [u8; SCOPE_BYTES] {
        let mut record = [0; SCOPE_BYTES];
        record[..DIGEST_BYTES].copy_from_slice(&self.digest);
        record[DIGEST_BYTES..DIGEST_BYTES + 4].copy_from_slice(&self.first.to_be_bytes());
        record[DIGEST_BYTES + 4..].copy_from_slice(&self.count.to_be_bytes());
        record
    }

    fn range(&self) -> Range<u32> {
        self.first..self.first.saturating_add(self.count)
    }
}

/// What a scope is found by.
pub(crate) fn digest(scope: &Scope) -> [u8; DIGEST_BYTES] {
    array(&Hash::of(&[scope.as_str().as_bytes()]).0)
}

/// Where a scope's postings are. Digests are spread evenly, so the guess by proportion is nearly right.
pub(crate) fn find(cursor: &mut Cursor, scopes: Table<SCOPE_BYTES>, scope: &Scope) -> Result<Option<Range<u32>>> {
    let wanted = digest(scope);
    let count = scopes.count;
    let mut digest_at = |at: u32| cursor.record(scopes, at).map(|record| array::<DIGEST_BYTES>(&record));
    let guess = ((u64::from(number(&wanted)) * u64::from(count)) >> 32) as u32;
    // Widens around the guess until the digest is enclosed.
    let (mut low, mut high, mut step) = (guess, guess, 16_u32);
    while low > 0 && digest_at(low)? >= wanted {
        low = low.saturating_sub(step);
        step = step.saturating_mul(4);
    }
    step = 16;
    while high < count && digest_at(high)? < wanted {
        high = high.saturating_add(step).min(count);
        step = step.saturating_mul(4);
    }
    let at = partition_point(low..high, |at| Ok(digest_at(at)? < wanted))?;
    if at >= count {
        return Ok(None);
    }
    let found = ScopePostings::read(&cursor.record(scopes, at)?);
    Ok((found.digest == wanted).then(|| found.range()))
}

/// Of a scope's postings those whose entries have positions in `range`, at most `limit`, in the direction's order. Each
/// begins with its entry's number: its position less the first of those that the file is `about`.
pub(crate) fn select<const BYTES: usize>(
    cursor: &mut Cursor,
    postings: Table<BYTES>,
    of_scope: Range<u32>,
    about: &Range<u64>,
    range: &Range<u64>,
    direction: Direction,
    limit: usize,
) -> Result<Vec<[u8; BYTES]>> {
    if of_scope.end > postings.count {
        return Err(cursor.damaged("postings are missing"));
    }
    let local = |seq: u64| u32::try_from(seq.saturating_sub(about.start)).unwrap_or(u32::MAX);
    let end = local(about.end);
    let mut point = |at: Range<u32>, bound: u32| match bound {
        0 => Ok(at.start),
        bound if bound >= end => Ok(at.end),
        bound => partition_point(at, |at| Ok(number(&cursor.record(postings, at)?) < bound)),
    };
    let from = point(of_scope.clone(), local(range.start))?;
    let to = point(from..of_scope.end, local(range.end))?;
    let length = limit.min((to - from) as usize) as u32;
    let within = match direction {
        Direction::Forward => from..from + length,
        Direction::Backward => to - length..to,
    };
    let mut selected = Vec::with_capacity(within.len());
    let mut next = 0;
    for at in within {
        let posting = cursor.record(postings, at)?;
        // One that stood there twice would hide another one.
        if !(next..end).contains(&number(&posting)) {
            return Err(cursor.damaged("its numbers do not rise"));
        }
        next = number(&posting) + 1;
        selected.push(posting);
    }
    if direction == Direction::Backward {
        selected.reverse();
    }
    Ok(selected)
}

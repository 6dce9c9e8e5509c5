//! What is asked for a scope's entries, in the log's order: full segments, or several of them at once where their sidecars
//! have been merged.

use std::{ops::Range, sync::Arc};

use quipu_format::Scope;

use crate::{Result, merged, merged::Merged, open_files::OpenFiles, reader::Direction, recent::Place, sealed::Sealed};

/// Parts that are merged into one.
pub(crate) const FAN: usize = 8;
/// Segments whose sidecars are merged into one file. Its entries have numbers below 2^32: this many segments hold fewer.
const MOST_SEGMENTS: usize = FAN * FAN * FAN;

#[derive(Clone)]
pub(crate) enum Span {
    One(Arc<Sealed>),
    Many(Arc<Merged>),
}

impl Span {
    /// Positions of its entries.
    pub(crate) fn range(&self) -> Range<u64> {
        match self {
            Self::One(segment) => segment.first..segment.end(),
            Self::Many(merged) => merged.range.clone(),
        }
    }

    /// Positions and places of a scope's entries within `range`, at most `limit`, in the direction's order.
    pub(crate) fn select(
        &self,
        scope: &Scope,
        range: &Range<u64>,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(u64, Place)>> {
        match self {
            Self::One(segment) => segment.select(scope, range, direction, limit),
            Self::Many(merged) => merged.select(scope, range, direction, limit),
        }
    }
}

/// Full segments, each in one part.
pub(crate) fn arrange(sealed: &[Arc<Sealed>], merged: &[Arc<Merged>]) -> Vec<Span> {
    let mut parts = Vec::new();
    let mut next = 0;
    for segment in sealed {
        if segment.first < next {
            continue;
        }
        let part = match merged.binary_search_by_key(&segment.first, |merged| merged.range.start) {
            Ok(at) => Span::Many(merged[at].clone()),
            Err(_) => Span::One(segment.clone()),
        };
        next = part.range().end;
        parts.push(part);
    }
    parts
}

/// The merged sidecars that there are of these segments: the largest ones, none within another.
pub(crate) fn find(files: &Arc<OpenFiles>, sealed: &[Arc<Sealed>]) -> Result<Vec<Arc<Merged>>> {
    let begins = |seq: u64| sealed.binary_search_by_key(&seq, |segment| segment.first).is_ok();
    let ends = |seq: u64| sealed.binary_search_by_key(&seq, |segment| segment.end()).is_ok();
    let mut ranges: Vec<_> = files
        .names()?
        .iter()
        .filter_map(|name| merged::range_of(name))
        .collect();
    ranges.retain(|range| begins(range.start) && ends(range.end));
    ranges.sort_unstable_by_key(|range| (range.start, std::cmp::Reverse(range.end)));
    let mut found: Vec<Arc<Merged>> = Vec::new();
    for range in ranges {
        if found.last().is_none_or(|last| last.range.end <= range.start) {
            found.extend(Merged::open(files, range)?.map(Arc::new));
        }
    }
    Ok(found)
}

/// The parts that are to be merged next: as many of one size as make the next size, which begin where one of that begins
/// and have their sidecars.
pub(crate) fn due(parts: &[Span], sealed: &[Arc<Sealed>]) -> Option<Range<usize>> {
    let number = |seq: u64| sealed.partition_point(|segment| segment.first < seq);
    let size = |part: &Span| match part {
        Span::One(segment) => usize::from(segment.sidecar().is_some()),
        Span::Many(merged) => number(merged.range.end) - number(merged.range.start),
    };
    let is_due = |at: usize| {
        let wanted = size(&parts[at]);
        let merged = wanted * FAN;
        (1..=MOST_SEGMENTS).contains(&merged)
            && number(parts[at].range().start).is_multiple_of(merged)
            && parts[at..at + FAN].iter().all(|part| size(part) == wanted)
    };
    (0..(parts.len() + 1).saturating_sub(FAN))
        .find(|at| is_due(*at))
        .map(|at| at..at + FAN)
}

//! Where each entry stands, by position, name and scope. Of full segments their sidecars tell, merged or not; of the
//! newest one it is held in memory, and of each scope its count and last entry. It is derived from the log.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, PoisonError, RwLock},
};

use quipu_format::{EventId, Scope, Timestamp};

use crate::{
    Result,
    blocks::is_useless,
    disk::DiskFile,
    heads::Head,
    merged::Merged,
    open_files::OpenFiles,
    reader::Direction,
    recent::{Listed, Place, Recent},
    sealed::Sealed,
    spans::{self, Span},
};

pub(crate) struct Index {
    files: Arc<OpenFiles>,
    /// Full segments, in order.
    sealed: Arc<Vec<Arc<Sealed>>>,
    /// Merged sidecars, in order, and what is asked instead of each full segment.
    merged: Vec<Arc<Merged>>,
    parts: Arc<Vec<Span>>,
    /// The newest segment's entries, and its file.
    recent: Recent,
    file: Option<Arc<DiskFile>>,
    pub(crate) scopes: HashMap<Scope, Head>,
    /// Where somebody takes note of changed scopes: those that have got entries from that position on.
    changed: Option<(u64, Vec<Scope>)>,
}

impl Index {
    /// Of a log whose full segments and scopes are these; the segment behind them begins with `first`.
    pub(crate) fn new(
        files: Arc<OpenFiles>,
        sealed: Vec<Arc<Sealed>>,
        merged: Vec<Arc<Merged>>,
        scopes: HashMap<Scope, Head>,
        first: u64,
    ) -> Self {
        Self {
            files,
            parts: Arc::new(spans::arrange(&sealed, &merged)),
            sealed: Arc::new(sealed),
            merged,
            recent: Recent::new(first),
            file: None,
            scopes,
            changed: None,
        }
    }

    /// Position that the next entry will have.
    pub(crate) fn next(&self) -> u64 {
        self.recent.first + u64::from(self.recent.len())
    }

    /// First position in the newest segment.
    pub(crate) fn newest_first(&self) -> u64 {
        self.recent.first
    }

    /// The newest segment's file; none: no segment has been opened yet.
    pub(crate) fn newest_file(&self) -> Option<&Arc<DiskFile>> {
        self.file.as_ref()
    }

    /// Sets the newest segment's file.
    pub(crate) fn set_newest_file(&mut self, file: Arc<DiskFile>) {
        self.file = Some(file);
    }

    /// Begins a new segment: the one before is full, and ends where this begins.
    pub(crate) fn rotate(&mut self, first: u64, file: Arc<DiskFile>) {
        let full = std::mem::replace(&mut self.recent, Recent::new(first));
        let count = first.saturating_sub(full.first);
        let full = Arc::new(Sealed::new(self.files.clone(), full, count));
        Arc::make_mut(&mut self.parts).push(Span::One(full.clone()));
        Arc::make_mut(&mut self.sealed).push(full);
        self.file = Some(file);
    }

    /// Adds an entry of the newest segment. Where it is not the next one, those between are missing.
    pub(crate) fn push(&mut self, entry: Listed<'_>, range: Range<usize>) {
        let mut head = Head {
            count: entry.nth.saturating_add(1),
            last: entry.hash,
            last_seq: entry.seq,
            bytes: u64::from(entry.bytes),
        };
        match self.scopes.get_mut(entry.scope) {
            Some(known) => {
                if let Some((since, changed)) = &mut self.changed
                    && known.last_seq < *since
                {
                    changed.push(entry.scope.clone());
                }
                head.bytes += known.bytes;
                *known = head;
            }
            None => {
                if let Some((_, changed)) = &mut self.changed {
                    changed.push(entry.scope.clone());
                }
                self.scopes.insert(entry.scope.clone(), head);
            }
        }
        self.recent.push(entry, range);
    }

    /// How many entries there are, and where the scopes stand that have got some since this was asked before; at first,
    /// all.
    pub(crate) fn take_changed(&mut self) -> (u64, Vec<(Scope, Head)>) {
        let next = self.next();
        let all = || self.scopes.iter().map(|(scope, head)| (scope.clone(), *head));
        let changed = match self.changed.take() {
            None => all().collect(),
            Some((_, changed)) => {
                let heads = changed.into_iter().filter_map(|scope| {
                    let head = *self.scopes.get(&scope)?;
                    Some((scope, head))
                });
                heads.collect()
            }
        };
        self.changed = Some((next, Vec::new()));
        (next, changed)
    }

    /// Full segments, in order.
    pub(crate) fn sealed(&self) -> Arc<Vec<Arc<Sealed>>> {
        self.sealed.clone()
    }

    /// The files that it asks.
    pub(crate) fn files(&self) -> &Arc<OpenFiles> {
        &self.files
    }

    /// What is asked for a scope's entries in full segments, in order.
    pub(crate) fn parts(&self) -> Arc<Vec<Span>> {
        self.parts.clone()
    }

    /// Merged sidecars, in order.
    pub(crate) fn merged(&self) -> &[Arc<Merged>] {
        &self.merged
    }

    /// Asks these merged sidecars.
    pub(crate) fn set_merged(&mut self, merged: Vec<Arc<Merged>>) {
        self.parts = Arc::new(spans::arrange(&self.sealed, &merged));
        self.merged = merged;
    }

    /// Asks a merged sidecar instead of those that it was made of.
    pub(crate) fn adopt_merged(&mut self, merged: Arc<Merged>) {
        let mut all = std::mem::take(&mut self.merged);
        all.retain(|other| other.range.end <= merged.range.start || other.range.start >= merged.range.end);
        all.push(merged);
        all.sort_unstable_by_key(|merged| merged.range.start);
        self.set_merged(all);
    }

    /// Asks the sidecars of the segments instead of the merged one that begins there.
    pub(crate) fn drop_merged(&mut self, first: u64) {
        let mut all = std::mem::take(&mut self.merged);
        all.retain(|merged| merged.range.start != first);
        self.set_merged(all);
    }

    /// Entries of the newest segment.
    pub(crate) fn recent(&self) -> &Recent {
        &self.recent
    }
}

/// Where an entry's line stands.
pub(crate) struct Found {
    pub(crate) file: Arc<DiskFile>,
    pub(crate) place: Place,
}

/// Questions to an index that is shared. The lock is not held while a file is read.
pub(crate) trait SharedIndex {
    /// The file and place of an entry. None: there is none yet.
    fn place(&self, seq: u64) -> Result<Option<Found>>;
    /// The file of an entry. None: there is none yet.
    fn file(&self, seq: u64) -> Result<Option<Arc<DiskFile>>>;
    /// Position of the entry of that name.
    fn find(&self, id: EventId) -> Result<Option<u64>>;
    /// First position at or after an instant.
    fn seq_at(&self, ts: Timestamp) -> Result<u64>;
    /// Positions and places of a scope's entries within `range`, at most `limit`, in the direction's order.
    fn select_places(
        &self,
        scope: &Scope,
        range: Range<u64>,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(u64, Place)>>;
    /// The same, without the places.
    fn select(&self, scope: &Scope, range: Range<u64>, direction: Direction, limit: usize) -> Result<Vec<u64>> {
        let found = self.select_places(scope, range, direction, limit)?;
        Ok(found.into_iter().map(|(seq, _)| seq).collect())
    }
}

impl SharedIndex for RwLock<Index> {
    fn place(&self, seq: u64) -> Result<Option<Found>> {
        let index = self.read().unwrap_or_else(PoisonError::into_inner);
        if seq >= index.next() {
            return Ok(None);
        }
        if let Some(number) = seq.checked_sub(index.recent.first) {
            let place = index.recent.place(number as u32);
            return Ok(index.file.clone().map(|file| Found { file, place }));
        }
        let sealed = index.sealed();
        drop(index);
        let Some(segment) = sealed.get(holding(&sealed, |segment| segment.first <= seq)) else {
            return Ok(None);
        };
        let place = segment.place((seq - segment.first) as u32)?;
        let file = segment.file()?;
        Ok(Some(Found { file, place }))
    }

    fn file(&self, seq: u64) -> Result<Option<Arc<DiskFile>>> {
        let index = self.read().unwrap_or_else(PoisonError::into_inner);
        if seq >= index.recent.first {
            return Ok(index.file.clone().filter(|_| seq < index.next()));
        }
        let sealed = index.sealed();
        drop(index);
        let segment = sealed.get(holding(&sealed, |segment| segment.first <= seq));
        segment.map(|segment| segment.file()).transpose()
    }

    fn find(&self, id: EventId) -> Result<Option<u64>> {
        let index = self.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = index.recent.find(id) {
            return Ok(Some(index.recent.first + u64::from(number)));
        }
        let sealed = index.sealed();
        drop(index);
        let (mut low, mut high) = (0, sealed.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if sealed[middle].first_id()?.is_none_or(|first| first <= id) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let Some(segment) = low.checked_sub(1).and_then(|at| sealed.get(at)) else {
            return Ok(None);
        };
        Ok(segment.find(id)?.map(|number| segment.first + u64::from(number)))
    }

    fn seq_at(&self, ts: Timestamp) -> Result<u64> {
        let index = self.read().unwrap_or_else(PoisonError::into_inner);
        let in_recent = index.recent.first + u64::from(index.recent.number_at(ts));
        let sealed = index.sealed();
        if in_recent > index.recent.first {
            return Ok(in_recent);
        }
        drop(index);
        let (mut low, mut high) = (0, sealed.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let segment = &sealed[middle];
            let number = segment.number_at(ts)?;
            if u64::from(number) >= segment.count {
                low = middle + 1;
            } else if number == 0 {
                high = middle;
            } else {
                return Ok(segment.first + u64::from(number));
            }
        }
        Ok(sealed.get(low).map_or(in_recent, |segment| segment.first))
    }

    fn select_places(
        &self,
        scope: &Scope,
        range: Range<u64>,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(u64, Place)>> {
        let index = self.read().unwrap_or_else(PoisonError::into_inner);
        let Some(head) = index.scopes.get(scope) else {
            return Ok(Vec::new());
        };
        // Nothing stands behind a scope's last entry, in however many files one would look for it.
        let range = range.start..range.end.min(head.last_seq.saturating_add(1));
        let newest = index.recent.select(scope, &range, direction, limit);
        let parts = index.parts();
        drop(index);
        let from = parts.partition_point(|part| part.range().end <= range.start);
        let to = parts.partition_point(|part| part.range().start < range.end).max(from);
        let within = &parts[from..to];
        let mut found = match direction {
            Direction::Forward => Vec::new(),
            Direction::Backward => newest.clone(),
        };
        for at in 0..within.len() {
            if found.len() >= limit {
                break;
            }
            let part = match direction {
                Direction::Forward => &within[at],
                Direction::Backward => &within[within.len() - 1 - at],
            };
            match (part.select(scope, &range, direction, limit - found.len()), part) {
                (Err(error), Span::Many(merged)) if is_useless(&error) => {
                    tracing::warn!(%error, "a merged sidecar is not whole");
                    let mut index = self.write().unwrap_or_else(PoisonError::into_inner);
                    index.drop_merged(merged.range.start);
                    drop(index);
                    return self.select_places(scope, range, direction, limit);
                }
                (more, _) => found.extend(more?),
            }
        }
        if direction == Direction::Forward {
            found.extend(newest.into_iter().take(limit - found.len()));
        }
        Ok(found)
    }
}

/// Number of the last segment for which `begins` holds; out of range where there is none.
fn holding(sealed: &[Arc<Sealed>], begins: impl Fn(&Sealed) -> bool) -> usize {
    sealed
        .partition_point(|segment| begins(segment))
        .checked_sub(1)
        .unwrap_or(usize::MAX)
}

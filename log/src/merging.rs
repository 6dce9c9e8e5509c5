//! Merging sidecars, a step at a time, beside the commits: eight parts of a log become one, and eight of those again.

use std::{
    ops::Range,
    sync::{Arc, PoisonError},
};

use crate::{
    Error, ErrorKind, Result,
    blocks::{Blocks, Cursor, DATA_BYTES, Table, is_useless, number},
    disk::{Access, DiskFile},
    merged::{self, MAGIC, Merged},
    open_files::OpenFiles,
    postings::{SCOPE_BYTES, ScopePostings},
    reader::ReadState,
    recent::Place,
    sidecar::{self, Sidecar},
    spans::{self, Span},
};

/// Postings of one step, which takes some 20 ms.
const STEP: u32 = 1 << 16;

/// Merges what is due.
#[derive(Default)]
pub(crate) struct Merger {
    current: Option<Merging>,
}

impl Merger {
    /// Goes on for a step. Returns whether there may be more to do. After an error too, it can be tried again.
    pub(crate) fn step(&mut self, state: &ReadState) -> Result<bool> {
        let mut merging = match self.current.take() {
            Some(merging) => merging,
            None => match begin(state)? {
                Some(merging) => merging,
                None => return Ok(false),
            },
        };
        match merging.step(STEP) {
            Ok(None) => self.current = Some(merging),
            Ok(Some(merged)) => {
                let mut index = state.index.write().unwrap_or_else(PoisonError::into_inner);
                index.adopt_merged(Arc::new(merged));
                drop(index);
                discard_others(state)?;
            }
            Err(error) => {
                if is_useless(&error) {
                    merging.distrust(state)?;
                }
                return Err(error);
            }
        }
        Ok(true)
    }

    /// Leaves off: the ledger is closed.
    pub(crate) fn stop(&mut self, state: &ReadState) -> Result<()> {
        match self.current.take() {
            Some(_) => discard_others(state),
            None => Ok(()),
        }
    }
}

fn begin(state: &ReadState) -> Result<Option<Merging>> {
    let index = state.index.read().unwrap_or_else(PoisonError::into_inner);
    let (parts, sealed, files) = (index.parts(), index.sealed(), index.files().clone());
    drop(index);
    let Some(due) = spans::due(&parts, &sealed) else {
        return Ok(None);
    };
    discard_others(state)?;
    Merging::begin(files, parts[due].to_vec()).map(Some)
}

/// Removes merged sidecars that are not used: what they held is in a larger one, or they were not finished.
fn discard_others(state: &ReadState) -> Result<()> {
    let index = state.index.read().unwrap_or_else(PoisonError::into_inner);
    let (parts, files) = (index.parts(), index.files().clone());
    drop(index);
    for name in files.names()? {
        let range = merged::range_of(name.strip_suffix(FRESH).unwrap_or(&name));
        let is_used = |range| {
            parts
                .iter()
                .any(|part| matches!(part, Span::Many(m) if m.range == range))
        };
        if range.is_some_and(|range| name.ends_with(FRESH) || !is_used(range)) {
            files.discard(&name)?;
        }
    }
    Ok(())
}

/// Ending of the name of a file that is not finished.
const FRESH: &str = ".new";

/// One file as it is made. Of each segment 8 bytes an entry are held in memory, and of each scope 24 bytes.
struct Merging {
    files: Arc<OpenFiles>,
    range: Range<u64>,
    sources: Vec<Source>,
    /// The source that could not be read.
    suspect: Option<usize>,
    file: DiskFile,
    blocks: Blocks,
    /// Postings that were taken.
    taken: u32,
    scopes: Vec<ScopePostings>,
}

impl Merging {
    fn begin(files: Arc<OpenFiles>, parts: Vec<Span>) -> Result<Self> {
        let range = match (parts.first(), parts.last()) {
            (Some(first), Some(last)) => first.range().start..last.range().end,
            _ => 0..0,
        };
        let sources = parts.into_iter().map(Source::new).collect::<Vec<_>>();
        let file = files
            .folder()
            .create_file(&(merged::file_name(&range) + FRESH), Access::Usual)?;
        Ok(Self {
            files,
            range,
            sources,
            suspect: None,
            file,
            blocks: Blocks::from(1),
            taken: 0,
            scopes: Vec::new(),
        })
    }

    /// Takes at most so many postings. None: there is more to do.
    fn step(&mut self, most: u32) -> Result<Option<Merged>> {
        for at in 0..self.sources.len() {
            let opened = self.sources[at].open();
            self.of_source(at, opened)?;
        }
        let until = self.taken.saturating_add(most);
        while self.taken < until {
            let heads = self.sources.iter().map(Source::scope);
            let least = heads
                .enumerate()
                .filter_map(|(at, scope)| Some((scope?.digest, at)))
                .min();
            let Some((digest, at)) = least else {
                return self.finish().map(Some);
            };
            if self.scopes.last().is_none_or(|last| last.digest != digest) {
                self.scopes.push(ScopePostings {
                    digest,
                    first: self.taken,
                    count: 0,
                });
            }
            let taken = self.sources[at].take(self.range.start, until - self.taken, &mut self.blocks);
            let taken = self.of_source(at, taken)?;
            self.taken += taken;
            if let Some(scope) = self.scopes.last_mut() {
                scope.count += taken;
            }
        }
        self.write()?;
        Ok(None)
    }

    fn of_source<T>(&mut self, at: usize, result: Result<T>) -> Result<T> {
        if result.is_err() {
            self.suspect = Some(at);
        }
        result
    }

    /// Writes the blocks that are whole. Synced at once: little by little it is in nobody's way.
    fn write(&mut self) -> Result<()> {
        let (bytes, offset) = self.blocks.take();
        self.file.write_all_at(&bytes, offset)?;
        self.file.sync_all()
    }

    fn finish(&mut self) -> Result<Merged> {
        self.blocks.end_table();
        for scope in &self.scopes {
            self.blocks.push(&scope.write());
        }
        self.blocks.end_table();
        let mut head = Vec::with_capacity(DATA_BYTES);
        head.extend_from_slice(MAGIC);
        for field in [
            self.range.start,
            self.range.end,
            u64::from(self.taken),
            self.scopes.len() as u64,
        ] {
            head.extend_from_slice(&field.to_be_bytes());
        }
        let mut first = Blocks::default();
        first.push(&head);
        first.end_table();
        self.file.write_all_at(&first.take().0, 0)?;
        self.write()?;
        let (folder, name) = (self.files.folder(), merged::file_name(&self.range));
        folder.rename(&(name.clone() + FRESH), &name)?;
        folder.sync()?;
        self.files.forget(&name);
        Merged::open(&self.files, self.range.clone())?
            .ok_or_else(|| Error::new(ErrorKind::Corrupt, format!("log/{name} is not what was written")))
    }

    /// Does without the source that could not be read: it is made anew.
    fn distrust(&self, state: &ReadState) -> Result<()> {
        match self.suspect.map(|at| &self.sources[at].part) {
            None => Ok(()),
            Some(Span::One(segment)) => segment.read_again().map(|_| ()),
            Some(Span::Many(merged)) => {
                let mut index = state.index.write().unwrap_or_else(PoisonError::into_inner);
                index.drop_merged(merged.range.start);
                drop(index);
                self.files.discard(&merged.name())
            }
        }
    }
}

/// A sidecar, merged or not, that is read from its beginning to its end.
struct Source {
    part: Span,
    tables: Option<Tables>,
}

struct Tables {
    postings: Postings,
    scopes: Table<SCOPE_BYTES>,
    in_postings: Cursor,
    in_scopes: Cursor,
    /// What is left of the present scope; none: there are no more.
    scope: Option<ScopePostings>,
    /// Scopes that were read, and postings.
    read: u32,
    taken: u32,
    /// First number that may come next.
    next: u32,
    end: u32,
}

enum Postings {
    One(Arc<Sidecar>, Vec<Place>),
    Many(Arc<Merged>),
}

impl Source {
    fn new(part: Span) -> Self {
        Self { part, tables: None }
    }

    /// Opens it if it is not.
    fn open(&mut self) -> Result<()> {
        if self.tables.is_some() {
            return Ok(());
        }
        let (postings, scopes, in_postings, in_scopes) = match &self.part {
            Span::One(segment) => {
                let Some(sidecar) = segment.sidecar() else {
                    let name = sidecar::file_name(segment.first);
                    return Err(Error::new(ErrorKind::NotFound, format!("log/{name} is not there yet")));
                };
                let (scopes, places) = (sidecar.scopes, sidecar.places()?);
                let (in_postings, in_scopes) = (sidecar.cursor()?, sidecar.cursor()?);
                (Postings::One(sidecar, places), scopes, in_postings, in_scopes)
            }
            Span::Many(merged) => {
                let (in_postings, in_scopes) = (merged.cursor()?, merged.cursor()?);
                (Postings::Many(merged.clone()), merged.scopes, in_postings, in_scopes)
            }
        };
        let range = self.part.range();
        let mut tables = Tables {
            postings,
            scopes,
            in_postings,
            in_scopes,
            scope: None,
            read: 0,
            taken: 0,
            next: 0,
            end: u32::try_from(range.end - range.start).unwrap_or(u32::MAX),
        };
        tables.next_scope()?;
        self.tables = Some(tables);
        Ok(())
    }

    /// The scope whose postings come next.
    fn scope(&self) -> Option<&ScopePostings> {
        self.tables.as_ref()?.scope.as_ref()
    }

    /// Takes at most so many of the present scope's postings, for a file that begins with this position.
    fn take(&mut self, first: u64, most: u32, blocks: &mut Blocks) -> Result<u32> {
        let start = self.part.range().start;
        let Some(tables) = &mut self.tables else { return Ok(0) };
        let Some(scope) = tables.scope else { return Ok(0) };
        let count = scope.count.min(most);
        for _ in 0..count {
            let (at, place) = tables.next_posting()?;
            let mut posting = [0; merged::POSTING_BYTES];
            posting[..4].copy_from_slice(&((start - first) as u32 + at).to_be_bytes());
            posting[4..8].copy_from_slice(&place.offset.to_be_bytes());
            posting[8..].copy_from_slice(&place.length.to_be_bytes());
            blocks.push(&posting);
        }
        match count == scope.count {
            true => tables.next_scope()?,
            false => {
                tables.scope = Some(ScopePostings {
                    count: scope.count - count,
                    ..scope
                });
            }
        }
        Ok(count)
    }
}

impl Tables {
    /// Number and place of the next entry of the present scope.
    fn next_posting(&mut self) -> Result<(u32, Place)> {
        let at = self.taken;
        let (at, place) = match &self.postings {
            Postings::One(sidecar, places) => {
                let at = number(&self.in_postings.record(sidecar.postings, at)?);
                (at, places.get(at as usize).copied().unwrap_or_default())
            }
            Postings::Many(merged) => {
                let (seq, place) = merged.posting(&self.in_postings.record(merged.postings, at)?);
                ((seq - merged.range.start) as u32, place)
            }
        };
        if !(self.next..self.end).contains(&at) {
            return Err(self.in_postings.damaged("its numbers do not rise"));
        }
        (self.next, self.taken) = (at + 1, self.taken + 1);
        Ok((at, place))
    }

    /// Goes on to the next scope: its digest is a higher one, and its postings are those that follow.
    fn next_scope(&mut self) -> Result<()> {
        let before = self.scope.map(|scope| scope.digest);
        self.scope = None;
        self.next = 0;
        if self.read < self.scopes.count {
            let scope = ScopePostings::read(&self.in_scopes.record(self.scopes, self.read)?);
            if scope.first != self.taken || scope.count == 0 || before.is_some_and(|before| before >= scope.digest) {
                return Err(self.in_scopes.damaged("its scopes are not in order"));
            }
            self.read += 1;
            self.scope = Some(scope);
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "merging_tests.rs"]
mod tests;

//! The file `log/<first>-<last>.idx`: the postings of the sidecars of several full segments, merged, so that a page asks
//! a few files however long the log is. Like a sidecar it is derived, made anew where it is missing or damaged, and never
//! trusted. docs/FORMAT.md, "Merged sidecar".

use std::{ops::Range, sync::Arc};

use quipu_format::Scope;

use crate::{
    Result,
    blocks::{Cursor, Table, array, is_useless, number},
    open_files::OpenFiles,
    postings::{self, SCOPE_BYTES},
    reader::Direction,
    recent::Place,
};

pub(crate) const MAGIC: &[u8; 16] = b"quipu-merged 1\n\n";
/// Bytes of a posting: its entry's number, and where the line stands in its segment.
pub(crate) const POSTING_BYTES: usize = 12;

/// Name of the file of the entries in a range.
pub(crate) fn file_name(range: &Range<u64>) -> String {
    format!("{:020}-{:020}.idx", range.start, range.end - 1)
}

/// The entries that a file of that name is about.
pub(crate) fn range_of(name: &str) -> Option<Range<u64>> {
    let (first, last) = name.strip_suffix(".idx")?.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let range = first..last.checked_add(1).filter(|end| *end > first)?;
    (file_name(&range) == name).then_some(range)
}

/// A merged sidecar that is there; what it holds is read when it is asked for.
pub(crate) struct Merged {
    files: Arc<OpenFiles>,
    pub(crate) range: Range<u64>,
    pub(crate) scopes: Table<SCOPE_BYTES>,
    pub(crate) postings: Table<POSTING_BYTES>,
}

impl Merged {
    /// None: there is no whole one of these entries.
    pub(crate) fn open(files: &Arc<OpenFiles>, range: Range<u64>) -> Result<Option<Self>> {
        let opened = Cursor::new(files, &file_name(&range)).and_then(|mut cursor| cursor.block(0).map(<[u8]>::to_vec));
        let head = match opened {
            Ok(head) => head,
            Err(e) if is_useless(&e) => return Ok(None),
            Err(e) => return Err(e),
        };
        let field = |at: usize| u64::from_be_bytes(array(&head[at..]));
        let postings = Table::new(1, field(32) as u32);
        let scopes = Table::new(postings.end(), field(40) as u32);
        let fits = head[..16] == *MAGIC && field(16) == range.start && field(24) == range.end;
        Ok(fits.then(|| Self {
            files: files.clone(),
            range,
            scopes,
            postings,
        }))
    }

    pub(crate) fn cursor(&self) -> Result<Cursor> {
        Cursor::new(&self.files, &self.name())
    }

    pub(crate) fn name(&self) -> String {
        file_name(&self.range)
    }

    /// Positions and places of a scope's entries within `range`, at most `limit`, in the direction's order.
    pub(crate) fn select(
        &self,
        scope: &Scope,
        range: &Range<u64>,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(u64, Place)>> {
        let mut cursor = self.cursor()?;
        let Some(of_scope) = postings::find(&mut cursor, self.scopes, scope)? else {
            return Ok(Vec::new());
        };
        let about = &self.range;
        let selected = postings::select(&mut cursor, self.postings, of_scope, about, range, direction, limit)?;
        Ok(selected.iter().map(|posting| self.posting(posting)).collect())
    }

    /// Position and place that a posting gives.
    pub(crate) fn posting(&self, posting: &[u8; POSTING_BYTES]) -> (u64, Place) {
        let place = Place {
            offset: number(&posting[4..]),
            length: number(&posting[8..]),
        };
        (self.range.start + u64::from(number(posting)), place)
    }

    /// Bytes of the file.
    pub(crate) fn bytes(&self) -> Result<u64> {
        self.files.get(&self.name())?.len()
    }
}

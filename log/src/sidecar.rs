//! The file `log/<first>.idx` beside a sealed segment: where each of its entries stands, by number, name, scope and
//! idempotency key. It is derived from the segment, made anew where it is missing or damaged, and never trusted: an
//! entry that it leads to is read and checked. docs/FORMAT.md, "Sidecar".

use std::{ops::Range, sync::Arc};

use quipu_format::{EventId, IdempotencyKey, Scope, Timestamp};
use ulid::Ulid;

use crate::{
    Result,
    blocks::{Blocks, Cursor, DATA_BYTES, Table, array, is_useless, number, partition_point},
    disk::{Access, Folder},
    open_files::OpenFiles,
    postings::{self, SCOPE_BYTES, ScopePostings},
    reader::Direction,
    recent::{Place, Recent},
};

const MAGIC: &[u8; 16] = b"quipu-sidecar 1\n";
/// Bytes of the records: an entry's place and name; an entry's number; an idempotency key and its entry's number.
const ENTRY_BYTES: usize = 24;
const POSTING_BYTES: usize = 4;
const KEYED_BYTES: usize = 20;

pub(crate) fn file_name(first: u64) -> String {
    format!("{first:020}.idx")
}

/// A sidecar that is there; what it holds is read when it is asked for.
pub(crate) struct Sidecar {
    files: Arc<OpenFiles>,
    name: String,
    first: u64,
    /// Bytes of all lines of the segment.
    pub(crate) entry_bytes: u64,
    entries: Table<ENTRY_BYTES>,
    pub(crate) scopes: Table<SCOPE_BYTES>,
    pub(crate) postings: Table<POSTING_BYTES>,
    keyed: Table<KEYED_BYTES>,
}

impl Sidecar {
    /// Writes the sidecar of a full segment, durably.
    pub(crate) fn write(log: &Folder, recent: &Recent) -> Result<()> {
        log.replace(&file_name(recent.first), &encode(recent), Access::Usual)
    }

    /// None: there is no whole sidecar of a segment that begins with `first` and holds `count` entries.
    pub(crate) fn open(files: &Arc<OpenFiles>, first: u64, count: u64) -> Result<Option<Self>> {
        let name = file_name(first);
        let opened = Cursor::new(files, &name).and_then(|mut cursor| cursor.block(0).map(<[u8]>::to_vec));
        let head = match opened {
            Ok(head) => head,
            Err(e) if is_useless(&e) => return Ok(None),
            Err(e) => return Err(e),
        };
        let number = |at: usize| u64::from_be_bytes(array(&head[at..]));
        let entries = Table::new(1, number(32) as u32);
        let scopes = Table::new(entries.end(), number(40) as u32);
        let postings = Table::new(scopes.end(), number(48) as u32);
        let keyed = Table::new(postings.end(), number(56) as u32);
        let fits = head[..16] == *MAGIC && number(16) == first && u64::from(entries.count) == count;
        Ok(fits.then(|| Self {
            files: files.clone(),
            name,
            first,
            entry_bytes: number(24),
            entries,
            scopes,
            postings,
            keyed,
        }))
    }

    pub(crate) fn cursor(&self) -> Result<Cursor> {
        Cursor::new(&self.files, &self.name)
    }

    /// Keyed entries in the segment.
    pub(crate) fn keyed_count(&self) -> u32 {
        self.keyed.count
    }

    pub(crate) fn place(&self, number: u32) -> Result<Place> {
        self.place_at(&mut self.cursor()?, number)
    }

    /// Where each entry stands, in the order of their numbers.
    pub(crate) fn places(&self) -> Result<Vec<Place>> {
        let mut cursor = self.cursor()?;
        (0..self.entries.count)
            .map(|number| self.place_at(&mut cursor, number))
            .collect()
    }

    pub(crate) fn id(&self, number: u32) -> Result<Ulid> {
        self.id_at(&mut self.cursor()?, number)
    }

    pub(crate) fn find(&self, id: EventId) -> Result<Option<u32>> {
        let mut cursor = self.cursor()?;
        let count = self.entries.count;
        let at = partition_point(0..count, |number| Ok(self.id_at(&mut cursor, number)? < id.0))?;
        let found = at < count && self.id_at(&mut cursor, at)? == id.0 && self.place_at(&mut cursor, at)?.length > 0;
        Ok(found.then_some(at))
    }

    pub(crate) fn number_at(&self, ts: Timestamp) -> Result<u32> {
        let mut cursor = self.cursor()?;
        partition_point(0..self.entries.count, |number| {
            Ok(self.id_at(&mut cursor, number)?.timestamp_ms() < ts.as_ms())
        })
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
        let about = self.first..self.first + u64::from(self.entries.count);
        postings::select(&mut cursor, self.postings, of_scope, &about, range, direction, limit)?
            .iter()
            .map(|posting| {
                let place = self.place_at(&mut cursor, number(posting))?;
                Ok((self.first + u64::from(number(posting)), place))
            })
            .collect()
    }

    /// All idempotency keys, in the order of their entries.
    pub(crate) fn keyed(&self) -> Result<Vec<(IdempotencyKey, u32)>> {
        let mut cursor = self.cursor()?;
        (0..self.keyed.count)
            .map(|at| {
                let record = cursor.record(self.keyed, at)?;
                Ok((IdempotencyKey(array(&record)), number(&record[16..])))
            })
            .collect()
    }

    /// Bytes of the file.
    pub(crate) fn bytes(&self) -> Result<u64> {
        self.files.get(&self.name)?.len()
    }

    fn place_at(&self, cursor: &mut Cursor, at: u32) -> Result<Place> {
        if at >= self.entries.count {
            return Ok(Place::default());
        }
        let record = cursor.record(self.entries, at)?;
        Ok(Place {
            offset: number(&record),
            length: number(&record[4..]),
        })
    }

    fn id_at(&self, cursor: &mut Cursor, at: u32) -> Result<Ulid> {
        let record = cursor.record(self.entries, at)?;
        Ok(Ulid(u128::from_be_bytes(array(&record[8..]))))
    }
}

/// The whole file.
fn encode(recent: &Recent) -> Vec<u8> {
    let mut scopes: Vec<_> = recent
        .scopes
        .iter()
        .map(|(scope, postings)| (postings::digest(scope), &postings.numbers))
        .collect();
    scopes.sort_unstable_by_key(|(digest, _)| *digest);
    let counts = [
        recent.places.len(),
        scopes.len(),
        scopes.iter().map(|(_, numbers)| numbers.len()).sum(),
        recent.keyed.len(),
    ];
    let mut head = Vec::with_capacity(DATA_BYTES);
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&recent.first.to_be_bytes());
    head.extend_from_slice(&recent.entry_bytes.to_be_bytes());
    for count in counts {
        head.extend_from_slice(&(count as u64).to_be_bytes());
    }
    let mut file = Blocks::default();
    file.push(&head);
    file.end_table();
    for (place, id) in recent.places.iter().zip(&recent.ids) {
        let mut record = [0; ENTRY_BYTES];
        record[..4].copy_from_slice(&place.offset.to_be_bytes());
        record[4..8].copy_from_slice(&place.length.to_be_bytes());
        record[8..].copy_from_slice(&id.0.to_be_bytes());
        file.push(&record);
    }
    file.end_table();
    let mut first = 0;
    for (digest, numbers) in &scopes {
        let (digest, count) = (*digest, numbers.len() as u32);
        file.push(&ScopePostings { digest, first, count }.write());
        first += count;
    }
    file.end_table();
    for number in scopes.iter().flat_map(|(_, numbers)| numbers.iter()) {
        file.push(&number.to_be_bytes());
    }
    file.end_table();
    for (key, number) in &recent.keyed {
        let mut record = [0; KEYED_BYTES];
        record[..16].copy_from_slice(&key.0);
        record[16..].copy_from_slice(&number.to_be_bytes());
        file.push(&record);
    }
    file.end_table();
    file.take().0
}

#[cfg(test)]
#[path = "sidecar_tests.rs"]
pub(crate) mod tests;

//! The file `log/<first>.idx` beside a sealed segment: where each of its entries stands, by number, name, scope and
//! idempotency key. It is derived from the segment, made anew where it is missing or damaged, and never trusted: an
//! entry that it leads to is read and checked. docs/FORMAT.md, "Sidecar".

use std::{ops::Range, sync::Arc};

use quipu_format::{EventId, Hash, IdempotencyKey, Scope, Timestamp, checksum};
use ulid::Ulid;

use crate::{
    Error, ErrorKind, Result,
    disk::{Access, Folder},
    open_files::OpenFiles,
    reader::Direction,
    recent::{Place, Recent},
};

const MAGIC: &[u8; 16] = b"quipu-sidecar 1\n";
/// Bytes of a block: data, the block's number in 8 bytes, and the checksum of both in 8 hexadecimal digits.
const BLOCK_BYTES: usize = 4_096;
const DATA_BYTES: usize = BLOCK_BYTES - 16;
/// Bytes of a scope's digest in a record.
const DIGEST_BYTES: usize = 16;

/// The kinds of records, in the order of the file, and their bytes.
#[derive(Clone, Copy)]
enum Table {
    /// Offset, length, name: one for each entry.
    Entries = 0,
    /// First bytes of SHA-256(scope), first posting, postings: sorted.
    Scopes = 1,
    /// Numbers of entries, scope after scope.
    Postings = 2,
    /// Idempotency key, number of its entry: in the order of entries.
    Keyed = 3,
}

const RECORD_BYTES: [usize; 4] = [24, DIGEST_BYTES + 8, 4, 20];

pub(crate) fn file_name(first: u64) -> String {
    format!("{first:020}.idx")
}

/// A sidecar that is there; what it holds is read when it is asked for.
pub(crate) struct Sidecar {
    files: Arc<OpenFiles>,
    name: String,
    /// Bytes of all lines of the segment.
    pub(crate) entry_bytes: u64,
    /// Records of each table.
    counts: [u32; 4],
}

impl Sidecar {
    /// Writes the sidecar of a full segment, durably.
    pub(crate) fn write(log: &Folder, recent: &Recent) -> Result<()> {
        log.replace(&file_name(recent.first), &encode(recent), Access::Usual)
    }

    /// None: there is no whole sidecar of a segment that begins with `first` and holds `count` entries.
    pub(crate) fn open(files: &Arc<OpenFiles>, first: u64, count: u64) -> Result<Option<Self>> {
        let mut this = Self {
            files: files.clone(),
            name: file_name(first),
            entry_bytes: 0,
            counts: [0; 4],
        };
        let head = match this.block(0) {
            Ok(head) => head,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => return Ok(None),
            Err(e) => return Err(e),
        };
        let number = |at: usize| u64::from_be_bytes(array(&head[at..]));
        this.entry_bytes = number(24);
        for (table, count) in this.counts.iter_mut().enumerate() {
            *count = number(32 + 8 * table) as u32;
        }
        let fits = head[..16] == *MAGIC && number(16) == first && u64::from(this.counts[0]) == count;
        Ok(fits.then_some(this))
    }

    pub(crate) fn len(&self) -> u32 {
        self.counts[Table::Entries as usize]
    }

    /// Keyed entries in the segment.
    pub(crate) fn keyed_count(&self) -> u32 {
        self.counts[Table::Keyed as usize]
    }

    pub(crate) fn place(&self, number: u32) -> Result<Place> {
        if number >= self.len() {
            return Ok(Place::default());
        }
        self.record::<24, _>(Table::Entries, number, |record| Place {
            offset: u32::from_be_bytes(array(record)),
            length: u32::from_be_bytes(array(&record[4..])),
        })
    }

    pub(crate) fn id(&self, number: u32) -> Result<Ulid> {
        self.record::<24, _>(Table::Entries, number, |record| {
            Ulid(u128::from_be_bytes(array(&record[8..])))
        })
    }

    pub(crate) fn find(&self, id: EventId) -> Result<Option<u32>> {
        let at = partition_point(0..self.len(), |number| Ok(self.id(number)? < id.0))?;
        Ok((at < self.len() && self.id(at)? == id.0 && self.place(at)?.length > 0).then_some(at))
    }

    pub(crate) fn number_at(&self, ts: Timestamp) -> Result<u32> {
        partition_point(0..self.len(), |number| Ok(self.id(number)?.timestamp_ms() < ts.as_ms()))
    }

    pub(crate) fn select(
        &self,
        scope: &Scope,
        range: Range<u32>,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<u32>> {
        let Some(postings) = self.postings(scope)? else {
            return Ok(Vec::new());
        };
        let from = partition_point(postings.clone(), |at| Ok(self.posting(at)? < range.start))?;
        let to = partition_point(from..postings.end, |at| Ok(self.posting(at)? < range.end))?;
        let length = limit.min((to - from) as usize) as u32;
        let within = match direction {
            Direction::Forward => from..from + length,
            Direction::Backward => to - length..to,
        };
        let mut numbers = within.map(|at| self.posting(at)).collect::<Result<Vec<_>>>()?;
        if direction == Direction::Backward {
            numbers.reverse();
        }
        Ok(numbers)
    }

    /// All idempotency keys, in the order of their entries.
    pub(crate) fn keyed(&self) -> impl Iterator<Item = Result<(IdempotencyKey, u32)>> + '_ {
        (0..self.keyed_count()).map(|at| {
            self.record::<20, _>(Table::Keyed, at, |record| {
                (IdempotencyKey(array(record)), u32::from_be_bytes(array(&record[16..])))
            })
        })
    }

    /// Bytes of the file.
    pub(crate) fn bytes(&self) -> Result<u64> {
        self.files.get(&self.name)?.len()
    }

    /// Where a scope's postings are. Digests are spread evenly, so the guess by proportion is nearly right.
    fn postings(&self, scope: &Scope) -> Result<Option<Range<u32>>> {
        let wanted = digest(scope);
        let count = self.counts[Table::Scopes as usize];
        let digest_at = |at: u32| self.record::<24, _>(Table::Scopes, at, |record| array::<DIGEST_BYTES>(record));
        let head = u64::from(u32::from_be_bytes(array(&wanted)));
        let guess = ((head * u64::from(count)) >> 32) as u32;
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
        self.record::<24, _>(Table::Scopes, at, |record| {
            let start = u32::from_be_bytes(array(&record[DIGEST_BYTES..]));
            let length = u32::from_be_bytes(array(&record[DIGEST_BYTES + 4..]));
            (record[..DIGEST_BYTES] == wanted).then(|| start..start.saturating_add(length))
        })
    }

    fn posting(&self, at: u32) -> Result<u32> {
        self.record::<4, _>(Table::Postings, at, |record| u32::from_be_bytes(*record))
    }

    /// Reads one record of a table.
    fn record<const BYTES: usize, T>(&self, table: Table, at: u32, read: impl FnOnce(&[u8; BYTES]) -> T) -> Result<T> {
        if at >= self.counts[table as usize] {
            return Err(self.damaged("a record is missing"));
        }
        let before: u64 = (0..table as usize).map(|table| blocks(table, self.counts[table])).sum();
        let in_block = (DATA_BYTES / BYTES) as u32;
        let block = self.block(1 + before + u64::from(at / in_block))?;
        let from = (at % in_block) as usize * BYTES;
        Ok(read(&array(&block[from..])))
    }

    /// Data of a block whose checksum is right.
    fn block(&self, number: u64) -> Result<Vec<u8>> {
        let file = self.files.get(&self.name)?;
        let mut block = file.read_range(number * BLOCK_BYTES as u64, BLOCK_BYTES)?;
        let whole = block
            .split_last_chunk::<8>()
            .is_some_and(|(covered, crc)| covered.ends_with(&number.to_be_bytes()) && checksum(covered) == *crc);
        if block.len() != BLOCK_BYTES || !whole {
            return Err(self.damaged(&format!("block {number} is not whole")));
        }
        block.truncate(DATA_BYTES);
        Ok(block)
    }

    fn damaged(&self, why: &str) -> Error {
        let message = format!("log/{} is damaged ({why}); it is made anew from its segment", self.name);
        Error::new(ErrorKind::Corrupt, message)
    }
}

/// First number in the range for which `before` is false.
fn partition_point(range: Range<u32>, before: impl Fn(u32) -> Result<bool>) -> Result<u32> {
    let Range { mut start, mut end } = range;
    while start < end {
        let middle = start + (end - start) / 2;
        if before(middle)? {
            start = middle + 1;
        } else {
            end = middle;
        }
    }
    Ok(start)
}

fn blocks(table: usize, records: u32) -> u64 {
    u64::from(records).div_ceil((DATA_BYTES / RECORD_BYTES[table]) as u64)
}

fn digest(scope: &Scope) -> [u8; DIGEST_BYTES] {
    array(&Hash::of(&[scope.as_str().as_bytes()]).0)
}

/// The first bytes of a slice that is long enough.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[..N]);
    array
}

/// The whole file.
fn encode(recent: &Recent) -> Vec<u8> {
    let mut scopes: Vec<_> = recent
        .scopes
        .iter()
        .map(|(scope, postings)| (digest(scope), &postings.numbers))
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
    counts
        .iter()
        .for_each(|&count| head.extend_from_slice(&(count as u64).to_be_bytes()));
    let mut file = Blocks::default();
    file.records(std::iter::once(head), DATA_BYTES);
    let entries = recent.places.iter().zip(&recent.ids).map(|(place, id)| {
        [
            &place.offset.to_be_bytes()[..],
            &place.length.to_be_bytes(),
            &id.0.to_be_bytes(),
        ]
        .concat()
    });
    file.records(entries, RECORD_BYTES[Table::Entries as usize]);
    let mut posting = 0_u32;
    let records = scopes.iter().map(|(digest, numbers)| {
        let length = numbers.len() as u32;
        let record = [&digest[..], &posting.to_be_bytes(), &length.to_be_bytes()].concat();
        posting += length;
        record
    });
    file.records(records, RECORD_BYTES[Table::Scopes as usize]);
    let numbers = scopes.iter().flat_map(|(_, numbers)| numbers.iter());
    file.records(
        numbers.map(|number| number.to_be_bytes().to_vec()),
        RECORD_BYTES[Table::Postings as usize],
    );
    let keyed = recent
        .keyed
        .iter()
        .map(|(key, number)| [&key.0[..], &number.to_be_bytes()].concat());
    file.records(keyed, RECORD_BYTES[Table::Keyed as usize]);
    file.bytes
}

#[derive(Default)]
struct Blocks {
    bytes: Vec<u8>,
}

impl Blocks {
    /// Adds a table: as many whole records a block as fit, zeros behind them.
    fn records(&mut self, records: impl Iterator<Item = Vec<u8>>, record_bytes: usize) {
        let in_block = DATA_BYTES / record_bytes;
        let mut data = Vec::with_capacity(DATA_BYTES);
        for (at, record) in records.enumerate() {
            if at > 0 && at.is_multiple_of(in_block) {
                self.block(&mut data);
            }
            data.extend_from_slice(&record);
        }
        if !data.is_empty() {
            self.block(&mut data);
        }
    }

    fn block(&mut self, data: &mut Vec<u8>) {
        data.resize(DATA_BYTES, 0);
        let number = (self.bytes.len() / BLOCK_BYTES) as u64;
        data.extend_from_slice(&number.to_be_bytes());
        self.bytes.extend_from_slice(data);
        self.bytes.extend_from_slice(&checksum(data));
        data.clear();
    }
}

#[cfg(test)]
#[path = "sidecar_tests.rs"]
mod tests;

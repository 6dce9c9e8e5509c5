//! Files of blocks that each carry their number and a checksum, and in them tables of records: what sidecars are made of.
//! docs/FORMAT.md, "Sidecar".

use std::{ops::Range, sync::Arc};

use quipu_format::checksum;

use crate::{Error, ErrorKind, Result, disk::DiskFile, open_files::OpenFiles};

/// Bytes of a block: data, the block's number in 8 bytes, and the checksum of both in 8 hexadecimal digits.
pub(crate) const BLOCK_BYTES: usize = 4_096;
pub(crate) const DATA_BYTES: usize = BLOCK_BYTES - 16;

/// A table of records of `BYTES`, as many whole ones a block as fit.
#[derive(Clone, Copy)]
pub(crate) struct Table<const BYTES: usize> {
    first_block: u64,
    pub(crate) count: u32,
}

impl<const BYTES: usize> Table<BYTES> {
    pub(crate) fn new(first_block: u64, count: u32) -> Self {
        Self { first_block, count }
    }

    /// Number of the block behind it.
    pub(crate) fn end(&self) -> u64 {
        self.first_block + u64::from(self.count).div_ceil((DATA_BYTES / BYTES) as u64)
    }
}

/// Reads blocks of a file, and keeps the last one: records that are read together stand together.
pub(crate) struct Cursor {
    file: Arc<DiskFile>,
    last: Option<(u64, Vec<u8>)>,
}

impl Cursor {
    /// Over the file of that name, opened if it is not.
    pub(crate) fn new(files: &OpenFiles, name: &str) -> Result<Self> {
        Ok(Self {
            file: files.get(name)?,
            last: None,
        })
    }

    /// A record of a table.
    pub(crate) fn record<const BYTES: usize>(&mut self, table: Table<BYTES>, at: u32) -> Result<[u8; BYTES]> {
        if at >= table.count {
            return Err(self.damaged("a record is missing"));
        }
        let in_block = (DATA_BYTES / BYTES) as u32;
        let block = self.block(table.first_block + u64::from(at / in_block))?;
        let from = (at % in_block) as usize * BYTES;
        Ok(array(&block[from..]))
    }

    /// Data of a block whose checksum is right.
    pub(crate) fn block(&mut self, number: u64) -> Result<&[u8]> {
        if self.last.as_ref().is_none_or(|(last, _)| *last != number) {
            let mut block = self.file.read_range(number * BLOCK_BYTES as u64, BLOCK_BYTES)?;
            let whole = block
                .split_last_chunk::<8>()
                .is_some_and(|(covered, crc)| covered.ends_with(&number.to_be_bytes()) && checksum(covered) == *crc);
            if block.len() != BLOCK_BYTES || !whole {
                return Err(self.damaged(&format!("block {number} is not whole")));
            }
            block.truncate(DATA_BYTES);
            self.last = Some((number, block));
        }
        Ok(self.last.as_ref().map_or(&[], |(_, block)| block))
    }

    pub(crate) fn damaged(&self, why: &str) -> Error {
        let message = format!("{} is damaged ({why}); it is made anew from the log", self.file.name());
        Error::new(ErrorKind::Corrupt, message)
    }
}

/// First number in the range for which `before` is false.
pub(crate) fn partition_point(range: Range<u32>, mut before: impl FnMut(u32) -> Result<bool>) -> Result<u32> {
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

/// The first bytes of a slice that is long enough.
pub(crate) fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[..N]);
    array
}

/// The number in the first four bytes of a slice that is long enough.
pub(crate) fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(array(bytes))
}

/// Makes blocks of records.
#[derive(Default)]
pub(crate) struct Blocks {
    /// Number of the next block.
    next: u64,
    /// Whole blocks that were not taken.
    bytes: Vec<u8>,
    /// Records of the next one.
    data: Vec<u8>,
}

impl Blocks {
    /// Blocks from this number on.
    pub(crate) fn from(next: u64) -> Self {
        Self {
            next,
            ..Self::default()
        }
    }

    /// Adds a record; all of a table have the same length.
    pub(crate) fn push(&mut self, record: &[u8]) {
        if self.data.len() + record.len() > DATA_BYTES {
            self.end_block();
        }
        self.data.extend_from_slice(record);
    }

    /// Ends a table: the next one begins with a new block.
    pub(crate) fn end_table(&mut self) {
        if !self.data.is_empty() {
            self.end_block();
        }
    }

    /// The blocks that are whole, and the byte of the file at which they stand.
    pub(crate) fn take(&mut self) -> (Vec<u8>, u64) {
        let bytes = std::mem::take(&mut self.bytes);
        let end = self.next * BLOCK_BYTES as u64;
        let start = end - bytes.len() as u64;
        (bytes, start)
    }

    fn end_block(&mut self) {
        self.data.resize(DATA_BYTES, 0);
        self.data.extend_from_slice(&self.next.to_be_bytes());
        self.bytes.extend_from_slice(&self.data);
        self.bytes.extend_from_slice(&checksum(&self.data));
        self.data.clear();
        self.next += 1;
    }
}

/// Whether a file that others derive answers from is missing or damaged, and they do better without it.
pub(crate) fn is_useless(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt)
}

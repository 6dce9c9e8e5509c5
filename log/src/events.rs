//! Events of all scopes, one after the other. Their lines stand so too, and are read many at a time.

use std::{ops::Range, sync::Arc};

use memchr::memchr;
use quipu_format::Event;

use crate::{
    LedgerReader, Result,
    disk::DiskFile,
    index::{Found, SharedIndex},
    reader::KeyPaths,
    recent::Place,
    room::Room,
};

/// Bytes of lines that are read at a time.
const AHEAD_BYTES: usize = 128 << 10;

/// Events of all scopes, oldest first. Ends at the end of its range or at the head.
pub struct Events {
    reader: LedgerReader,
    range: Range<u64>,
    paths: KeyPaths,
    ahead: Option<Ahead>,
}

/// What stands in a segment behind the entry that was taken last.
struct Ahead {
    file: Arc<DiskFile>,
    /// Where the bytes begin in the file.
    start: u32,
    bytes: Room,
    /// How many of them there are.
    have: usize,
    /// Where the next line begins in the bytes.
    at: usize,
    /// Entries below it were durable when the bytes were read.
    head: u64,
}

impl Events {
    pub(crate) fn new(reader: LedgerReader, range: Range<u64>) -> Self {
        Self {
            reader,
            range,
            paths: KeyPaths::default(),
            ahead: None,
        }
    }

    fn load(&mut self, seq: u64) -> Result<Option<Event>> {
        self.reader.state.look_at_keys()?;
        if let Some(event) = self.take_ahead(seq) {
            return Ok(Some(event));
        }
        let head = self.reader.head();
        let Some(Found { file, place }) = self.reader.shown().place(seq)? else {
            return Ok(None);
        };
        let mut bytes = self.ahead.take().map_or_else(Room::default, |ahead| ahead.bytes);
        bytes.grow(AHEAD_BYTES);
        let have = file.read_into(&mut bytes[..AHEAD_BYTES], u64::from(place.offset))?;
        self.ahead = Some(Ahead {
            file,
            start: place.offset,
            bytes,
            have,
            at: 0,
            head,
        });
        // What is wrong with a line, or larger, is for the reader.
        match self.take_ahead(seq) {
            Some(event) => Ok(Some(event)),
            None => self.reader.load(seq, &mut self.paths),
        }
    }

    /// The entry, if its line is the next of those that were read.
    fn take_ahead(&mut self, seq: u64) -> Option<Event> {
        let ahead = self.ahead.as_mut().filter(|ahead| seq < ahead.head)?;
        let rest = &ahead.bytes[ahead.at..ahead.have];
        let line = &rest[..=memchr(b'\n', rest)?];
        let place = Place {
            offset: ahead.start + ahead.at as u32,
            length: line.len() as u32,
        };
        let event = self.reader.open_line(line, &ahead.file, place, seq, &mut self.paths);
        ahead.at += line.len();
        event.ok().map(|(event, ..)| event)
    }
}

impl Iterator for Events {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Result<Event>> {
        let seq = self.range.next()?;
        self.load(seq).transpose()
    }
}

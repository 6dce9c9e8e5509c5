//! The bytes of segments, read part by part on all processors, ahead of whoever takes what stands in them in order.

// Long because one way leads from a segment's bytes to its lines, on one thread or on many.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{
        Mutex, PoisonError,
        mpsc::{self, Receiver, Sender, SyncSender},
    },
    thread, vec,
};

use memchr::memchr;
use quipu_format::Line;

use crate::{Error, Result, disk::DiskFile, room::Room};

/// Where lines are read from.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    Bytes(&'a [u8]),
    File(&'a DiskFile),
}

/// What stands at a place where a line may begin.
pub(crate) enum Item<T> {
    /// A line that is one, where it stands, and what was made of it.
    Line(Place, T),
    /// Bytes that are none, up to LF or the end, and why.
    Bad(String),
    /// LF.
    Empty,
    /// The bytes end here, or would in the middle of a line.
    End,
}

/// Where a line stands.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Its bytes, LF included.
    pub(crate) range: Range<usize>,
    /// First and last `seq` of its commit.
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// Its own.
    pub(crate) seq: u64,
}

/// What is made of each line: its `seq`, and something to hand on. It is called on several threads where there is much to
/// do, each with a state of its own, and in any order.
pub(crate) type Work<'w, S, T> = &'w (dyn Fn(&mut S, &Line<'_>) -> quipu_format::Result<(u64, T)> + Sync);

/// Bytes that one thread reads at a time.
const PART_BYTES: usize = 1 << 20;
const TWO_PARTS: usize = 2 * PART_BYTES;
/// Bytes that are read on at least where a part ends within a line.
const MORE_BYTES: usize = 16 << 10;
/// Parts that wait to be taken, for each thread.
const PARTS_AHEAD: usize = 2;
/// More threads than the one that takes things in order could feed.
const MOST_THREADS: usize = 8;

/// Lets `take` take what stands in a range of each source, one source after the other.
pub(crate) fn read<'a, S: Default, T: Send, R>(
    sources: &[(Source<'a>, Range<usize>)],
    work: Work<'_, S, T>,
    take: impl FnOnce(&mut Parts<'a, '_, S, T>) -> R,
) -> R {
    let parts: Vec<Part<'a>> = sources
        .iter()
        .enumerate()
        .flat_map(|(number, (source, range))| Part::of(number, *source, range))
        .collect();
    let bytes: usize = parts.iter().map(|part| part.range.len()).sum();
    let threads = match bytes {
        // Counting processors opens files, which takes longer than reading a small ledger.
        0..TWO_PARTS => 1,
        _ => thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS),
    };
    if threads < 2 {
        return take(&mut Parts::new(parts, Hands::Own(Reader::default(), work)));
    }
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel::<(Part<'a>, Answer<T>)>();
        let receiver = std::sync::Arc::new(Mutex::new(receiver));
        for _ in 0..threads {
            let receiver = receiver.clone();
            scope.spawn(move || {
                let mut reader = Reader::default();
                loop {
                    let part = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    // Nothing comes any more when whoever takes has enough.
                    let Ok((part, answer)) = part else { return };
                    // Nobody wants it: as before.
                    let _ = answer.send(reader.read(&part, work));
                }
            });
        }
        // Dropped when `take` has enough, and with it the threads' reason to go on.
        take(&mut Parts::new(
            parts,
            Hands::Others(sender, threads * (1 + PARTS_AHEAD)),
        ))
    })
}

/// What stands in a part.
type Items<T> = Result<Vec<Item<T>>>;
type Answer<T> = SyncSender<Items<T>>;

/// A piece of a source.
#[derive(Clone)]
struct Part<'a> {
    /// Number of the source.
    number: usize,
    source: Source<'a>,
    /// Lines that begin in it are the part's, but for one at its first byte, which is the part's before where there is one.
    range: Range<usize>,
    is_first: bool,
    /// Where the source's own range ends.
    end: usize,
}

impl<'a> Part<'a> {
    fn of(number: usize, source: Source<'a>, range: &Range<usize>) -> impl Iterator<Item = Self> + use<'a> {
        let Range { start, end } = range.clone();
        (start..end).step_by(PART_BYTES).map(move |from| Self {
            number,
            source,
            range: from..end.min(from + PART_BYTES),
            is_first: from == start,
            end,
        })
    }
}

/// What stands in the sources, in order.
pub(crate) struct Parts<'a, 'w, S, T> {
    /// Parts that nobody reads yet.
    parts: vec::IntoIter<Part<'a>>,
    hands: Hands<'a, 'w, S, T>,
    /// Parts that are being read, and the numbers of their sources.
    ahead: VecDeque<(usize, Receiver<Items<T>>)>,
    /// What has been read of the present source.
    items: vec::IntoIter<Item<T>>,
    /// The present source.
    number: usize,
    failed: Option<Error>,
}

enum Hands<'a, 'w, S, T> {
    Own(Reader<S>, Work<'w, S, T>),
    /// Other threads, and how many parts they may be ahead.
    Others(Sender<(Part<'a>, Answer<T>)>, usize),
}

impl<'a, 'w, S: Default, T: Send> Parts<'a, 'w, S, T> {
    fn new(parts: Vec<Part<'a>>, hands: Hands<'a, 'w, S, T>) -> Self {
        Self {
            parts: parts.into_iter(),
            hands,
            ahead: VecDeque::new(),
            items: Vec::new().into_iter(),
            number: 0,
            failed: None,
        }
    }

    /// What comes next in the present source; [`Item::End`] ever after where nothing does.
    pub(crate) fn next(&mut self) -> Item<T> {
        loop {
            if let Some(item) = self.items.next() {
                return item;
            }
            match self.next_part(|number, present| number == present) {
                Some(Ok(items)) => self.items = items.into_iter(),
                Some(Err(error)) => {
                    self.failed.get_or_insert(error);
                    return Item::End;
                }
                None => return Item::End,
            }
        }
    }

    /// Goes on to the next source, passing over what is left of this one.
    pub(crate) fn next_source(&mut self) {
        self.items = Vec::new().into_iter();
        while self.next_part(|number, present| number <= present).is_some() {}
        self.number += 1;
    }

    /// Why the present source could not be read to its end.
    pub(crate) fn failure(&mut self) -> Option<Error> {
        self.failed.take()
    }

    fn next_part(&mut self, wanted: impl Fn(usize, usize) -> bool) -> Option<Items<T>> {
        match &mut self.hands {
            Hands::Own(reader, work) => {
                let part = self.parts.as_slice().first()?;
                if !wanted(part.number, self.number) {
                    return None;
                }
                let part = self.parts.next()?;
                Some(reader.read(&part, *work))
            }
            Hands::Others(sender, most) => {
                while self.ahead.len() < *most {
                    let Some(part) = self.parts.next() else { break };
                    let (answer, receiver) = mpsc::sync_channel(1);
                    self.ahead.push_back((part.number, receiver));
                    // It cannot fail but where all threads have, which the scope tells of.
                    let _ = sender.send((part, answer));
                }
                let (number, _) = self.ahead.front()?;
                if !wanted(*number, self.number) {
                    return None;
                }
                let (_, receiver) = self.ahead.pop_front()?;
                // A thread that failed is told of by the scope.
                receiver.recv().ok()
            }
        }
    }
}

/// What one thread reads with.
#[derive(Default)]
struct Reader<S> {
    state: S,
    room: Room,
    /// How much stood in the part before.
    before: usize,
}

impl<S> Reader<S> {
    /// What stands in a part.
    fn read<T>(&mut self, part: &Part<'_>, work: Work<'_, S, T>) -> Items<T> {
        let start = part.range.start;
        let mut have = self.fill(part, 0)?;
        let mut items = Vec::with_capacity(self.before + self.before / 8);
        let mut at = match part.is_first {
            true => 0,
            false => match memchr(b'\n', self.bytes(part, have)) {
                Some(length) => length + 1,
                None => return Ok(items),
            },
        };
        // The line that begins at the next part's first byte is this part's.
        while start + at <= part.range.end && start + at < part.end {
            let Some(length) = memchr(b'\n', &self.bytes(part, have)[at..]) else {
                let before = have;
                have = self.fill(part, have)?;
                if have == before {
                    items.push(Item::End);
                    break;
                }
                continue;
            };
            let end = at + length + 1;
            if length == 0 {
                // Nothing behind one of these is wanted, and the fill of a segment is long.
                items.push(Item::Empty);
                break;
            }
            let (state, bytes) = match part.source {
                Source::Bytes(bytes) => (&mut self.state, &bytes[start..]),
                Source::File(_) => (&mut self.state, &self.room[..]),
            };
            let made = Line::parse(&bytes[at..end - 1]).and_then(|line| {
                let (seq, made) = work(state, &line)?;
                let (first, last, range) = (line.first, line.last, start + at..start + end);
                Ok((
                    Place {
                        range,
                        first,
                        last,
                        seq,
                    },
                    made,
                ))
            });
            match made {
                Ok((place, made)) => items.push(Item::Line(place, made)),
                Err(e) => {
                    // As behind an empty one.
                    items.push(Item::Bad(e.to_string()));
                    break;
                }
            }
            at = end;
        }
        self.before = items.len();
        Ok(items)
    }

    /// Reads more of a part, of which `have` bytes are there; returns how many there are then.
    fn fill(&mut self, part: &Part<'_>, have: usize) -> Result<usize> {
        let start = part.range.start;
        let wanted = match have {
            0 => part.range.len(),
            // Twice as much each time, so that a long line is searched for its end a few times and no more.
            have => (have - part.range.len()).max(MORE_BYTES).saturating_add(have),
        };
        let wanted = wanted.min(part.end - start);
        let Source::File(file) = part.source else {
            return Ok(wanted);
        };
        self.room.grow(wanted);
        Ok(have + file.read_into(&mut self.room[have..wanted], (start + have) as u64)?)
    }

    fn bytes<'b>(&'b self, part: &'b Part<'_>, have: usize) -> &'b [u8] {
        match part.source {
            Source::Bytes(bytes) => &bytes[part.range.start..part.range.start + have],
            Source::File(_) => &self.room[..have],
        }
    }
}

#[cfg(test)]
mod tests {
    use quipu_format::encode_line;

    use super::*;
    use crate::disk::{Access, Folder};

    /// Lines of many lengths over several parts: one is longer than a part, one begins with a part.
    fn lines(first: u64) -> Vec<u8> {
        const BESIDE_ENVELOPE: usize = 3 + 8 + 1;
        let (mut bytes, mut seq, mut random) = (Vec::new(), first, 1_usize);
        while bytes.len() < 5 * PART_BYTES {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1) >> 1;
            let room = PART_BYTES - bytes.len() % PART_BYTES;
            let commit = format!("{seq}-{seq}").len();
            let (envelope, sealed) = match room {
                1_000..=40_000 => (room - BESIDE_ENVELOPE - commit, 0),
                _ if seq % 5_000 == 100 => (300, PART_BYTES),
                _ => (200 + random % 300, random % 2_000),
            };
            encode_line(&mut bytes, &vec![b'x'; envelope], &vec![7; sealed], seq, seq);
            seq += 1;
        }
        bytes
    }

    fn work(_: &mut (), line: &Line<'_>) -> quipu_format::Result<(u64, usize)> {
        Ok((line.first, line.envelope.len()))
    }

    /// Ranges and envelopes' lengths of all lines of a source, and what comes behind them.
    fn all(parts: &mut Parts<'_, '_, (), usize>) -> (Vec<(Range<usize>, usize)>, Item<usize>) {
        let mut lines = Vec::new();
        loop {
            match parts.next() {
                Item::Line(place, length) => lines.push((place.range, length)),
                other => return (lines, other),
            }
        }
    }

    fn one_by_one(bytes: &[u8]) -> Vec<(Range<usize>, usize)> {
        let mut at = 0;
        let lines = bytes.split_inclusive(|&byte| byte == b'\n').map(|line| {
            at += line.len();
            (
                at - line.len()..at,
                Line::parse(&line[..line.len() - 1]).unwrap().envelope.len(),
            )
        });
        lines.collect()
    }

    #[test]
    fn lines_over_many_parts_are_read_as_one_by_one() {
        let bytes = lines(0);
        let expected = one_by_one(&bytes);
        let starts = expected
            .iter()
            .filter(|(range, _)| range.start % PART_BYTES == 0)
            .count();
        assert!(starts > 3 && expected.iter().any(|(range, _)| range.len() > PART_BYTES));

        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(temporary.path()).unwrap();
        let other = lines(1_000_000);
        folder
            .replace("segment", &[&other[..], b"\n\n"].concat(), Access::Usual)
            .unwrap();
        let file = folder.read_file("segment").unwrap();
        let sources = [
            (Source::Bytes(&bytes[..]), 0..bytes.len()),
            (Source::File(&file), 0..other.len() + 2),
            (Source::Bytes(&bytes[..]), 0..bytes.len()),
        ];
        read(&sources, &work, |parts| {
            let (lines, end) = all(parts);
            assert!(lines == expected && matches!(end, Item::End));
            parts.next_source();
            let (lines, end) = all(parts);
            assert!(lines == one_by_one(&other) && matches!(end, Item::Empty));
            parts.next_source();
            // What is left of a source is passed over.
            assert!(matches!(parts.next(), Item::Line(..)));
            parts.next_source();
            assert!(matches!(parts.next(), Item::End));
        });
    }

    #[test]
    fn a_line_that_is_none_or_has_no_end_is_told() {
        let mut bytes = lines(0);
        let whole = bytes.len();
        bytes.extend_from_slice(b"no line");
        for (source, end) in [(&bytes[..], whole + 7), (&bytes[..], whole - 3)] {
            let (lines, end) = read(&[(Source::Bytes(source), 0..end)], &work, all);
            assert!(lines.len() >= one_by_one(&bytes[..whole]).len() - 1 && matches!(end, Item::End));
        }
        bytes[3 * PART_BYTES + 70_000] ^= 1;
        let bad = one_by_one(&lines(0))
            .iter()
            .position(|(range, _)| range.contains(&(3 * PART_BYTES + 70_000)));
        let (lines, end) = read(&[(Source::Bytes(&bytes), 0..whole)], &work, all);
        assert!(Some(lines.len()) == bad && matches!(end, Item::Bad(_)));
    }
}

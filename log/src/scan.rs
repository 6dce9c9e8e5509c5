//! Reading the bytes of a segment: whole commits as far as they go, and what lies behind them.

use std::ops::Range;

use memchr::{memchr, memchr_iter, memmem};
use quipu_format::{Envelope, Line, limits};

use crate::{
    Error, ErrorKind,
    disk::DiskFile,
    lines::{self, Found},
    parts::{self, Item, Parts, Place, Source},
};

/// How every stored envelope begins. A payload cannot imitate it: bodies are in base64, and JSON escapes quotes.
const MARK: &[u8] = br#"{"v":"#;

/// Where whole commits end, and what comes after.
#[derive(Debug)]
pub(crate) struct Tail {
    /// Byte after the last whole commit.
    pub(crate) end: usize,
    /// `seq` that the next entry should have.
    pub(crate) next: u64,
    /// Bytes of the last whole commit; empty where there is none.
    pub(crate) last_commit: Range<usize>,
    /// `seq` of the first entry of the last whole commit: all entries before it were durable when it was written.
    pub(crate) last_first: u64,
    /// From the first to after the last byte behind the end that is not LF; empty where there is none.
    pub(crate) rest: Range<usize>,
    /// Byte after the last line that was read, of a whole commit or not.
    read: usize,
    /// Why the next commit is not whole, for a person.
    pub(crate) why: String,
}

/// Walks the whole commits of `bytes` from `start`, the first of which must begin with entry `next`. Lines are handed out
/// commit by commit, once the commit is known to be whole.
pub(crate) fn commits<E>(
    bytes: &[u8],
    start: usize,
    next: u64,
    mut each: impl FnMut(Found) -> Result<(), E>,
) -> Result<Tail, E> {
    let source = (Source::Bytes(bytes), start..bytes.len());
    let mut tail = parts::read(&[source], &lines::whole, |parts| {
        take_commits(parts, start, next, |place, whole| each(Found::from((place, whole))))
    })?;
    tail.see_rest(&bytes[tail.end..]);
    Ok(tail)
}

/// Takes whole commits of the source that `parts` has come to, from `start` on. What lies behind them is for
/// [`Tail::see_rest`].
pub(crate) fn take_commits<S: Default, T: Send, E>(
    parts: &mut Parts<'_, '_, S, T>,
    start: usize,
    next: u64,
    mut each: impl FnMut(Place, T) -> Result<(), E>,
) -> Result<Tail, E> {
    let mut tail = Tail {
        end: start,
        next,
        last_commit: start..start,
        last_first: next,
        rest: start..start,
        read: start,
        why: String::new(),
    };
    let mut commit: Vec<(Place, T)> = Vec::new();
    loop {
        let (place, made) = match parts.next() {
            Item::Line(place, made) => (place, made),
            Item::Bad(why) => {
                tail.why = why;
                return Ok(tail);
            }
            Item::Empty => {
                tail.why = "an empty line among entries".into();
                return Ok(tail);
            }
            Item::End => {
                tail.why = "a line without an end".into();
                return Ok(tail);
            }
        };
        let expected = tail.next + commit.len() as u64;
        if place.seq != expected {
            tail.why = format!("the line is entry {} where {expected} is next", place.seq);
            return Ok(tail);
        }
        if place.first != tail.next {
            tail.why = format!(
                "a commit beginning with entry {} where {} is next",
                place.first, tail.next
            );
            return Ok(tail);
        }
        let last = place.last;
        if commit.last().is_some_and(|(before, _)| before.last != last) {
            tail.why = "two lines of one commit disagree about its end".into();
            return Ok(tail);
        }
        let seq = place.seq;
        tail.read = place.range.end;
        commit.push((place, made));
        if seq == last {
            tail.last_first = tail.next;
            tail.last_commit = tail.end..tail.read;
            (tail.end, tail.next) = (tail.read, last + 1);
            commit.drain(..).try_for_each(|(place, made)| each(place, made))?;
        }
    }
}

impl Tail {
    /// Looks at the bytes behind the end: all of them, or none where there is LF alone.
    pub(crate) fn see_rest(&mut self, rest: &[u8]) {
        let other = |&byte: &u8| byte != b'\n';
        if let (Some(first), Some(last)) = (rest.iter().position(other), rest.iter().rposition(other)) {
            self.rest = self.end + first..self.end + last + 1;
        }
        if self.read >= self.end + rest.len() || !rest[self.read - self.end..].iter().any(other) {
            self.why = "the log ends here".into();
        }
    }
}

/// Every line after `start` whose checksum and envelope are good, wherever it stands: what damage left.
pub(crate) fn authentic(bytes: &[u8], start: usize) -> impl Iterator<Item = Found> {
    checked(bytes, start).filter_map(|(range, line)| Found::new(range, &line).ok())
}

/// Refuses a segment that holds a line of a newer format in `bytes`, which begin at byte `at` of it: to this release it
/// would look like damage.
pub(crate) fn refuse_newer(bytes: &[u8], at: usize, file: &DiskFile) -> Result<(), Error> {
    let newer = checked(bytes, 0).find_map(|(range, line)| {
        let version = Envelope::version(line.envelope)?;
        (version > 1).then_some((at + range.start, version))
    });
    newer.map_or(Ok(()), |(at, version)| {
        let message = format!(
            "{}, byte {at}: an entry of format version {version}, and this release knows 1. Nothing was changed: use a \
             newer release",
            file.name()
        );
        Err(Error::new(ErrorKind::Invalid, message))
    })
}

/// Every line after `start` whose checksum is good, wherever it stands.
fn checked(bytes: &[u8], start: usize) -> impl Iterator<Item = (Range<usize>, Line<'_>)> {
    let mut at = start;
    std::iter::from_fn(move || {
        loop {
            let mark = at + memmem::find(bytes.get(at..)?, MARK)?;
            at = mark + 1;
            let first_tab = mark + memchr(b'\t', &bytes[mark..])?;
            if first_tab - mark > limits::ENVELOPE_BYTES {
                // No mark before here is near enough to a TAB to begin an envelope.
                at = first_tab - limits::ENVELOPE_BYTES;
                continue;
            }
            // The checksum is the eight bytes behind the third TAB; whether LF follows does not matter here.
            let longest = bytes
                .len()
                .min(first_tab + quipu_format::line_bytes(0, limits::BODY_BYTES + 16));
            let mut tabs = memchr_iter(b'\t', &bytes[first_tab + 1..longest]).map(|i| first_tab + 1 + i);
            let (Some(_), Some(third)) = (tabs.next(), tabs.next()) else {
                continue;
            };
            let Some(text) = bytes.get(mark..third + 9) else {
                continue;
            };
            let Ok(line) = Line::parse(text) else { continue };
            let end = third + 9;
            let end = if bytes.get(end) == Some(&b'\n') { end + 1 } else { end };
            at = end;
            return Some((mark..end, line));
        }
    })
}

//! Reading the bytes of a segment: whole commits as far as they go, and what lies behind them.

use std::ops::Range;

use memchr::{memchr, memchr_iter, memmem};
use quipu_format::{Envelope, Line, limits};

use crate::{Error, ErrorKind, disk::DiskFile};

/// How every stored envelope begins. A payload cannot imitate it: bodies are in base64, and JSON escapes quotes.
const MARK: &[u8] = br#"{"v":"#;

/// A line in a segment: its bytes, LF included.
pub(crate) struct Found<'a> {
    pub(crate) range: Range<usize>,
    pub(crate) line: Line<'a>,
    pub(crate) envelope: Envelope,
}

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
    /// Why the next commit is not whole, for a person.
    pub(crate) why: String,
}

/// Walks the whole commits of `bytes` from `start`, the first of which must begin with entry `next`. Lines are
/// handed out commit by commit, once the commit is known to be whole.
pub(crate) fn commits<'a, E>(
    bytes: &'a [u8],
    start: usize,
    next: u64,
    mut each: impl FnMut(Found<'a>) -> Result<(), E>,
) -> Result<Tail, E> {
    let mut tail = Tail {
        end: start,
        next,
        last_commit: start..start,
        last_first: next,
        rest: start..start,
        why: String::new(),
    };
    let mut commit = Vec::new();
    let mut at = start;
    loop {
        match line_at(bytes, at, tail.next + commit.len() as u64) {
            Ok(found) if found.line.first == tail.next => {
                at = found.range.end;
                let last = found.line.last;
                let complete = found.envelope.seq == last;
                if commit.last().is_some_and(|before: &Found<'_>| before.line.last != last) {
                    tail.why = "two lines of one commit disagree about its end".into();
                    break;
                }
                commit.push(found);
                if complete {
                    tail.last_first = tail.next;
                    tail.last_commit = tail.end..at;
                    (tail.end, tail.next) = (at, last + 1);
                    commit.drain(..).try_for_each(&mut each)?;
                }
            }
            Ok(found) => {
                tail.why = format!(
                    "a commit beginning with entry {} where {} is next",
                    found.line.first, tail.next
                );
                break;
            }
            Err(why) => {
                tail.why = why;
                break;
            }
        }
    }
    let rest = &bytes[tail.end..];
    if let (Some(first), Some(last)) = (
        rest.iter().position(|&b| b != b'\n'),
        rest.iter().rposition(|&b| b != b'\n'),
    ) {
        tail.rest = tail.end + first..tail.end + last + 1;
    }
    Ok(tail)
}

/// Every line after `start` whose checksum and envelope are good, wherever it stands: what damage left.
pub(crate) fn authentic(bytes: &[u8], start: usize) -> impl Iterator<Item = Found<'_>> {
    lines(bytes, start).filter_map(|(range, line)| {
        let envelope = Envelope::parse(line.envelope).ok()?;
        Some(Found { range, line, envelope })
    })
}

/// Refuses a segment that holds a line of a newer format after `start`: to this release it would look like damage.
pub(crate) fn refuse_newer(bytes: &[u8], start: usize, file: &DiskFile) -> Result<(), Error> {
    let newer = lines(bytes, start).find_map(|(range, line)| {
        let version = Envelope::version(line.envelope)?;
        (version > 1).then_some((range.start, version))
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
fn lines(bytes: &[u8], start: usize) -> impl Iterator<Item = (Range<usize>, Line<'_>)> {
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

fn line_at(bytes: &[u8], at: usize, seq: u64) -> Result<Found<'_>, String> {
    let rest = &bytes[at..];
    let length = match memchr(b'\n', rest) {
        Some(0) | None if rest.iter().all(|&b| b == b'\n') => return Err("the log ends here".into()),
        Some(0) => return Err("an empty line among entries".into()),
        None => return Err("a line without an end".into()),
        Some(length) => length,
    };
    let line = Line::parse(&rest[..length]).map_err(|e| e.to_string())?;
    let envelope = Envelope::parse(line.envelope).map_err(|e| e.to_string())?;
    if envelope.seq != seq {
        return Err(format!("the line is entry {} where {seq} is next", envelope.seq));
    }
    Ok(Found {
        range: at..at + length + 1,
        line,
        envelope,
    })
}

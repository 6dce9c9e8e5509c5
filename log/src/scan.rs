//! Reading the bytes of a segment: whole commits as far as they go, and what lies behind them.

use std::ops::Range;

use memchr::{memchr, memchr_iter, memmem};
use quipu_format::limits;

use crate::lines::{self, Found, Item};

/// How every stored envelope begins. A payload cannot imitate it: bodies are in base64, and JSON escapes quotes.
const MARK: &[u8] = br#"{"v":1,"#;

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
/// handed out commit by commit, once the commit is known to be whole, with what `work` made of each, which is called on
/// several threads.
pub(crate) fn commits<'a, S: Default, T: Send, E>(
    bytes: &'a [u8],
    start: usize,
    next: u64,
    work: &(dyn Fn(&mut S, &Found<'a>) -> T + Sync),
    mut each: impl FnMut(Found<'a>, T) -> Result<(), E>,
) -> Result<Tail, E> {
    let mut tail = Tail {
        end: start,
        next,
        last_commit: start..start,
        last_first: next,
        rest: start..start,
        why: String::new(),
    };
    let mut commit: Vec<(Found<'a>, T)> = Vec::new();
    let mut at = start;
    let mut outcome = Ok(());
    lines::walk(bytes, start, work, |item| {
        let (found, made) = match item {
            Item::Line(found, made) => (found, made),
            Item::Bad(why) => {
                tail.why = why;
                return false;
            }
            Item::Empty | Item::End if bytes[at..].iter().all(|&b| b == b'\n') => {
                tail.why = "the log ends here".into();
                return false;
            }
            Item::Empty => {
                tail.why = "an empty line among entries".into();
                return false;
            }
            Item::End => {
                tail.why = "a line without an end".into();
                return false;
            }
        };
        let expected = tail.next + commit.len() as u64;
        if found.envelope.seq != expected {
            tail.why = format!("the line is entry {} where {expected} is next", found.envelope.seq);
            return false;
        }
        if found.line.first != tail.next {
            tail.why = format!(
                "a commit beginning with entry {} where {} is next",
                found.line.first, tail.next
            );
            return false;
        }
        let last = found.line.last;
        if commit.last().is_some_and(|(before, _)| before.line.last != last) {
            tail.why = "two lines of one commit disagree about its end".into();
            return false;
        }
        at = found.range.end;
        let complete = found.envelope.seq == last;
        commit.push((found, made));
        if complete {
            tail.last_first = tail.next;
            tail.last_commit = tail.end..at;
            (tail.end, tail.next) = (at, last + 1);
            outcome = commit.drain(..).try_for_each(|(found, made)| each(found, made));
        }
        outcome.is_ok()
    });
    outcome?;
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
            let end = third + 9;
            let end = if bytes.get(end) == Some(&b'\n') { end + 1 } else { end };
            let Ok(found) = lines::found(mark..end, text) else {
                continue;
            };
            at = end;
            return Some(found);
        }
    })
}

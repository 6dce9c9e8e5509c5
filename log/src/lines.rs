//! The lines of a segment, read by several threads and handed out in order.

use std::{
    ops::Range,
    sync::mpsc::{self, Receiver, SyncSender},
    thread,
};

use memchr::memchr;
use quipu_format::{Envelope, Hash, Line, leaf_hash};

/// A line in a segment: its bytes, LF included.
pub(crate) struct Found<'a> {
    pub(crate) range: Range<usize>,
    pub(crate) line: Line<'a>,
    pub(crate) envelope: Envelope,
    /// Leaf hash of the envelope.
    pub(crate) hash: Hash,
}

/// What stands at a place where a line may begin.
#[expect(clippy::large_enum_variant, reason = "nearly all are lines")]
pub(crate) enum Item<'a, T> {
    /// A line that is one, and what was made of it.
    Line(Found<'a>, T),
    /// Bytes that are none, up to LF or the end, and why.
    Bad(String),
    /// LF.
    Empty,
    /// The bytes end here, or would in the middle of a line.
    End,
}

/// Bytes that one thread reads at a time.
const PART_BYTES: usize = 1 << 20;
/// Parts that wait to be handed out, for each thread.
const PARTS_AHEAD: usize = 2;

/// Hands out what stands at `start` and behind it, until `each` has enough and says so by `false`. `work` is what is made
/// of each line; it is called on several threads where there is much to do, each with a state of its own, and in any order.
pub(crate) fn walk<'a, S: Default, T: Send>(
    bytes: &'a [u8],
    start: usize,
    work: &(dyn Fn(&mut S, &Found<'a>) -> T + Sync),
    mut each: impl FnMut(Item<'a, T>) -> bool,
) {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(8);
    let parts = (bytes.len() - start).div_ceil(PART_BYTES);
    if threads < 2 || parts < 2 {
        let (mut at, mut state) = (start, S::default());
        while each(item_at(bytes, &mut at, &mut state, work)) {}
        return;
    }
    thread::scope(|scope| {
        let readers: Vec<Receiver<Vec<Item<'a, T>>>> = (0..threads)
            .map(|thread| {
                let (sender, receiver) = mpsc::sync_channel(PARTS_AHEAD);
                scope.spawn(move || {
                    let mut state = S::default();
                    for part in (thread..parts).step_by(threads) {
                        if !read_part(bytes, start, part, &mut state, work, &sender) {
                            return;
                        }
                    }
                });
                receiver
            })
            .collect();
        // The receivers are dropped when this ends, and with them the threads' reason to go on.
        for part in 0..parts {
            let Ok(items) = readers[part % threads].recv() else {
                // A thread that failed is told of by the scope.
                return;
            };
            if !items.into_iter().all(&mut each) {
                return;
            }
        }
        each(Item::End);
    });
}

/// Reads the lines that begin in a part. False: nobody wants them.
fn read_part<'a, S: Default, T>(
    bytes: &'a [u8],
    start: usize,
    part: usize,
    state: &mut S,
    work: &(dyn Fn(&mut S, &Found<'a>) -> T + Sync),
    sender: &SyncSender<Vec<Item<'a, T>>>,
) -> bool {
    let (from, to) = (start + part * PART_BYTES, start + (part + 1) * PART_BYTES);
    // The line that reaches into this part belongs to the part before.
    let mut at = match part {
        0 => from,
        _ => memchr(b'\n', &bytes[from - 1..]).map_or(bytes.len(), |length| from + length),
    };
    let mut items = Vec::new();
    while at < to.min(bytes.len()) {
        let item = item_at(bytes, &mut at, state, work);
        // Nothing behind one of these is wanted, and the fill of a segment is long.
        let last = matches!(item, Item::Empty | Item::End);
        items.push(item);
        if last {
            break;
        }
    }
    sender.send(items).is_ok()
}

fn item_at<'a, S, T>(
    bytes: &'a [u8],
    at: &mut usize,
    state: &mut S,
    work: &(dyn Fn(&mut S, &Found<'a>) -> T + Sync),
) -> Item<'a, T> {
    let Some(length) = memchr(b'\n', &bytes[*at..]) else {
        return Item::End;
    };
    let begin = *at;
    *at += length + 1;
    if length == 0 {
        return Item::Empty;
    }
    match found(begin..*at, &bytes[begin..begin + length]) {
        Ok(found) => {
            let made = work(state, &found);
            Item::Line(found, made)
        }
        Err(e) => Item::Bad(e.to_string()),
    }
}

/// Reads a line, whose text is given without LF.
pub(crate) fn found(range: Range<usize>, text: &[u8]) -> quipu_format::Result<Found<'_>> {
    let line = Line::parse(text)?;
    let envelope = Envelope::parse(line.envelope)?;
    let hash = leaf_hash(line.envelope);
    Ok(Found {
        range,
        line,
        envelope,
        hash,
    })
}

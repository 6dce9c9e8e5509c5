use quipu_format::{EventId, Hash, Scope};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::bindings::agent::quipu::memory::{recall, types};

/// A hash over all that crossed the boundary between guest and host, in order: each call's name and arguments, and
/// what was answered. Executing the run again with the same answers gives the same hash, on any engine.
///
/// Encoding, so that another host can compute it: a text is its length in bytes (u32) and its UTF-8; a list its
/// length (u32) and its items; an option 0, or 1 and the value; a result 0 and the value, or 1, the error's kind and
/// its message; an enum or variant its case's index in the WIT (u8) and the payload; a record its fields in the
/// WIT's order; a handle its scope's name; integers and the bits of floats are little-endian. A call is its name
/// (`read.reader.get`) as a text, its arguments and its answer. Dropping a handle is no call.
#[derive(Default)]
pub(crate) struct Transcript {
    sha: Sha256,
    calls: u64,
    /// Over names and arguments alone: what the guest did, and nothing of what it was told.
    asked: Sha256,
    marks: Marks,
}

/// Where a guest that does something else than before first did it: after every so many calls, the beginning of the
/// SHA-256 of names and arguments of all calls so far. They show where, and the transcript's hash that.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Marks {
    /// How many calls there are to a mark; doubled, and every other mark dropped, where there would be too many.
    pub(crate) every: u64,
    /// Eight hexadecimal digits for each.
    sums: String,
}

/// Marks that are kept of a run, before every other one is dropped.
const MARKS: usize = 1_024;
/// Hexadecimal digits of a mark.
const MARK_DIGITS: usize = 8;

impl Default for Marks {
    fn default() -> Self {
        Self {
            every: 1,
            sums: String::new(),
        }
    }
}

impl Marks {
    /// The mark after that many calls; `None`: there is none.
    pub(crate) fn after(&self, calls: u64) -> Option<&str> {
        if self.every == 0 || calls == 0 || !calls.is_multiple_of(self.every) {
            return None;
        }
        let start = usize::try_from(calls / self.every - 1).ok()?.checked_mul(MARK_DIGITS)?;
        self.sums.get(start..start.checked_add(MARK_DIGITS)?)
    }

    fn take(&mut self, calls: u64, asked: &Sha256) {
        if !calls.is_multiple_of(self.every) {
            return;
        }
        self.sums.push_str(&mark(asked));
        if self.sums.len() == MARKS * MARK_DIGITS {
            self.every *= 2;
            let sums = std::mem::take(&mut self.sums);
            let odd = sums
                .as_bytes()
                .chunks(2 * MARK_DIGITS)
                .filter_map(|two| two.get(MARK_DIGITS..));
            self.sums = odd.map(|one| String::from_utf8_lossy(one)).collect();
        }
    }
}

fn mark(asked: &Sha256) -> String {
    let mut hex = Hash(asked.clone().finalize().into()).to_hex();
    hex.truncate(MARK_DIGITS);
    hex
}

impl Transcript {
    /// A call with its arguments.
    pub(crate) fn called(&mut self, function: &str, arguments: &impl Crossing) {
        self.calls += 1;
        for sha in [&mut self.sha, &mut self.asked] {
            function.cross(sha);
            arguments.cross(sha);
        }
        self.marks.take(self.calls, &self.asked);
    }

    /// The answer to the last call.
    pub(crate) fn answered(&mut self, answer: &impl Crossing) {
        answer.cross(&mut self.sha);
    }

    /// How many calls there were.
    pub(crate) fn calls(&self) -> u64 {
        self.calls
    }

    /// The marks so far.
    pub(crate) fn marks(&self) -> &Marks {
        &self.marks
    }

    /// The mark that stands for all calls so far.
    pub(crate) fn mark(&self) -> String {
        mark(&self.asked)
    }

    /// The hash so far.
    pub(crate) fn hash(&self) -> Hash {
        Hash(self.sha.clone().finalize().into())
    }
}

/// A value that passes between guest and host.
pub(crate) trait Crossing {
    fn cross(&self, sha: &mut Sha256);
}

fn length(length: usize, sha: &mut Sha256) {
    // Below 2^32: a guest's memory is 32-bit, and our answers are bounded far below.
    sha.update(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

impl Crossing for str {
    fn cross(&self, sha: &mut Sha256) {
        length(self.len(), sha);
        sha.update(self.as_bytes());
    }
}

macro_rules! number {
    ($($type:ty),*) => { $(
        impl Crossing for $type {
            fn cross(&self, sha: &mut Sha256) {
                sha.update(self.to_le_bytes());
            }
        }
    )* };
}
number!(u32, u64, f64);

macro_rules! text {
    ($($type:ty: $as_str:ident),*) => { $(
        impl Crossing for $type {
            fn cross(&self, sha: &mut Sha256) {
                self.$as_str().cross(sha);
            }
        }
    )* };
}
text!(String: as_str, Scope: as_str, EventId: to_string);

impl Crossing for bool {
    fn cross(&self, sha: &mut Sha256) {
        sha.update([u8::from(*self)]);
    }
}

impl<T: Crossing + ?Sized> Crossing for &T {
    fn cross(&self, sha: &mut Sha256) {
        (**self).cross(sha);
    }
}

impl<T: Crossing> Crossing for Option<T> {
    fn cross(&self, sha: &mut Sha256) {
        self.is_some().cross(sha);
        if let Some(value) = self {
            value.cross(sha);
        }
    }
}

impl<T: Crossing> Crossing for [T] {
    fn cross(&self, sha: &mut Sha256) {
        length(self.len(), sha);
        for item in self {
            item.cross(sha);
        }
    }
}

impl<T: Crossing> Crossing for Vec<T> {
    fn cross(&self, sha: &mut Sha256) {
        self.as_slice().cross(sha);
    }
}

impl<T: Crossing, E: Crossing> Crossing for Result<T, E> {
    fn cross(&self, sha: &mut Sha256) {
        self.is_err().cross(sha);
        match self {
            Ok(value) => value.cross(sha),
            Err(error) => error.cross(sha),
        }
    }
}

macro_rules! tuple {
    ($($name:ident),*) => {
        impl<$($name: Crossing),*> Crossing for ($($name,)*) {
            #[allow(non_snake_case, reason = "a variable for each type")]
            fn cross(&self, sha: &mut Sha256) {
                let ($($name,)*) = self;
                $($name.cross(sha);)*
            }
        }
    };
}
tuple!(A);
tuple!(A, B);
tuple!(A, B, C);

macro_rules! record {
    ($($type:ty { $($field:ident),* })*) => { $(
        impl Crossing for $type {
            fn cross(&self, sha: &mut Sha256) {
                $(self.$field.cross(sha);)*
            }
        }
    )* };
}
record! {
    types::Source { channel, conversation_id, message_id, extra }
    types::Draft { kind, payload, source, evidence, supersedes, scope, key }
    types::Event { seq, id, ts, actor, run, kind, scope, source, payload, evidence, supersedes }
    types::Receipt { seq, id, ts, hash }
    types::Page { events, next }
    types::Error { kind, message }
    recall::Query { text, limit, kinds, tags, actors, since, until, as_of }
    recall::Fact { text, confidence, tags, count, first_seen, last_seen, expires, evidence }
    recall::FactAnswer { facts, as_of }
    recall::Hit { event, score }
    recall::SearchAnswer { hits, as_of }
    recall::Link { later, earlier, relation }
    recall::Trail { events, links, complete, as_of }
    recall::Context { text, events, as_of }
}

impl Crossing for types::ErrorKind {
    fn cross(&self, sha: &mut Sha256) {
        sha.update([*self as u8]);
    }
}

impl Crossing for recall::Relation {
    fn cross(&self, sha: &mut Sha256) {
        sha.update([*self as u8]);
    }
}

impl Crossing for recall::Budget {
    fn cross(&self, sha: &mut Sha256) {
        let (case, amount) = match self {
            Self::Characters(amount) => (0, amount),
            Self::Tokens(amount) => (1, amount),
        };
        sha.update([case]);
        amount.cross(sha);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(record: impl FnOnce(&mut Transcript)) -> Hash {
        let mut transcript = Transcript::default();
        record(&mut transcript);
        transcript.hash()
    }

    #[test]
    fn the_encoding_is_the_documented_one() {
        let error = types::Error {
            kind: types::ErrorKind::NotFound,
            message: "no".into(),
        };
        let ours = hash(|t| {
            t.called("read.reader.read", &("home", Some(7_u64), 2_u32));
            t.answered(&Ok::<_, String>(types::Page {
                events: vec![],
                next: None,
            }));
            t.called("read.reader.get", &("home", &String::from("ü")));
            t.answered(&Err::<bool, _>(&error));
        });
        let by_hand: [&[u8]; 12] = [
            b"\x10\0\0\0read.reader.read",
            b"\x04\0\0\0home",
            b"\x01\x07\0\0\0\0\0\0\0",
            b"\x02\0\0\0",
            b"\0",
            b"\0\0\0\0",
            b"\0",
            b"\x0f\0\0\0read.reader.get",
            b"\x04\0\0\0home",
            b"\x02\0\0\0\xc3\xbc",
            b"\x01\x02",
            b"\x02\0\0\0no",
        ];
        assert_eq!(ours, Hash::of(&by_hand));
    }

    #[test]
    fn marks_are_bounded_and_show_where_arguments_first_differ() {
        for (calls, every, kept) in [(3, 1, 3), (1_023, 1, 1_023), (1_024, 2, 512), (5_000, 8, 625)] {
            let (mut one, mut other) = (Transcript::default(), Transcript::default());
            for call in 0..calls {
                one.called("read.reader.get", &(call as u64,));
                other.called("read.reader.get", &(if call == 2 { 7 } else { call as u64 },));
                // What is answered leaves no mark.
                one.answered(&(call as u64));
            }
            let (one, other) = (one.marks(), other.marks());
            assert_eq!((one.every, one.sums.len()), (every, kept * MARK_DIGITS), "{calls}");
            assert_eq!(other.every, every);
            for call in 1..=calls as u64 {
                let (a, b) = (one.after(call), other.after(call));
                assert_eq!(a.is_some(), call % every == 0 && call / every <= kept as u64, "{call}");
                assert_eq!(a == b, a.is_none() || call < 3, "{call} of {calls}");
            }
        }
    }

    #[test]
    fn no_two_sequences_meet() {
        let hashes = [
            hash(|_| ()),
            hash(|t| t.called("a", &("bc", "d"))),
            hash(|t| t.called("a", &("b", "cd"))),
            hash(|t| t.called("ab", &("c", "d"))),
            hash(|t| t.called("a", &(vec!["bc", "d"],))),
            hash(|t| t.called("a", &(Some("bc"), None::<u64>))),
        ];
        for (n, hash) in hashes.iter().enumerate() {
            assert!(!hashes[..n].contains(hash), "{n}");
        }
    }
}

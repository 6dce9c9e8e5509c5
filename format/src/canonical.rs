//! Reads an envelope in the one form in which it is written, several times faster than any JSON, and without an
//! allocation. What is not of that form, or rare, is left to the JSON reader, which is the one that decides and refuses.

// Long because the one form of an envelope, read field by field.

use ulid::Ulid;

use crate::{
    Actor, Envelope, EventId, Hash, IdempotencyKey, Kind, RunId, Scope, Timestamp, base64url, id::identifier_bytes,
    limits,
};

/// An [`Envelope`] without `sys`, whose names stand in the bytes that it was read from: all that following the chain and
/// opening the body need. Members mean what the envelope's do.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "they are the envelope's")]
pub struct EnvelopeRef<'a> {
    pub seq: u64,
    pub id: EventId,
    pub ts: Timestamp,
    pub actor: &'a str,
    pub run: Option<RunId>,
    pub kind: &'a str,
    pub scope: &'a str,
    pub nth: u32,
    pub prev: Hash,
    pub body: Hash,
    pub evidence: Links<'a>,
    pub supersedes: Links<'a>,
    pub key: Option<IdempotencyKey>,
}

impl<'a> EnvelopeRef<'a> {
    /// Reads stored bytes. None: they are not of the form in which envelopes without `sys` are written, and
    /// [`Envelope::parse`] decides whether they are an envelope.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() > limits::ENVELOPE_BYTES {
            return None;
        }
        let whole = std::str::from_utf8(bytes).ok()?;
        let mut rest = Rest(bytes);
        rest.skip(br#"{"v":1,"seq":"#)?;
        let seq = rest.number().filter(|seq| *seq <= limits::LAST_SEQ)?;
        rest.skip(br#","id":"evt_"#)?;
        let id = EventId(rest.ulid()?);
        rest.skip(br#"","ts":""#)?;
        let ts = rest.timestamp()?;
        rest.skip(br#"","actor":""#)?;
        let actor = rest.identifier(whole)?;
        let run = match rest.skip(br#","run":""#) {
            Some(()) => {
                let run = RunId(rest.ulid()?);
                rest.skip(b"\"")?;
                Some(run)
            }
            None => None,
        };
        rest.skip(br#","kind":""#)?;
        let kind = rest.identifier(whole)?;
        rest.skip(br#","scope":""#)?;
        let scope = rest.identifier(whole)?;
        rest.skip(br#","nth":"#)?;
        let nth = u32::try_from(rest.number()?).ok()?;
        rest.skip(br#","prev":""#)?;
        let prev = Hash(rest.base64()?);
        rest.skip(br#"","body":""#)?;
        let body = Hash(rest.base64()?);
        rest.skip(b"\"")?;
        let evidence = rest.links(br#","evidence":["#)?;
        let supersedes = rest.links(br#","supersedes":["#)?;
        let key = match rest.skip(br#","key":""#) {
            Some(()) => {
                let key = IdempotencyKey(rest.base64()?);
                rest.skip(b"\"")?;
                Some(key)
            }
            None => None,
        };
        (rest.0 == b"}").then_some(Self {
            seq,
            id,
            ts,
            actor,
            run,
            kind,
            scope,
            nth,
            prev,
            body,
            evidence,
            supersedes,
            key,
        })
    }

    /// The same, with names of its own.
    pub(crate) fn to_envelope(self) -> Option<Envelope> {
        let mut envelope = Envelope::new(
            self.seq,
            self.id,
            self.ts,
            Actor::new(self.actor).ok()?,
            Kind::new(self.kind).ok()?,
            Scope::new(self.scope).ok()?,
            self.nth,
            self.prev,
            self.body,
        );
        envelope.run = self.run;
        envelope.evidence = self.evidence.iter().collect();
        envelope.supersedes = self.supersedes.iter().collect();
        envelope.key = self.key;
        Some(envelope)
    }
}

impl<'a> From<&'a Envelope> for EnvelopeRef<'a> {
    /// Its `sys` is left out.
    fn from(envelope: &'a Envelope) -> Self {
        Self {
            seq: envelope.seq,
            id: envelope.id,
            ts: envelope.ts,
            actor: envelope.actor.as_str(),
            run: envelope.run,
            kind: envelope.kind.as_str(),
            scope: envelope.scope.as_str(),
            nth: envelope.nth,
            prev: envelope.prev,
            body: envelope.body,
            evidence: Links::Read(&envelope.evidence),
            supersedes: Links::Read(&envelope.supersedes),
            key: envelope.key,
        }
    }
}

/// The events that an envelope names.
#[derive(Debug, Clone, Copy)]
pub enum Links<'a> {
    /// As they stand in it: `"evt_…","evt_…"`, each of which is an event's name.
    Stored(&'a [u8]),
    /// Read already.
    Read(&'a [EventId]),
}

impl<'a> Links<'a> {
    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = EventId> + 'a {
        let (stored, read) = match self {
            Self::Stored(text) => (text, &[][..]),
            Self::Read(ids) => (&[][..], ids),
        };
        let stored = stored.chunks(LINK_BYTES + 1);
        let stored = stored.filter_map(|link| Rest(link.get(5..)?).ulid().map(EventId));
        stored.chain(read.iter().copied())
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        match self {
            Self::Stored(text) => text.is_empty(),
            Self::Read(ids) => ids.is_empty(),
        }
    }
}

/// Bytes of a link, its quotes included.
const LINK_BYTES: usize = EventId::TEXT_BYTES + 2;

/// None: not of that form, or with members that are rare.
pub(crate) fn parse(bytes: &[u8]) -> Option<Envelope> {
    EnvelopeRef::parse(bytes)?.to_envelope()
}

/// What has not been read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn skip(&mut self, text: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    fn take<const BYTES: usize>(&mut self) -> Option<&'a [u8; BYTES]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(taken)
    }

    /// Digits without a leading zero, at most 16 of them.
    fn number(&mut self) -> Option<u64> {
        let length = self.0.iter().take(17).take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at_checked(length)?;
        if length == 0 || length > 16 || (length > 1 && digits[0] == b'0') {
            return None;
        }
        self.0 = rest;
        Some(decimal(digits))
    }

    /// An identifier up to the next quote, which is passed over. It has nothing that JSON escapes. `whole` is the text that
    /// ends with what has not been read.
    fn identifier(&mut self, whole: &'a str) -> Option<&'a str> {
        let start = whole.len() - self.0.len();
        let text = whole.get(start..start + identifier_bytes(self.0)?)?;
        self.0 = self.0[text.len()..].strip_prefix(b"\"")?;
        Some(text)
    }

    fn base64<const BYTES: usize>(&mut self) -> Option<[u8; BYTES]> {
        let (text, rest) = self.0.split_at_checked((BYTES * 4).div_ceil(3))?;
        self.0 = rest;
        base64url::decode(text)
    }

    /// 26 digits of Crockford's alphabet in upper case, the first of which is at most 7.
    fn ulid(&mut self) -> Option<Ulid> {
        let text = self.take::<26>()?;
        if text[0] > b'7' {
            return None;
        }
        let mut number = 0_u128;
        // Twelve digits fit a machine's word.
        for part in [&text[..2], &text[2..14], &text[14..]] {
            let mut word = 0_u64;
            for &byte in part {
                let digit = DIGITS[usize::from(byte)];
                if digit == NO_DIGIT {
                    return None;
                }
                word = word << 5 | u64::from(digit);
            }
            number = number << (5 * part.len()) | u128::from(word);
        }
        Some(Ulid(number))
    }

    /// `2026-02-20T02:11:43.123Z`.
    fn timestamp(&mut self) -> Option<Timestamp> {
        let text = self.take::<24>()?;
        let at = |range: std::ops::Range<usize>| {
            let digits = &text[range];
            digits.iter().all(u8::is_ascii_digit).then(|| decimal(digits))
        };
        let separators = [
            (4, b'-'),
            (7, b'-'),
            (10, b'T'),
            (13, b':'),
            (16, b':'),
            (19, b'.'),
            (23, b'Z'),
        ];
        if separators.iter().any(|&(i, byte)| text[i] != byte) {
            return None;
        }
        let (year, month, day) = (at(0..4)?, at(5..7)?, at(8..10)?);
        let (hour, minute, second, ms) = (at(11..13)?, at(14..16)?, at(17..19)?, at(20..23)?);
        if year < 1970 || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        let days_of_month = match month {
            2 => 28 + u64::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if !(1..=days_of_month).contains(&day) {
            return None;
        }
        // Days since 1970: years begin in March, so that the leap day is the last of its year.
        let years = if month > 2 { year } else { year - 1 };
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let days = years * 365 + years / 4 - years / 100 + years / 400 + day_of_year - 719_468;
        let instant = (((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000 + ms;
        let timestamp = Timestamp::from_ms(instant);
        (timestamp.as_ms() == instant).then_some(timestamp)
    }

    /// A list of events behind this, if it is there.
    fn links(&mut self, begin: &[u8]) -> Option<Links<'a>> {
        if self.skip(begin).is_none() {
            return Some(Links::Stored(&[]));
        }
        let (text, mut count) = (self.0, 0);
        loop {
            self.skip(b"\"evt_")?;
            self.ulid()?;
            self.skip(b"\"")?;
            count += 1;
            match self.skip(b",") {
                Some(()) => {}
                None => break,
            }
        }
        let stored = &text[..text.len() - self.0.len()];
        self.skip(b"]")?;
        (count <= limits::LINKS).then_some(Links::Stored(stored))
    }
}

const NO_DIGIT: u8 = 0xFF;

/// Value of each digit of Crockford's alphabet.
const DIGITS: [u8; 256] = {
    let alphabet = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let mut digits = [NO_DIGIT; 256];
    let mut value = 0;
    while value < alphabet.len() {
        digits[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    digits
};

/// The number that digits are, of which there are few enough.
pub(crate) fn decimal(digits: &[u8]) -> u64 {
    digits
        .iter()
        .fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(bytes: &[u8]) -> Option<Envelope> {
        serde_json::from_slice(bytes).ok()
    }

    prop_compose! {
        fn envelopes()(
            seq in 0..=crate::limits::LAST_SEQ,
            id: u128,
            ms in prop_oneof![0..u64::from(u32::MAX) * 1_000, 0..300_000_000_000_000_u64],
            names in ("[a-z0-9][a-z0-9._:/-]{0,20}", "[A-Z][a-z.]{0,9}", "[0-9a-z]{1,40}"),
            nth: u32,
            hashes: [[u8; 32]; 2],
            run in proptest::option::of(any::<u128>()),
            evidence in proptest::collection::vec(any::<u128>(), 0..4),
            supersedes in proptest::collection::vec(any::<u128>(), 0..3),
            key in proptest::option::of(any::<[u8; 16]>()),
        ) -> Envelope {
            let events = |numbers: Vec<u128>| numbers.into_iter().map(|number| EventId(Ulid(number))).collect();
            let mut envelope = Envelope::new(
                seq,
                EventId(Ulid(id)),
                Timestamp::from_ms(ms),
                Actor::new(&names.0).unwrap(),
                Kind::new(&names.1).unwrap(),
                Scope::new(&names.2).unwrap(),
                nth,
                Hash(hashes[0]),
                Hash(hashes[1]),
            );
            envelope.run = run.map(|run| RunId(Ulid(run)));
            envelope.evidence = events(evidence);
            envelope.supersedes = events(supersedes);
            envelope.key = key.map(IdempotencyKey);
            envelope
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(envelope in envelopes()) {
            prop_assert_eq!(parse(&envelope.to_bytes().unwrap()), Some(envelope));
        }

        /// It reads nothing that the JSON reader does not read, and reads it alike.
        #[test]
        fn what_is_read_is_what_json_says(
            envelope in envelopes(),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..3),
        ) {
            let mut bytes = envelope.to_bytes().unwrap();
            for (at, byte, how) in changes {
                let at = at.index(bytes.len());
                match how {
                    0 => bytes[at] = byte,
                    1 => bytes[at] = b"\"0189:,-T{}[]AaZz"[usize::from(byte % 16)],
                    2 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, bytes[at]),
                }
            }
            if let Some(read) = parse(&bytes) {
                prop_assert_eq!(Some(read), json(&bytes), "{}", String::from_utf8_lossy(&bytes));
            }
        }
    }

    #[test]
    fn the_last_day_of_each_month_is_one() {
        for year in [1970, 1999, 2000, 2024, 2026, 2100, 9999] {
            for month in 1..=12 {
                for day in 1..=31 {
                    let text = format!("{year}-{month:02}-{day:02}T23:59:58.007Z");
                    let read = Rest(text.as_bytes()).timestamp();
                    assert_eq!(read, text.parse().ok(), "{text}");
                }
            }
        }
    }
}

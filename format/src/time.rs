use std::{fmt, str::FromStr};

use jiff::tz::Offset;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, Result, text};

/// An instant in UTC, in milliseconds since 1970-01-01. Its text is RFC 3339 with milliseconds,
/// `2026-02-20T02:11:43.123Z`; text order is time order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(u64);

/// 9999-12-30T21:59:59.999Z: any later, and some offset from UTC would take it out of years of four digits.
const LAST_MS: u64 = 253_402_207_199_999;

impl Timestamp {
    /// Characters of its text.
    pub(crate) const TEXT_BYTES: usize = 24;
    /// The earliest instant, 1970-01-01.
    pub const FIRST: Self = Self(0);

    /// Milliseconds since 1970-01-01; what lies past 9999-12-30T21:59:59.999Z becomes it.
    pub fn from_ms(ms: u64) -> Self {
        Self(ms.min(LAST_MS))
    }

    /// Milliseconds since 1970-01-01.
    pub fn as_ms(self) -> u64 {
        self.0
    }

    /// Reads any RFC 3339 instant: any offset, any precision (below a millisecond it is cut off). An event's own
    /// text form is read by `parse`, which takes nothing else.
    pub fn parse_rfc3339(text: &str) -> Result<Self> {
        let refused = || {
            Error::new(format!(
                "{text:?} is not an RFC 3339 instant from 1970 on, such as 2026-02-20T02:11:43.123Z"
            ))
        };
        let instant: jiff::Timestamp = text.parse().map_err(|_| refused())?;
        let ms = u64::try_from(instant.as_millisecond()).map_err(|_| refused())?;
        if ms > LAST_MS {
            return Err(refused());
        }
        Ok(Self(ms))
    }

    /// What `Display` writes, by plain arithmetic: it is part of every envelope.
    pub(crate) fn text(self, room: &mut [u8; Self::TEXT_BYTES]) -> &str {
        let seconds = i64::try_from(self.0 / 1_000).unwrap_or_default();
        let instant = jiff::Timestamp::from_second(seconds).unwrap_or_default();
        let time = Offset::UTC.to_datetime(instant);
        *room = *b"0000-00-00T00:00:00.000Z";
        let fields = [
            (0..4, i64::from(time.year())),
            (5..7, i64::from(time.month())),
            (8..10, i64::from(time.day())),
            (11..13, i64::from(time.hour())),
            (14..16, i64::from(time.minute())),
            (17..19, i64::from(time.second())),
            (20..23, (self.0 % 1_000) as i64),
        ];
        for (place, mut number) in fields {
            for digit in room[place].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        std::str::from_utf8(room).expect("digits and punctuation are ASCII")
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text(&mut [0; Self::TEXT_BYTES]))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let instant = Self::parse_rfc3339(text)?;
        if instant.to_string() == text {
            Ok(instant)
        } else {
            Err(Error::new(format!(
                "{text:?} is not in the form 2026-02-20T02:11:43.123Z"
            )))
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text(&mut [0; Self::TEXT_BYTES]))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        text::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_has_one_text() {
        let instant = Timestamp::from_ms(1_771_553_503_123);
        assert_eq!(instant.to_string(), "2026-02-20T02:11:43.123Z");
        assert_eq!("2026-02-20T02:11:43.123Z".parse::<Timestamp>().unwrap(), instant);
        assert_eq!(Timestamp::FIRST.to_string(), "1970-01-01T00:00:00.000Z");
        for other in [
            "2026-02-20T02:11:43Z",
            "2026-02-20T02:11:43.1230Z",
            "2026-02-20t02:11:43.123z",
            "2026-02-20 02:11:43.123Z",
            "2026-02-20T03:11:43.123+01:00",
            "2026-02-30T02:11:43.123Z",
            "2026-02-20T02:11:60.123Z",
            "",
        ] {
            assert!(other.parse::<Timestamp>().is_err(), "{other}");
        }
    }

    /// The text is made here and not by the library that knows calendars, so it is compared with that one's.
    #[test]
    fn the_text_is_the_librarys() {
        let printer = jiff::fmt::temporal::DateTimePrinter::new().precision(Some(3));
        // Every 40 days and a bit, so that all months, leap days' years and digits come up.
        for ms in (0..=LAST_MS).step_by(3_456_789_123) {
            let instant = jiff::Timestamp::from_millisecond(ms as i64).unwrap();
            assert_eq!(
                Timestamp::from_ms(ms).to_string(),
                printer.timestamp_to_string(&instant)
            );
        }
    }

    #[test]
    fn instants_far_out_are_refused_or_clamped() {
        let last = Timestamp::from_ms(u64::MAX);
        assert_eq!(last.to_string(), "9999-12-30T21:59:59.999Z");
        assert_eq!(last.to_string().parse::<Timestamp>().unwrap(), last);
        for text in [
            "1969-12-31T23:59:59.999Z",
            "-000001-01-01T00:00:00.000Z",
            "9999-12-30T22:00:00.000Z",
            "10000-01-01T00:00:00.000Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
            assert!(Timestamp::parse_rfc3339(text).is_err(), "{text}");
        }
    }

    #[test]
    fn any_rfc_3339_instant_can_be_imported() {
        for (text, ms) in [
            ("2026-02-20T02:11:43Z", 1_771_553_503_000),
            ("2026-02-20T03:11:43.1239+01:00", 1_771_553_503_123),
            ("1970-01-01T00:00:00-00:01", 60_000),
        ] {
            assert_eq!(Timestamp::parse_rfc3339(text).unwrap().as_ms(), ms, "{text}");
        }
    }
}

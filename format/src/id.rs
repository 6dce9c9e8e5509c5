use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::Ulid;

use crate::{Error, Result, limits, text};

/// Checks an identifier. Envelopes outlive erasure, so nothing that carries text or a person's address fits.
fn check_identifier(what: &str, text: &str) -> Result<()> {
    if text.is_empty() || text.len() > limits::IDENTIFIER_BYTES {
        return Err(Error::new(format!(
            "{what} has {} bytes; it must have 1 to {}",
            text.len(),
            limits::IDENTIFIER_BYTES
        )));
    }
    if text.contains('@') {
        return Err(Error::new(format!(
            "{what} must not be an e-mail address: identifiers outlive erasure, so use an opaque name such as customer:4711"
        )));
    }
    if !is_identifier(text) {
        return Err(Error::new(format!(
            "{what} {text:?} must be of ASCII letters, digits and . _ : / - and begin with a letter or digit"
        )));
    }
    Ok(())
}

/// Whether it is one, of whatever sort.
pub(crate) fn is_identifier(text: &str) -> bool {
    identifier_bytes(text.as_bytes()) == Some(text.len())
}

/// How many of the first bytes are an identifier. None: they begin none, or one that is too long.
pub(crate) fn identifier_bytes(bytes: &[u8]) -> Option<usize> {
    let of = bytes.iter().take(limits::IDENTIFIER_BYTES + 1);
    let length = of.take_while(|&&byte| OF_IDENTIFIERS[usize::from(byte)]).count();
    let begins = bytes.first()?.is_ascii_alphanumeric();
    (begins && length <= limits::IDENTIFIER_BYTES).then_some(length)
}

/// Bytes that identifiers are made of.
const OF_IDENTIFIERS: [bool; 256] = {
    let mut of = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        of[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'/' | b'-');
        byte += 1;
    }
    of
};

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// 1 to 128 bytes of ASCII letters, digits and `. _ : / -`, beginning with a letter or digit. It stays in
        /// clear for ever: it must be opaque, never personal data. Cheap to clone.
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text and keeps it.
            pub fn new(text: &str) -> Result<Self> {
                check_identifier($what, text)?;
                Ok(Self(text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        /// Its text, by which it is found in a map.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                text::deserialize(deserializer)
            }
        }
    };
}

identifier!(
    /// The context that memory belongs to, `customer:acme-inc`: the unit of isolation, chaining, keys and retention.
    Scope,
    "a scope"
);
identifier!(
    /// The principal that the host stamps on an entry: `agent:teddy`, `operator:kim`.
    Actor,
    "an actor"
);
identifier!(
    /// What an entry is: `memory.write`. Kinds that begin with `quipu.` are the host's and operators' own.
    Kind,
    "a kind"
);

identifier!(
    /// A person's request to be forgotten, as the operator names it: an opaque name, `dsr-2026-117`.
    RequestId,
    "a request"
);
identifier!(
    /// The person whom a request is about, as the operator names them: an opaque handle, `person:4711`.
    Subject,
    "a subject"
);
identifier!(
    /// A legal hold, as the operator names it: `hold-2026-7`.
    HoldId,
    "a hold"
);
identifier!(
    /// The name that an operator gave to a projection component: `decisions-per-week`.
    ProjectionName,
    "a projection's name"
);

impl Scope {
    /// Name of the scope of ledger-level entries. It is never granted to a guest and never erased.
    pub const LEDGER: &str = "quipu:ledger";

    /// The scope of ledger-level entries.
    pub fn ledger() -> Self {
        Self(Self::LEDGER.into())
    }

    /// Whether only the host and operators write here: scopes that begin with `quipu:`.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with("quipu:")
    }
}

impl Actor {
    /// Whether only the host stamps it: actors that begin with `host:`.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with("host:")
    }
}

impl Kind {
    /// Whether only the host and operators use it: kinds that begin with `quipu.`.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with("quipu.")
    }
}

macro_rules! ulid_name {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Ulid);

        impl $name {
            pub(crate) const TEXT_BYTES: usize = $prefix.len() + ulid::ULID_LEN;

            pub(crate) fn text<'a>(&self, room: &'a mut [u8; Self::TEXT_BYTES]) -> &'a str {
                let (prefix, digits) = room.split_at_mut($prefix.len());
                prefix.copy_from_slice($prefix.as_bytes());
                digits.copy_from_slice(self.0.array_to_str(&mut [0; ulid::ULID_LEN]).as_bytes());
                std::str::from_utf8(room).expect("a ULID's text is ASCII")
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.text(&mut [0; Self::TEXT_BYTES]))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                let refused = || Error::new(format!("{text:?} is not {}", $what));
                let ulid = Ulid::from_string(text.strip_prefix($prefix).ok_or_else(refused)?).map_err(|_| refused())?;
                let name = Self(ulid);
                // Crockford's alphabet reads several characters as one digit: only the canonical text is a name.
                if name.text(&mut [0; Self::TEXT_BYTES]) == text { Ok(name) } else { Err(refused()) }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(self.text(&mut [0; Self::TEXT_BYTES]))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                text::deserialize(deserializer)
            }
        }
    };
}

ulid_name!(
    /// Name of an entry: `evt_` and a ULID. Text order, value order and `seq` order are the same.
    EventId,
    "evt_",
    "an event id: evt_ and a ULID of 26 characters, as `quipu log` prints it"
);
ulid_name!(
    /// Name of a run: a ULID.
    RunId,
    "",
    "a run id: a ULID of 26 characters"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_of_a_strict_set_of_characters() {
        for text in [
            "a",
            "customer:acme-inc",
            "memory.write",
            "A/b_c.9",
            &"x".repeat(limits::IDENTIFIER_BYTES),
        ] {
            assert_eq!(Scope::new(text).unwrap().as_str(), text);
        }
        let long = "x".repeat(limits::IDENTIFIER_BYTES + 1);
        for text in [
            "", &long, ":a", "-a", ".a", "a b", "a\tb", "a\n", "ä", "a\u{0}", "a+b", "a\"b", "a\\b",
        ] {
            assert!(Actor::new(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_e_mail_address_is_no_identifier() {
        let error = Scope::new("customer:kim@example.com").unwrap_err();
        assert!(error.to_string().contains("e-mail"), "{error}");
        assert!(serde_json::from_str::<Actor>(r#""user:kim@example.com""#).is_err());
    }

    #[test]
    fn reserved_names_are_known() {
        assert!(Scope::ledger().is_reserved() && Scope::new(Scope::LEDGER).unwrap() == Scope::ledger());
        assert!(Kind::new("quipu.run").unwrap().is_reserved());
        assert!(!Kind::new("quipu-like").unwrap().is_reserved() && !Scope::new("quipus:a").unwrap().is_reserved());
    }

    #[test]
    fn only_the_one_text_of_an_event_id_is_read() {
        let id = EventId(Ulid::from_parts(1_771_553_503_123, 42));
        let text = id.to_string();
        assert_eq!(text, "evt_01KHWD2DWK000000000000001A");
        assert_eq!(text.parse::<EventId>().unwrap(), id);
        let aliased = text.replace('0', "O");
        for other in [
            &text.to_lowercase(),
            &aliased,
            &text[4..],
            &text[..29],
            "evt_",
            "evt_81KHWD2DWK000000000000001A",
            "é",
        ] {
            assert!(other.parse::<EventId>().is_err(), "{other}");
        }
    }

    #[test]
    fn a_run_id_is_a_bare_ulid() {
        let id = RunId(Ulid::max());
        assert_eq!(id.to_string(), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
        assert_eq!(
            serde_json::from_str::<RunId>(&serde_json::to_string(&id).unwrap()).unwrap(),
            id
        );
        assert!("7zzzzzzzzzzzzzzzzzzzzzzzzz".parse::<RunId>().is_err());
    }

    #[test]
    fn text_order_is_value_order() {
        let [a, b] = [
            EventId(Ulid::from_parts(9, u128::MAX >> 48)),
            EventId(Ulid::from_parts(10, 0)),
        ];
        assert!(a < b && a.to_string() < b.to_string());
    }
}

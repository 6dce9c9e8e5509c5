use std::{fmt, str::FromStr};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::{Error, Result, base64url, text};

/// Characters of a hash's text.
pub(crate) const TEXT_BYTES: usize = 43;

/// A SHA-256 digest. Its text form is unpadded base64url, 43 characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// SHA-256 of the parts, one after the other.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut sha = Sha256::new();
        for part in parts {
            sha.update(part);
        }
        Self(sha.finalize().into())
    }

    /// SHA-256 of the empty string: `prev` of a scope's first entry, and the root of an empty tree (RFC 6962, 2.1).
    pub fn of_nothing() -> Self {
        Self::of(&[])
    }

    /// 64 hexadecimal digits in lower case, as `sha256sum` prints them.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Reads those 64 digits. None: they are none, or some are in upper case.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digit = |byte: u8| char::from(byte).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
            return None;
        };
        let bytes = pairs
            .iter()
            .map(|[high, low]| Some((digit(*high)? * 16 + digit(*low)?) as u8));
        let bytes: Vec<u8> = bytes.collect::<Option<_>>()?;
        bytes.try_into().ok().map(Self)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn text<'a>(&self, room: &'a mut [u8; TEXT_BYTES]) -> &'a str {
        BASE64_URL_SAFE_NO_PAD
            .encode_slice(self.0, room)
            .expect("43 characters hold 32 bytes");
        std::str::from_utf8(room).expect("base64 is ASCII")
    }
}

/// The leaf hash of an entry: SHA-256(00 ‖ envelope), over the stored bytes (RFC 6962, 2.1).
pub fn leaf_hash(envelope: &[u8]) -> Hash {
    Hash::of(&[&[0], envelope])
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text(&mut [0; TEXT_BYTES]))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bytes = base64url::decode(text.as_bytes());
        let refused = || Error::new("a hash is 32 bytes in unpadded base64url, 43 characters");
        bytes.map(Self).ok_or_else(refused)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text(&mut [0; TEXT_BYTES]))
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        text::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_nothing_is_that_of_the_empty_string() {
        assert_eq!(
            Hash::of_nothing().to_string(),
            "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
        );
        assert_eq!(Hash::of(&[b"ab", b"", b"c"]), Hash::of(&[b"abc"]));
    }

    #[test]
    fn only_the_one_text_of_a_hash_is_read() {
        let hash = Hash::of(&[b"x"]);
        let text = hash.to_string();
        assert_eq!(text.parse::<Hash>().unwrap(), hash);
        assert_eq!(
            serde_json::from_str::<Hash>(&serde_json::to_string(&hash).unwrap()).unwrap(),
            hash
        );
        let padded = format!("{text}=");
        let short = &text[..42];
        // The last character holds 4 bits of the hash; the other 2 must be 0.
        let loose = format!("{short}{}", char::from(text.as_bytes()[42] + 1));
        for other in [
            &padded,
            short,
            &loose,
            &text.replace('-', "+").replace('_', "/")[..],
            "",
        ] {
            assert!(other == text || other.parse::<Hash>().is_err(), "{other}");
        }
    }
}

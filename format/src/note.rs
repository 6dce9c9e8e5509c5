use std::{fmt, str::FromStr};

use base64::{Engine, prelude::BASE64_STANDARD};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use crate::{Error, Hash, Result, limits};

/// The signature type that C2SP `signed-note` numbers 1: Ed25519.
const ED25519: u8 = 1;
const KEY_ID_BYTES: usize = 4;

/// Checks a ledger's origin, which is also its key's name: 1 to 255 bytes without white space, control characters or
/// `+`. By custom a schema-less URL, `example.com/memory`.
pub fn check_origin(origin: &str) -> Result<()> {
    if origin.is_empty() || origin.len() > limits::ORIGIN_BYTES {
        return Err(Error::new(format!(
            "an origin has 1 to {} bytes, not {}",
            limits::ORIGIN_BYTES,
            origin.len()
        )));
    }
    if !is_key_name(origin) || origin.chars().any(char::is_control) {
        return Err(Error::new(format!(
            "the origin {origin:?} must not hold white space, control characters or `+`"
        )));
    }
    Ok(())
}

/// The key that signs checkpoints: Ed25519, named by the ledger's origin (C2SP `signed-note`). Its secret is overwritten
/// in memory when dropped, and never printed.
pub struct Signer {
    key: SigningKey,
    verifier: VerifierKey,
}

impl Signer {
    /// The key with this name and this secret of 32 random bytes.
    pub fn new(origin: &str, seed: [u8; 32]) -> Result<Self> {
        let seed = Zeroizing::new(seed);
        let key = SigningKey::from_bytes(&seed);
        let verifier = VerifierKey::new(origin, key.verifying_key())?;
        Ok(Self { key, verifier })
    }

    /// Reads `PRIVATE+KEY+<name>+<key id>+<base64 of 01 ‖ secret>`, the form of Go's `note.NewSigner`.
    pub fn parse(text: &str) -> Result<Self> {
        let refused = || Error::new("the signer's key is not PRIVATE+KEY+name+id+base64");
        let (name, id, data) = text
            .strip_prefix("PRIVATE+KEY+")
            .and_then(split_key)
            .ok_or_else(refused)?;
        let mut secret = Zeroizing::new([0; 33]);
        decode_key(data, &mut secret).ok_or_else(refused)?;
        let mut seed = Zeroizing::new([0; 32]);
        seed.copy_from_slice(&secret[1..]);
        let signer = Self::new(name, *seed)?;
        if signer.verifier.id_text() != id {
            return Err(Error::new("the signer's key is damaged: its id is that of another key"));
        }
        Ok(signer)
    }

    /// The text that [`parse`](Self::parse) reads.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut secret = Zeroizing::new([ED25519; 33]);
        secret[1..].copy_from_slice(self.key.as_bytes());
        let data = Zeroizing::new(BASE64_STANDARD.encode(*secret));
        Zeroizing::new(format!(
            "PRIVATE+KEY+{}+{}+{}",
            self.verifier.name,
            self.verifier.id_text(),
            *data
        ))
    }

    /// The key that others verify with.
    pub fn verifier_key(&self) -> VerifierKey {
        self.verifier.clone()
    }

    /// Signs a text: the whole note, that is the text, an empty line, and the signature's line.
    ///
    /// # Panics
    /// If `text` does not end with a line feed or holds another control character.
    pub fn sign(&self, text: &str) -> String {
        assert!(
            text.ends_with('\n') && is_plain(text),
            "a note's text is of whole lines without control characters"
        );
        let mut data = self.verifier.id.to_vec();
        data.extend_from_slice(&self.key.sign(text.as_bytes()).to_bytes());
        format!(
            "{text}\n\u{2014} {} {}\n",
            self.verifier.name,
            BASE64_STANDARD.encode(data)
        )
    }
}

impl Signer {
    /// Signs bytes that are no note: Ed25519, 64 bytes. Whoever calls this sees to it that they cannot be taken for
    /// another thing that this key signs; notes begin with a name and a line feed.
    pub fn sign_bytes(&self, bytes: &[u8]) -> [u8; 64] {
        self.key.sign(bytes).to_bytes()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("verifier", &self.verifier)
            .finish_non_exhaustive()
    }
}

/// The key that verifies a ledger's checkpoints. Its text is `<name>+<key id>+<base64 of 01 ‖ public key>`, as C2SP
/// `signed-note` has it.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; KEY_ID_BYTES],
    key: VerifyingKey,
}

impl VerifierKey {
    fn new(name: &str, key: VerifyingKey) -> Result<Self> {
        check_origin(name)?;
        let digest = Hash::of(&[name.as_bytes(), b"\n", &[ED25519], key.as_bytes()]);
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&digest.0[..KEY_ID_BYTES]);
        Ok(Self {
            name: name.to_owned(),
            id,
            key,
        })
    }

    /// The key's name: the ledger's origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Checks that this key signed the note, and gives its text. Signatures by other keys are passed over.
    pub fn verify<'a>(&self, note: &'a [u8]) -> Result<&'a str> {
        let refused = |why: &str| Error::new(format!("the signed note is not of its form: {why}"));
        if note.len() > limits::NOTE_BYTES {
            return Err(refused("it is too large"));
        }
        let note = std::str::from_utf8(note).map_err(|_| refused("it is not UTF-8"))?;
        if !is_plain(note) {
            return Err(refused("it holds control characters"));
        }
        let (text, signatures) = note
            .rfind("\n\n")
            .and_then(|at| Some((note.get(..=at)?, note.get(at + 2..)?)))
            .ok_or_else(|| refused("no empty line parts the text from the signatures"))?;
        let signatures = signatures
            .strip_suffix('\n')
            .ok_or_else(|| refused("it does not end with a line feed"))?;
        let mut signed = false;
        for (n, line) in signatures.split('\n').enumerate() {
            if n >= limits::NOTE_SIGNATURES {
                return Err(refused("it has too many signatures"));
            }
            let (name, data) = line
                .strip_prefix("\u{2014} ")
                .and_then(|l| l.split_once(' '))
                .ok_or_else(|| refused("a signature's line"))?;
            if !is_key_name(name) {
                return Err(refused("a signature's name"));
            }
            let data = BASE64_STANDARD
                .decode(data)
                .map_err(|_| refused("a signature's base64"))?;
            let (id, signature) = data
                .split_first_chunk()
                .ok_or_else(|| refused("a signature is too short"))?;
            if name != self.name || *id != self.id {
                continue;
            }
            let signature = Signature::from_slice(signature).map_err(|_| refused("a signature's length"))?;
            self.key
                .verify_strict(text.as_bytes(), &signature)
                .map_err(|_| Error::new(format!("the signature of {self} on the note is bad")))?;
            signed = true;
        }
        if signed {
            Ok(text)
        } else {
            Err(Error::new(format!("the note is not signed by {self}")))
        }
    }

    /// Whether this key signed these bytes, which are no note.
    pub fn verify_bytes(&self, bytes: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|signature| self.key.verify_strict(bytes, &signature).is_ok())
    }

    fn id_text(&self) -> String {
        format!("{:08x}", u32::from_be_bytes(self.id))
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut data = [ED25519; 33];
        data[1..].copy_from_slice(self.key.as_bytes());
        write!(f, "{}+{}+{}", self.name, self.id_text(), BASE64_STANDARD.encode(data))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for VerifierKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refused = || Error::new(format!("{text:?} is not a verifier key: name+id+base64"));
        let (name, id, data) = split_key(text).ok_or_else(refused)?;
        let mut bytes = [0; 33];
        decode_key(data, &mut bytes).ok_or_else(refused)?;
        let (_, public) = bytes.split_last_chunk().ok_or_else(refused)?;
        let key = VerifyingKey::from_bytes(public)
            .ok()
            .filter(|key| !key.is_weak())
            .ok_or_else(refused)?;
        let verifier = Self::new(name, key)?;
        if verifier.id_text() != id {
            return Err(Error::new(format!(
                "the verifier key {text:?} is damaged: its id is that of another key"
            )));
        }
        Ok(verifier)
    }
}

/// `name+id+data`, where the data may hold `+`.
fn split_key(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.split_once('+')?;
    let (id, data) = rest.split_once('+')?;
    Some((name, id, data))
}

/// The type byte and 32 bytes of key.
fn decode_key(data: &str, bytes: &mut [u8; 33]) -> Option<()> {
    // The decoder wants room for whole groups of four characters.
    let mut room = Zeroizing::new([0; 36]);
    let len = BASE64_STANDARD.decode_slice(data, &mut *room).ok()?;
    bytes.copy_from_slice(
        room.get(..len)
            .filter(|key| key.len() == 33 && key.first() == Some(&ED25519))?,
    );
    Some(())
}

/// Whether the specification lets a key have this name.
fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('+') && !name.contains(char::is_whitespace)
}

/// Whether a text has no control character but line feeds.
fn is_plain(text: &str) -> bool {
    !text.bytes().any(|byte| byte < b' ' && byte != b'\n')
}

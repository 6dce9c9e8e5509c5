use std::{fmt, str::FromStr};

use base64::{Engine, prelude::BASE64_STANDARD};
use ed25519_dalek::{Signature, VerifyingKey};

use crate::{Error, Hash, Result, check_origin, limits};

/// The signature type that C2SP `signed-note` numbers 4: a timestamped Ed25519 cosignature of a checkpoint.
const COSIGNATURE: u8 = 4;

/// The key that verifies a witness's cosignatures (C2SP `tlog-cosignature`, cosignature/v1). Its text is `<name>+<key
/// id>+<base64 of 04 ‖ public key>`.
#[derive(Clone, PartialEq, Eq)]
pub struct WitnessKey {
    name: String,
    id: [u8; 4],
    key: VerifyingKey,
}

impl WitnessKey {
    /// The witness's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key: a witness counts once, however many names it is given.
    pub fn public_key(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// Looks among signature lines, each with its line feed, for this witness's cosignature of a checkpoint's text. None:
    /// there is none. Gives the seconds since 1970 at which it says that this was the newest checkpoint it had seen.
    pub fn find(&self, text: &str, lines: &str) -> Result<Option<u64>> {
        let refused = |why: &str| Error::new(format!("the cosignature of {} is not of its form: {why}", self.name));
        let mut found = None;
        for (n, line) in lines.lines().enumerate() {
            if n >= limits::NOTE_SIGNATURES {
                return Err(refused("there are too many signatures"));
            }
            let (name, data) = line
                .strip_prefix("\u{2014} ")
                .and_then(|line| line.split_once(' '))
                .ok_or_else(|| refused("a signature's line"))?;
            let data = BASE64_STANDARD.decode(data).map_err(|_| refused("its base64"))?;
            let Some((id, data)) = data.split_first_chunk::<4>() else {
                return Err(refused("it is too short"));
            };
            if name != self.name || *id != self.id {
                continue;
            }
            let (time, signature) = data.split_first_chunk().ok_or_else(|| refused("it is too short"))?;
            let time = u64::from_be_bytes(*time);
            let signature = Signature::from_slice(signature).map_err(|_| refused("its length"))?;
            self.key
                .verify_strict(format!("cosignature/v1\ntime {time}\n{text}").as_bytes(), &signature)
                .map_err(|_| Error::new(format!("the cosignature of {} is bad", self.name)))?;
            found = Some(time);
        }
        Ok(found)
    }

    fn id_text(&self) -> String {
        format!("{:08x}", u32::from_be_bytes(self.id))
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = [&[COSIGNATURE][..], self.key.as_bytes()].concat();
        write!(f, "{}+{}+{}", self.name, self.id_text(), BASE64_STANDARD.encode(data))
    }
}

impl fmt::Debug for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for WitnessKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refused = || {
            Error::new(format!(
                "{text:?} is not the key of a witness: name+id+base64, of signature type 4"
            ))
        };
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(refused());
        };
        check_origin(name)?;
        let data = BASE64_STANDARD.decode(data).map_err(|_| refused())?;
        let public = data.strip_prefix(&[COSIGNATURE]).and_then(|key| key.try_into().ok());
        let key = public.and_then(|key| VerifyingKey::from_bytes(key).ok());
        let key = key.filter(|key| !key.is_weak()).ok_or_else(refused)?;
        let digest = Hash::of(&[name.as_bytes(), b"\n", &[COSIGNATURE], key.as_bytes()]);
        let mut witness = Self {
            name: name.to_owned(),
            id: [0; 4],
            key,
        };
        witness.id.copy_from_slice(&digest.0[..4]);
        if witness.id_text() != id {
            return Err(Error::new(format!(
                "the key {text:?} is damaged: its id is that of another key"
            )));
        }
        Ok(witness)
    }
}

/// What is sent to a witness's `add-checkpoint` (C2SP `tlog-witness`): the size that it has seen, the proof that the
/// checkpoint's tree begins with that one, and the checkpoint.
pub fn add_checkpoint(old: u64, proof: &[Hash], note: &str) -> String {
    let hashes: String = proof
        .iter()
        .map(|hash| format!("{}\n", BASE64_STANDARD.encode(hash.0)))
        .collect();
    format!("old {old}\n{hashes}\n{note}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_with_more_signatures_than_a_note_has_is_refused() {
        let key = WitnessKey {
            name: "example.com/witness".into(),
            id: [0; 4],
            key: ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key(),
        };
        let line = format!("\u{2014} somebody {}\n", BASE64_STANDARD.encode([1; 12]));
        let find = |lines: usize| key.find("text\n", &line.repeat(lines));
        assert_eq!(find(limits::NOTE_SIGNATURES).unwrap(), None);
        assert!(
            find(limits::NOTE_SIGNATURES + 1)
                .unwrap_err()
                .to_string()
                .contains("too many")
        );
    }
}

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    Body, Checkpoint, Content, Envelope, Error, Event, Hash, InclusionProof, Result, VerifierKey, commitment,
    leaf_hash, limits,
};

/// What every disclosure begins with.
pub(crate) const BEGINNING: &str = r#"{"quipu":"disclosure@v1","#;
const NAME: &str = "disclosure@v1";

/// One event with all that a third party needs to check it, and nothing of any other.
///
/// Its text is one line of JSON, and each disclosure has exactly one text. The salt opens this entry's commitment alone:
/// neither the key that its body is sealed with nor anything of other entries can be derived from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Disclosure {
    /// The stored bytes of the entry's envelope.
    pub envelope: String,
    /// The body's plaintext, byte for byte.
    pub body: String,
    /// With which the envelope commits to the body.
    pub salt: [u8; 32],
    /// That the entry is in the ledger; without extra data.
    pub proof: InclusionProof,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    quipu: String,
    envelope: String,
    body: String,
    salt: Hash,
    proof: String,
}

impl Disclosure {
    /// Checks the checkpoint's signature, that the entry is in its tree, and that the envelope commits to the body. Gives
    /// the event, and the checkpoint.
    pub fn verify(&self, key: &VerifierKey) -> Result<(Event, Checkpoint)> {
        let hash = leaf_hash(self.envelope.as_bytes());
        let checkpoint = self.proof.verify(&hash, key)?;
        let envelope = Envelope::parse(self.envelope.as_bytes())?;
        is_at(&envelope, self.proof.index)?;
        let content = Content::Open(opened(&envelope, &self.body, &self.salt)?);
        let event = Event {
            envelope,
            content,
            hash,
        };
        Ok((event, checkpoint))
    }
}

/// Checks that an envelope is of the position that was proved.
pub(crate) fn is_at(envelope: &Envelope, index: u64) -> Result<()> {
    if envelope.seq == index {
        return Ok(());
    }
    let message = format!(
        "the entry says that it is number {}, and {index} is proved",
        envelope.seq
    );
    Err(Error::new(message))
}

/// The body that an envelope commits to.
pub(crate) fn opened(envelope: &Envelope, plaintext: &str, salt: &[u8; 32]) -> Result<Body> {
    if commitment(salt, plaintext.as_bytes()) != envelope.body {
        return Err(Error::new("the body is not the one that the envelope commits to"));
    }
    Body::parse(plaintext.as_bytes())
}

impl fmt::Display for Disclosure {
    /// One line of JSON, with its line feed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proof = InclusionProof {
            extra: None,
            ..self.proof.clone()
        };
        let text = Text {
            quipu: NAME.to_owned(),
            envelope: self.envelope.clone(),
            body: self.body.clone(),
            salt: Hash(self.salt),
            proof: proof.to_string(),
        };
        writeln!(f, "{}", serde_json::to_string(&text).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Disclosure {
    type Err = Error;

    /// Reads the one text that a disclosure has: any other, though it mean the same, is refused.
    fn from_str(text: &str) -> Result<Self> {
        let refused = |why: String| Error::new(format!("the text is not a disclosure: {why}"));
        if text.len() > limits::DISCLOSURE_BYTES {
            return Err(refused(format!("it has more than {} bytes", limits::DISCLOSURE_BYTES)));
        }
        let read: Text = serde_json::from_str(text).map_err(|e| refused(e.to_string()))?;
        let disclosure = Self {
            envelope: read.envelope,
            body: read.body,
            salt: read.salt.0,
            proof: read.proof.parse()?,
        };
        if disclosure.to_string() != text {
            return Err(refused(
                "it is not written as disclosures are: one byte or more was changed".into(),
            ));
        }
        Ok(disclosure)
    }
}

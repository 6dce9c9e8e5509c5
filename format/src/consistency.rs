use std::{fmt, str::FromStr};

use crate::{
    Checkpoint, Error, Hash, Result, VerifierKey, checkpoint::hash_to_base64, limits, proof::hashes_from_lines, tree,
};

pub(crate) const FIRST_LINE: &str = "quipu/consistency@v1";

/// Proof that a ledger only grew between two of its checkpoints: the newer tree begins with the older one.
///
/// Its text is three parts, an empty line after each of the first two: the line `quipu/consistency@v1` and the hashes, in
/// base64, one a line; the old checkpoint; the new one. C2SP has no text for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// The older checkpoint, a signed note.
    pub old: String,
    /// The newer one.
    pub new: String,
    /// The hashes of RFC 6962, 2.1.2; at most 63.
    pub hashes: Vec<Hash>,
}

impl ConsistencyProof {
    /// Checks both signatures, and that the newer tree begins with the older one. Gives the two checkpoints.
    pub fn verify(&self, key: &VerifierKey) -> Result<(Checkpoint, Checkpoint)> {
        self.verify_with(key, key)
    }

    /// The same where the ledger's key was rotated between the two.
    pub fn verify_with(&self, old: &VerifierKey, new: &VerifierKey) -> Result<(Checkpoint, Checkpoint)> {
        if old.name() != new.name() {
            let message = format!("the keys are of two ledgers, {} and {}", old.name(), new.name());
            return Err(Error::new(message));
        }
        let open = |what: &str, note: &str, key: &VerifierKey| {
            Checkpoint::open(note.as_bytes(), key).map_err(|e| Error::new(format!("the {what} checkpoint: {e}")))
        };
        let (old, new) = (open("old", &self.old, old)?, open("new", &self.new, new)?);
        tree::verify_consistency(old.size, new.size, &old.root, &new.root, &self.hashes)?;
        Ok((old, new))
    }
}

impl fmt::Display for ConsistencyProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        for hash in &self.hashes {
            writeln!(f, "{}", hash_to_base64(hash))?;
        }
        write!(f, "\n{}\n{}", self.old, self.new)
    }
}

impl FromStr for ConsistencyProof {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refused = |why: &str| Error::new(format!("the text is not a consistency proof: {why}"));
        if text.len() > 3 * limits::NOTE_BYTES {
            return Err(refused("it is too large"));
        }
        // Neither the hashes nor a checkpoint's three lines nor its signatures have an empty line in them.
        let parts: Vec<&str> = text.split("\n\n").collect();
        let [head, old, old_signatures, new, new_signatures] = parts[..] else {
            return Err(refused(
                "it must have the hashes and two checkpoints, an empty line between them",
            ));
        };
        let mut lines = head.split('\n');
        if lines.next() != Some(FIRST_LINE) {
            return Err(refused("its first line must be quipu/consistency@v1"));
        }
        Ok(Self {
            hashes: hashes_from_lines(lines).map_err(|why| refused(&why))?,
            old: format!("{old}\n\n{old_signatures}\n"),
            new: format!("{new}\n\n{new_signatures}"),
        })
    }
}

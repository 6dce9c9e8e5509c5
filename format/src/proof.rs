use std::{fmt, str::FromStr};

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::{Checkpoint, Error, Hash, Result, VerifierKey, checkpoint::hash_from_base64, tree};

/// Hashes of a proof, at most: a tree has fewer than 2^63 leaves.
const MOST_HASHES: usize = 63;
const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// Proof that an entry is in a ledger (C2SP `tlog-proof`): it needs nothing but itself and the ledger's verifier key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    /// Position of the entry: its `seq`.
    pub index: u64,
    /// The hashes of RFC 6962, 2.1.1, the lowest first; at most 63.
    pub hashes: Vec<Hash>,
    /// The signed checkpoint of the tree that it is proved to be in.
    pub checkpoint: String,
}

impl InclusionProof {
    /// Checks the checkpoint's signature and that the entry with this leaf hash is in its tree.
    pub fn verify(&self, leaf: &Hash, key: &VerifierKey) -> Result<Checkpoint> {
        let checkpoint = Checkpoint::open(self.checkpoint.as_bytes(), key)?;
        tree::verify_inclusion(checkpoint.size, self.index, leaf, &self.hashes, &checkpoint.root)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for InclusionProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}\nindex {}", self.index)?;
        for hash in &self.hashes {
            writeln!(f, "{}", BASE64_STANDARD.encode(hash.0))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for InclusionProof {
    type Err = Error;

    /// Reads a proof's text. An `extra` line, the application's own, is passed over: nothing vouches for it.
    fn from_str(text: &str) -> Result<Self> {
        let refused = |why: &str| Error::new(format!("the text is not a tlog-proof: {why}"));
        let (head, checkpoint) = text
            .split_once("\n\n")
            .ok_or_else(|| refused("no empty line before the checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(FIRST_LINE) {
            return Err(refused("its first line must be c2sp.org/tlog-proof@v1"));
        }
        if let Some(extra) = lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            BASE64_STANDARD
                .decode(extra)
                .map_err(|_| refused("its extra line is not base64"))?;
            lines.next();
        }
        let index = lines
            .next()
            .and_then(|line| line.strip_prefix("index "))
            .and_then(|text| text.parse::<u64>().ok().filter(|number| number.to_string() == text))
            .ok_or_else(|| refused("no index"))?;
        let hashes = lines
            .map(|line| hash_from_base64(line).ok_or_else(|| refused("a hash is not 32 bytes in base64")))
            .collect::<Result<Vec<_>>>()?;
        if hashes.len() > MOST_HASHES {
            return Err(refused("more than 63 hashes"));
        }
        Ok(Self {
            index,
            hashes,
            checkpoint: checkpoint.to_owned(),
        })
    }
}

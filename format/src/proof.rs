use std::{fmt, str::FromStr};

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::{
    Checkpoint, Error, Hash, Result, VerifierKey,
    checkpoint::{hash_from_base64, hash_to_base64},
    limits, tree,
};

/// Hashes of a proof, at most: a tree has fewer than 2^63 leaves.
pub(crate) const MOST_HASHES: usize = 63;
const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// Proof that an entry is in a ledger (C2SP `tlog-proof`). With the entry's envelope as its extra data it needs nothing
/// but itself and the ledger's verifier key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    /// Position of the entry: its `seq`.
    pub index: u64,
    /// The application's own data, which nothing but the entry's leaf hash vouches for. Where quipu makes a proof, it is
    /// the entry's envelope; at most 65,535 bytes.
    pub extra: Option<Vec<u8>>,
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
        writeln!(f, "{FIRST_LINE}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", BASE64_STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.hashes {
            writeln!(f, "{}", hash_to_base64(hash))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for InclusionProof {
    type Err = Error;

    /// Reads a proof's text.
    fn from_str(text: &str) -> Result<Self> {
        let refused = |why: &str| Error::new(format!("the text is not a tlog-proof: {why}"));
        let (head, checkpoint) = text
            .split_once("\n\n")
            .ok_or_else(|| refused("no empty line before the checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(FIRST_LINE) {
            return Err(refused("its first line must be c2sp.org/tlog-proof@v1"));
        }
        let extra = match lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            Some(text) => {
                let bytes = BASE64_STANDARD.decode(text).ok();
                let bytes = bytes.filter(|bytes| bytes.len() <= limits::ENVELOPE_BYTES);
                lines.next();
                Some(bytes.ok_or_else(|| refused("its extra line is not at most 65,535 bytes in base64"))?)
            }
            None => None,
        };
        let index = lines
            .next()
            .and_then(|line| line.strip_prefix("index "))
            .and_then(|text| text.parse::<u64>().ok().filter(|number| number.to_string() == text))
            .ok_or_else(|| refused("no index"))?;
        Ok(Self {
            index,
            extra,
            hashes: hashes_from_lines(lines).map_err(|why| refused(&why))?,
            checkpoint: checkpoint.to_owned(),
        })
    }
}

/// Hashes of a proof as C2SP's texts have them: one a line, in padded base64.
pub(crate) fn hashes_from_lines<'a>(lines: impl Iterator<Item = &'a str>) -> std::result::Result<Vec<Hash>, String> {
    let mut hashes = Vec::new();
    for line in lines {
        if hashes.len() == MOST_HASHES {
            return Err(format!("it has more than {MOST_HASHES} hashes"));
        }
        hashes.push(hash_from_base64(line).ok_or("a hash is not 32 bytes in base64")?);
    }
    Ok(hashes)
}

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::{Error, Hash, Result, Signer, VerifierKey};

/// A signed tree head (C2SP `tlog-checkpoint`): a signed note whose three lines are the origin, the size and the root in
/// base64. It has no extension lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The ledger; also the name of the key.
    pub origin: String,
    /// Number of entries, below 2^63.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The signed note.
    ///
    /// # Panics
    /// If the signer's name is not the origin.
    pub fn sign(&self, signer: &Signer) -> String {
        assert_eq!(
            signer.verifier_key().name(),
            self.origin,
            "a checkpoint is signed by its origin's key"
        );
        signer.sign(&format!(
            "{}\n{}\n{}\n",
            self.origin,
            self.size,
            hash_to_base64(&self.root)
        ))
    }

    /// Reads a note that `key` signed.
    pub fn open(note: &[u8], key: &VerifierKey) -> Result<Self> {
        let refused = |why: &str| Error::new(format!("the signed note is not a checkpoint: {why}"));
        let mut lines = key.verify(note)?.split('\n');
        let (Some(origin), Some(size), Some(root), Some(""), None) =
            (lines.next(), lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(refused("it must have the three lines origin, size and root"));
        };
        if origin != key.name() {
            return Err(refused("its origin is not the key's name"));
        }
        let size = size
            .parse::<u64>()
            .ok()
            .filter(|number| *number < 1 << 63 && number.to_string() == size)
            .ok_or_else(|| refused("its size is not a number below 2^63"))?;
        let root = hash_from_base64(root).ok_or_else(|| refused("its root is not 32 bytes in base64"))?;
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root,
        })
    }
}

/// A hash as C2SP's texts have it: padded standard base64.
pub(crate) fn hash_from_base64(text: &str) -> Option<Hash> {
    BASE64_STANDARD.decode(text).ok()?.try_into().ok().map(Hash)
}

/// The same, written.
pub(crate) fn hash_to_base64(hash: &Hash) -> String {
    BASE64_STANDARD.encode(hash.0)
}

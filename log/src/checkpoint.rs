//! The file `checkpoint`: the newest signed tree head.

use quipu_format::{Checkpoint, Hash, Signer, VerifierKey, tree::Frontier};

use crate::{
    Error, ErrorKind, Result,
    disk::{Access, Folder},
    reserve,
    tree_files::TreeWriter,
};

pub(crate) const FILE: &str = "checkpoint";

/// Reads the newest checkpoint and verifies its signature.
pub(crate) fn read(folder: &Folder, key: &VerifierKey) -> Result<(String, Checkpoint)> {
    let Some(note) = folder.read(FILE, 64 << 10)? else {
        let message = "the file checkpoint is missing, and a ledger has one from its first entry on: restore it from \
                       a backup";
        return Err(Error::new(ErrorKind::NotFound, message));
    };
    let bad = |why: String| {
        let message =
            format!("the file checkpoint is not one that this ledger signed ({why}): restore it from a backup");
        Error::new(ErrorKind::Tampered, message)
    };
    let checkpoint = Checkpoint::open(&note, key).map_err(|e| bad(e.to_string()))?;
    let note = String::from_utf8(note).map_err(|_| bad("it is not text".into()))?;
    Ok((note, checkpoint))
}

/// Signs tree heads. A checkpoint leaves the process only after it is synced, so that no second root is ever signed
/// at one size.
pub(crate) struct Publisher {
    folder: Folder,
    signer: Signer,
    frontier: Frontier,
    tree: TreeWriter,
    /// Size of the newest checkpoint on disk.
    published: u64,
}

impl Publisher {
    /// A publisher over an empty tree; `published` is the size of the checkpoint on disk.
    pub(crate) fn new(folder: Folder, signer: Signer, published: u64) -> Result<Self> {
        let tree = TreeWriter::new(&folder)?;
        Ok(Self {
            folder,
            signer,
            frontier: Frontier::new(),
            tree,
            published,
        })
    }

    /// Adds a durable entry's leaf hash. Nothing is written, so nothing can fail and leave a leaf out.
    pub(crate) fn push(&mut self, leaf: Hash) {
        self.frontier.push(leaf);
        self.tree.push(leaf);
    }

    /// Writes the tree's hashes and then, if the tree has grown, a checkpoint; returns when it is durable.
    pub(crate) fn publish(&mut self) -> Result<()> {
        self.tree.flush()?;
        if self.frontier.size() <= self.published {
            return Ok(());
        }
        let origin = self.signer.verifier_key().name().to_owned();
        let checkpoint = Checkpoint {
            origin,
            size: self.frontier.size(),
            root: self.frontier.root(),
        };
        self.folder
            .replace(FILE, checkpoint.sign(&self.signer).as_bytes(), Access::Usual)?;
        self.published = checkpoint.size;
        Ok(())
    }

    /// The same, on a full disk too: the last one before the ledger is closed.
    pub(crate) fn publish_last(&mut self) -> Result<()> {
        let folder = self.folder.try_clone()?;
        reserve::backed(&folder, || self.publish())
    }
}

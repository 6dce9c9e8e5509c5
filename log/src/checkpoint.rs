//! The file `checkpoint`: the newest signed tree head.

use std::sync::{Arc, PoisonError};

use quipu_format::{
    Checkpoint, Hash, Signer, VerifierKey,
    tree::{self, Frontier},
};

use crate::{
    Error, ErrorKind, Result,
    disk::{Access, Folder},
    heads::Heads,
    reader::ReadState,
    recent::Recent,
    reserve,
    sidecar::Sidecar,
    tree_files::{TreeFiles, TreeWriter},
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

/// Signs tree heads, and gives full segments their sidecars. A checkpoint leaves the process only after it is synced, so
/// that no second root is ever signed at one size.
pub(crate) struct Publisher {
    state: Arc<ReadState>,
    signer: Signer,
    frontier: Frontier,
    tree: TreeWriter,
    /// Size of the newest checkpoint on disk.
    published: u64,
}

impl Publisher {
    /// A publisher that goes on from a tree whose hashes are on disk; `published` is the size of the checkpoint there.
    pub(crate) fn new(state: Arc<ReadState>, signer: Signer, frontier: Frontier, published: u64) -> Result<Self> {
        let tree = TreeWriter::resume(&state.folder, frontier.size())?;
        Ok(Self {
            state,
            signer,
            frontier,
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
        if self.frontier.size() > self.published {
            self.sign()?;
        }
        if let Err(error) = self.seal() {
            // They stay in memory, and the next time may have room.
            tracing::warn!(%error, "a full segment has no sidecar yet");
        }
        Ok(())
    }

    /// The same, on a full disk too: the last one before the ledger is closed.
    pub(crate) fn publish_last(&mut self) -> Result<()> {
        let folder = self.state.folder.clone();
        reserve::backed(&folder, || self.publish())
    }

    /// Entries that the newest checkpoint on disk covers.
    pub(crate) fn published(&self) -> u64 {
        self.published
    }

    fn sign(&mut self) -> Result<()> {
        let origin = self.signer.verifier_key().name().to_owned();
        let checkpoint = Checkpoint {
            origin,
            size: self.frontier.size(),
            root: self.frontier.root(),
        };
        let note = checkpoint.sign(&self.signer);
        self.state.folder.replace(FILE, note.as_bytes(), Access::Usual)?;
        self.published = checkpoint.size;
        Ok(())
    }

    /// Gives each full segment that a checkpoint covers its sidecar, and says in `heads` that all up to there is in order.
    fn seal(&mut self) -> Result<()> {
        let index = self.state.index.read().unwrap_or_else(PoisonError::into_inner);
        let sealed = index.sealed();
        drop(index);
        for segment in sealed.iter().filter(|segment| segment.end() <= self.published) {
            let Some(recent) = segment.recent() else {
                continue;
            };
            Sidecar::write(&self.state.log, &recent)?;
            self.tree.sync()?;
            self.advance_heads(&recent)?;
            segment.adopt_sidecar()?;
        }
        Ok(())
    }

    fn advance_heads(&self, segment: &Recent) -> Result<()> {
        let secret = self.state.secret();
        let mut heads = match segment.first {
            0 => Heads::none(),
            _ => Heads::read(&self.state.folder, &secret)?.unwrap_or_else(Heads::none),
        };
        // Where a sidecar was lost later than the heads were written, the heads are ahead already.
        if heads.size == segment.first {
            let end = segment.first + u64::from(segment.len());
            heads.take(segment, tree::root(end, &TreeFiles::open(&self.state.folder)?)?);
            heads.write(&self.state.folder, &secret)?;
        }
        Ok(())
    }
}

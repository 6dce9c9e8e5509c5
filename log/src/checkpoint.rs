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
    merging::Merger,
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
    merger: Merger,
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
            merger: Merger::default(),
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
        if let Err(error) = self.merger.stop(&self.state) {
            tracing::warn!(%error, "a merged sidecar that was not finished is still there");
        }
        let folder = self.state.folder.clone();
        reserve::backed(&folder, || self.publish())
    }

    /// Goes on merging sidecars for a moment. Returns whether there may be more to do.
    pub(crate) fn merge(&mut self) -> bool {
        self.merger.step(&self.state).unwrap_or_else(|error| {
            // What would be merged answers all the same, and after the next checkpoint it is tried again.
            tracing::warn!(%error, "sidecars are not merged yet");
            false
        })
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
        let (mut written, mut outcome) = (Vec::new(), Ok(()));
        for segment in sealed.iter().filter(|segment| segment.end() <= self.published) {
            let Some(recent) = segment.recent() else {
                continue;
            };
            outcome = Sidecar::write(&self.state.log, &recent);
            if outcome.is_err() {
                break;
            }
            written.push((segment, recent));
        }
        if !written.is_empty() {
            self.tree.sync()?;
            self.advance_heads(written.iter().map(|(_, recent)| &**recent))?;
            written.iter().try_for_each(|(segment, _)| segment.adopt_sidecar())?;
        }
        outcome
    }

    fn advance_heads<'a>(&self, segments: impl Iterator<Item = &'a Recent>) -> Result<()> {
        let secret = self.state.secret();
        let mut segments = segments.peekable();
        let mut heads = match segments.peek() {
            Some(segment) if segment.first > 0 => Heads::read(&self.state.folder, &secret)?.unwrap_or_else(Heads::none),
            _ => Heads::none(),
        };
        let before = heads.size;
        // Where a sidecar was lost later than the heads were written, the heads are ahead already.
        segments.for_each(|segment| {
            if heads.size == segment.first {
                heads.take(segment);
            }
        });
        if heads.size > before {
            heads.root = tree::root(heads.size, &TreeFiles::open(&self.state.folder)?)?;
            heads.write(&self.state.folder, &secret)?;
        }
        Ok(())
    }
}

//! The file `checkpoint`: the newest signed tree head.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use quipu_format::{
    Checkpoint, Hash, Signer,
    tree::{self, Frontier, TileHashes},
};

use crate::{
    Error, ErrorKind, LedgerReader, Result,
    cover::{self, Cover},
    disk::{Access, Folder},
    edge::Edge,
    heads::Heads,
    manifest::{Manifest, Manifests},
    merging::Merger,
    reader::ReadState,
    recent::Recent,
    reserve, rotation,
    sidecar::Sidecar,
    tree_files::{TreeFiles, TreeWriter},
    verifier_keys::VerifierKeys,
};

pub(crate) const FILE: &str = "checkpoint";

/// Reads the newest checkpoint and verifies its signature: that of the file `checkpoint`, unless the file `cover` has a
/// newer one.
pub(crate) fn read(folder: &Folder, key: &VerifierKeys) -> Result<(String, Checkpoint)> {
    let filed = read_filed(folder, key)?;
    let cover = cover::read(folder, key)?;
    Ok(cover.filter(|cover| cover.1.size > filed.1.size).unwrap_or(filed))
}

/// Which ledger a folder is, and its newest checkpoint: as they are in one moment, where its key is rotated meanwhile.
pub(crate) fn read_with_manifest(folder: &Folder) -> Result<(Manifest, Result<(String, Checkpoint)>)> {
    let manifests = Manifests::new(Manifest::read(folder)?);
    let checkpoint = manifests.signed(folder, |manifest| read(folder, &manifest.verifier_key));
    Ok((manifests.into_newest(), checkpoint))
}

fn read_filed(folder: &Folder, key: &VerifierKeys) -> Result<(String, Checkpoint)> {
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
    let checkpoint = key.open(&note).map_err(bad)?;
    let note = String::from_utf8(note).map_err(|_| bad("it is not text".into()))?;
    Ok((note, checkpoint))
}

/// A checkpoint that is on disk.
pub(crate) struct Signed {
    /// The signed note.
    pub(crate) note: String,
    /// What it says.
    pub(crate) checkpoint: Checkpoint,
    /// The hashes of its tree, and of what has followed since.
    hashes: Arc<TreeFiles>,
    edge: Arc<RwLock<Edge>>,
}

impl TileHashes for Signed {
    type Error = Error;

    fn read(&self, level: u8, first: u64, count: usize) -> Result<Vec<Hash>> {
        self.hashes.read(level, first, count)
    }

    fn complete(&self, height: u32, index: u64) -> Result<Hash> {
        match lock(&self.edge).node(height, index) {
            Some(hash) => Ok(hash),
            None => self.hashes.complete(height, index),
        }
    }
}

fn lock(edge: &RwLock<Edge>) -> RwLockReadGuard<'_, Edge> {
    edge.read().unwrap_or_else(PoisonError::into_inner)
}

/// Signs tree heads, and gives full segments their sidecars. A checkpoint leaves the process only after it is synced, so
/// that no second root is ever signed at one size.
pub(crate) struct Publisher {
    state: Arc<ReadState>,
    signer: Signer,
    /// Position of an entry that names the next signer, which signs for all that includes it.
    succession: Option<u64>,
    /// Shared with those who make proofs.
    edge: Arc<RwLock<Edge>>,
    tree: TreeWriter,
    /// Size of the one in the file `checkpoint`.
    filed: u64,
    /// The file `heads` was believed when the ledger was opened, or is of this process.
    vouched: bool,
    cover: Option<Cover>,
    /// The files of the tree, held open for proofs.
    hashes: Option<Arc<TreeFiles>>,
    /// The newest one on disk, there or in the file `cover`, where it was made here or asked for.
    newest: Option<Arc<Signed>>,
    merger: Merger,
}

impl Publisher {
    /// A publisher that goes on from a tree whose hashes are on disk: from where an open began to read.
    pub(crate) fn new(state: Arc<ReadState>, signer: Signer, frontier: Frontier) -> Result<Self> {
        let tree = TreeWriter::resume(&state.folder, frontier.size())?;
        let filed = read_filed(&state.folder, &state.manifest().verifier_key);
        Ok(Self {
            state,
            signer,
            succession: None,
            edge: Arc::new(RwLock::new(Edge::new(&frontier))),
            tree,
            filed: filed.map_or(0, |(_, checkpoint)| checkpoint.size),
            // Something comes before what was read.
            vouched: frontier.size() > 0,
            cover: None,
            hashes: None,
            newest: None,
            merger: Merger::default(),
        })
    }

    /// Entries whose leaf hashes were added.
    pub(crate) fn size(&self) -> u64 {
        lock(&self.edge).size()
    }

    /// The newest checkpoint on disk.
    pub(crate) fn newest(&mut self) -> Result<Arc<Signed>> {
        if let Some(newest) = &self.newest {
            return Ok(newest.clone());
        }
        let (note, checkpoint) = self.state.checkpoint()?;
        let hashes = self.hashes()?;
        let newest = Arc::new(Signed {
            note,
            checkpoint,
            hashes,
            edge: self.edge.clone(),
        });
        self.newest = Some(newest.clone());
        Ok(newest)
    }

    /// Adds a durable entry's leaf hash. Nothing is written, so nothing can fail and leave a leaf out.
    pub(crate) fn push(&mut self, leaf: Hash) {
        self.edge.write().unwrap_or_else(PoisonError::into_inner).push(leaf);
        self.tree.push(leaf);
    }

    /// The file `checkpoint` does not cover all.
    pub(crate) fn is_behind(&self) -> bool {
        self.filed < self.size()
    }

    /// Writes the tree's hashes and then, if it covers less, a new file `checkpoint`; returns when it is durable.
    pub(crate) fn advance(&mut self) -> Result<()> {
        self.tree.flush()?;
        if self.is_behind() {
            let signed = self.sign()?;
            let bytes = signed.note.as_bytes();
            self.state.folder.replace(FILE, bytes, Access::Usual)?;
            self.filed = signed.checkpoint.size;
            self.newest = Some(Arc::new(signed));
        }
        Ok(())
    }

    /// Makes a checkpoint of all durable at the least price, for those who wait: `checkpoint` is left to
    /// [`advance`](Self::advance).
    pub(crate) fn cover(&mut self) -> Result<()> {
        // Whatever became of a write to it that failed, the next one goes to another file, behind what is filed.
        let Some(mut cover) = self.cover.take() else {
            self.advance()?;
            self.cover = Some(Cover::create(&self.state.folder)?);
            return Ok(());
        };
        if self.newest()?.checkpoint.size < self.size() {
            self.tree.flush()?;
            let signed = self.sign()?;
            if !Cover::fits(&signed.note) {
                return self.advance();
            }
            cover.write(&signed.note)?;
            self.newest = Some(Arc::new(signed));
        }
        self.cover = Some(cover);
        Ok(())
    }

    /// Gives each full segment that the newest checkpoint covers its sidecar.
    pub(crate) fn seal(&mut self) {
        if let Err(error) = self.try_seal() {
            // They stay in memory, and the next time may have room.
            tracing::warn!(%error, "a full segment has no sidecar yet");
        }
    }

    /// Leaves the newest checkpoint in the file `checkpoint`, and all else in order: when a ledger is opened, and at its end.
    pub(crate) fn publish(&mut self) -> Result<()> {
        self.advance()?;
        self.cover = None;
        cover::remove(&self.state.folder)?;
        self.seal();
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

    /// The entry at a position, whose leaf hash is added from now on, names the next signer.
    pub(crate) fn succeed(&mut self, seq: u64) {
        self.succession = Some(seq);
    }

    /// A checkpoint of all whose hashes are written; it is not on disk yet.
    fn sign(&mut self) -> Result<Signed> {
        if let Some(seq) = self.succession
            && self.size() > seq
        {
            let state = self.state.clone();
            let reader = LedgerReader { state };
            rotation::finish(&reader, seq, &mut self.signer)?;
            rotation::check_named(&reader, seq, &self.signer.verifier_key())?;
            self.succession = None;
        }
        let edge = lock(&self.edge);
        let checkpoint = Checkpoint {
            origin: self.signer.verifier_key().name().to_owned(),
            size: edge.size(),
            root: edge.root(),
        };
        drop(edge);
        Ok(Signed {
            note: checkpoint.sign(&self.signer),
            checkpoint,
            hashes: self.hashes()?,
            edge: self.edge.clone(),
        })
    }

    fn hashes(&mut self) -> Result<Arc<TreeFiles>> {
        let levels = self.tree.levels();
        let hashes = match self.hashes.take().filter(|hashes| hashes.levels() == levels) {
            Some(hashes) => hashes,
            None => Arc::new(TreeFiles::open(&self.state.folder)?),
        };
        self.hashes = Some(hashes.clone());
        Ok(hashes)
    }

    /// Gives each full segment that a checkpoint covers its sidecar, and says in `heads` that all up to there is in order.
    fn try_seal(&mut self) -> Result<()> {
        let index = self.state.index.read().unwrap_or_else(PoisonError::into_inner);
        let sealed = index.sealed();
        drop(index);
        let (mut written, mut outcome) = (Vec::new(), Ok(()));
        for segment in sealed.iter().filter(|segment| segment.end() <= self.filed) {
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

    fn advance_heads<'a>(&mut self, segments: impl Iterator<Item = &'a Recent>) -> Result<()> {
        let secret = self.state.secret();
        let mut segments = segments.peekable();
        // Where the heads were believed and the first segment's sidecar was lost, they do not begin anew: what they vouch for
        // would be read again by the next open, which may refuse what this one has passed over.
        let goes_on = self.vouched || segments.peek().is_some_and(|segment| segment.first > 0);
        let mut heads = match goes_on {
            true => Heads::read(&self.state.folder, &secret)?.unwrap_or_else(Heads::none),
            false => Heads::none(),
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
            self.vouched = true;
        }
        Ok(())
    }
}

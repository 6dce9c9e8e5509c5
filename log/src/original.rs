//! What a copy is made of: a ledger as its newest checkpoint has it, whatever is written behind that meanwhile.

use quipu_format::{
    Checkpoint, Hash, Signer,
    tree::{self, TileHashes},
};

use crate::{
    Error, ErrorKind, LedgerAt, Result,
    archive::{Archive, Segments},
    checkpoint,
    disk::{DiskFile, Folder},
    keyfile::Keys,
    manifest::Manifest,
    scan, segment, signer_file,
    tree_files::TreeFiles,
};

/// What is copied.
pub(crate) struct Original {
    folder: Folder,
    segments: Segments,
    pub(crate) manifest: Manifest,
    pub(crate) note: String,
    pub(crate) checkpoint: Checkpoint,
}

impl Original {
    /// The ledger in a folder, as its newest checkpoint has it.
    pub(crate) fn open(at: LedgerAt<'_>) -> Result<Self> {
        let folder = at.folder()?;
        let (manifest, checkpoint) = checkpoint::read_with_manifest(&folder)?;
        let (note, checkpoint) = checkpoint?;
        let rotated = manifest.verifier_key.earlier().last();
        if rotated.is_some_and(|earlier| checkpoint.size <= earlier.until) {
            let message =
                "a rotation of the ledger's key is not finished: open the ledger for writing, which finishes it";
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        Ok(Self {
            segments: Segments::new(folder.clone(), folder.sub(segment::FOLDER)?),
            folder,
            manifest,
            note,
            checkpoint,
        })
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    pub(crate) fn origin(&self) -> &str {
        self.manifest.verifier_key.name()
    }

    /// What the checkpoint covers. It was read before the folder is listed, so all of it is there.
    pub(crate) fn segments(&self) -> Result<Vec<Segment>> {
        let log = self.folder.sub(segment::FOLDER)?;
        let firsts = self.segments.list()?;
        let archive = Archive::read(&self.folder)?;
        let size = self.checkpoint.size;
        let mut segments = Vec::new();
        for (number, &first) in firsts.iter().enumerate().filter(|(_, first)| **first < size) {
            let next = firsts.get(number + 1).copied();
            let sealed = next.is_some_and(|next| next <= size);
            let bytes = match (log.length(&segment::file_name(first)), archive.find(first)) {
                (Err(e), Some(archived)) if e.kind() == ErrorKind::NotFound => archived.bytes,
                (bytes, _) => bytes?,
            };
            segments.push(Segment {
                first,
                end: next.filter(|_| sealed).unwrap_or(size),
                sealed,
                bytes,
            });
        }
        Ok(segments)
    }

    /// None: it was archived, and is not here.
    pub(crate) fn open_segment(&self, first: u64) -> Result<Option<DiskFile>> {
        match self.segments.open(first) {
            Err(e) if e.kind() == ErrorKind::NotHere => Ok(None),
            file => file.map(Some),
        }
    }

    /// The tree's hashes, which give the signed root.
    pub(crate) fn hashes(&self) -> Result<TreeFiles> {
        let hashes = TreeFiles::open(&self.folder)?;
        if tree::root(self.checkpoint.size, &hashes)? != self.checkpoint.root {
            return Err(TreeFiles::stale());
        }
        Ok(hashes)
    }

    /// Leaf hashes of some entries, from the tree's files.
    pub(crate) fn leaves(&self, from: u64, to: u64) -> Result<Vec<Hash>> {
        TreeFiles::open(&self.folder)?.read(0, from, (to - from) as usize)
    }

    /// The key file, and the signer where it is.
    ///
    /// # Errors
    /// `Unavailable` where the ledger has another signer by now: it is to be opened again.
    pub(crate) fn secrets(&self) -> Result<(Keys, Option<Signer>)> {
        let keys = Keys::read(&self.folder, self.origin())?;
        let signer = signer_file::current(&self.folder, &self.manifest);
        match signer {
            Ok(signer) => Ok((keys, Some(signer))),
            Err(_) if Manifest::read(&self.folder)?.verifier_key != self.manifest.verifier_key => {
                let message = "the ledger's key was rotated while it was copied: copy again";
                Err(Error::new(ErrorKind::Unavailable, message))
            }
            Err(e) if e.kind() == ErrorKind::NotFound => Ok((keys, None)),
            Err(e) => Err(e),
        }
    }
}

/// A segment of the original, as far as its checkpoint reaches.
pub(crate) struct Segment {
    pub(crate) first: u64,
    /// `seq` behind its last entry, or of the first that is not copied.
    pub(crate) end: u64,
    /// It is full, and copied as it is; the newest one is copied up to the checkpoint.
    pub(crate) sealed: bool,
    /// Bytes of its file, uncompressed.
    pub(crate) bytes: u64,
}

/// Leaf hashes of a segment's entries, and the byte behind them. A sealed segment has LF alone behind its entries.
pub(crate) fn entries(bytes: &[u8], segment: &Segment) -> std::result::Result<(Vec<Hash>, usize), String> {
    let mut leaves = Vec::new();
    let mut end = None;
    let Ok(tail) = scan::commits(bytes, 0, segment.first, |found| {
        if found.envelope.seq < segment.end {
            leaves.push(found.hash);
        }
        if found.last + 1 == segment.end {
            end = Some(found.range.end);
        }
        Ok::<_, std::convert::Infallible>(())
    });
    match end {
        Some(end) if !segment.sealed || tail.next == segment.end && tail.rest.is_empty() => Ok((leaves, end)),
        _ => Err(format!(
            "entry {} is damaged at byte {} ({})",
            tail.next, tail.end, tail.why
        )),
    }
}

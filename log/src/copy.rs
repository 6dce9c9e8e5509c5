//! Copying a ledger, which another process may be writing: to a backup, and from a backup to a new folder.
//!
//! A copy has the form of a ledger's folder and ends where its checkpoint does. Everything else is in place before that
//! checkpoint is, each file under its name only once it is whole and synced, so that a copy that was broken off is
//! finished by copying again. `quipu.json` comes first and says that the folder is a copy, which nobody writes to.

use std::path::Path;

use quipu_format::{
    Checkpoint, Hash, Signer, VerifierKey, leaf_hash,
    tree::{self, Frontier, TileHashes},
};
use serde::Serialize;

use crate::{
    Error, ErrorKind, Result, checkpoint, components,
    disk::{Access, DiskFile, Folder},
    keyfile::{self, Keys},
    ledger::SIGNER,
    lock::Lock,
    manifest::{self, Manifest},
    recovery::{TORN, read_segment},
    scan, segment,
    tree_files::{TreeFiles, TreeWriter},
};

/// How far a copy has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyProgress {
    /// Bytes of segments that the copy holds.
    pub bytes: u64,
    /// Bytes of all segments.
    pub total_bytes: u64,
}

/// What a copy holds now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct CopySummary {
    /// Name of the ledger that the copy is of.
    pub origin: String,
    /// Entries, as many as the copy's checkpoint covers.
    pub entries: u64,
    /// Segments that were copied.
    pub segments_copied: u64,
    /// Segments that were there already, which has been checked.
    pub segments_held: u64,
    /// Bytes of the segments that were copied.
    pub bytes_copied: u64,
    /// The copy holds the key file.
    pub with_keys: bool,
}

impl CopySummary {
    pub(crate) fn new(original: &Original) -> Self {
        Self {
            origin: original.origin().to_owned(),
            entries: original.checkpoint.size,
            segments_copied: 0,
            segments_held: 0,
            bytes_copied: 0,
            with_keys: false,
        }
    }
}

/// The secrets that a copy gets.
pub(crate) enum Secrets<'a> {
    /// None: bodies cannot be opened.
    None,
    /// The key file of the original, and its signer.
    Original,
    /// These.
    Given {
        keys: Option<&'a Keys>,
        signer: Option<&'a Signer>,
    },
}

/// What is copied.
pub(crate) struct Original {
    folder: Folder,
    pub(crate) manifest: Manifest,
    pub(crate) note: String,
    pub(crate) checkpoint: Checkpoint,
}

impl Original {
    /// The ledger in a folder, as its newest checkpoint has it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let folder = Folder::open(path)?;
        let manifest = Manifest::read(&folder)?;
        let (note, checkpoint) = checkpoint::read(&folder, &manifest.verifier_key)?;
        Ok(Self {
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
}

/// A folder that becomes a copy, and is held against others who would write to it.
pub(crate) struct Copy {
    folder: Folder,
    /// Key that the copy's checkpoints are signed with.
    key: VerifierKey,
    /// The checkpoint that an earlier copying left.
    before: Option<Checkpoint>,
    _lock: Lock,
}

impl Copy {
    /// Opens a folder that is empty, does not exist, or holds a copy under the same key. Whatever else is in it stays as
    /// it is, and is refused.
    pub(crate) fn open(path: &Path, key: &VerifierKey) -> Result<Self> {
        let refused = |what: &str| {
            let message = format!("the folder {} {what}: choose another one", path.display());
            Err(Error::new(ErrorKind::Exists, message))
        };
        let folder = Folder::create(path)?;
        let names = folder.list()?;
        if names.iter().any(|name| name == manifest::FILE) {
            let there = Manifest::read(&folder)?;
            if !there.copy {
                return refused("holds a ledger that is written, not a copy");
            }
            if there.verifier_key != *key {
                let other = there.verifier_key.to_string();
                return refused(&format!("holds a copy of another ledger ({other})"));
            }
        } else if let Some(name) = names.iter().find(|name| !BEGUN.contains(&name.as_str())) {
            return refused(&format!("holds something else ({name})"));
        }
        let lock = Lock::take_anywhere(&folder)?;
        let before = match checkpoint::read(&folder, key) {
            Ok((_, checkpoint)) => Some(checkpoint),
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        };
        Ok(Self {
            folder,
            key: key.clone(),
            before,
            _lock: lock,
        })
    }

    /// Entries that an earlier copying covered with a checkpoint.
    pub(crate) fn size_before(&self) -> u64 {
        self.before.as_ref().map_or(0, |checkpoint| checkpoint.size)
    }

    /// Gives the copy a signer.
    pub(crate) fn put_signer(&self, signer: &Signer) -> Result<()> {
        self.folder
            .replace(SIGNER, signer.to_text().as_bytes(), Access::Private)
    }

    /// Makes the folder a whole copy. `sign` gives the checkpoint's note: the original's own, or one under another key.
    pub(crate) fn take(
        &self,
        original: &Original,
        secrets: &Secrets<'_>,
        sign: impl FnOnce(&Original) -> String,
        progress: &mut dyn FnMut(CopyProgress),
    ) -> Result<CopySummary> {
        self.check_history(original)?;
        self.check_secrets(secrets)?;
        let manifest = Manifest {
            verifier_key: self.key.clone(),
            copy: true,
        };
        manifest.write(&self.folder)?;
        let mut summary = CopySummary::new(original);
        self.take_log(original, &mut summary, progress)?;
        // After the log: all that its entries name was there before them.
        self.take_components(original)?;
        self.take_torn(original)?;
        summary.with_keys = self.take_secrets(original, secrets)?;
        self.folder.sync()?;
        self.folder
            .replace(checkpoint::FILE, sign(original).as_bytes(), Access::Usual)?;
        Ok(summary)
    }

    /// Refuses a copy whose history is not the beginning of the original's.
    fn check_history(&self, original: &Original) -> Result<()> {
        let Some(before) = &self.before else { return Ok(()) };
        if before.size > original.checkpoint.size {
            let message = format!(
                "the copy holds {} entries, and the ledger {}: the ledger is older than its copy, or has lost entries. \
                 Nothing was changed",
                before.size, original.checkpoint.size
            );
            return Err(Error::new(ErrorKind::LostEntries, message));
        }
        let hashes = original.hashes()?;
        if tree::root(before.size, &hashes)? != before.root {
            let message = format!(
                "the copy is of another history: its first {} entries are not the ledger's. Nothing was changed; keep \
                 both, and run `quipu verify` on each",
                before.size
            );
            return Err(Error::new(ErrorKind::Tampered, message));
        }
        Ok(())
    }

    /// A key file that is not kept up with the log would be of no use, and looks as if it were.
    fn check_secrets(&self, secrets: &Secrets<'_>) -> Result<()> {
        let has_keys = self.folder.list()?.iter().any(|name| name == keyfile::FILE);
        if has_keys && matches!(secrets, Secrets::None) {
            let message = "the copy holds the files keys and signer from before: copy with keys again, or remove \
                           both from the copy";
            return Err(Error::new(ErrorKind::Exists, message));
        }
        Ok(())
    }

    fn take_log(
        &self,
        original: &Original,
        summary: &mut CopySummary,
        progress: &mut dyn FnMut(CopyProgress),
    ) -> Result<()> {
        let size = original.checkpoint.size;
        let segments = original.segments()?;
        let log = self.folder.create_sub(segment::FOLDER)?;
        refuse_strays(&log, &segments)?;
        let total_bytes = segments.iter().map(|segment| segment.bytes).sum();
        let mut hashes = TreeWriter::resume(&self.folder, 0)?;
        let mut frontier = Frontier::new();
        let mut bytes = 0;
        for segment in &segments {
            let leaves = match held(&log, original, segment)? {
                Some(leaves) => {
                    summary.segments_held += 1;
                    leaves
                }
                None => {
                    let (leaves, copied) = take_segment(&log, segment)?;
                    summary.segments_copied += 1;
                    summary.bytes_copied += copied;
                    leaves
                }
            };
            for leaf in leaves {
                frontier.push(leaf);
                hashes.push(leaf);
            }
            hashes.flush()?;
            bytes += segment.bytes;
            progress(CopyProgress { bytes, total_bytes });
        }
        if frontier.size() != size || frontier.root() != original.checkpoint.root {
            let message = format!(
                "the log does not give the root that was signed at {size} entries: run `quipu verify`. The copy was not \
                 finished"
            );
            return Err(Error::new(ErrorKind::Tampered, message));
        }
        hashes.sync()
    }

    fn take_components(&self, original: &Original) -> Result<()> {
        self.folder.create_sub(components::FOLDER)?;
        for digest in components::list(&original.folder)? {
            if components::read(&self.folder, &digest)?.is_none()
                && let Some(bytes) = components::read(&original.folder, &digest)?
            {
                components::put(&self.folder, &bytes)?;
            }
        }
        Ok(())
    }

    fn take_torn(&self, original: &Original) -> Result<()> {
        let to = self.folder.create_sub(TORN)?;
        let from = match original.folder.sub(TORN) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            from => from?,
        };
        for name in from.list()?.iter().filter(|name| name.ends_with(".torn")) {
            let bytes = from.read(name, segment::MOST_BYTES)?;
            if bytes != to.read(name, segment::MOST_BYTES)?
                && let Some(bytes) = bytes
            {
                to.replace(name, &bytes, Access::Usual)?;
            }
        }
        Ok(())
    }

    /// Returns whether the copy has keys.
    fn take_secrets(&self, original: &Original, secrets: &Secrets<'_>) -> Result<bool> {
        let read;
        let (keys, signer) = match secrets {
            Secrets::None => return Ok(false),
            Secrets::Original => {
                read = original.secrets()?;
                (Some(&read.0), read.1.as_ref())
            }
            Secrets::Given { keys, signer } => (*keys, *signer),
        };
        if let Some(signer) = signer {
            self.put_signer(signer)?;
        }
        let Some(keys) = keys else { return Ok(false) };
        if keys.applied > original.checkpoint.size {
            let message = format!(
                "the key file has carried out erasures of the first {} entries, and the copy ends with {}: copy again, or \
                 take a newer backup",
                keys.applied, original.checkpoint.size
            );
            return Err(Error::new(ErrorKind::LostEntries, message));
        }
        keys.put(&self.folder)?;
        Ok(true)
    }
}

/// Names that stand in a copy before its `quipu.json` does.
const BEGUN: [&str; 4] = ["lock", "quipu.json.new", SIGNER, "signer.new"];

/// A segment of the original, as far as its checkpoint reaches.
struct Segment {
    first: u64,
    /// `seq` behind its last entry, or of the first that is not copied.
    end: u64,
    /// It is full, and copied as it is; the newest one is copied up to the checkpoint.
    sealed: bool,
    file: DiskFile,
    bytes: u64,
}

impl Original {
    /// What the checkpoint covers. It was read before the folder is listed, so all of it is there.
    fn segments(&self) -> Result<Vec<Segment>> {
        let log = self.folder.sub(segment::FOLDER)?;
        let firsts = segment::list(&log)?;
        let size = self.checkpoint.size;
        let mut segments = Vec::new();
        for (number, &first) in firsts.iter().enumerate().filter(|(_, first)| **first < size) {
            let next = firsts.get(number + 1).copied();
            let sealed = next.is_some_and(|next| next <= size);
            let file = log.read_file(&segment::file_name(first))?;
            let bytes = file.len()?;
            segments.push(Segment {
                first,
                end: next.filter(|_| sealed).unwrap_or(size),
                sealed,
                file,
                bytes,
            });
        }
        Ok(segments)
    }

    /// The tree's hashes, which give the signed root.
    fn hashes(&self) -> Result<TreeFiles> {
        let hashes = TreeFiles::open(&self.folder)?;
        if tree::root(self.checkpoint.size, &hashes)? != self.checkpoint.root {
            return Err(TreeFiles::stale());
        }
        Ok(hashes)
    }

    /// Leaf hashes of some entries, from the tree's files.
    fn leaves(&self, from: u64, to: u64) -> Result<Vec<Hash>> {
        TreeFiles::open(&self.folder)?.read(0, from, (to - from) as usize)
    }

    /// The key file, and the signer where it is.
    fn secrets(&self) -> Result<(Keys, Option<Signer>)> {
        let keys = Keys::read(&self.folder, self.origin())?;
        let signer = crate::ledger::read_signer(&self.folder, SIGNER, &self.manifest);
        match signer {
            Ok(signer) => Ok((keys, Some(signer))),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok((keys, None)),
            Err(e) => Err(e),
        }
    }
}

/// Segments that the original has not would be read for its own.
fn refuse_strays(log: &Folder, segments: &[Segment]) -> Result<()> {
    for first in segment::list(log)? {
        if !segments.iter().any(|segment| segment.first == first) {
            let message = format!(
                "the copy's log/{} is no segment of the ledger: make a new copy in another folder",
                segment::file_name(first)
            );
            return Err(Error::new(ErrorKind::Exists, message));
        }
    }
    Ok(())
}

/// Leaf hashes of a segment that the copy holds already. Its bytes are read: it counts as held if it is as long as
/// the original's, every line's checksum is good, and the leaf hashes are those of the original's tree.
fn held(log: &Folder, original: &Original, segment: &Segment) -> Result<Option<Vec<Hash>>> {
    let file = match log.read_file(&segment::file_name(segment.first)) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    if segment.sealed && file.len()? != segment.bytes || file.len()? > segment::MOST_BYTES {
        return Ok(None);
    }
    let bytes = read_segment(&file)?;
    let Ok((leaves, end)) = entries(&bytes, segment) else {
        return Ok(None);
    };
    let wanted = original.leaves(segment.first, segment.end);
    let same = wanted.is_ok_and(|wanted| wanted == leaves) && (segment.sealed || end == bytes.len());
    Ok(same.then_some(leaves))
}

/// Copies a segment, and gives its leaf hashes and how many bytes it has.
fn take_segment(log: &Folder, segment: &Segment) -> Result<(Vec<Hash>, u64)> {
    let mut bytes = read_segment(&segment.file)?;
    let (leaves, end) = entries(&bytes, segment).map_err(|why| {
        let message = format!(
            "{}: {why}. Run `quipu verify`; the copy was not finished",
            segment.file.name()
        );
        Error::new(ErrorKind::Corrupt, message)
    })?;
    if !segment.sealed {
        bytes.truncate(end);
    }
    let name = segment::file_name(segment.first);
    log.replace(&name, &bytes, Access::Usual)?;
    if segment.sealed {
        log.read_file(&name)?.set_read_only()?;
    }
    Ok((leaves, bytes.len() as u64))
}

/// Leaf hashes of a segment's entries, and the byte behind them. A sealed segment has LF alone behind its entries.
fn entries(bytes: &[u8], segment: &Segment) -> std::result::Result<(Vec<Hash>, usize), String> {
    let mut leaves = Vec::new();
    let mut end = None;
    let Ok(tail) = scan::commits(bytes, 0, segment.first, |found| {
        if found.envelope.seq < segment.end {
            leaves.push(leaf_hash(found.line.envelope));
        }
        if found.line.last + 1 == segment.end {
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

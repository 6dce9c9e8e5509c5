//! Copying a ledger, which another process may be writing: to a backup, and from a backup to a new folder.
//!
//! A copy has the form of a ledger's folder and ends where its checkpoint does. Everything else is in place before that
//! checkpoint is, each file under its name only once it is whole and synced, so that a copy that was broken off is
//! finished by copying again. `quipu.json` comes first and says that the folder is a copy, which nobody writes to.

use std::path::Path;

use quipu_format::{
    Checkpoint, Hash, KeyLock, Signer,
    tree::{self, Frontier},
};
use serde::Serialize;

use crate::{
    Absent, Error, ErrorKind, Result,
    archive::Archive,
    checkpoint, components,
    disk::{Access, DiskFile, Folder},
    keyfile::{self, Keys},
    lock::Lock,
    manifest::{self, Manifest},
    original::{Original, Segment, entries},
    recovery::{TORN, read_segment},
    segment, signer_file,
    tree_files::TreeWriter,
    verifier_keys::VerifierKeys,
    witness,
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
    /// Archived segments that are not where they should be and could not be copied: the copy names them as the ledger
    /// does.
    pub left_out: Vec<Absent>,
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
            left_out: Vec::new(),
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

/// A folder that becomes a copy, and is held against others who would write to it.
pub(crate) struct Copy {
    folder: Folder,
    /// Key that the copy's checkpoints are signed with.
    key: VerifierKeys,
    /// The checkpoint that an earlier copying left.
    before: Option<Checkpoint>,
    _lock: Lock,
}

impl Copy {
    /// Opens a folder that is empty, does not exist, or holds a copy under the same key. Whatever else is in it stays as
    /// it is, and is refused.
    pub(crate) fn open(path: &Path, key: &VerifierKeys) -> Result<Self> {
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
            if !key.has(&there.verifier_key) {
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

    /// Gives the copy a signer, sealed as its key file is.
    pub(crate) fn put_signer(&self, signer: &Signer, lock: Option<&KeyLock>) -> Result<()> {
        signer_file::write(&self.folder, signer_file::FILE, signer, lock)
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
        witness::copy(original, &self.folder, &self.key)?;
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
        let mut left_out = Vec::new();
        for segment in &segments {
            let leaves = if let Some(leaves) = held(&log, original, segment)? {
                summary.segments_held += 1;
                leaves
            } else if let Some(file) = original.open_segment(segment.first)? {
                let (leaves, copied) = take_segment(&log, segment, &file)?;
                summary.segments_copied += 1;
                summary.bytes_copied += copied;
                leaves
            } else {
                left_out.push(segment.first);
                original.hashes()?;
                original.leaves(segment.first, segment.end)?
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
        let left_out = Archive::read(original.folder())?.only(|archived| left_out.contains(&archived.first));
        summary.left_out = left_out.absent();
        // It says where to look for them; before the copy held them all it may have named others.
        left_out.write(&self.folder)?;
        hashes.sync()
    }

    fn take_components(&self, original: &Original) -> Result<()> {
        self.folder.create_sub(components::FOLDER)?;
        for digest in components::list(original.folder())? {
            if components::read(&self.folder, &digest)?.is_none()
                && let Some(bytes) = components::read(original.folder(), &digest)?
            {
                components::put(&self.folder, &bytes)?;
            }
        }
        Ok(())
    }

    fn take_torn(&self, original: &Original) -> Result<()> {
        let to = self.folder.create_sub(TORN)?;
        let from = match original.folder().sub(TORN) {
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
            self.put_signer(signer, keys.and_then(|keys| keys.lock.as_deref()))?;
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
const BEGUN: [&str; 4] = ["lock", "quipu.json.new", signer_file::FILE, "signer.new"];

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
fn take_segment(log: &Folder, segment: &Segment, file: &DiskFile) -> Result<(Vec<Hash>, u64)> {
    let mut bytes = read_segment(file)?;
    let (leaves, end) = entries(&bytes, segment).map_err(|why| {
        let message = format!("{}: {why}. Run `quipu verify`; the copy was not finished", file.name());
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

//! The file `cover`: the newest checkpoint that somebody waited for, on disk at the price of one write and one sync within
//! blocks that the file has. The file `checkpoint` takes several times that, for a new file must be named; it follows
//! within a second. So there may be a newer checkpoint here than there, and after a crash it counts.
//!
//! It has two slots, written in turn, each a signed note with line feeds behind it: a note that a crash cut off is beside
//! a whole one. A clean end removes the file.

use quipu_format::Checkpoint;

use crate::{
    Result,
    disk::{Access, DiskFile, Folder},
    verifier_keys::VerifierKeys,
};

const FILE: &str = "cover";
/// No two slots share a block of any usual file system; a checkpoint has less than 1 KiB.
const SLOT_BYTES: usize = 4 << 10;
const SLOTS: usize = 2;

pub(crate) struct Cover {
    file: DiskFile,
    next: usize,
}

impl Cover {
    /// Makes the file. The file `checkpoint` must be as new as the notes in the one before.
    pub(crate) fn create(folder: &Folder) -> Result<Self> {
        folder.remove(FILE)?;
        let file = folder.create_file(FILE, Access::Usual)?;
        file.write_all_at(&[b'\n'; SLOTS * SLOT_BYTES], 0)?;
        file.sync_all()?;
        folder.sync()?;
        Ok(Self { file, next: 0 })
    }

    /// Whether the note fits a slot.
    pub(crate) fn fits(note: &str) -> bool {
        note.len() <= SLOT_BYTES
    }

    /// Puts a note there durably. After an error nothing is known of the file, and it must be made anew.
    pub(crate) fn write(&mut self, note: &str) -> Result<()> {
        let mut slot = [b'\n'; SLOT_BYTES];
        slot[..note.len()].copy_from_slice(note.as_bytes());
        self.file.write_all_at(&slot, (self.next * SLOT_BYTES) as u64)?;
        self.file.sync_data()?;
        self.next = (self.next + 1) % SLOTS;
        Ok(())
    }
}

/// The newest whole checkpoint in the file, if there is one.
pub(crate) fn read(folder: &Folder, key: &VerifierKeys) -> Result<Option<(String, Checkpoint)>> {
    let Some(bytes) = folder.read(FILE, (SLOTS * SLOT_BYTES) as u64)? else {
        return Ok(None);
    };
    let whole = bytes.chunks(SLOT_BYTES).filter_map(|slot| {
        let note = format!("{}\n", std::str::from_utf8(slot.trim_ascii_end()).ok()?);
        let checkpoint = key.open(note.as_bytes()).ok()?;
        Some((note, checkpoint))
    });
    Ok(whole.max_by_key(|(_, checkpoint)| checkpoint.size))
}

/// Removes the file, once the file `checkpoint` is as new. Whether the removal lasts does not matter.
pub(crate) fn remove(folder: &Folder) -> Result<()> {
    folder.remove(FILE)
}

//! Backups: copies of a live ledger that later ones go on from.

use std::{path::Path, thread, time::Duration};

use crate::{
    CopyProgress, CopySummary, ErrorKind, LedgerAt, Result,
    copy::{Copy, Secrets},
    lock::Lock,
    original::Original,
};

/// Times that a backup begins again because erasures were carried out meanwhile, or the key was rotated.
const ATTEMPTS: u32 = 5;
/// How long a rotation is given that is not finished.
const PAUSE: Duration = Duration::from_millis(200);

/// Copies a ledger to a folder that is empty, does not exist, or holds an earlier backup of it, which is brought up to
/// date: segments that it holds are read and compared with the ledger's tree, and copied only where they differ. Another
/// process may be writing the ledger. The copy ends with the newest checkpoint; without `with_keys` it holds neither
/// `keys` nor `signer`.
///
/// The backup's checkpoint is written last: one that was broken off is finished by backing up again.
///
/// # Errors
/// `Exists` where the folder holds something else, or a backup of another ledger; `LostEntries` where the backup is ahead
/// of the ledger, and `Tampered` where its history is another one: nothing is changed then. `Corrupt` where the ledger's
/// log is damaged.
pub fn backup<'a>(
    ledger: impl Into<LedgerAt<'a>>,
    to: &Path,
    with_keys: bool,
    progress: &mut dyn FnMut(CopyProgress),
) -> Result<CopySummary> {
    let ledger = ledger.into();
    let secrets = if with_keys { Secrets::Original } else { Secrets::None };
    let mut attempt = || {
        let original = Original::open(ledger)?;
        let copy = Copy::open(to, &original.manifest.verifier_key)?;
        copy.take(&original, &secrets, |original| original.note.clone(), progress)
    };
    for _ in 1..ATTEMPTS {
        match attempt() {
            // The key file went ahead of the checkpoint that the copy ends with; a newer one covers the erasure.
            Err(e) if e.kind() == ErrorKind::LostEntries && with_keys => {}
            // Whoever writes is about to finish a rotation of the key, or has finished one meanwhile.
            Err(e) if e.kind() == ErrorKind::Unavailable && Lock::is_held(&ledger.folder()?)? => thread::sleep(PAUSE),
            outcome => return outcome,
        }
    }
    attempt()
}

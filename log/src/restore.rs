//! Making a ledger of a backup, without ever signing a second history under one key: a copy is read only, until
//! somebody shows the newest checkpoint that they know of and the copy is not behind it, or it goes on under a key and name
//! of its own.

use std::path::{Path, PathBuf};

use quipu_format::{Checkpoint, Signer, tree::Frontier};
use serde_json::json;

use crate::{
    CopyProgress, CopySummary, Error, ErrorKind, Ledger, LedgerAt, Passphrase, Result,
    archive::Segments,
    checkpoint,
    copy::{Copy, Secrets},
    disk::Folder,
    keyfile::Keys,
    lineage::FORK,
    lock::Lock,
    manifest::Manifest,
    opening,
    original::Original,
    random,
    recovery::read_segment,
    scan, segment,
    signer_file::{self, Found},
};

/// What a restored ledger is given.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RestoreOptions {
    /// The key file, where it was backed up apart; the backup's own otherwise, if it has one.
    pub keys: Option<PathBuf>,
    /// The signer, likewise.
    pub signer: Option<PathBuf>,
    /// The passphrase of the key file, where it has one; the ledger's has the same.
    pub passphrase: Option<Passphrase>,
    /// Name under which the ledger goes on, with a new key, at once. It needs the key file and no old signer.
    pub fork: Option<String>,
}

/// Makes a ledger's folder of a backup, in a folder that is empty, does not exist, or holds an earlier restoring of the
/// same backup.
///
/// The ledger that comes of it can be read and verified, and is not written until [`confirm`] has been shown the newest
/// checkpoint that is known. With `fork` it goes on at once: under a new name and key, and its next entry
/// (`quipu.fork`) names the old ones and holds the checkpoint that it went on from.
///
/// # Errors
/// As for [`backup`](crate::backup); `Tampered` where keys or signer are of another ledger, or the key file lacks a
/// scope that has entries.
pub fn restore(
    backup: &Path,
    to: &Path,
    options: &RestoreOptions,
    progress: &mut dyn FnMut(CopyProgress),
) -> Result<CopySummary> {
    let original = Original::open(LedgerAt::new(backup).passphrase(options.passphrase.as_ref()))?;
    match &options.fork {
        None => {
            let copy = Copy::open(to, &original.manifest.verifier_key)?;
            let (keys, signer) = (given_keys(&original, options)?, given_signer(&original, options)?);
            let secrets = Secrets::Given {
                keys: keys.as_ref(),
                signer: signer.as_ref(),
            };
            let summary = copy.take(&original, &secrets, |original| original.note.clone(), progress)?;
            drop(copy);
            check_scopes(LedgerAt::new(to).passphrase(options.passphrase.as_ref()), &summary)?;
            Ok(summary)
        }
        Some(name) => fork(&original, to, name, options, progress),
    }
}

/// Lets a copy be written: shows it the newest checkpoint that is known of its ledger, as a signed note. Whoever shows an
/// older one and then goes on signs a second history, if the ledger or another copy went further: nobody but they can
/// know.
///
/// # Errors
/// `Invalid` where the folder is no copy; `Tampered` where the checkpoint is not the ledger's, or the log is not what was
/// signed; `LostEntries` where the copy is behind it. Nothing is changed then.
pub fn confirm(path: &Path, note: &[u8]) -> Result<Checkpoint> {
    let folder = Folder::open(path)?;
    let manifest = Manifest::read(&folder)?;
    if !manifest.copy {
        let message = "the ledger is no copy that waits for a checkpoint: it is written as it is";
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let _lock = Lock::take_anywhere(&folder)?;
    let shown = manifest.verifier_key.open(note).map_err(|e| {
        let message = format!(
            "what was shown is no checkpoint of {}: {e}",
            manifest.verifier_key.name()
        );
        Error::new(ErrorKind::Tampered, message)
    })?;
    let (_, own) = checkpoint::read(&folder, &manifest.verifier_key)?;
    for wanted in [&own, &shown] {
        check_root(&folder, wanted)?;
    }
    let manifest = Manifest {
        copy: false,
        ..manifest
    };
    manifest.write(&folder)?;
    Ok(shown)
}

/// Refuses to write to a copy.
pub(crate) fn refuse_copy(folder: &Folder) -> Result<()> {
    if !Manifest::read(folder)?.copy {
        return Ok(());
    }
    let message = "this is a copy of a ledger, and the ledger or another copy may have gone further: it can be read, and \
                   is not written. If it is a backup, restore it to a folder of its own. Then show it the newest checkpoint that \
                   is known with `quipu confirm CHECKPOINT`, or let it go on under a new name with `quipu restore --fork NAME \
                   BACKUP DIR`";
    Err(Error::new(ErrorKind::ReadOnly, message))
}

/// Restores under a new name and key. Whatever step a crash comes after, restoring again finishes it: until the last one
/// the folder is a copy.
fn fork(
    original: &Original,
    to: &Path,
    name: &str,
    options: &RestoreOptions,
    progress: &mut dyn FnMut(CopyProgress),
) -> Result<CopySummary> {
    if name == original.origin() {
        let message = format!("a ledger that goes on by itself needs another name than {name}");
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let Some(mut keys) = given_keys(original, options)? else {
        let message =
            "to go on, a restored ledger needs its key file, which the backup does not hold: name it with --keys";
        return Err(Error::new(ErrorKind::NotFound, message));
    };
    keys.origin = name.to_owned();
    let signer = begun_signer(to, name, options)?
        .map_or_else(|| Signer::new(name, *random::secret()?).map_err(Error::from), Ok)?;
    let key = signer.verifier_key();
    let copy = Copy::open(to, &key.clone().into())?;
    // Before `quipu.json` names its key.
    copy.put_signer(&signer, keys.lock.as_deref())?;
    let summary = if copy.size_before() > original.checkpoint.size {
        // Only the last step was missing.
        CopySummary::new(original)
    } else {
        let sign = |original: &Original| {
            let checkpoint = Checkpoint {
                origin: name.to_owned(),
                ..original.checkpoint.clone()
            };
            checkpoint.sign(&signer)
        };
        let secrets = Secrets::Given {
            keys: Some(&keys),
            signer: None,
        };
        copy.take(original, &secrets, sign, progress)?
    };
    drop(copy);
    let at = LedgerAt::new(to).passphrase(options.passphrase.as_ref());
    check_scopes(at, &summary)?;
    let from = json!({
        "verifierKey": original.manifest.verifier_key.to_string(),
        "checkpoint": original.note,
    });
    let sys = json!({"fork": {"origin": name, "verifierKey": key.to_string(), "from": from}});
    opening::go_on(at, original.checkpoint.size, FORK, sys)?;
    let manifest = Manifest {
        verifier_key: key.into(),
        copy: false,
    };
    manifest.write(&Folder::open(to)?)?;
    Ok(summary)
}

/// The signer of a forking that was broken off.
fn begun_signer(to: &Path, name: &str, options: &RestoreOptions) -> Result<Option<Signer>> {
    let at = LedgerAt::new(to).passphrase(options.passphrase.as_ref());
    let Some(folder) = optional(at.folder())? else {
        return Ok(None);
    };
    let found = Found::read(&folder, signer_file::FILE)?;
    let begun = found.filter(|found| found.key.name() == name);
    begun.map(|found| found.open(&folder)).transpose()
}

fn given_keys(original: &Original, options: &RestoreOptions) -> Result<Option<Keys>> {
    match &options.keys {
        Some(path) => {
            let (folder, name) = split(path)?;
            let folder = folder.with_passphrase(options.passphrase.clone());
            Ok(Some(Keys::read_file(&folder, &name, original.origin())?))
        }
        None => optional(Keys::read(original.folder(), original.origin())),
    }
}

fn given_signer(original: &Original, options: &RestoreOptions) -> Result<Option<Signer>> {
    match &options.signer {
        Some(path) => {
            let (folder, name) = split(path)?;
            let folder = folder.with_passphrase(options.passphrase.clone());
            Ok(Some(signer_file::read(&folder, &name, &original.manifest)?))
        }
        None => optional(signer_file::current(original.folder(), &original.manifest)),
    }
}

fn optional<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// A file's folder and its name in it.
fn split(path: &Path) -> Result<(Folder, String)> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        let message = format!("{} is no name of a file", path.display());
        return Err(Error::new(ErrorKind::Invalid, message));
    };
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    Ok((Folder::open(above.unwrap_or(Path::new(".")))?, name.to_owned()))
}

/// A key file that is older than the log shows now, and not when the ledger is needed.
fn check_scopes(at: LedgerAt<'_>, summary: &CopySummary) -> Result<()> {
    if !summary.with_keys {
        return Ok(());
    }
    let reader = match Ledger::open_read_only(at) {
        // An archived segment is missing that has no sidecar yet: opening the ledger needs it, and checks again.
        Err(e) if e.kind() == ErrorKind::NotHere => return Ok(()),
        reader => reader?,
    };
    let keys = reader
        .state
        .keys
        .read()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    keys.check_scopes(reader.index().scopes.keys())
}

/// The log, line by line, must give a checkpoint's root.
fn check_root(folder: &Folder, wanted: &Checkpoint) -> Result<()> {
    let log = folder.sub(segment::FOLDER)?;
    let mut frontier = Frontier::new();
    let segments = Segments::new(folder.clone(), log);
    for first in segments.list()? {
        if frontier.size() >= wanted.size {
            break;
        }
        let bytes = read_segment(&segments.open(first)?)?;
        let next = frontier.size();
        let Ok(_) = scan::commits(&bytes, 0, next, |found| {
            if frontier.size() < wanted.size {
                frontier.push(found.hash);
            }
            Ok::<_, std::convert::Infallible>(())
        });
    }
    if frontier.size() < wanted.size {
        let message = format!(
            "the copy holds {} entries and the checkpoint {}: it is behind, and going on would sign a second history. \
             Restore a newer backup, or let this one go on under a new name with --fork",
            frontier.size(),
            wanted.size
        );
        return Err(Error::new(ErrorKind::LostEntries, message));
    }
    if frontier.root() != wanted.root {
        let message = format!(
            "the copy's first {} entries do not give the root that was signed: it is of another history, or was \
             changed. Run `quipu verify`",
            wanted.size
        );
        return Err(Error::new(ErrorKind::Tampered, message));
    }
    Ok(())
}

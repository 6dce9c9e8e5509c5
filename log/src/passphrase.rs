//! The passphrase of a ledger's key file, and how it is handed to whatever opens the ledger.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use quipu_format::{KeyCost, KeyLock, limits};
use zeroize::Zeroizing;

use crate::{
    Error, ErrorKind, OpenOptions, Result, disk::Folder, lock::Lock, opening::Parts, random, reserve, restore,
    segment::Filling, signer_file, stamps::SystemClock,
};

/// The passphrase that a ledger's key file is sealed under, and the key that it gave last. Clones share both, and both are
/// overwritten when the last one is dropped.
#[derive(Clone)]
pub struct Passphrase(Arc<Inner>);

struct Inner {
    text: Zeroizing<Vec<u8>>,
    /// What a file that is sealed anew asks for.
    cost: KeyCost,
    /// Deriving takes a while, and a file is read again and again.
    last: Mutex<Option<Arc<KeyLock>>>,
}

impl Passphrase {
    /// Any bytes, 1 to [`limits::PASSPHRASE_BYTES`] of them.
    ///
    /// # Errors
    /// `Invalid` for none, and for more.
    pub fn new(text: impl Into<Vec<u8>>) -> Result<Self> {
        Self::with_cost(text.into(), KeyCost::USUAL)
    }

    pub(crate) fn with_cost(text: Vec<u8>, cost: KeyCost) -> Result<Self> {
        let text = Zeroizing::new(text);
        if text.is_empty() || text.len() > limits::PASSPHRASE_BYTES {
            let message = format!(
                "a passphrase has 1 to {} bytes, and this one {}",
                limits::PASSPHRASE_BYTES,
                text.len()
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        Ok(Self(Arc::new(Inner {
            text,
            cost,
            last: Mutex::default(),
        })))
    }

    /// The key for a file that is to be sealed, with a salt of its own.
    pub(crate) fn fresh(&self) -> Result<Arc<KeyLock>> {
        let mut salt = [0; KeyLock::SALT_BYTES];
        random::fill(&mut salt)?;
        self.lock(self.0.cost, salt)
    }

    /// The key for a file of that cost and salt.
    pub(crate) fn lock(&self, cost: KeyCost, salt: [u8; KeyLock::SALT_BYTES]) -> Result<Arc<KeyLock>> {
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = &*last
            && (lock.cost(), *lock.salt()) == (cost, salt)
        {
            return Ok(lock.clone());
        }
        let lock = Arc::new(KeyLock::derive(&self.0.text, cost, salt)?);
        *last = Some(lock.clone());
        Ok(lock)
    }
}

/// Seals a ledger's key file and signer under another passphrase than they have, or under their first one, or, with `new`
/// None, under none. The files are written anew and the old ones destroyed, as an erasure does it; a crash leaves one of the
/// two passphrases in force for both. Copies of the files that were made before stay as they are.
///
/// # Errors
/// As for [`Ledger::open`](crate::Ledger::open), which this does first; `Locked` where a process writes to the ledger for
/// longer than `wait`.
pub fn set_passphrase<'a>(at: impl Into<LedgerAt<'a>>, new: Option<&Passphrase>, wait: Duration) -> Result<()> {
    let at = at.into();
    let folder = at.folder()?;
    restore::refuse_copy(&folder)?;
    let _lock = Lock::take(&folder, wait)?;
    let filling = Filling::new(limits::SEGMENT_BYTES);
    let clock = Box::new(SystemClock::new());
    let mut parts = Parts::open(&folder, at.path, filling, clock)?;
    let lock = new.map(Passphrase::fresh).transpose()?;
    reserve::backed(&folder, || reseal(&mut parts, lock.clone()))
}

/// Seals both files of a ledger that is open under another key, or, without it, leaves them in clear.
pub(crate) fn reseal(parts: &mut Parts, lock: Option<Arc<KeyLock>>) -> Result<()> {
    let folder = &parts.state.folder;
    let signer = signer_file::current(folder, parts.state.manifest())?;
    // The next open finds the one that fits the key file.
    signer_file::write(folder, signer_file::NEXT, &signer, lock.as_deref())?;
    parts.sequencer.rewrite_keys(lock)?;
    signer_file::exchange(folder)
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passphrase").finish_non_exhaustive()
    }
}

/// Where a ledger lies, and the passphrase of its key file, if that has one: a path alone is one without.
#[derive(Debug, Clone, Copy)]
pub struct LedgerAt<'a> {
    pub(crate) path: &'a Path,
    passphrase: Option<&'a Passphrase>,
}

impl<'a> LedgerAt<'a> {
    /// The ledger in a folder.
    pub fn new(path: &'a Path) -> Self {
        Self { path, passphrase: None }
    }

    /// The same, with the passphrase of its key file; None, or one that the file does not need, changes nothing.
    pub fn passphrase(self, passphrase: Option<&'a Passphrase>) -> Self {
        Self { passphrase, ..self }
    }

    /// How it is opened for writing.
    pub(crate) fn options(&self, wait: Duration) -> OpenOptions {
        let mut options = OpenOptions::default();
        options.wait = wait;
        match self.passphrase {
            Some(passphrase) => options.passphrase(passphrase.clone()),
            None => options,
        }
    }

    pub(crate) fn folder(&self) -> Result<Folder> {
        Ok(Folder::open(self.path)?.with_passphrase(self.passphrase.cloned()))
    }
}

impl<'a> From<&'a Path> for LedgerAt<'a> {
    fn from(path: &'a Path) -> Self {
        Self::new(path)
    }
}

impl<'a> From<&'a PathBuf> for LedgerAt<'a> {
    fn from(path: &'a PathBuf) -> Self {
        Self::new(path)
    }
}

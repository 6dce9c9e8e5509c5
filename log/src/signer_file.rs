//! The file `signer`: the key that checkpoints are signed with, in clear, or sealed under the passphrase of the file
//! `keys`. docs/FORMAT.md, "Signer file".

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use quipu_format::{KeyLock, Signer, VerifierKey};
use zeroize::Zeroizing;

use crate::{
    Error, ErrorKind, Result,
    disk::{Access, Folder},
    key_lines::{self, covered, joined, push_line, seal},
    keyfile::wipe,
    manifest::Manifest,
};

pub(crate) const FILE: &str = "signer";
/// What is to be `signer`, and then what was, until it is overwritten.
pub(crate) const NEXT: &str = "signer.next";

const MAGIC: &str = "quipu-signer 1";
/// Lines of key files are sealed for generations from 1 on.
const GENERATION: u64 = 0;
const MOST_BYTES: u64 = 64 << 10;

/// A file that was read.
pub(crate) struct Found {
    /// Of the signer in it.
    pub(crate) key: VerifierKey,
    text: Zeroizing<String>,
}

impl Found {
    /// Reads a file. None: there is none, or it is not whole.
    pub(crate) fn read(folder: &Folder, name: &str) -> Result<Option<Self>> {
        let Some(bytes) = folder.read(name, MOST_BYTES)?.map(Zeroizing::new) else {
            return Ok(None);
        };
        let Some(text) = std::str::from_utf8(&bytes).ok().map(|text| text.trim_end()) else {
            return Ok(None);
        };
        let key = match Sealed::parse(text) {
            Some(sealed) => Some(sealed.key),
            None => Signer::parse(text).ok().map(|signer| signer.verifier_key()),
        };
        let text = Zeroizing::new(text.to_owned());
        Ok(key.map(|key| Self { key, text }))
    }

    /// The signer.
    ///
    /// # Errors
    /// `Sealed` where it is, and the folder's passphrase does not open it.
    pub(crate) fn open(&self, folder: &Folder) -> Result<Signer> {
        let Some(sealed) = Sealed::parse(&self.text) else {
            return Ok(Signer::parse(&self.text)?);
        };
        let lock = key_lines::lock(FILE, sealed.cost, sealed.salt, folder.passphrase())?;
        let text = lock.open(GENERATION, sealed.clear.as_bytes(), &sealed.secret);
        let signer = text.and_then(|text| Signer::parse(std::str::from_utf8(&text).ok()?).ok());
        signer
            .filter(|signer| signer.verifier_key() == self.key)
            .ok_or_else(|| {
                let message =
                    "the passphrase does not open the file signer: it is not the one, or the file was changed";
                Error::new(ErrorKind::Sealed, message)
            })
    }

    /// Whether it is sealed under that key; without one, whether it is in clear.
    pub(crate) fn is_under(&self, lock: Option<&KeyLock>) -> bool {
        match (Sealed::parse(&self.text), lock) {
            (Some(sealed), Some(lock)) => (sealed.cost, sealed.salt) == (lock.cost().parts(), *lock.salt()),
            (sealed, lock) => sealed.is_none() && lock.is_none(),
        }
    }
}

/// A sealed signer as it stands there.
struct Sealed<'a> {
    key: VerifierKey,
    cost: [u32; 3],
    salt: [u8; KeyLock::SALT_BYTES],
    /// All before the secret, which is bound to it.
    clear: &'a str,
    secret: Vec<u8>,
}

impl<'a> Sealed<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (head, secret) = covered(line.as_bytes())?.strip_suffix('\t')?.rsplit_once('\t')?;
        let mut fields = head.split('\t');
        if fields.next()? != MAGIC {
            return None;
        }
        let sealed = Self {
            key: fields.next()?.parse().ok()?,
            cost: [
                fields.next()?.parse().ok()?,
                fields.next()?.parse().ok()?,
                fields.next()?.parse().ok()?,
            ],
            salt: BASE64_URL_SAFE_NO_PAD.decode(fields.next()?).ok()?.try_into().ok()?,
            clear: &line[..=head.len()],
            secret: BASE64_URL_SAFE_NO_PAD.decode(secret).ok()?,
        };
        fields.next().is_none().then_some(sealed)
    }
}

/// The text of a file with that signer.
pub(crate) fn text(signer: &Signer, lock: Option<&KeyLock>) -> Result<Zeroizing<String>> {
    let secret = signer.to_text();
    let Some(lock) = lock else { return Ok(secret) };
    let [memory, passes, lanes] = lock.cost().parts().map(|part| part.to_string());
    let (key, salt) = (
        signer.verifier_key().to_string(),
        BASE64_URL_SAFE_NO_PAD.encode(lock.salt()),
    );
    let clear = joined(&[MAGIC, &key, &memory, &passes, &lanes, &salt]);
    let sealed = seal(lock, GENERATION, clear.as_bytes(), secret.as_bytes())?;
    let mut line = Zeroizing::new(String::new());
    push_line(&mut line, &joined(&[clear.trim_end_matches('\t'), &sealed]));
    Ok(line)
}

/// Writes a file with that signer, durably.
pub(crate) fn write(folder: &Folder, name: &str, signer: &Signer, lock: Option<&KeyLock>) -> Result<()> {
    folder.replace(name, text(signer, lock)?.as_bytes(), Access::Private)
}

/// Reads a signer, which must hold the key that the manifest names.
pub(crate) fn read(folder: &Folder, name: &str, manifest: &Manifest) -> Result<Signer> {
    let is_there = || Ok::<_, Error>(folder.read(name, MOST_BYTES)?.map(Zeroizing::new).is_some());
    match Found::read(folder, name)? {
        Some(found) if found.key == *manifest.verifier_key => found.open(folder),
        None if !is_there()? => {
            let message =
                "the file signer is missing: without it no checkpoint can be signed. Restore it from its backup";
            Err(Error::new(ErrorKind::NotFound, message))
        }
        _ => {
            let message = "the file signer does not hold the key that quipu.json names: restore it from its backup";
            Err(Error::new(ErrorKind::Tampered, message))
        }
    }
}

/// Reads the signer with the key that the manifest names, wherever a crash left it.
pub(crate) fn current(folder: &Folder, manifest: &Manifest) -> Result<Signer> {
    match read(folder, FILE, manifest) {
        // It came before the two files' names were exchanged.
        Err(e) if matches!(e.kind(), ErrorKind::Tampered | ErrorKind::Sealed) => {
            read(folder, NEXT, manifest).map_err(|_| e)
        }
        signer => signer,
    }
}

/// Puts what was written as `signer.next` in the place of `signer`, and destroys what was there, unless that was done.
pub(crate) fn settle(folder: &Folder, signer: &Signer) -> Result<()> {
    let there = Found::read(folder, FILE)?;
    let in_place = there.is_some_and(|there| there.key == signer.verifier_key() && there.open(folder).is_ok());
    match in_place {
        true => wipe(folder, NEXT),
        false => exchange(folder),
    }
}

/// The same, where it was not.
pub(crate) fn exchange(folder: &Folder) -> Result<()> {
    folder.exchange(NEXT, FILE)?;
    folder.sync()?;
    wipe(folder, NEXT)
}

/// Seals the signer as the key file is, unless it is so already: it is not where an earlier release wrote it.
pub(crate) fn seal_as(folder: &Folder, signer: &Signer, lock: Option<&KeyLock>) -> Result<()> {
    if Found::read(folder, FILE)?.is_some_and(|there| there.is_under(lock)) {
        return Ok(());
    }
    write(folder, NEXT, signer, lock)?;
    exchange(folder)
}

/// Destroys what a crash left of files that were being written.
pub(crate) fn sweep(folder: &Folder) -> Result<()> {
    [FILE, NEXT]
        .iter()
        .try_for_each(|name| wipe(folder, &format!("{name}.new")))
}

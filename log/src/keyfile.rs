//! The file `keys`: what is left of each scope's key tree, and the secret that blinds idempotency keys.
//!
//! Order matters here more than anywhere. A scope's record is synced before the first byte of its first entry is
//! written, so that no entry is ever acknowledged that cannot be opened. An erasure replaces the whole file under a
//! higher generation; the old one is overwritten before it is unlinked. docs/FORMAT.md, "Key file".

use std::{collections::HashMap, path::Path, sync::Arc};

use quipu_format::{EntrySecret, KeyLock, KeyPath, KeyTree, Scope};
use zeroize::Zeroizing;

use crate::{
    Error, ErrorKind, Result,
    disk::{Access, DiskFile, Folder},
    key_lines::{self, Records},
};

pub(crate) const FILE: &str = "keys";
const FRESH: &str = "keys.new";
/// Bytes of a key file: far more than 100,000 nodes in each of thousands of scopes.
const FILE_BYTES: u64 = 4 << 30;

/// The opened content of a key file.
pub(crate) struct Keys {
    pub(crate) origin: String,
    /// Rises with each rewriting.
    pub(crate) generation: u64,
    /// Erasures in entries below this `seq` have been carried out.
    pub(crate) applied: u64,
    pub(crate) secret: Zeroizing<[u8; 32]>,
    pub(crate) trees: HashMap<Scope, KeyTree>,
    /// What the file is sealed under. None: its secrets are in clear.
    pub(crate) lock: Option<Arc<KeyLock>>,
}

impl Keys {
    /// Keys of a ledger that has no scopes yet.
    pub(crate) fn new(origin: &str, secret: [u8; 32]) -> Self {
        let secret = Zeroizing::new(secret);
        Self {
            origin: origin.to_owned(),
            generation: 1,
            applied: 0,
            secret,
            trees: HashMap::new(),
            lock: None,
        }
    }

    /// The secret of a scope's `nth` entry. None: it has been destroyed, or was never there.
    pub(crate) fn secret_of(&self, scope: &Scope, nth: u32) -> Option<EntrySecret> {
        self.trees.get(scope)?.secret(nth)
    }

    /// The same, starting from the way to another entry of the scope.
    pub(crate) fn secret_via(&self, scope: &Scope, nth: u32, path: &mut KeyPath) -> Option<EntrySecret> {
        self.trees.get(scope)?.secret_via(nth, path)
    }

    /// Every scope that has entries must have keys: a root secret is never minted silently for one that had another.
    pub(crate) fn check_scopes<'a>(&self, mut scopes: impl Iterator<Item = &'a Scope>) -> Result<()> {
        match scopes.find(|scope| !self.trees.contains_key(*scope)) {
            None => Ok(()),
            Some(scope) => Err(Error::new(
                ErrorKind::Tampered,
                format!(
                    "the file keys has no record of the scope {scope}, which has entries: it is older than the log, or \
                     damaged. Put back the newest one; history can be verified without it"
                ),
            )),
        }
    }

    /// Reads the key file without changing anything.
    pub(crate) fn read(folder: &Folder, origin: &str) -> Result<Self> {
        Ok(read_newest(folder, origin)?.keys)
    }

    /// Reads a key file that lies somewhere under some name.
    pub(crate) fn read_file(folder: &Folder, name: &str, origin: &str) -> Result<Self> {
        let keys = read_one(folder, name)?.map(|parsed| parsed.keys);
        let keys = keys.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no file {name}")))?;
        keys.of(origin)
    }

    /// Puts them into a folder, and destroys what it had.
    pub(crate) fn put(&self, folder: &Folder) -> Result<()> {
        match folder.read_file(FILE) {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                KeyFile::create(folder, self)?;
                folder.sync()
            }
            there => there.and_then(|_| KeyFile::replace(folder, self)).map(drop),
        }
    }

    /// Refuses another ledger's.
    fn of(self, origin: &str) -> Result<Self> {
        if self.origin == origin {
            return Ok(self);
        }
        let message = format!(
            "the file keys belongs to the ledger {:?}, not to {origin:?}: put back the one of this ledger",
            self.origin
        );
        Err(Error::new(ErrorKind::Tampered, message))
    }

    /// The whole file, and where its records have come to.
    fn to_text(&self) -> Result<(Zeroizing<String>, Records)> {
        let mut text = Zeroizing::new(String::new());
        key_lines::push_header(&mut text, self)?;
        let mut trees: Vec<_> = self.trees.iter().collect();
        trees.sort_by_key(|(scope, _)| *scope);
        let mut records = Records::of(self);
        for (scope, tree) in trees {
            records.push(&mut text, scope, tree)?;
        }
        Ok((text, records))
    }
}

/// The writer's key file.
pub(crate) struct KeyFile {
    file: DiskFile,
    /// Where the last whole record ends.
    end: u64,
    records: Records,
}

impl KeyFile {
    /// Writes the first key file of a ledger.
    pub(crate) fn create(folder: &Folder, keys: &Keys) -> Result<Self> {
        let (text, records) = keys.to_text()?;
        let file = folder.create_file(FILE, Access::Private)?;
        file.write_all_at(text.as_bytes(), 0)?;
        file.sync_all()?;
        Ok(Self {
            file,
            end: text.len() as u64,
            records,
        })
    }

    /// Reads the key file and finishes what a crash left: of two files the higher whole generation stays, the
    /// other is wiped; a record that was not finished is cut off, for no entry can rest on it.
    pub(crate) fn open(folder: &Folder, origin: &str) -> Result<(Self, Keys)> {
        let newest = read_newest(folder, origin)?;
        // What was read may not be on the disk: of a process that died before its sync, or whose sync failed, after which a
        // second one would report success. Before an entry rests on it, or the other file is destroyed, it is written again.
        let file = folder.write_file(newest.name)?;
        file.write_all_at(&newest.text, 0)?;
        let end = newest.text.len() as u64;
        file.set_len(end)?;
        file.sync_all()?;
        if newest.name == FRESH {
            folder.exchange(FRESH, FILE)?;
            folder.sync()?;
        }
        wipe(folder, FRESH)?;
        let file = folder.write_file(FILE)?;
        let records = newest.records;
        Ok((Self { file, end, records }, newest.keys))
    }

    /// Adds records of new scopes and returns when they are durable.
    pub(crate) fn add(&mut self, scopes: &[(Scope, KeyTree)]) -> Result<()> {
        let mut text = Zeroizing::new(String::new());
        let mut records = self.records.clone();
        for (scope, tree) in scopes {
            records.push(&mut text, scope, tree)?;
        }
        let written = self
            .file
            .write_all_at(text.as_bytes(), self.end)
            .and_then(|()| self.file.sync_all().map_err(|e| e.into_kind(ErrorKind::Unavailable)));
        if let Err(error) = written {
            // Nothing of it may be found behind a shorter record that is written here later.
            let cut = self.file.set_len(self.end);
            return Err(cut.map_or_else(|e| e.into_kind(ErrorKind::Unavailable), |()| error));
        }
        self.end += text.len() as u64;
        self.records = records;
        Ok(())
    }

    /// Replaces the file by `keys`, whose generation is higher, and destroys the old one: write and sync the new
    /// one, exchange the names, sync the folder, overwrite and sync the old, unlink it.
    pub(crate) fn replace(folder: &Folder, keys: &Keys) -> Result<Self> {
        wipe(folder, FRESH)?;
        let (text, records) = keys.to_text()?;
        let file = folder.create_file(FRESH, Access::Private)?;
        file.write_all_at(text.as_bytes(), 0)?;
        file.sync_all()?;
        folder.exchange(FRESH, FILE)?;
        folder.sync()?;
        wipe(folder, FRESH)?;
        Ok(Self {
            file,
            end: text.len() as u64,
            records,
        })
    }
}

/// Whether a ledger's key file is sealed under a passphrase. Where there is none it is not.
///
/// # Errors
/// `NotFound` where there is no such folder.
pub fn is_sealed(ledger: &Path) -> Result<bool> {
    match Folder::open(ledger)?.read_file(FILE) {
        Ok(file) => Ok(key_lines::is_sealed(&file.read_range(0, 64)?)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// Refuses a file of secrets that others than its owner may read.
pub(crate) fn check_mode(folder: &Folder, name: &str) -> Result<()> {
    if folder.read_file(name)?.is_shared()? {
        let message = format!(
            "the file {name} can be read by others than its owner, and holds secrets: give it mode 0600, and consider \
             who may have read it"
        );
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    Ok(())
}

/// Overwrites a file, syncs it and unlinks it, if it is there.
pub(crate) fn wipe(folder: &Folder, name: &str) -> Result<()> {
    match folder.write_file(name) {
        Ok(file) => {
            // Names may have been exchanged and that not be durable, where the sync after it failed or never came: on the
            // disk this file may still have the name of the one that is needed.
            folder.sync()?;
            file.fill(0, 0..file.len()?)?;
            file.sync_all()?;
            folder.remove(name)?;
            folder.sync()
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

/// A key file that was read, and its bytes up to where its last whole record ends.
struct Parsed<'a> {
    name: &'a str,
    keys: Keys,
    text: Zeroizing<Vec<u8>>,
    records: Records,
}

fn read_newest(folder: &Folder, origin: &str) -> Result<Parsed<'static>> {
    let current = read_one(folder, FILE)?;
    // A new file that is not whole yet is no key file: the exchange of names comes after its sync. Neither is one that is
    // to have another passphrase.
    let fresh = read_one(folder, FRESH).unwrap_or(None);
    let mut newest = match (current, fresh) {
        (Some(current), Some(fresh)) if fresh.keys.generation > current.keys.generation => fresh,
        (Some(current), _) => current,
        (None, _) => {
            let message = "the file keys is missing: without it no body can be opened and nothing can be appended. \
                           Put it back from its backup; history can be verified without it";
            return Err(Error::new(ErrorKind::NotFound, message));
        }
    };
    newest.keys = newest.keys.of(origin)?;
    Ok(newest)
}

fn read_one<'a>(folder: &Folder, name: &'a str) -> Result<Option<Parsed<'a>>> {
    let Some(bytes) = folder.read(name, FILE_BYTES)? else {
        return Ok(None);
    };
    let mut bytes = Zeroizing::new(bytes);
    let mut lines = whole_lines(&bytes);
    let damaged = |offset: usize| {
        Error::new(
            ErrorKind::Corrupt,
            format!("{name} is damaged at byte {offset}: put it back from its backup"),
        )
    };
    let (_, header) = lines.next().ok_or_else(|| damaged(0))?;
    let (mut keys, counted) = key_lines::parse_header(header, folder.passphrase())?.ok_or_else(|| damaged(0))?;
    let (mut end, mut records) = (header.len() + 1, Records::of(&keys));
    for (offset, line) in &mut lines {
        // What cannot be read, and all behind it, was being added when the process died: a write of many records may
        // reach the disk in any order. Whether an entry rests on any of them after all is for `check_scopes`.
        let Some((scope, tree)) = records.next(line) else { break };
        if keys.trees.insert(scope, tree).is_some() {
            return Err(damaged(offset));
        }
        end = offset + line.len() + 1;
    }
    if records.count < counted {
        return Err(damaged(end));
    }
    drop(lines);
    bytes.truncate(end);
    Ok(Some(Parsed {
        name,
        keys,
        text: bytes,
        records,
    }))
}

/// Lines that end with LF, and their offsets.
fn whole_lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let length = bytes.get(at..)?.iter().position(|&b| b == b'\n')?;
        let line = (at, &bytes[at..at + length]);
        at += length + 1;
        Some(line)
    })
}

#[cfg(test)]
#[path = "keyfile_tests.rs"]
mod tests;

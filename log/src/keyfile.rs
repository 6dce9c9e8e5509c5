//! The file `keys`: what is left of each scope's key tree, and the secret that blinds idempotency keys.
//!
//! Order matters here more than anywhere. A scope's record is synced before the first byte of its first entry is
//! written, so that no entry is ever acknowledged that cannot be opened. An erasure replaces the whole file under a
//! higher generation; the old one is overwritten before it is unlinked. docs/FORMAT.md, "Key file".

use std::collections::HashMap;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use quipu_format::{EntrySecret, KeyNode, KeyPath, KeyTree, Scope};
use zeroize::Zeroizing;

use crate::{
    Error, ErrorKind, Result,
    disk::{Access, DiskFile, Folder},
};

pub(crate) const FILE: &str = "keys";
const FRESH: &str = "keys.new";
const MAGIC: &str = "quipu-keys 1";
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

    fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::new());
        let secret = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(*self.secret));
        let head = [
            MAGIC,
            &self.origin,
            &self.generation.to_string(),
            &self.applied.to_string(),
            &secret,
        ]
        .map(str::to_owned)
        .map(Zeroizing::new);
        let mut trees: Vec<_> = self.trees.iter().collect();
        trees.sort_by_key(|(scope, _)| *scope);
        let count = Zeroizing::new(trees.len().to_string());
        push_line(&mut text, head.iter().chain([&count]));
        for (scope, tree) in trees {
            push_scope(&mut text, scope, tree);
        }
        text
    }
}

/// The writer's key file.
pub(crate) struct KeyFile {
    file: DiskFile,
    /// Where the last whole record ends.
    end: u64,
}

impl KeyFile {
    /// Writes the first key file of a ledger.
    pub(crate) fn create(folder: &Folder, keys: &Keys) -> Result<Self> {
        let text = keys.to_text();
        let file = folder.create_file(FILE, Access::Private)?;
        file.write_all_at(text.as_bytes(), 0)?;
        file.sync_all()?;
        Ok(Self {
            file,
            end: text.len() as u64,
        })
    }

    /// Reads the key file and finishes what a crash left: of two files the higher whole generation stays, the
    /// other is wiped; a record that was not finished is cut off, for no entry can rest on it.
    pub(crate) fn open(folder: &Folder, origin: &str) -> Result<(Self, Keys)> {
        let newest = read_newest(folder, origin)?;
        if newest.name == FRESH {
            folder.exchange(FRESH, FILE)?;
            folder.sync()?;
        }
        wipe(folder, FRESH)?;
        let file = folder.write_file(FILE)?;
        // Records may be seen that never reached the disk: of a process that died before its sync, or whose sync failed,
        // after which a second one would report success. Before an entry rests on them they are written again.
        file.write_all_at(&newest.text, 0)?;
        let end = newest.text.len() as u64;
        file.set_len(end)?;
        file.sync_all()?;
        Ok((Self { file, end }, newest.keys))
    }

    /// Adds records of new scopes and returns when they are durable.
    pub(crate) fn add(&mut self, scopes: &[(Scope, KeyTree)]) -> Result<()> {
        let mut text = Zeroizing::new(String::new());
        for (scope, tree) in scopes {
            push_scope(&mut text, scope, tree);
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
        Ok(())
    }

    /// Replaces the file by `keys`, whose generation is higher, and destroys the old one: write and sync the new
    /// one, exchange the names, sync the folder, overwrite and sync the old, unlink it.
    pub(crate) fn replace(folder: &Folder, keys: &Keys) -> Result<Self> {
        wipe(folder, FRESH)?;
        let text = keys.to_text();
        let file = folder.create_file(FRESH, Access::Private)?;
        file.write_all_at(text.as_bytes(), 0)?;
        file.sync_all()?;
        folder.exchange(FRESH, FILE)?;
        folder.sync()?;
        wipe(folder, FRESH)?;
        Ok(Self {
            file,
            end: text.len() as u64,
        })
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
}

fn read_newest(folder: &Folder, origin: &str) -> Result<Parsed<'static>> {
    let current = read_one(folder, FILE)?;
    // A new file that is not whole yet is no key file: the exchange of names comes after its sync.
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
    let (mut keys, records) = parse_header(header).ok_or_else(|| damaged(0))?;
    let (mut end, mut seen) = (header.len() + 1, 0);
    for (offset, line) in &mut lines {
        // What cannot be read, and all behind it, was being added when the process died: a write of many records may
        // reach the disk in any order. Whether an entry rests on any of them after all is for `check_keys`.
        let Some((scope, tree)) = parse_scope(line) else { break };
        if keys.trees.insert(scope, tree).is_some() {
            return Err(damaged(offset));
        }
        seen += 1;
        end = offset + line.len() + 1;
    }
    if seen < records {
        return Err(damaged(end));
    }
    drop(lines);
    bytes.truncate(end);
    Ok(Some(Parsed {
        name,
        keys,
        text: bytes,
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

fn push_scope(text: &mut Zeroizing<String>, scope: &Scope, tree: &KeyTree) {
    let nodes = tree.nodes().iter().map(|node| {
        let secret = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(node.secret()));
        Zeroizing::new(format!("{}.{}.{}", node.depth, node.index, *secret))
    });
    let name = Zeroizing::new(scope.to_string());
    let fields: Vec<_> = std::iter::once(name).chain(nodes).collect();
    push_line(text, fields.iter());
}

/// Adds `field TAB field … TAB crc LF`.
fn push_line<'a>(text: &mut Zeroizing<String>, fields: impl Iterator<Item = &'a Zeroizing<String>>) {
    let start = text.len();
    for field in fields {
        // Reserving first keeps secrets out of freed memory more often than growing by doubling does.
        text.reserve(field.len() + 16);
        text.push_str(field);
        text.push('\t');
    }
    let crc = quipu_format::checksum(&text.as_bytes()[start..]);
    text.extend(crc.map(char::from));
    text.push('\n');
}

/// The fields of a line whose checksum is right.
fn fields(line: &[u8]) -> Option<std::str::Split<'_, char>> {
    let (body, crc) = line.split_last_chunk()?;
    if quipu_format::checksum(body) != *crc {
        return None;
    }
    Some(std::str::from_utf8(body).ok()?.strip_suffix('\t')?.split('\t'))
}

fn parse_secret(text: &str) -> Option<[u8; 32]> {
    let bytes = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.decode(text).ok()?);
    bytes.as_slice().try_into().ok()
}

fn parse_header(line: &[u8]) -> Option<(Keys, usize)> {
    let mut fields = fields(line)?;
    if fields.next()? != MAGIC {
        return None;
    }
    let origin = fields.next()?;
    let generation = fields.next()?.parse().ok()?;
    let applied = fields.next()?.parse().ok()?;
    let secret = parse_secret(fields.next()?)?;
    let records = fields.next()?.parse().ok()?;
    let mut keys = Keys::new(origin, secret);
    (keys.generation, keys.applied) = (generation, applied);
    fields.next().is_none().then_some((keys, records))
}

fn parse_scope(line: &[u8]) -> Option<(Scope, KeyTree)> {
    let mut fields = fields(line)?;
    let scope = Scope::new(fields.next()?).ok()?;
    let nodes = fields.map(|field| {
        let mut parts = field.split('.');
        let (depth, index) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let secret = parse_secret(parts.next()?)?;
        parts.next().is_none().then(|| KeyNode::new(depth, index, secret))
    });
    let nodes: Option<Vec<_>> = nodes.collect();
    Some((scope, KeyTree::from_nodes(nodes?).ok()?))
}

#[cfg(test)]
#[path = "keyfile_tests.rs"]
mod tests;

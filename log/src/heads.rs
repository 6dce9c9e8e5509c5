//! The file `heads`: each scope's count and last entry where the newest sealed segment ends, so that an open need not
//! read what comes before. It is derived from the log, and believed only where the ledger's secret vouches for it and
//! the tree's hashes give the root that it names. docs/FORMAT.md, "Heads".

use std::{collections::HashMap, fmt::Write};

use quipu_format::{Hash, Scope, authenticate};
use ulid::Ulid;

use crate::{
    Result, ScopeHead,
    disk::{Access, Folder},
    recent::Recent,
};

const FILE: &str = "heads";
const MAGIC: &str = "quipu-heads 2";
/// Bytes of the file: some ten million scopes.
const FILE_BYTES: u64 = 2 << 30;

/// A scope as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Entries in it.
    pub(crate) count: u32,
    /// Leaf hash of the last one.
    pub(crate) last: Hash,
    /// Position of the last one.
    pub(crate) last_seq: u64,
    /// Bytes of all of them, as quotas count them.
    pub(crate) bytes: u64,
}

impl Head {
    /// As it is shown.
    pub(crate) fn shown(&self, scope: &Scope) -> ScopeHead {
        ScopeHead {
            scope: scope.clone(),
            count: self.count,
            last: self.last,
            last_seq: self.last_seq,
            bytes: self.bytes,
        }
    }
}

/// Where all scopes stand at one size of the log.
#[derive(Debug, PartialEq)]
pub(crate) struct Heads {
    pub(crate) size: u64,
    /// Root of the tree of that size.
    pub(crate) root: Hash,
    /// Name of the last entry.
    pub(crate) last_id: Ulid,
    /// Position behind the last erasure; 0: there is none.
    pub(crate) erased: u64,
    pub(crate) scopes: HashMap<Scope, Head>,
}

impl Heads {
    /// Of an empty log.
    pub(crate) fn none() -> Self {
        Self {
            size: 0,
            root: Hash::of_nothing(),
            last_id: Ulid::nil(),
            erased: 0,
            scopes: HashMap::new(),
        }
    }

    /// None: there is no file, or it is not the ledger's own.
    pub(crate) fn read(ledger: &Folder, secret: &[u8; 32]) -> Result<Option<Self>> {
        Ok(ledger.read(FILE, FILE_BYTES)?.and_then(|bytes| parse(&bytes, secret)))
    }

    /// Goes on to the end of the segment after, apart from the root.
    pub(crate) fn take(&mut self, segment: &Recent) {
        self.size = segment.first + u64::from(segment.len());
        self.erased = self.erased.max(segment.erased);
        self.last_id = segment.ids.last().copied().unwrap_or(self.last_id);
        for (scope, postings) in &segment.scopes {
            let last = postings.numbers.last().copied().unwrap_or_default();
            let before = self.scopes.get(scope).map_or(0, |head| head.bytes);
            let head = Head {
                count: postings.count,
                last: postings.last,
                last_seq: segment.first + u64::from(last),
                bytes: before + postings.bytes,
            };
            self.scopes.insert(scope.clone(), head);
        }
    }

    /// Puts the file in place, durably.
    pub(crate) fn write(&self, ledger: &Folder, secret: &[u8; 32]) -> Result<()> {
        let mut text = format!("{MAGIC}\t{}\t{}\t{}", self.size, self.root, self.last_id);
        if self.erased > 0 {
            let _ = write!(text, "\t{}", self.erased);
        }
        text.push('\n');
        let mut scopes: Vec<_> = self.scopes.iter().collect();
        scopes.sort_unstable_by_key(|(scope, _)| *scope);
        for (scope, head) in scopes {
            // A string takes every text.
            let Head {
                count,
                last,
                last_seq,
                bytes,
            } = head;
            let _ = writeln!(text, "{scope}\t{count}\t{last}\t{last_seq}\t{bytes}");
        }
        let mac = authenticate(secret, text.as_bytes());
        let _ = writeln!(text, "{mac}");
        ledger.replace(FILE, text.as_bytes(), Access::Usual)
    }
}

fn parse(bytes: &[u8], secret: &[u8; 32]) -> Option<Heads> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (content, mac) = text.strip_suffix('\n')?.rsplit_once('\n')?;
    let content = text.get(..content.len() + 1)?;
    if authenticate(secret, content.as_bytes()) != mac.parse().ok()? {
        return None;
    }
    let mut lines = content.lines();
    let mut first = lines.next()?.split('\t');
    if first.next()? != MAGIC {
        return None;
    }
    let mut heads = Heads {
        size: first.next()?.parse().ok()?,
        root: first.next()?.parse().ok()?,
        last_id: first.next()?.parse().ok()?,
        erased: first.next().map_or(Ok(0), str::parse).ok()?,
        scopes: HashMap::new(),
    };
    for line in lines {
        let mut fields = line.split('\t');
        let scope = Scope::new(fields.next()?).ok()?;
        let head = Head {
            count: fields.next()?.parse().ok()?,
            last: fields.next()?.parse().ok()?,
            last_seq: fields.next()?.parse().ok()?,
            bytes: fields.next()?.parse().ok()?,
        };
        heads.scopes.insert(scope, head);
    }
    Some(heads)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Heads {
        let head = |count| Head {
            count,
            last: Hash::of(&[b"last"]),
            last_seq: 7,
            bytes: 1_000 + u64::from(count),
        };
        Heads {
            size: 8,
            root: Hash::of(&[b"root"]),
            last_id: Ulid::from_parts(5, 6),
            erased: 4,
            scopes: [("a", 3), ("b", 5)]
                .map(|(scope, count)| (Scope::new(scope).unwrap(), head(count)))
                .into(),
        }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else_is_believed() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(temporary.path()).unwrap();
        assert_eq!(Heads::read(&folder, &[1; 32]).unwrap(), None);
        some().write(&folder, &[1; 32]).unwrap();
        assert_eq!(Heads::read(&folder, &[1; 32]).unwrap(), Some(some()));
        assert_eq!(Heads::read(&folder, &[2; 32]).unwrap(), None, "another ledger's");
        let path = temporary.path().join(FILE);
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            assert_eq!(Heads::read(&folder, &[1; 32]).unwrap(), None, "byte {at}");
            std::fs::write(&path, &good[..at]).unwrap();
            assert_eq!(Heads::read(&folder, &[1; 32]).unwrap(), None, "cut at {at}");
        }
    }

    /// What releases before quotas wrote had no bytes.
    #[test]
    fn an_older_file_is_not_believed() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(temporary.path()).unwrap();
        some().write(&folder, &[1; 32]).unwrap();
        let path = temporary.path().join(FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        let (content, _) = text.trim_end().rsplit_once('\n').unwrap();
        let sign = |content: &str| {
            let mac = authenticate(&[1; 32], content.as_bytes());
            std::fs::write(&path, format!("{content}{mac}\n")).unwrap();
            Heads::read(&folder, &[1; 32]).unwrap()
        };
        assert_eq!(sign(&format!("{content}\n")), Some(some()));
        let older = content.replace("quipu-heads 2", "quipu-heads 1");
        assert_eq!(sign(&format!("{older}\n")), None);
        let lines = older.lines().enumerate();
        let older: String = lines
            .map(|(number, line)| match (number, line.rsplit_once('\t')) {
                (1.., Some((rest, _))) => format!("{rest}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        assert_eq!(sign(&older), None);
    }
}

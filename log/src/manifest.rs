//! `quipu.json`: which ledger this is. It is written last when a ledger is created, so its presence says that the
//! creation was finished.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::{
    Error, ErrorKind, Result,
    disk::{Access, Folder},
    verifier_keys::{Earlier, VerifierKeys},
};

pub(crate) const FILE: &str = "quipu.json";

/// Version of the ledger's folder.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stored {
    format: u32,
    origin: String,
    verifier_key: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    earlier_keys: Vec<StoredEarlier>,
    /// Left out where it is false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    copy: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StoredEarlier {
    verifier_key: String,
    until: u64,
}

#[derive(Deserialize)]
struct Versioned {
    format: u64,
}

/// What a ledger is called, and the key that its checkpoints are signed with.
pub(crate) struct Manifest {
    pub(crate) verifier_key: VerifierKeys,
    /// The folder is a copy, which is not written: the ledger may have gone further.
    pub(crate) copy: bool,
}

/// The same of an open ledger, whose key may be rotated meanwhile. What was lent of the earlier ones stays.
pub(crate) struct Manifests {
    this: Manifest,
    next: OnceLock<Box<Self>>,
}

impl Manifests {
    pub(crate) fn new(first: Manifest) -> Self {
        let next = OnceLock::new();
        Self { this: first, next }
    }

    pub(crate) fn newest(&self) -> &Manifest {
        &self.last().this
    }

    /// From now on another one is the newest.
    pub(crate) fn follow(&self, newer: Manifest) {
        let mut newer = Box::new(Self::new(newer));
        // Somebody else may be as fast.
        while let Err(back) = self.last().next.set(newer) {
            newer = back;
        }
    }

    /// Looks whether the key was rotated. Returns whether it was.
    pub(crate) fn look(&self, folder: &Folder) -> Result<bool> {
        let newer = Manifest::read(folder)?;
        let known = &self.newest().verifier_key;
        let rotated = newer.verifier_key != *known && newer.verifier_key.has(known);
        if rotated {
            self.follow(newer);
        }
        Ok(rotated)
    }

    /// Reads what one of the ledger's keys signed: again where it turns out that the key was rotated meanwhile.
    pub(crate) fn signed<T, E>(
        &self,
        folder: &Folder,
        read: impl Fn(&Manifest) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        loop {
            let known = self.newest();
            let read = read(known);
            if read.is_ok() {
                return read;
            }
            // Where it cannot be read now, what was known holds. Another thread may have looked before this one.
            let _ = self.look(folder);
            if self.newest().verifier_key == known.verifier_key {
                return read;
            }
        }
    }

    pub(crate) fn into_newest(self) -> Manifest {
        let Self { this, next } = self;
        match next.into_inner() {
            Some(next) => next.into_newest(),
            None => this,
        }
    }

    fn last(&self) -> &Self {
        let mut last = self;
        while let Some(next) = last.next.get() {
            last = next;
        }
        last
    }
}

impl Manifest {
    pub(crate) fn read(folder: &Folder) -> Result<Self> {
        let Some(bytes) = folder.read(FILE, 64 << 10)? else {
            let message = "there is no ledger here (no quipu.json): check the path, or make one with `quipu init`";
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        let corrupt = |why: String| Error::new(ErrorKind::Corrupt, format!("quipu.json is damaged: {why}"));
        // First the number alone: a newer format may have other members.
        let Versioned { format } = serde_json::from_slice(&bytes).map_err(|e| corrupt(e.to_string()))?;
        if format > u64::from(FORMAT) {
            let message = format!(
                "the ledger's folder has format {format}, and this release knows {FORMAT}. Nothing was changed: use a \
                 newer release"
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let stored: Stored = serde_json::from_slice(&bytes).map_err(|e| corrupt(e.to_string()))?;
        if stored.format != FORMAT {
            return Err(corrupt(format!("there is no format {format}")));
        }
        let key = |text: &str| text.parse().map_err(|e| corrupt(format!("{e}")));
        let earlier = stored.earlier_keys.iter().map(|earlier| {
            let until = earlier.until;
            key(&earlier.verifier_key).map(|key| Earlier { key, until })
        });
        let verifier_key = VerifierKeys::new(key(&stored.verifier_key)?, earlier.collect::<Result<_>>()?)
            .ok_or_else(|| corrupt("its earlier keys are not in order, or another ledger's".into()))?;
        if verifier_key.name() != stored.origin {
            return Err(corrupt("its verifier key is of another origin".into()));
        }
        Ok(Self {
            verifier_key,
            copy: stored.copy,
        })
    }

    pub(crate) fn write(&self, folder: &Folder) -> Result<()> {
        let stored = Stored {
            format: FORMAT,
            origin: self.verifier_key.name().to_owned(),
            verifier_key: self.verifier_key.to_string(),
            earlier_keys: self
                .verifier_key
                .earlier()
                .iter()
                .map(|earlier| StoredEarlier {
                    verifier_key: earlier.key.to_string(),
                    until: earlier.until,
                })
                .collect(),
            copy: self.copy,
        };
        let text = serde_json::to_string_pretty(&stored)
            .map_err(|e| Error::new(ErrorKind::Invalid, format!("quipu.json cannot be written: {e}")))?;
        folder.replace(FILE, format!("{text}\n").as_bytes(), Access::Usual)
    }
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;

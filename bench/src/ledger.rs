//! Ledgers to measure on, and what is written to them.

use std::path::{Path, PathBuf};

use quipu_format::{Actor, Body, Kind, Scope};
use quipu_log::{CreateOptions, Draft, Ledger};

use crate::Result;

/// A new ledger in the folder, and its path.
pub(crate) fn create(folder: &Path) -> Result<(Ledger, PathBuf)> {
    let path = folder.join("ledger");
    let ledger = Ledger::create(&path, CreateOptions::new("bench.example/ledger"))?;
    Ok((ledger, path))
}

/// Makes drafts of one scope.
#[derive(Clone)]
pub(crate) struct Writer {
    scope: Scope,
    actor: Actor,
    kind: Kind,
}

impl Writer {
    /// The `i`th, with a scope of its own.
    pub(crate) fn new(i: usize) -> Self {
        let name = |prefix: &str| format!("{prefix}:{i}");
        Self {
            scope: Scope::new(&name("bench")).expect("letters, a colon and digits"),
            actor: Actor::new(&name("agent")).expect("letters, a colon and digits"),
            kind: Kind::new("memory.write").expect("letters and a dot"),
        }
    }

    /// One of a scope of that name.
    pub(crate) fn in_scope(name: &str) -> Self {
        Self {
            scope: Scope::new(name).expect("a good name"),
            ..Self::new(0)
        }
    }

    /// The scope of all its drafts.
    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    pub(crate) fn actor(&self) -> &Actor {
        &self.actor
    }

    pub(crate) fn draft(&self, payload: &str) -> Result<Draft> {
        let body = Body::new(None, payload)?;
        Ok(Draft::new(
            self.scope.clone(),
            self.actor.clone(),
            self.kind.clone(),
            body,
        ))
    }
}

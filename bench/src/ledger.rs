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

/// Makes drafts, each with another payload, all of one scope.
pub(crate) struct Writer {
    scope: Scope,
    actor: Actor,
    kind: Kind,
    made: u64,
}

impl Writer {
    /// The `i`th, with a scope of its own.
    pub(crate) fn new(i: usize) -> Self {
        let name = |prefix: &str| format!("{prefix}:{i}");
        Self {
            scope: Scope::new(&name("bench")).expect("letters, a colon and digits"),
            actor: Actor::new(&name("agent")).expect("letters, a colon and digits"),
            kind: Kind::new("memory.write").expect("letters and a dot"),
            made: 0,
        }
    }

    /// The scope of all its drafts.
    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// A draft whose payload has exactly `payload_bytes`, at least 40.
    pub(crate) fn draft(&mut self, payload_bytes: usize) -> Result<Draft> {
        self.made += 1;
        let head = format!(r#"{{"number":{},"text":""#, self.made);
        let tail = "\"}";
        let mut payload = String::with_capacity(payload_bytes);
        payload.push_str(&head);
        payload.extend(std::iter::repeat_n(
            'x',
            payload_bytes.saturating_sub(head.len() + tail.len()),
        ));
        payload.push_str(tail);
        let body = Body::new(None, &payload)?;
        Ok(Draft::new(
            self.scope.clone(),
            self.actor.clone(),
            self.kind.clone(),
            body,
        ))
    }
}

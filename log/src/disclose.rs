//! What is handed to third parties: one event, or one scope, with all that they need to check it.

use std::path::Path;

use quipu_format::{Disclosure, Hash, Scope, ScopeHeader, ScopeLine, tree};
use serde::Serialize;

use crate::{
    Direction, Error, ErrorKind, LedgerReader, Result,
    disk::{Access, Folder},
    prove::{no_entry, text_of},
    reader::{KeyPaths, Opened},
    tree_files::TreeFiles,
};

/// The file of a scope's export.
pub const SCOPE_FILE: &str = "scope.jsonl";
/// Bytes that are written at once.
const CHUNK_BYTES: usize = 1 << 20;
/// Positions that are looked up at once.
const CHUNK_ENTRIES: usize = 1_000;

/// What of a scope was exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ScopeSummary {
    /// Entries: all of the scope that the newest checkpoint covers.
    pub entries: u32,
    /// Of these, those with their body.
    pub opened: u32,
    /// Those without, for their content has been erased.
    pub erased: u32,
    /// Entries of the whole ledger that the checkpoint covers.
    pub checkpoint_size: u64,
}

impl LedgerReader {
    /// One event with its body, its salt and its proof in the tree of the newest checkpoint.
    ///
    /// # Errors
    /// `Redacted`: its content has been erased, and cannot be disclosed; [`prove`](Self::prove) still proves the entry.
    /// `NotFound`: as for `prove`.
    pub fn disclose(&self, seq: u64) -> Result<Disclosure> {
        let proof = self.prove(seq)?;
        let opened = self.open(seq, &mut KeyPaths::default())?.ok_or_else(|| no_entry(seq))?;
        let Some((body, salt)) = &opened.body else {
            let message = format!(
                "the content of {} has been erased: there is nothing to disclose, though its entry can still be proved",
                opened.event.envelope.id
            );
            return Err(Error::new(ErrorKind::Redacted, message));
        };
        let disclosure = Disclosure {
            envelope: text_of(opened.envelope())?,
            body: text_of(body)?,
            salt: *salt,
            proof: quipu_format::InclusionProof { extra: None, ..proof },
        };
        disclosure.verify(self.verifier_key())?;
        Ok(disclosure)
    }

    /// Writes the entries of a scope, as far as the newest checkpoint covers them, with their proofs into the file
    /// `scope.jsonl` of a folder that is empty, does not exist, or holds an earlier export of a scope. With `sealed`, no
    /// body is disclosed. `progress` is told how many entries are written, and of how many.
    ///
    /// # Errors
    /// `NotFound`: the scope has no entry that is covered. `Exists`: the folder holds something else. An entry that is
    /// damaged or not here ends it.
    pub fn export_scope(
        &self,
        scope: &Scope,
        path: &Path,
        sealed: bool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<ScopeSummary> {
        let (note, checkpoint) = self.checkpoint()?;
        self.refresh()?;
        let tree = TreeFiles::open(&self.state.folder)?;
        if tree::root(checkpoint.size, &tree)? != checkpoint.root {
            return Err(TreeFiles::stale());
        }
        let entries = self.count_below(scope, checkpoint.size)?;
        if entries == 0 {
            let message = format!("the scope {scope} has no entries in this ledger");
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        let folder = Folder::create(path)?;
        if folder
            .list()?
            .iter()
            .any(|name| name.trim_end_matches(".new") != SCOPE_FILE)
        {
            let message = format!(
                "the folder {} holds something else than an earlier export of a scope: choose another one",
                path.display()
            );
            return Err(Error::new(ErrorKind::Exists, message));
        }
        let mut summary = ScopeSummary {
            entries,
            opened: 0,
            erased: 0,
            checkpoint_size: checkpoint.size,
        };
        let fresh = format!("{SCOPE_FILE}.new");
        folder.remove(&fresh)?;
        let access = if sealed { Access::Usual } else { Access::Private };
        let file = folder.create_file(&fresh, access)?;
        let (mut written, mut chunk) = (0, ScopeHeader::new(scope.clone(), entries, note).to_line().into_bytes());
        let (mut next, mut done, mut paths) = (0, 0, KeyPaths::default());
        while done < entries {
            let seqs = self.positions(scope, next..checkpoint.size, CHUNK_ENTRIES)?;
            for &seq in &seqs {
                let opened = self.open(seq, &mut paths)?.ok_or_else(|| no_entry(seq))?;
                if opened.event.envelope.nth != done || opened.event.envelope.scope != *scope {
                    return Err(gap(scope, done));
                }
                let proof = tree::inclusion_proof(checkpoint.size, seq, &tree)?;
                summary.erased += u32::from(opened.body.is_none());
                summary.opened += u32::from(opened.body.is_some() && !sealed);
                chunk.extend_from_slice(line(&opened, sealed, proof)?.as_bytes());
                if chunk.len() >= CHUNK_BYTES {
                    file.write_all_at(&chunk, written)?;
                    written += chunk.len() as u64;
                    chunk.clear();
                }
                (next, done) = (seq + 1, done + 1);
                progress(done.into(), entries.into());
            }
            if seqs.is_empty() {
                return Err(gap(scope, done));
            }
        }
        file.write_all_at(&chunk, written)?;
        file.sync_all()?;
        folder.rename(&fresh, SCOPE_FILE)?;
        folder.sync()?;
        Ok(summary)
    }

    /// How many entries of the scope stand before a position.
    fn count_below(&self, scope: &Scope, end: u64) -> Result<u32> {
        let last = self.page(scope, 0..end, Direction::Backward, 1)?;
        Ok(last.events.first().map_or(0, |event| event.envelope.nth + 1))
    }
}

fn line(opened: &Opened, sealed: bool, proof: Vec<Hash>) -> Result<String> {
    let body = opened.body.as_ref().filter(|_| !sealed);
    let line = ScopeLine {
        envelope: text_of(opened.envelope())?,
        body: body.map(|(plaintext, _)| text_of(plaintext)).transpose()?,
        salt: body.map(|(_, salt)| Hash(*salt)),
        proof,
    };
    Ok(line.to_line())
}

fn gap(scope: &Scope, nth: u32) -> Error {
    let message = format!(
        "entry {nth} of the scope {scope} cannot be found, so the export would have a gap: run `quipu verify`, and restore \
         its segment from a backup"
    );
    Error::new(ErrorKind::Corrupt, message)
}

//! Proving where a scope stands, from what a reader has.

use quipu_format::{Scope, ScopeProof, ScopeState, ScopeTree, scope_key};

use crate::{Error, ErrorKind, LedgerReader, Result, index::SharedIndex, reader::Direction, scope_roots};

/// A proof, and what it does not cover.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProvedScope {
    /// The proof, checked.
    pub proof: ScopeProof,
    /// Entries of the ledger that it holds for.
    pub size: u64,
    /// Where the scope stood then. None: it had no entry.
    pub state: Option<ScopeState>,
    /// Entries that the scope has got since, which it says nothing of.
    pub later: u32,
}

/// By the newest root of scopes that a checkpoint covers.
pub(crate) fn prove(reader: &LedgerReader, scope: &Scope) -> Result<ProvedScope> {
    let (_, checkpoint) = reader.checkpoint()?;
    reader.refresh()?;
    let Some((seq, root)) = scope_roots::newest(reader, 0..checkpoint.size)? else {
        let message = "no entry of kind quipu.scopes is covered by a checkpoint yet: a new one must be appended (`quipu prove \
                       --fresh`)";
        return Err(Error::new(ErrorKind::NotFound, message));
    };
    let mut tree = ScopeTree::default();
    let mut later = 0;
    for head in reader.scopes() {
        let state = if head.last_seq < root.size {
            Some(ScopeState {
                count: head.count,
                last: head.last,
            })
        } else {
            state_at(reader, &head.scope, root.size)?
        };
        if head.scope == *scope {
            later = head.count - state.map_or(0, |state| state.count);
        }
        if let Some(state) = state {
            tree.set(scope_key(&head.scope), state);
        }
    }
    if tree.root() != root.root {
        let message = format!(
            "the root of scopes at entry {seq} is not the one that the entries before it give: run `quipu verify`"
        );
        return Err(Error::new(ErrorKind::Tampered, message));
    }
    let inclusion = reader.prove(seq)?;
    let proof = ScopeProof::new(scope.clone(), tree.path(&scope_key(scope)), &inclusion);
    let standing = proof.verify(reader.verifier_key())?;
    Ok(ProvedScope {
        proof,
        size: standing.size,
        state: standing.state,
        later,
    })
}

/// Where a scope stood when the ledger had `size` entries.
fn state_at(reader: &LedgerReader, scope: &Scope, size: u64) -> Result<Option<ScopeState>> {
    let found = reader.state.index.select(scope, 0..size, Direction::Backward, 1)?;
    let Some(&seq) = found.first() else { return Ok(None) };
    let bytes = reader.envelope_bytes(seq)?;
    let envelope = quipu_format::Envelope::parse(&bytes)?;
    Ok(Some(ScopeState {
        count: envelope.nth.saturating_add(1),
        last: quipu_format::leaf_hash(&bytes),
    }))
}

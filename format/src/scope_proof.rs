use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    Checkpoint, Envelope, Error, Hash, InclusionProof, Result, Scope, ScopePath, ScopeRoot, ScopeState, TrustedKeys,
    VerifierKey, leaf_hash, scope_key,
};

/// What every proof of a scope begins with.
pub(crate) const BEGINNING: &str = r#"{"quipu":"scope-proof@v1","#;
const NAME: &str = "scope-proof@v1";

/// Proof of where a scope stood at one size of a ledger, or that it had no entry: with it, the scope's chain is shown to be
/// complete. It needs nothing but itself and the ledger's verifier key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeProof {
    quipu: String,
    /// The scope.
    pub scope: Scope,
    /// From its place in the tree of scopes to the root.
    pub path: ScopePath,
    /// That the entry `quipu.scopes` which holds that root is in the ledger: a C2SP `tlog-proof`, whose extra data is the
    /// entry's envelope.
    pub proof: String,
}

/// What a proof says, once it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeStanding {
    /// The scope.
    pub scope: Scope,
    /// Entries of the ledger that it holds for: those whose `seq` is below.
    pub size: u64,
    /// Where the scope stands. None: it has no entry among them.
    pub state: Option<ScopeState>,
    /// The checkpoint that covers the proof.
    pub checkpoint: Checkpoint,
}

impl ScopeProof {
    /// A proof of these parts.
    pub fn new(scope: Scope, path: ScopePath, proof: &InclusionProof) -> Self {
        Self {
            quipu: NAME.to_owned(),
            scope,
            path,
            proof: proof.to_string(),
        }
    }

    /// As [`verify`](Self::verify), by the key among several that signed the checkpoint.
    pub fn verify_with(&self, keys: &TrustedKeys) -> Result<ScopeStanding> {
        let proof: InclusionProof = self.proof.parse()?;
        self.verify(keys.of(&proof.checkpoint)?)
    }

    /// Checks the checkpoint's signature, that the root's entry is in its tree, and that the root says where the scope
    /// stands.
    pub fn verify(&self, key: &VerifierKey) -> Result<ScopeStanding> {
        let proof: InclusionProof = self.proof.parse()?;
        let stored = proof.extra.as_deref().unwrap_or_default();
        let envelope = Envelope::parse(stored)?;
        let root = ScopeRoot::of(&envelope)?.ok_or_else(|| {
            Error::new(format!(
                "entry {} is of kind {}, and holds no root",
                envelope.seq, envelope.kind
            ))
        })?;
        if proof.index != envelope.seq {
            return Err(Error::new("the proof is of another entry than the envelope"));
        }
        let checkpoint = proof.verify(&leaf_hash(stored), key)?;
        let state = self.path.verify(&scope_key(&self.scope), &root.root)?;
        Ok(ScopeStanding {
            scope: self.scope.clone(),
            size: root.size,
            state,
            checkpoint,
        })
    }
}

impl ScopeStanding {
    /// Begins to check that entries are all that the scope holds.
    pub fn follow(&self) -> ScopeFollow<'_> {
        ScopeFollow {
            standing: self,
            next: 0,
            last: Hash::of_nothing(),
        }
    }
}

/// Checks, entry by entry, that these are all entries of a scope.
#[derive(Debug)]
pub struct ScopeFollow<'a> {
    standing: &'a ScopeStanding,
    next: u32,
    last: Hash,
}

impl ScopeFollow<'_> {
    /// Takes the scope's next entry and its leaf hash.
    ///
    /// # Errors
    /// It does not follow from the one before, is of another scope, or is not the one that was proved.
    pub fn entry(&mut self, envelope: &Envelope, hash: Hash) -> Result<()> {
        let ScopeStanding { scope, size, state, .. } = self.standing;
        let count = state.map_or(0, |state| state.count);
        let (seq, nth) = (envelope.seq, self.next);
        if envelope.scope != *scope || (envelope.nth, envelope.prev) != (nth, self.last) {
            let message = format!("entry {seq} is not number {nth} of {scope} that follows from those before it");
            return Err(Error::new(message));
        }
        if (seq < *size) != (nth < count) {
            let message = format!("entry {seq} is number {nth} of {scope}, which has {count} among the first {size}");
            return Err(Error::new(message));
        }
        (self.next, self.last) = (nth + 1, hash);
        if state.is_some_and(|state| self.next == state.count && hash != state.last) {
            let message = format!("entry {seq} is another one than the last of {scope} that was proved");
            return Err(Error::new(message));
        }
        Ok(())
    }

    /// Ends: these are all entries of `scope`. Returns how many come after what the proof holds for; of them there may be
    /// more.
    ///
    /// # Errors
    /// The scope has more, or is another one.
    pub fn end(self, of: &Scope) -> Result<u32> {
        let ScopeStanding { scope, size, state, .. } = self.standing;
        let count = state.map_or(0, |state| state.count);
        if of != scope {
            return Err(Error::new(format!("the proof is of {scope}, and the entries of {of}")));
        }
        self.next.checked_sub(count).ok_or_else(|| {
            Error::new(format!(
                "{} entries are here, and {scope} has {count} among the first {size} of the ledger",
                self.next
            ))
        })
    }
}

impl fmt::Display for ScopeProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        writeln!(f, "{text}")
    }
}

impl FromStr for ScopeProof {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refused = |why: &dyn fmt::Display| Error::new(format!("the text is no proof of a scope: {why}"));
        let proof: Self = serde_json::from_str(text).map_err(|e| refused(&e))?;
        if proof.quipu != NAME {
            return Err(refused(&format_args!("it says {:?} and not {NAME:?}", proof.quipu)));
        }
        Ok(proof)
    }
}

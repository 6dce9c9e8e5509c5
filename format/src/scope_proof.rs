use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    Checkpoint, Envelope, Error, Hash, InclusionProof, Result, Scope, ScopePath, ScopeRoot, ScopeState, VerifierKey,
    leaf_hash, scope_key,
};

/// Proof of where a scope stood at one size of a ledger, or that it had no entry: with it, the scope's chain is shown to be
/// complete. It needs nothing but itself and the ledger's verifier key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeProof {
    #[serde(rename = "scopeProof")]
    version: Version,
    /// The scope.
    pub scope: Scope,
    /// From its place in the tree of scopes to the root.
    pub path: ScopePath,
    /// That the entry `quipu.scopes` which holds that root is in the ledger: a C2SP `tlog-proof`, whose extra data is the
    /// entry's envelope.
    pub proof: String,
}

/// The number 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
struct Version;

impl TryFrom<u64> for Version {
    type Error = Error;

    fn try_from(version: u64) -> Result<Self> {
        match version {
            1 => Ok(Self),
            other => Err(Error::new(format!("scopeProof is {other}, and this release knows 1"))),
        }
    }
}

impl From<Version> for u64 {
    fn from(_: Version) -> Self {
        1
    }
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
            version: Version,
            scope,
            path,
            proof: proof.to_string(),
        }
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
    /// Checks that these envelopes, the stored bytes in order, are all that the scope holds. Returns how many come after the
    /// size that the proof holds for: they are chained to the others, and there may be more of them.
    ///
    /// # Errors
    /// An envelope does not follow from the one before it, is of another scope, or the scope has more of them.
    pub fn check<'a>(&self, envelopes: impl Iterator<Item = &'a [u8]>) -> Result<u32> {
        let ScopeState { count, last } = self.state.unwrap_or(ScopeState {
            count: 0,
            last: Hash::of_nothing(),
        });
        let (mut nth, mut prev) = (0, Hash::of_nothing());
        for bytes in envelopes {
            let envelope = Envelope::parse(bytes)?;
            if envelope.scope != self.scope || (envelope.nth, envelope.prev) != (nth, prev) {
                return Err(Error::new(format!(
                    "entry {} is not number {nth} of {} that follows from those before it",
                    envelope.seq, self.scope
                )));
            }
            if (envelope.seq < self.size) != (nth < count) {
                return Err(Error::new(format!(
                    "entry {} is number {nth} of {}, which has {count} among the first {}",
                    envelope.seq, self.scope, self.size
                )));
            }
            nth += 1;
            prev = leaf_hash(bytes);
            if nth == count && prev != last {
                return Err(Error::new(format!(
                    "entry {} is another one than the last of {} that was proved",
                    envelope.seq, self.scope
                )));
            }
        }
        nth.checked_sub(count).ok_or_else(|| {
            Error::new(format!(
                "{nth} entries are here, and {} has {count} among the first {} of the ledger",
                self.scope, self.size
            ))
        })
    }
}

impl fmt::Display for ScopeProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string_pretty(self).map_err(|_| fmt::Error)?;
        writeln!(f, "{text}")
    }
}

impl FromStr for ScopeProof {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|e| Error::new(format!("the text is no proof of a scope: {e}")))
    }
}

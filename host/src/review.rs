//! What an operator looks at before a named agent is approved.

use quipu_audit::{Audit, Change};
use quipu_format::Approval;
use quipu_log::{AgentState, LedgerReader};

use crate::{AgentComponent, Candidate, Error, ErrorKind, GrantChange, NamedAgent, Result};

/// A named agent beside what was approved under its name.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Review {
    /// What there is to sign.
    pub approval: Approval,
    /// Its component.
    pub component: AgentComponent,
    /// What that can do.
    pub audit: Audit,
    /// What was approved before.
    pub before: Option<AgentState>,
    /// How the component differs from that one. None: nothing was approved before, or its bytes are not in the ledger's
    /// folder any more.
    pub change: Option<Change>,
    /// How the grant differs from that one. None: nothing was approved before.
    pub grant_change: Option<GrantChange>,
}

impl NamedAgent {
    /// Holds it and its component, as they are, against what was approved before. Nothing is run.
    ///
    /// # Errors
    /// Where it would not run all the same, and where the ledger cannot be read.
    pub fn review(&self, wasm: &[u8], ledger: &LedgerReader) -> Result<Review> {
        let candidate = Candidate::new(wasm)?;
        let approval = self.approval(&candidate)?;
        let audit = audit(wasm)?;
        let before = ledger.governance_whole()?.agent(&self.name).cloned();
        let old = match &before {
            Some(before) => ledger.component(&before.approval.component)?,
            None => None,
        };
        let change = match old {
            Some(old) => Some(Change::between(&self::audit(&old)?, &audit)),
            None => None,
        };
        let grant_change = before
            .as_ref()
            .map(|before| GrantChange::between(&before.approval.grant, &self.grant));
        Ok(Review {
            approval,
            component: candidate.component().clone(),
            audit,
            before,
            change,
            grant_change,
        })
    }
}

impl Review {
    /// Whether just this is approved already.
    pub fn is_approved(&self) -> bool {
        self.before
            .as_ref()
            .is_some_and(|before| before.approval == self.approval)
    }
}

fn audit(wasm: &[u8]) -> Result<Audit> {
    Audit::of(wasm).map_err(|why| Error::new(ErrorKind::Component, why.to_string()))
}

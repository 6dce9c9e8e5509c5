//! Operators' acts on their way into the log.

use quipu_format::{Act, ActId, Actor, Body, Erasure, Kind, Scope, Signer, VerifierKey};
use serde::Serialize;
use serde_json::json;

use crate::{
    Draft, Error, ErrorKind, Ledger, LedgerReader, Receipt, Result,
    operators::{self, OperatorChange, Operators},
    random,
};

/// An act that its operator has signed, and why it is done.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SignedAct {
    /// What was signed; it stays in clear.
    pub act: Act,
    /// Why, in the operator's words: sealed in the entry's body, and erased with it.
    pub reason: Option<String>,
}

impl SignedAct {
    /// Has an operator sign what is done, resolved at `size` entries of the ledger of that origin.
    pub fn sign(origin: &str, size: u64, member: &str, value: &impl Serialize, signer: &Signer) -> Result<Self> {
        let mut id = [0; 16];
        random::fill(&mut id)?;
        let act = Act::sign(origin, ActId(id), size, member, value, signer)?;
        Ok(Self { act, reason: None })
    }

    /// The same, with the reason.
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// An erasure's entry stands in the scope that it erases; all other acts are the ledger's.
    pub(crate) fn draft(self) -> Result<Draft> {
        let scope = match self.act.member == Erasure::MEMBER {
            true => Erasure::parse(&self.act.value)?.scope,
            false => Scope::ledger(),
        };
        let payload = self.reason.map_or(json!({}), |reason| json!({"reason": reason}));
        let body = Body::new(None, &payload.to_string())?;
        let mut draft = Draft::new(scope, self.act.operator.clone(), self.act.kind()?, body);
        draft.key = Some(self.act.id.to_string());
        draft.sys = Some(self.act.sys());
        Ok(draft)
    }
}

impl Ledger {
    /// Does acts of operators, all or none, at most 1,000, and returns when they are durable. An erasure has been carried
    /// out then: its content is served by nobody any more, and its secrets are gone from the key file. Doing an act again
    /// gives the first receipt again.
    ///
    /// # Errors
    /// `Invalid` where the operator is not enrolled or the signature is not theirs; `Conflict` where the act was done or
    /// is of another copy of the ledger; `TooLarge` where too many key nodes would remain. Nothing was done then. With
    /// `Unavailable` it may have been: opening the ledger again finishes what is in the log.
    pub async fn act(&self, acts: Vec<SignedAct>) -> Result<Vec<Receipt>> {
        self.append_all(drafts(acts)?).await
    }

    /// As [`act`](Self::act), for callers that may block.
    pub fn act_blocking(&self, acts: Vec<SignedAct>) -> Result<Vec<Receipt>> {
        self.append_all_blocking(drafts(acts)?)
    }

    /// Enrols the first operator of a ledger that was made without one; every other is enrolled by an operator's act.
    ///
    /// # Errors
    /// `Conflict` where the ledger has had one.
    pub fn found_operator(&self, key: &VerifierKey) -> Result<Receipt> {
        operators::operator_key(&key.to_string())?;
        let body = Body::new(None, "{}")?;
        let kind = Kind::new(operators::KIND)?;
        let mut draft = Draft::new(Scope::ledger(), Actor::new("host:quipu")?, kind, body);
        draft.sys = Some(json!({OperatorChange::MEMBER: OperatorChange::Enrol(key.to_string())}));
        self.append_blocking(draft)
    }
}

impl LedgerReader {
    /// Verifier keys of the operators that are enrolled, in the order of their enrolment.
    pub fn operators(&self) -> Result<Vec<VerifierKey>> {
        Ok(Operators::read(self)?.keys().to_vec())
    }
}

fn drafts(acts: Vec<SignedAct>) -> Result<Vec<Draft>> {
    if acts.is_empty() {
        return Err(Error::new(ErrorKind::Invalid, "there is no act to be done"));
    }
    acts.into_iter().map(SignedAct::draft).collect()
}

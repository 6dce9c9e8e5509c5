//! Each thing that operators have ordered, and what one act orders.

use quipu_format::{
    Actor, AgentChange, Approval, Closing, EventId, Hold, HoldId, Policy, Quota, QuotaChange, Request, RequestOutcome,
    RetentionChange, Timestamp,
};
use serde::Serialize;

/// The entry of an act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ordered {
    /// Its name; its body says why.
    pub id: EventId,
    /// Who ordered it.
    pub operator: Actor,
    /// Its position.
    pub seq: u64,
    /// When the ledger took it.
    pub ts: Timestamp,
}

/// A hold, in force or over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HoldState {
    /// What is held.
    #[serde(flatten)]
    pub hold: Hold,
    /// Since when.
    pub since: Ordered,
    /// When it was released; none: it is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released: Option<Ordered>,
}

/// A retention policy in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PolicyState {
    /// How long what is kept.
    #[serde(flatten)]
    pub policy: Policy,
    /// Since when.
    pub since: Ordered,
}

/// A quota in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QuotaState {
    /// How much of what.
    #[serde(flatten)]
    pub quota: Quota,
    /// Since when.
    pub since: Ordered,
}

/// An agent that may run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AgentState {
    /// Which component, with which grant.
    #[serde(flatten)]
    pub approval: Approval,
    /// Since when.
    pub since: Ordered,
}

/// A deletion request, open or closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RequestState {
    /// Who asks for what.
    #[serde(flatten)]
    pub request: Request,
    /// When it was opened.
    pub opened: Ordered,
    /// When it was closed, and how.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed: Option<Ordered>,
    /// How it was answered; none: it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<RequestOutcome>,
}

impl RequestState {
    /// Whether it is open although its deadline has passed.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.closed.is_none() && now >= self.request.deadline
    }
}

/// What an act orders, checked against what was ordered before.
pub(crate) enum Order {
    Hold(Hold),
    Release(HoldId),
    Retention(RetentionChange),
    Quota(QuotaChange),
    Open(Request),
    Close(Closing),
    Agent(AgentChange),
    /// Nothing that is kept here.
    Other,
}

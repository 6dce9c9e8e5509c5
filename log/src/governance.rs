//! What operators have ordered: legal holds, retention policies, quotas, deletion requests and agents that may run, folded from
//! the acts in `quipu:ledger`. docs/FORMAT.md, "Governance" and "Approvals".

use std::collections::BTreeMap;

use quipu_format::{
    Act, AgentChange, AgentName, Closing, Envelope, Erasure, Hold, HoldId, Kind, QuotaChange, Release, RequestChange,
    RequestId, RetentionChange, Scope, ScopePattern, limits,
};

use crate::{
    Error, ErrorKind, Result,
    ordered::{AgentState, HoldState, Order, Ordered, PolicyState, QuotaState, RequestState},
};

/// What is held, kept and asked for at one place of the log.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Governance {
    holds: BTreeMap<HoldId, HoldState>,
    policies: BTreeMap<ScopePattern, PolicyState>,
    quotas: BTreeMap<ScopePattern, QuotaState>,
    requests: BTreeMap<RequestId, RequestState>,
    agents: BTreeMap<AgentName, AgentState>,
}

impl Governance {
    /// All holds by name, those that are over among them.
    pub fn holds(&self) -> impl Iterator<Item = &HoldState> {
        self.holds.values()
    }

    /// The retention policies, by the scopes that they are for.
    pub fn policies(&self) -> impl Iterator<Item = &PolicyState> {
        self.policies.values()
    }

    /// All requests by name, closed ones among them.
    pub fn requests(&self) -> impl Iterator<Item = &RequestState> {
        self.requests.values()
    }

    /// The agents that are approved, by name.
    pub fn agents(&self) -> impl Iterator<Item = &AgentState> {
        self.agents.values()
    }

    /// What is approved under that name.
    pub fn agent(&self, name: &AgentName) -> Option<&AgentState> {
        self.agents.get(name)
    }

    /// The request of that name.
    pub fn request(&self, id: &RequestId) -> Option<&RequestState> {
        self.requests.get(id)
    }

    /// The one policy that holds for a scope: its own, otherwise that of the longest beginning.
    pub fn policy_for(&self, scope: &Scope) -> Option<&PolicyState> {
        ScopePattern::closest(&self.policies, scope)
    }

    /// The quotas, by the scopes that they are for.
    pub fn quotas(&self) -> impl Iterator<Item = &QuotaState> {
        self.quotas.values()
    }

    /// The one quota that holds for a scope, chosen as policies are.
    pub fn quota_for(&self, scope: &Scope) -> Option<&QuotaState> {
        ScopePattern::closest(&self.quotas, scope)
    }

    /// The holds in force that keep something of an erasure from happening, and what: stretches of `nth`.
    pub fn holding(&self, erasure: &Erasure) -> Vec<(&HoldState, Vec<[u32; 2]>)> {
        let in_force = self.holds().filter(|state| state.released.is_none());
        let held = in_force.map(|state| (state, state.hold.of(erasure)));
        held.filter(|(_, ranges)| !ranges.is_empty()).collect()
    }

    /// Whether only an operator's act may have this kind.
    pub(crate) fn is_signed(kind: &Kind) -> bool {
        let members = [
            Hold::MEMBER,
            Release::MEMBER,
            RetentionChange::MEMBER,
            QuotaChange::MEMBER,
            RequestChange::MEMBER,
            AgentChange::MEMBER,
        ];
        let member = kind.as_str().strip_prefix("quipu.");
        member.is_some_and(|member| members.contains(&member))
    }

    /// Whether an act may be done after all that was ordered so far. Ages are not looked at: see `keeping`.
    pub(crate) fn check(&self, act: &Act) -> Result<Order> {
        match &*act.member {
            Hold::MEMBER => self.check_hold(Hold::parse(&act.value)?),
            Release::MEMBER => self.check_release(Release::parse(&act.value)?.hold),
            RetentionChange::MEMBER => self.check_retention(RetentionChange::parse(&act.value)?),
            QuotaChange::MEMBER => self.check_quota(QuotaChange::parse(&act.value)?),
            RequestChange::MEMBER => self.check_request(RequestChange::parse(&act.value)?),
            AgentChange::MEMBER => self.check_agent(AgentChange::parse(&act.value)?),
            Erasure::MEMBER => {
                self.check_erasure(&Erasure::parse(&act.value)?)?;
                Ok(Order::Other)
            }
            _ => Ok(Order::Other),
        }
    }

    /// Goes on past the entry of an act that was checked.
    pub(crate) fn take(&mut self, order: Order, entry: &Envelope) {
        let by = Ordered {
            id: entry.id,
            operator: entry.actor.clone(),
            seq: entry.seq,
            ts: entry.ts,
        };
        match order {
            Order::Hold(hold) => {
                let (id, since) = (hold.id.clone(), by);
                self.holds.insert(
                    id,
                    HoldState {
                        hold,
                        since,
                        released: None,
                    },
                );
            }
            Order::Release(id) => {
                if let Some(state) = self.holds.get_mut(&id) {
                    state.released = Some(by);
                }
            }
            Order::Retention(RetentionChange::Set(policy)) => {
                self.policies
                    .insert(policy.of.clone(), PolicyState { policy, since: by });
            }
            Order::Retention(RetentionChange::Remove(of)) => drop(self.policies.remove(&of)),
            Order::Quota(QuotaChange::Set(quota)) => {
                self.quotas.insert(quota.of.clone(), QuotaState { quota, since: by });
            }
            Order::Quota(QuotaChange::Remove(of)) => drop(self.quotas.remove(&of)),
            Order::Retention(_) | Order::Quota(_) | Order::Other => {}
            Order::Agent(AgentChange::Approve(approval)) => {
                let (name, approval) = (approval.name.clone(), *approval);
                self.agents.insert(name, AgentState { approval, since: by });
            }
            Order::Agent(AgentChange::Withdraw(name)) => drop(self.agents.remove(&name)),
            Order::Agent(_) => {}
            Order::Open(request) => {
                let state = RequestState {
                    opened: by,
                    closed: None,
                    outcome: None,
                    request,
                };
                self.requests.insert(state.request.id.clone(), state);
            }
            Order::Close(Closing { id, outcome }) => {
                if let Some(state) = self.requests.get_mut(&id) {
                    (state.closed, state.outcome) = (Some(by), Some(outcome));
                }
            }
        }
    }

    fn check_hold(&self, hold: Hold) -> Result<Order> {
        if self.holds.contains_key(&hold.id) {
            let message = format!(
                "there is or was a hold named {}, and a name is used once: choose another",
                hold.id
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        check_room(
            self.holds().filter(|state| state.released.is_none()).count(),
            "holds are in force: release one",
        )?;
        Ok(Order::Hold(hold))
    }

    fn check_release(&self, id: HoldId) -> Result<Order> {
        match self.holds.get(&id) {
            Some(state) if state.released.is_none() => Ok(Order::Release(id)),
            Some(_) => Err(Error::new(
                ErrorKind::Conflict,
                format!("the hold {id} was released before"),
            )),
            None => Err(Error::new(
                ErrorKind::NotFound,
                format!("there is no hold named {id}: `quipu hold list` shows which there are"),
            )),
        }
    }

    fn check_retention(&self, change: RetentionChange) -> Result<Order> {
        match &change {
            RetentionChange::Set(policy) if !self.policies.contains_key(&policy.of) => {
                check_room(self.policies.len(), "retention policies are set: remove one")?;
            }
            RetentionChange::Remove(of) if !self.policies.contains_key(of) => {
                let message =
                    format!("there is no retention policy for {of}: `quipu retention show` shows which there are");
                return Err(Error::new(ErrorKind::NotFound, message));
            }
            _ => {}
        }
        Ok(Order::Retention(change))
    }

    fn check_quota(&self, change: QuotaChange) -> Result<Order> {
        match &change {
            QuotaChange::Set(quota) if !self.quotas.contains_key(&quota.of) => {
                check_room(self.quotas.len(), "quotas are set: remove one")?;
            }
            QuotaChange::Remove(of) if !self.quotas.contains_key(of) => {
                let message = format!("there is no quota for {of}: `quipu quota show` shows which there are");
                return Err(Error::new(ErrorKind::NotFound, message));
            }
            _ => {}
        }
        Ok(Order::Quota(change))
    }

    fn check_request(&self, change: RequestChange) -> Result<Order> {
        match change {
            RequestChange::Open(request) => {
                if self.requests.contains_key(&request.id) {
                    let message = format!(
                        "there is a request named {}, and a name is used once: choose another",
                        request.id
                    );
                    return Err(Error::new(ErrorKind::Conflict, message));
                }
                let open = self.requests().filter(|state| state.closed.is_none()).count();
                check_room(open, "requests are open: close one")?;
                Ok(Order::Open(request))
            }
            RequestChange::Close(closing) => {
                self.open_request(&closing.id)?;
                Ok(Order::Close(closing))
            }
            _ => Ok(Order::Other),
        }
    }

    fn check_agent(&self, change: AgentChange) -> Result<Order> {
        match &change {
            AgentChange::Approve(approval) if !self.agents.contains_key(&approval.name) => {
                check_room(self.agents.len(), "agents are approved: withdraw one")?;
            }
            AgentChange::Withdraw(name) if !self.agents.contains_key(name) => {
                let message = format!("no agent named {name} is approved: `quipu agents` shows which are");
                return Err(Error::new(ErrorKind::NotFound, message));
            }
            _ => {}
        }
        Ok(Order::Agent(change))
    }

    pub(crate) fn check_erasure(&self, erasure: &Erasure) -> Result<()> {
        if let Some((state, ranges)) = self.holding(erasure).first() {
            let message = format!(
                "the hold {} is over {} of {} (ordered by {} at {}): nothing was erased. `quipu hold remove` ends a hold",
                state.hold.id,
                entries(ranges),
                erasure.scope,
                state.since.operator,
                state.since.ts
            );
            return Err(Error::new(ErrorKind::Held, message));
        }
        match &erasure.request {
            Some(request) => self.open_request(request),
            None => Ok(()),
        }
    }

    /// Refuses a request that no erasure may name: `NotFound` where there is none, `Conflict` where it is closed.
    pub fn open_request(&self, id: &RequestId) -> Result<()> {
        match self.requests.get(id) {
            Some(state) if state.closed.is_none() => Ok(()),
            Some(_) => Err(Error::new(
                ErrorKind::Conflict,
                format!("the request {id} is closed: open one of another name"),
            )),
            None => Err(Error::new(
                ErrorKind::NotFound,
                format!("there is no request named {id}: `quipu request open` opens one"),
            )),
        }
    }
}

fn check_room(count: usize, what: &str) -> Result<()> {
    if count < limits::GOVERNED {
        return Ok(());
    }
    let message = format!("{} {what} first", limits::GOVERNED);
    Err(Error::new(ErrorKind::TooLarge, message))
}

/// `entry 3`, `entries 3 to 7, 9`.
pub(crate) fn entries(ranges: &[[u32; 2]]) -> String {
    const SHOWN: usize = 5;
    let one = |[first, last]: &[u32; 2]| match first == last {
        true => first.to_string(),
        false => format!("{first} to {last}"),
    };
    let shown: Vec<_> = ranges.iter().take(SHOWN).map(one).collect();
    let noun = match ranges {
        [[first, last]] if first == last => "entry",
        _ => "entries",
    };
    let more = match ranges.len() > SHOWN {
        true => format!(" and {} more ranges", ranges.len() - SHOWN),
        false => String::new(),
    };
    format!("{noun} {}{more}", shown.join(", "))
}

#[cfg(test)]
#[path = "governance_tests.rs"]
mod tests;

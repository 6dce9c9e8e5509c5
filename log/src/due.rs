//! What retention policies say is to be erased now.

use std::ops::RangeInclusive;

use quipu_format::{Cause, Erasure, Event, EventId, HoldId, Scope, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::{
    Direction, Governance, LedgerReader, PolicyState, Result, erasure,
    erasure_plan::RANGES_PER_ACT,
    import,
    keeping::{self, DAY_MS},
};

/// What of one scope is due by its policy.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Due {
    /// The scope.
    pub scope: Scope,
    /// By which policy.
    pub policy: PolicyState,
    /// What to erase: for age, and for what has expired behind that. Entries that are erased already may be named again.
    pub erasures: Vec<Erasure>,
    /// What is due and held: stretches of `nth` by hold.
    pub held: Vec<HeldBack>,
    /// Entries that have expired and wait, for the entry before them is not due.
    pub waiting: u64,
    /// The entry that they wait for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<EventId>,
}

/// What a hold keeps from being erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldBack {
    /// The hold.
    pub hold: HoldId,
    /// First and last `nth` of each stretch.
    pub ranges: Vec<[u32; 2]>,
}

impl LedgerReader {
    /// What is due at `now`, scope by scope; scopes of which nothing is due, held or waiting are left out. `progress` is
    /// told how many scopes are done, and of how many.
    pub fn due(&self, now: Timestamp, progress: &mut dyn FnMut(u64, u64)) -> Result<Vec<Due>> {
        let governance = self.governance()?;
        let scopes = self.scopes();
        let mut due = Vec::new();
        for (done, head) in scopes.iter().enumerate() {
            if let Some(policy) = governance.policy_for(&head.scope) {
                due.extend(self.due_of(&governance, &head.scope, policy, now)?);
            }
            progress(done as u64 + 1, scopes.len() as u64);
        }
        Ok(due)
    }

    fn due_of(
        &self,
        governance: &Governance,
        scope: &Scope,
        state: &PolicyState,
        now: Timestamp,
    ) -> Result<Option<Due>> {
        let before = |days: u32| Timestamp::from_ms(now.as_ms().saturating_sub(u64::from(days).saturating_mul(DAY_MS)));
        let policy = &state.policy;
        // Entries of exactly that age are due.
        let number = |days| self.number_at(scope, Timestamp::from_ms(before(days).as_ms() + 1));
        let by_age = policy.erase_after_days.map_or(Ok(0), number)?;
        let mut due = Due {
            scope: scope.clone(),
            policy: state.clone(),
            erasures: Vec::new(),
            held: Vec::new(),
            waiting: 0,
            waiting_for: None,
        };
        let mut expired = by_age;
        if policy.erase_expired {
            let may = policy.keep_days.map_or(Ok(u32::MAX), number)?;
            expired = self.expired(scope, by_age, may, now, &mut due)?;
        }
        for (cause, nths) in [(Cause::Retain, 0..by_age), (Cause::Expiry, by_age..expired)] {
            if nths.is_empty() {
                continue;
            }
            let ranges = self.alive(scope, nths.start..=nths.end - 1);
            self.split(governance, cause, ranges, &mut due)?;
        }
        let nothing = due.erasures.is_empty() && due.held.is_empty() && due.waiting == 0;
        Ok((!nothing).then_some(due))
    }

    /// Entries of the scope that are older than an instant.
    fn number_at(&self, scope: &Scope, ts: Timestamp) -> Result<u32> {
        let page = self.page(scope, self.seq_at(ts)?..u64::MAX, Direction::Forward, 1)?;
        let count = self.scopes_count(scope);
        Ok(page.events.first().map_or(count, |event| event.envelope.nth))
    }

    fn scopes_count(&self, scope: &Scope) -> u32 {
        self.index().scopes.get(scope).map_or(0, |head| head.count)
    }

    /// The end of the stretch from `first` on of which every event has expired, within what may be erased. The host's
    /// own entries have no time, and go with what has expired behind them. What has expired past the end waits.
    fn expired(&self, scope: &Scope, first: u32, may: u32, now: Timestamp, due: &mut Due) -> Result<u32> {
        let Some(mut start) = self.seq_of(scope, first)? else {
            return Ok(first);
        };
        let (mut end, mut stopped) = (first, None);
        loop {
            let page = self.page(scope, start..u64::MAX, Direction::Forward, 1_000)?;
            for event in &page.events {
                let nth = event.envelope.nth;
                start = event.envelope.seq + 1;
                // What is erased, and the host's own, neither stops the prefix nor waits.
                let Some(over) = over(event, now) else { continue };
                match (over, stopped) {
                    (true, None) if nth < may => end = nth + 1,
                    (true, _) => due.waiting += 1,
                    (false, _) => {}
                }
                if !over || nth >= may {
                    stopped.get_or_insert(event.envelope.id);
                }
            }
            if !page.more || page.events.is_empty() {
                break;
            }
        }
        due.waiting_for = stopped.filter(|_| due.waiting > 0);
        Ok(end)
    }

    /// What of a scope's entries in a stretch can still be opened.
    pub(crate) fn alive(&self, scope: &Scope, within: RangeInclusive<u32>) -> Vec<[u32; 2]> {
        let keys = self
            .state
            .keys
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let nodes = keys.trees.get(scope).map_or(&[][..], |tree| tree.nodes());
        let mut alive: Vec<[u32; 2]> = Vec::new();
        for node in nodes {
            let leaves = (u64::from(u32::MAX) + 1) >> node.depth;
            let first = u64::from(node.index) * leaves;
            let last = u32::try_from(first + leaves - 1).unwrap_or(u32::MAX);
            let first = u32::try_from(first).unwrap_or(u32::MAX).max(*within.start());
            let last = last.min(*within.end());
            match alive.last_mut() {
                _ if first > last => {}
                Some([_, before]) if first == before.saturating_add(1) => *before = last,
                _ => alive.push([first, last]),
            }
        }
        alive
    }

    /// The newest of these entries of a scope, if they are erasures all: to erase them alone leaves another one. None: they
    /// are not, or are more than are looked at.
    pub(crate) fn all_erasures(&self, scope: &Scope, ranges: &[[u32; 2]]) -> Result<Option<Erasure>> {
        const LOOKED_AT: u64 = 64;
        let count: u64 = ranges.iter().map(|[first, last]| u64::from(last - first) + 1).sum();
        if count > LOOKED_AT {
            return Ok(None);
        }
        let mut newest = None;
        for nth in ranges.iter().flat_map(|[first, last]| *first..=*last) {
            let envelope = self.seq_of(scope, nth)?.map(|seq| self.envelope(seq)).transpose()?;
            newest = envelope.flatten().and_then(|envelope| erasure::of(&envelope));
            if newest.is_none() {
                break;
            }
        }
        Ok(newest)
    }

    /// Parts what is due into what is held and erasures of the rest. `alive` is what of it can still be opened; what lies
    /// between is named again, which keeps the stretches few.
    fn split(&self, governance: &Governance, cause: Cause, alive: Vec<[u32; 2]>, due: &mut Due) -> Result<()> {
        let (Some(&[first, _]), Some(&[_, last])) = (alive.first(), alive.last()) else {
            return Ok(());
        };
        let erasure = |ranges| Erasure {
            cause,
            ranges,
            request: None,
            scope: due.scope.clone(),
        };
        let (whole, open) = (erasure(vec![[first, last]]), erasure(alive));
        let (mut left, mut free) = (whole.ranges.clone(), open.ranges.clone());
        let mut held = Vec::new();
        for (state, ranges) in governance.holding(&whole) {
            left = without(&left, &ranges);
            free = without(&free, &ranges);
            held.push((state.hold.id.clone(), state.hold.of(&open)));
        }
        // Otherwise each run erased what the run before it said.
        if self.all_erasures(&due.scope, &free)?.is_some() {
            left.clear();
        }
        left.retain(|[first, last]| open.ranges.iter().any(|[from, to]| from <= last && to >= first));
        let erasures: Vec<_> = left
            .chunks(RANGES_PER_ACT)
            .map(|ranges| erasure(ranges.to_vec()))
            .collect();
        due.erasures.extend(erasures);
        for (hold, ranges) in held.into_iter().filter(|(_, ranges)| !ranges.is_empty()) {
            match due.held.iter_mut().find(|back| back.hold == hold) {
                Some(back) => back.ranges.extend(ranges),
                None => due.held.push(HeldBack { hold, ranges }),
            }
        }
        Ok(())
    }

    /// Why an erasure would be refused at `now` if it were an act: a hold, a policy or a request that is not open.
    pub fn refusal(&self, erasure: &Erasure, now: Timestamp) -> Result<Option<crate::Error>> {
        let governance = self.governance()?;
        match governance.check_erasure(erasure) {
            Err(refused) => Ok(Some(refused)),
            Ok(()) => keeping::kept(&governance, self, now, erasure),
        }
    }
}

/// Whether an event's own time is over. None: it has none to have, for it is the host's own, or erased.
fn over(event: &Event, now: Timestamp) -> Option<bool> {
    let body = event.body().filter(|_| !event.envelope.kind.is_reserved())?;
    let payload: Value = serde_json::from_str(body.payload.get()).unwrap_or_default();
    let days = payload
        .get("ttlDays")
        .and_then(Value::as_f64)
        .filter(|days| *days >= 0.0);
    let expires = days.map(|days| {
        // The cast saturates.
        import::event_time(event)
            .as_ms()
            .saturating_add((days * DAY_MS as f64) as u64)
    });
    Some(expires.is_some_and(|expires| expires <= now.as_ms()))
}

/// Stretches, without others that lie within them; both rising.
fn without(ranges: &[[u32; 2]], gone: &[[u32; 2]]) -> Vec<[u32; 2]> {
    let mut left = Vec::new();
    for &[first, last] in ranges {
        let mut next = Some(first);
        for &[from, to] in gone.iter().filter(|[from, to]| *from <= last && *to >= first) {
            if let Some(start) = next.filter(|start| *start < from) {
                left.push([start, from - 1]);
            }
            next = to.checked_add(1);
        }
        left.extend(next.filter(|start| *start <= last).map(|start| [start, last]));
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_cut_out() {
        assert_eq!(
            without(&[[0, 9], [20, 29]], &[[3, 3], [9, 9], [20, 22]]),
            [[0, 2], [4, 8], [23, 29]]
        );
        assert_eq!(without(&[[0, 9]], &[]), [[0, 9]]);
        assert!(without(&[[4, 4], [u32::MAX, u32::MAX]], &[[4, 4], [u32::MAX, u32::MAX]]).is_empty());
    }
}

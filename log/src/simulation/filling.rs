//! Quotas in a world that fails: no entry stands in the log past the number that one of them allowed, and nothing is refused
//! where there is plenty of room. Bytes are held to the last one by the tests of quotas.

use std::collections::BTreeMap;

use quipu_format::{Event, Quota, QuotaChange, Scope, ScopePattern};

use super::{
    model::{Result, ensure},
    world::{self, World},
};
use crate::{Error, ErrorKind, SignedAct};

impl World {
    /// A quota is set or removed.
    pub(super) fn change_quota(&mut self) -> Result {
        let of: ScopePattern = match self.dice.one_in(4) {
            true => "scope:*".parse().unwrap(),
            false => self.dice.pick(&self.scopes).into(),
        };
        let change = match self.dice.one_in(3) {
            true => QuotaChange::Remove(of),
            false => QuotaChange::Set(Quota {
                bytes: self.dice.one_in(4).then(|| 1_000 + self.dice.below(6_000) as u64),
                entries: Some(1 + self.dice.below(6) as u32),
                of,
            }),
        };
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let (reader, signer) = (writer.parts.reader(), world::operator());
        let act = SignedAct::sign(reader.origin(), reader.head(), QuotaChange::MEMBER, &change, &signer);
        let draft = act.and_then(SignedAct::draft).map_err(|e| e.to_string())?;
        let answer = writer.parts.append_all(vec![draft]);
        self.report.commits += 1;
        let Err(error) = answer else { return Ok(()) };
        // Nobody has set that one.
        if error.kind() == ErrorKind::NotFound {
            return Ok(());
        }
        let alive = writer.process.is_alive();
        ensure!(
            !alive || self.disk.state().plan.faults > writer.faults,
            "a quota is refused on a healthy machine: {error}"
        );
        if error.kind() == ErrorKind::Unavailable || !alive {
            self.stop();
        }
        Ok(())
    }

    /// Drafts for these scopes were refused for want of room: one of them must have had too little.
    pub(super) fn check_full(&self, scopes: &[Scope], error: &Error) -> Result {
        let Some(writer) = &self.writer else { return Ok(()) };
        let reader = writer.parts.reader();
        let Ok(governance) = reader.governance() else {
            return Ok(());
        };
        // What was in it then is in it now, and one draft has at most some thousands of bytes.
        let is_full = scopes.iter().any(|scope| {
            let more = scopes.iter().filter(|other| *other == scope).count() as u64;
            let (count, bytes) = reader.scope(scope).map_or((0, 0), |head| (head.count, head.bytes));
            governance.quota_for(scope).is_some_and(|state| {
                let (entries, most) = (state.quota.entries.map(u64::from), state.quota.bytes);
                entries.is_some_and(|entries| u64::from(count) + more > entries)
                    || most.is_some_and(|most| bytes + more * 10_000 > most)
            })
        });
        ensure!(is_full, "there is room, and an append is refused: {error}");
        Ok(())
    }
}

/// Goes through the log, and holds each entry against the quotas that were set before it.
pub(super) fn check(events: &[Event]) -> Result {
    let mut quotas: BTreeMap<ScopePattern, Quota> = BTreeMap::new();
    let mut counts: BTreeMap<&Scope, u32> = BTreeMap::new();
    for event in events {
        let envelope = &event.envelope;
        let count = counts.entry(&envelope.scope).or_default();
        *count += 1;
        if envelope.kind.as_str() == "quipu.quota" {
            let sys = envelope.sys.as_ref().ok_or("a quota without sys")?;
            match QuotaChange::parse(&sys[QuotaChange::MEMBER]).map_err(|e| e.to_string())? {
                QuotaChange::Set(quota) => drop(quotas.insert(quota.of.clone(), quota)),
                QuotaChange::Remove(of) => drop(quotas.remove(&of)),
                _ => {}
            }
        } else if !envelope.kind.is_reserved() {
            let beginning = || quotas.values().find(|quota| quota.of.matches(&envelope.scope));
            let quota = quotas.get(&ScopePattern::from(&envelope.scope)).or_else(beginning);
            let most = quota.and_then(|quota| quota.entries).unwrap_or(u32::MAX);
            ensure!(
                *count <= most,
                "entry {} is number {count} of {}, which may have {most}",
                envelope.seq,
                envelope.scope
            );
        }
    }
    Ok(())
}

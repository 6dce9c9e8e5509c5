//! What may be erased now: nothing that is held, nothing that a policy still keeps.

use std::cmp::Ordering;

use quipu_format::{Act, Envelope, Erasure, Scope, Timestamp};

use crate::{
    Error, ErrorKind, Governance, LedgerReader, Result, index::SharedIndex, operators::Operators, reader::Direction,
};

pub(crate) const DAY_MS: u64 = 86_400_000;

impl LedgerReader {
    /// What operators have ordered so far, for whoever lets something be done because of it.
    ///
    /// # Errors
    /// `NotHere` where one of their entries cannot be read: it may be the one that takes an order back.
    pub fn governance_whole(&self) -> Result<Governance> {
        let operators = Operators::read(self)?;
        operators.whole()?;
        Ok(operators.governance().clone())
    }

    /// What operators have ordered so far, as far as their entries can be read.
    pub fn governance(&self) -> Result<Governance> {
        Ok(Operators::read(self)?.governance().clone())
    }

    /// Position of a scope's entry of that number, by binary search. None: there is none yet.
    pub fn seq_of(&self, scope: &Scope, nth: u32) -> Result<Option<u64>> {
        let (mut low, mut high) = match self.index().scopes.get(scope) {
            Some(head) if nth < head.count => (0, head.last_seq + 1),
            _ => return Ok(None),
        };
        while low < high {
            let middle = low + (high - low) / 2;
            let first = self
                .state
                .index
                .select(scope, middle..high, Direction::Forward, 1)?
                .first()
                .copied();
            let Some(seq) = first else {
                high = middle;
                continue;
            };
            let Some(envelope) = self.envelope(seq)? else { break };
            match envelope.nth.cmp(&nth) {
                Ordering::Equal => return Ok(Some(seq)),
                Ordering::Less => low = seq + 1,
                Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }
}

/// Refuses acts that erase what a policy keeps at `now`. Entries that have no place yet are as young as can be.
pub(crate) fn refuse_young<'a>(
    governance: &Governance,
    reader: &LedgerReader,
    now: Timestamp,
    drafts: impl Iterator<Item = &'a Envelope>,
) -> Result<()> {
    for draft in drafts.filter(|draft| draft.kind.as_str() == Erasure::KIND) {
        let Some(act) = Act::of(draft)? else { continue };
        let erasure = Erasure::parse(&act.value)?;
        if let Some(kept) = kept(governance, reader, now, &erasure)? {
            return Err(kept);
        }
    }
    Ok(())
}

/// Why a policy forbids an erasure at `now`, if one does.
pub(crate) fn kept(
    governance: &Governance,
    reader: &LedgerReader,
    now: Timestamp,
    erasure: &Erasure,
) -> Result<Option<Error>> {
    let Some(state) = governance.policy_for(&erasure.scope) else {
        return Ok(None);
    };
    let (Some(days), Some([_, newest])) = (state.policy.keep_days, erasure.ranges.last()) else {
        return Ok(None);
    };
    // Times rise with positions: the newest entry is the youngest.
    let written = match reader.seq_of(&erasure.scope, *newest)? {
        Some(seq) => reader.envelope(seq)?.map_or(now, |envelope| envelope.ts),
        None => now,
    };
    let until = Timestamp::from_ms(written.as_ms().saturating_add(u64::from(days) * DAY_MS));
    if until <= now {
        return Ok(None);
    }
    let message = format!(
        "the retention policy for {} keeps entries for at least {days} day{}: entry {newest} of {} is of {written} and may \
         be erased from {until} on. Nothing was erased",
        state.policy.of,
        if days == 1 { "" } else { "s" },
        erasure.scope
    );
    Ok(Some(Error::new(ErrorKind::Held, message)))
}

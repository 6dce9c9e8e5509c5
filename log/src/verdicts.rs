//! What became of content that does not open: erased with authority, erased as the host claims, or gone without a word;
//! and of content that should be gone and is not. docs/FORMAT.md, "Verdicts".

use std::collections::BTreeMap;

use quipu_format::{Actor, Cause, Envelope, Erasure, EventId, Scope, Timestamp};
use serde::Serialize;

use crate::{Fault, authority::Basis, erasure, keyfile::Keys};

/// An erasure that is in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Erased {
    /// Name of its entry.
    pub id: EventId,
    /// Position of its entry.
    pub seq: u64,
    /// When the host took it.
    pub ts: Timestamp,
    /// Who signed it; none: nobody that counts, and the host claims it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<Actor>,
    /// Why it does not count, although the ledger had an operator who could have signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What is erased, and why.
    #[serde(flatten)]
    pub erasure: Erasure,
}

/// Why a ledger does not verify although every line is as it was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Verdict {
    /// An erasure covers it, and it opens all the same.
    ErasureNotCarriedOut,
    /// An erasure is in the log that nobody signed who could; whether it opens is another matter.
    ErasureWithoutAuthority,
    /// Its secret is gone, and no erasure says so.
    Tampered,
}

/// Entries of one scope with one bad verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The verdict.
    pub verdict: Verdict,
    /// The scope.
    pub scope: Scope,
    /// First and last `nth`.
    pub nths: [u32; 2],
    /// What is wrong, and where the first of them is, or the erasure.
    #[serde(flatten)]
    pub fault: Fault,
}

/// How many entries have which verdict, and what is wrong.
#[derive(Debug, Default)]
pub(crate) struct Conclusion {
    pub(crate) with_authority: u64,
    pub(crate) claimed: u64,
    pub(crate) not_carried_out: u64,
    pub(crate) findings: Vec<Finding>,
}

/// What has been met on a walk over all entries.
#[derive(Default)]
pub(crate) struct Verdicts {
    scopes: BTreeMap<Scope, Met>,
}

#[derive(Default)]
struct Met {
    /// Stretches of entries whose secrets are gone, and where each begins.
    gone: Vec<([u32; 2], Fault)>,
    erased: Vec<Stands>,
}

/// An erasure, by what it stands, and what is to be said if that is not good.
struct Stands {
    erased: Erased,
    basis: Basis,
    fault: Fault,
}

impl Stands {
    /// Whether what it names may be gone.
    fn counts(&self) -> bool {
        !matches!(self.basis, Basis::None(_))
    }
}

impl Verdicts {
    /// An entry whose secret is gone. `place` makes a fault of where it stands and what is said.
    pub(crate) fn gone(&mut self, scope: &Scope, nth: u32, place: impl FnOnce(&str) -> Fault) {
        if !self.scopes.contains_key(scope) {
            self.scopes.insert(scope.clone(), Met::default());
        }
        let Some(met) = self.scopes.get_mut(scope) else { return };
        match met.gone.last_mut() {
            Some(([_, last], _)) if last.checked_add(1) == Some(nth) => *last = nth,
            _ => met
                .gone
                .push(([nth, nth], place("its secret is gone, and no erasure says so"))),
        }
    }

    /// An entry that may be an erasure, and what it stands by.
    pub(crate) fn take(&mut self, envelope: &Envelope, basis: Basis, place: impl FnOnce(&str) -> Fault) {
        let Some(erasure) = erasure::of(envelope) else { return };
        let fault = place(&match &basis {
            Basis::Operator | Basis::Unknown => {
                "what this erases still opens: opening the ledger for writing carries it out".to_owned()
            }
            Basis::Host => "this erasure has no operator's signature, and what it names still opens".to_owned(),
            Basis::None(why) => format!("this erasure is without authority: {why}"),
        });
        let erased = Erased {
            id: envelope.id,
            seq: envelope.seq,
            ts: envelope.ts,
            operator: (basis == Basis::Operator).then(|| envelope.actor.clone()),
            refused: match &basis {
                Basis::None(why) => Some(why.clone()),
                _ => None,
            },
            erasure,
        };
        let met = self.scopes.entry(envelope.scope.clone()).or_default();
        met.erased.push(Stands { erased, basis, fault });
    }

    /// Why a body that does not open may be as it was: a key file of before its scope was forgotten and got other keys.
    pub(crate) fn older_keys(&self, scope: &Scope, keys: Option<&Keys>) -> Option<String> {
        let applied = keys?.applied;
        let forgotten = self.scopes.get(scope)?.erased.iter().rev();
        let mut forgotten =
            forgotten.filter(|stands| stands.counts() && stands.erased.erasure.cause == Cause::ForgetScope);
        let found = forgotten.find(|stands| stands.erased.seq >= applied)?;
        Some(format!(
            "the key file is older than the erasure at entry {}, with which the scope got other keys: put back the newest",
            found.erased.seq
        ))
    }

    /// All erasures, in the order of the log.
    pub(crate) fn erased(&self) -> Vec<Erased> {
        let all = self.scopes.values().flat_map(|met| &met.erased);
        let mut all: Vec<_> = all.map(|stands| stands.erased.clone()).collect();
        all.sort_unstable_by_key(|erased| erased.seq);
        all
    }

    /// Decides. Without keys nothing is known of what opens, and something of what was signed.
    pub(crate) fn conclude(&self, keys: Option<&Keys>) -> Conclusion {
        let mut conclusion = Conclusion::default();
        for (scope, met) in &self.scopes {
            met.conclude(scope, keys, &mut conclusion);
        }
        conclusion.findings.sort_by_key(|finding| finding.fault.seq);
        conclusion
    }
}

impl Met {
    fn conclude(&self, scope: &Scope, keys: Option<&Keys>, conclusion: &mut Conclusion) {
        let ranges = |counts: &dyn Fn(&Stands) -> bool| {
            let counting = self.erased.iter().filter(|stands| counts(stands));
            Erasure::join(counting.flat_map(|stands| stands.erased.erasure.ranges.iter().copied()))
        };
        let named = ranges(&|_| true);
        let (covered, signed) = (
            ranges(&Stands::counts),
            ranges(&|stands| stands.basis == Basis::Operator),
        );
        for (gone, fault) in &self.gone {
            let (all, by_operators) = (common(&covered, *gone), common(&signed, *gone));
            conclusion.with_authority += count(&by_operators);
            conclusion.claimed += count(&all) - count(&by_operators);
            // What only an erasure without authority names is told with that.
            let uncovered = outside(&named, *gone);
            conclusion.findings.extend(uncovered.into_iter().map(|nths| Finding {
                verdict: Verdict::Tampered,
                scope: scope.clone(),
                nths,
                fault: fault.clone(),
            }));
        }
        let tree = keys.and_then(|keys| keys.trees.get(scope));
        let mut unfinished: Vec<[u32; 2]> = Vec::new();
        for Stands { erased, basis, fault } in &self.erased {
            let ranges = &erased.erasure.ranges;
            let within = |range: &[u32; 2]| tree.map_or(Vec::new(), |tree| tree.held_within(*range));
            let opening = || ranges.iter().flat_map(within).collect::<Vec<_>>();
            let (verdict, nths) = match basis {
                Basis::Operator | Basis::Unknown => {
                    let mut opening = opening();
                    opening.retain(|nths| !unfinished.contains(nths));
                    unfinished.extend(&opening);
                    (Verdict::ErasureNotCarriedOut, opening)
                }
                Basis::Host => (Verdict::ErasureWithoutAuthority, opening()),
                Basis::None(_) => (Verdict::ErasureWithoutAuthority, ranges.clone()),
            };
            conclusion.findings.extend(nths.into_iter().map(|nths| Finding {
                verdict,
                scope: scope.clone(),
                nths,
                fault: fault.clone(),
            }));
        }
        conclusion.not_carried_out += count(&Erasure::join(unfinished));
    }
}

fn count(ranges: &[[u32; 2]]) -> u64 {
    ranges.iter().map(|[first, last]| u64::from(last - first) + 1).sum()
}

/// What ranges that rise and are apart have in common with one.
fn common(ranges: &[[u32; 2]], [first, last]: [u32; 2]) -> Vec<[u32; 2]> {
    let touching = ranges.iter().filter(|range| range[0] <= last && first <= range[1]);
    touching
        .map(|range| [range[0].max(first), range[1].min(last)])
        .collect()
}

/// What of one is outside of ranges that rise and are apart.
fn outside(ranges: &[[u32; 2]], [first, last]: [u32; 2]) -> Vec<[u32; 2]> {
    let mut outside = Vec::new();
    let mut next = Some(first);
    for range in common(ranges, [first, last]) {
        if let Some(next) = next.filter(|next| *next < range[0]) {
            outside.push([next, range[0] - 1]);
        }
        next = range[1].checked_add(1);
    }
    if let Some(next) = next.filter(|next| *next <= last) {
        outside.push([next, last]);
    }
    outside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_parted() {
        let ranges = [[2, 3], [6, 9], [12, u32::MAX]];
        assert_eq!(outside(&ranges, [0, 13]), [[0, 1], [4, 5], [10, 11]]);
        assert_eq!(common(&ranges, [3, 12]), [[3, 3], [6, 9], [12, 12]]);
        assert_eq!(outside(&ranges, [2, 3]), [[0_u32; 2]; 0]);
        assert_eq!(outside(&[], [4, 4]), [[4, 4]]);
        assert_eq!(outside(&ranges, [u32::MAX, u32::MAX]), [[0_u32; 2]; 0]);
    }
}

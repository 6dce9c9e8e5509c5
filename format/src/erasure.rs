use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, RequestId, Result, Scope};

/// What a `quipu.erase` entry says: the secrets of which entries of a scope are destroyed. It stands in that scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erasure {
    /// Why it came about.
    pub cause: Cause,
    /// First and last `nth` of each stretch, rising, without a gap of nothing between two; all before the entry itself.
    pub ranges: Vec<[u32; 2]>,
    /// The request that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestId>,
    /// The scope.
    pub scope: Scope,
}

/// Why an erasure came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Cause {
    /// An operator named entries.
    Redact,
    /// An operator erased all of a scope that was older than a time.
    Retain,
    /// An operator erased all of a scope: what comes after has secrets under another root.
    ForgetScope,
    /// The entries' time was over, and an operator's policy said that they be erased then.
    Expiry,
}

impl Erasure {
    /// Name of the member of `sys`.
    pub const MEMBER: &str = "erase";
    /// Kind of the entry.
    pub const KIND: &str = "quipu.erase";

    /// Checks what does not depend on the log: at least one range, each in order, none touching the next, and of
    /// another scope than the ledger's own.
    pub fn check(&self) -> Result<()> {
        if self.scope == Scope::ledger() {
            return Err(Error::new("the scope quipu:ledger is never erased"));
        }
        check_ranges(&self.ranges)
    }

    /// Reads the member, and checks it.
    pub fn parse(value: &Value) -> Result<Self> {
        let erasure = Self::deserialize(value).map_err(|e| Error::new(format!("this is no erasure: {e}")))?;
        erasure.check()?;
        Ok(erasure)
    }

    /// Whether it covers that entry of its scope.
    pub fn covers(&self, nth: u32) -> bool {
        let at = self.ranges.partition_point(|[_, last]| *last < nth);
        self.ranges.get(at).is_some_and(|[first, _]| *first <= nth)
    }

    /// Entries that it covers.
    pub fn count(&self) -> u64 {
        self.ranges
            .iter()
            .map(|[first, last]| u64::from(last - first) + 1)
            .sum()
    }

    /// Joins pairs of first and last `nth`, in any order, into ranges as an erasure has them.
    pub fn join(pairs: impl IntoIterator<Item = [u32; 2]>) -> Vec<[u32; 2]> {
        let mut pairs: Vec<_> = pairs.into_iter().collect();
        pairs.sort_unstable();
        let mut ranges: Vec<[u32; 2]> = Vec::new();
        for [first, last] in pairs {
            match ranges.last_mut() {
                Some([_, before]) if first <= before.saturating_add(1) => *before = last.max(*before),
                _ => ranges.push([first, last]),
            }
        }
        ranges
    }
}

/// Checks that stretches of `nth` are in order, none touching the next, and that there is one.
pub(crate) fn check_ranges(ranges: &[[u32; 2]]) -> Result<()> {
    let apart = |pair: &[[u32; 2]]| matches!(pair, [a, b] if a[1] < b[0] && b[0] - a[1] > 1);
    let ordered = ranges.iter().all(|[first, last]| first <= last);
    if ranges.is_empty() || !ordered || !ranges.windows(2).all(apart) {
        return Err(Error::new(
            "ranges are pairs of first and last nth, rising, at least one, and none touches the next",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn erasure(ranges: &[[u32; 2]]) -> Erasure {
        Erasure {
            cause: Cause::Redact,
            ranges: ranges.to_vec(),
            request: None,
            scope: Scope::new("a").unwrap(),
        }
    }

    #[test]
    fn members_are_sorted_and_an_absent_request_is_left_out() {
        let mut erasure = erasure(&[[0, 4]]);
        let text = r#"{"cause":"redact","ranges":[[0,4]],"scope":"a"}"#;
        assert_eq!(serde_json::to_string(&erasure).unwrap(), text);
        erasure.request = Some(RequestId::new("r-1").unwrap());
        let text = r#"{"cause":"redact","ranges":[[0,4]],"request":"r-1","scope":"a"}"#;
        assert_eq!(serde_json::to_string(&erasure).unwrap(), text);
    }

    #[test]
    fn ranges_that_are_none_are_refused() {
        for good in [
            &[[0, 0]][..],
            &[[0, 4], [6, 6]],
            &[[0, u32::MAX]],
            &[[u32::MAX, u32::MAX]],
        ] {
            erasure(good).check().unwrap();
        }
        for bad in [
            &[][..],
            &[[4, 3]],
            &[[0, 4], [5, 6]],
            &[[0, 4], [4, 6]],
            &[[6, 7], [0, 1]],
        ] {
            assert!(erasure(bad).check().is_err(), "{bad:?}");
        }
        let mut ledger = erasure(&[[0, 0]]);
        ledger.scope = Scope::ledger();
        assert!(ledger.check().is_err());
    }

    #[test]
    fn pairs_join_into_ranges() {
        let one = |nth| [nth, nth];
        assert_eq!(
            Erasure::join([7, 1, 2, 3, 3, 9, u32::MAX, 8].map(one)),
            [[1, 3], [7, 9], [u32::MAX, u32::MAX]]
        );
        assert!(Erasure::join([]).is_empty());
        let erasure = erasure(&Erasure::join([[2, 3], [1, 3], [7, 7]]));
        assert_eq!(
            (0..9).filter(|&nth| erasure.covers(nth)).collect::<Vec<_>>(),
            [1, 2, 3, 7]
        );
        assert_eq!(erasure.count(), 4);
    }
}

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Erasure, Error, HoldId, Result, Scope, erasure::check_ranges};

/// What a `quipu.hold` entry says: nothing of this is erased until the hold is released. It stands in `quipu:ledger`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// Its name, used once.
    pub id: HoldId,
    /// What is held: each scope once, at least one.
    pub over: Vec<Held>,
}

/// What a hold holds of one scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// First and last `nth` of each stretch, as an [`Erasure`] has them; absent: all of the scope, and what is still to
    /// come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranges: Option<Vec<[u32; 2]>>,
    /// The scope.
    pub scope: Scope,
}

impl Hold {
    /// Name of the member of `sys`.
    pub const MEMBER: &str = "hold";

    /// Reads the member, and checks what does not depend on the log.
    pub fn parse(value: &Value) -> Result<Self> {
        let hold = Self::deserialize(value).map_err(|e| Error::new(format!("this is no hold: {e}")))?;
        let mut scopes: Vec<_> = hold.over.iter().map(|held| &held.scope).collect();
        scopes.sort_unstable();
        if scopes.is_empty() || scopes.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Error::new("a hold names at least one scope, and each once"));
        }
        if scopes.contains(&&Scope::ledger()) {
            return Err(Error::new("the scope quipu:ledger is never erased, and needs no hold"));
        }
        hold.over
            .iter()
            .filter_map(|held| held.ranges.as_deref())
            .try_for_each(check_ranges)?;
        Ok(hold)
    }

    /// What of an erasure it holds: stretches of `nth`, rising.
    pub fn of(&self, erasure: &Erasure) -> Vec<[u32; 2]> {
        match self.over.iter().find(|held| held.scope == erasure.scope) {
            None => Vec::new(),
            Some(Held { ranges: None, .. }) => erasure.ranges.clone(),
            Some(Held { ranges: Some(held), .. }) => common(held, &erasure.ranges),
        }
    }
}

/// What two lists of stretches, each rising, have in common.
fn common(a: &[[u32; 2]], b: &[[u32; 2]]) -> Vec<[u32; 2]> {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut common = Vec::new();
    while let (Some([a_first, a_last]), Some([b_first, b_last])) = (a.peek(), b.peek()) {
        let (first, last) = (a_first.max(b_first), a_last.min(b_last));
        if first <= last {
            common.push([*first, *last]);
        }
        if a_last <= b_last {
            a.next()
        } else {
            b.next()
        };
    }
    common
}

/// What a `quipu.release` entry says: a hold is over. It stands in `quipu:ledger`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The hold.
    pub hold: HoldId,
}

impl Release {
    /// Name of the member of `sys`.
    pub const MEMBER: &str = "release";

    /// Reads the member.
    pub fn parse(value: &Value) -> Result<Self> {
        Self::deserialize(value).map_err(|e| Error::new(format!("this is no release of a hold: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::Cause;

    use super::*;

    fn erasure(scope: &str, ranges: &[[u32; 2]]) -> Erasure {
        Erasure {
            cause: Cause::Redact,
            ranges: ranges.to_vec(),
            request: None,
            scope: Scope::new(scope).unwrap(),
        }
    }

    #[test]
    fn a_hold_meets_what_it_has_in_common_with_an_erasure() {
        let hold = json!({"id": "h-1", "over": [{"scope": "a"}, {"scope": "b", "ranges": [[3, 5], [9, 9], [20, 30]]}]});
        let hold = Hold::parse(&hold).unwrap();
        assert_eq!(hold.of(&erasure("a", &[[0, 1], [7, 7]])), [[0, 1], [7, 7]]);
        assert_eq!(
            hold.of(&erasure("b", &[[0, 3], [5, 22], [24, 40]])),
            [[3, 3], [5, 5], [9, 9], [20, 22], [24, 30]]
        );
        assert!(hold.of(&erasure("b", &[[0, 2], [6, 8], [31, u32::MAX]])).is_empty());
        assert!(hold.of(&erasure("c", &[[0, 9]])).is_empty());
    }

    #[test]
    fn what_is_no_hold_is_refused() {
        for bad in [
            json!({"id": "h-1", "over": []}),
            json!({"id": "h-1", "over": [{"scope": "a"}, {"scope": "a", "ranges": [[0, 1]]}]}),
            json!({"id": "h-1", "over": [{"scope": "a", "ranges": []}]}),
            json!({"id": "h-1", "over": [{"scope": "a", "ranges": [[1, 0]]}]}),
            json!({"id": "h-1", "over": [{"scope": "quipu:ledger"}]}),
            json!({"id": "jana@example.org", "over": [{"scope": "a"}]}),
            json!({"id": "h-1", "over": [{"scope": "a"}], "reason": "free text"}),
        ] {
            assert!(Hold::parse(&bad).is_err(), "{bad}");
        }
    }
}

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Result, ScopePattern, limits};

/// What a `quipu.quota` entry does to the quotas: the member `quota` of `sys`. It stands in `quipu:ledger`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub enum QuotaChange {
    /// From now on this holds for these scopes, in place of what held for the same ones before.
    Set(Quota),
    /// From now on no quota is for exactly these scopes.
    Remove(ScopePattern),
}

/// How much a scope may hold before appends to it are refused. Of a beginning of scopes it holds for each scope that begins
/// so, and not for their sum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Quota {
    /// Bytes of its entries, as [`counted_bytes`](crate::counted_bytes) counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Entries, erased ones and those of the host among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<u32>,
    /// Which scopes.
    pub of: ScopePattern,
}

impl QuotaChange {
    /// Name of the member of `sys`.
    pub const MEMBER: &str = "quota";

    /// Reads the member, and checks it.
    pub fn parse(value: &Value) -> Result<Self> {
        let change = Self::deserialize(value).map_err(|e| Error::new(format!("this is no quota: {e}")))?;
        if let Self::Set(quota) = &change {
            quota.check()?;
        }
        Ok(change)
    }
}

impl Quota {
    /// Checks that it says something, and allows something.
    pub fn check(&self) -> Result<()> {
        if self.entries.is_none() && self.bytes.is_none() {
            return Err(Error::new(
                "a quota says how many entries a scope may hold, how many bytes, or both",
            ));
        }
        if self.entries == Some(0) {
            return Err(Error::new("a quota of entries allows at least one"));
        }
        let allowed = 1..=limits::QUOTA_BYTES;
        if self.bytes.is_some_and(|bytes| !allowed.contains(&bytes)) {
            let most = allowed.end();
            return Err(Error::new(format!("a quota of bytes allows 1 to {most}")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn set(quota: Value) -> Result<QuotaChange> {
        QuotaChange::parse(&json!({"set": quota}))
    }

    #[test]
    fn a_quota_that_says_nothing_or_allows_nothing_is_refused() {
        let Ok(QuotaChange::Set(quota)) = set(json!({"of": "customer:*", "entries": 7, "bytes": 4096})) else {
            panic!()
        };
        assert_eq!(
            serde_json::to_string(&quota).unwrap(),
            r#"{"bytes":4096,"entries":7,"of":"customer:*"}"#
        );
        let most = limits::QUOTA_BYTES;
        assert!(set(json!({"of": "a", "bytes": most})).is_ok());
        assert!(set(json!({"of": "a", "entries": u32::MAX})).is_ok());
        for bad in [
            json!({"of": "a"}),
            json!({"of": "a", "entries": 0}),
            json!({"of": "a", "bytes": 0}),
            json!({"of": "a", "entries": 0, "bytes": 1}),
            json!({"of": "a", "bytes": most + 1}),
            json!({"of": "a", "entries": u64::from(u32::MAX) + 1}),
            json!({"of": "a", "entries": -1}),
            json!({"of": "a", "entries": 1.5}),
            json!({"of": "quipu:ledger", "entries": 1}),
            json!({"entries": 1}),
            json!({"of": "a", "entries": 1, "reason": "free text"}),
        ] {
            assert!(set(bad.clone()).is_err(), "{bad}");
        }
        for bad in [
            json!({"remove": "quipu:*"}),
            json!({"unset": "a"}),
            json!("a"),
            json!(null),
        ] {
            assert!(QuotaChange::parse(&bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            entries in proptest::option::of(1..=u32::MAX),
            bytes in proptest::option::of(1..=limits::QUOTA_BYTES),
            of in "[a-z][a-z:-]{0,20}\\*?",
        ) {
            let quota = Quota { bytes, entries, of: of.parse().unwrap() };
            let change = QuotaChange::Set(quota);
            let read = QuotaChange::parse(&serde_json::to_value(&change).unwrap());
            match entries.is_some() || bytes.is_some() {
                true => prop_assert_eq!(read.unwrap(), change),
                false => prop_assert!(read.is_err()),
            }
            let remove = QuotaChange::Remove(of.parse().unwrap());
            prop_assert_eq!(QuotaChange::parse(&serde_json::to_value(&remove).unwrap()).unwrap(), remove);
        }
    }
}

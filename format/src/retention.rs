use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Result, ScopePattern, limits};

/// What a `quipu.retention` entry does to the policies: the member `retention` of `sys`. It stands in `quipu:ledger`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub enum RetentionChange {
    /// From now on this holds for these scopes, in place of what held for the same ones before.
    Set(Policy),
    /// From now on no policy is for exactly these scopes.
    Remove(ScopePattern),
}

/// How long the entries of some scopes are kept, at least and at most. Ages are by the entries' `ts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// Days after which entries are due to be erased, prefix by prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erase_after_days: Option<u32>,
    /// Entries whose own time (`ttlDays`) is over are due to be erased too, where all entries before them are due.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub erase_expired: bool,
    /// Days for which entries are kept whatever happens: erasing a younger one is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<u32>,
    /// Which scopes.
    pub of: ScopePattern,
}

impl RetentionChange {
    /// Name of the member of `sys`.
    pub const MEMBER: &str = "retention";

    /// Reads the member, and checks it.
    pub fn parse(value: &Value) -> Result<Self> {
        let change = Self::deserialize(value).map_err(|e| Error::new(format!("this is no retention policy: {e}")))?;
        if let Self::Set(policy) = &change {
            policy.check()?;
        }
        Ok(change)
    }
}

impl Policy {
    /// Checks that it says something, and nothing that contradicts itself.
    pub fn check(&self) -> Result<()> {
        if self.keep_days.is_none() && self.erase_after_days.is_none() && !self.erase_expired {
            return Err(Error::new(
                "a retention policy says how long to keep at least, after how long to erase, or to erase what expired",
            ));
        }
        let days = [self.keep_days, self.erase_after_days];
        if days.iter().flatten().any(|days| *days > limits::RETENTION_DAYS) {
            return Err(Error::new(format!(
                "a retention policy counts at most {} days",
                limits::RETENTION_DAYS
            )));
        }
        match (self.keep_days, self.erase_after_days) {
            (Some(keep), Some(erase)) if erase < keep => Err(Error::new(format!(
                "erasing after {erase} days contradicts keeping for at least {keep} days"
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_policy_that_says_nothing_or_contradicts_itself_is_refused() {
        let set = |policy: Value| RetentionChange::parse(&json!({"set": policy}));
        let good = json!({"of": "customer:*", "keepDays": 30, "eraseAfterDays": 30, "eraseExpired": true});
        let Ok(RetentionChange::Set(policy)) = set(good) else {
            panic!()
        };
        assert_eq!(
            serde_json::to_string(&policy).unwrap(),
            r#"{"eraseAfterDays":30,"eraseExpired":true,"keepDays":30,"of":"customer:*"}"#
        );
        let most = limits::RETENTION_DAYS;
        assert!(set(json!({"of": "a", "keepDays": most})).is_ok());
        for bad in [
            json!({"of": "a"}),
            json!({"of": "a", "eraseExpired": false}),
            json!({"of": "a", "keepDays": 31, "eraseAfterDays": 30}),
            json!({"of": "a", "keepDays": most + 1}),
            json!({"of": "a", "eraseAfterDays": most + 1}),
            json!({"of": "a", "keepDays": 1, "basis": "free text"}),
        ] {
            assert!(set(bad.clone()).is_err(), "{bad}");
        }
    }
}

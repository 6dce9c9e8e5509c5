use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::{Error, Result, Scope, limits, text};

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

/// One scope, `customer:acme-inc`, or all that begin alike, `customer:*`; `*` alone is all.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopePattern {
    /// The scope or its beginning.
    start: String,
    /// All that begin like that.
    open: bool,
}

impl ScopePattern {
    /// Whether the scope is one of these. The ledger's own scopes never are.
    pub fn matches(&self, scope: &Scope) -> bool {
        !scope.is_reserved()
            && match self.open {
                true => scope.as_str().starts_with(&self.start),
                false => scope.as_str() == self.start,
            }
    }

    /// Whether every scope that the other one matches is one of these.
    pub fn covers(&self, other: &Self) -> bool {
        match self.open {
            true => other.start.starts_with(&self.start),
            false => self == other,
        }
    }

    /// Whether it is a beginning, and no scope.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// The scope that it is, if it is one and no beginning.
    pub fn scope(&self) -> Option<Scope> {
        (!self.open).then(|| Scope::new(&self.start).ok()).flatten()
    }

    /// How closely it describes a scope that it matches: of several policies the closest holds, alone.
    pub fn closeness(&self) -> (bool, usize) {
        (!self.open, self.start.len())
    }
}

/// That scope alone.
impl From<&Scope> for ScopePattern {
    fn from(scope: &Scope) -> Self {
        Self {
            start: scope.to_string(),
            open: false,
        }
    }
}

impl FromStr for ScopePattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let open = text.ends_with('*');
        let start = text.strip_suffix('*').unwrap_or(text);
        if !(open && start.is_empty()) && Scope::new(start)?.is_reserved() {
            return Err(Error::new(
                "scopes that begin with quipu: are the ledger's own, and no pattern names them",
            ));
        }
        Ok(Self {
            start: start.to_owned(),
            open,
        })
    }
}

impl fmt::Display for ScopePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.start, if self.open { "*" } else { "" })
    }
}

impl fmt::Debug for ScopePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ScopePattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ScopePattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        text::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pattern_is_a_scope_or_a_beginning() {
        let matches = |pattern: &str, scope: &str| {
            let pattern: ScopePattern = pattern.parse().unwrap();
            pattern.matches(&Scope::new(scope).unwrap())
        };
        assert!(matches("customer:acme", "customer:acme") && !matches("customer:acme", "customer:acme-inc"));
        assert!(matches("customer:*", "customer:acme") && !matches("customer:*", "team:support"));
        assert!(matches("*", "team:support") && !matches("*", "quipu:ledger"));
        for bad in ["", "a**", "*a", "quipu:*", "quipu:ledger", "jana@example.org"] {
            assert!(bad.parse::<ScopePattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pattern_covers_what_begins_alike() {
        let covers = |one: &str, other: &str| {
            let [one, other]: [ScopePattern; 2] = [one, other].map(|text| text.parse().unwrap());
            one.covers(&other)
        };
        for (one, other) in [
            ("*", "*"),
            ("*", "a"),
            ("a:*", "a:b"),
            ("a:*", "a:b*"),
            ("a:*", "a:*"),
            ("a", "a"),
        ] {
            assert!(covers(one, other), "{one} {other}");
        }
        for (one, other) in [("a", "a*"), ("a:b*", "a:*"), ("a:*", "*"), ("a:*", "a"), ("a", "ab")] {
            assert!(!covers(one, other), "{one} {other}");
        }
    }

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

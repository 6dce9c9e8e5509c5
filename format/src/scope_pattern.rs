use std::{
    collections::BTreeMap,
    fmt,
    ops::Bound::{Excluded, Included, Unbounded},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, Result, Scope, text};

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

    /// What is kept for a scope: under its own name, otherwise under the longest beginning of it. Few patterns are looked at,
    /// however many there are.
    pub fn closest<'a, T>(patterns: &'a BTreeMap<Self, T>, scope: &Scope) -> Option<&'a T> {
        if patterns.is_empty() {
            return None;
        }
        let start = scope.to_string();
        let mut before = Included(Self { start, open: true });
        if let Some(found) = patterns.get(&Self::from(scope)) {
            return Some(found);
        }
        // Beginnings of the scope stand before it, the longer behind the shorter. Where the last pattern is none, no beginning is
        // longer than what that has in common with the scope.
        loop {
            let (pattern, found) = patterns.range((Unbounded, before)).next_back()?;
            if pattern.matches(scope) {
                return Some(found);
            }
            let pairs = pattern.start.bytes().zip(scope.as_str().bytes());
            let common = pairs.take_while(|(one, other)| one == other).count();
            before = match scope.as_str().get(..common) {
                Some(start) if common < pattern.start.len() => Included(Self {
                    start: start.to_owned(),
                    open: true,
                }),
                _ => Excluded(pattern.clone()),
            };
        }
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
    use proptest::prelude::*;

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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// All of them are looked at here.
        #[test]
        fn of_many_patterns_the_closest_is_found(
            patterns in proptest::collection::btree_set("[ab:]{0,4}\\*?", 0..12),
            scope in "[abc:]{1,5}",
        ) {
            let patterns: Vec<ScopePattern> = patterns.iter().filter_map(|text| text.parse().ok()).collect();
            let Ok(scope) = Scope::new(&scope) else { return Ok(()) };
            let matching = patterns.iter().filter(|pattern| pattern.matches(&scope));
            let expected = matching.max_by_key(|pattern| (!pattern.open, pattern.start.len()));
            let map: BTreeMap<_, _> = patterns.iter().map(|pattern| (pattern.clone(), pattern)).collect();
            prop_assert_eq!(ScopePattern::closest(&map, &scope).copied(), expected);
        }
    }
}

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Hash, ProjectionName, Result, ScopePattern, limits};

/// What a `quipu.projection` entry says of projection components: the member `projection` of `sys`. It stands in
/// `quipu:ledger`, so that whoever reads the log knows what was derived from it, by which code, and from which scopes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub enum ProjectionChange {
    /// From now on this component goes by this name, in place of the one that did before.
    Add(ProjectionSetting),
    /// From now on nothing goes by this name.
    Remove(ProjectionName),
}

/// A projection component, and what it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectionSetting {
    /// SHA-256 of the component's bytes, in hexadecimal digits.
    #[serde(with = "hex")]
    pub component: Hash,
    /// Its name.
    pub name: ProjectionName,
    /// The scopes whose events it is fed, at most 64 patterns. None: all but the ledger's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<ScopePattern>,
}

impl ProjectionChange {
    /// The kind of the entries.
    pub const KIND: &str = "quipu.projection";
    /// Name of the member of `sys`.
    pub const MEMBER: &str = "projection";

    /// Reads the member, and checks it.
    pub fn parse(value: &Value) -> Result<Self> {
        let change = Self::deserialize(value)
            .map_err(|e| Error::new(format!("this says nothing of a projection component: {e}")))?;
        match &change {
            Self::Add(setting) if setting.scopes.len() > limits::PROJECTION_SCOPES => Err(Error::new(format!(
                "a projection names at most {} patterns of scopes",
                limits::PROJECTION_SCOPES
            ))),
            _ => Ok(change),
        }
    }

    /// Whose change it is.
    pub fn name(&self) -> &ProjectionName {
        match self {
            Self::Add(setting) => &setting.name,
            Self::Remove(name) => name,
        }
    }
}

pub(crate) mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::Hash;

    pub(crate) fn serialize<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hash.to_hex())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        let text = String::deserialize(deserializer)?;
        Hash::from_hex(&text).ok_or_else(|| D::Error::custom("a digest has 64 hexadecimal digits in lower case"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_reads_as_it_was_written() {
        let hex = "00ff".repeat(16);
        let add = json!({"add": {"component": hex, "name": "decisions", "scopes": ["customer:*", "team:support"]}});
        let Ok(ProjectionChange::Add(setting)) = ProjectionChange::parse(&add) else {
            panic!()
        };
        assert_eq!(
            (setting.component.0[..2].to_vec(), setting.component.to_hex()),
            (vec![0, 255], hex)
        );
        assert_eq!(serde_json::to_value(ProjectionChange::Add(setting)).unwrap(), add);
        let remove = json!({"remove": "decisions"});
        let change = ProjectionChange::parse(&remove).unwrap();
        assert_eq!(
            (change.name().as_str(), serde_json::to_value(&change).unwrap()),
            ("decisions", remove)
        );
    }

    #[test]
    fn what_is_malformed_is_refused() {
        let add = |component: &str, scopes: usize| {
            let scopes = vec!["a"; scopes];
            ProjectionChange::parse(&json!({"add": {"component": component, "name": "n", "scopes": scopes}}))
        };
        let good = "0a".repeat(32);
        assert!(add(&good, limits::PROJECTION_SCOPES).is_ok());
        assert!(add(&good, limits::PROJECTION_SCOPES + 1).is_err());
        for bad in [
            "",
            &good[1..],
            &good[2..],
            &"0A".repeat(32),
            &"0g".repeat(32),
            &"+1".repeat(32),
        ] {
            assert!(add(bad, 0).is_err(), "{bad}");
        }
        for bad in [
            json!({"add": {}}),
            json!({"remove": "a b"}),
            json!({"replace": "n"}),
            json!(null),
        ] {
            assert!(ProjectionChange::parse(&bad).is_err(), "{bad}");
        }
    }
}

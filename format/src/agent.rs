//! Agents that an operator has approved: which component, with which grant. docs/FORMAT.md, "Approvals".

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value};

use crate::{
    Actor, Error, Hash, Kind, Limits, Result, Scope, ScopePattern, id::is_identifier, limits, projection, text,
};

/// What a `quipu.agent` entry says of a named agent: the member `agent` of `sys`. It stands in `quipu:ledger` and is an
/// operator's act, so that nobody else can approve anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub enum AgentChange {
    /// From now on this component may run under this name with this grant, in place of what was approved before.
    Approve(Box<Approval>),
    /// From now on nothing is approved under this name.
    Withdraw(AgentName),
}

/// What an operator approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// SHA-256 of the component's bytes, in hexadecimal digits. Its bytes are in `components/`.
    #[serde(with = "projection::hex")]
    pub component: Hash,
    /// What it may do.
    pub grant: AgentGrant,
    /// The agent's name.
    pub name: AgentName,
}

/// What a named agent may do in a run, as it is written down: beginnings of scopes are not resolved yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentGrant {
    /// Stamped on each entry of its runs.
    pub actor: Actor,
    /// More scopes to append to, at most 128.
    pub append: Vec<Scope>,
    /// The scope that it works in: read and appended to.
    pub home: Scope,
    /// Kinds that it may append, at most 128.
    pub kinds: Vec<Kind>,
    /// What one run may use. All of them are written down: what was approved does not change with a release's defaults. One
    /// that a later release adds has to say there what it means that older approvals lack it.
    #[serde(deserialize_with = "all_limits")]
    pub limits: Limits,
    /// More scopes to read, and beginnings of scopes, at most 128.
    pub read: Vec<ScopePattern>,
    /// What becomes of an append that holds a secret.
    pub secrets: SecretsPolicy,
    /// Whether entries of other actors may be superseded.
    pub supersede_others: bool,
    /// Whether it is offered a WASI 0.2 with nothing behind it. Absent: it is not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wasi: bool,
}

/// Limits of which none is left out.
fn all_limits<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Limits, D::Error> {
    let said = Map::deserialize(deserializer)?;
    let all = serde_json::to_value(Limits::default()).map_err(D::Error::custom)?;
    let missing = all
        .as_object()
        .and_then(|all| all.keys().find(|name| !said.contains_key(*name)));
    match missing {
        Some(name) => Err(D::Error::custom(format!(
            "the limit {name} is missing: each is written down, so that what is approved does not change with a release"
        ))),
        None => Limits::deserialize(Value::Object(said)).map_err(D::Error::custom),
    }
}

/// What becomes of an append in which a secret is found: a password, a token, a private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretsPolicy {
    /// It is refused.
    #[default]
    Refuse,
    /// A handle, `secret://…`, is stored in the secret's place.
    Handle,
}

impl AgentChange {
    /// Name of the member of `sys`.
    pub const MEMBER: &str = "agent";

    /// Reads the member, and checks it.
    pub fn parse(value: &Value) -> Result<Self> {
        let change = Self::deserialize(value).map_err(|e| Error::new(format!("this approves no agent: {e}")))?;
        if let Self::Approve(approval) = &change {
            approval.grant.check()?;
        }
        Ok(change)
    }
}

impl AgentGrant {
    /// Refuses what is never granted, which is the host's own, and more than an entry can record.
    pub fn check(&self) -> Result<()> {
        if self.actor.is_reserved() {
            return Err(Error::new(format!(
                "actor {} is the host's own: name another",
                self.actor
            )));
        }
        if let Some(scope) = std::iter::once(&self.home)
            .chain(&self.append)
            .find(|scope| scope.is_reserved())
        {
            return Err(Error::new(format!("scope {scope} is the host's own: name another")));
        }
        if let Some(kind) = self.kinds.iter().find(|kind| kind.is_reserved()) {
            return Err(Error::new(format!("kind {kind} is the host's own: leave it out")));
        }
        for (what, count) in [
            ("read", self.read.len()),
            ("append", self.append.len()),
            ("kinds", self.kinds.len()),
        ] {
            if count > limits::AGENT_LIST {
                let most = limits::AGENT_LIST;
                return Err(Error::new(format!(
                    "{what} lists {count}, and at most {most} are granted"
                )));
            }
        }
        Ok(())
    }
}

/// The name that an operator gave to an agent: `support`.
///
/// 1 to 64 ASCII letters, digits, `_` and `-`, beginning with a letter or digit: no file with an ending or in a folder has
/// such a name. It stays in clear for ever. Cheap enough to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentName(String);

impl AgentName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AgentName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let plain = !text.contains(['.', '/', ':']);
        if plain && text.len() <= limits::AGENT_NAME_BYTES && is_identifier(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::new(format!(
            "{text:?} is no name of an agent: that is 1 to {} ASCII letters, digits, _ and -, and begins with a letter or \
             digit",
            limits::AGENT_NAME_BYTES
        )))
    }
}

impl fmt::Display for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for AgentName {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AgentName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        text::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn approve() -> Value {
        let limits = serde_json::to_value(Limits::default()).unwrap();
        json!({"approve": {
            "component": "0a".repeat(32),
            "grant": {
                "actor": "agent:support", "append": ["team:log"], "home": "team:support", "kinds": ["memo"],
                "limits": limits, "read": ["customer:*", "policy:billing"], "secrets": "refuse", "supersedeOthers": false,
            },
            "name": "support",
        }})
    }

    #[test]
    fn an_approval_reads_as_it_was_written() {
        let change = AgentChange::parse(&approve()).unwrap();
        assert_eq!(serde_json::to_value(&change).unwrap(), approve());
        let withdraw = json!({"withdraw": "support"});
        let change = AgentChange::parse(&withdraw).unwrap();
        assert_eq!(serde_json::to_value(&change).unwrap(), withdraw);
    }

    #[test]
    fn what_is_never_granted_is_never_approved() {
        for (member, value) in [
            ("actor", json!("host:quipu")),
            ("home", json!("quipu:ledger")),
            ("append", json!(["quipu:ledger"])),
            ("read", json!(["quipu:*"])),
            ("read", json!(["quipu:ledger"])),
            ("kinds", json!(["quipu.run"])),
            ("secrets", json!("keep")),
            ("limits", json!({"memoryBytes": -1})),
            ("more", json!(1)),
        ] {
            let mut change = approve();
            change["approve"]["grant"][member] = value;
            assert!(AgentChange::parse(&change).is_err(), "{change}");
        }
    }

    #[test]
    fn an_approval_names_each_limit() {
        for name in serde_json::to_value(Limits::default())
            .unwrap()
            .as_object()
            .unwrap()
            .keys()
        {
            let mut change = approve();
            change["approve"]["grant"]["limits"]
                .as_object_mut()
                .unwrap()
                .remove(name);
            let refused = AgentChange::parse(&change).unwrap_err().to_string();
            assert!(refused.contains(&format!("the limit {name} is missing")), "{refused}");
        }
    }

    #[test]
    fn wasi_is_written_down_where_it_is_granted() {
        let mut change = approve();
        change["approve"]["grant"]["wasi"] = json!(true);
        let AgentChange::Approve(approval) = AgentChange::parse(&change).unwrap() else {
            panic!("it approves")
        };
        assert!(approval.grant.wasi);
        assert_eq!(serde_json::to_value(&approval.grant).unwrap()["wasi"], json!(true));
    }

    #[test]
    fn a_grant_lists_no_more_than_an_entry_can_record() {
        let with = |member: &str, text: &str, count: usize| {
            let mut change = approve();
            change["approve"]["grant"][member] = json!(vec![text; count]);
            AgentChange::parse(&change)
        };
        for (member, text) in [("read", "a:*"), ("append", "a"), ("kinds", "memo")] {
            assert!(with(member, text, limits::AGENT_LIST).is_ok());
            assert!(with(member, text, limits::AGENT_LIST + 1).is_err(), "{member}");
        }
    }

    #[test]
    fn no_file_with_an_ending_or_in_a_folder_has_an_agents_name() {
        for good in ["support", "a", "0-b_C", &"n".repeat(limits::AGENT_NAME_BYTES)] {
            assert_eq!(good.parse::<AgentName>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "a.wasm",
            "./a",
            "a/b",
            "-a",
            "a:b",
            "a b",
            "ä",
            &"n".repeat(limits::AGENT_NAME_BYTES + 1),
        ] {
            assert!(bad.parse::<AgentName>().is_err(), "{bad}");
        }
    }
}

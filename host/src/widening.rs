//! What a newer grant lets an agent do that an older one did not, and the other way round.

use std::collections::BTreeSet;

use quipu_format::{AgentGrant, Kind, Limits, Scope, ScopePattern, SecretsPolicy};
use serde::Serialize;
use serde_json::Value;

/// The difference between two grants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GrantChange {
    /// What is allowed now and was not before. Another actor or home counts as that.
    pub widened: Vec<String>,
    /// What is allowed no more.
    pub narrowed: Vec<String>,
}

impl GrantChange {
    /// From an older grant to a newer one.
    pub fn between(old: &AgentGrant, new: &AgentGrant) -> Self {
        let mut widened = Vec::new();
        // Who acts under another name, or is recorded in another place, is another agent to whoever reads the log.
        if old.actor != new.actor {
            widened.push(format!("is stamped as {}, in place of {}", new.actor, old.actor));
        }
        if old.home != new.home {
            widened.push(format!("works in {}, in place of {}", new.home, old.home));
        }
        widened.extend(gained(old, new));
        Self {
            widened,
            narrowed: gained(new, old),
        }
    }

    /// Whether something is allowed now that was not before.
    pub fn widens(&self) -> bool {
        !self.widened.is_empty()
    }

    /// Whether nothing differs.
    pub fn is_none(&self) -> bool {
        self.widened.is_empty() && self.narrowed.is_empty()
    }
}

/// What a grant reads: its home, and what it lists.
pub(crate) fn reads(grant: &AgentGrant) -> impl Iterator<Item = ScopePattern> {
    std::iter::once(ScopePattern::from(&grant.home)).chain(grant.read.iter().cloned())
}

/// What a grant appends to: its home, and what it lists.
pub(crate) fn appends(grant: &AgentGrant) -> impl Iterator<Item = &Scope> {
    std::iter::once(&grant.home).chain(&grant.append)
}

/// What the second allows and the first does not.
fn gained(of: &AgentGrant, to: &AgentGrant) -> Vec<String> {
    let mut gained = Vec::new();
    let had: Vec<ScopePattern> = reads(of).collect();
    for pattern in reads(to).filter(|pattern| !had.iter().any(|had| had.covers(pattern))) {
        gained.push(format!("reads {pattern}"));
    }
    let had: BTreeSet<&Scope> = appends(of).collect();
    for scope in appends(to).filter(|scope| !had.contains(scope)) {
        gained.push(format!("appends to {scope}"));
    }
    let had: BTreeSet<&Kind> = of.kinds.iter().collect();
    for kind in to.kinds.iter().filter(|kind| !had.contains(kind)) {
        gained.push(format!("appends the kind {kind}"));
    }
    if to.supersede_others && !of.supersede_others {
        gained.push("supersedes events of other actors".to_owned());
    }
    if (of.secrets, to.secrets) == (SecretsPolicy::Refuse, SecretsPolicy::Handle) {
        gained.push("stores a handle where a secret was refused".to_owned());
    }
    if to.wasi && !of.wasi {
        gained.push("has a WASI with nothing behind it".to_owned());
    }
    for ((name, had), (_, has)) in limits_by_name(&of.limits).into_iter().zip(limits_by_name(&to.limits)) {
        if has > had {
            gained.push(format!("{name} up to {has}, beyond {had}"));
        }
    }
    gained
}

/// All limits of a run, by the names that `quipu.toml` gives them.
pub fn limits_by_name(limits: &Limits) -> Vec<(String, u64)> {
    let Ok(Value::Object(members)) = serde_json::to_value(limits) else {
        return Vec::new();
    };
    let named = members
        .iter()
        .map(|(name, value)| (file_name(name), value.as_u64().unwrap_or(u64::MAX)));
    named.collect()
}

/// `memory-bytes`, of `memoryBytes`.
fn file_name(member: &str) -> String {
    let mut name = String::new();
    for letter in member.chars() {
        if letter.is_ascii_uppercase() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Agents;

    fn grant(more: &str) -> AgentGrant {
        let text = format!("[agents.a]\ncomponent = \"a.wasm\"\n{more}\n");
        let agents = Agents::parse(&text).unwrap();
        agents.iter().next().unwrap().grant.clone()
    }

    #[test]
    fn each_way_to_widen_a_grant_is_told_and_is_narrower_the_other_way_round() {
        let base = "actor = \"agent:a\"\nhome = \"home\"\n";
        let plain = grant(base);
        for (more, told) in [
            ("read = [\"customer:*\"]", "reads customer:*"),
            ("read = [\"*\"]", "reads *"),
            ("append = [\"team:log\"]", "appends to team:log"),
            ("kinds = [\"memo\", \"payment\"]", "appends the kind payment"),
            ("supersede-others = true", "supersedes events of other actors"),
            ("secrets = \"handle\"", "stores a handle where a secret was refused"),
            ("wasi = true", "has a WASI with nothing behind it"),
            ("limits.appends = 10001", "appends up to 10001, beyond 10000"),
            (
                "limits.memory-bytes = 67108865",
                "memory-bytes up to 67108865, beyond 67108864",
            ),
        ] {
            let wider = grant(&format!("{base}{more}"));
            let change = GrantChange::between(&plain, &wider);
            assert_eq!(change.widened, [told]);
            let back = GrantChange::between(&wider, &plain);
            assert!(back.narrowed.contains(&told.to_owned()), "{back:?}");
            assert_eq!(back.widens(), more.starts_with("kinds"), "{back:?}");
        }
        for (other, told) in [
            (
                "actor = \"agent:b\"\nhome = \"home\"",
                "is stamped as agent:b, in place of agent:a",
            ),
            (
                "actor = \"agent:a\"\nhome = \"other\"",
                "works in other, in place of home",
            ),
        ] {
            assert_eq!(GrantChange::between(&plain, &grant(other)).widened[0], told);
        }
        assert!(GrantChange::between(&plain, &plain).is_none());
    }

    #[test]
    fn a_scope_within_a_beginning_is_no_wider() {
        let with = |read: &str| grant(&format!("actor = \"agent:a\"\nhome = \"home\"\nread = [{read}]"));
        let all = with("\"customer:*\"");
        assert!(!GrantChange::between(&all, &with("\"customer:1\", \"customer:2*\", \"home\"")).widens());
        assert!(GrantChange::between(&with("\"customer:1*\""), &all).widens());
    }
}

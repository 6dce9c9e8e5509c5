use std::collections::BTreeSet;

use quipu_format::{Actor, AgentGrant, AgentName, EventId, Kind, Scope, ScopePattern, SecretsPolicy};
use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result};

/// Kinds that an agent may append unless its grant says otherwise.
pub const DEFAULT_KINDS: [&str; 14] = [
    "memory.write",
    "memory.retract",
    "memory.summary",
    "thought.reflection",
    "thought.hypothesis",
    "thought.question",
    "observation",
    "tool.call",
    "tool.result",
    "decision",
    "action",
    "message",
    "task",
    "memo",
];

/// What one run may do, and whom the host stamps on what it appends. A run's first entry records it.
///
/// All of a guest's authority is here: it is handed one reader for each scope of [`reads`](Grant::reads), and may
/// append to `home` and the scopes of `append`. There is no call that widens it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Grant {
    /// Stamped on each entry of the run.
    pub actor: Actor,
    /// The scope that the run works in: always readable and appendable, and where the run itself is recorded.
    pub home: Scope,
    /// More scopes to read.
    pub read: Vec<Scope>,
    /// Scopes to read by their beginning, `customer:*`. Those that exist at the head which a run is pinned to are added to
    /// `read` when it begins, and recorded there; never those that begin with `quipu:`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<ScopePattern>,
    /// More scopes to append to. Reading them needs `read`.
    pub append: Vec<Scope>,
    /// Kinds that may be appended. Empty: nothing may be.
    pub kinds: Vec<Kind>,
    /// Whether entries of other actors may be superseded, which takes them out of recall (they stay readable).
    pub supersede_others: bool,
    /// What becomes of an append that holds a secret.
    #[serde(default)]
    pub secrets: SecretsPolicy,
    /// Whether it is offered a WASI 0.2 with nothing behind it, by a runtime that has one
    /// ([`Runtime::with_wasi`](crate::Runtime::with_wasi)).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wasi: bool,
    /// The named agent that it is granted to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// The operator's entry that approved that agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<EventId>,
}

impl Grant {
    /// Reads and appends `home`, with [`DEFAULT_KINDS`]; the rest is set by field.
    pub fn new(actor: Actor, home: Scope) -> Self {
        Self {
            actor,
            home,
            read: Vec::new(),
            prefixes: Vec::new(),
            append: Vec::new(),
            kinds: default_kinds(),
            supersede_others: false,
            secrets: SecretsPolicy::default(),
            wasi: false,
            agent: None,
            approval: None,
        }
    }

    /// What was written down for an agent.
    pub(crate) fn of(grant: &AgentGrant) -> Self {
        let (prefixes, exact): (Vec<_>, Vec<_>) = grant.read.iter().cloned().partition(ScopePattern::is_open);
        Self {
            actor: grant.actor.clone(),
            home: grant.home.clone(),
            read: exact.iter().filter_map(ScopePattern::scope).collect(),
            prefixes,
            append: grant.append.clone(),
            kinds: grant.kinds.clone(),
            supersede_others: grant.supersede_others,
            secrets: grant.secrets,
            wasi: grant.wasi,
            agent: None,
            approval: None,
        }
    }

    /// Adds the scopes that its beginnings match, of all that there are, to those that it reads.
    ///
    /// # Errors
    /// Where it then reads more than `most` scopes.
    pub(crate) fn resolve(&mut self, scopes: impl Iterator<Item = Scope>, most: usize) -> Result<()> {
        let matching = scopes.filter(|scope| self.prefixes.iter().any(|prefix| prefix.matches(scope)));
        let known: BTreeSet<Scope> = self.reads().cloned().collect();
        let new: Vec<Scope> = matching.filter(|scope| !known.contains(scope)).collect();
        if known.len() + new.len() > most {
            let prefixes: Vec<_> = self.prefixes.iter().map(ScopePattern::to_string).collect();
            return Err(refused(format!(
                "the grant reads {} scopes, {} of them through {}, and a run has at most {most} handles: name fewer \
                 scopes, or raise the limit `handles`",
                known.len() + new.len(),
                new.len(),
                prefixes.join(" ")
            )));
        }
        self.read.extend(new);
        Ok(())
    }

    /// The scopes that the run may read, each once, home first.
    pub fn reads(&self) -> impl Iterator<Item = &Scope> {
        let all = std::iter::once(&self.home).chain(&self.read);
        all.enumerate()
            .filter(|(i, scope)| *i == 0 || !self.reads_before(*i, scope))
            .map(|(_, scope)| scope)
    }

    fn reads_before(&self, i: usize, scope: &Scope) -> bool {
        scope == &self.home || self.read.iter().take(i - 1).any(|earlier| earlier == scope)
    }

    /// Refuses what is never granted: actors, scopes and kinds that are the host's own.
    pub(crate) fn check(&self) -> Result<()> {
        if self.actor.is_reserved() {
            return Err(refused(format!(
                "actor {} is the host's own and cannot be granted",
                self.actor
            )));
        }
        let mut scopes = std::iter::once(&self.home).chain(&self.read).chain(&self.append);
        if let Some(scope) = scopes.find(|scope| scope.is_reserved()) {
            return Err(refused(format!(
                "scope {scope} is the host's own and cannot be granted"
            )));
        }
        if let Some(kind) = self.kinds.iter().find(|kind| kind.is_reserved()) {
            return Err(refused(format!("kind {kind} is the host's own and cannot be granted")));
        }
        Ok(())
    }

    /// The scope that a draft goes to; none if that is not granted, whether or not it exists.
    pub(crate) fn append_scope(&self, named: Option<&str>) -> Option<&Scope> {
        match named {
            None => Some(&self.home),
            Some(name) => std::iter::once(&self.home)
                .chain(&self.append)
                .find(|scope| scope.as_str() == name),
        }
    }

    /// The kind of that name, if it is granted.
    pub(crate) fn kind(&self, name: &str) -> Option<&Kind> {
        self.kinds.iter().find(|kind| kind.as_str() == name)
    }
}

pub(crate) fn default_kinds() -> Vec<Kind> {
    DEFAULT_KINDS.iter().filter_map(|kind| Kind::new(kind).ok()).collect()
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::Grant, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(name: &str) -> Scope {
        Scope::new(name).unwrap()
    }

    fn grant() -> Grant {
        Grant::new(Actor::new("agent:a").unwrap(), scope("home"))
    }

    #[test]
    fn each_scope_is_read_once_and_home_is_first() {
        let mut grant = grant();
        grant.read = vec![scope("b"), scope("home"), scope("a"), scope("b")];
        let names: Vec<&str> = grant.reads().map(Scope::as_str).collect();
        assert_eq!(names, ["home", "b", "a"]);
    }

    #[test]
    fn a_beginning_becomes_the_scopes_that_there_are() {
        let there = || ["a:1", "a:2", "b:1", "home", "quipu:ledger"].into_iter().map(scope);
        let read = |prefix: &str, most: usize| {
            let mut grant = grant();
            grant.prefixes = vec![prefix.parse().unwrap()];
            grant.read = vec![scope("a:2")];
            let names = |grant: Grant| grant.reads().map(Scope::to_string).collect::<Vec<_>>();
            grant.resolve(there(), most).map(|()| names(grant))
        };
        assert_eq!(read("a:*", 3).unwrap(), ["home", "a:2", "a:1"]);
        assert_eq!(read("*", 4).unwrap(), ["home", "a:2", "a:1", "b:1"]);
        assert_eq!(read("q*", 2).unwrap(), ["home", "a:2"]);
        assert_eq!(read("*", 3).unwrap_err().kind(), ErrorKind::Grant);
    }

    #[test]
    fn a_grant_of_an_earlier_release_is_read() {
        let mut written = serde_json::to_value(grant()).unwrap();
        assert!(written.get("wasi").is_none(), "{written}");
        assert_eq!(serde_json::from_value::<Grant>(written.clone()).unwrap(), grant());
        written.as_object_mut().unwrap().remove("secrets");
        assert_eq!(serde_json::from_value::<Grant>(written).unwrap(), grant());
        let mut with_wasi = grant();
        with_wasi.wasi = true;
        let written = serde_json::to_value(&with_wasi).unwrap();
        assert_eq!(serde_json::from_value::<Grant>(written).unwrap(), with_wasi);
    }

    #[test]
    fn what_is_the_hosts_cannot_be_granted() {
        assert!(grant().check().is_ok());
        for break_it in [
            (|g| g.home = Scope::ledger()) as fn(&mut Grant),
            |g| g.actor = Actor::new("host:quipu").unwrap(),
            |g| g.read.push(Scope::ledger()),
            |g| g.append.push(scope("quipu:other")),
            |g| g.kinds.push(Kind::new("quipu.run").unwrap()),
        ] {
            let mut grant = grant();
            break_it(&mut grant);
            assert_eq!(grant.check().unwrap_err().kind(), ErrorKind::Grant);
        }
    }

    #[test]
    fn the_documented_vocabulary_is_granted_by_default() {
        assert_eq!(grant().kinds.len(), DEFAULT_KINDS.len());
    }
}

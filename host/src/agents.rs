//! The file that names agents, `quipu.toml`: which component each is, and what it may do. Nothing in it takes effect by
//! itself: a component and its grant run under a name when an operator has approved both, which the ledger says.

use std::{collections::BTreeMap, path::PathBuf};

use quipu_format::{Actor, AgentGrant, AgentName, Hash, Kind, Limits, Scope, ScopePattern, SecretsPolicy};
use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use crate::{Error, ErrorKind, Result, grant::default_kinds};

/// The agents that a file names, by name.
///
/// ```toml
/// [agents.support]
/// component = "agents/support.wasm"   # beside this file
/// actor = "agent:support"             # stamped on what it appends
/// home = "team:support"               # the scope that it works in
/// # and what is not needed:
/// digest = "9f2c…"                    # SHA-256, hexadecimal: no other component may ever be approved
/// read = ["customer:*", "policy:billing"]
/// append = ["team:log"]
/// kinds = ["memory.write", "memo"]    # otherwise the documented ones
/// supersede-others = false
/// secrets = "refuse"                  # or "handle": store a handle in a secret's place
/// wasi = false                        # or true: offer it a WASI 0.2 with nothing behind it
/// limits = { memory-bytes = 33554432, deadline-ms = 10000 }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Agents(BTreeMap<AgentName, NamedAgent>);

/// An agent as the file has it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NamedAgent {
    /// Its name.
    pub name: AgentName,
    /// Where the component is, seen from the file's folder.
    pub component: PathBuf,
    /// SHA-256 that the component must have, of the file or of what is made of it: nothing else is approved or run.
    pub digest: Option<Hash>,
    /// What it may do.
    pub grant: AgentGrant,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    agents: BTreeMap<AgentName, Spanned<Table>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Table {
    component: PathBuf,
    #[serde(default, deserialize_with = "digest")]
    digest: Option<Hash>,
    actor: Actor,
    home: Scope,
    #[serde(default)]
    read: Vec<ScopePattern>,
    #[serde(default)]
    append: Vec<Scope>,
    #[serde(default = "default_kinds")]
    kinds: Vec<Kind>,
    #[serde(default)]
    supersede_others: bool,
    #[serde(default)]
    secrets: SecretsPolicy,
    #[serde(default)]
    wasi: bool,
    #[serde(default)]
    limits: RunLimits,
}

impl Agents {
    /// Reads the file's text.
    ///
    /// # Errors
    /// Where it is no TOML, has a member that no agent has, lacks one that each has, or names what cannot be granted. The
    /// message begins with the line.
    pub fn parse(text: &str) -> Result<Self> {
        let refused = |at: usize, why: &str| Error::new(ErrorKind::Agents, format!("line {}: {why}", line(text, at)));
        let file: File = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            match error.message() {
                missing if missing.starts_with("missing field") => {
                    refused(at, &format!("{missing} in what begins here: add it"))
                }
                why => refused(at, why),
            }
        })?;
        let mut agents = BTreeMap::new();
        for (name, table) in file.agents {
            let at = table.span().start;
            let agent = table.into_inner().named(name.clone());
            agent
                .grant
                .check()
                .map_err(|why| refused(at, &format!("agent {name}: {why}")))?;
            agents.insert(name, agent);
        }
        Ok(Self(agents))
    }

    /// The agent of that name.
    pub fn get(&self, name: &AgentName) -> Option<&NamedAgent> {
        self.0.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &NamedAgent> {
        self.0.values()
    }
}

impl Table {
    fn named(self, name: AgentName) -> NamedAgent {
        NamedAgent {
            name,
            component: self.component,
            digest: self.digest,
            grant: AgentGrant {
                actor: self.actor,
                append: self.append,
                home: self.home,
                kinds: self.kinds,
                limits: self.limits.over(Limits::default()),
                read: self.read,
                secrets: self.secrets,
                supersede_others: self.supersede_others,
                wasi: self.wasi,
            },
        }
    }
}

/// Where a place in the text is, counted from 1.
fn line(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

fn digest<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Hash>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match Hash::from_hex(&text.to_ascii_lowercase()) {
        Some(hash) => Ok(Some(hash)),
        None => Err(de::Error::custom(
            "a digest is a SHA-256 in 64 hexadecimal digits, as `sha256sum` prints it",
        )),
    }
}

/// A table of limits, of which any may be left out; and what of [`Limits`] each of them is.
macro_rules! run_limits {
    ($($name:ident: $type:ty),*) => {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
        struct RunLimits {
            $($name: Option<$type>,)*
        }

        impl RunLimits {
            /// These, and for what is left out the others.
            fn over(self, mut limits: Limits) -> Limits {
                $(limits.$name = self.$name.unwrap_or(limits.$name);)*
                limits
            }
        }
    };
}

run_limits!(
    memory_bytes: usize,
    deadline_ms: u64,
    appends: u32,
    host_call_bytes: usize,
    handles: usize,
    told_bytes: usize,
    input_bytes: usize
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::widening;

    const LEAST: &str = "[agents.support]\ncomponent = \"a.wasm\"\nactor = \"agent:a\"\nhome = \"home\"\n";

    fn one(text: &str) -> NamedAgent {
        Agents::parse(text).unwrap().iter().next().unwrap().clone()
    }

    #[test]
    fn what_is_left_out_is_narrow() {
        let agent = one(LEAST);
        let grant = &agent.grant;
        assert_eq!((agent.name.as_str(), agent.digest), ("support", None));
        assert!(grant.read.is_empty() && grant.append.is_empty() && !grant.supersede_others && !grant.wasi);
        assert_eq!(
            (grant.secrets, &grant.limits),
            (SecretsPolicy::Refuse, &Limits::default())
        );
        assert_eq!(grant.kinds, default_kinds());
        assert_eq!(Agents::parse("").unwrap().iter().count(), 0);
    }

    #[test]
    fn every_limit_of_a_run_can_be_set_by_its_name() {
        let names = widening::limits_by_name(&Limits::default());
        assert!(names.len() >= 7);
        for (name, default) in names {
            let agent = one(&format!("{LEAST}[agents.support.limits]\n{name} = {}\n", default - 1));
            let set: Vec<_> = widening::limits_by_name(&agent.grant.limits);
            assert!(set.contains(&(name.clone(), default - 1)), "{name}");
        }
    }

    #[test]
    fn a_bad_file_is_told_with_its_line() {
        let digest = "0a".repeat(31);
        let many = format!("{LEAST}kinds = [{}]", "\"memo\",".repeat(129));
        for (text, at, told) in [
            ("agents = 3", 1, "invalid type"),
            ("[agents.a]\n[[x", 2, ""),
            ("\n[agent.support]\n", 2, "unknown field `agent`, expected `agents`"),
            (
                &format!("{LEAST}reed = []"),
                5,
                "unknown field `reed`, expected one of `component`",
            ),
            (&format!("{LEAST}read = \"a\""), 5, "invalid type"),
            (&format!("{LEAST}read = [\"quipu:*\"]"), 5, "the ledger's own"),
            (
                &format!("{LEAST}append = [\"a b\"]"),
                5,
                "a scope \"a b\" must be of ASCII",
            ),
            (&format!("{LEAST}secrets = \"keep\""), 5, "unknown variant `keep`"),
            (&format!("{LEAST}digest = \"{digest}\""), 5, "64 hexadecimal digits"),
            (&format!("{LEAST}limits.memory = 1"), 5, "unknown field `memory`"),
            (&format!("{LEAST}limits.appends = -1"), 5, "invalid value"),
            (
                &format!("{LEAST}kinds = [\"quipu.run\"]"),
                1,
                "agent support: kind quipu.run is the host's own",
            ),
            (
                &LEAST.replace("\"home\"", "\"quipu:ledger\""),
                1,
                "scope quipu:ledger is the host's own",
            ),
            (&LEAST.replace("agent:a", "jana@example.org"), 3, "e-mail"),
            (
                &LEAST.replace("agents.support", "agents.\"a.wasm\""),
                1,
                "no name of an agent",
            ),
            ("\n[agents.a]\ncomponent = \"a\"\n", 2, "missing field `actor`"),
            (&format!("{LEAST}{LEAST}"), 5, "duplicate key"),
            (&many, 1, "kinds lists 129"),
        ] {
            let error = Agents::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Agents);
            let said = error.to_string();
            assert!(
                said.starts_with(&format!("line {at}: ")) && said.contains(told),
                "{text}\n{said}"
            );
        }
    }
}

//! Which agent `quipu run` is to run, and what it is granted: by a name in `quipu.toml`, or by a file and options.

use std::path::Path;

use quipu_format::{Actor, AgentName, Kind, Limits, Scope, limits};
use quipu_host::{AgentComponent, Candidate, Grant, NamedAgent};
use quipu_log::Ledger;

use crate::{agents::AgentsFile, failure::Failure, handed, ledger::LedgerDir};

/// What a file's agent is granted.
#[derive(clap::Args)]
pub(crate) struct Granted {
    /// Whom the ledger stamps on what it appends; needed for a file
    #[arg(long)]
    actor: Option<Actor>,
    /// The scope that it works in; needed for a file
    #[arg(long, value_name = "SCOPE")]
    home: Option<Scope>,
    /// A scope that it may read as well; may be given several times
    #[arg(long, value_name = "SCOPE")]
    read: Vec<Scope>,
    /// A scope that it may append to as well; may be given several times
    #[arg(long, value_name = "SCOPE")]
    append: Vec<Scope>,
    /// A kind that it may append; may be given several times [default: the documented kinds]
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<Kind>,
    /// Let it supersede events of other actors
    #[arg(long)]
    supersede_others: bool,
}

/// An agent, and what the files say of it.
pub(crate) enum Called {
    Named(Box<NamedAgent>, Vec<u8>),
    File(Box<Grant>, Vec<u8>),
}

/// The name, where it is one. A dot or a slash makes it a file's: a name has neither.
fn name(agent: &Path) -> Option<AgentName> {
    agent.to_str()?.parse().ok()
}

/// Whether it is a name and no file.
pub(crate) fn is_name(agent: &Path) -> bool {
    name(agent).is_some()
}

impl Called {
    pub(crate) fn of(agent: &Path, granted: Granted, ledger: &LedgerDir) -> Result<Self, Failure> {
        let called = agent.display();
        match name(agent) {
            Some(_) if granted.says_something() => Err(Failure::cannot(format!(
                "{called} is an agent's name, and what it may do stands in quipu.toml: leave the options of its grant \
                 out, or write ./{called} for a file"
            ))),
            Some(name) => {
                let file = AgentsFile::read(ledger)?;
                let agent = file.agent(&name)?;
                Ok(Self::Named(Box::new(agent.clone()), file.component(agent)?))
            }
            None => {
                let wasm = handed::read(agent, limits::COMPONENT_BYTES, "a component")?;
                let grant = granted.grant().ok_or_else(|| {
                    Failure::cannot(format!(
                        "{called} is a file, which needs --actor and --home: an agent's name has no dot and no slash"
                    ))
                })?;
                Ok(Self::File(Box::new(grant), wasm))
            }
        }
    }

    /// The component's file, whether or not it may run.
    pub(crate) fn wasm(&self) -> &[u8] {
        match self {
            Self::Named(_, wasm) | Self::File(_, wasm) => wasm,
        }
    }

    /// Whether it is run as `quipu.toml` says and an operator approved.
    pub(crate) fn is_named(&self) -> bool {
        matches!(self, Self::Named(..))
    }

    /// Refuses a named agent that no operator approved as it is: by a look at the ledger, before anything is done with the
    /// component but reading it.
    pub(crate) fn is_approved(&self, component: &AgentComponent, ledger: &LedgerDir) -> Result<(), Failure> {
        let Self::Named(agent, wasm) = self else {
            return Ok(());
        };
        let governance = ledger.at_unasked(|at| Ledger::open_read_only(at))?.governance_whole()?;
        agent.granted(&Candidate::read(component.clone(), wasm), &governance)?;
        Ok(())
    }

    /// Grant and limits of a run over that ledger, of the component that was read of its file. A named agent has none that no
    /// operator approved.
    pub(crate) fn granted(self, component: &AgentComponent, ledger: &Ledger) -> Result<(Grant, Limits), Failure> {
        match self {
            Self::File(grant, _) => Ok((*grant, Limits::default())),
            Self::Named(agent, wasm) => {
                let reader = ledger.reader();
                reader.refresh()?;
                let candidate = Candidate::read(component.clone(), &wasm);
                let grant = agent.granted(&candidate, &reader.governance_whole()?)?;
                Ok((grant, agent.grant.limits))
            }
        }
    }
}

impl Granted {
    fn says_something(&self) -> bool {
        self.actor.is_some()
            || self.home.is_some()
            || !(self.read.is_empty() && self.append.is_empty() && self.kinds.is_empty())
            || self.supersede_others
    }

    /// With an actor and a home where none is said.
    pub(crate) fn or_any(mut self) -> Result<Self, Failure> {
        if self.actor.is_none() {
            self.actor = Some(Actor::new("agent:test")?);
        }
        if self.home.is_none() {
            self.home = Some(Scope::new("test")?);
        }
        Ok(self)
    }

    /// None: actor or home is missing.
    fn grant(self) -> Option<Grant> {
        let mut grant = Grant::new(self.actor?, self.home?);
        grant.read = self.read;
        grant.append = self.append;
        grant.supersede_others = self.supersede_others;
        if !self.kinds.is_empty() {
            grant.kinds = self.kinds;
        }
        Some(grant)
    }
}

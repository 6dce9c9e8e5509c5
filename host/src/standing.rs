//! Whether a named agent may run: what its file says, against what an operator approved.

use quipu_format::{Approval, Hash};
use quipu_log::{AgentState, Governance};

use crate::{AgentComponent, Error, ErrorKind, Grant, GrantChange, NamedAgent, Result};

/// The component of a named agent, as its file has it now.
pub struct Candidate {
    component: AgentComponent,
    file_sha256: Hash,
}

/// How a named agent stands.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Standing {
    /// An operator approved this component, and this grant or a wider one.
    Approved(Box<AgentState>),
    /// An operator approved something else: why this is not it, in at least one sentence.
    Changed(Box<AgentState>, Vec<String>),
    /// Nothing is approved under its name.
    NeverApproved,
}

impl Candidate {
    /// Takes a component, or a core module with a component-type section. Nothing of it is run or compiled.
    ///
    /// # Errors
    /// Where it is none that exports `handle`.
    pub fn new(wasm: &[u8]) -> Result<Self> {
        Ok(Self::read(AgentComponent::new(wasm)?, wasm))
    }

    /// One that was read of these bytes.
    pub fn read(component: AgentComponent, wasm: &[u8]) -> Self {
        Self {
            component,
            file_sha256: Hash::of(&[wasm]),
        }
    }

    /// The component.
    pub fn component(&self) -> &AgentComponent {
        &self.component
    }
}

impl NamedAgent {
    /// How it stands with this component, after all that operators ordered.
    pub fn standing(&self, candidate: &Candidate, governance: &Governance) -> Standing {
        let Some(state) = governance.agent(&self.name) else {
            return Standing::NeverApproved;
        };
        let mut why = Vec::new();
        let (is, was) = (candidate.component.sha256(), state.approval.component);
        if is != was {
            let (is, was) = (is.to_hex(), was.to_hex());
            why.push(format!("its component has the SHA-256 {is}, and {was} is approved"));
        }
        let change = GrantChange::between(&state.approval.grant, &self.grant);
        if change.widens() {
            why.push(format!(
                "its grant is wider than what is approved: {}",
                change.widened.join("; ")
            ));
        }
        why.extend(self.not_pinned(candidate));
        match why.is_empty() {
            true => Standing::Approved(Box::new(state.clone())),
            false => Standing::Changed(Box::new(state.clone()), why),
        }
    }

    /// What a run of it may do.
    ///
    /// # Errors
    /// `Unapproved` where no operator approved just this.
    pub fn granted(&self, candidate: &Candidate, governance: &Governance) -> Result<Grant> {
        let refused = |why: String| {
            let name = &self.name;
            let message =
                format!("agent {name} is not run: {why}. Look at it and approve it: run `quipu agent approve {name}`");
            Err(Error::new(ErrorKind::Unapproved, message))
        };
        match self.standing(candidate, governance) {
            Standing::Approved(state) => {
                let mut grant = Grant::of(&self.grant);
                grant.agent = Some(self.name.clone());
                grant.approval = Some(state.since.id);
                Ok(grant)
            }
            Standing::Changed(_, why) => refused(why.join("; ")),
            Standing::NeverApproved => refused("it was never approved".to_owned()),
        }
    }

    /// What an operator signs to approve it with this component.
    ///
    /// # Errors
    /// Where it would not run all the same: the component imports more than memory, or is not the one that the file pins.
    pub fn approval(&self, candidate: &Candidate) -> Result<Approval> {
        let component = &candidate.component;
        let is_wasi = |import: &&String| crate::wasi::is_known(import);
        let foreign = component.foreign_imports();
        let more: Vec<_> = foreign
            .iter()
            .filter(|import| !(self.grant.wasi && is_wasi(import)))
            .collect();
        if !more.is_empty() {
            let names: Vec<_> = more.iter().map(|import| import.as_str()).collect();
            let mut message = format!(
                "agent {} cannot be approved, for its component wants more than memory: it imports {}",
                self.name,
                names.join(", ")
            );
            if more.iter().all(is_wasi) {
                message += ". All of that is WASI: build it without, or grant it a WASI with nothing behind it, with \
                            `wasi = true` in its table";
            }
            return Err(Error::new(ErrorKind::Component, message));
        }
        if let Some(why) = self.not_pinned(candidate) {
            let message = format!("agent {} cannot be approved: {why}", self.name);
            return Err(Error::new(ErrorKind::Unapproved, message));
        }
        Ok(Approval {
            component: component.sha256(),
            grant: self.grant.clone(),
            name: self.name.clone(),
        })
    }

    /// Why it is not the component whose digest the file gives, where it gives one.
    fn not_pinned(&self, candidate: &Candidate) -> Option<String> {
        let digest = self.digest?;
        let is = [candidate.file_sha256, candidate.component.sha256()];
        (!is.contains(&digest)).then(|| {
            format!(
                "its table says digest = \"{}\", and the component's file has the SHA-256 {}: change one of them",
                digest.to_hex(),
                candidate.file_sha256.to_hex()
            )
        })
    }
}

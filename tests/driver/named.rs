//! A ledger with an operator, and beside it a file that names one agent.

use std::fs;

use serde_json::Value;

use super::{Ran, governed::Governed, guest};

pub(crate) const NAMED: &str =
    "[agents.support]\ncomponent = \"agents/support.wasm\"\nactor = \"agent:support\"\nhome = \"home\"\n";

/// A ledger with an operator, and beside it a file that names the agent `support`.
pub(crate) struct Named(pub(crate) Governed);

impl Named {
    pub(crate) fn new(guest_name: &str, more: &str) -> Self {
        let this = Self(Governed::new());
        fs::create_dir(this.0.ledger.beside("agents")).unwrap();
        this.component(guest_name);
        this.says(more);
        this
    }

    /// Puts another component in the place of the agent's.
    pub(crate) fn component(&self, guest_name: &str) {
        fs::copy(guest(guest_name), self.0.ledger.beside("agents/support.wasm")).unwrap();
    }

    /// Writes the file.
    pub(crate) fn says(&self, more: &str) {
        self.0.ledger.file("quipu.toml", format!("{NAMED}{more}"));
    }

    pub(crate) fn approve(&self) -> Ran {
        self.0.kim(&["agent", "approve", "support", "--yes"])
    }

    pub(crate) fn run(&self) -> Ran {
        self.0.ledger.run(["run", "support", "remember this"])
    }

    /// `sys.run` of the newest run.
    pub(crate) fn recorded(&self) -> Value {
        let runs = self.0.ledger.log(&["--kind", "quipu.run"]);
        let id = runs.last().expect("there was a run")["id"].as_str().unwrap().to_owned();
        self.0.ledger.run(["show", &id, "--json"]).good().json()["sys"]["run"].clone()
    }

    pub(crate) fn approvals(&self) -> Vec<Value> {
        self.0.ledger.log(&["--kind", "quipu.agent"])
    }
}

//! A ledger with an operator, through the command.

use std::{path::PathBuf, process::Command};

use quipu_format::Signer;
use quipu_log::OpenOptions;

use super::{Ledger, Ran, guest, run};

/// A ledger with an operator, whose key lies beside it.
pub(crate) struct Governed {
    pub(crate) ledger: Ledger,
    pub(crate) key: PathBuf,
}

impl Governed {
    pub(crate) fn new() -> Self {
        let ledger = Ledger::new();
        let kim = Signer::new("operator:kim", [9; 32]).unwrap();
        let key = ledger.file("kim.key", kim.to_text().as_bytes());
        let open = quipu_log::Ledger::open(&ledger.path(), OpenOptions::default()).unwrap();
        open.found_operator(&kim.verifier_key()).unwrap();
        open.close().unwrap();
        Self { ledger, key }
    }

    /// What Kim does.
    pub(crate) fn kim(&self, args: &[&str]) -> Ran {
        run(&mut self.command(args))
    }

    /// The same, to be started.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.ledger.command(args);
        command.args(["--operator", "kim", "--key"]).arg(&self.key);
        command
    }

    pub(crate) fn erased(&self, id: &str) -> bool {
        let event = self.ledger.run(["show", id, "--json"]).good().json();
        event["erased"] == true
    }

    pub(crate) fn verifier_key(&self) -> String {
        let stats = self.ledger.run(["stats", "--json"]).good().json();
        stats["verifierKey"].as_str().unwrap().to_owned()
    }

    pub(crate) fn run_guest(&self, name: &str, input: &str, home: &str) -> Ran {
        run(self
            .ledger
            .command(["run"])
            .arg(guest(name))
            .arg(input)
            .args(["--actor", "agent:test", "--home", home]))
    }
}

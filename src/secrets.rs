//! What becomes of secrets in what a person appends.

use quipu_format::Body;
use quipu_host::SecretGuard;
use quipu_log::{Ledger, LedgerReader};

use crate::{
    failure::Failure,
    ledger::{LedgerDir, Wait},
};

/// What becomes of secrets.
#[derive(clap::Args)]
pub(crate) struct Secrets {
    /// What to do where something looks like a secret: refuse it, store a handle in its place, or do not look
    #[arg(long = "secrets", value_enum, value_name = "WHAT", default_value_t = Policy::Refuse)]
    policy: Policy,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Policy {
    Refuse,
    Handle,
    Off,
}

impl Secrets {
    /// Opens the ledger for writing.
    pub(crate) fn write(&self, ledger: &LedgerDir, wait: &Wait) -> Result<Ledger, Failure> {
        if self.policy == Policy::Off {
            ledger.write_unguarded(wait)
        } else {
            ledger.write(wait)
        }
    }

    /// What is to be appended in place of a body, if it is not to be appended as it is. Whether it has secrets in it is
    /// left to the ledger.
    pub(crate) fn handled(&self, body: &Body, ledger: &LedgerReader) -> Result<Option<Body>, String> {
        if self.policy == Policy::Handle {
            SecretGuard::default().handled(body, ledger)
        } else {
            Ok(None)
        }
    }

    /// The same for one body after another, each of which is refused if there is a secret in it.
    pub(crate) fn reviser<'a>(
        &self,
        actor: &'a str,
        ledger: &'a LedgerReader,
    ) -> impl FnMut(&Body) -> Result<Option<Body>, String> + 'a {
        let (guard, policy) = (SecretGuard::default(), self.policy);
        move |body| {
            let handled = match policy {
                Policy::Off => return Ok(None),
                Policy::Handle => guard.handled(body, ledger)?,
                Policy::Refuse => None,
            };
            guard.check(actor, handled.as_ref().unwrap_or(body))?;
            Ok(handled)
        }
    }
}

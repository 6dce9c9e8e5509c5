use std::{path::PathBuf, time::Duration};

use clap::Args;
use quipu_log::{Ledger, LedgerReader, OpenOptions};

use crate::failure::Failure;

/// Which ledger a command works on.
#[derive(Args)]
pub(crate) struct LedgerDir {
    /// The ledger's folder
    #[arg(
        long = "ledger",
        global = true,
        env = "QUIPU_LEDGER",
        default_value = "ledger",
        value_name = "DIR"
    )]
    pub(crate) path: PathBuf,
}

/// How long a command that writes tries.
#[derive(Args)]
pub(crate) struct Wait {
    /// Seconds to try while another process writes to the ledger and does not take our appends
    #[arg(long = "wait", value_name = "SECONDS", default_value_t = 10)]
    seconds: u32,
}

impl LedgerDir {
    pub(crate) fn read(&self) -> Result<LedgerReader, Failure> {
        Ok(Ledger::open_read_only(&self.path)?)
    }

    pub(crate) fn write(&self, wait: &Wait) -> Result<Ledger, Failure> {
        let mut options = OpenOptions::default();
        options.wait = Duration::from_secs(wait.seconds.into());
        Ok(Ledger::open_shared(&self.path, options)?)
    }
}

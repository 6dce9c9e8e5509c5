use std::{path::PathBuf, time::Duration};

use clap::Args;
use quipu_log::{Ledger, LedgerReader, OpenOptions};

use crate::{failure::Failure, terminal};

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

impl Default for Wait {
    fn default() -> Self {
        Self { seconds: 10 }
    }
}

impl Wait {
    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    fn options(&self) -> OpenOptions {
        let mut options = OpenOptions::default();
        options.wait = self.time();
        options
    }
}

impl LedgerDir {
    pub(crate) fn read(&self) -> Result<LedgerReader, Failure> {
        Ok(Ledger::open_read_only(&self.path)?)
    }

    /// Whether all entries are there that the signed checkpoint says were acknowledged; if not, it warns. A checkpoint
    /// that cannot be believed proves nothing: naming it is for verify.
    pub(crate) fn is_whole(&self, reader: &LedgerReader) -> Result<bool, Failure> {
        let size = reader.checkpoint().map_or(0, |(_, checkpoint)| checkpoint.size);
        let head = reader.refresh()?;
        if head < size {
            terminal::warn(&format!(
                "the log ends with {head} entries where {size} were acknowledged"
            ));
        }
        Ok(head >= size)
    }

    /// Opens the ledger in this process, once no other writes to it.
    pub(crate) fn own(&self, wait: &Wait) -> Result<Ledger, Failure> {
        Ok(Ledger::open(&self.path, wait.options())?)
    }

    pub(crate) fn write(&self, wait: &Wait) -> Result<Ledger, Failure> {
        Ok(Ledger::open_shared(&self.path, wait.options())?)
    }
}

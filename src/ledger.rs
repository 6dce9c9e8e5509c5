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

/// How long a command that writes waits for its turn.
#[derive(Args)]
pub(crate) struct Wait {
    /// Seconds to wait while another process writes to the ledger
    #[arg(long = "wait", value_name = "SECONDS", default_value_t = 10)]
    seconds: u32,
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

    pub(crate) fn write(&self, wait: &Wait) -> Result<Ledger, Failure> {
        let mut options = OpenOptions::default();
        options.wait = Duration::from_secs(wait.seconds.into());
        Ok(Ledger::open(&self.path, options)?)
    }
}

use std::{path::PathBuf, time::Duration};

use clap::Args;
use quipu_host::SecretGuard;
use quipu_log::{Ledger, LedgerAt, LedgerReader, OpenOptions, Passphrase};

use crate::{failure::Failure, passphrase, terminal};

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
    /// File with the passphrase of the ledger's key file, where it has one; its last line break does not count
    #[arg(long, global = true, env = "QUIPU_PASSPHRASE_FILE", value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// The file that names agents [default: quipu.toml beside the ledger's folder]
    #[arg(long, global = true, env = "QUIPU_AGENTS", value_name = "FILE")]
    agents: Option<PathBuf>,
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
}

impl LedgerDir {
    /// The ledger of that folder, with neither passphrase nor agents.
    pub(crate) fn at_path(path: PathBuf) -> Self {
        Self {
            path,
            passphrase_file: None,
            agents: None,
        }
    }

    /// Opens the ledger for reading, and warns where its end is missing.
    pub(crate) fn read(&self) -> Result<LedgerReader, Failure> {
        Ok(self.look()?.0)
    }

    /// As [`read`](Self::read); also says whether all entries are there that the signed checkpoint says were
    /// acknowledged. A checkpoint that cannot be believed proves nothing: naming it is for verify.
    pub(crate) fn look(&self) -> Result<(LedgerReader, bool), Failure> {
        let reader = self.at(|at| Ledger::open_read_only(at))?;
        let size = reader.checkpoint().map_or(0, |(_, checkpoint)| checkpoint.size);
        let mut head = reader.head();
        if head < size {
            // A writer may have been at work between.
            head = reader.refresh()?;
        }
        if head < size {
            terminal::warn(&format!(
                "the log ends with {head} entries where {size} were acknowledged"
            ));
        }
        Ok((reader, head >= size))
    }

    /// Does something with the ledger, and with its passphrase where its key file has one.
    pub(crate) fn at<T>(&self, what: impl FnOnce(LedgerAt<'_>) -> quipu_log::Result<T>) -> Result<T, Failure> {
        let passphrase = self.passphrase()?;
        Ok(what(LedgerAt::new(&self.path).passphrase(passphrase.as_ref()))?)
    }

    /// As [`at`](Self::at), for what can be done without: nobody is asked.
    pub(crate) fn at_unasked<T>(&self, what: impl FnOnce(LedgerAt<'_>) -> quipu_log::Result<T>) -> Result<T, Failure> {
        let passphrase = self.given_passphrase()?;
        Ok(what(LedgerAt::new(&self.path).passphrase(passphrase.as_ref()))?)
    }

    /// The passphrase that was given in a file.
    pub(crate) fn given_passphrase(&self) -> Result<Option<Passphrase>, Failure> {
        self.passphrase_file.as_deref().map(passphrase::read).transpose()
    }

    /// The passphrase of the ledger's key file, from the file or the terminal. None: it has none.
    fn passphrase(&self) -> Result<Option<Passphrase>, Failure> {
        match quipu_log::is_sealed(&self.path) {
            Ok(true) => match self.given_passphrase()? {
                None => passphrase::ask().map(Some),
                given => Ok(given),
            },
            // That there is no ledger is better said by what opens it.
            _ => Ok(None),
        }
    }

    /// The file that names agents.
    pub(crate) fn agents_path(&self) -> PathBuf {
        self.agents.clone().unwrap_or_else(|| {
            let ledger = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
            ledger.parent().unwrap_or(&ledger).join("quipu.toml")
        })
    }

    fn options(&self, wait: &Wait) -> Result<OpenOptions, Failure> {
        let mut options = OpenOptions::default();
        options.wait = wait.time();
        Ok(match self.passphrase()? {
            Some(passphrase) => options.passphrase(passphrase),
            None => options,
        })
    }

    /// Opens the ledger in this process, once no other writes to it.
    pub(crate) fn own(&self, wait: &Wait) -> Result<Ledger, Failure> {
        Ok(Ledger::open(&self.path, self.options(wait)?)?)
    }

    /// As [`write_unguarded`](Self::write_unguarded), with something done between the last question to the user and the first file of the ledger.
    pub(crate) fn write_after<T>(
        &self,
        wait: &Wait,
        first: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<(Ledger, T), Failure> {
        let options = self.options(wait)?;
        let done = first()?;
        Ok((Ledger::open_shared(&self.path, options)?, done))
    }

    /// Opens the ledger for writing, with a secret guard in front of it.
    pub(crate) fn write(&self, wait: &Wait) -> Result<Ledger, Failure> {
        let ledger = self.write_unguarded(wait)?;
        SecretGuard::attach(&ledger);
        Ok(ledger)
    }

    /// The same for what only repeats what the ledger holds, and where the guard was turned off.
    pub(crate) fn write_unguarded(&self, wait: &Wait) -> Result<Ledger, Failure> {
        Ok(Ledger::open_shared(&self.path, self.options(wait)?)?)
    }
}

//! Traces: what the command says of its own work, for whoever looks for a fault. They go to the standard error, and are made
//! to be handed on: unless that is asked for, placeholders stand for the names of host and user, for their folders and tokens,
//! and for absolute paths of two parts or more. Of a path with spaces in it the rest is left.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;

use crate::{sanitised::Sanitiser, terminal::escaped_lines};

/// What is traced, and how.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Trace what is done on the standard error: error, warn, info, debug or trace
    #[arg(
        long = "trace",
        global = true,
        env = "QUIPU_LOG",
        value_name = "LEVEL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "info"
    )]
    level: Option<Level>,
    /// Leave host name, user name, paths and tokens in traces; without it placeholders stand for them
    #[arg(long, global = true)]
    unsanitised: bool,
}

/// Begins to trace, where that is asked for.
pub(crate) fn begin(args: &Args, ledger: &Path) {
    let Some(level) = args.level else { return };
    let traces = Traces(Arc::new(Mutex::new(match args.unsanitised {
        true => None,
        false => Some(Sanitiser::of_this_process(ledger)),
    })));
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .without_time()
        .with_writer(traces)
        .finish();
    // There is no other.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// The standard error, line by line.
#[derive(Clone)]
struct Traces(Arc<Mutex<Option<Sanitiser>>>);

impl<'a> MakeWriter<'a> for Traces {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Traces {
    /// One event comes in one piece.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let mut sanitiser = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = match &mut *sanitiser {
            Some(sanitiser) => sanitiser.sanitised(&text),
            None => text.into_owned(),
        };
        io::stderr().write_all(escaped_lines(&text).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Where the ledger is, as an absolute path.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

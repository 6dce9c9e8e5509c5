use std::fmt;

use quipu_format::RunId;
use quipu_log::Receipt;

/// What became of a run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RunReport {
    /// Its name, stamped on its entries.
    pub run: RunId,
    /// How it ended.
    pub outcome: Outcome,
    /// What the guest appended, in order; all of it is durable, however the run ended. Repeats of earlier appends
    /// (idempotency keys) and the host's own entries are not among them.
    pub appended: Vec<Receipt>,
    /// Where its readers were pinned when it began.
    pub head: u64,
    /// How often the guest called the host.
    pub calls: u64,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The guest answered.
    Ok(String),
    /// The guest said that it failed.
    Failed(String),
    /// The guest trapped, or the host ended it: the message is for the operator.
    Trapped(String),
    /// The deadline passed.
    TimedOut,
}

impl Outcome {
    /// The word that the run's last entry says.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Ok(_) => "ok",
            Self::Failed(_) => "failed",
            Self::Trapped(_) => "trapped",
            Self::TimedOut => "deadline",
        }
    }

    /// Of a call that ended without an answer.
    pub(crate) fn of_trap(error: &wasmtime::Error) -> Self {
        match error.downcast_ref::<Stop>() {
            Some(Stop::Deadline) => Self::TimedOut,
            Some(stop) => Self::Trapped(stop.to_string()),
            // The outer messages say where in the wasm; the innermost says what happened.
            None => Self::Trapped(error.root_cause().to_string()),
        }
    }
}

/// Why the host ends a run in the middle.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The deadline passed.
    Deadline,
    /// The host ends its runs.
    Halted,
    /// More answers would have to be recorded than the run's limits allow.
    ToldBytes(usize),
    /// What the guest was told could not be recorded.
    Unrecorded(quipu_log::Error),
    /// A call came before the run began, or after its end.
    OutOfTurn,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadline => f.write_str("the run's deadline passed"),
            Self::Halted => f.write_str("the host ended the run"),
            Self::ToldBytes(limit) => {
                write!(
                    f,
                    "the run was told more refusals and recalled answers than it may: {limit} bytes"
                )
            }
            Self::Unrecorded(error) => write!(f, "the host could not record the run: {error}"),
            Self::OutOfTurn => f.write_str("the context serves one run, from begin to finish"),
        }
    }
}

impl std::error::Error for Stop {}

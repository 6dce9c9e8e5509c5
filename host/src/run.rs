use std::fmt;

use quipu_format::{RunId, escaped};
use quipu_log::Receipt;
use wasmtime::WasmBacktrace;

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
    /// The guest trapped, or the host ended it: the message is for the operator. Where it trapped, lines say in which
    /// functions, by the names that the component gives them.
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

    /// What was said.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Ok(text) | Self::Failed(text) | Self::Trapped(text) => text,
            Self::TimedOut => "the run's deadline passed",
        }
    }

    /// Of a call that ended without an answer.
    pub(crate) fn of_trap(error: &wasmtime::Error) -> Self {
        match error.downcast_ref::<Stop>() {
            Some(Stop::Deadline) => Self::TimedOut,
            Some(stop) => Self::Trapped(stop.to_string()),
            // The innermost message says what happened.
            None => {
                let trace = error.downcast_ref::<WasmBacktrace>().map(trace).unwrap_or_default();
                Self::Trapped(error.root_cause().to_string() + &trace)
            }
        }
    }
}

/// Frames of a trace, the innermost of a stack.
const FRAMES: usize = 12;
/// Characters of a function's name in it.
const NAME_CHARS: usize = 60;

/// Where in the guest's code it happened, a line a function, the innermost first: by the names that the component gives them,
/// which are whatever its author likes, or else by number.
fn trace(backtrace: &WasmBacktrace) -> String {
    let frames = backtrace.frames();
    let mut lines = String::new();
    for frame in frames.iter().take(FRAMES) {
        let name = match frame.func_name() {
            Some(name) => escaped(&name.chars().take(NAME_CHARS).collect::<String>()).into_owned(),
            None => format!("function {}", frame.func_index()),
        };
        lines.push_str(&format!("\n  in {name}"));
    }
    if frames.len() > FRAMES {
        lines.push_str(&format!("\n  and {} or more around it", frames.len() - FRAMES));
    }
    lines
}

/// Why the host ends a run in the middle.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The deadline passed.
    Deadline,
    /// More answers would have to be recorded than the run's limits allow.
    ToldBytes(usize),
    /// What the guest was told could not be recorded.
    Unrecorded(quipu_log::Error),
    /// A call came before the run began, or after its end.
    OutOfTurn,
    /// A run that is executed again has shown whether it is the recorded one.
    Compared,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadline => f.write_str("the run's deadline passed"),
            Self::ToldBytes(limit) => {
                write!(
                    f,
                    "the run was told more refusals and recalled answers than it may: {limit} bytes"
                )
            }
            Self::Unrecorded(error) => write!(f, "the host could not record the run: {error}"),
            Self::Compared => f.write_str("the run was compared as far as it is recorded"),
            Self::OutOfTurn => f.write_str("the context serves one run, from begin to finish"),
        }
    }
}

impl std::error::Error for Stop {}

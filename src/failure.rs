use std::{
    io::{self, Write},
    process::ExitCode,
};

use anstyle::{AnsiColor, Style};

use crate::terminal;

/// How a command ends: [`good`], a [`verdict`], or a failure that is reported.
pub(crate) type Outcome = Result<ExitCode, Failure>;

/// Exit code 0.
pub(crate) fn good() -> Outcome {
    Ok(ExitCode::SUCCESS)
}

/// A verdict's exit code, after the command has printed it, whether or not anybody read it.
pub(crate) fn verdict(printed: io::Result<()>, verdict: Verdict) -> Outcome {
    match printed.map_err(Failure::from) {
        Ok(()) | Err(Failure::OutputClosed) => Ok(ExitCode::from(match verdict {
            Verdict::Yes => 0,
            Verdict::No => NO,
            Verdict::NotAllHere => NOT_ALL_HERE,
        })),
        Err(failure) => Err(failure),
    }
}

/// What a command has found out.
#[derive(Clone, Copy)]
pub(crate) enum Verdict {
    Yes,
    No,
    /// Nothing is wrong with what could be looked at, which was not all.
    NotAllHere,
}

impl From<bool> for Verdict {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

const NO: u8 = 1;
const CANNOT: u8 = 2;
const NOT_ALL_HERE: u8 = 3;

/// Why a command stopped.
pub(crate) enum Failure {
    /// The answer is no. Exit code 1.
    No(String),
    /// Wrong usage, or something cannot be read or written. Exit code 2.
    Cannot(String),
    /// Whoever read our output has gone, which is no failure: `quipu log | head`. Exit code 0.
    OutputClosed,
}

impl Failure {
    pub(crate) fn no(message: impl Into<String>) -> Self {
        Self::No(message.into())
    }

    pub(crate) fn cannot(message: impl Into<String>) -> Self {
        Self::Cannot(message.into())
    }

    /// Of a question for one thing of the ledger: that there is none is the answer.
    pub(crate) fn of_one(error: quipu_log::Error) -> Self {
        match error.kind() {
            quipu_log::ErrorKind::NotFound => Self::No(error.to_string()),
            _ => error.into(),
        }
    }

    /// What there is to tell.
    pub(crate) fn message(&self) -> &str {
        match self {
            Self::No(message) | Self::Cannot(message) => message,
            Self::OutputClosed => "nobody reads the output",
        }
    }

    /// Tells the user and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        let (message, code) = match self {
            Self::No(message) => (message, NO),
            Self::Cannot(message) => (message, CANNOT),
            Self::OutputClosed => return ExitCode::SUCCESS,
        };
        const ERROR: Style = AnsiColor::Red.on_default().bold();
        // If nobody reads it, the exit code must do.
        let _ = writeln!(
            anstream::stderr(),
            "{ERROR}error{ERROR:#}: {}",
            terminal::escaped_lines(&message)
        );
        ExitCode::from(code)
    }
}

/// An error of writing our own output. Files and ledgers have errors that name them.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Cannot(format!("cannot write the output: {error}")),
        }
    }
}

impl From<quipu_log::Error> for Failure {
    fn from(error: quipu_log::Error) -> Self {
        match error.kind() {
            quipu_log::ErrorKind::Conflict
            | quipu_log::ErrorKind::Redacted
            | quipu_log::ErrorKind::Held
            | quipu_log::ErrorKind::Quota => Self::No(error.to_string()),
            _ => Self::Cannot(error.to_string()),
        }
    }
}

impl From<quipu_format::Error> for Failure {
    fn from(error: quipu_format::Error) -> Self {
        Self::Cannot(error.to_string())
    }
}

impl From<quipu_projections::Error> for Failure {
    fn from(error: quipu_projections::Error) -> Self {
        Self::Cannot(error.to_string())
    }
}

impl From<quipu_host::Error> for Failure {
    fn from(error: quipu_host::Error) -> Self {
        match error.kind() {
            // The agent asks for what is not granted to anybody, or is none: it was looked at, and the answer is no.
            quipu_host::ErrorKind::Component | quipu_host::ErrorKind::Unapproved => Self::No(error.to_string()),
            _ => Self::Cannot(error.to_string()),
        }
    }
}

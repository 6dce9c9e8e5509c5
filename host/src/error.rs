use std::fmt;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a component cannot be loaded or a run cannot begin. The message says what to do about it; it is for the
/// operator and may name files of the ledger, so it is not for guests.
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// What sort of refusal an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bytes are not an agent: not a component of our world, or one that imports more than memory.
    Component,
    /// The grant names what cannot be granted, or more than fits.
    Grant,
    /// The file that names agents cannot be read.
    Agents,
    /// No operator has approved this component and grant under this name.
    Unapproved,
    /// The input is larger than the run's limits allow.
    Input,
    /// The ledger could not be read or written.
    Ledger,
    /// The WebAssembly engine could not be set up.
    Engine,
    /// More runs wait for room than may. A later try may do better.
    Busy,
    /// The runtime is shutting down.
    Closed,
    /// A function was called out of turn: a context serves one run, from `begin` to `finish`.
    Misuse,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// What sort of refusal this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)
    }
}

impl std::error::Error for Error {}

impl From<quipu_log::Error> for Error {
    fn from(error: quipu_log::Error) -> Self {
        Self::new(ErrorKind::Ledger, error.to_string())
    }
}

use std::{fmt, io};

use serde::{Deserialize, Serialize};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a ledger cannot do what was asked. The message says what happened, where, and what to do next; it is for
/// the operator and may name files of the ledger, so it is not for guests.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// What sort of refusal an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no ledger, event or checkpoint of that name.
    NotFound,
    /// There is a ledger already, or the folder is not empty.
    Exists,
    /// An argument is malformed or out of range. Nothing was appended.
    Invalid,
    /// Larger than a limit. Nothing was appended.
    TooLarge,
    /// A quota of the scope does not allow more. Nothing was appended.
    Quota,
    /// The idempotency key was used before with other content. Nothing was appended.
    Conflict,
    /// A [`Screen`](crate::Screen) refuses it: it looks like a secret. Nothing was appended.
    Secret,
    /// A legal hold or a retention policy forbids it. Nothing was erased.
    Held,
    /// The content that was asked about has been erased.
    Redacted,
    /// Another process writes to the ledger.
    Locked,
    /// The key file is sealed under a passphrase, and none was given, or another one. Nothing was changed.
    Sealed,
    /// The folder is a copy of a ledger, and nobody has shown that the ledger did not go further. Nothing was changed.
    ReadOnly,
    /// The checkpoint, the keys and the log contradict each other: not a crash, somebody changed them.
    Tampered,
    /// The log ends before what was acknowledged: an older copy, or a file that lost its end.
    LostEntries,
    /// What was asked about is in an archived segment, whose file is not where it should be. It is not known to be damaged.
    NotHere,
    /// Stored bytes are damaged in a place that a crash cannot explain.
    Corrupt,
    /// The outcome is unknown: a write or sync failed. Open the ledger again; repeat with the same key.
    Unavailable,
    /// No room on the disk. Nothing was appended.
    Full,
    /// The operating system refused.
    Io,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// An error of the operating system while doing `what` (a verb and a file of the ledger).
    pub(crate) fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Full,
            io::ErrorKind::InvalidData => ErrorKind::Corrupt,
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::AlreadyExists => ErrorKind::Exists,
            _ => ErrorKind::Io,
        };
        let advice = match kind {
            ErrorKind::Full => ". Make room on the disk and try again; what was acknowledged is kept",
            _ => "",
        };
        Self::new(kind, format!("cannot {what}: {error}{advice}"))
    }

    /// What sort of refusal this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The same refusal as another kind.
    pub(crate) fn into_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
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

impl From<quipu_format::Error> for Error {
    fn from(error: quipu_format::Error) -> Self {
        Self::new(ErrorKind::Invalid, error.to_string())
    }
}

use std::fmt;

use crate::bindings::types::{Error as Refusal, ErrorKind};

/// What the SDK's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed. Nothing was appended, unless the kind is [`ErrorKind::Unavailable`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    /// An error of the agent's own.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// What to decide by.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// For a person: what happened, and what to do about it.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", name(self.kind), self.message)
    }
}

impl std::error::Error for Error {}

/// So that `?` works on calls of [`bindings`](crate::bindings).
impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self {
            kind: refusal.kind,
            message: refusal.message,
        }
    }
}

/// So that `?` works in a function that returns `Result<_, String>`.
impl From<Error> for String {
    fn from(error: Error) -> Self {
        error.to_string()
    }
}

/// The kind's name in the interface.
fn name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Denied => "denied",
        ErrorKind::Invalid => "invalid",
        ErrorKind::NotFound => "not-found",
        ErrorKind::TooLarge => "too-large",
        ErrorKind::Quota => "quota",
        ErrorKind::Secret => "secret",
        ErrorKind::Conflict => "conflict",
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::Redacted => "redacted",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_becomes_a_text_through_question_marks() {
        fn refused() -> Result<()> {
            Err(Refusal {
                kind: ErrorKind::NotFound,
                message: "no such event".into(),
            })?
        }
        fn handle() -> std::result::Result<(), String> {
            Ok(refused()?)
        }
        assert_eq!(refused().unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(handle().unwrap_err(), "not-found: no such event");
    }
}

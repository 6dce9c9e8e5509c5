use std::fmt;

use wasmtime::component::ResourceTableError;

use crate::bindings::agent::quipu::memory::types::{self, ErrorKind};
use crate::run::Stop;

/// Why a host call does not answer: a refusal that the guest is told, or an end of the run.
///
/// What a guest is told comes from this crate alone. Messages of the ledger, the database and the operating system
/// may name files and hosts; they go to traces and to the operator.
pub struct Refusal(Cause);

enum Cause {
    Told(types::Error),
    Stopped(wasmtime::Error),
}

impl Refusal {
    /// A refusal that the guest is told. It may quote what the guest passed, and is recorded: a long message is cut.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if let Some((end, _)) = message.char_indices().nth(MESSAGE_CHARS) {
            message.truncate(end);
        }
        Self(Cause::Told(types::Error { kind, message }))
    }

    /// What the guest is told; none if the run ends instead.
    pub(crate) fn told(&self) -> Option<&types::Error> {
        match &self.0 {
            Cause::Told(error) => Some(error),
            Cause::Stopped(_) => None,
        }
    }

    /// The same refusal, on account of one draft of several.
    pub(crate) fn of_draft(self, nth: usize) -> Self {
        match self.0 {
            Cause::Told(error) => Self::new(error.kind, format!("draft {nth}: {}", error.message)),
            stopped => Self(stopped),
        }
    }

    /// For the bindings: the WIT's error, or the trap.
    pub(crate) fn into_wit(self) -> wasmtime::Result<types::Error> {
        match self.0 {
            Cause::Told(error) => Ok(error),
            Cause::Stopped(error) => Err(error),
        }
    }
}

impl From<Stop> for Refusal {
    fn from(stop: Stop) -> Self {
        Self(Cause::Stopped(wasmtime::Error::new(stop)))
    }
}

/// A handle that is not in the table: the bindings rule it out, so the guest is not told but ended.
impl From<ResourceTableError> for Refusal {
    fn from(error: ResourceTableError) -> Self {
        Self(Cause::Stopped(wasmtime::Error::new(error)))
    }
}

impl From<quipu_log::Error> for Refusal {
    fn from(error: quipu_log::Error) -> Self {
        use quipu_log::ErrorKind as Log;
        let (kind, message) = match error.kind() {
            Log::NotFound => (ErrorKind::NotFound, NOT_FOUND),
            Log::Invalid => (ErrorKind::Invalid, "the draft is malformed"),
            Log::TooLarge => (
                ErrorKind::TooLarge,
                "too much in one call: source and payload of an entry have at most 1,048,576 bytes, all entries of \
                 one call together 16 MiB; split it",
            ),
            Log::Conflict => (
                ErrorKind::Conflict,
                "the idempotency key was used before, with other content; another content needs another key",
            ),
            Log::Redacted => (
                ErrorKind::Redacted,
                "the idempotency key was used before, and that content has been erased; to say it anew needs \
                 another key",
            ),
            // It says how much is in a scope, and what its quota allows.
            Log::Quota => return Self::new(ErrorKind::Quota, error.to_string()),
            // The guard says which rule and where, and never what.
            Log::Secret => return Self::new(ErrorKind::Secret, error.to_string()),
            Log::Corrupt => {
                tracing::error!(%error, "the ledger is damaged");
                (ErrorKind::Unavailable, DAMAGED)
            }
            _ => {
                tracing::error!(%error, "the ledger failed a guest's call");
                (
                    ErrorKind::Unavailable,
                    "the host's ledger cannot answer now; repeat an append with the same key",
                )
            }
        };
        Self::new(kind, message)
    }
}

/// Characters of a message to a guest. As JSON one has at most six bytes.
pub(crate) const MESSAGE_CHARS: usize = 1000;

/// Of a page with an entry that cannot be read: it is not left out in silence.
pub(crate) const DAMAGED: &str = "this memory is damaged and some of its entries cannot be read; tell the person you work for that \
                       the host's operator should run `quipu verify`";

/// Of a full scope that the run may not read.
pub(crate) const FULL: &str = "a scope that this appends to has no room for this, and an operator of the host can raise its quota; \
                               nothing of this was appended";

/// Of an event that is unknown and of one that this run does not see: the two must not be told apart.
pub(crate) const NOT_FOUND: &str = "no such event among those that this run can see";

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Told(error) => write!(f, "{:?}: {}", error.kind, error.message),
            Cause::Stopped(error) => write!(f, "{error:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_cut_between_characters_whatever_it_quotes() {
        for quoted in ["x", "\u{7f}", "\0", "é", "🪢"] {
            let refusal = Refusal::new(ErrorKind::Invalid, quoted.repeat(300_000)).of_draft(999);
            let message = &refusal.told().unwrap().message;
            assert_eq!(message.chars().count(), MESSAGE_CHARS);
            assert!(message.starts_with("draft 999: ") && message.ends_with(quoted));
            assert!(serde_json::to_string(message).unwrap().len() <= 6 * MESSAGE_CHARS + 2);
        }
    }
}

use std::ops::Range;

use quipu_format::limits;

use crate::TooMuch;

/// Knows what secrets look like in plain text.
pub trait Scanner: Send + Sync {
    /// What looks like a secret in `text`, in no order.
    ///
    /// # Errors
    /// Where that takes more than is left of `work`.
    fn scan(&self, text: &str, work: &mut Work) -> Result<Vec<Match>, TooMuch>;
}

/// A secret in plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Which rule says so.
    pub rule: &'static str,
    /// The secret itself, in bytes of the text.
    pub range: Range<usize>,
}

/// How often each byte of many drafts may be read. What is not made to be slow is read some ten times.
const WORK_PER_BYTE: usize = 512;

/// What is left to be spent on one draft, or those that are appended together. A text cannot take arbitrarily long, whatever
/// is in it, and the same text is refused or not on any machine.
#[derive(Debug)]
pub struct Work {
    left_bytes: usize,
}

impl Work {
    /// As much as one draft may cost.
    pub fn of_a_draft() -> Self {
        Self {
            left_bytes: limits::GUARD_WORK_BYTES,
        }
    }

    /// As much as drafts of so many bytes may cost that are appended together.
    pub fn of_drafts(bytes: usize) -> Self {
        Self {
            left_bytes: limits::GUARD_WORK_BYTES.max(bytes.saturating_mul(WORK_PER_BYTE)),
        }
    }

    /// One rule reads so many bytes.
    ///
    /// # Errors
    /// Where less is left.
    pub fn spend(&mut self, bytes: usize) -> Result<(), TooMuch> {
        self.left_bytes = self.left_bytes.checked_sub(bytes).ok_or(TooMuch)?;
        Ok(())
    }
}

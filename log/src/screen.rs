//! Where an application looks at what is about to be appended, before the log has any part in it.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use quipu_format::limits;

use crate::{Draft, Error, ErrorKind, Result};

/// Looks at drafts before they are appended, and refuses those that the log must not keep, such as secrets: what is
/// appended stays.
///
/// It is called on the thread of whoever appends, and never on the one that commits; drafts of other processes, on the
/// thread that serves them. A ledger that hands its appends to another process has its own look at them first.
pub trait Screen: Send + Sync {
    /// Drafts that are to be appended together, all or none.
    ///
    /// # Errors
    /// Why they are not: nothing is appended, and the caller is told [`ErrorKind::Secret`].
    fn screen(&self, drafts: &[Draft]) -> std::result::Result<(), Screened>;
}

/// Why a draft is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screened {
    /// For whoever appends, be it a guest; it names the draft where there are several. It must not repeat what it is about.
    pub message: String,
}

/// What looks at the drafts of one open ledger, shared by all ways into it.
#[derive(Clone, Default)]
pub(crate) struct Screens(Arc<RwLock<Option<Arc<dyn Screen>>>>);

impl Screens {
    pub(crate) fn set(&self, screen: Arc<dyn Screen>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(screen);
    }

    /// Whether a look at the drafts may take longer than a task should.
    pub(crate) fn takes_long(&self, drafts: &[Draft]) -> bool {
        self.current().is_some() && text_bytes(drafts) > limits::GUARD_INLINE_BYTES
    }

    pub(crate) fn check(&self, drafts: &[Draft]) -> Result<()> {
        let Some(screen) = self.current() else { return Ok(()) };
        let screened = screen.screen(drafts);
        screened.map_err(|Screened { message }| Error::new(ErrorKind::Secret, message))
    }

    fn current(&self) -> Option<Arc<dyn Screen>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Screens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.current().is_some() {
            "Screens(one)"
        } else {
            "Screens(none)"
        })
    }
}

/// Bytes of what drafts say.
pub fn text_bytes(drafts: &[Draft]) -> usize {
    drafts
        .iter()
        .fold(0, |sum: usize, draft| sum.saturating_add(draft.body.text_bytes()))
}

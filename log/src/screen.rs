//! Where an application looks at what is about to be appended, before the log has any part in it.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

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
        let source = |draft: &Draft| {
            draft.body.source.as_ref().map_or(0, |source| {
                serde_json::to_vec(source).map_or(usize::MAX, |json| json.len())
            })
        };
        let bytes = drafts.iter().fold(0_usize, |sum, draft| {
            sum.saturating_add(source(draft))
                .saturating_add(draft.body.payload.get().len())
        });
        bytes > INLINE_BYTES && self.current().is_some()
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

/// Bytes of bodies up to which a task looks at them on its own thread.
const INLINE_BYTES: usize = 4 << 10;

//! Randomness for keys and names: the operating system's. A simulation takes its thread's from a seed instead.

use zeroize::Zeroizing;

use crate::{Error, ErrorKind, Result};

/// Fills `bytes` with randomness that is fit for keys.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<()> {
    #[cfg(test)]
    if seeded::fill(bytes) {
        return Ok(());
    }
    getrandom::fill(bytes)
        .map_err(|e| Error::new(ErrorKind::Io, format!("the system gives no randomness for a key: {e}")))
}

/// A fresh secret.
pub(crate) fn secret() -> Result<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    fill(&mut *bytes)?;
    Ok(bytes)
}

/// What stands in for the operating system's randomness in a simulation.
#[cfg(test)]
pub(crate) mod seeded {
    use std::cell::RefCell;

    type Source = Box<dyn FnMut(&mut [u8])>;

    thread_local! {
        static SOURCE: RefCell<Option<Source>> = const { RefCell::new(None) };
    }

    /// From now on this thread's randomness comes from `source`; with None, from the operating system again.
    pub(crate) fn set(source: Option<Source>) {
        SOURCE.set(source);
    }

    pub(super) fn fill(bytes: &mut [u8]) -> bool {
        SOURCE.with_borrow_mut(|source| source.as_mut().map(|fill| fill(bytes)).is_some())
    }
}

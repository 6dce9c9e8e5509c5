//! Parsers and encoders of WIT trust a component to come of a toolchain, and panic at some that do not. What they do is done
//! here.

use std::{
    cell::Cell,
    panic::{self, UnwindSafe},
    sync::Once,
};

thread_local! {
    /// A panic of this thread is an answer, and nobody needs to read of it.
    static IS_ANSWER: Cell<bool> = const { Cell::new(false) };
}

/// What comes of the work; none if it panicked, of which nothing is printed.
pub(crate) fn trusting<T>(work: impl FnOnce() -> T + UnwindSafe) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !IS_ANSWER.get() {
                before(info);
            }
        }));
    });
    let outer = IS_ANSWER.replace(true);
    let done = panic::catch_unwind(work);
    IS_ANSWER.set(outer);
    done.ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn only_a_panic_within_the_work_is_kept_silent() {
        static HEARD: AtomicUsize = AtomicUsize::new(0);
        // Whatever hook there was before goes on being called for other panics.
        let before = panic::take_hook();
        panic::set_hook(Box::new(|_| {
            HEARD.fetch_add(1, Ordering::Relaxed);
        }));
        assert_eq!(trusting(|| 7), Some(7));
        assert_eq!(trusting(|| -> u8 { panic!("malformed") }), None);
        let silent = HEARD.load(Ordering::Relaxed);
        let other = panic::catch_unwind(|| panic!("a fault of ours"));
        let heard = HEARD.load(Ordering::Relaxed);
        panic::set_hook(before);
        assert_eq!((silent, heard), (0, 1));
        assert!(other.is_err());
    }
}

//! What a caller asks for, drafts that are appended together or not at all, and what comes of it. It is one block of
//! memory, which its caller allocates and as a rule gives back: whoever works on it meanwhile does so in place.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use smallvec::SmallVec;

use crate::{Error, Receipt, Result, checkpoint::Signed, draft::Prepared};

/// Most requests are of one draft: it needs no block of memory of its own, which one thread would allocate and another
/// free.
pub(crate) type Drafts = SmallVec<[Prepared; 1]>;

/// As many.
pub(crate) type Receipts = SmallVec<[Receipt; 1]>;

/// What whoever makes a request waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Until {
    /// That its drafts are durable.
    Durable,
    /// That, and that a checkpoint covers them, which is told in the same answer.
    Covered,
}

/// A request in the hands of those who carry it out. Dropping it ends it unanswered.
pub(crate) struct Request {
    shared: Arc<Mutex<Shared>>,
    /// Upper bound of the bytes that it adds to a commit.
    pub(crate) bytes: usize,
    /// Drafts in it.
    pub(crate) entries: usize,
    pub(crate) until: Until,
    is_answered: bool,
}

/// A request whose entries are durable, and that waits for a checkpoint.
pub(crate) struct Waiting {
    request: Request,
    /// Entries that the checkpoint must cover.
    pub(crate) size: u64,
}

/// What becomes of a request, for its caller. None: nobody is left who would answer it.
pub(crate) struct Answer(Arc<Mutex<Shared>>);

/// What both hold.
pub(crate) struct Shared {
    pub(crate) drafts: Drafts,
    /// What is to be answered, as soon as it is durable.
    pub(crate) outcome: Option<Result<Receipts>>,
    /// The checkpoint that covers it, or why there is none.
    signed: Option<Result<Arc<Signed>>>,
    is_over: bool,
    waker: Option<Waker>,
}

impl Request {
    /// Of these drafts; of none, it is only to be answered.
    pub(crate) fn new(drafts: Drafts, until: Until) -> (Self, Answer) {
        let (bytes, entries) = (drafts.iter().map(|draft| draft.line_bytes).sum(), drafts.len());
        let shared = Arc::new(Mutex::new(Shared {
            drafts,
            outcome: None,
            signed: None,
            is_over: false,
            waker: None,
        }));
        let answer = Answer(shared.clone());
        let request = Self {
            shared,
            bytes,
            entries,
            until,
            is_answered: false,
        };
        (request, answer)
    }

    /// Its drafts and its outcome.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Shared> {
        lock(&self.shared)
    }

    /// Nothing comes of it, unless it was refused before.
    pub(crate) fn fail(&self, error: &Error) {
        let mut shared = self.lock();
        if !matches!(shared.outcome, Some(Err(_))) {
            shared.outcome = Some(Err(error.clone()));
        }
    }

    /// Tells its caller the outcome, or gives what still waits for a checkpoint.
    pub(crate) fn tell(self) -> Option<Waiting> {
        let size = match (&self.lock().outcome, self.until) {
            (Some(Ok(receipts)), Until::Covered) => receipts.iter().map(|receipt| receipt.seq + 1).max(),
            _ => None,
        };
        match size {
            Some(size) => Some(Waiting { request: self, size }),
            None => {
                self.answer();
                None
            }
        }
    }

    /// Tells its caller the outcome. Whoever waited may have gone: what is durable stays.
    pub(crate) fn answer(mut self) {
        self.is_answered = true;
        let mut shared = self.lock();
        shared.is_over = true;
        wake(shared);
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if !self.is_answered {
            let mut shared = self.lock();
            // It may have been made ready, and is not durable.
            (shared.outcome, shared.is_over) = (None, true);
            wake(shared);
        }
    }
}

impl Waiting {
    /// Somebody who appends nothing, and waits for a checkpoint of so many entries.
    pub(crate) fn new(size: u64) -> (Self, Answer) {
        let (request, answer) = Request::new(Drafts::new(), Until::Covered);
        request.lock().outcome = Some(Ok(Receipts::new()));
        (Self { request, size }, answer)
    }

    /// Tells of the checkpoint. Whoever waited may have gone.
    pub(crate) fn tell(self, signed: Result<Arc<Signed>>) {
        self.request.lock().signed = Some(signed);
        self.request.answer();
    }
}

impl Answer {
    /// The checkpoint, of one that has come and waited for one. None: nobody is left who would sign it.
    pub(crate) fn signed(&self) -> Option<Result<Arc<Signed>>> {
        lock(&self.0).signed.take()
    }

    /// What it is, if it has come.
    pub(crate) fn now(&self) -> Option<Option<Result<Receipts>>> {
        let mut shared = lock(&self.0);
        shared.is_over.then(|| shared.outcome.take())
    }
}

impl Future for Answer {
    type Output = Option<Result<Receipts>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut shared = lock(&self.0);
        if shared.is_over {
            return Poll::Ready(shared.outcome.take());
        }
        match &mut shared.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes whoever waits, when the lock is free again.
fn wake(mut shared: MutexGuard<'_, Shared>) {
    let waker = shared.waker.take();
    drop(shared);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::ErrorKind;

    struct Woken(AtomicU32);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn poll(answer: &mut Answer, woken: &Arc<Woken>) -> Poll<Option<Result<Receipts>>> {
        let waker = Waker::from(woken.clone());
        Pin::new(answer).poll(&mut Context::from_waker(&waker))
    }

    /// What a caller is told whose request was made ready, and then met this.
    fn told(end: impl FnOnce(Request)) -> Option<Result<Receipts>> {
        let (request, mut answer) = Request::new(Drafts::new(), Until::Durable);
        let woken = Arc::new(Woken(AtomicU32::new(0)));
        assert!(poll(&mut answer, &woken).is_pending());
        request.lock().outcome = Some(Ok(Receipts::new()));
        assert!(poll(&mut answer, &woken).is_pending(), "it is not durable");
        end(request);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        match poll(&mut answer, &woken) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => panic!("left waiting"),
        }
    }

    #[test]
    fn nothing_is_told_before_the_request_is_answered_and_of_one_that_was_dropped_nothing() {
        assert!(matches!(told(Request::answer), Some(Ok(_))));
        assert!(told(drop).is_none());
        let broken = Error::new(ErrorKind::Unavailable, "the disk is gone");
        let failed = told(|request| {
            request.fail(&Error::new(ErrorKind::Invalid, "first"));
            request.fail(&broken);
            request.answer();
        });
        assert_eq!(failed.unwrap().unwrap_err().kind(), ErrorKind::Invalid);
    }
}

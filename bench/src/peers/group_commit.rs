//! Group commit in front of a store: whatever waits while one commit is made goes into the next.

use std::{
    mem,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use tokio::sync::oneshot;

use super::Store;
use crate::Result;

pub(super) struct GroupCommit {
    queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<Result<()>>>>,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    payloads: Vec<String>,
    answers: Vec<oneshot::Sender<()>>,
    finished: bool,
}

impl GroupCommit {
    pub(super) fn start(store: Arc<impl Store>) -> Self {
        let queue = Arc::new(Queue::default());
        let thread = thread::spawn({
            let queue = queue.clone();
            move || queue.commit_all(&*store)
        });
        Self {
            queue,
            thread: Mutex::new(Some(thread)),
        }
    }

    /// Returns when the payload is durable.
    pub(super) async fn append(&self, payload: String) -> Result<()> {
        let (answer, done) = oneshot::channel();
        self.queue.change(|waiting| {
            if !waiting.finished {
                waiting.payloads.push(payload);
                waiting.answers.push(answer);
            }
        });
        Ok(done.await.map_err(|_| "the committing thread has ended")?)
    }

    /// Commits what waits and ends; the error is the store's.
    pub(super) fn finish(&self) -> Result<()> {
        self.queue.change(|waiting| waiting.finished = true);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        thread.map_or(Ok(()), |thread| {
            thread.join().map_err(|_| "the committing thread panicked")?
        })
    }
}

impl Queue {
    fn change(&self, change: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = waiting.payloads.is_empty();
        change(&mut waiting);
        drop(waiting);
        if was_empty {
            self.changed.notify_one();
        }
    }

    fn commit_all(&self, store: &impl Store) -> Result<()> {
        let (mut payloads, mut answers) = (Vec::new(), Vec::new());
        while self.take(&mut payloads, &mut answers) {
            if let Err(error) = store.commit(&payloads) {
                // Whoever waits is told, by dropping what would answer.
                self.change(|waiting| {
                    *waiting = Waiting {
                        finished: true,
                        ..Waiting::default()
                    };
                });
                return Err(error);
            }
            payloads.clear();
            for answer in answers.drain(..) {
                let _ = answer.send(());
            }
        }
        Ok(())
    }

    /// Waits for payloads and takes all. False: there are none and will be none.
    fn take(&self, payloads: &mut Vec<String>, answers: &mut Vec<oneshot::Sender<()>>) -> bool {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut waiting = self
            .changed
            .wait_while(waiting, |waiting| waiting.payloads.is_empty() && !waiting.finished)
            .unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut waiting.payloads, payloads);
        mem::swap(&mut waiting.answers, answers);
        !payloads.is_empty()
    }
}

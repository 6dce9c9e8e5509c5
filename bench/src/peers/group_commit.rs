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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Keeps what is committed, until it is told to fail.
    #[derive(Default)]
    struct Kept {
        payloads: Mutex<Vec<String>>,
        fails_from: usize,
    }

    impl Store for Kept {
        fn open(_: &Path) -> Result<Self> {
            Ok(Self::default())
        }

        fn commit(&self, payloads: &[String]) -> Result<()> {
            let mut kept = self.payloads.lock().unwrap();
            if kept.len() + payloads.len() > self.fails_from {
                return Err("the disk is full".into());
            }
            kept.extend_from_slice(payloads);
            Ok(())
        }

        fn count(&self) -> Result<u64> {
            Ok(self.payloads.lock().unwrap().len() as u64)
        }
    }

    /// How many of so many appends, made at once, were acknowledged; and the store's own error.
    fn append(store: &Arc<Kept>, appends: usize) -> (usize, Result<()>) {
        let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
        let group = Arc::new(GroupCommit::start(store.clone()));
        let tasks: Vec<_> = (0..appends)
            .map(|i| {
                let group = group.clone();
                runtime.spawn(async move { group.append(i.to_string()).await })
            })
            .collect();
        let done = tasks.into_iter().map(|task| runtime.block_on(task).unwrap());
        let acknowledged = done.filter(|done| done.is_ok()).count();
        (acknowledged, group.finish())
    }

    #[test]
    fn every_payload_is_committed_once() {
        let store = Arc::new(Kept {
            fails_from: usize::MAX,
            ..Kept::default()
        });
        let (acknowledged, ended) = append(&store, 1_000);
        assert_eq!(acknowledged, 1_000);
        assert!(ended.is_ok());
        let mut kept: Vec<usize> = store
            .payloads
            .lock()
            .unwrap()
            .iter()
            .map(|p| p.parse().unwrap())
            .collect();
        kept.sort_unstable();
        assert_eq!(kept, (0..1_000).collect::<Vec<_>>());
    }

    #[test]
    fn a_failed_commit_acknowledges_nothing_and_keeps_nobody_waiting() {
        let store = Arc::new(Kept {
            fails_from: 100,
            ..Kept::default()
        });
        let (acknowledged, ended) = append(&store, 1_000);
        assert_eq!(acknowledged as u64, store.count().unwrap());
        assert_eq!(ended.unwrap_err().to_string(), "the disk is full");
    }
}

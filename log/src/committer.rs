//! Group commit: whoever waits when a commit begins is part of it. One write, one sync, all are answered.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use quipu_format::limits;

use crate::{
    Error, ErrorKind, Result,
    checkpointer::Checkpointer,
    sequencer::{Request, Sequencer},
};

/// How long a commit waits for the writers of the one before it, which have just been woken, to come back.
const GATHER: Duration = Duration::from_micros(100);

/// Takes requests to the sequencer.
pub(crate) struct Committer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
    sequencer: Mutex<Sequencer>,
    checkpointer: Arc<Checkpointer>,
}

#[derive(Default)]
struct Queue {
    requests: VecDeque<Request>,
    /// Requests at which the committing thread wants to be woken; 0: it is not waiting.
    wanted: usize,
    closed: bool,
}

impl Committer {
    pub(crate) fn start(sequencer: Sequencer, checkpointer: Arc<Checkpointer>) -> Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            arrived: Condvar::new(),
            sequencer: Mutex::new(sequencer),
            checkpointer,
        });
        let worker = shared.clone();
        let thread = thread::Builder::new()
            .name("quipu-commit".into())
            .spawn(move || {
                let closing = CloseOnDrop(&worker);
                work(closing.0);
            })
            .map_err(|e| Error::io("start the committing thread", &e))?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Queues a request. Its answer comes through its channel.
    pub(crate) fn submit(&self, request: Request) -> Result<()> {
        let mut queue = self.shared.queue();
        if queue.closed {
            return Err(closed());
        }
        queue.requests.push_back(request);
        if queue.wanted > 0 && queue.requests.len() >= queue.wanted {
            queue.wanted = 0;
            drop(queue);
            self.shared.arrived.notify_one();
        }
        Ok(())
    }

    /// Commits a request on the caller's thread where nobody else is committing, else queues it.
    pub(crate) fn submit_inline(&self, request: Request) -> Result<()> {
        let Ok(mut sequencer) = self.shared.sequencer.try_lock() else {
            return self.submit(request);
        };
        let mut queue = self.shared.queue();
        if queue.closed {
            return Err(closed());
        }
        queue.requests.push_back(request);
        let batch = take_batch(&mut queue);
        drop(queue);
        self.shared.checkpointer.add(sequencer.commit(batch));
        drop(sequencer);
        // Who came meanwhile found the sequencer taken and relies on the committing thread.
        let mut queue = self.shared.queue();
        if !queue.requests.is_empty() && queue.wanted > 0 {
            queue.wanted = 0;
            drop(queue);
            self.shared.arrived.notify_one();
        }
        Ok(())
    }

    /// Commits what is queued and takes no more.
    pub(crate) fn close(&self) {
        self.shared.queue().closed = true;
        self.shared.arrived.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic there has been answered to those who waited.
            let _ = thread.join();
        }
        // A caller that was committing inline finishes first.
        if let Ok(mut sequencer) = self.shared.sequencer.lock() {
            sequencer.close();
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// However the committing thread ends, nobody is left waiting.
struct CloseOnDrop<'a>(&'a Shared);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.closed = true;
        queue.requests.clear();
    }
}

fn work(shared: &Shared) {
    // Writers answered by the commit before: as many as are likely to come back at once.
    let mut answered = 0;
    loop {
        let mut queue = shared.queue();
        while queue.requests.is_empty() {
            if queue.closed {
                return;
            }
            queue.wanted = 1;
            queue = shared.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let deadline = Instant::now() + GATHER;
        while queue.requests.len() < answered && !queue.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            queue.wanted = answered;
            queue = shared
                .arrived
                .wait_timeout(queue, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        queue.wanted = 0;
        drop(queue);
        // After the sequencer is free, so that all who came while it was busy are in.
        let Ok(mut sequencer) = shared.sequencer.lock() else {
            return;
        };
        let batch = take_batch(&mut shared.queue());
        answered = batch.len();
        if !batch.is_empty() {
            shared.checkpointer.add(sequencer.commit(batch));
        }
    }
}

/// As many requests as fit one commit, at least one.
fn take_batch(queue: &mut Queue) -> Vec<Request> {
    let mut bytes = 0;
    let fits = queue.requests.iter().take_while(|request| {
        bytes += request.bytes();
        bytes <= limits::COMMIT_BYTES
    });
    let count = fits.count().max(1).min(queue.requests.len());
    queue.requests.drain(..count).collect()
}

fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the ledger has been closed: open it again")
}

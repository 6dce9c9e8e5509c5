//! Group commit: whoever waits when a commit begins is part of it. One write, one sync, all are answered.

use std::{
    collections::VecDeque,
    hint, mem,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use quipu_format::limits;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{
    Error, ErrorKind, Result,
    alone::{self, Alone},
    checkpointer::Checkpointer,
    request::Request,
    sequencer::Sequencer,
    stage::{Made, Stage},
};

/// How long a commit waits for the writers of the one before it, which have just been woken, to come back.
const GATHER: Duration = Duration::from_micros(200);

/// Turns of the processor between two looks at the queue: about a microsecond.
const SPINS: usize = 32;

/// Takes requests to the sequencer.
pub(crate) struct Committer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
    /// Bytes that may still be queued.
    room: Semaphore,
    sequencer: Mutex<Sequencer>,
    /// Where callers make their requests ready while the sequencer is busy.
    stage: Arc<Mutex<Stage>>,
    /// The sequencer wants the stage.
    held: AtomicBool,
    checkpointer: Arc<Checkpointer>,
    /// There is another processor for those who are waited for.
    may_spin: bool,
}

#[derive(Default)]
struct Queue {
    requests: VecDeque<Request>,
    /// Requests before these that are staged already, and their bytes.
    staged: usize,
    staged_bytes: usize,
    /// Requests at which the committing thread wants to be woken; 0: it is not waiting.
    wanted: usize,
    /// The committing thread looks at the queue all the time.
    watched: bool,
    /// The committing thread has nothing to do and expects nobody.
    idle: bool,
    closed: bool,
    alone: Alone,
}

impl Queue {
    /// Requests for the next commit.
    fn waiting(&self) -> usize {
        self.staged + self.requests.len()
    }
}

impl Committer {
    pub(crate) fn start(sequencer: Sequencer, checkpointer: Arc<Checkpointer>) -> Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            arrived: Condvar::new(),
            room: Semaphore::new(limits::QUEUED_BYTES),
            stage: sequencer.shared_stage(),
            held: AtomicBool::new(false),
            sequencer: Mutex::new(sequencer),
            checkpointer,
            may_spin: thread::available_parallelism().is_ok_and(|processors| processors.get() > 1),
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

    /// Queues a request, as soon as there is room. Its answer comes through its channel.
    pub(crate) async fn submit(&self, request: Request) -> Result<()> {
        let bytes = u32::try_from(request.bytes).unwrap_or(u32::MAX);
        let room = self.shared.room.acquire_many(bytes).await.map_err(|_| closed())?;
        self.push(request, room)
    }

    /// Queues a request that has room.
    fn push(&self, request: Request, room: SemaphorePermit<'_>) -> Result<()> {
        let mut queue = self.shared.queue();
        if queue.closed {
            return Err(closed());
        }
        // The room is given back when a commit takes the request.
        room.forget();
        let is_alone = queue.waiting() == 0 && queue.alone.may_commit();
        queue.requests.push_back(request);
        // The committing thread, if it comes as well, finds nothing to do.
        if is_alone && let Ok(sequencer) = self.shared.sequencer.try_lock() {
            drop(queue);
            alone::in_place(|| self.shared.commit(sequencer));
            return Ok(());
        }
        let watched = queue.watched;
        let enough = queue.wanted > 0 && queue.waiting() >= queue.wanted;
        if enough {
            queue.wanted = 0;
        }
        drop(queue);
        if enough {
            self.shared.arrived.notify_one();
        } else if !watched {
            self.shared.stage_ahead();
        }
        Ok(())
    }

    /// Commits a request on the caller's thread where nobody else is committing or about to, else queues it.
    pub(crate) fn submit_inline(&self, request: Request) -> Result<()> {
        let bytes = u32::try_from(request.bytes).unwrap_or(u32::MAX);
        if let Ok(room) = self.shared.room.try_acquire_many(bytes) {
            let mut queue = self.shared.queue();
            if queue.idle
                && queue.waiting() == 0
                && !queue.closed
                && let Ok(sequencer) = self.shared.sequencer.try_lock()
            {
                room.forget();
                queue.requests.push_back(request);
                drop(queue);
                self.shared.commit(sequencer);
                return Ok(());
            }
        }
        crate::wait::block_on(self.submit(request))
    }

    /// Commits what is queued and takes no more.
    pub(crate) fn close(&self) {
        self.shared.queue().closed = true;
        self.shared.room.close();
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

    /// Makes ready what waits, as far as it can be while another thread commits. Where somebody is at it already, the
    /// request is his or is left to the committing thread.
    fn stage_ahead(&self) {
        let Ok(mut stage) = self.stage.try_lock() else { return };
        while !self.held.load(Ordering::Relaxed) {
            let mut queue = self.queue();
            let Some(request) = queue.requests.pop_front_if(|request| stage.takes(request)) else {
                return;
            };
            queue.staged += 1;
            queue.staged_bytes += request.bytes;
            drop(queue);
            stage.add_ahead(request);
        }
    }

    /// Commits what waits, as far as it fits, and answers. Returns how many wrote at the time: those of this commit and
    /// those who came meanwhile.
    fn commit(&self, mut sequencer: MutexGuard<'_, Sequencer>) -> usize {
        self.held.store(true, Ordering::Relaxed);
        let staged = sequencer.hold();
        self.held.store(false, Ordering::Relaxed);
        let mut outcome = sequencer.commit(self.take_batch(staged));
        // In the order of the commits, so before the next one can begin.
        if let Some(seq) = outcome.succession {
            self.checkpointer.succeed(seq);
        }
        let uncovered = outcome.uncovered();
        self.checkpointer.add(&outcome.leaves, uncovered);
        if let Some(seq) = outcome.erasures.last() {
            let covered = self.checkpointer.cover_blocking(seq).map(drop);
            let erasures = mem::take(&mut outcome.erasures);
            outcome.carried_out(sequencer.carry_out(&erasures, covered));
        }
        drop(sequencer);
        let mut queue = self.queue();
        let writers = outcome.len() + queue.waiting();
        queue.alone.saw(writers);
        drop(queue);
        self.checkpointer.add(&[], outcome.answer());
        writers
    }

    /// As many requests as fit one commit beside the bytes that are staged; at least one, where nothing is.
    fn take_batch(&self, staged: usize) -> Vec<Request> {
        let mut queue = self.queue();
        let (mut bytes, mut count, mut entries) = (0, 0, 0);
        for request in &queue.requests {
            let more = bytes + request.bytes;
            entries += request.entries;
            let fits = staged + more <= limits::COMMIT_BYTES && entries <= limits::COMMIT_ENTRIES / 2;
            if count + queue.staged > 0 && !fits {
                break;
            }
            bytes = more;
            count += 1;
        }
        bytes += mem::take(&mut queue.staged_bytes);
        queue.staged = 0;
        let batch = queue.requests.drain(..count).collect();
        drop(queue);
        self.room.add_permits(bytes);
        batch
    }
}

/// However the committing thread ends, nobody is left waiting.
struct CloseOnDrop<'a>(&'a Shared);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.closed = true;
        queue.requests.clear();
        self.0.room.close();
        drop(queue);
        // A caller that commits has taken what is staged, and what it acknowledges counts on it: it finishes first.
        let _sequencer = self.0.sequencer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stage = self.0.stage.lock().unwrap_or_else(PoisonError::into_inner);
        stage.hold();
        drop(stage.take(Made::default()));
    }
}

fn work(shared: &Shared) {
    let mut gather = Gather::default();
    while wait(shared, &mut gather) {
        // After the sequencer is free, so that all who came while it was busy are in.
        let Ok(sequencer) = shared.sequencer.lock() else {
            return;
        };
        if shared.queue().waiting() > 0 {
            gather.expected = shared.commit(sequencer);
        }
    }
}

/// Waits for requests. False: there are none, and there will be none.
fn wait(shared: &Shared, gather: &mut Gather) -> bool {
    let mut queue = shared.queue();
    if !queue.alone.is_expected() && gather.is_worth_while() {
        queue = gather.wait(shared, queue);
    }
    while queue.waiting() == 0 && !queue.closed {
        (queue.wanted, queue.idle) = (1, true);
        queue = shared.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
    (queue.wanted, queue.idle) = (0, false);
    // Those who waited for a checkpoint were woken together, later than the others.
    let woken = shared.checkpointer.woken();
    if woken > queue.waiting() && gather.is_worth_while() {
        gather.expected = woken;
        queue = gather.wait(shared, queue);
        queue.wanted = 0;
    }
    queue.waiting() > 0
}

/// Whom a commit waits for: one sync for all writers instead of two for halves of them, which would stay halves.
#[derive(Default)]
struct Gather {
    /// Writers at the time of the last commit. Those whom it answered have just been woken.
    expected: usize,
    /// Waits in a row that were in vain: the writers had something else to do.
    in_vain: u32,
    /// Commits that are still to come before it is tried again.
    pause: u32,
}

impl Gather {
    fn is_worth_while(&mut self) -> bool {
        let now = self.pause == 0;
        self.pause = self.pause.saturating_sub(1);
        now
    }

    /// Waits for those who are expected.
    fn wait<'a>(&mut self, shared: &'a Shared, mut queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        let (before, deadline) = (queue.waiting(), Instant::now() + GATHER);
        while queue.waiting() < self.expected && !queue.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            queue = if shared.may_spin {
                // They come back before this thread would be asleep, are spared waking it, and go on while it makes
                // ready what they bring.
                queue.watched = true;
                drop(queue);
                shared.stage_ahead();
                (0..SPINS).for_each(|_| hint::spin_loop());
                shared.queue()
            } else {
                queue.wanted = self.expected;
                let waited = shared.arrived.wait_timeout(queue, left);
                waited.unwrap_or_else(PoisonError::into_inner).0
            };
        }
        self.learn(before, queue.waiting());
        queue.watched = false;
        queue
    }

    /// Takes note of how many were there before and after waiting.
    fn learn(&mut self, before: usize, after: usize) {
        let missing = self.expected.saturating_sub(before);
        if missing > 0 {
            let came = after.saturating_sub(before);
            self.in_vain = if 2 * came < missing {
                (self.in_vain + 1).min(5)
            } else {
                0
            };
            self.pause = (1 << self.in_vain) - 1;
        }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the ledger has been closed: open it again")
}

#[cfg(test)]
#[path = "committer_tests.rs"]
mod tests;

//! Who may run now, who waits, and whether anybody still may.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::{Error, ErrorKind, Result, metrics};

/// Runs that may wait for room at once, unless [`Runtime::waiting`](crate::Runtime::waiting) says otherwise.
pub const WAITING_RUNS: usize = 10_000;

/// A switch that ends runs in order: each is stopped at its next call, or within a [`TICK`](crate::TICK), and its end is
/// recorded; what a call has begun to append is finished first. Clones are the same switch.
#[derive(Debug, Clone, Default)]
pub struct Halt(Arc<Switch>);

#[derive(Debug, Default)]
struct Switch {
    is_on: AtomicBool,
    turned_on: Notify,
}

impl Halt {
    /// One that is off.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the runs that have it, and lets none begin.
    pub fn halt(&self) {
        self.0.is_on.store(true, Ordering::SeqCst);
        self.0.turned_on.notify_waiters();
    }

    /// Whether it is on.
    pub fn is_halted(&self) -> bool {
        self.0.is_on.load(Ordering::SeqCst)
    }

    /// Waits until it is on.
    #[cfg(feature = "recall")]
    pub(crate) async fn halted(&self) {
        let turned_on = self.0.turned_on.notified();
        tokio::pin!(turned_on);
        // Before the look: what is turned on between the two must not go unheard.
        turned_on.as_mut().enable();
        if !self.is_halted() {
            turned_on.await;
        }
    }
}

/// What the runs of one runtime pass before they begin.
pub(crate) struct Gate {
    /// Memories that the pool has left.
    memories: Semaphore,
    waiting: AtomicUsize,
    waiting_limit: usize,
    running: AtomicUsize,
    /// Nobody is let in any more.
    is_closed: AtomicBool,
    /// Told whenever a run has ended.
    ended: Notify,
    halt: Halt,
}

/// The right to run: given back when it is dropped.
pub(crate) struct Pass<'a> {
    gate: &'a Gate,
    _memories: SemaphorePermit<'a>,
}

/// A place in the queue.
struct Place<'a>(&'a Gate);

impl Gate {
    pub(crate) fn new(memories: u32) -> Self {
        Self {
            memories: Semaphore::new(memories as usize),
            waiting: AtomicUsize::new(0),
            waiting_limit: WAITING_RUNS,
            running: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
            ended: Notify::new(),
            halt: Halt::new(),
        }
    }

    /// With room for so many memories at once.
    pub(crate) fn set_memories(&mut self, memories: u32) {
        self.memories = Semaphore::new(memories as usize);
    }

    pub(crate) fn set_waiting_limit(&mut self, runs: usize) {
        self.waiting_limit = runs;
    }

    /// What ends the runs of this gate.
    pub(crate) fn halt(&self) -> &Halt {
        &self.halt
    }

    /// Waits until there is room for a run of that many memories, in the order of the calls.
    pub(crate) async fn enter(&self, memories: u32) -> Result<Pass<'_>> {
        let permits = match self.memories.try_acquire_many(memories) {
            Ok(permits) => permits,
            Err(_) => {
                let _place = Place::take(self)?;
                self.memories.acquire_many(memories).await.map_err(|_| closed())?
            }
        };
        // Counted first, and only then asked: either the one who closes sees this run, or this run sees that it is closed.
        self.running.fetch_add(1, Ordering::SeqCst);
        metrics::run_began();
        let pass = Pass {
            gate: self,
            _memories: permits,
        };
        match self.is_closed.load(Ordering::SeqCst) {
            false => Ok(pass),
            true => Err(closed()),
        }
    }

    /// Lets nobody in any more, and waits until all have left: those who have not after `within` are ended, and it says how
    /// many that were.
    pub(crate) async fn close(&self, within: Duration) -> usize {
        self.is_closed.store(true, Ordering::SeqCst);
        self.memories.close();
        if tokio::time::timeout(within, self.emptied()).await.is_ok() {
            return 0;
        }
        let ended = self.running.load(Ordering::SeqCst);
        self.halt.halt();
        self.emptied().await;
        ended
    }

    async fn emptied(&self) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            // Before the look: a run that ends between the two must not go unheard.
            ended.as_mut().enable();
            if self.running.load(Ordering::SeqCst) == 0 {
                return;
            }
            ended.await;
        }
    }
}

impl<'a> Place<'a> {
    fn take(gate: &'a Gate) -> Result<Self> {
        let place = Self(gate);
        let before = gate.waiting.fetch_add(1, Ordering::Relaxed);
        metrics::wait_began();
        if before < gate.waiting_limit {
            return Ok(place);
        }
        let limit = gate.waiting_limit;
        Err(Error::new(
            ErrorKind::Busy,
            format!("{limit} runs wait already, and no more may: try again later"),
        ))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        metrics::wait_ended();
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.gate.running.fetch_sub(1, Ordering::SeqCst);
        metrics::run_left();
        self.gate.ended.notify_waiters();
    }
}

fn closed() -> Error {
    Error::new(
        ErrorKind::Closed,
        "the runtime is shutting down, and begins no more runs",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_finds_no_room_waits_and_past_the_limit_is_refused() {
        let mut gate = Gate::new(2);
        gate.set_waiting_limit(1);
        let first = gate.enter(2).await.unwrap();
        let waits = gate.enter(1);
        tokio::pin!(waits);
        assert!(
            tokio::time::timeout(Duration::from_millis(10), waits.as_mut())
                .await
                .is_err()
        );
        assert_eq!(gate.enter(1).await.err().unwrap().kind(), ErrorKind::Busy);
        drop(first);
        let _second = waits.await.unwrap();
        // Whoever gave up has left the queue.
        assert!(
            tokio::time::timeout(Duration::from_millis(10), gate.enter(2))
                .await
                .is_err()
        );
        assert!(
            tokio::time::timeout(Duration::from_millis(10), gate.enter(2))
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn closing_refuses_who_waits_and_waits_for_who_runs() {
        let gate = Gate::new(1);
        let first = gate.enter(1).await.unwrap();
        let (waited, ended, ()) = tokio::join!(gate.enter(1), gate.close(Duration::from_secs(60)), async {
            tokio::task::yield_now().await;
            assert!(!gate.halt().is_halted());
            drop(first);
        });
        assert_eq!(waited.err().unwrap().kind(), ErrorKind::Closed);
        assert_eq!(ended, 0);
        assert_eq!(gate.enter(1).await.err().unwrap().kind(), ErrorKind::Closed);
    }

    #[tokio::test]
    async fn who_runs_too_long_is_halted() {
        let gate = Gate::new(1);
        let pass = gate.enter(1).await.unwrap();
        let (ended, ()) = tokio::join!(gate.close(Duration::from_millis(1)), async {
            while !gate.halt().is_halted() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            drop(pass);
        });
        assert_eq!(ended, 1);
    }
}

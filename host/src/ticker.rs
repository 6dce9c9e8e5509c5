use std::{
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

use wasmtime::Engine;

use crate::{Error, ErrorKind, Result};

/// How long a guest computes before others get their turn, and how late a deadline may strike.
pub const TICK: Duration = Duration::from_millis(10);

/// Raises an engine's epoch every [`TICK`], until it is dropped. Without one, nothing interrupts a guest that
/// computes for ever; each engine needs exactly one.
pub struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts the thread. The engine's [`Config`](wasmtime::Config) must have `epoch_interruption` on.
    pub fn start(engine: &Engine) -> Result<Self> {
        let engine = engine.weak();
        let (stop, stopped) = mpsc::channel();
        let tick = move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                match engine.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => break,
                }
            }
        };
        let thread = thread::Builder::new()
            .name("quipu-ticker".into())
            .spawn(tick)
            .map_err(|e| {
                Error::new(
                    ErrorKind::Engine,
                    format!("cannot start the thread that keeps deadlines: {e}"),
                )
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It can only have panicked, and its message is out already.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_ends_when_the_ticker_is_dropped() {
        let ticker = Ticker::start(&Engine::default()).unwrap();
        drop(ticker); // joins: hangs if the thread went on
    }
}

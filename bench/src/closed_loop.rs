//! Writers in a closed loop: each has one append outstanding and makes the next when that is acknowledged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    Result,
    figure::percentile,
    machine::{Load, Watch},
    payload::Payloads,
    settings::Settings,
};

/// What comes before the measured part: files grow, scopes get their keys, threads start.
pub(crate) const WARM_UP: Duration = Duration::from_millis(500);

/// What one measurement gave.
pub(crate) struct Measured {
    /// Payloads that were acknowledged in it.
    pub(crate) payloads: usize,
    /// Payloads a second.
    pub(crate) rate: f64,
    /// Microseconds from call to acknowledgement: half took less, and 99 in 100. NaN where they cannot be seen.
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// The machine meanwhile.
    pub(crate) load: Load,
}

impl Measured {
    pub(crate) fn new(payloads: usize, time: Duration, latencies: &[Duration], load: Load) -> Self {
        let mut latencies: Vec<f64> = latencies.iter().map(|latency| latency.as_secs_f64() * 1e6).collect();
        latencies.sort_by(f64::total_cmp);
        Self {
            payloads,
            rate: payloads as f64 / time.as_secs_f64(),
            p50_us: percentile(&latencies, 0.5),
            p99_us: percentile(&latencies, 0.99),
            load,
        }
    }
}

/// One thread a writer; each calls its own of `appends`, which return when the payload is durable.
pub(crate) fn threads<A>(settings: &Settings, appends: Vec<A>) -> Result<Measured>
where
    A: FnMut(String) -> Result<()> + Send + 'static,
{
    let window = Arc::new(Window::default());
    let threads: Vec<_> = appends
        .into_iter()
        .enumerate()
        .map(|(i, mut append)| {
            let window = window.clone();
            thread::spawn(move || -> Result<Vec<Duration>> {
                let (mut payloads, mut latencies) = (Payloads::of(i), Vec::new());
                while !window.is_over() {
                    let payload = payloads.make();
                    let (counts, begin) = (window.counts(), Instant::now());
                    append(payload)?;
                    window.keep(counts, begin, &mut latencies);
                }
                Ok(latencies)
            })
        })
        .collect();
    let (time, load) = window.pass(settings);
    let latencies = threads
        .into_iter()
        .map(|thread| thread.join().map_err(|_| "a writer panicked")?);
    gather(latencies, time, load)
}

/// One task a writer, on tokio's multi-thread runtime.
pub(crate) fn tasks<A, F>(settings: &Settings, appends: Vec<A>) -> Result<Measured>
where
    A: FnMut(String) -> F + Send + 'static,
    F: Future<Output = Result<()>> + Send,
{
    let window = Arc::new(Window::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
    let tasks: Vec<_> = appends
        .into_iter()
        .enumerate()
        .map(|(i, mut append)| {
            let window = window.clone();
            runtime.spawn(async move {
                let (mut payloads, mut latencies) = (Payloads::of(i), Vec::new());
                while !window.is_over() {
                    let payload = payloads.make();
                    let (counts, begin) = (window.counts(), Instant::now());
                    append(payload).await?;
                    window.keep(counts, begin, &mut latencies);
                }
                Ok(latencies)
            })
        })
        .collect();
    let (time, load) = window.pass(settings);
    let latencies = tasks.into_iter().map(|task| runtime.block_on(task)?);
    gather(latencies, time, load)
}

fn gather(writers: impl Iterator<Item = Result<Vec<Duration>>>, time: Duration, load: Load) -> Result<Measured> {
    let latencies = writers.collect::<Result<Vec<_>>>()?.concat();
    Ok(Measured::new(latencies.len(), time, &latencies, load))
}

/// The part of the time in which appends count: those that begin and end in it.
#[derive(Default)]
struct Window(AtomicU8);

const COUNTS: u8 = 1;
const OVER: u8 = 2;

impl Window {
    fn counts(&self) -> bool {
        self.0.load(Ordering::Relaxed) == COUNTS
    }

    fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed) == OVER
    }

    fn keep(&self, counted_at_begin: bool, begin: Instant, latencies: &mut Vec<Duration>) {
        if counted_at_begin && !self.is_over() {
            latencies.push(begin.elapsed());
        }
    }

    /// Waits for warm-up and window; returns the window's length and the machine's load in it.
    fn pass(&self, settings: &Settings) -> (Duration, Load) {
        thread::sleep(WARM_UP);
        let (watch, begin) = (Watch::start(&settings.folder), Instant::now());
        self.0.store(COUNTS, Ordering::Relaxed);
        thread::sleep(settings.length);
        self.0.store(OVER, Ordering::Relaxed);
        (begin.elapsed(), watch.load())
    }
}

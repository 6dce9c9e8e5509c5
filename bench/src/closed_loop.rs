//! Writers in a closed loop: each has one append outstanding and makes the next when that is acknowledged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use quipu_log::Ledger;

use crate::{Result, figure::percentile, ledger::Writer, machine::Others};

/// Bytes of each payload.
pub(crate) const PAYLOAD_BYTES: usize = 512;

/// What comes before the measured part: files grow, scopes get their keys, threads start.
pub(crate) const WARM_UP: Duration = Duration::from_millis(500);

/// What one measurement gave.
pub(crate) struct Measured {
    /// Payloads a second.
    pub(crate) rate: f64,
    /// Microseconds from call to acknowledgement: half took less, and 99 in 100.
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Cores that other processes kept busy meanwhile.
    pub(crate) others: f64,
}

impl Measured {
    pub(crate) fn new(payloads: usize, time: Duration, latencies: Vec<Duration>, others: f64) -> Self {
        let mut latencies: Vec<f64> = latencies.iter().map(|latency| latency.as_secs_f64() * 1e6).collect();
        latencies.sort_by(f64::total_cmp);
        Self {
            rate: payloads as f64 / time.as_secs_f64(),
            p50_us: percentile(&latencies, 0.5),
            p99_us: percentile(&latencies, 0.99),
            others,
        }
    }
}

/// Which API the writers call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Api {
    /// One task a writer, on tokio's multi-thread runtime.
    Async,
    /// One thread a writer.
    Blocking,
}

impl Api {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Async => "async",
            Self::Blocking => "blocking",
        }
    }
}

/// Appends to the ledger with so many writers, each in a scope of its own.
pub(crate) fn measure(ledger: &Ledger, api: Api, writers: usize, length: Duration) -> Result<Measured> {
    let window = Arc::new(Window::default());
    match api {
        Api::Async => {
            let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
            let tasks: Vec<_> = (0..writers)
                .map(|i| runtime.spawn(append_async(ledger.clone(), Writer::new(i), window.clone())))
                .collect();
            let (time, others) = window.pass(length);
            let latencies = tasks.into_iter().map(|task| runtime.block_on(task)?);
            gather(latencies, time, others)
        }
        Api::Blocking => {
            let threads: Vec<_> = (0..writers)
                .map(|i| {
                    let (ledger, window) = (ledger.clone(), window.clone());
                    thread::spawn(move || append_blocking(&ledger, Writer::new(i), &window))
                })
                .collect();
            let (time, others) = window.pass(length);
            let latencies = threads
                .into_iter()
                .map(|thread| thread.join().map_err(|_| "a writer panicked")?);
            gather(latencies, time, others)
        }
    }
}

async fn append_async(ledger: Ledger, mut writer: Writer, window: Arc<Window>) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    while !window.is_over() {
        let draft = writer.draft(PAYLOAD_BYTES)?;
        let (counts, begin) = (window.counts(), Instant::now());
        ledger.append(draft).await?;
        if counts && !window.is_over() {
            latencies.push(begin.elapsed());
        }
    }
    Ok(latencies)
}

fn append_blocking(ledger: &Ledger, mut writer: Writer, window: &Window) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    while !window.is_over() {
        let draft = writer.draft(PAYLOAD_BYTES)?;
        let (counts, begin) = (window.counts(), Instant::now());
        ledger.append_blocking(draft)?;
        if counts && !window.is_over() {
            latencies.push(begin.elapsed());
        }
    }
    Ok(latencies)
}

fn gather(writers: impl Iterator<Item = Result<Vec<Duration>>>, time: Duration, others: f64) -> Result<Measured> {
    let latencies = writers.collect::<Result<Vec<_>>>()?.concat();
    Ok(Measured::new(latencies.len(), time, latencies, others))
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

    /// Waits for warm-up and window; returns the window's length and how busy others were.
    fn pass(&self, length: Duration) -> (Duration, f64) {
        thread::sleep(WARM_UP);
        let (others, begin) = (Others::watch(), Instant::now());
        self.0.store(COUNTS, Ordering::Relaxed);
        thread::sleep(length);
        self.0.store(OVER, Ordering::Relaxed);
        (begin.elapsed(), others.cores())
    }
}

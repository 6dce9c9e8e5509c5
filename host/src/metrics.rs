//! What an application's recorder is told of the runs, with feature `metrics`; without it nothing is done.
//!
//! | metric | kind | meaning |
//! |---|---|---|
//! | `quipu_runs_running`, `quipu_runs_waiting` | gauge | runs that go on, and that wait for room |
//! | `quipu_runs_total{outcome}` | counter | runs that ended: `ok`, `failed`, `trapped`, `deadline`; `killed` where the future was dropped, `unbegun` where ledger or grant let none begin that had got in |
//! | `quipu_runs_refused_total{reason}` | counter | runs that did not get in: `busy`, `closed` |
//! | `quipu_run_wait_seconds`, `quipu_run_seconds` | histogram | waiting for room, and from there to the recorded end |
//! | `quipu_run_calls`, `quipu_run_appends` | histogram | host calls and appended entries of a run |

use std::time::{Duration, Instant};

use crate::{ErrorKind, RunReport};

/// A run goes on from now.
pub(crate) fn run_began() {
    #[cfg(feature = "metrics")]
    ::metrics::gauge!("quipu_runs_running").increment(1.0);
}

/// It does no more.
pub(crate) fn run_left() {
    #[cfg(feature = "metrics")]
    ::metrics::gauge!("quipu_runs_running").decrement(1.0);
}

/// A run waits for room from now.
pub(crate) fn wait_began() {
    #[cfg(feature = "metrics")]
    ::metrics::gauge!("quipu_runs_waiting").increment(1.0);
}

/// It does no more.
pub(crate) fn wait_ended() {
    #[cfg(feature = "metrics")]
    ::metrics::gauge!("quipu_runs_waiting").decrement(1.0);
}

/// A run has got in.
pub(crate) fn waited(time: Duration) {
    #[cfg(feature = "metrics")]
    ::metrics::histogram!("quipu_run_wait_seconds").record(time.as_secs_f64());
    let _ = time;
}

/// A run has not got in.
pub(crate) fn refused(why: ErrorKind) {
    #[cfg(feature = "metrics")]
    {
        let reason = if why == ErrorKind::Busy { "busy" } else { "closed" };
        ::metrics::counter!("quipu_runs_refused_total", "reason" => reason).increment(1);
    }
    let _ = why;
}

/// A run that goes on. Dropped before its end, it was killed.
pub(crate) struct Watched {
    begun: Instant,
    is_over: bool,
}

impl Watched {
    pub(crate) fn begin() -> Self {
        Self {
            begun: Instant::now(),
            is_over: false,
        }
    }

    /// It ended so; none: it did not begin.
    pub(crate) fn ended(mut self, report: Option<&RunReport>) {
        self.is_over = true;
        self.count(report.map_or("unbegun", |report| report.outcome.word()));
        #[cfg(feature = "metrics")]
        if let Some(report) = report {
            ::metrics::histogram!("quipu_run_seconds").record(self.begun.elapsed().as_secs_f64());
            ::metrics::histogram!("quipu_run_calls").record(report.calls as f64);
            ::metrics::histogram!("quipu_run_appends").record(report.appended.len() as f64);
        }
    }

    fn count(&self, outcome: &'static str) {
        #[cfg(feature = "metrics")]
        ::metrics::counter!("quipu_runs_total", "outcome" => outcome).increment(1);
        let _ = (self.begun, outcome);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.is_over {
            self.count("killed");
        }
    }
}

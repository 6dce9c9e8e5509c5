//! quipu under load: the same closed loop through each of its faces.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use quipu_format::Limits;
use quipu_host::{Grant, Memory, Runtime};
use quipu_log::Ledger;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::{
    Result,
    closed_loop::{self, Measured, WARM_UP},
    ledger::{self, Writer},
    machine::Watch,
    payload::PAYLOAD_BYTES,
    run,
    settings::Settings,
};

/// Which face the writers call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    /// One task a writer, on tokio's multi-thread runtime.
    Async,
    /// One thread a writer.
    Blocking,
    /// As `Async`, and each receipt comes with its proof.
    Proved,
    /// One run of an agent a writer; all of one runtime.
    Guest,
}

impl Api {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Async => "async",
            Self::Blocking => "blocking",
            Self::Proved => "proved",
            Self::Guest => "guest",
        }
    }
}

/// So many writers, each in a scope of its own, on a new ledger; and the bytes of the log that an entry took.
pub(crate) fn measure(settings: &Settings, api: Api, writers: usize) -> Result<(Measured, f64)> {
    let (ledger, path) = ledger::create(&settings.folder)?;
    let each = (0..writers).map(|i| (ledger.clone(), Writer::new(i)));
    let measured = match api {
        Api::Async => {
            let append = |(ledger, writer): (Ledger, Writer)| {
                move |payload: String| {
                    let (ledger, draft) = (ledger.clone(), writer.draft(&payload));
                    async move {
                        ledger.append(draft?).await?;
                        Ok(())
                    }
                }
            };
            closed_loop::tasks(settings, each.map(append).collect())?
        }
        Api::Blocking => {
            let append = |(ledger, writer): (Ledger, Writer)| {
                move |payload: String| {
                    ledger.append_blocking(writer.draft(&payload)?)?;
                    Ok(())
                }
            };
            closed_loop::threads(settings, each.map(append).collect())?
        }
        Api::Proved => {
            let append = |(ledger, writer): (Ledger, Writer)| {
                move |payload: String| {
                    let (ledger, draft) = (ledger.clone(), writer.draft(&payload));
                    async move {
                        ledger.append_proved(draft?).await?;
                        Ok(())
                    }
                }
            };
            closed_loop::tasks(settings, each.map(append).collect())?
        }
        Api::Guest => through_guests(settings, &ledger, writers)?,
    };
    let stats = ledger.reader().stats()?;
    ledger.close()?;
    fs::remove_dir_all(path)?;
    Ok((measured, stats.entry_bytes as f64 / stats.entries as f64))
}

/// More than a guest appends in any measurement.
const ENDLESS: u32 = u32::MAX;

/// Begins so many runs that append until they are dropped. A guest has no clock, so only the rate is seen from here.
fn through_guests(settings: &Settings, ledger: &Ledger, writers: usize) -> Result<Measured> {
    let mut limits = Limits::default();
    limits.appends = ENDLESS;
    limits.deadline_ms = 24 * 60 * 60 * 1_000;
    let executor = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let runtime = std::sync::Arc::new(Runtime::over(Memory::unguarded(ledger.clone())?, limits)?);
    let agent = runtime.load(&run::guest(settings)?)?;
    let input = json!({ "appends": ENDLESS, "payload_bytes": PAYLOAD_BYTES }).to_string();
    let runs: Vec<JoinHandle<Result<()>>> = (0..writers)
        .map(|i| {
            let (runtime, agent, input) = (runtime.clone(), agent.clone(), input.clone());
            executor.spawn(async move {
                let grant = Grant::new(Writer::new(i).actor().clone(), Writer::new(i).scope().clone());
                let report = runtime.run(&agent, &grant, &input).await?;
                Err(format!("the guest was to append on and on: {:?}", report.outcome).into())
            })
        })
        .collect();

    let begin = Instant::now();
    // The ledger's own scope is one too.
    while begin.elapsed() < WARM_UP || ledger.reader().scopes().len() <= writers {
        if begin.elapsed() > Duration::from_secs(60) || runs.iter().any(JoinHandle::is_finished) {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let (watch, begin, first) = (Watch::start(&settings.folder), Instant::now(), ledger.reader().head());
    thread::sleep(settings.length);
    let (time, load, end) = (begin.elapsed(), watch.load(), ledger.reader().head());
    for run in runs {
        if run.is_finished() {
            executor.block_on(run)??;
        } else {
            run.abort();
        }
    }
    drop(runtime);
    executor.shutdown_timeout(Duration::from_secs(10));
    Ok(Measured::new((end - first) as usize, time, &[], load))
}

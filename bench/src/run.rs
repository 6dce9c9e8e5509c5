//! Group `run`: compiling and instantiating an agent, a whole run, and an append call apart from durability.

use std::{
    fs,
    time::{Duration, Instant},
};

use quipu_format::{Actor, Limits, Scope};
use quipu_host::{Grant, Memory, Outcome, RunReport, Runtime};
use quipu_log::Ledger;
use serde_json::{Value, json};

use crate::{
    Result,
    figure::Figure,
    instances::{IDLE, INSTANCES, Instances, Nothing, Unlimited},
    ledger::{self, Writer},
    machine::Watch,
    payload::{PAYLOAD_BYTES, Payloads},
    settings::Settings,
};

/// The guest that is run: `{"appends":N,"payload_bytes":B}` makes it append.
const GUEST: &str = "writer.wasm";

/// Appends of one measured run; as many as the limits allow.
const APPENDS: u32 = 10_000;

/// Whole runs of one measurement.
const RUNS: u32 = 100;

/// The guest that fetches pages, how many of one run, and the events of each.
const PAGER: &str = "pager.wasm";
const PAGES: u32 = 20;
const PAGE_EVENTS: usize = 1_000;

pub(crate) fn measure(settings: &Settings) -> Result<Vec<Figure>> {
    let (wasm, pager) = (guest(settings)?, read(settings, PAGER)?);
    let executor = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (ledger, folder) = ledger::create(&settings.folder)?;

    seed(&ledger)?;

    let mut compile_ms = Vec::new();
    let mut instantiate_us = Vec::new();
    let mut nothing_us = Vec::new();
    let mut idle_kib = Vec::new();
    let mut page_ms = Vec::new();
    let mut append_us = Vec::new();
    let mut unlimited_us = Vec::new();
    let mut limits_us = Vec::new();
    let mut run_us = Vec::new();
    let mut others: f64 = 0.0;
    let repetitions = settings.repetitions.unwrap_or(3);
    for repetition in 1..=repetitions {
        eprintln!("run: {repetition} of {repetitions}");
        let watch = Watch::start(&settings.folder);
        compile_ms.push(compile(&ledger, &wasm)?.as_secs_f64() * 1e3);
        let instances = Instances::new(&ledger, &wasm)?;
        idle_kib.push(executor.block_on(instances.idle_bytes())? / 1024.0);
        instantiate_us.push(executor.block_on(instances.instantiate())?.as_secs_f64() * 1e6);
        nothing_us.push(executor.block_on(Nothing::new()?.instantiate())?.as_secs_f64() * 1e6);
        page_ms.push(executor.block_on(page(&ledger, &pager))?.as_secs_f64() * 1e3);
        let limited = executor.block_on(append_call(&ledger, &wasm))?.as_secs_f64() * 1e6;
        let unlimited = executor.block_on(unlimited_append_call(&ledger, &wasm))?.as_secs_f64() * 1e6;
        append_us.push(limited);
        unlimited_us.push(unlimited);
        limits_us.push(limited - unlimited);
        run_us.push(executor.block_on(whole_run(&ledger, &wasm))?.as_secs_f64() * 1e6);
        others = others.max(watch.load().others_cores);
    }
    drop(executor);
    ledger.close()?;
    fs::remove_dir_all(folder)?;

    let with = |more: Value| {
        let mut conditions = json!({
            "component_bytes": wasm.len(),
            "others_cores": others,
        });
        if let (Some(all), Some(more)) = (conditions.as_object_mut(), more.as_object()) {
            all.extend(more.clone());
        }
        conditions
    };
    let pool = json!({ "allocator": "pooling", "instances_each": INSTANCES });
    let pages = json!({ "events": PAGE_EVENTS, "payload_bytes": PAYLOAD_BYTES, "pages_each": PAGES });
    let append = json!({ "payload_bytes": PAYLOAD_BYTES, "appends_each": APPENDS, "durable": false });
    Ok(vec![
        Figure::new("compile", "ms", &compile_ms, &with(json!({}))),
        Figure::new("instantiate", "µs", &instantiate_us, &with(pool.clone())),
        Figure::new("instantiate-nothing", "µs", &nothing_us, &with(pool)),
        Figure::new("idle-instance", "KiB", &idle_kib, &with(json!({ "instances": IDLE }))),
        Figure::new("append-call", "µs", &append_us, &with(append.clone())),
        Figure::new("append-call-unlimited", "µs", &unlimited_us, &with(append.clone())),
        Figure::new("limits", "µs", &limits_us, &with(append)),
        Figure::new("page", "ms", &page_ms, &with(pages)),
        Figure::new(
            "run",
            "µs",
            &run_us,
            &with(json!({ "runs_each": RUNS, "durable": true })),
        ),
    ])
}

/// The guest's component.
pub(crate) fn guest(settings: &Settings) -> Result<Vec<u8>> {
    read(settings, GUEST)
}

fn read(settings: &Settings, name: &str) -> Result<Vec<u8>> {
    let path = settings.guests.join(name);
    fs::read(&path).map_err(|e| format!("{}: {e}; `cargo xtask guests` builds it", path.display()).into())
}

/// From bytes to an agent that can be run.
fn compile(ledger: &Ledger, wasm: &[u8]) -> Result<Duration> {
    let runtime = Runtime::over(Memory::unguarded(ledger.clone())?, Limits::default())?;
    let begin = Instant::now();
    runtime.load(wasm)?;
    Ok(begin.elapsed())
}

/// One append of a guest, to a memory that acknowledges and discards: the difference of a run that appends and one
/// that does not.
async fn append_call(ledger: &Ledger, wasm: &[u8]) -> Result<Duration> {
    let runtime = Runtime::over(Memory::discarding(ledger.clone())?, Limits::default())?;
    let (none, all) = (run(&runtime, wasm, 0).await?, run(&runtime, wasm, APPENDS).await?);
    Ok(all.saturating_sub(none) / APPENDS)
}

/// The same without deadlines.
async fn unlimited_append_call(ledger: &Ledger, wasm: &[u8]) -> Result<Duration> {
    let agent = Unlimited::new(ledger, wasm)?;
    let mut times = [Duration::ZERO; 2];
    for (time, appends) in times.iter_mut().zip([0, APPENDS]) {
        let input = input(appends);
        let begin = Instant::now();
        let report = agent.run(&input).await?;
        *time = begin.elapsed();
        appended(&report, appends)?;
    }
    Ok(times[1].saturating_sub(times[0]) / APPENDS)
}

/// What the pager reads.
fn seed(ledger: &Ledger) -> Result<()> {
    let writer = Writer::new(0);
    let mut payloads = Payloads::of(0);
    let drafts = (0..PAGE_EVENTS).map(|_| writer.draft(&payloads.make()));
    let drafts = drafts.collect::<Result<_>>()?;
    ledger.append_all_blocking(drafts)?;
    Ok(())
}

/// One page to the guest: the difference of a run that fetches many and one that fetches none.
async fn page(ledger: &Ledger, wasm: &[u8]) -> Result<Duration> {
    let runtime = Runtime::over(Memory::unguarded(ledger.clone())?, Limits::default())?;
    let agent = runtime.load(wasm)?;
    let grant = Grant::new(Actor::new("agent:bench")?, Writer::new(0).scope().clone());
    let mut times = [Duration::ZERO; 2];
    for (time, pages) in times.iter_mut().zip([0, PAGES]) {
        let begin = Instant::now();
        let report = runtime.run(&agent, &grant, &pages.to_string()).await?;
        *time = begin.elapsed();
        let expected = PAGE_EVENTS * pages as usize;
        match report.outcome {
            Outcome::Ok(events) if events == expected.to_string() => (),
            other => return Err(format!("the guest {PAGER} was to read {expected} events: {other:?}").into()),
        }
    }
    Ok(times[1].saturating_sub(times[0]) / PAGES)
}

/// A run that appends nothing, its beginning and end recorded durably.
async fn whole_run(ledger: &Ledger, wasm: &[u8]) -> Result<Duration> {
    let runtime = Runtime::over(Memory::unguarded(ledger.clone())?, Limits::default())?;
    let mut time = Duration::ZERO;
    for _ in 0..RUNS {
        time += run(&runtime, wasm, 0).await?;
    }
    Ok(time / RUNS)
}

async fn run(runtime: &Runtime, wasm: &[u8], appends: u32) -> Result<Duration> {
    let agent = runtime.load(wasm)?;
    let input = input(appends);
    let begin = Instant::now();
    let report = runtime.run(&agent, &grant()?, &input).await?;
    let time = begin.elapsed();
    appended(&report, appends)?;
    Ok(time)
}

fn input(appends: u32) -> String {
    json!({ "appends": appends, "payload_bytes": PAYLOAD_BYTES }).to_string()
}

fn appended(report: &RunReport, appends: u32) -> Result<()> {
    let Outcome::Ok(answer) = &report.outcome else {
        return Err(format!("the guest {GUEST} did not finish: {:?}", report.outcome).into());
    };
    let answer: Value = serde_json::from_str(answer)?;
    if answer["appended"] != appends {
        return Err(format!("the guest {GUEST} was to append {appends}: {answer}").into());
    }
    Ok(())
}

pub(crate) fn grant() -> Result<Grant> {
    Ok(Grant::new(Actor::new("agent:bench")?, Scope::new("bench:run")?))
}

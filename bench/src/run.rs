//! Group `run`: compiling and instantiating an agent, a whole run, and an append call apart from durability.

use std::{
    fs,
    time::{Duration, Instant},
};

use quipu_format::{Actor, Limits, Scope};
use quipu_host::{AgentComponent, Grant, Memory, Outcome, QuipuCtx, QuipuCtxView, Runtime, add_to_linker};
use quipu_log::Ledger;
use serde_json::{Value, json};
use wasmtime::{
    Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
    component::{Component, InstancePre, Linker, ResourceTable},
};

use crate::{Result, figure::Figure, ledger, machine::Watch, payload::PAYLOAD_BYTES, settings::Settings};

/// The guest that is run: `{"appends":N,"payload_bytes":B}` makes it append.
const GUEST: &str = "writer.wasm";

/// Appends of one measured run; as many as the limits allow.
const APPENDS: u32 = 10_000;

/// How often the short ones are done in one measurement.
const INSTANCES: u32 = 2_000;
const RUNS: u32 = 100;

pub(crate) fn measure(settings: &Settings) -> Result<Vec<Figure>> {
    let wasm = guest(settings)?;
    let executor = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (ledger, folder) = ledger::create(&settings.folder)?;

    let mut compile_ms = Vec::new();
    let mut instantiate_us = Vec::new();
    let mut append_us = Vec::new();
    let mut run_us = Vec::new();
    let mut others: f64 = 0.0;
    let repetitions = settings.repetitions.unwrap_or(3);
    for repetition in 1..=repetitions {
        eprintln!("run: {repetition} of {repetitions}");
        let watch = Watch::start(&settings.folder);
        compile_ms.push(compile(&ledger, &wasm)?.as_secs_f64() * 1e3);
        let instances = Instances::new(&ledger, &wasm)?;
        instantiate_us.push(executor.block_on(instances.instantiate())?.as_secs_f64() * 1e6);
        append_us.push(executor.block_on(append_call(&ledger, &wasm))?.as_secs_f64() * 1e6);
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
    let append = json!({ "payload_bytes": PAYLOAD_BYTES, "appends_each": APPENDS, "durable": false });
    Ok(vec![
        Figure::new("compile", "ms", &compile_ms, &with(json!({}))),
        Figure::new("instantiate", "µs", &instantiate_us, &with(pool)),
        Figure::new("append-call", "µs", &append_us, &with(append)),
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
    let path = settings.guests.join(GUEST);
    fs::read(&path).map_err(|e| format!("{}: {e}; `cargo xtask guests` builds it", path.display()).into())
}

/// From bytes to an agent that can be run.
fn compile(ledger: &Ledger, wasm: &[u8]) -> Result<Duration> {
    let runtime = Runtime::over(Memory::unguarded(ledger.clone())?, Limits::default())?;
    let begin = Instant::now();
    runtime.load(wasm)?;
    Ok(begin.elapsed())
}

/// What an application has that makes instances of one agent.
struct Instances {
    engine: Engine,
    pre: InstancePre<State>,
    memory: Memory,
}

struct State {
    quipu: QuipuCtx,
    table: ResourceTable,
}

impl Instances {
    fn new(ledger: &Ledger, wasm: &[u8]) -> Result<Self> {
        let mut pool = PoolingAllocationConfig::new();
        pool.max_memory_size(Limits::default().memory_bytes)
            .linear_memory_keep_resident(64 << 10);
        let mut config = quipu_host::config();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config)?;
        let component = Component::new(&engine, AgentComponent::new(wasm)?.bytes())?;
        let mut linker = Linker::new(&engine);
        add_to_linker(&mut linker, |state: &mut State| QuipuCtxView {
            ctx: &mut state.quipu,
            table: &mut state.table,
        })?;
        let pre = linker.instantiate_pre(&component)?;
        Ok(Self {
            engine,
            pre,
            memory: Memory::discarding(ledger.clone())?,
        })
    }

    /// One store and one instance in it, made and dropped.
    async fn instantiate(&self) -> Result<Duration> {
        let (grant, limits) = (grant()?, Limits::default());
        let mut time = Duration::ZERO;
        for _ in 0..INSTANCES {
            let quipu = QuipuCtx::new(&self.memory, &grant, &limits)?;
            let begin = Instant::now();
            let mut store = Store::new(
                &self.engine,
                State {
                    quipu,
                    table: ResourceTable::new(),
                },
            );
            store.set_epoch_deadline(1_000);
            self.pre.instantiate_async(&mut store).await?;
            drop(store);
            time += begin.elapsed();
        }
        Ok(time / INSTANCES)
    }
}

/// One append of a guest, to a memory that acknowledges and discards: the difference of a run that appends and one
/// that does not.
async fn append_call(ledger: &Ledger, wasm: &[u8]) -> Result<Duration> {
    let runtime = Runtime::over(Memory::discarding(ledger.clone())?, Limits::default())?;
    let (none, all) = (run(&runtime, wasm, 0).await?, run(&runtime, wasm, APPENDS).await?);
    Ok(all.saturating_sub(none) / APPENDS)
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
    let input = json!({ "appends": appends, "payload_bytes": PAYLOAD_BYTES }).to_string();
    let begin = Instant::now();
    let report = runtime.run(&agent, &grant()?, &input).await?;
    let time = begin.elapsed();
    let Outcome::Ok(answer) = &report.outcome else {
        return Err(format!("the guest {GUEST} did not finish: {:?}", report.outcome).into());
    };
    let answer: Value = serde_json::from_str(answer)?;
    if answer["appended"] != appends {
        return Err(format!("the guest {GUEST} was to append {appends}: {answer}").into());
    }
    Ok(time)
}

fn grant() -> Result<Grant> {
    Ok(Grant::new(Actor::new("agent:bench")?, Scope::new("bench:run")?))
}

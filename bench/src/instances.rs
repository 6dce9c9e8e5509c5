//! Making instances of an agent, beside what the engine needs for a component that does nothing.

use std::{
    fs,
    time::{Duration, Instant},
};

use quipu_format::Limits;
use quipu_host::{AgentComponent, AgentPre, Memory, QuipuCtx, QuipuCtxView, RunReport, add_to_linker};
use quipu_log::Ledger;
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
    component::{Component, InstancePre, Linker, ResourceTable},
};

use crate::{Result, run::grant};

/// How often each is done in one measurement.
pub(crate) const INSTANCES: u32 = 2_000;
/// Instances that are held at once.
pub(crate) const IDLE: u32 = 1_000;

/// What an application has that makes instances of one agent.
pub(crate) struct Instances {
    engine: Engine,
    pre: InstancePre<State>,
    memory: Memory,
}

struct State {
    quipu: QuipuCtx,
    table: ResourceTable,
}

fn view(state: &mut State) -> QuipuCtxView<'_> {
    QuipuCtxView {
        ctx: &mut state.quipu,
        table: &mut state.table,
    }
}

/// An engine as the host has it, or one that never looks at a deadline; and in it an agent.
fn engine(wasm: &[u8], interrupted: bool) -> Result<(Engine, AgentComponent, InstancePre<State>)> {
    let mut config = quipu_host::config();
    let pool = quipu_host::pool(&Limits::default());
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config.epoch_interruption(interrupted);
    let engine = Engine::new(&config)?;
    let component = AgentComponent::new(wasm)?;
    let mut linker = Linker::new(&engine);
    add_to_linker(&mut linker, view)?;
    let pre = linker.instantiate_pre(&Component::new(&engine, component.bytes())?)?;
    Ok((engine, component, pre))
}

impl Instances {
    pub(crate) fn new(ledger: &Ledger, wasm: &[u8]) -> Result<Self> {
        let (engine, _, pre) = engine(wasm, true)?;
        Ok(Self {
            engine,
            pre,
            memory: Memory::discarding(ledger.clone())?,
        })
    }

    /// A store with an instance in it.
    async fn one(&self, quipu: QuipuCtx) -> Result<Store<State>> {
        let table = ResourceTable::new();
        let mut store = Store::new(&self.engine, State { quipu, table });
        store.set_epoch_deadline(1_000);
        self.pre.instantiate_async(&mut store).await?;
        Ok(store)
    }

    /// How long half of the instances took at most, each made and dropped in a store of its own.
    pub(crate) async fn instantiate(&self) -> Result<Duration> {
        let (grant, limits) = (grant()?, Limits::default());
        let mut times = Vec::new();
        for _ in 0..INSTANCES {
            let quipu = QuipuCtx::new(&self.memory, &grant, &limits)?;
            let begin = Instant::now();
            drop(self.one(quipu).await?);
            times.push(begin.elapsed());
        }
        Ok(middle(times))
    }

    /// Bytes of memory that one more instance takes while it waits.
    pub(crate) async fn idle_bytes(&self) -> Result<f64> {
        let (grant, limits) = (grant()?, Limits::default());
        let before = resident_bytes()?;
        let mut stores = Vec::new();
        for _ in 0..IDLE {
            stores.push(self.one(QuipuCtx::new(&self.memory, &grant, &limits)?).await?);
        }
        Ok((resident_bytes()?.saturating_sub(before)) as f64 / f64::from(IDLE))
    }
}

/// An agent in an engine that never looks at a deadline, and is otherwise the host's: what limits cost is seen beside it.
pub(crate) struct Unlimited {
    engine: Engine,
    agent: AgentPre<State>,
    memory: Memory,
}

impl Unlimited {
    pub(crate) fn new(ledger: &Ledger, wasm: &[u8]) -> Result<Self> {
        let (engine, component, pre) = engine(wasm, false)?;
        Ok(Self {
            engine,
            agent: AgentPre::new(&component, pre, view)?,
            memory: Memory::discarding(ledger.clone())?,
        })
    }

    /// A whole run.
    pub(crate) async fn run(&self, input: &str) -> Result<RunReport> {
        let state = State {
            quipu: QuipuCtx::new(&self.memory, &grant()?, &Limits::default())?,
            table: ResourceTable::new(),
        };
        Ok(self.agent.run(&mut Store::new(&self.engine, state), input).await?)
    }
}

/// A component that imports nothing and does nothing, as wasmtime by itself has it: the same pool, no limits.
pub(crate) struct Nothing {
    engine: Engine,
    pre: InstancePre<()>,
}

impl Nothing {
    pub(crate) fn new() -> Result<Self> {
        let mut config = Config::new();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(PoolingAllocationConfig::new()));
        let engine = Engine::new(&config)?;
        let component = wat::parse_str(
            "(component
                (core module $m (memory 1) (func (export \"handle\")))
                (core instance $i (instantiate $m))
                (func (export \"handle\") (canon lift (core func $i \"handle\"))))",
        )?;
        let pre = Linker::new(&engine).instantiate_pre(&Component::new(&engine, component)?)?;
        Ok(Self { engine, pre })
    }

    pub(crate) async fn instantiate(&self) -> Result<Duration> {
        let mut times = Vec::new();
        for _ in 0..INSTANCES {
            let begin = Instant::now();
            let mut store = Store::new(&self.engine, ());
            self.pre.instantiate_async(&mut store).await?;
            drop(store);
            times.push(begin.elapsed());
        }
        Ok(middle(times))
    }
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// What of this process is in memory.
fn resident_bytes() -> Result<u64> {
    let pages = fs::read_to_string("/proc/self/statm")?;
    let resident = pages.split(' ').nth(1).ok_or("statm has no second number")?;
    Ok(resident.parse::<u64>()? * rustix::param::page_size() as u64)
}

use std::sync::Arc;

use quipu_format::Limits;
use quipu_log::Ledger;
use tokio::sync::Semaphore;
use tracing::Instrument;

use crate::{
    Agent, AgentComponent, Compiler, Grant, Memory, QuipuCtx, Result, RunReport, Ticker, engine, loader::Loader,
    wasi::Wasi,
};

/// All that a host needs to run agents over one ledger: an engine, its ticker, and the agents that were loaded.
///
/// Share it (`Arc`); any number of runs go on at once from any number of tasks. It needs a tokio runtime, and is
/// best off with one of several threads.
pub struct Runtime {
    memory: Memory,
    limits: Limits,
    loader: Loader,
    /// Memories that the pool has left; runs that find none wait.
    memories: Semaphore,
}

/// Agents that stay compiled.
const LOADED_AGENTS: usize = 64;

impl Runtime {
    /// For runs over this ledger, each within these limits.
    pub fn new(ledger: Ledger, limits: Limits) -> Result<Self> {
        Self::over(Memory::new(ledger)?, limits)
    }

    /// Over a memory that others use too.
    pub fn over(memory: Memory, limits: Limits) -> Result<Self> {
        let engine = engine::new(&limits)?;
        let ticker = Arc::new(Ticker::start(&engine)?);
        Ok(Self {
            memories: Semaphore::new(engine::MEMORIES as usize),
            loader: Loader::new(engine, ticker, LOADED_AGENTS)?,
            memory,
            limits,
        })
    }

    /// With agents compiled so.
    #[must_use]
    pub fn compiling(mut self, compiler: Compiler) -> Self {
        self.loader = self.loader.compiling(compiler);
        self
    }

    /// With a WASI 0.2 for components that import it, which ordinary toolchains make, and nothing behind it: no file, no
    /// network, no argument or variable, an empty standard input. What goes to the standard output is traced, as target
    /// `guest`. The clock stands at the run's beginning, save when the guest waits; random bytes come from a seed that the
    /// run's first entry holds, sealed.
    pub fn with_wasi(mut self) -> Result<Self> {
        self.loader = self.loader.with_wasi()?;
        Ok(self)
    }

    /// Whether the components of runs are kept in the ledger's folder, so that the runs can be executed again. Unless it is
    /// said otherwise, they are.
    #[must_use]
    pub fn keep_components(mut self, keep: bool) -> Self {
        self.memory = self.memory.keep_components(keep);
        self
    }

    /// Takes a component, or a core module with a component-type section. Compiling takes from tens of milliseconds to
    /// seconds on all processors; the same bytes again take none. Do it outside of async tasks.
    ///
    /// A component that imports anything but `quipu:memory` is refused, and the message names it.
    pub fn load(&self, wasm: &[u8]) -> Result<Agent> {
        self.loader.load(wasm)
    }

    /// The same, of one that was read before.
    pub fn load_component(&self, component: AgentComponent) -> Result<Agent> {
        self.loader.load_component(component)
    }

    /// One run: input and grant are recorded, the guest is called in a store of its own, and its end is recorded.
    /// The error is a run that did not begin; how one that began has ended is in the report.
    ///
    /// Dropping the future kills the run. What it appended stays, and the ledger shows it without an end.
    pub async fn run(&self, agent: &Agent, grant: &Grant, input: &str) -> Result<RunReport> {
        let mut quipu = QuipuCtx::new(&self.memory, grant, &self.limits)?;
        if self.loader.has_wasi() {
            quipu.wasi = Some(Wasi::new()?);
        }
        let span = tracing::info_span!("run", run = %quipu.run(), actor = %grant.actor, home = %grant.home);
        let run = async {
            let _room = self.memories.acquire_many(agent.memories()).await;
            let mut store = self.loader.store(quipu);
            agent.pre().run(&mut store, input).await
        };
        run.instrument(span).await
    }

    /// What the runs share.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The limits of each run.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use quipu_format::Limits;
use quipu_log::Ledger;
use tracing::Instrument;

use crate::{
    Agent, AgentComponent, Compiler, Error, ErrorKind, Grant, Memory, QuipuCtx, Result, RunReport, Ticker, engine,
    gate::Gate, limiter::MEMORIES_PER_STORE, loader::Loader, metrics, wasi::Wasi,
};

/// All that a host needs to run agents over one ledger: an engine, its ticker, and the agents that were loaded.
///
/// Share it (`Arc`); any number of runs go on at once from any number of tasks. It needs a tokio runtime, and is
/// best off with one of several threads.
pub struct Runtime {
    memory: Memory,
    limits: Limits,
    loader: Loader,
    gate: Gate,
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
            gate: Gate::new(engine::MEMORIES),
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

    /// With at most so many memories of guests at once, 8 to 1,000 (unless it is called). An ordinary component has one, so these
    /// are runs that go on at once.
    #[must_use]
    pub fn at_once(mut self, memories: u32) -> Self {
        // A run takes all of its component's memories or none.
        self.gate
            .set_memories(memories.clamp(MEMORIES_PER_STORE, engine::MEMORIES));
        self
    }

    /// With so many runs that may wait at most ([`WAITING_RUNS`](crate::WAITING_RUNS) unless it is called) while as many go on as
    /// there is room for ([`at_once`](Self::at_once)). More are refused with [`ErrorKind::Busy`].
    #[must_use]
    pub fn waiting(mut self, runs: usize) -> Self {
        self.gate.set_waiting_limit(runs);
        self
    }

    /// With a WASI 0.2 for components that import it, which ordinary toolchains make, and nothing behind it: no file, no
    /// network, no argument or variable, an empty standard input. What goes to the standard output is traced, as target
    /// `guest`. The clock stands at the run's beginning, save when the guest waits; random bytes come from a seed that the
    /// run's first entry holds, sealed. A run has it if its grant says so.
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
    ///
    /// # Errors
    /// Among others [`ErrorKind::Busy`] where too many runs wait already, and [`ErrorKind::Closed`] after
    /// [`shutdown`](Self::shutdown).
    pub async fn run(&self, agent: &Agent, grant: &Grant, input: &str) -> Result<RunReport> {
        let begun = Instant::now();
        let pass = self.gate.enter(agent.memories()).await;
        let _pass = pass.inspect_err(|error| metrics::refused(error.kind()))?;
        metrics::waited(begun.elapsed());
        let watched = metrics::Watched::begin();
        let report = self.begin(agent, grant, input).await;
        watched.ended(report.as_ref().ok());
        report
    }

    /// A run that has got in.
    async fn begin(&self, agent: &Agent, grant: &Grant, input: &str) -> Result<RunReport> {
        let imports = agent.component().foreign_imports();
        if !imports.is_empty() && !grant.wasi {
            let message = format!(
                "the grant has no WASI, and the component imports it: {}",
                imports.join(", ")
            );
            return Err(Error::new(ErrorKind::Grant, message));
        }
        let mut quipu = QuipuCtx::new(&self.memory, grant, &self.limits)?.halted_by(self.gate.halt());
        if grant.wasi {
            quipu.wasi = Some(Wasi::new()?);
        }
        let span = tracing::info_span!("run", run = %quipu.run(), actor = %grant.actor, home = %grant.home);
        let run = async {
            let mut store = self.loader.store(quipu);
            agent.pre().run(&mut store, input).await
        };
        run.instrument(span).await
    }

    /// Begins no more runs, and waits until those that go on have ended. Those that have not after `within` are ended at their
    /// next call or [`TICK`](crate::TICK), which is recorded; the number of these is returned. A future of a run that is held and
    /// not polled keeps this one waiting. Whatever was acknowledged is
    /// durable already; close the ledger afterwards, which signs its last checkpoint.
    pub async fn shutdown(&self, within: Duration) -> usize {
        self.gate.close(within).await
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

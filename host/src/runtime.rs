use std::sync::{Arc, Mutex, PoisonError};

use quipu_format::{Hash, Limits};
use quipu_log::Ledger;
use tokio::sync::Semaphore;
use tracing::Instrument;
use wasmtime::{
    Engine, Store,
    component::{Linker, ResourceTable},
};

use crate::{
    AgentComponent, AgentPre, Compiler, Error, ErrorKind, Grant, Memory, QuipuCtx, QuipuCtxView, Result, RunReport,
    Ticker, add_observer_to_linker, add_to_linker, engine,
    limiter::MEMORIES_PER_STORE,
    wasi::{self, Wasi},
};

/// All that a host needs to run agents over one ledger: an engine, its ticker, and the agents that were loaded.
///
/// Share it (`Arc`); any number of runs go on at once from any number of tasks. It needs a tokio runtime, and is
/// best off with one of several threads.
pub struct Runtime {
    memory: Memory,
    limits: Limits,
    engine: Engine,
    compiler: Compiler,
    /// Agents get a WASI 0.2 with nothing behind it.
    has_wasi: bool,
    agent_linker: Linker<RunState>,
    observer_linker: Linker<RunState>,
    /// Those loaded last, the newest at the end, by the digest of the bytes that were given.
    loaded: Mutex<Vec<(Hash, Agent)>>,
    /// Memories that the pool has left; runs that find none wait.
    memories: Semaphore,
    _ticker: Ticker,
}

/// An agent, compiled and linked: [`Runtime::run`] runs it any number of times. Cheap to clone.
#[derive(Clone)]
pub struct Agent(Arc<Loaded>);

struct Loaded {
    component: AgentComponent,
    pre: AgentPre<RunState>,
    memories: u32,
}

struct RunState {
    quipu: QuipuCtx,
    table: ResourceTable,
}

fn view(state: &mut RunState) -> QuipuCtxView<'_> {
    QuipuCtxView {
        ctx: &mut state.quipu,
        table: &mut state.table,
    }
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
        let mut agent_linker = Linker::new(&engine);
        add_to_linker(&mut agent_linker, view).map_err(engine::failed)?;
        let mut observer_linker = Linker::new(&engine);
        add_observer_to_linker(&mut observer_linker, view).map_err(engine::failed)?;
        Ok(Self {
            _ticker: Ticker::start(&engine)?,
            memories: Semaphore::new(engine::MEMORIES as usize),
            loaded: Mutex::default(),
            memory,
            limits,
            engine,
            compiler: Compiler::in_process(),
            has_wasi: false,
            agent_linker,
            observer_linker,
        })
    }

    /// With agents compiled so.
    #[must_use]
    pub fn compiling(mut self, compiler: Compiler) -> Self {
        self.compiler = compiler;
        self
    }

    /// With a WASI 0.2 for components that import it, which ordinary toolchains make, and nothing behind it: no file, no
    /// network, no argument or variable, an empty standard input. What goes to the standard output is traced, as target
    /// `guest`. The clock stands at the run's beginning, save when the guest waits; random bytes come from a seed that the
    /// run's first entry holds, sealed. A run has it if its grant says so.
    pub fn with_wasi(mut self) -> Result<Self> {
        for linker in [&mut self.agent_linker, &mut self.observer_linker] {
            wasi::add_to_linker(linker, view).map_err(engine::failed)?;
        }
        self.has_wasi = true;
        Ok(self)
    }

    /// Takes a component, or a core module with a component-type section. Compiling takes from tens of milliseconds to
    /// seconds on all processors; the same bytes again take none. Do it outside of async tasks.
    ///
    /// A component that imports anything but `quipu:memory` is refused, and the message names it.
    pub fn load(&self, wasm: &[u8]) -> Result<Agent> {
        let digest = Hash::of(&[wasm]);
        if let Some(agent) = self.take_loaded(digest) {
            return Ok(agent);
        }
        self.load_new(AgentComponent::new(wasm)?, digest)
    }

    /// The same, of one that was read before.
    pub fn load_component(&self, component: AgentComponent) -> Result<Agent> {
        let digest = component.sha256();
        match self.take_loaded(digest) {
            Some(agent) => Ok(agent),
            None => self.load_new(component, digest),
        }
    }

    fn load_new(&self, component: AgentComponent, digest: Hash) -> Result<Agent> {
        self.check_imports(&component)?;
        let agent = self.compile(component)?;
        self.keep_loaded(digest, agent.clone());
        Ok(agent)
    }

    /// Refuses what imports more than is offered.
    fn check_imports(&self, component: &AgentComponent) -> Result<()> {
        let is_more = |name: &&String| !(self.has_wasi && wasi::is_known(name));
        let more: Vec<_> = component.foreign_imports().iter().filter(is_more).cloned().collect();
        if more.is_empty() {
            return Ok(());
        }
        let mut what = format!(
            "the component wants more than memory, and is not run: it imports {}",
            more.join(", ")
        );
        if more.iter().all(|name| wasi::is_known(name)) {
            what.push_str(
                "\nAll of that is WASI, which its toolchain takes for granted. Build it without (in Rust for \
                 wasm32-unknown-unknown, with componentize-py and componentize-js by their options for stubs), or run it with \
                 --wasi (Runtime::with_wasi), which offers WASI with nothing behind it: no files, no network, no environment",
            );
        }
        Err(Error::new(ErrorKind::Component, what))
    }

    fn compile(&self, component: AgentComponent) -> Result<Agent> {
        let refused =
            |error: wasmtime::Error| Error::new(ErrorKind::Component, format!("the component is refused: {error:#}"));
        let compiled = self.compiler.compile(&self.engine, component.bytes())?;
        let memories = compiled
            .resources_required()
            .map_or(1, |required| required.num_memories);
        let memories = memories.clamp(1, MEMORIES_PER_STORE);
        let linker = if component.world() == "agent" {
            &self.agent_linker
        } else {
            &self.observer_linker
        };
        let mut closing;
        let linker = if self.has_wasi && !component.foreign_imports().is_empty() {
            closing = linker.clone();
            wasi::close(&mut closing, &self.engine, &compiled).map_err(refused)?;
            &closing
        } else {
            linker
        };
        let pre = AgentPre::new(&component, linker.instantiate_pre(&compiled).map_err(refused)?, view)?;
        Ok(Agent(Arc::new(Loaded {
            component,
            pre,
            memories,
        })))
    }

    /// One run: input and grant are recorded, the guest is called in a store of its own, and its end is recorded.
    /// The error is a run that did not begin; how one that began has ended is in the report.
    ///
    /// Dropping the future kills the run. What it appended stays, and the ledger shows it without an end.
    pub async fn run(&self, agent: &Agent, grant: &Grant, input: &str) -> Result<RunReport> {
        let agent = &agent.0;
        let mut quipu = QuipuCtx::new(&self.memory, grant, &self.limits)?;
        let imports = agent.component.foreign_imports();
        if !imports.is_empty() && !grant.wasi {
            let message = format!(
                "the grant has no WASI, and the component imports it: {}",
                imports.join(", ")
            );
            return Err(Error::new(ErrorKind::Grant, message));
        }
        if grant.wasi {
            quipu.wasi = Some(Wasi::new()?);
        }
        let span = tracing::info_span!("run", run = %quipu.run(), actor = %grant.actor, home = %grant.home);
        let run = async {
            let _room = self.memories.acquire_many(agent.memories).await;
            let mut store = Store::new(
                &self.engine,
                RunState {
                    quipu,
                    table: ResourceTable::new(),
                },
            );
            agent.pre.run(&mut store, input).await
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

    fn take_loaded(&self, digest: Hash) -> Option<Agent> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let at = loaded.iter().position(|(of, _)| *of == digest)?;
        let newest = loaded.remove(at);
        loaded.push(newest.clone());
        Some(newest.1)
    }

    fn keep_loaded(&self, digest: Hash, agent: Agent) {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.len() == LOADED_AGENTS {
            loaded.remove(0);
        }
        loaded.push((digest, agent));
    }
}

impl Agent {
    /// Its bytes, digest, imports and exports.
    pub fn component(&self) -> &AgentComponent {
        &self.0.component
    }

    /// All that it imports, by name.
    pub fn imports(&self) -> Vec<String> {
        self.0.component.imports().to_vec()
    }
}

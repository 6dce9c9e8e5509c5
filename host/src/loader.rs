//! Agents that are compiled and linked, and kept so.

use std::sync::{Arc, Mutex, PoisonError};

use quipu_format::Hash;
use wasmtime::{
    Engine, Store,
    component::{Linker, ResourceTable},
};

use crate::{
    AgentComponent, AgentPre, Compiler, Error, ErrorKind, QuipuCtx, QuipuCtxView, Result, Ticker,
    add_observer_to_linker, add_to_linker, engine, limiter::MEMORIES_PER_STORE, wasi,
};

/// An engine, what it offers to agents, and those that were loaded last.
pub(crate) struct Loader {
    engine: Engine,
    compiler: Compiler,
    /// Agents get a WASI 0.2 with nothing behind it.
    has_wasi: bool,
    agent_linker: Linker<RunState>,
    observer_linker: Linker<RunState>,
    /// Those loaded last, the newest at the end, by the digest of the bytes that were given.
    loaded: Mutex<Vec<(Hash, Agent)>>,
    /// How many of them.
    most: usize,
    _ticker: Arc<Ticker>,
}

/// An agent, compiled and linked: [`Runtime::run`](crate::Runtime::run) runs it any number of times. Cheap to clone.
#[derive(Clone)]
pub struct Agent(Arc<Loaded>);

struct Loaded {
    component: AgentComponent,
    pre: AgentPre<RunState>,
    memories: u32,
}

/// What the store of a run holds.
pub(crate) struct RunState {
    pub(crate) quipu: QuipuCtx,
    pub(crate) table: ResourceTable,
}

fn view(state: &mut RunState) -> QuipuCtxView<'_> {
    QuipuCtxView {
        ctx: &mut state.quipu,
        table: &mut state.table,
    }
}

impl Loader {
    /// `most` agents stay compiled.
    pub(crate) fn new(engine: Engine, ticker: Arc<Ticker>, most: usize) -> Result<Self> {
        let mut agent_linker = Linker::new(&engine);
        add_to_linker(&mut agent_linker, view).map_err(engine::failed)?;
        let mut observer_linker = Linker::new(&engine);
        add_observer_to_linker(&mut observer_linker, view).map_err(engine::failed)?;
        Ok(Self {
            _ticker: ticker,
            loaded: Mutex::default(),
            most,
            engine,
            compiler: Compiler::in_process(),
            has_wasi: false,
            agent_linker,
            observer_linker,
        })
    }

    pub(crate) fn compiling(mut self, compiler: Compiler) -> Self {
        self.compiler = compiler;
        self
    }

    pub(crate) fn with_wasi(mut self) -> Result<Self> {
        for linker in [&mut self.agent_linker, &mut self.observer_linker] {
            wasi::add_to_linker(linker, view).map_err(engine::failed)?;
        }
        self.has_wasi = true;
        Ok(self)
    }

    /// A store for one run.
    pub(crate) fn store(&self, quipu: QuipuCtx) -> Store<RunState> {
        let table = ResourceTable::new();
        Store::new(&self.engine, RunState { quipu, table })
    }

    pub(crate) fn load(&self, wasm: &[u8]) -> Result<Agent> {
        let digest = Hash::of(&[wasm]);
        if let Some(agent) = self.take_loaded(digest) {
            return Ok(agent);
        }
        self.load_new(AgentComponent::new(wasm)?, digest)
    }

    pub(crate) fn load_component(&self, component: AgentComponent) -> Result<Agent> {
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

    pub(crate) fn take_loaded(&self, digest: Hash) -> Option<Agent> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let at = loaded.iter().position(|(of, _)| *of == digest)?;
        let newest = loaded.remove(at);
        loaded.push(newest.clone());
        Some(newest.1)
    }

    fn keep_loaded(&self, digest: Hash, agent: Agent) {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have compiled the same meanwhile.
        loaded.retain(|(of, _)| *of != digest);
        if loaded.len() == self.most {
            loaded.remove(0);
        }
        loaded.push((digest, agent));
    }
}

impl Agent {
    pub(crate) fn pre(&self) -> &AgentPre<RunState> {
        &self.0.pre
    }

    /// Linear memories that a run takes.
    pub(crate) fn memories(&self) -> u32 {
        self.0.memories
    }

    /// Its bytes, digest, imports and exports.
    pub fn component(&self) -> &AgentComponent {
        &self.0.component
    }

    /// All that it imports, by name.
    pub fn imports(&self) -> Vec<String> {
        self.0.component.imports().to_vec()
    }
}

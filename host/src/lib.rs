//! Runs agents, WebAssembly components, over a quipu ledger.
//!
//! An agent reads the scopes whose handles it is given, recalls from them, and appends. Nothing else exists in its
//! world: what it cannot do follows from its type, and the host refuses components that import more. The host stamps
//! each entry with actor, time and run, and records every run: component, grant, input, all that the guest was told
//! beyond the log itself, and how it ended.
//!
//! # A whole embedding
//!
//! ```no_run
//! use std::path::Path;
//!
//! use quipu_format::{Actor, Scope};
//! use quipu_host::{Grant, Limits, Outcome, Runtime};
//! use quipu_log::{Ledger, OpenOptions};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let ledger = Ledger::open(Path::new("ledger"), OpenOptions::default())?;
//!     let runtime = Runtime::new(ledger, Limits::default())?;
//!     let agent = runtime.load(&std::fs::read("agent.wasm")?)?;
//!
//!     let grant = Grant::new(Actor::new("agent:support")?, Scope::new("customer:acme-inc")?);
//!     let report = runtime.run(&agent, &grant, "How do they want their invoices?").await?;
//!     match report.outcome {
//!         Outcome::Ok(answer) => println!("{answer}"),
//!         other => eprintln!("run {}: {other:?}", report.run),
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # In an application with a wasmtime of its own
//!
//! The application keeps its engine, its linker and its store's data, and adds memory beside what else it offers.
//!
//! ```no_run
//! use quipu_format::{Actor, Scope};
//! use quipu_host::{AgentComponent, AgentPre, Grant, Limits, Memory, QuipuCtx, QuipuCtxView, Ticker};
//! use quipu_log::{Ledger, OpenOptions};
//! use wasmtime::{Engine, Store, component::{Component, Linker, ResourceTable}};
//!
//! struct Tenant {
//!     quipu: QuipuCtx,
//!     table: ResourceTable,
//!     // and whatever else the application has
//! }
//!
//! fn memory(tenant: &mut Tenant) -> QuipuCtxView<'_> {
//!     QuipuCtxView { ctx: &mut tenant.quipu, table: &mut tenant.table }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let engine = Engine::new(&quipu_host::config())?;
//!     let _ticker = Ticker::start(&engine)?;
//!     let mut linker = Linker::new(&engine);
//!     quipu_host::add_to_linker(&mut linker, memory)?;
//!
//!     let component = AgentComponent::new(&std::fs::read("agent.wasm")?)?;
//!     let compiled = Component::new(&engine, component.bytes())?;
//!     let agent = AgentPre::new(&component, linker.instantiate_pre(&compiled)?, memory)?;
//!
//!     let shared = Memory::new(Ledger::open("ledger".as_ref(), OpenOptions::default())?)?;
//!     let grant = Grant::new(Actor::new("agent:support")?, Scope::new("customer:acme-inc")?);
//!     let quipu = QuipuCtx::new(&shared, &grant, &Limits::default())?;
//!     let mut store = Store::new(&engine, Tenant { quipu, table: ResourceTable::new() });
//!     match agent.handle(&mut store, "How do they want their invoices?").await? {
//!         Ok(answer) => println!("{answer}"),
//!         Err(failure) => eprintln!("the agent says: {failure}"),
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # What a run may use
//!
//! [`Limits`] bounds memory, wall time, appends, handles, and the bytes of a host call, of input and output and of
//! what is recorded. Past one of them a call is refused, or the run ends and says why; other runs and the ledger are
//! not touched by it. A guest that computes lets others have their turn every [`TICK`].
//!
//! # Replays
//!
//! A run is a function of its component, its input, its grant and limits, the log that its readers are pinned to, and what
//! is recorded that it was told. A [`Replayer`] executes it again and says whether it does the same; it needs no writer.
//!
//! # Features
//!
//! `recall` (default): answers the interface `recall` from projections, in SQLite. Without it these functions answer
//! `unavailable`.
//!
//! `guard` (default): refuses appends that have a secret in them.
//!
//! `metrics`: tells the recorder that the application has set for crate `metrics` how many runs go on, wait, end and how,
//! and how long they take.

mod agent;
mod agents;
mod append;
pub mod bindings;
mod checkup;
mod code;
mod code_cache;
#[cfg(feature = "recall")]
mod compactor;
mod compiler;
mod component;
mod confinement;
mod convert;
mod ctx;
#[cfg_attr(not(feature = "recall"), path = "underived.rs")]
mod derived;
mod engine;
mod error;
mod gate;
mod given;
mod grant;
mod lifecycle;
mod limiter;
mod linker;
mod loader;
mod memory;
mod metrics;
#[cfg(feature = "recall")]
mod projector;
mod reach;
mod read;
mod recall;
mod record;
mod refusal;
#[cfg(feature = "recall")]
mod registry;
mod replay;
mod review;
mod run;
mod runtime;
#[cfg(feature = "guard")]
mod secrets;
mod source;
mod standing;
mod ticker;
mod transcript;
mod wasi;
mod widening;

pub use agent::AgentPre;
pub use agents::{Agents, NamedAgent};
pub use checkup::check_machine;
pub use code_cache::CodeCache;
#[cfg(feature = "recall")]
pub use compactor::{Compacted, Compactor};
pub use compiler::{Compiler, serve_compiler};
pub use component::AgentComponent;
#[cfg(feature = "recall")]
pub use component::{CompactorComponent, ProjectionComponent};
pub use confinement::{Confined, Confinement};
pub use ctx::{QuipuCtx, QuipuCtxView, Reader};
pub use engine::{config, pool};
pub use error::{Error, ErrorKind, Result};
pub use gate::{Halt, WAITING_RUNS};
pub use grant::{DEFAULT_KINDS, Grant};
pub use linker::{add_observer_to_linker, add_to_linker};
pub use loader::Agent;
pub use memory::Memory;
#[cfg(feature = "recall")]
pub use projector::{ProjectionAnswer, Projector};
pub use quipu_format::{
    Actor, AgentGrant, AgentName, CompileLimits, Kind, Limits, Quota, QuotaChange, RunId, Scope, ScopePattern,
    SecretsPolicy, Signer,
};
pub use quipu_log::{Ledger, OpenOptions, Receipt};
pub use reach::Reach;
pub use refusal::Refusal;
#[cfg(feature = "recall")]
pub use registry::{Added, add_projection, projections_of, remove_projection};
pub use replay::{
    Difference, Differs, Identical, Member, NoReplay, NoReplayKind, RecordedRun, Replay, Replayer, Runs, Verdict,
};
pub use review::Review;
pub use run::{Outcome, RunReport};
pub use runtime::Runtime;
#[cfg(feature = "guard")]
pub use secrets::SecretGuard;
pub use standing::{Candidate, Standing};
pub use ticker::{TICK, Ticker};
pub use wasmtime;
pub use widening::{GrantChange, limits_by_name};

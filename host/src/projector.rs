//! Feeds projection components: state that others derive from the log, with code of their own.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Range,
    sync::{Mutex, PoisonError},
};

use quipu_format::{Event, Hash, Limits, ProjectionName, limits};
use quipu_log::{ErrorKind as LogErrorKind, LedgerReader};
use quipu_projections::{Projections, Snapshot};
use wasmtime::{Engine, Store, component::Linker};

use crate::{
    Compiler, Error, ErrorKind, ProjectionComponent, Result, TICK, Ticker,
    bindings::{agent::quipu::memory::types, projection},
    convert, engine,
    limiter::MemoryLimiter,
    registry::Added,
};

/// Events that a component is fed between two snapshots that are kept.
const SNAPSHOT_EVENTS: u64 = 100_000;

/// An engine for projection components: each is fed the events that it has not seen yet, and asked.
///
/// A component imports no function, so that it can do nothing but derive. It runs within the memory of [`Limits`], and each
/// call of it within the deadline. Calls of this type compute and wait for the disk: make them outside of async tasks.
pub struct Projector {
    limits: Limits,
    engine: Engine,
    compiler: Compiler,
    linker: Linker<MemoryLimiter>,
    /// Those compiled so far.
    compiled: Mutex<HashMap<Hash, projection::ProjectionPre<MemoryLimiter>>>,
    _ticker: Ticker,
}

/// What a projection component says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProjectionAnswer {
    /// Its answer; the error is its own, too.
    pub output: Result<String, String>,
    /// All of its scopes' events below this position were taken into account,
    pub as_of: u64,
    /// save so many entries of the ledger that cannot be read: their segments are damaged, or in an archive that is not
    /// here. Of which scopes they are is not known. An erased event can be read; it has no payload.
    pub unread: u64,
}

impl Projector {
    /// For components within these limits.
    pub fn new(limits: Limits) -> Result<Self> {
        let engine = engine::on_demand()?;
        Ok(Self {
            limits,
            compiler: Compiler::in_process(),
            linker: Linker::new(&engine),
            compiled: Mutex::default(),
            _ticker: Ticker::start(&engine)?,
            engine,
        })
    }

    /// With components compiled so.
    #[must_use]
    pub fn compiling(mut self, compiler: Compiler) -> Self {
        self.compiler = compiler;
        self
    }

    /// Whether the component can be linked with nothing but types behind it.
    pub fn check(&self, component: &ProjectionComponent) -> Result<()> {
        self.compile(component).map(drop)
    }

    /// Feeds the component what it has not seen, from the snapshot that was kept of it on, and asks it. `progress` is told
    /// the position reached, and the head.
    ///
    /// # Errors
    /// Where the component is not in the ledger's folder, is no projection, refuses events, traps, or passes a limit.
    pub fn ask(
        &self,
        ledger: &LedgerReader,
        projections: &Projections,
        added: &Added,
        input: &str,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<ProjectionAnswer> {
        let setting = &added.setting;
        let bytes = ledger.component(&setting.component)?.ok_or_else(|| {
            failed(
                &setting.name,
                format_args!(
                    "components/{}.wasm is missing or changed: add the component again",
                    setting.component.to_hex()
                ),
            )
        })?;
        let pre = self.compile(&ProjectionComponent::new(&bytes)?)?;
        let mut feeding = Feeding::begin(self, &pre, ledger, projections, added)?;
        feeding.feed(projections, progress)?;
        feeding.query(input)
    }

    fn compile(&self, component: &ProjectionComponent) -> Result<projection::ProjectionPre<MemoryLimiter>> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pre) = compiled.get(&component.sha256()) {
            return Ok(pre.clone());
        }
        let code = self.compiler.compile(&self.engine, component.bytes())?;
        let pre = self
            .linker
            .instantiate_pre(&code)
            .and_then(projection::ProjectionPre::new)
            .map_err(|error| Error::new(ErrorKind::Component, format!("the component is refused: {error:#}")))?;
        compiled.insert(component.sha256(), pre.clone());
        Ok(pre)
    }
}

/// One instance that is being fed.
struct Feeding<'a> {
    projector: &'a Projector,
    ledger: &'a LedgerReader,
    added: &'a Added,
    store: Store<MemoryLimiter>,
    instance: projection::Projection,
    /// What it has been fed.
    fed: Range<u64>,
    /// What it is fed up to.
    head: u64,
    /// The last erasure that was known before it was fed anything.
    erasures: u64,
    /// Entries that are known to be unreadable.
    missing: BTreeSet<u64>,
    /// Entries that it was not fed, for they could not be read.
    unread: u64,
    /// One of them is not known to be so. What is derived will not be thrown away when it can be read again, so that a
    /// state without it must not be kept.
    unread_unknown: bool,
}

impl<'a> Feeding<'a> {
    /// An instance with the state that was kept, or with none.
    fn begin(
        projector: &'a Projector,
        pre: &projection::ProjectionPre<MemoryLimiter>,
        ledger: &'a LedgerReader,
        projections: &Projections,
        added: &'a Added,
    ) -> Result<Self> {
        let setting = &added.setting;
        // What is erased in the log is dropped from what was kept.
        let head = projections.catch_up(ledger.head()).map_err(unanswered)?;
        let erasures = projections.erasures().map_err(unanswered)?;
        if !projections.is_all_erased().map_err(unanswered)? {
            let what = "an erasure is in the log and is not carried out yet: ask again; if that stays so, open the ledger \
                        for writing, which finishes it";
            return Err(Error::new(ErrorKind::Ledger, what));
        }
        let missing = projections.missing().map_err(unanswered)?;
        let kept = projections.snapshot(&setting.name).map_err(unanswered)?;
        let kept = kept.filter(|kept| kept.component == setting.component && kept.setting == added.seq);

        let mut store = Store::new(&projector.engine, MemoryLimiter::new(projector.limits.memory_bytes));
        store.limiter(|limiter| limiter);
        store.set_hostcall_fuel(projector.limits.host_call_bytes.max(limits::SNAPSHOT_BYTES));
        store.epoch_deadline_trap();
        store.set_epoch_deadline(ticks(&projector.limits));
        let instance = pre
            .instantiate(&mut store)
            .map_err(|error| trapped(&setting.name, &error))?;
        let mut feeding = Self {
            projector,
            ledger,
            added,
            store,
            instance,
            fed: 0..0,
            head,
            erasures,
            missing,
            unread: 0,
            unread_unknown: false,
        };
        if let Some(kept) = kept {
            let restored = feeding.call(|fold, store| fold.call_restore(store, &kept.state));
            match restored.map_err(|error| error.to_string()).flatten() {
                Ok(()) => {
                    feeding.fed.end = kept.as_of;
                    feeding.unread = feeding.missing.range(..kept.as_of).count() as u64;
                }
                Err(why) => {
                    tracing::warn!(name = %setting.name, %why, "a projection component refuses its own state: it is fed anew");
                    // It may have taken a part of it.
                    projections.drop_snapshot(&setting.name).map_err(unanswered)?;
                    return Self::begin(projector, pre, ledger, projections, added);
                }
            }
        }
        Ok(feeding)
    }

    /// Feeds it up to the head, keeping its state now and then.
    fn feed(&mut self, projections: &Projections, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let (head, from) = (self.head, self.fed.end);
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let mut kept = from;
        for (seq, event) in (from..head).zip(self.ledger.events(from..head)) {
            let event = match event {
                Err(error) if matches!(error.kind(), LogErrorKind::Corrupt | LogErrorKind::NotHere) => {
                    tracing::warn!(%error, seq, "an entry cannot be read, and no projection component is fed it");
                    self.unread += 1;
                    self.unread_unknown |= !self.missing.contains(&seq);
                    continue;
                }
                event => event?,
            };
            if self.is_fed(&event) {
                let event = convert::event(event);
                bytes += convert::content_bytes(&event);
                batch.push(event);
            }
            if batch.len() == limits::PAGE_EVENTS || bytes >= limits::PAGE_BYTES {
                self.apply(&batch, seq + 1)?;
                batch.clear();
                bytes = 0;
                progress(seq + 1, head);
                if seq + 1 - kept >= SNAPSHOT_EVENTS {
                    self.keep(projections)?;
                    kept = seq + 1;
                }
            }
        }
        self.apply(&batch, head)?;
        progress(head, head);
        if head > kept {
            self.keep(projections)?;
        }
        Ok(())
    }

    /// Whether it is shown the event: guests never see the host's own entries.
    fn is_fed(&self, event: &Event) -> bool {
        let scopes = &self.added.setting.scopes;
        let scope = &event.envelope.scope;
        !event.envelope.kind.is_reserved()
            && !scope.is_reserved()
            && (scopes.is_empty() || scopes.iter().any(|pattern| pattern.matches(scope)))
    }

    /// Feeds it these events, which are all of its own below `end` that it had not seen.
    fn apply(&mut self, events: &[types::Event], end: u64) -> Result<()> {
        if !events.is_empty() {
            let done = self.call(|fold, store| fold.call_apply(store, events))?;
            done.map_err(|why| {
                let (first, last) = (&events[0].id, &events[events.len() - 1].id);
                failed(
                    &self.added.setting.name,
                    format_args!("it refuses events {first} to {last}: {why}"),
                )
            })?;
        }
        self.fed.end = end;
        Ok(())
    }

    fn keep(&mut self, projections: &Projections) -> Result<()> {
        if self.unread_unknown {
            return Ok(());
        }
        let state = self.call(|fold, store| fold.call_snapshot(store))?;
        let name = &self.added.setting.name;
        if state.len() > limits::SNAPSHOT_BYTES {
            let most = limits::SNAPSHOT_BYTES;
            let what = format!("its state has {} bytes; at most {most} are kept", state.len());
            return Err(failed(name, what));
        }
        let snapshot = Snapshot {
            component: self.added.setting.component,
            setting: self.added.seq,
            as_of: self.fed.end,
            state,
        };
        let kept = projections
            .keep_snapshot(name, &snapshot, self.erasures)
            .map_err(unanswered)?;
        if !kept {
            tracing::debug!(%name, "something was erased meanwhile: the state is not kept");
        }
        Ok(())
    }

    fn query(mut self, input: &str) -> Result<ProjectionAnswer> {
        let output = self.call(|fold, store| fold.call_query(store, input))?;
        let text = output.as_ref().unwrap_or_else(|error| error);
        if text.len() > limits::SNAPSHOT_BYTES {
            let most = limits::SNAPSHOT_BYTES;
            let what = format!("its answer has {} bytes, more than {most}", text.len());
            return Err(failed(&self.added.setting.name, what));
        }
        Ok(ProjectionAnswer {
            output,
            as_of: self.fed.end,
            unread: self.unread,
        })
    }

    /// One call, within the deadline.
    fn call<T>(
        &mut self,
        call: impl FnOnce(
            &projection::exports::quipu::memory::fold::Guest,
            &mut Store<MemoryLimiter>,
        ) -> wasmtime::Result<T>,
    ) -> Result<T> {
        self.store.set_epoch_deadline(ticks(&self.projector.limits));
        call(self.instance.quipu_memory_fold(), &mut self.store)
            .map_err(|error| trapped(&self.added.setting.name, &error))
    }
}

/// The deadline, in ticks of the engine's epoch.
fn ticks(limits: &Limits) -> u64 {
    let tick = u64::try_from(TICK.as_millis()).unwrap_or(u64::MAX);
    (limits.deadline_ms / tick).max(1)
}

fn trapped(name: &ProjectionName, error: &wasmtime::Error) -> Error {
    match error.downcast_ref::<wasmtime::Trap>() {
        Some(wasmtime::Trap::Interrupt) => failed(name, "a call of it passed the deadline"),
        _ => failed(name, format_args!("it was ended: {}", error.root_cause())),
    }
}

fn failed(name: &ProjectionName, what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Component, format!("the projection {name}: {what}"))
}

fn unanswered(error: quipu_projections::Error) -> Error {
    Error::new(ErrorKind::Ledger, error.to_string())
}

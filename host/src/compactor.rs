//! Runs compactor components: other people's summaries of a scope.
//!
//! One is handed a reader on the scope and returns drafts; the host checks them and appends them. It is a run like an
//! agent's, within the same limits and recorded alike, with the component's digest: only that it cannot append itself.

use std::collections::BTreeSet;

use quipu_format::{Actor, EventId, Hash, Kind, Limits, RunId, Scope, limits};
use quipu_log::Receipt;
use quipu_projections::SUMMARY;
use serde_json::Value;
use wasmtime::{
    Engine, Store,
    component::{Linker, ResourceTable},
};

use crate::{
    AgentComponent, CompactorComponent, Compiler, Error, ErrorKind, Grant, Memory, Outcome, QuipuCtx, QuipuCtxView,
    Reader, Refusal, Result, Ticker, agent,
    bindings::{agent::quipu::memory::types, compactor},
    engine, linker,
    read::envelope,
};

/// An engine for compactor components over one ledger.
pub struct Compactor {
    memory: Memory,
    limits: Limits,
    engine: Engine,
    compiler: Compiler,
    linker: Linker<State>,
    _ticker: Ticker,
}

/// What became of a compactor's run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Compacted {
    /// The run, stamped on what was appended.
    pub run: RunId,
    /// `Ok`, with how many summaries the component proposed; else why nothing was appended.
    pub outcome: Outcome,
    /// Summaries that were appended, and those that had been appended before, in the order in which they were proposed.
    pub receipts: Vec<Receipt>,
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

/// How far a confidence may be above what evidence supports: what is left of a sum's rounding.
const ROUNDING: f64 = 1e-9;

impl Compactor {
    /// Over a memory, each run within these limits.
    pub fn new(memory: Memory, limits: Limits) -> Result<Self> {
        let engine = engine::on_demand()?;
        let mut linker = Linker::new(&engine);
        linker::add_reading_to_linker(&mut linker, view).map_err(engine::failed)?;
        Ok(Self {
            memory,
            limits,
            compiler: Compiler::in_process(),
            linker,
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

    /// Has a component compact a scope, in an actor's name. What it proposes is appended all or none; where `keep` is false,
    /// it is checked alone. The error is a run that did not begin.
    pub async fn run(
        &self,
        component: &CompactorComponent,
        scope: &Scope,
        actor: &Actor,
        keep: bool,
    ) -> Result<Compacted> {
        let CompactorComponent(component) = component;
        let code = self.compiler.compile(&self.engine, component.bytes())?;
        let pre = self
            .linker
            .instantiate_pre(&code)
            .and_then(compactor::CompactorPre::new)
            .map_err(|error| Error::new(ErrorKind::Component, format!("the component is refused: {error:#}")))?;
        let mut grant = Grant::new(actor.clone(), scope.clone());
        grant.kinds = Kind::new(SUMMARY).into_iter().collect();
        let state = State {
            quipu: QuipuCtx::new(&self.memory, &grant, &self.limits)?,
            table: ResourceTable::new(),
        };
        let mut store = Store::new(&self.engine, state);
        let (run, readers) = view(store.data_mut()).begin(component, "").await?;
        agent::limit(&mut store, view);
        let answer = match readers.into_iter().next() {
            Some(reader) => match pre.instantiate_async(&mut store).await {
                Ok(instance) => instance.call_compact(&mut store, &run, reader).await,
                Err(error) => Err(error),
            },
            None => Err(wasmtime::Error::msg("there is no reader")),
        };
        let ctx = &mut store.data_mut().quipu;
        let (outcome, receipts) = match answer {
            Ok(Ok(drafts)) => match ctx.take(component, scope, drafts, keep).await {
                Ok((count, receipts)) => (Outcome::Ok(count.to_string()), receipts),
                Err(refusal) => (refused(refusal)?, Vec::new()),
            },
            Ok(Err(error)) => (Outcome::Failed(error), Vec::new()),
            Err(error) => (Outcome::of_trap(&error), Vec::new()),
        };
        let report = view(store.data_mut()).finish(outcome).await;
        Ok(Compacted {
            run: report.run,
            outcome: report.outcome,
            receipts,
        })
    }
}

/// How a run ends whose summaries are refused.
fn refused(refusal: Refusal) -> Result<Outcome> {
    if let Some(told) = refusal.told() {
        return Ok(Outcome::Failed(format!("its summaries are refused: {}", told.message)));
    }
    Ok(match refusal.into_wit() {
        Ok(told) => Outcome::Failed(told.message),
        Err(stopped) => Outcome::of_trap(&stopped),
    })
}

impl QuipuCtx {
    /// Checks what a compactor proposed, and appends it. Returns how many summaries that were.
    async fn take(
        &mut self,
        component: &AgentComponent,
        scope: &Scope,
        mut drafts: Vec<types::Draft>,
        keep: bool,
    ) -> Result<(usize, Vec<Receipt>), Refusal> {
        for (nth, draft) in drafts.iter_mut().enumerate() {
            self.check(scope, draft)
                .await
                .map_err(|refusal| refusal.of_draft(nth))?;
            draft.key.get_or_insert_with(|| {
                key(
                    component,
                    draft_parts(&draft.payload, &draft.evidence, &draft.supersedes),
                )
            });
        }
        let count = drafts.len();
        if count == 0 || !keep {
            return Ok((count, Vec::new()));
        }
        let told = self.append_batch(drafts).await?;
        let receipts = told
            .iter()
            .filter_map(|told| Some(self.own.get(&told.seq)?.receipt.clone()));
        Ok((count, receipts.collect()))
    }

    async fn check(&self, scope: &Scope, draft: &types::Draft) -> Result<(), Refusal> {
        let invalid = |message: String| Err(Refusal::new(types::ErrorKind::Invalid, message));
        if draft.payload.len() > limits::SUMMARY_BYTES {
            let (has, most) = (draft.payload.len(), limits::SUMMARY_BYTES);
            let message = format!("the payload has {has} bytes; that of a summary has at most {most}");
            return Err(Refusal::new(types::ErrorKind::TooLarge, message));
        }
        let payload: Value = serde_json::from_str(&draft.payload).unwrap_or_default();
        if payload["text"].as_str().is_none_or(|text| text.trim().is_empty()) {
            return invalid("a summary's payload is a JSON object with a text".into());
        }
        if draft.evidence.is_empty() {
            return invalid("a summary names what it covers as evidence".into());
        }
        if draft.evidence.len() > limits::LINKS {
            let message = format!(
                "evidence names {} events; at most {} fit",
                draft.evidence.len(),
                limits::LINKS
            );
            return invalid(message);
        }
        let mut evidence = BTreeSet::new();
        for name in &draft.evidence {
            tokio::task::consume_budget().await;
            self.in_time()?;
            match self.given_event(scope, name) {
                Some(id) => drop(evidence.insert(id)),
                None => {
                    return invalid(format!(
                        "{name:.40} is not among the events that the component was given"
                    ));
                }
            }
        }
        if let Some(confidence) = payload["confidence"].as_f64() {
            let reader = Reader {
                scope: scope.clone(),
                head: self.head,
            };
            let supported = self.supported(reader, evidence.into_iter().collect()).await?;
            if confidence > supported + ROUNDING {
                return invalid(format!(
                    "it says that it is {confidence} sure, and what it names as evidence supports {supported}"
                ));
            }
        }
        Ok(())
    }

    /// An event that a reader of the scope gave to this run.
    fn given_event(&self, scope: &Scope, name: &str) -> Option<EventId> {
        let id: EventId = name.parse().ok()?;
        let log = self.log();
        let envelope = envelope(log, log.find(id).ok()??)?;
        (envelope.scope == *scope && self.given.has(scope, envelope.nth)).then_some(id)
    }
}

fn draft_parts(payload: &str, evidence: &[String], supersedes: &[String]) -> String {
    format!("{payload}\n{}\n{}", evidence.join(" "), supersedes.join(" "))
}

/// The same component, summary and evidence are appended once.
fn key(component: &AgentComponent, parts: String) -> String {
    let digest = Hash::of(&[component.sha256().as_bytes(), parts.as_bytes()]);
    format!("compact:{}", digest.to_hex())
}

//! How a run begins and ends, and what the ledger then knows of it.

use std::time::{Duration, Instant};

use quipu_format::{Body, limits};
use quipu_log::{Draft, Receipt};
use serde_json::{Value, json};
use wasmtime::component::Resource;

use crate::{
    AgentComponent, Error, ErrorKind, Memory, Outcome, QuipuCtx, QuipuCtxView, Reader, Result, RunReport,
    SecretsPolicy, bindings::agent::quipu::memory::types::RunInfo, ctx::Stage, memory::blocking, record::Answer,
    refusal::MESSAGE_CHARS, run::Stop, source::Source,
};

impl QuipuCtxView<'_> {
    /// Begins the run: keeps the component, pins the readers, and records input and grant durably. Returns what the
    /// export `handle` is called with: the run, and an owned handle for each scope of the grant, home first.
    ///
    /// [`AgentPre`](crate::AgentPre) calls it; an application with a world of its own calls it before its export,
    /// and [`finish`](Self::finish) after it.
    pub async fn begin(&mut self, component: &AgentComponent, input: &str) -> Result<(RunInfo, Vec<Resource<Reader>>)> {
        let ctx = &mut *self.ctx;
        if ctx.stage != Stage::New {
            return Err(Error::new(ErrorKind::Misuse, Stop::OutOfTurn.to_string()));
        }
        if ctx.halt.is_halted() {
            return Err(Error::new(
                ErrorKind::Closed,
                "the host ends its runs, and begins no more",
            ));
        }
        if let Some(too_large) = ctx.too_large(input) {
            return Err(Error::new(ErrorKind::Input, format!("the input has {too_large}")));
        }
        if let Source::Live(memory) = &ctx.source {
            if ctx.grant.secrets == SecretsPolicy::Refuse {
                let checked = memory.check_text("input", input).await;
                checked.map_err(|message| Error::new(ErrorKind::Input, message))?;
            }
            memory.keep(component).await?;
            ctx.head = memory.refresh().await?;
            let memory = memory.clone();
            ctx.resolve_grant(memory).await?;
        }
        ctx.heads = ctx.grant.reads().map(|scope| (scope.clone(), ctx.head)).collect();
        self.table.set_max_capacity(ctx.limits.handles);
        let mut readers = Vec::new();
        for scope in ctx.grant.reads() {
            let reader = self
                .table
                .push(Reader {
                    scope: scope.clone(),
                    head: ctx.head,
                })
                .map_err(|_| {
                    let handles = ctx.limits.handles;
                    Error::new(
                        ErrorKind::Grant,
                        format!("the grant reads more scopes than a run has handles: {handles}"),
                    )
                })?;
            ctx.open.insert(reader.rep());
            readers.push(reader);
        }
        let mut limit = Duration::from_millis(ctx.limits.deadline_ms);
        match &ctx.source {
            Source::Live(memory) => {
                let memory = memory.clone();
                ctx.now = ctx.record_start(&memory, component, input).await?.ts;
            }
            Source::Recorded(recorded) => {
                ctx.now = recorded.began();
                limit = recorded.patience();
            }
        }
        ctx.stage = Stage::Running;
        ctx.deadline = Instant::now() + limit.min(LONGEST_RUN);
        tracing::debug!(head = ctx.head, now = %ctx.now, "run began");
        let run = RunInfo {
            id: ctx.run.to_string(),
            actor: ctx.grant.actor.to_string(),
            now: ctx.now.to_string(),
        };
        Ok((run, readers))
    }

    /// Ends the run: records how, and drops the handles that the guest kept. If that cannot be recorded, the outcome
    /// is [`Outcome::Trapped`] with the host's error, and the ledger shows a run without an end.
    pub async fn finish(&mut self, outcome: Outcome) -> RunReport {
        let ctx = &mut *self.ctx;
        for handle in std::mem::take(&mut ctx.open) {
            let _ = self.table.delete(Resource::<Reader>::new_own(handle));
        }
        if let Some(wasi) = &mut ctx.wasi {
            wasi.flush();
        }
        let mut outcome = ctx.within_limits(outcome);
        if ctx.stage == Stage::Running {
            ctx.stage = Stage::Ended;
            // What is executed again is recorded already.
            let is_live = ctx.recorded().is_none();
            if is_live && outcome == Outcome::TimedOut {
                // Past the limit of what may be told, the end entry still says it.
                let _ = ctx.tell(Answer::Deadline);
            }
            if is_live && let Err(error) = ctx.record_end(&outcome).await {
                tracing::error!(%error, "the run's end is not recorded");
                outcome = Outcome::Trapped(Stop::Unrecorded(error).to_string());
            }
        }
        tracing::debug!(outcome = outcome.word(), calls = ctx.transcript.calls(), "run ended");
        let own = std::mem::take(&mut ctx.own).into_values();
        let appended = own.map(|own| own.receipt).filter(|receipt| !receipt.repeated).collect();
        RunReport {
            run: ctx.run,
            outcome,
            appended,
            head: ctx.head,
            calls: ctx.transcript.calls(),
        }
    }
}

impl QuipuCtx {
    /// The scopes that exist at the run's head are what beginnings of scopes mean in it.
    async fn resolve_grant(&mut self, memory: Memory) -> Result<()> {
        if self.grant.prefixes.is_empty() {
            return Ok(());
        }
        let head = self.head;
        let scopes = blocking(move || memory.scopes_at(head)).await?;
        self.grant.resolve(scopes.into_iter(), self.limits.handles)
    }

    async fn record_start(&mut self, memory: &Memory, component: &AgentComponent, input: &str) -> Result<Receipt> {
        let run = json!({
            "component": component.sha256().to_hex(),
            "world": component.world(),
            "head": self.head,
            "grant": self.grant,
            "limits": self.limits,
            "secretGuard": memory.is_guarded(),
        });
        let mut told = json!({ "input": input });
        if let Some(wasi) = &self.wasi {
            told["wasi"] = wasi.record();
        }
        let body = payload(&told)?;
        let start = self.host_draft("quipu.run", body, Some(json!({ "run": run })))?;
        let receipts = memory.append(vec![start]).await.map_err(|error| match error.kind() {
            quipu_log::ErrorKind::Invalid | quipu_log::ErrorKind::TooLarge => Error::new(
                ErrorKind::Grant,
                format!("the grant names too much to be recorded: {error}"),
            ),
            _ => error.into(),
        })?;
        receipts
            .into_iter()
            .next()
            .ok_or_else(|| Error::new(ErrorKind::Ledger, "the ledger gave no receipt"))
    }

    /// Appends what waits to be recorded and the end. If the first cannot be an entry, the end stands alone and says so.
    async fn record_end(&mut self, outcome: &Outcome) -> quipu_log::Result<()> {
        use quipu_log::ErrorKind::{Invalid, TooLarge};
        let end = self.end_draft(outcome, None)?;
        match self.append(vec![end]).await {
            Err(error) if matches!(error.kind(), Invalid | TooLarge) => {
                tracing::error!(%error, "what the run was told last is not recorded");
                let note = "what the run was told last could not be recorded";
                let end = self.end_draft(outcome, Some(note))?;
                self.record.appended();
                self.append(vec![end]).await.map(|_| ())
            }
            appended => appended.map(|_| ()),
        }
    }

    fn end_draft(&self, outcome: &Outcome, note: Option<&str>) -> quipu_log::Result<Draft> {
        let (member, text) = match outcome {
            Outcome::Ok(text) => ("output", text.as_str()),
            Outcome::Failed(text) | Outcome::Trapped(text) => ("error", text.as_str()),
            Outcome::TimedOut => ("error", "the run's deadline passed"),
        };
        // The transcript's hash is sealed: in clear it would let anyone check guesses of what was erased.
        let mut said = json!({
            member: text,
            "marks": self.transcript.marks(),
            "read": self.given,
            "transcript": self.transcript.hash(),
        });
        if let (Some(note), Some(said)) = (note, said.as_object_mut()) {
            said.insert("note".into(), note.into());
        }
        // A long answer may leave no room for them. Without `read` the run counts as having read all that it might; without
        // `marks` a difference is found less closely.
        for spare in ["marks", "read"] {
            if said.to_string().len() > limits::BODY_BYTES - REST_OF_BODY_BYTES / 2
                && let Some(said) = said.as_object_mut()
            {
                said.remove(spare);
            }
        }
        let body = payload(&said)?;
        let end = json!({ "outcome": outcome.word(), "calls": self.transcript.calls(), "appends": self.appends });
        self.host_draft("quipu.run.end", body, Some(json!({ "end": end })))
    }

    /// What is too large for the record is no answer.
    fn within_limits(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Ok(ref text) | Outcome::Failed(ref text) => match self.too_large(text) {
                Some(too_large) => Outcome::Trapped(format!("the answer has {too_large}")),
                None => outcome,
            },
            Outcome::Trapped(message) => Outcome::Trapped(message.chars().take(MESSAGE_CHARS).collect()),
            _ => outcome,
        }
    }

    /// Why a text cannot be recorded as input or output, if it cannot.
    fn too_large(&self, text: &str) -> Option<String> {
        let limit = self.limits.input_bytes;
        if text.len() > limit {
            return Some(format!("{} bytes; at most {limit} are allowed", text.len()));
        }
        // As JSON a control character takes six bytes.
        let json_bytes = serde_json::to_string(text).map_or(usize::MAX, |json| json.len());
        let fits = limits::BODY_BYTES - REST_OF_BODY_BYTES;
        (json_bytes > fits).then(|| format!("{json_bytes} bytes as JSON; at most {fits} fit a body"))
    }
}

/// However long a deadline is set, it stays within what a clock can hold.
const LONGEST_RUN: Duration = Duration::from_secs(365 * 86_400);

/// Bytes of a body that records an input or output, besides that text and what readers gave.
const REST_OF_BODY_BYTES: usize = 1 << 10;

fn payload(value: &Value) -> quipu_log::Result<Body> {
    Ok(Body::new(None, &value.to_string())?)
}

#[cfg(test)]
mod tests {
    use quipu_format::{Actor, Content, Limits, Scope};
    use quipu_log::{CreateOptions, Ledger};
    use wasmtime::component::ResourceTable;

    use super::*;
    use crate::Grant;

    #[tokio::test]
    async fn a_run_whose_answers_fit_no_entry_still_has_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::create(&folder.path().join("ledger"), CreateOptions::new("example.com/test")).unwrap();
        let grant = Grant::new(Actor::new("agent:test").unwrap(), Scope::new("home").unwrap());
        let memory = Memory::new(ledger.clone()).unwrap();
        let mut ctx = QuipuCtx::new(&memory, &grant, &Limits::default()).unwrap();
        ctx.stage = Stage::Running;
        ctx.tell(Answer::Proof("x".repeat(limits::BODY_BYTES))).unwrap();
        let mut table = ResourceTable::new();
        let mut view = QuipuCtxView {
            ctx: &mut ctx,
            table: &mut table,
        };
        let report = view.finish(Outcome::Ok("done".into())).await;

        assert_eq!(report.outcome, Outcome::Ok("done".into()));
        let head = ledger.reader().head();
        let end = ledger.reader().event(head - 1).unwrap().unwrap();
        assert_eq!(end.envelope.kind.as_str(), "quipu.run.end");
        assert_eq!(end.envelope.run, Some(report.run));
        let Content::Open(body) = end.content else {
            panic!("erased")
        };
        let body: Value = serde_json::from_str(body.payload.get()).unwrap();
        assert_eq!(body["output"], "done");
        assert!(body["note"].as_str().unwrap().contains("could not be recorded"));
    }
}

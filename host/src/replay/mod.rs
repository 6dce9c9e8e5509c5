//! Executing a recorded run again: the same component, with the same input, over the log as it was then, and all that it
//! does compared with what is recorded. Nothing is appended.

mod difference;
mod drafts;
mod erased;
mod judge;
mod recorded;
mod recording;
mod runs;
#[cfg(feature = "recall")]
mod shown;

use std::sync::Arc;

use quipu_format::{Hash, RunId};
use quipu_log::LedgerReader;
use serde::Serialize;

pub use difference::{Difference, Differs, Member};
pub(crate) use recorded::Recorded;
pub use runs::{RecordedRun, Runs};

use crate::{
    Agent, AgentComponent, Compiler, Error, ErrorKind, QuipuCtx, Result, Ticker, engine,
    loader::Loader,
    replay::{
        erased::Erasures,
        recording::{End, Recording},
    },
    source::Source,
    wasi::Wasi,
};

/// Executes recorded runs again and compares them. It needs a reader alone, so it works beside whoever writes the ledger,
/// and changes nothing. It needs a tokio runtime.
pub struct Replayer {
    log: LedgerReader,
    plain: Loader,
    with_wasi: Loader,
    erasures: Arc<Erasures>,
}

/// What became of a replay.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Replay {
    /// The run.
    pub run: RunId,
    /// How it ended, as recorded: `ok`, `failed`, `trapped`, `deadline`; none: it has no end.
    pub outcome: Option<String>,
    /// SHA-256 of the component that was executed, where the record or the caller names one.
    #[serde(serialize_with = "in_hex")]
    pub component: Option<Hash>,
    /// How many calls were made now, and compared.
    pub calls: u64,
    /// How many entries were drafted again.
    pub appends: u64,
    /// What the comparison says.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What a comparison says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Verdict {
    /// The run did the same, as far as it is recorded.
    #[serde(serialize_with = "up_to")]
    Identical(Identical),
    /// It did something else; this first.
    Different(Difference),
    /// It could not be compared.
    Refused(NoReplay),
}

/// How far a run was the recorded one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Identical {
    /// To its end, and the end is the same.
    ToItsEnd,
    /// To where its deadline ended it.
    UpToTheDeadline,
    /// To where its stack was exhausted.
    UpToTheStacksEnd,
    /// To where the host ended it: it was shutting down, or could not record what the run was told.
    UpToTheHostsEnd,
    /// To the last that is recorded of it: it was killed, or still goes on.
    UpToTheKill,
}

/// Why a run is not replayed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct NoReplay {
    /// What sort of reason.
    pub reason: NoReplayKind,
    /// The reason, for a person.
    pub why: String,
}

/// What sort of reason a [`NoReplay`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum NoReplayKind {
    /// The component is not kept, or no component that can be run here.
    Component,
    /// Something that it read, or that is its record, has been erased.
    Erased,
    /// The record does not have all that it takes: an earlier release wrote it, or part of it could not be written.
    Incomplete,
    /// It is of a world that is not replayed.
    World,
    /// Entries cannot be read.
    Damaged,
    /// It takes much longer than it was allowed then.
    Late,
}

/// Components that stay compiled.
const LOADED_AGENTS: usize = 1_000;

impl Replayer {
    /// Over a ledger.
    pub fn new(log: LedgerReader) -> Result<Self> {
        let engine = engine::on_demand()?;
        let ticker = Arc::new(Ticker::start(&engine)?);
        Ok(Self {
            plain: Loader::new(engine.clone(), ticker.clone(), LOADED_AGENTS)?,
            with_wasi: Loader::new(engine, ticker, LOADED_AGENTS)?.with_wasi()?,
            erasures: Arc::new(Erasures::new(log.clone())),
            log,
        })
    }

    /// With components compiled so.
    #[must_use]
    pub fn compiling(mut self, compiler: Compiler) -> Self {
        self.plain = self.plain.compiling(compiler.clone());
        self.with_wasi = self.with_wasi.compiling(compiler);
        self
    }

    /// The run of that name; `None`: there is none. `progress` is told how many entries were looked at, and of how many.
    pub fn find(&self, run: RunId, progress: &mut dyn FnMut(u64, u64)) -> Result<Option<RecordedRun>> {
        runs::find(&self.log, run, progress)
    }

    /// All runs.
    pub fn runs(&self) -> Runs {
        Runs::new(self.log.clone())
    }

    /// Makes the component of a run ready, if it is kept, so that replaying it needs no compiler: a process may confine
    /// itself in between. Those of 1,000 components stay so.
    ///
    /// # Errors
    /// Where the ledger cannot be read, or the compiler does not work. What cannot be run is told by a replay.
    pub fn ready(&self, run: &RecordedRun) -> Result<()> {
        let Some(component) = run.component else { return Ok(()) };
        // Whether it was offered WASI is in what is sealed.
        let Ok(has_wasi) = Recording::has_wasi(&self.log, run)? else {
            return Ok(());
        };
        let loader = self.loader(has_wasi);
        if loader.take_loaded(component).is_some() {
            return Ok(());
        }
        let Some(wasm) = self.log.component(&component)? else {
            return Ok(());
        };
        match loader.load(&wasm) {
            Err(error) if error.kind() != ErrorKind::Component => Err(error),
            _ => Ok(()),
        }
    }

    /// The same for all runs. `progress` is told how many entries were looked at, and of how many. What goes wrong with one
    /// run is said where it is replayed.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub fn ready_all(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let mut runs = self.runs();
        while let Some(run) = runs.following()? {
            let _ = self.ready(&run);
            let (done, total) = runs.progress();
            progress(done, total);
        }
        Ok(())
    }

    /// Executes a run again: the component that is recorded, or another one in its place.
    ///
    /// # Errors
    /// Where the ledger cannot be read. That a run is not replayed is no error, but a verdict.
    pub async fn replay(&self, run: &RecordedRun, component: Option<&AgentComponent>) -> Result<Replay> {
        let recording = match Recording::read(&self.log, run)? {
            Ok(recording) => recording,
            Err(why) => return Ok(Replay::refused(run, why)),
        };
        let (outcome, sha256) = (
            recording.end.as_ref().map(|end| end.outcome.clone()),
            component.map_or(recording.component, AgentComponent::sha256),
        );
        let is_other = sha256 != recording.component;
        let replay = |calls, appends, verdict| Replay {
            run: run.run,
            outcome,
            component: Some(sha256),
            calls,
            appends,
            verdict,
        };
        let agent = match self.agent(&recording, component)? {
            Ok(agent) => agent,
            Err(why) => return Ok(replay(0, 0, Verdict::Refused(why))),
        };
        let (run, grant, limits) = (recording.run.run, recording.grant.clone(), recording.limits.clone());
        let (input, head, seed) = (recording.input.clone(), recording.head, recording.seed);
        let recorded = Recorded::new(self.log.clone(), recording, self.erasures.clone());
        if let Some(verdict) = recorded.at_once(is_other) {
            return Ok(replay(0, 0, verdict));
        }
        let mut quipu = QuipuCtx::of(Source::Recorded(Box::new(recorded)), run, grant, limits);
        quipu.head = head;
        quipu.wasi = seed.map(Wasi::seeded);
        let mut store = self.loader(seed.is_some()).store(quipu);
        let report = match agent.pre().run(&mut store, &input).await {
            Ok(report) => report,
            // A run that is recorded has begun, with what is recorded of it.
            Err(error) => {
                let what = format!("a run does not begin so as this one is recorded: {error}");
                return Ok(replay(
                    0,
                    0,
                    Verdict::Refused(NoReplay::new(NoReplayKind::Incomplete, what)),
                ));
            }
        };
        let quipu = store.into_data().quipu;
        let Source::Recorded(recorded) = quipu.source else {
            return Err(Error::new(ErrorKind::Misuse, "the run is not a recorded one"));
        };
        let (calls, appends) = (quipu.transcript.calls(), recorded.appended() as u64);
        let verdict = recorded.judge(&report.outcome, &quipu.transcript);
        Ok(replay(calls, appends, verdict))
    }

    fn loader(&self, has_wasi: bool) -> &Loader {
        if has_wasi { &self.with_wasi } else { &self.plain }
    }

    /// The component, ready to run.
    fn agent(&self, recording: &Recording, component: Option<&AgentComponent>) -> Result<Result<Agent, NoReplay>> {
        let refused = |kind, why| Ok(Err(NoReplay::new(kind, why)));
        if !matches!(recording.world.as_str(), "agent" | "observer") {
            let what = format!(
                "it is a run of world {}; agents and observers are replayed",
                recording.world
            );
            return refused(NoReplayKind::World, what);
        }
        let loader = self.loader(recording.seed.is_some());
        let loaded = match component {
            Some(component) => loader.load_component(component.clone()),
            None => match loader.take_loaded(recording.component) {
                Some(agent) => Ok(agent),
                None => match self.log.component(&recording.component)? {
                    Some(wasm) => loader.load(&wasm),
                    None => {
                        let what = format!(
                            "the ledger does not keep its component, {}: give its file with --component",
                            recording.component.to_hex()
                        );
                        return refused(NoReplayKind::Component, what);
                    }
                },
            },
        };
        match loaded {
            Ok(agent) => Ok(Ok(agent)),
            Err(error) if error.kind() == ErrorKind::Component => refused(NoReplayKind::Component, error.to_string()),
            Err(error) => Err(error),
        }
    }
}

impl Replay {
    /// Of a run whose replay ended in an error, which says nothing of others.
    pub fn failed(run: &RecordedRun, error: &Error) -> Self {
        let reason = match error.kind() {
            ErrorKind::Ledger => NoReplayKind::Damaged,
            _ => NoReplayKind::Component,
        };
        Self::refused(run, NoReplay::new(reason, error.to_string()))
    }

    fn refused(run: &RecordedRun, why: NoReplay) -> Self {
        Self {
            run: run.run,
            outcome: None,
            component: None,
            calls: 0,
            appends: 0,
            verdict: Verdict::Refused(why),
        }
    }
}

impl NoReplay {
    pub(crate) fn new(reason: NoReplayKind, why: impl Into<String>) -> Self {
        Self {
            reason,
            why: why.into(),
        }
    }
}

impl Identical {
    /// Of a run that something else than its guest ended.
    fn up_to(end: &End) -> Self {
        match end.outcome.as_str() {
            "deadline" => Self::UpToTheDeadline,
            _ if end.is_by_stack() => Self::UpToTheStacksEnd,
            _ => Self::UpToTheHostsEnd,
        }
    }

    /// One word.
    pub fn word(self) -> &'static str {
        match self {
            Self::ToItsEnd => "end",
            Self::UpToTheDeadline => "deadline",
            Self::UpToTheStacksEnd => "stack",
            Self::UpToTheHostsEnd => "host",
            Self::UpToTheKill => "killed",
        }
    }
}

fn up_to<S: serde::Serializer>(identical: &Identical, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct UpTo {
        up_to: &'static str,
    }
    UpTo {
        up_to: identical.word(),
    }
    .serialize(serializer)
}

fn in_hex<S: serde::Serializer>(hash: &Option<Hash>, serializer: S) -> Result<S::Ok, S::Error> {
    hash.map(|hash| hash.to_hex()).serialize(serializer)
}

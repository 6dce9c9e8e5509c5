use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use quipu_format::{Body, Kind, Limits, RunId, Scope, Timestamp};
use quipu_log::{Draft, Receipt};
use serde_json::Value;
use ulid::Ulid;
use wasmtime::component::ResourceTable;

use crate::{
    Error, ErrorKind, Grant, Memory, Refusal, Result,
    given::Given,
    limiter::MemoryLimiter,
    record::{Answer, Record},
    run::Stop,
    source::Source,
    transcript::{Crossing, Transcript},
    wasi::Wasi,
};

/// One run's context, for the application's store data: grant, limits, and all that the run has done so far.
///
/// It serves one run. Each run has a fresh one, in a fresh store, which is dropped when the run has ended.
pub struct QuipuCtx {
    pub(crate) source: Source,
    pub(crate) grant: Grant,
    pub(crate) limits: Limits,
    pub(crate) run: RunId,
    pub(crate) stage: Stage,
    pub(crate) deadline: Instant,
    /// When the run began, as its first entry says: what recall calls now, so that a run recalls alike at any time.
    pub(crate) now: Timestamp,
    /// The newest head that the run has on each scope that it reads.
    pub(crate) heads: BTreeMap<Scope, u64>,
    /// What the run appended, and earlier entries that its drafts repeated.
    pub(crate) own: BTreeMap<u64, Own>,
    /// How many drafts were acknowledged.
    pub(crate) appends: u32,
    pub(crate) head: u64,
    pub(crate) record: Record,
    /// What readers have given the run.
    pub(crate) given: Given,
    pub(crate) transcript: Transcript,
    pub(crate) limiter: MemoryLimiter,
    /// Where the runtime offers it.
    pub(crate) wasi: Option<Wasi>,
    /// Table entries of the handles that the guest has not dropped.
    pub(crate) open: BTreeSet<u32>,
}

/// An entry that this run sees whatever its readers' heads are: it was told its receipt.
pub(crate) struct Own {
    pub(crate) scope: Scope,
    pub(crate) receipt: Receipt,
}

#[derive(PartialEq)]
pub(crate) enum Stage {
    New,
    Running,
    Ended,
}

/// What the host calls of one store borrow: the run's context, and the table of the store's handles.
pub struct QuipuCtxView<'a> {
    /// The context.
    pub ctx: &'a mut QuipuCtx,
    /// The table; an application may keep its own resources in it too.
    pub table: &'a mut ResourceTable,
}

/// What a guest's `reader` stands for: a scope, and the head that it is pinned at.
#[derive(Clone)]
pub struct Reader {
    pub(crate) scope: Scope,
    pub(crate) head: u64,
}

impl QuipuCtx {
    /// For a run with this grant, within these limits.
    pub fn new(memory: &Memory, grant: &Grant, limits: &Limits) -> Result<Self> {
        grant.check()?;
        let source = Source::Live(memory.clone());
        Ok(Self::of(source, new_run_id()?, grant.clone(), limits.clone()))
    }

    /// Of a run that has not begun.
    pub(crate) fn of(source: Source, run: RunId, grant: Grant, limits: Limits) -> Self {
        Self {
            run,
            stage: Stage::New,
            deadline: Instant::now(),
            now: Timestamp::FIRST,
            heads: BTreeMap::new(),
            own: BTreeMap::new(),
            appends: 0,
            head: 0,
            record: Record::new(limits.told_bytes),
            given: Given::default(),
            transcript: Transcript::default(),
            limiter: MemoryLimiter::new(limits.memory_bytes),
            wasi: None,
            open: BTreeSet::new(),
            source,
            grant,
            limits,
        }
    }

    /// The run's name, stamped on its entries.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// The limits that it runs within.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Each host call begins here: with its name and arguments, before anything is done.
    pub(crate) fn called(&mut self, function: &'static str, arguments: impl Crossing + Debug) -> Result<(), Stop> {
        if self.stage != Stage::Running {
            return Err(Stop::OutOfTurn);
        }
        if let Source::Recorded(recorded) = &mut self.source {
            recorded.calls(function, &self.transcript)?;
        }
        self.transcript.called(function, &arguments);
        if let Source::Recorded(recorded) = &self.source {
            recorded.called(&arguments, &self.transcript)?;
        }
        self.in_time()
    }

    /// Each host call ends here, with its answer.
    pub(crate) async fn answered<T: Crossing>(&mut self, answer: Result<T, Refusal>) -> Result<T, Refusal> {
        let answer = match &self.source {
            Source::Live(_) => answer,
            Source::Recorded(recorded) => recorded.answer(self.transcript.calls(), answer),
        };
        match &answer {
            Ok(value) => self.transcript.answered(&Ok::<_, String>(value)),
            Err(refusal) => {
                let Some(error) = refusal.told() else { return answer };
                self.transcript.answered(&Err::<bool, _>(error));
                tracing::debug!(kind = ?error.kind, "refused");
                let refused = Answer::refused(error);
                self.tell(refused)?;
            }
        }
        match &self.source {
            Source::Live(_) if self.record.is_full() => {
                self.append(Vec::new()).await.map_err(Stop::Unrecorded)?;
            }
            Source::Live(_) => {}
            Source::Recorded(recorded) => recorded.answered(&self.transcript)?,
        }
        answer
    }

    /// The answer of a call that cannot be refused.
    pub(crate) fn answered_plainly(&mut self, value: &impl Crossing) -> Result<(), Stop> {
        self.transcript.answered(value);
        match &self.source {
            Source::Live(_) => Ok(()),
            Source::Recorded(recorded) => recorded.answered(&self.transcript),
        }
    }

    /// Records what the guest is about to be told.
    pub(crate) fn tell(&mut self, answer: Answer) -> Result<(), Stop> {
        self.record.tell(self.transcript.calls(), answer)
    }

    /// Fails once the deadline has passed. Host calls that take long ask between their steps.
    pub(crate) fn in_time(&self) -> Result<(), Stop> {
        if Instant::now() < self.deadline {
            Ok(())
        } else {
            Err(Stop::Deadline)
        }
    }

    /// Appends the drafts, in one commit with what waits to be recorded, which comes first. It is not cut off at the
    /// deadline: what became of an append must be known.
    pub(crate) async fn append(&mut self, drafts: Vec<Draft>) -> quipu_log::Result<Vec<Receipt>> {
        let Source::Live(memory) = &self.source else {
            return Ok(Vec::new());
        };
        let Some(told) = self.record.body() else {
            return memory.append(drafts).await;
        };
        let told = self.host_draft("quipu.run.told", told, None)?;
        // A guest's batch may fill a commit by itself.
        let mut receipts = if drafts.len() <= 1 {
            memory.append(std::iter::once(told).chain(drafts).collect()).await?
        } else {
            let mut receipts = memory.append(vec![told]).await?;
            self.record.appended();
            receipts.extend(memory.append(drafts).await?);
            receipts
        };
        self.record.appended();
        receipts.remove(0);
        Ok(receipts)
    }

    /// An entry of the host's own about this run.
    pub(crate) fn host_draft(&self, kind: &str, body: Body, sys: Option<Value>) -> quipu_log::Result<Draft> {
        let mut draft = Draft::new(
            self.grant.home.clone(),
            self.grant.actor.clone(),
            Kind::new(kind)?,
            body,
        );
        draft.run = Some(self.run);
        draft.sys = sys;
        Ok(draft)
    }
}

fn new_run_id() -> Result<RunId> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|e| Error::new(ErrorKind::Engine, format!("the system gives no random bytes: {e}")))?;
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let ms = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
    Ok(RunId(Ulid::from_parts(ms, u128::from_ne_bytes(random))))
}

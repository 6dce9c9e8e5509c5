//! The record of a run as the source of its answers, while it is executed again. It tells what the guest was told, and
//! compares what the guest does with what it did.

use std::{
    fmt::Debug,
    sync::{Arc, OnceLock},
    time::Duration,
};

use quipu_format::{Content, Event, EventId, Timestamp};
use quipu_log::{Draft, LedgerReader};

#[cfg(feature = "guard")]
use crate::secrets::SecretGuard;
use crate::{
    Refusal,
    bindings::agent::quipu::memory::types::ErrorKind as Kind,
    record::{Answer, kind_name},
    replay::{
        Difference, Differs, Identical, NoReplay, NoReplayKind, Verdict,
        difference::beginning,
        erased::{self, Erasures},
        recording::{self, End, Recording},
    },
    run::Stop,
    transcript::Transcript,
};

/// How much longer a run may take when it is executed again than it was allowed: machines differ.
const SLOWER: u32 = 4;
/// And this at least.
const LEAST: Duration = Duration::from_secs(10);

pub(crate) struct Recorded {
    pub(super) log: LedgerReader,
    pub(super) recording: Recording,
    erasures: Arc<Erasures>,
    /// How many of its entries were appended again.
    pub(super) appended: usize,
    /// The call at hand.
    function: &'static str,
    pub(super) decided: OnceLock<Verdict>,
}

impl Recorded {
    pub(crate) fn new(log: LedgerReader, recording: Recording, erasures: Arc<Erasures>) -> Self {
        Self {
            log,
            recording,
            erasures,
            appended: 0,
            function: "",
            decided: OnceLock::new(),
        }
    }

    pub(crate) fn log(&self) -> &LedgerReader {
        &self.log
    }

    pub(crate) fn began(&self) -> Timestamp {
        self.recording.began()
    }

    /// How many drafts were compared.
    pub(crate) fn appended(&self) -> usize {
        self.appended
    }

    /// How long it may take now.
    pub(crate) fn patience(&self) -> Duration {
        // What took longer, by the log's times, may do so again.
        let most = recording::most().deadline_ms.max(self.recording.took_ms());
        let limit = Duration::from_millis(self.recording.limits.deadline_ms.min(most));
        limit.saturating_mul(SLOWER).max(LEAST)
    }

    pub(super) fn decide(&self, verdict: Verdict) -> Stop {
        // The first one counts.
        let _ = self.decided.set(verdict);
        Stop::Compared
    }

    pub(super) fn differs(&self, call: u64, what: Differs) -> Stop {
        self.decide(Verdict::Different(Difference::of_call(call, self.function, what)))
    }

    /// Ends a replay that cannot go on.
    pub(crate) fn ends(&self, kind: NoReplayKind, why: impl Into<String>) -> Stop {
        self.decide(Verdict::Refused(NoReplay::new(kind, why)))
    }

    /// A run without an end is compared as far as it is recorded: whether nothing is left of it from this call on.
    pub(super) fn is_past_the_record(&self, call: u64) -> bool {
        self.recording.end.is_none()
            && self.appended == self.recording.run.appended.len()
            && self.recording.told.range(call..).next().is_none()
    }

    /// The verdict where there is nothing to execute, of the recorded component or another one.
    pub(crate) fn at_once(&self, is_other: bool) -> Option<Verdict> {
        let identical = match &self.recording.end {
            None if self.is_past_the_record(1) => Verdict::Identical(Identical::UpToTheKill),
            Some(end) if end.calls == 0 && end.is_by_chance() => {
                // Where it made no call it drafted nothing, and was told nothing.
                if let Some(&recorded) = self.recording.told.keys().next_back() {
                    let what = Differs::FewerCalls { recorded, given: 0 };
                    return Some(Verdict::Different(Difference::of_run(what)));
                }
                if end.transcript != Transcript::default().hash() {
                    return Some(Verdict::Different(Difference::of_run(Differs::Transcript)));
                }
                self.up_to(end)
            }
            _ => return None,
        };
        if is_other && matches!(identical, Verdict::Identical(_)) {
            let what = "it made no call before something else than the guest ended it: there is nothing that another \
                        component could be compared with";
            return Some(Verdict::Refused(NoReplay::new(NoReplayKind::Incomplete, what)));
        }
        Some(self.unless_others_stand_there(identical))
    }

    /// The verdict on a run that came to where something else than its guest ended it.
    fn up_to(&self, end: &End) -> Verdict {
        let identical = || Verdict::Identical(Identical::up_to(end));
        self.missing().unwrap_or_else(identical)
    }

    /// What is recorded and was not drafted again, if something is.
    pub(super) fn missing(&self) -> Option<Verdict> {
        let &seq = self.recording.run.appended.get(self.appended)?;
        Some(self.entry_differs(seq, |entry| Differs::MissingDraft { entry }))
    }

    /// A verdict that nothing differs is none where entries have the run's name and are not between its beginning and end.
    pub(super) fn unless_others_stand_there(&self, verdict: Verdict) -> Verdict {
        match (&verdict, self.recording.run.stray) {
            (Verdict::Identical(_), Some(seq)) => self.entry_differs(seq, |entry| Differs::NotDrafted { entry }),
            _ => verdict,
        }
    }

    fn entry_differs(&self, seq: u64, differs: impl FnOnce(EventId) -> Differs) -> Verdict {
        match self.log.envelope(seq) {
            Ok(Some(envelope)) => Verdict::Different(Difference::of_run(differs(envelope.id))),
            _ => {
                let what = format!("entry {seq} cannot be read");
                Verdict::Refused(NoReplay::new(NoReplayKind::Damaged, what))
            }
        }
    }

    /// A call is about to be made; the transcript is that of the calls before.
    pub(crate) fn calls(&mut self, function: &'static str, before: &Transcript) -> Result<(), Stop> {
        self.function = function;
        let call = before.calls() + 1;
        if self.is_past_the_record(call) {
            return Err(self.decide(Verdict::Identical(Identical::UpToTheKill)));
        }
        match &self.recording.end {
            Some(end) if call > end.calls => Err(self.differs(call, Differs::MoreCalls { recorded: end.calls })),
            _ => Ok(()),
        }
    }

    /// The call was made, with these arguments, which are in the transcript.
    pub(crate) fn called(&self, arguments: &impl Debug, transcript: &Transcript) -> Result<(), Stop> {
        let call = transcript.calls();
        let told = self.recording.told.get(&call);
        if let Some(recorded) = told.and_then(answers).filter(|named| !named.contains(self.function)) {
            return Err(self.differs(call, Differs::Function { recorded }));
        }
        if let Some(end) = &self.recording.end
            && call == end.calls
            && transcript.hash() == end.transcript
            // Drafts of this call are compared yet, and then the end.
            && !(self.is_append() && self.missing().is_some())
        {
            // It ended within this call.
            return Err(self.decide(self.up_to(end)));
        }
        // What differs of a draft is shown first.
        if !self.is_append() {
            self.check_mark(transcript, || beginning(&format!("{arguments:?}")))?;
        }
        Ok(())
    }

    fn is_append(&self) -> bool {
        self.function.starts_with("append.")
    }

    /// Whether the calls so far are the recorded ones, by the mark behind them, if there is one.
    fn check_mark(&self, transcript: &Transcript, given: impl FnOnce() -> String) -> Result<(), Stop> {
        let call = transcript.calls();
        let Some(marks) = self.recording.end.as_ref().and_then(|end| end.marks.as_ref()) else {
            return Ok(());
        };
        match marks.after(call) {
            Some(mark) if mark != transcript.mark() => {
                let (since, given) = (call - marks.every + 1, given());
                Err(self.differs(call, Differs::Arguments { since, given }))
            }
            _ => Ok(()),
        }
    }

    /// What the call is answered: what it was refused it is refused again.
    pub(crate) fn answer<T>(&self, call: u64, answer: Result<T, Refusal>) -> Result<T, Refusal> {
        if let Err(refusal) = &answer
            && refusal.told().is_none()
        {
            return answer;
        }
        if let Some(refusal) = self.refusal(call) {
            return Err(refusal);
        }
        let Err(refusal) = &answer else { return answer };
        let Some(told) = refusal.told() else { return answer };
        if self.is_past_the_record(call) {
            return Err(self.decide(Verdict::Identical(Identical::UpToTheKill)).into());
        }
        match &self.recording.end {
            // What could not be recorded ended the run, and does so now.
            Some(end) if call == end.calls && end.outcome == "trapped" => answer,
            _ if told.kind == Kind::Unavailable => {
                let what = format!(
                    "what call {call}, {}, read then cannot be read now: run `quipu verify`",
                    self.function
                );
                Err(self.ends(NoReplayKind::Damaged, what).into())
            }
            _ => {
                let message = beginning(&told.message);
                let kind = kind_name(told.kind);
                Err(self.differs(call, Differs::Refused { kind, message }).into())
            }
        }
    }

    /// The call was answered, and the transcript says so.
    pub(crate) fn answered(&self, transcript: &Transcript) -> Result<(), Stop> {
        if self.is_append() {
            self.check_mark(transcript, || "drafts that became the same entries".into())?;
        }
        match &self.recording.end {
            Some(end)
                if end.is_by_chance() && transcript.calls() == end.calls && transcript.hash() == end.transcript =>
            {
                Err(self.decide(self.up_to(end)))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn refusal(&self, call: u64) -> Option<Refusal> {
        match self.recording.told.get(&call) {
            Some(Answer::Refused { kind, message }) => Some(Refusal::new(*kind, message.clone())),
            _ => None,
        }
    }

    /// What the call was answered, where that does not follow from the log.
    pub(crate) fn told(&self, call: u64) -> Result<&Answer, Refusal> {
        match self.refusal(call) {
            Some(refusal) => Err(refusal),
            None => self.recording.told.get(&call).ok_or_else(|| self.untold(call).into()),
        }
    }

    /// The record has no answer to such a call.
    pub(crate) fn untold(&self, call: u64) -> Stop {
        self.differs(call, Differs::Untold)
    }

    pub(crate) fn proof(&self, call: u64) -> Result<String, Refusal> {
        match self.told(call)? {
            Answer::Proof(proof) => Ok(proof.clone()),
            _ => Err(self.untold(call).into()),
        }
    }

    pub(crate) fn head(&self, call: u64) -> Result<u64, Refusal> {
        match self.told(call)? {
            Answer::Head(head) => Ok(*head),
            _ => Err(self.untold(call).into()),
        }
    }

    /// The event of that name, as the run was shown it.
    pub(crate) fn event(&self, id: EventId) -> Result<Event, Refusal> {
        let event = self.log.find(id)?.map(|seq| self.log.event(seq)).transpose()?.flatten();
        let Some(event) = event else {
            return Err(self
                .ends(NoReplayKind::Damaged, format!("there is no event {id} in this ledger"))
                .into());
        };
        self.is_as_it_was(&event)?;
        Ok(event)
    }

    /// Ends the replay where an event that the run is shown has been erased since it began.
    pub(crate) fn is_as_it_was(&self, event: &Event) -> Result<(), Stop> {
        if !matches!(event.content, Content::Erased) {
            return Ok(());
        }
        match self.erasures.had_erased(&event.envelope, self.recording.run.seq) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.decide(Verdict::Refused(erased::shown(event.envelope.id)))),
            Err(error) => Err(self.ends(NoReplayKind::Damaged, error.to_string())),
        }
    }

    /// Puts handles in place of secrets, as was done then.
    pub(crate) fn handled(&self, drafts: Vec<Draft>) -> Vec<Draft> {
        #[cfg(feature = "guard")]
        if self.recording.has_guard {
            let mut drafts = drafts;
            SecretGuard::default().handle(&mut drafts, |_| true, &self.log);
            return drafts;
        }
        drafts
    }
}

/// Which functions have such an answer; any may be refused.
fn answers(answer: &Answer) -> Option<&'static str> {
    Some(match answer {
        Answer::Refused { .. } | Answer::Deadline => return None,
        Answer::Repeated(_) => "append.append or append.append-all",
        Answer::Head(_) => "read.reader.refresh",
        Answer::Proof(_) => "read.reader.prove",
        Answer::Hits { .. } => "recall.search",
        Answer::Facts { .. } => "recall.facts",
        Answer::Context { .. } => "recall.compose",
        Answer::Trail { .. } => "recall.why or recall.impact",
    })
}

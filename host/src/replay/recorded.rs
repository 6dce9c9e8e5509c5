//! The record of a run as the source of its answers, while it is executed again. It tells what the guest was told, and
//! compares what the guest does with what it did.

use std::{
    fmt::Debug,
    sync::{Arc, OnceLock},
    time::Duration,
};

use quipu_format::{Body, Content, Event, EventId, Timestamp};
use quipu_log::{Draft, LedgerReader, Receipt};

#[cfg(feature = "guard")]
use crate::secrets::SecretGuard;
use crate::{
    Outcome, Refusal,
    bindings::agent::quipu::memory::types::ErrorKind as Kind,
    record::{Answer, kind_name, kind_named},
    replay::{
        Difference, Differs, Identical, Member, NoReplay, NoReplayKind, Verdict,
        difference::{apart, beginning},
        erased::{self, Erasures},
        recording::{End, Recording},
    },
    run::Stop,
    transcript::Transcript,
};

/// How much longer a run may take when it is executed again than it was allowed: machines differ.
const SLOWER: u32 = 4;
/// And this at least.
const LEAST: Duration = Duration::from_secs(10);

pub(crate) struct Recorded {
    log: LedgerReader,
    recording: Recording,
    erasures: Arc<Erasures>,
    /// How many of its entries were appended again.
    appended: usize,
    /// The call at hand.
    function: &'static str,
    decided: OnceLock<Verdict>,
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
        let limit = Duration::from_millis(self.recording.limits.deadline_ms);
        limit.saturating_mul(SLOWER).max(LEAST)
    }

    fn decide(&self, verdict: Verdict) -> Stop {
        // The first one counts.
        let _ = self.decided.set(verdict);
        Stop::Compared
    }

    fn differs(&self, call: u64, what: Differs) -> Stop {
        self.decide(Verdict::Different(Difference::of_call(call, self.function, what)))
    }

    /// Ends a replay that cannot go on.
    pub(crate) fn ends(&self, kind: NoReplayKind, why: impl Into<String>) -> Stop {
        self.decide(Verdict::Refused(NoReplay::new(kind, why)))
    }

    /// A run without an end is compared as far as it is recorded: whether nothing is left of it from this call on.
    fn is_past_the_record(&self, call: u64) -> bool {
        self.recording.end.is_none()
            && self.appended == self.recording.run.appended.len()
            && self.recording.told.range(call..).next().is_none()
    }

    /// The verdict where there is nothing to execute.
    pub(crate) fn at_once(&self) -> Option<Verdict> {
        match &self.recording.end {
            None => self
                .is_past_the_record(1)
                .then_some(Verdict::Identical(Identical::UpToTheKill)),
            Some(end) => (end.calls == 0 && end.is_by_chance()).then(|| Verdict::Identical(Identical::up_to(end))),
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
        {
            // It ended within this call.
            return Err(self.decide(Verdict::Identical(Identical::up_to(end))));
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
                Err(self.decide(Verdict::Identical(Identical::up_to(end))))
            }
            _ => Ok(()),
        }
    }

    fn refusal(&self, call: u64) -> Option<Refusal> {
        match self.recording.told.get(&call) {
            Some(Answer::Refused { kind, message }) => Some(Refusal::new(kind_named(kind)?, message.clone())),
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

    /// Compares drafts with the entries that they were, and gives the receipts of those.
    pub(crate) fn append(&mut self, call: u64, drafts: &[Draft]) -> Result<Vec<Receipt>, Refusal> {
        if let Some(refusal) = self.refusal(call) {
            return Err(refusal);
        }
        let repeated = match self.recording.told.get(&call) {
            Some(Answer::Repeated(repeated)) => repeated.clone(),
            _ => Vec::new(),
        };
        let mut receipts = Vec::with_capacity(drafts.len());
        for (nth, draft) in drafts.iter().enumerate() {
            let earlier = repeated.iter().find(|(of, _)| *of == nth).map(|(_, id)| *id);
            let event = match earlier {
                Some(id) => self.event(id)?,
                None => self.next_entry(call, nth, draft)?,
            };
            if matches!(event.content, Content::Erased) {
                return Err(self.decide(Verdict::Refused(erased::own(event.envelope.id))).into());
            }
            let members = self.members(&event, draft);
            if !members.is_empty() {
                let entry = event.envelope.id;
                return Err(self.differs(call, Differs::Draft { entry, nth, members }).into());
            }
            self.appended += usize::from(earlier.is_none());
            receipts.push(Receipt {
                seq: event.envelope.seq,
                id: event.envelope.id,
                ts: event.envelope.ts,
                hash: event.hash,
                repeated: earlier.is_some(),
            });
        }
        Ok(receipts)
    }

    fn next_entry(&self, call: u64, nth: usize, draft: &Draft) -> Result<Event, Refusal> {
        let Some(seq) = self.recording.run.appended.get(self.appended) else {
            if self.is_past_the_record(call) {
                return Err(self.decide(Verdict::Identical(Identical::UpToTheKill)).into());
            }
            let payload = beginning(draft.body.payload.get());
            return Err(self.differs(call, Differs::ExtraDraft { nth, payload }).into());
        };
        match self.log.event(*seq)? {
            Some(event) => Ok(event),
            None => Err(self
                .ends(NoReplayKind::Damaged, format!("there is no entry {seq}"))
                .into()),
        }
    }

    /// The members in which a draft is not the entry that it was.
    fn members(&self, event: &Event, draft: &Draft) -> Vec<Member> {
        let envelope = &event.envelope;
        let ids = |ids: &[EventId]| ids.iter().map(EventId::to_string).collect::<Vec<_>>().join(" ");
        let key = draft
            .key
            .as_ref()
            .map(|key| self.log.idempotency_key(&draft.scope, &draft.actor, key));
        let key_of = |key: Option<_>| key.map_or(String::new(), |key| format!("{key:?}"));
        let source = |body: &Body| match &body.source {
            Some(source) => serde_json::to_string(source).unwrap_or_default(),
            None => String::new(),
        };
        let body = event.body();
        let members = [
            Member::compare("kind", envelope.kind.as_str(), draft.kind.as_str()),
            Member::compare("scope", envelope.scope.as_str(), draft.scope.as_str()),
            Member::compare(
                "payload",
                body.map_or("", |body| body.payload.get()),
                draft.body.payload.get(),
            ),
            Member::compare("source", &body.map(source).unwrap_or_default(), &source(&draft.body)),
            Member::compare("evidence", &ids(&envelope.evidence), &ids(&draft.evidence)),
            Member::compare("supersedes", &ids(&envelope.supersedes), &ids(&draft.supersedes)),
        ];
        // A draft without a key that was handed to another process got a random one.
        let key = key.and_then(|key| Member::compare("key", &key_of(envelope.key), &key_of(Some(key))));
        members.into_iter().flatten().chain(key).collect()
    }

    /// The guest has ended: what to say of all that it did.
    pub(crate) fn judge(&self, outcome: &Outcome, transcript: &Transcript) -> Verdict {
        let patience = self.patience();
        if let Some(decided) = self.decided.get() {
            return decided.clone();
        }
        let different = |what| Verdict::Different(Difference::of_run(what));
        if *outcome == Outcome::TimedOut {
            let what = format!(
                "it was stopped after {} s and {} calls, where the recorded run came further or ended",
                patience.as_secs(),
                transcript.calls()
            );
            return Verdict::Refused(NoReplay::new(NoReplayKind::Late, what));
        }
        if let Some(&seq) = self.recording.run.appended.get(self.appended) {
            return match self.log.envelope(seq) {
                Ok(Some(envelope)) => different(Differs::MissingDraft { entry: envelope.id }),
                _ => Verdict::Refused(NoReplay::new(
                    NoReplayKind::Damaged,
                    format!("entry {seq} cannot be read"),
                )),
            };
        }
        let Some(end) = &self.recording.end else {
            return match self.recording.told.last_key_value() {
                Some((&recorded, _)) if recorded > transcript.calls() => different(Differs::FewerCalls {
                    recorded,
                    given: transcript.calls(),
                }),
                _ => Verdict::Identical(Identical::UpToTheKill),
            };
        };
        if transcript.calls() < end.calls {
            return different(Differs::FewerCalls {
                recorded: end.calls,
                given: transcript.calls(),
            });
        }
        let is_same = transcript.hash() == end.transcript;
        if outcome.word() != end.outcome {
            if end.is_by_chance() && is_same {
                return Verdict::Identical(Identical::up_to(end));
            }
            let said = |word: &str, text: &str| beginning(&format!("{word}: {text}"));
            return different(Differs::Outcome {
                recorded: said(&end.outcome, &end.text),
                given: said(outcome.word(), outcome.text()),
            });
        }
        if let Outcome::Ok(given) | Outcome::Failed(given) = outcome
            && !self.is_said(end, given)
        {
            let (recorded, given) = apart(&end.text, given);
            return different(Differs::Output { recorded, given });
        }
        match (is_same, &end.marks) {
            (true, _) => Verdict::Identical(Identical::ToItsEnd),
            (false, Some(marks)) if marks.after(end.calls).is_some() => different(Differs::Answers),
            (false, _) => different(Differs::Transcript),
        }
    }

    /// Whether what was recorded as the guest's answer is this answer, with handles in place of secrets if it has some.
    fn is_said(&self, end: &End, given: &str) -> bool {
        if end.text == given {
            return true;
        }
        #[cfg(feature = "guard")]
        if let Some(member) = end.handled {
            return SecretGuard::default().said(member, given, &self.log).as_deref() == Some(&end.text);
        }
        false
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

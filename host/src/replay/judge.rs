//! What to say of a run that was executed again.

#[cfg(feature = "guard")]
use crate::secrets::SecretGuard;
use crate::{
    Outcome,
    replay::{
        Difference, Differs, Identical, NoReplay, NoReplayKind, Recorded, Verdict,
        difference::{apart, beginning},
        recording::End,
    },
    transcript::Transcript,
};

impl Recorded {
    /// The guest has ended: what to say of all that it did.
    pub(crate) fn judge(&self, outcome: &Outcome, transcript: &Transcript) -> Verdict {
        self.unless_others_stand_there(self.compared(outcome, transcript))
    }

    fn compared(&self, outcome: &Outcome, transcript: &Transcript) -> Verdict {
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
        if let Some(missing) = self.missing() {
            return missing;
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

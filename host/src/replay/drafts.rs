//! Drafts of a run that is executed again, beside the entries that they were.

use quipu_format::{Body, Content, Event, EventId};
use quipu_log::{Draft, Receipt};

use crate::{
    Refusal,
    record::Answer,
    replay::{Differs, Identical, Member, NoReplayKind, Recorded, Verdict, difference::beginning, erased},
};

impl Recorded {
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
            Member::compare("actor", envelope.actor.as_str(), draft.actor.as_str()),
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
}

//! What recall showed to a run, made again of the events that it was made of.

use std::collections::HashSet;

use quipu_format::{Event, EventId, limits};
use quipu_projections as projections;

use crate::{
    QuipuCtx, Refusal,
    bindings::agent::quipu::memory::recall::{Context, FactAnswer, Hit, SearchAnswer, Trail},
    convert, derived,
    record::Answer,
    replay::{NoReplayKind, Recorded},
};

const WRITTEN_EARLIER: &str = "an earlier release recorded what recall answered, and too little of it to answer again";
const NOT_WHOLE: &str = "what recall answered cannot be put together again from the events that it named";
const TOO_MUCH: &str = "what recall is recorded to have answered is more than it answers";
/// Bytes of a context: a budget is of [`limits::PAGE_BYTES`] tokens at most, each of four letters and a space at most.
const CONTEXT_BYTES: usize = 5 * limits::PAGE_BYTES;

impl QuipuCtx {
    /// The record, where the run is executed again, and the call at hand.
    pub(crate) fn recalled(&self) -> Option<(&Recorded, u64)> {
        Some((self.recorded()?, self.transcript.calls()))
    }
}

impl Recorded {
    fn events(&self, ids: &[EventId]) -> Result<Vec<Event>, Refusal> {
        ids.iter().map(|id| self.event(*id)).collect()
    }

    fn too_much(&self) -> Refusal {
        self.ends(NoReplayKind::Incomplete, TOO_MUCH).into()
    }

    /// Events of one answer, each once: so many at most, and none behind a page's bytes.
    fn page(&self, ids: impl ExactSizeIterator<Item = EventId>, most: usize) -> Result<Vec<Event>, Refusal> {
        if ids.len() > most {
            return Err(self.too_much());
        }
        let (mut events, mut seen, mut bytes) = (Vec::with_capacity(ids.len()), HashSet::new(), 0);
        for id in ids {
            if bytes >= limits::PAGE_BYTES || !seen.insert(id) {
                return Err(self.too_much());
            }
            let event = self.event(id)?;
            bytes += event.payload().map_or(0, str::len);
            events.push(event);
        }
        Ok(events)
    }

    pub(crate) fn hits(&self, call: u64) -> Result<(SearchAnswer, Answer), Refusal> {
        let told = self.told(call)?;
        let Answer::Hits { hits, as_of } = told else {
            return Err(self.untold(call).into());
        };
        let events = self.page(hits.iter().map(|(id, _)| *id), projections::limits::HITS)?;
        let hits = events.into_iter().zip(hits).map(|(event, (_, score))| Hit {
            event: convert::event(event),
            score: *score,
        });
        let hits = hits.collect();
        Ok((SearchAnswer { hits, as_of: *as_of }, told.clone()))
    }

    pub(crate) fn facts(&self, call: u64) -> Result<(FactAnswer, Answer), Refusal> {
        let told = self.told(call)?;
        let Answer::Facts { facts, notes, as_of } = told else {
            return Err(self.untold(call).into());
        };
        if facts.len() != notes.len() {
            return Err(self.ends(NoReplayKind::Incomplete, WRITTEN_EARLIER).into());
        }
        if facts.len() > projections::limits::HITS {
            return Err(self.too_much());
        }
        let mut again = Vec::with_capacity(facts.len());
        let (mut named, mut bytes) = (0, 0);
        for ((confidence, ids), note) in facts.iter().zip(notes) {
            named += ids.len();
            let is_more = named > projections::limits::ANSWER_EVIDENCE || bytes > limits::PAGE_BYTES;
            if is_more && !again.is_empty() || ids.len() > projections::limits::NOISE_EVENTS {
                return Err(self.too_much());
            }
            let fact = projections::fact_again(*confidence, &self.events(ids)?, note);
            let fact = fact.ok_or_else(|| self.ends(NoReplayKind::Incomplete, NOT_WHOLE))?;
            bytes += fact.text.len();
            again.push(derived::fact(fact));
        }
        let answer = FactAnswer {
            facts: again,
            as_of: *as_of,
        };
        Ok((answer, told.clone()))
    }

    pub(crate) fn context(&self, call: u64) -> Result<(Context, Answer), Refusal> {
        let told = self.told(call)?;
        let Answer::Context {
            events, layout, as_of, ..
        } = told
        else {
            return Err(self.untold(call).into());
        };
        let Some(layout) = layout else {
            return Err(self.ends(NoReplayKind::Incomplete, WRITTEN_EARLIER).into());
        };
        if events.len() > projections::limits::ANSWER_EVIDENCE {
            return Err(self.too_much());
        }
        let shown = events.iter().map(|id| self.event(*id));
        let text = projections::context_again(layout, shown, CONTEXT_BYTES)?;
        let answer = Context {
            text: text.ok_or_else(|| self.ends(NoReplayKind::Incomplete, NOT_WHOLE))?,
            events: convert::ids(events),
            as_of: *as_of,
        };
        Ok((answer, told.clone()))
    }

    pub(crate) fn trail(&self, call: u64, forward: bool) -> Result<(Trail, Answer), Refusal> {
        let told = self.told(call)?;
        let Answer::Trail {
            events,
            complete,
            as_of,
        } = told
        else {
            return Err(self.untold(call).into());
        };
        let events = self.page(events.iter().copied(), limits::PAGE_EVENTS)?;
        let links = projections::links_again(&events, forward)
            .into_iter()
            .map(derived::link);
        let answer = Trail {
            links: links.collect(),
            events: events.into_iter().map(convert::event).collect(),
            complete: *complete,
            as_of: *as_of,
        };
        Ok((answer, told.clone()))
    }
}

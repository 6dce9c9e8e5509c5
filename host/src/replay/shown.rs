//! What recall showed to a run, made again of the events that it was made of.

use quipu_format::{Event, EventId};
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

    pub(crate) fn hits(&self, call: u64) -> Result<(SearchAnswer, Answer), Refusal> {
        let told = self.told(call)?;
        let Answer::Hits { hits, as_of } = told else {
            return Err(self.untold(call).into());
        };
        let hits = hits.iter().map(|(id, score)| {
            Ok(Hit {
                event: convert::event(self.event(*id)?),
                score: *score,
            })
        });
        let hits = hits.collect::<Result<_, Refusal>>()?;
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
        let mut again = Vec::with_capacity(facts.len());
        for ((confidence, ids), note) in facts.iter().zip(notes) {
            let fact = projections::fact_again(*confidence, &self.events(ids)?, note);
            let fact = fact.ok_or_else(|| self.ends(NoReplayKind::Incomplete, NOT_WHOLE))?;
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
        let text = projections::context_again(layout, &self.events(events)?);
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
        let events = self.events(events)?;
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

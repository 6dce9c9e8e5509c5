//! Answers `recall` from projections.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use quipu_format::{EventId, Timestamp, limits};
use quipu_log::LedgerReader;
use quipu_projections as projections;

use crate::{
    Error, ErrorKind, Memory, QuipuCtx, Reader, Refusal, Result,
    bindings::agent::quipu::memory::{
        recall::{Budget, Context, Fact, FactAnswer, Hit, Link, Query, Relation, SearchAnswer, Trail},
        types::{self, ErrorKind as Kind},
    },
    convert,
    memory::blocking,
    read::is_shown,
    record::Answer,
    refusal::NOT_FOUND,
    run::Stop,
};

/// Bytes of a query's text, and of each name in it.
const QUERY_BYTES: usize = 4_096;
/// Of a run's time, what is left to the guest where it waited in vain for what is derived.
const TO_ANSWER: Duration = Duration::from_secs(1);
/// Kinds, tags and actors that a query may name, each.
const QUERY_NAMES: usize = 256;

/// State that is derived from one ledger.
pub(crate) struct Derived(projections::Projections);

impl Derived {
    pub(crate) fn open(ledger: &LedgerReader) -> Result<Self> {
        let opened = projections::Projections::open(ledger);
        opened
            .map(Self)
            .map_err(|error| Error::new(ErrorKind::Ledger, error.to_string()))
    }
}

/// One way along the links from an event.
type Walk = fn(
    &projections::Projections,
    &projections::View,
    EventId,
) -> Result<Option<projections::Trail>, projections::Error>;

impl QuipuCtx {
    pub(crate) async fn search(&mut self, readers: &[Reader], query: Query) -> Result<SearchAnswer, Refusal> {
        let mut question = question(query)?;
        question.now = self.now;
        let view = self.view_of(readers)?;
        if let Some((recorded, call)) = self.recalled() {
            let (answer, told) = recorded.hits(call)?;
            self.tell(told)?;
            return Ok(answer);
        }
        let as_of = question.as_of;
        let found = self.ask(move |derived| derived.search(&view, &question)).await?;
        let mut bytes = 0;
        let mut hits = Vec::with_capacity(found.hits.len());
        for hit in found.hits.into_iter().filter(|hit| is_shown(&hit.event.envelope)) {
            let event = convert::event(hit.event);
            bytes += convert::content_bytes(&event);
            hits.push(Hit {
                event,
                score: hit.score,
            });
            if bytes >= limits::PAGE_BYTES {
                break;
            }
        }
        let as_of = as_of_all(readers, found.as_of).min(as_of.unwrap_or(u64::MAX));
        let told = hits
            .iter()
            .filter_map(|hit| Some((hit.event.id.parse().ok()?, hit.score)))
            .collect();
        self.tell(Answer::Hits { hits: told, as_of })?;
        Ok(SearchAnswer { hits, as_of })
    }

    pub(crate) async fn facts(&mut self, readers: &[Reader], query: Query) -> Result<FactAnswer, Refusal> {
        let mut question = question(query)?;
        question.now = self.now;
        let view = self.view_of(readers)?;
        if let Some((recorded, call)) = self.recalled() {
            let (answer, told) = recorded.facts(call)?;
            self.tell(told)?;
            return Ok(answer);
        }
        let as_of = question.as_of;
        let found = self.ask(move |derived| derived.facts(&view, &question)).await?;
        let as_of = as_of_all(readers, found.as_of).min(as_of.unwrap_or(u64::MAX));
        let told = found.facts.iter().map(|fact| (fact.confidence, fact.evidence.clone()));
        self.tell(Answer::Facts {
            facts: told.collect(),
            notes: found.facts.iter().map(projections::FactNote::of).collect(),
            as_of,
        })?;
        let facts = found.facts.into_iter().map(fact).collect();
        Ok(FactAnswer { facts, as_of })
    }

    pub(crate) async fn compose(
        &mut self,
        readers: &[Reader],
        query: Query,
        budget: Budget,
    ) -> Result<Context, Refusal> {
        let mut question = question(query)?;
        question.now = self.now;
        let view = self.view_of(readers)?;
        let budget = match budget {
            Budget::Characters(0) | Budget::Tokens(0) => {
                return Err(Refusal::new(Kind::Invalid, "a budget is of at least 1"));
            }
            Budget::Characters(most) => projections::Budget::Characters(most.min(limits::PAGE_BYTES as u32)),
            Budget::Tokens(most) => projections::Budget::Tokens(most.min(limits::PAGE_BYTES as u32)),
        };
        if let Some((recorded, call)) = self.recalled() {
            let (answer, told) = recorded.context(call)?;
            self.tell(told)?;
            return Ok(answer);
        }
        let as_of = question.as_of;
        let context = self
            .ask(move |derived| derived.compose(&view, &question, budget))
            .await?;
        let as_of = as_of_all(readers, context.as_of).min(as_of.unwrap_or(u64::MAX));
        let events = context.events.iter().map(EventId::to_string).collect();
        self.tell(Answer::Context {
            events: context.events,
            evidence: context.evidence,
            layout: Some(context.layout),
            as_of,
        })?;
        Ok(Context {
            text: context.text,
            events,
            as_of,
        })
    }

    pub(crate) async fn why(&mut self, readers: &[Reader], id: &str) -> Result<Trail, Refusal> {
        let walk: Walk = |derived, view, id| derived.why(view, id);
        self.trail(readers, id, walk, false).await
    }

    pub(crate) async fn impact(&mut self, readers: &[Reader], id: &str) -> Result<Trail, Refusal> {
        let walk: Walk = |derived, view, id| derived.impact(view, id);
        self.trail(readers, id, walk, true).await
    }

    async fn trail(&mut self, readers: &[Reader], id: &str, walk: Walk, forward: bool) -> Result<Trail, Refusal> {
        let id = convert::event_id(id)?;
        let view = self.view_of(readers)?;
        if let Some((recorded, call)) = self.recalled() {
            let (answer, told) = recorded.trail(call, forward)?;
            self.tell(told)?;
            return Ok(answer);
        }
        let trail = self.ask(move |derived| walk(derived, &view, id)).await?;
        let trail = trail.filter(|trail| trail.events.first().is_some_and(|event| is_shown(&event.envelope)));
        let Some(trail) = trail else {
            return Err(Refusal::new(Kind::NotFound, NOT_FOUND));
        };

        let as_of = as_of_all(readers, trail.as_of);
        let mut complete = trail.complete;
        let mut shown = HashSet::new();
        let mut bytes = 0;
        let mut events: Vec<types::Event> = Vec::with_capacity(trail.events.len());
        for event in trail.events.into_iter().filter(|event| is_shown(&event.envelope)) {
            if events.len() == limits::PAGE_EVENTS || bytes >= limits::PAGE_BYTES {
                complete = false;
                break;
            }
            shown.insert(event.envelope.id);
            let event = convert::event(event);
            bytes += convert::content_bytes(&event);
            events.push(event);
        }
        let links = trail
            .links
            .into_iter()
            .filter(|link| shown.contains(&link.later) && shown.contains(&link.earlier));
        let links = links.map(link).collect();
        let told = events.iter().filter_map(|event| event.id.parse().ok()).collect();
        self.tell(Answer::Trail {
            events: told,
            complete,
            as_of,
        })?;
        Ok(Trail {
            events,
            links,
            complete,
            as_of,
        })
    }

    /// How sure these events together are, as far as a reader sees what they rest on.
    pub(crate) async fn supported(&self, reader: Reader, events: Vec<EventId>) -> Result<f64, Refusal> {
        let view = self.view_of(&[reader])?;
        self.ask(move |derived| derived.supported(&view, &events)).await
    }

    /// What the readers see, taken together.
    fn view_of(&self, readers: &[Reader]) -> Result<projections::View, Refusal> {
        if readers.is_empty() {
            return Err(Refusal::new(Kind::Invalid, "pass at least one reader"));
        }
        let mut handles: Vec<projections::Handle> = Vec::new();
        for reader in readers {
            // A grant has few scopes, whatever number of times a guest names one.
            match handles.iter_mut().find(|handle| handle.scope == reader.scope) {
                Some(handle) => handle.head = handle.head.max(reader.head),
                None => handles.push(projections::Handle {
                    scope: reader.scope.clone(),
                    head: reader.head,
                    run: Some(self.run),
                }),
            }
        }
        Ok(projections::View::Handles(handles))
    }

    /// Asks what is derived, after it has caught up with all that is in the log: the run's own entries may be the
    /// last. That may take long, also where another process is at it, which is waited for: until so short before the
    /// deadline that the guest can still say that it was in vain.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&projections::Projections) -> Result<T, projections::Error> + Send + 'static,
    ) -> Result<T, Refusal> {
        let last = self.log().head().saturating_sub(1);
        let left = self.deadline.saturating_duration_since(Instant::now());
        let limit = left - TO_ANSWER.min(left / 4);
        self.derive(move |derived| derived.wait_for(last, limit)).await?;
        self.derive(question).await
    }

    async fn derive<T: Send + 'static>(
        &self,
        work: impl FnOnce(&projections::Projections) -> Result<T, projections::Error> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.in_time()?;
        let asked: Memory = self.memory()?.clone();
        let memory = asked.clone();
        let answer = blocking(move || {
            let Derived(derived) = memory.derived();
            work(derived)
        });
        let answer = tokio::time::timeout_at(self.deadline.into(), answer);
        let answer = tokio::select! {
            answer = answer => answer,
            () = self.halt.halted() => return Err(Stop::Halted.into()),
        };
        match answer {
            Ok(Err(error)) if is_late(&error) => {
                let Derived(derived) = asked.derived();
                let (reached, head) = (derived.as_of().unwrap_or(0), asked.reader().head());
                let message = format!(
                    "what is recalled is still being built, to seq {reached} of {head}: call again later; readers still \
                     answer"
                );
                Err(Refusal::new(Kind::Unavailable, message))
            }
            Ok(answer) => answer.map_err(|error| {
                tracing::error!(%error, "derived state failed a guest's call");
                Refusal::new(Kind::Unavailable, "the host cannot recall now; readers still answer")
            }),
            Err(_) => Err(Stop::Deadline.into()),
        }
    }
}

/// Whether another process has not come far enough, or keeps the file.
fn is_late(error: &projections::Error) -> bool {
    matches!(
        error.kind(),
        projections::ErrorKind::Behind | projections::ErrorKind::Busy
    )
}

/// The position below which the answer takes everything into account.
fn as_of_all(readers: &[Reader], reached: u64) -> u64 {
    readers.iter().map(|reader| reader.head).fold(reached, u64::min)
}

pub(crate) fn fact(fact: projections::Fact) -> Fact {
    Fact {
        text: fact.text,
        confidence: fact.confidence,
        tags: fact.tags,
        count: u32::try_from(fact.count).unwrap_or(u32::MAX),
        first_seen: fact.first_seen.to_string(),
        last_seen: fact.last_seen.to_string(),
        expires: fact.expires.map(|expires| expires.to_string()),
        evidence: convert::ids(&fact.evidence),
    }
}

pub(crate) fn link(link: projections::Link) -> Link {
    let relation = match link.relation {
        projections::Relation::Supersedes => Relation::Supersedes,
        _ => Relation::Evidence,
    };
    let id = |id: EventId| id.to_string();
    Link {
        later: id(link.later),
        earlier: id(link.earlier),
        relation,
    }
}

fn question(query: Query) -> Result<projections::Query, Refusal> {
    let refused = |kind, message: &str| Err(Refusal::new(kind, message));
    if query.limit == 0 {
        return refused(Kind::Invalid, "limit is the number of results wanted, from 1");
    }
    let lists = [&query.kinds, &query.tags, &query.actors];
    if lists.iter().any(|names| names.len() > QUERY_NAMES) {
        return refused(
            Kind::TooLarge,
            "a query names at most 256 kinds, 256 tags and 256 actors",
        );
    }
    if query.text.len() > QUERY_BYTES || lists.into_iter().flatten().any(|name| name.len() > QUERY_BYTES) {
        return refused(
            Kind::TooLarge,
            "a query's text, and each name in it, has at most 4,096 bytes",
        );
    }
    let instant = |text: Option<String>| -> Result<Option<Timestamp>, Refusal> {
        let parse = |text: String| {
            text.parse()
                .map_err(|_| Refusal::new(Kind::Invalid, "an instant has the form 2026-02-20T02:11:43.123Z"))
        };
        text.map(parse).transpose()
    };
    let mut question = projections::Query::default();
    question.text = query.text;
    question.limit = usize::try_from(query.limit)
        .unwrap_or(usize::MAX)
        .min(limits::PAGE_EVENTS);
    question.kinds = query.kinds;
    question.tags = query.tags;
    question.actors = query.actors;
    question.since = instant(query.since)?;
    question.until = instant(query.until)?;
    question.as_of = query.as_of;
    Ok(question)
}

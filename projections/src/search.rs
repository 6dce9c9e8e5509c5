//! Events that match a query, the best first.

use std::{cmp::Ordering, collections::BinaryHeap, ops::Range, slice};

use quipu_format::{Event, Timestamp, limits::PAGE_BYTES};
use rusqlite::Transaction;

use crate::{
    document::{actor_label, kind_label, tag_label},
    error::{Cause, Result},
    limits,
    packing::Outline,
    rank,
    retract::Fates,
    shelf::Shelf,
    text::Analyzer,
    trail::body_bytes,
    view::{ScopeSight, View},
};

/// What to look for. Empty lists and absent bounds do not restrict.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Query {
    /// Words to look for; at most 64 KiB and 128 different ones of it count. Empty: everything that passes the
    /// bounds, the newest first.
    pub text: String,
    /// Most hits wanted; less than 1 is 1, more than 1,000 is 1,000.
    pub limit: usize,
    /// Only these kinds; at most 256.
    pub kinds: Vec<String>,
    /// Only what has all of these tags; at most 256.
    pub tags: Vec<String>,
    /// Only what these actors appended, or, of imported events, what they had appended before; at most 256.
    pub actors: Vec<String>,
    /// Not before this instant, by event time.
    pub since: Option<Timestamp>,
    /// Before this instant, by event time.
    pub until: Option<Timestamp>,
    /// As if the ledger ended before this position.
    pub as_of: Option<u64>,
    /// The caller's present: what has expired by then is left out. With the default, 1970, nothing has.
    pub now: Timestamp,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            text: String::new(),
            limit: 10,
            kinds: Vec::new(),
            tags: Vec::new(),
            actors: Vec::new(),
            since: None,
            until: None,
            as_of: None,
            now: Timestamp::FIRST,
        }
    }
}

/// Hits, the best first; of equal ones the newer first.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SearchAnswer {
    /// Fewer than asked for also where their bodies together pass 4 MiB.
    pub hits: Vec<Hit>,
    /// Everything that the view shows below it was taken into account.
    pub as_of: u64,
}

/// An event that matches.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Hit {
    /// The event, as the log has it.
    pub event: Event,
    /// The share of the query's weight that the event has, 0 to 1. Comparable within one answer.
    pub score: f64,
}

/// Answers from the tables, folded up to `folded`; `event` reads the log.
pub(crate) fn search(
    tx: &Transaction<'_>,
    folded: u64,
    view: &View,
    query: &Query,
    event: impl Fn(u64) -> Result<Option<Event>>,
) -> Result<SearchAnswer> {
    let question = Question::new(query)?;
    let end = query.as_of.unwrap_or(u64::MAX).min(folded);
    let sight = view.sight(tx, end)?;
    let fates = Fates::load(tx, &sight)?;
    let mut candidates = Vec::new();
    for (scope, shown) in sight.scopes() {
        question.candidates(tx, scope, shown, &mut candidates)?;
    }
    // The rest is asked of the best alone, one by one, until there are enough.
    let mut candidates = BinaryHeap::from(candidates);
    let (mut hits, mut bytes) = (Vec::new(), 0);
    while hits.len() < query.limit.clamp(1, limits::HITS) && bytes < PAGE_BYTES {
        let Some(Candidate { score, seq }) = candidates.pop() else {
            break;
        };
        if fates.of(seq)?.is_withdrawn() {
            continue;
        }
        // An event that was erased since it was folded has no body any more. That the view shows it is asked once
        // more of the log itself: no fault of a projection shows a guest what it may not see.
        let event = event(seq)?.filter(|event| event.body().is_some() && view.sees(&event.envelope));
        if let Some(event) = event {
            bytes += body_bytes(&event);
            hits.push(Hit { event, score });
        }
    }
    Ok(SearchAnswer {
        hits,
        as_of: end.min(view.head()),
    })
}

/// A query in the projection's own terms.
struct Question {
    /// Words, then labels: of kinds, actors and tags.
    terms: Vec<String>,
    words: usize,
    /// Ranges of `terms`: a document must have one of each. An empty range asks for what cannot be.
    one_of: Vec<Range<usize>>,
    /// The query has no text: all match.
    all: bool,
    since_ms: u64,
    until_ms: u64,
    now_ms: u64,
}

impl Question {
    fn new(query: &Query) -> Result<Self> {
        let lists = [
            ("kinds", &query.kinds),
            ("tags", &query.tags),
            ("actors", &query.actors),
        ];
        if let Some((what, list)) = lists.iter().find(|(_, list)| list.len() > limits::QUERY_LABELS) {
            let most = limits::QUERY_LABELS;
            return Err(Cause::Invalid(format!(
                "the query names {} {what}; at most {most} fit",
                list.len()
            )));
        }
        let terms = Analyzer::new().query(&query.text);
        let mut question = Self {
            words: terms.len(),
            terms,
            one_of: Vec::new(),
            all: query.text.trim().is_empty(),
            since_ms: query.since.unwrap_or(Timestamp::FIRST).as_ms(),
            until_ms: query.until.map_or(u64::MAX, Timestamp::as_ms),
            now_ms: query.now.as_ms(),
        };
        question.require(&query.kinds, kind_label);
        question.require(&query.actors, actor_label);
        for tag in &query.tags {
            question.require(slice::from_ref(tag), tag_label);
        }
        Ok(question)
    }

    /// Asks for one of the labels, unless there are none.
    fn require(&mut self, names: &[String], label: impl Fn(&str) -> Option<String>) {
        if !names.is_empty() {
            let start = self.terms.len();
            self.terms.extend(names.iter().filter_map(|name| label(name)));
            self.one_of.push(start..self.terms.len());
        }
    }

    /// Adds the documents of a scope that match and pass the bounds.
    fn candidates(
        &self,
        tx: &Transaction<'_>,
        scope: i64,
        shown: &ScopeSight,
        into: &mut Vec<Candidate>,
    ) -> Result<()> {
        let Shelf { documents, places, .. } = Shelf::load(tx, scope, shown, &self.terms)?;
        let scores = rank::scores(&documents, places.get(..self.words).unwrap_or_default());
        let mut passes = vec![true; documents.len()];
        for range in &self.one_of {
            let mut has_one = vec![false; documents.len()];
            for place in places.get(range.clone()).into_iter().flatten().flatten() {
                if let Some(has_one) = has_one.get_mut(place.nth as usize) {
                    *has_one = true;
                }
            }
            passes
                .iter_mut()
                .zip(has_one)
                .for_each(|(passes, has_one)| *passes &= has_one);
        }
        let documents = documents.into_iter().zip(scores).zip(passes);
        into.extend(documents.filter_map(|((document, score), passes)| {
            let document = document.filter(|document| passes && self.in_time(document))?;
            (self.all || score > 0.0).then_some(Candidate {
                score,
                seq: document.seq,
            })
        }));
        Ok(())
    }

    fn in_time(&self, document: &Outline) -> bool {
        (self.since_ms..self.until_ms).contains(&document.time_ms) && document.expires_ms > self.now_ms
    }
}

/// A document that matches. The greatest is the best; of equal ones the newer.
#[derive(PartialEq)]
struct Candidate {
    score: f64,
    seq: u64,
}

impl Eq for Candidate {}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(self.seq.cmp(&other.seq))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

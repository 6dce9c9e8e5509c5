// Long because a question's terms, its bounds and the order of its answers are one thing.

//! Events that match a query, the best first.

use std::{
    cell::Cell,
    cmp::Ordering,
    collections::{BinaryHeap, VecDeque},
    ops::Range,
    slice,
};

use quipu_format::{Event, Timestamp, limits::PAGE_BYTES};
use rusqlite::{OptionalExtension, Transaction, params};

use crate::{
    around,
    context::Answer,
    dates::Dates,
    document::{actor_label, kind_label, millionths, speaker_label, tag_label},
    error::{Cause, Result},
    limits,
    packing::{Bounds, Place},
    rank,
    retract::Fates,
    schema::position,
    shelf::{Asked, Judged, Shelf},
    text::{Analyzer, beginning},
    tiers::{self, Tiers, Turn},
    trail::body_bytes,
    view::{ScopeSight, Sight, View},
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
    /// Only what does not say of itself that it is less sure than this, 0 to 1.
    pub min_confidence: Option<f64>,
    /// As if the ledger ended before this position.
    pub as_of: Option<u64>,
    /// Only what is of this tier: 0 are events that summarise nothing. Without it, summaries come after what they cover.
    pub tier: Option<u32>,
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
            min_confidence: None,
            as_of: None,
            tier: None,
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
    /// How well it answers, 0 to 1. Comparable within one answer.
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
    let (found, as_of) = find(tx, folded, view, query, event, |_, hit, _| Ok(hit))?;
    Ok(SearchAnswer { hits: found, as_of })
}

/// The same, each hit with the turns of its conversation right before and after it, whatever their kind, tags and actor.
pub(crate) fn answers(
    tx: &Transaction<'_>,
    folded: u64,
    view: &View,
    query: &Query,
    event: impl Fn(u64) -> Result<Option<Event>>,
) -> Result<(Vec<Answer>, u64)> {
    let around_bytes = Cell::new(0);
    let (mut answers, as_of) = find(tx, folded, view, query, &event, |found, hit, best| {
        let mut around = Vec::new();
        if around_bytes.get() >= PAGE_BYTES {
            return Ok(Answer {
                event: hit.event,
                around,
            });
        }
        for seq in around::seqs(tx, found.sight, best.scope, best.nth, |bounds| {
            found.question.judge(bounds) != Judged::Barred
        })? {
            if !found.fates.of(seq)?.is_withdrawn() {
                let event = (found.event)(seq)?;
                around_bytes.set(around_bytes.get() + event.as_ref().map_or(0, body_bytes));
                around.extend(event);
            }
        }
        Ok(Answer {
            event: hit.event,
            around,
        })
    })?;
    tiers::stand_in(tx, as_of, view, &event, &mut answers)?;
    Ok((answers, as_of))
}

/// What hits were found with.
struct Finding<'a> {
    question: &'a Question,
    sight: &'a Sight,
    fates: &'a Fates<'a>,
    /// Reads an event that may be shown.
    event: &'a dyn Fn(u64) -> Result<Option<Event>>,
    /// Reads any event, erased ones among them.
    read: &'a dyn Fn(u64) -> Result<Option<Event>>,
}

impl<'a> Finding<'a> {
    fn tiers(&self, tx: &'a Transaction<'a>) -> Tiers<'a> {
        Tiers {
            tx,
            sight: self.sight,
            fates: self.fates,
            event: self.read,
        }
    }
}

/// The hits, the best first, each made into something, and the position that they are of.
fn find<T>(
    tx: &Transaction<'_>,
    folded: u64,
    view: &View,
    query: &Query,
    event: impl Fn(u64) -> Result<Option<Event>>,
    make: impl Fn(&Finding<'_>, Hit, &Best) -> Result<T>,
) -> Result<(Vec<T>, u64)> {
    let question = Question::new(query)?;
    let end = query.as_of.unwrap_or(u64::MAX).min(folded);
    let sight = view.sight(tx, end)?;
    // An event that was erased since it was folded has no body any more. That the view shows it is asked once more of
    // the log itself: no fault of a projection shows a guest what it may not see.
    let read = &event;
    let event = |seq| Ok(read(seq)?.filter(|event| event.body().is_some() && view.sees(&event.envelope)));
    let fates = Fates::load(tx, &sight)?;
    let finding = Finding {
        question: &question,
        sight: &sight,
        fates: &fates,
        event: &event,
        read,
    };
    let mut answers = Answers::default();
    for (scope, shown) in sight.scopes() {
        answers.add(tx, scope, question.candidates(tx, scope, shown)?)?;
    }
    // The rest is asked of the best alone, one by one, until there are enough.
    let (mut found, mut bytes) = (Vec::new(), 0);
    let (limit, mut later) = (query.limit.clamp(1, limits::HITS), VecDeque::new());
    while found.len() < limit && bytes < PAGE_BYTES {
        let best = match answers.next(tx)? {
            Some(best) if fates.of(best.seq)?.is_withdrawn() => continue,
            Some(best) => match finding.tiers(tx).turn(best.seq, query.tier)? {
                Turn::Now => best,
                Turn::Later if later.len() < limit => {
                    later.push_back(best);
                    continue;
                }
                Turn::Later | Turn::Never => continue,
            },
            None => match later.pop_front() {
                Some(best) => best,
                None => break,
            },
        };
        if let Some(event) = event(best.seq)? {
            bytes += body_bytes(&event);
            let score = best.score;
            found.push(make(&finding, Hit { event, score }, &best)?);
        }
    }
    Ok((found, end.min(view.head())))
}

/// A query in the projection's own terms.
struct Question {
    /// Words, the labels of speakers whom they may name, then those of kinds, actors and tags.
    terms: Vec<String>,
    words: Range<usize>,
    speakers: Range<usize>,
    /// Ranges of `terms`: a document must have one of each. An empty range asks for what cannot be.
    one_of: Vec<Range<usize>>,
    /// The query has no text: all match.
    all: bool,
    since_ms: u64,
    until_ms: u64,
    now_ms: u64,
    min_confidence: u32,
    dates: Dates,
    /// There are bounds besides expiry.
    judges_all: bool,
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
        let mut terms = Analyzer::new().query(&query.text);
        let words = 0..terms.len();
        let speakers: Vec<_> = terms.iter().filter_map(|stem| speaker_label(stem)).collect();
        terms.extend(speakers);
        let dates = Dates::of(beginning(&query.text, limits::QUERY_BYTES));
        let has_bounds = query.since.is_some() || query.until.is_some() || query.min_confidence.is_some();
        let mut question = Self {
            speakers: words.end..terms.len(),
            words,
            terms,
            one_of: Vec::new(),
            all: query.text.trim().is_empty(),
            since_ms: query.since.unwrap_or(Timestamp::FIRST).as_ms(),
            until_ms: query.until.map_or(u64::MAX, Timestamp::as_ms),
            now_ms: query.now.as_ms(),
            min_confidence: query.min_confidence.map_or(0, millionths),
            judges_all: has_bounds || !dates.is_none(),
            dates,
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

    /// The documents of a scope that match and pass the bounds.
    fn candidates(&self, tx: &Transaction<'_>, scope: i64, shown: &ScopeSight) -> Result<BinaryHeap<Candidate>> {
        let asked = Asked {
            terms: &self.terms,
            judge: |bounds: &Bounds| self.judge(bounds),
            judges_all: self.judges_all,
            now_ms: self.now_ms,
        };
        let shelf = Shelf::load(tx, scope, shown, &asked)?;
        let places = |range: &Range<usize>| shelf.places.get(range.clone()).unwrap_or_default();
        let mut named = Vec::new();
        if places(&self.speakers).iter().any(|places| !places.is_empty()) {
            named.resize(shelf.shapes.len(), false);
            mark(places(&self.speakers), &mut named);
        }
        let judged = |nth: usize| shelf.judged.get(nth).copied().unwrap_or(Judged::Fits);
        let scores = rank::scores(&shelf.shapes, places(&self.words), |nth| {
            let speaker = named
                .get(nth)
                .map_or(0.0, |named| if *named { rank::SPEAKER } else { 0.0 });
            match judged(nth) {
                Judged::Month => speaker + rank::DATE,
                Judged::Day => speaker + 2.0 * rank::DATE,
                Judged::Fits | Judged::Barred => speaker,
            }
        });
        // What the labels do not let through; empty where all may pass.
        let mut barred = Vec::new();
        for range in &self.one_of {
            let mut has_one = vec![false; shelf.shapes.len()];
            mark(places(range), &mut has_one);
            barred.resize(shelf.shapes.len(), false);
            barred
                .iter_mut()
                .zip(has_one)
                .for_each(|(barred, has_one)| *barred |= !has_one);
        }
        let documents = shelf.shapes.iter().zip(scores).zip(0..);
        let matching = documents.filter_map(|((shape, score), nth)| {
            let at = nth as usize;
            let matches = shape.is_document()
                && (self.all || score > 0.0)
                && !barred.get(at).is_some_and(|barred| *barred)
                && judged(at) != Judged::Barred;
            matches.then_some(Candidate { score, nth })
        });
        Ok(matching.collect())
    }

    fn judge(&self, bounds: &Bounds) -> Judged {
        let passes = (self.since_ms..self.until_ms).contains(&bounds.time_ms)
            && bounds.expires_ms > self.now_ms
            && bounds
                .confidence
                .is_none_or(|confidence| confidence >= self.min_confidence);
        match passes {
            true => self.dates.judge(bounds.time_ms),
            false => Judged::Barred,
        }
    }
}

/// Marks the documents of all places.
fn mark(places: &[Vec<Place>], marks: &mut [bool]) {
    for place in places.iter().flatten() {
        if let Some(mark) = marks.get_mut(place.nth as usize) {
            *mark = true;
        }
    }
}

/// A document of a scope that matches. The greatest is the best; of equal ones the newer.
#[derive(PartialEq)]
struct Candidate {
    score: f64,
    nth: u32,
}

impl Eq for Candidate {}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(self.nth.cmp(&other.nth))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The candidates of all scopes, the best first.
#[derive(Default)]
struct Answers {
    scopes: Vec<(i64, BinaryHeap<Candidate>)>,
    /// The best of each scope.
    best: BinaryHeap<Best>,
}

/// The best candidate of a scope. The greatest is the best of all; of equal ones the newer.
#[derive(PartialEq)]
struct Best {
    score: f64,
    seq: u64,
    scope: i64,
    nth: u32,
    /// Its scope's place among [`Answers::scopes`].
    at: usize,
}

impl Eq for Best {}

impl Ord for Best {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(self.seq.cmp(&other.seq))
    }
}

impl PartialOrd for Best {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Answers {
    fn add(&mut self, tx: &Transaction<'_>, scope: i64, candidates: BinaryHeap<Candidate>) -> Result<()> {
        self.scopes.push((scope, candidates));
        self.advance(tx, self.scopes.len() - 1)
    }

    fn next(&mut self, tx: &Transaction<'_>) -> Result<Option<Best>> {
        let Some(best) = self.best.pop() else { return Ok(None) };
        self.advance(tx, best.at)?;
        Ok(Some(best))
    }

    /// Takes the next of a scope. Only then it is asked for its `seq`, which tells which of two scopes is newer.
    fn advance(&mut self, tx: &Transaction<'_>, at: usize) -> Result<()> {
        let Some((scope, candidates)) = self.scopes.get_mut(at) else {
            return Ok(());
        };
        let Some(Candidate { score, nth }) = candidates.pop() else {
            return Ok(());
        };
        let mut select = tx.prepare_cached("SELECT seq FROM doc WHERE scope = ?1 AND nth = ?2")?;
        let seq = select.query_row(params![*scope, nth], |row| row.get(0)).optional()?;
        let seq = seq.ok_or_else(|| Cause::Damaged("a block names a document that is not there".into()))?;
        self.best.push(Best {
            score,
            seq: position(seq)?,
            scope: *scope,
            nth,
            at,
        });
        Ok(())
    }
}

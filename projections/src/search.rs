// Long because a question's terms, its bounds and the order of its answers are one thing.

//! Events that match a query, the best first.

use std::{
    cell::Cell,
    cmp::{Ordering, Reverse},
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
    dense,
    document::{STATES, actor_label, kind_label, millionths, speaker_label, tag_label},
    error::{Cause, Result},
    limits,
    noise::Rules,
    packing::Bounds,
    places::Marks,
    rank,
    retract::Fates,
    schema::position,
    shelf::{Asked, Judged, Shelf},
    text::{Analyzer, beginning},
    tiers::{self, Reached, Tiers, Turn},
    trail::body_bytes,
    vectors::Meaning,
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

impl Query {
    /// Whether it has bounds on what is an answer, besides what has expired.
    fn is_bounded(&self) -> bool {
        let names = [&self.kinds, &self.tags, &self.actors];
        names.iter().any(|names| !names.is_empty())
            || self.since.is_some()
            || self.until.is_some()
            || self.min_confidence.is_some()
            || self.tier.is_some()
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

/// Answers from the tables, as far as they have come; `event` reads the log.
pub(crate) fn search(
    tx: &Transaction<'_>,
    reached: Reached,
    view: &View,
    query: &Query,
    rules: &Rules,
    event: impl Fn(u64) -> Result<Option<Event>>,
) -> Result<SearchAnswer> {
    let question = Question::new(query)?.meaning(query, rules);
    let (found, as_of) = find(tx, reached, view, query, &question, event, |_, hit, _| Ok(hit))?;
    Ok(SearchAnswer { hits: found, as_of })
}

/// The same among what facts are made of: events that state some, and those that rules make signals of.
pub(crate) fn search_facts(
    tx: &Transaction<'_>,
    reached: Reached,
    view: &View,
    query: &Query,
    event: impl Fn(u64) -> Result<Option<Event>>,
) -> Result<Vec<Hit>> {
    let mut question = Question::new(query)?;
    question.stated = Some(question.terms.len());
    question.terms.push(STATES.to_owned());
    Ok(find(tx, reached, view, query, &question, event, |_, hit, _| Ok(hit))?.0)
}

/// The same, each hit with the turns of its conversation right before and after it, whatever their kind, tags and actor.
pub(crate) fn answers(
    tx: &Transaction<'_>,
    reached: Reached,
    view: &View,
    query: &Query,
    rules: &Rules,
    event: impl Fn(u64) -> Result<Option<Event>>,
) -> Result<(Vec<Answer>, u64)> {
    let around_bytes = Cell::new(0);
    let question = Question::new(query)?.meaning(query, rules);
    let (mut answers, as_of) = find(tx, reached, view, query, &question, &event, |found, hit, best| {
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
    // A summary also says what others said, and at other times.
    if !query.is_bounded() {
        tiers::stand_in(tx, reached, as_of, view, &event, &mut answers)?;
    }
    Ok((answers, as_of))
}

/// What hits were found with.
struct Finding<'a> {
    question: &'a Question,
    sight: &'a Sight,
    fates: &'a Fates<'a>,
    /// Reads an event that may be shown.
    event: &'a dyn Fn(u64) -> Result<Option<Event>>,
}

/// The hits, the best first, each made into something, and the position that they are of.
fn find<T>(
    tx: &Transaction<'_>,
    reached: Reached,
    view: &View,
    query: &Query,
    question: &Question,
    event: impl Fn(u64) -> Result<Option<Event>>,
    make: impl Fn(&Finding<'_>, Hit, &Best) -> Result<T>,
) -> Result<(Vec<T>, u64)> {
    let end = query.as_of.unwrap_or(u64::MAX).min(reached.folded);
    let sight = view.sight(tx, end)?;
    // An event that was erased since it was folded has no body any more. That the view shows it is asked once more of
    // the log itself: no fault of a projection shows a guest what it may not see.
    let read = &event;
    let event = |seq| Ok(read(seq)?.filter(|event| event.body().is_some() && view.sees(&event.envelope)));
    let fates = Fates::load(tx, &sight)?;
    let finding = Finding {
        question,
        sight: &sight,
        fates: &fates,
        event: &event,
    };
    let tiers = Tiers::new(tx, reached, &sight, &fates, read)?;
    let wanted = query.limit.clamp(1, limits::HITS);
    let mut answers = Answers::new(tx, question);
    for (scope, shown) in sight.scopes() {
        answers.add(scope, shown, wanted)?;
    }
    // The rest is asked of the best alone, one by one, until there are enough.
    let (mut found, mut bytes) = (Vec::new(), 0);
    let mut later = VecDeque::new();
    while found.len() < wanted && bytes < PAGE_BYTES {
        let best = match answers.next()? {
            Some(best) if fates.of(best.seq)?.is_withdrawn() => continue,
            Some(best) => match tiers.turn(best.seq, query.tier)? {
                Turn::Now => best,
                Turn::Later if later.len() < wanted => {
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
    /// Only what facts are made of: the place of its label among `terms`.
    stated: Option<usize>,
    /// The query has no text: all match.
    all: bool,
    since_ms: u64,
    until_ms: u64,
    now_ms: u64,
    min_confidence: u32,
    dates: Dates,
    /// There are bounds besides expiry.
    judges_all: bool,
    /// What its text means, by the operator's word vectors.
    meaning: Option<Meaning>,
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
            stated: None,
            all: query.text.trim().is_empty(),
            since_ms: query.since.unwrap_or(Timestamp::FIRST).as_ms(),
            until_ms: query.until.map_or(u64::MAX, Timestamp::as_ms),
            now_ms: query.now.as_ms(),
            min_confidence: query.min_confidence.map_or(0, millionths),
            judges_all: has_bounds || !dates.is_none(),
            dates,
            meaning: None,
        };
        question.require(&query.kinds, kind_label);
        question.require(&query.actors, actor_label);
        for tag in &query.tags {
            question.require(slice::from_ref(tag), tag_label);
        }
        Ok(question)
    }

    /// The same, which looks as well for what means the same in other words.
    fn meaning(mut self, query: &Query, rules: &Rules) -> Self {
        let vectors = rules.vectors.as_ref();
        self.meaning = vectors.and_then(|vectors| vectors.of(beginning(&query.text, limits::QUERY_BYTES)));
        self
    }

    /// Asks for one of the labels, unless there are none.
    fn require(&mut self, names: &[String], label: impl Fn(&str) -> Option<String>) {
        if !names.is_empty() {
            let start = self.terms.len();
            self.terms.extend(names.iter().filter_map(|name| label(name)));
            self.one_of.push(start..self.terms.len());
        }
    }

    /// The best of the documents of a scope that match and pass the bounds, so many at most.
    fn candidates(&self, tx: &Transaction<'_>, scope: i64, shown: &ScopeSight, most: usize) -> Result<Top> {
        let asked = Asked {
            terms: &self.terms,
            judge: |bounds: &Bounds| self.judge(bounds),
            judges_all: self.judges_all,
            now_ms: self.now_ms,
        };
        let shelf = Shelf::load(tx, scope, shown, &asked)?;
        let places = |range: &Range<usize>| shelf.places.get(range.clone()).unwrap_or_default();
        let documents = shelf.shapes.len();
        let named = Marks::of(places(&self.speakers), documents)?;
        let lets_through = self.one_of.iter().map(|range| Marks::of(places(range), documents));
        let mut lets_through = lets_through.collect::<Result<Vec<_>>>()?;
        if let Some(at) = self.stated {
            let mut marks = Marks::of(places(&(at..at + 1)), documents)?;
            let mut select = tx.prepare_cached("SELECT nth FROM noise WHERE scope = ?1")?;
            for nth in select.query_map([scope], |row| row.get(0))? {
                marks.mark(nth?, documents);
            }
            lets_through.push(marks);
        }
        let judged = |nth: usize| shelf.judged.get(nth).copied().unwrap_or(Judged::Fits);
        let alike = match &self.meaning {
            Some(meaning) => dense::likenesses(tx, scope, &shelf.shapes, meaning)?,
            None => Vec::new(),
        };
        // What scores are parts of: as much more as what a document means can add.
        let whole = match alike.is_empty() {
            true => 1.0,
            false => rank::MOST / (rank::MOST + rank::MEANING),
        };
        let (mut top, least) = (Top::new(most), Cell::new(0.0));
        let mut offer = |nth: usize, score| {
            if judged(nth) != Judged::Barred && lets_through.iter().all(|marks| marks.has(nth)) {
                let score = score * whole;
                top.offer(Candidate { score, nth: nth as u32 });
                least.set(top.least() / whole);
            }
        };
        if self.all {
            let documents = shelf.shapes.iter().enumerate();
            documents
                .filter(|(_, shape)| shape.is_document())
                .for_each(|(nth, _)| offer(nth, 0.0));
            return Ok(top);
        }
        let means = |nth: usize| alike.get(nth).map_or(0.0, |alike| rank::MEANING * alike);
        let extra = |nth| {
            let speaker = if named.has(nth) { rank::SPEAKER } else { 0.0 };
            let said = match judged(nth) {
                Judged::Month => speaker + rank::DATE,
                Judged::Day => speaker + 2.0 * rank::DATE,
                Judged::Fits | Judged::Barred => speaker,
            };
            said + means(nth)
        };
        let of_date = if self.dates.is_none() { 0.0 } else { 2.0 * rank::DATE };
        let of_meaning = rank::MEANING * alike.iter().copied().fold(0.0, f64::max);
        let most_extra = of_date + of_meaning + if named.is_empty() { 0.0 } else { rank::SPEAKER };
        let mut found = Marks::default();
        let extras = (&extra, most_extra);
        let passed = rank::scores(&shelf.shapes, places(&self.words), extras, &least, |nth, score| {
            if !alike.is_empty() {
                found.mark(nth as u32, documents);
            }
            offer(nth, score);
        })?;
        // What has no word of the question, nor anything around it, may still mean it. What was passed over comes to less
        // than what is kept, with its words, and so without.
        let others = alike.iter().enumerate().filter(|(_, alike)| **alike > 0.0);
        others
            .filter(|(nth, _)| !found.has(*nth))
            .for_each(|(nth, _)| offer(nth, extra(nth) / rank::MOST));
        top.more |= passed;
        Ok(top)
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

/// The best candidates so far.
struct Top {
    most: usize,
    /// The least on top.
    heap: BinaryHeap<Reverse<Candidate>>,
    /// There are others.
    more: bool,
}

impl Top {
    fn new(most: usize) -> Self {
        Self {
            most,
            heap: BinaryHeap::new(),
            more: false,
        }
    }

    fn offer(&mut self, candidate: Candidate) {
        if self.heap.len() < self.most {
            self.heap.push(Reverse(candidate));
            return;
        }
        self.more = true;
        if let Some(mut least) = self.heap.peek_mut()
            && candidate > least.0
        {
            *least = Reverse(candidate);
        }
    }

    /// What scores less is not kept.
    fn least(&self) -> f64 {
        let full = self.heap.len() == self.most;
        self.heap.peek().filter(|_| full).map_or(0.0, |least| least.0.score)
    }
}

/// The candidates of all scopes, the best first.
struct Answers<'a> {
    tx: &'a Transaction<'a>,
    question: &'a Question,
    scopes: Vec<Ranked<'a>>,
    /// The best of each scope.
    best: BinaryHeap<Best>,
}

/// The candidates of a scope.
struct Ranked<'a> {
    scope: i64,
    shown: &'a ScopeSight,
    /// The best last.
    left: Vec<Candidate>,
    /// How many have been asked for, and whether there are more.
    most: usize,
    more: bool,
}

/// Candidates of a scope that are kept besides as many as are wanted: some are withdrawn. Where that is not enough, all
/// of it is done again for so many times as many.
const SPARE: usize = 16;
const TIMES_MORE: usize = 16;

impl<'a> Ranked<'a> {
    fn load(answers: &Answers<'a>, scope: i64, shown: &'a ScopeSight, most: usize, skip: usize) -> Result<Self> {
        let top = answers.question.candidates(answers.tx, scope, shown, most)?;
        let mut left: Vec<_> = top.heap.into_iter().map(|Reverse(candidate)| candidate).collect();
        left.sort_unstable();
        left.truncate(left.len().saturating_sub(skip));
        Ok(Self {
            scope,
            shown,
            left,
            most,
            more: top.more,
        })
    }
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

impl<'a> Answers<'a> {
    fn new(tx: &'a Transaction<'a>, question: &'a Question) -> Self {
        Self {
            tx,
            question,
            scopes: Vec::new(),
            best: BinaryHeap::new(),
        }
    }

    fn add(&mut self, scope: i64, shown: &'a ScopeSight, wanted: usize) -> Result<()> {
        let ranked = Ranked::load(self, scope, shown, wanted + SPARE, 0)?;
        self.scopes.push(ranked);
        self.advance(self.scopes.len() - 1)
    }

    fn next(&mut self) -> Result<Option<Best>> {
        let Some(best) = self.best.pop() else { return Ok(None) };
        self.advance(best.at)?;
        Ok(Some(best))
    }

    /// Takes the next of a scope. Only then it is asked for its `seq`, which tells which of two scopes is newer.
    fn advance(&mut self, at: usize) -> Result<()> {
        if let Some(ranked) = self.scopes.get(at)
            && ranked.left.is_empty()
            && ranked.more
        {
            let more = Ranked::load(
                self,
                ranked.scope,
                ranked.shown,
                ranked.most.saturating_mul(TIMES_MORE),
                ranked.most,
            )?;
            if let Some(ranked) = self.scopes.get_mut(at) {
                *ranked = more;
            }
        }
        let Some(ranked) = self.scopes.get_mut(at) else {
            return Ok(());
        };
        let Some(Candidate { score, nth }) = ranked.left.pop() else {
            return Ok(());
        };
        let scope = ranked.scope;
        let mut select = self
            .tx
            .prepare_cached("SELECT seq FROM doc WHERE scope = ?1 AND nth = ?2")?;
        let seq = select.query_row(params![scope, nth], |row| row.get(0)).optional()?;
        let seq = seq.ok_or_else(|| Cause::Damaged("a block names a document that is not there".into()))?;
        self.best.push(Best {
            score,
            seq: position(seq)?,
            scope,
            nth,
            at,
        });
        Ok(())
    }
}

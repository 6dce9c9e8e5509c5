// Long because a fact is found, made, ranked and told here, in that order.

//! What is believed, answered from the tables.
//!
//! The row of a fact is right for every sight of its scope alone that is pinned behind the last entry that had a say in
//! it. Where a sight is pinned earlier, sees a run's own later entries or several scopes, or where a statement has
//! expired, the fact is made of the statements that are in sight, by the same rules.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet},
};

use quipu_format::{Event, EventId, Scope, Timestamp, limits::PAGE_BYTES};
use rusqlite::{Transaction, params};
use serde::Serialize;
use serde_json::Value;

use crate::{
    error::Result,
    factfold,
    hearing::Hearing,
    limits,
    noise::Rules,
    saying::Saying,
    schema::{number, position},
    search::{self, Query},
    signals::{Signal, signals},
    statements::{Digest, signal_digest},
    tally::{Tallied, Tally},
    view::{Handle, ScopeSight, Sight, View},
};

/// Facts, the surest first; with text, those first of which a statement matches best.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FactAnswer {
    /// Fewer than asked for also where they name more than 8,192 events, or their texts pass 4 MiB.
    pub facts: Vec<Fact>,
    /// Everything that the view shows below it was taken into account.
    pub as_of: u64,
}

/// A belief, merged from the events that state it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Fact {
    /// Where it is believed.
    pub scope: Scope,
    /// As its newest statement words it.
    pub text: String,
    /// 0 to 1: the greatest within a source, distinct sources combined, and never more than the evidence supports.
    pub confidence: f64,
    /// All tags of its statements, sorted; at most 256.
    pub tags: Vec<String>,
    /// How many events state it, from 1.
    pub count: u64,
    /// When it was first stated, by event time.
    pub first_seen: Timestamp,
    /// When it was last stated, by event time.
    pub last_seen: Timestamp,
    /// When nobody states it any more. `None`: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The events that state it, oldest first; the newest 256.
    pub evidence: Vec<EventId>,
    /// The rule that made it a signal of many events; `None`: it is stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

/// Answers from the tables, folded up to `folded`; `event` reads the log.
pub(crate) fn facts(
    tx: &Transaction<'_>,
    folded: u64,
    rules: &Rules,
    view: &View,
    query: &Query,
    event: impl Fn(u64) -> Result<Option<Event>>,
) -> Result<FactAnswer> {
    let end = query.as_of.unwrap_or(u64::MAX).min(folded);
    let sight = view.sight(tx, end)?;
    let asking = Asking::new(tx, &sight, query)?;
    let mut best = Best {
        limit: query.limit.clamp(1, limits::HITS),
        heap: BinaryHeap::new(),
        believed: HashMap::new(),
    };
    let hits = match query.text.trim().is_empty() {
        true => None,
        false => Some(asking.matching(folded, view, &event)?),
    };
    for (scope, shown) in sight.scopes() {
        let mut collapsed = HashSet::new();
        for signal in signals(tx, &sight, &asking.hearing, rules, scope, asking.now_ms)? {
            collapsed.extend(&signal.events);
            if let Some(score) = asking.matches(&signal, hits.as_ref()) {
                best.signal(score, signal);
            }
        }
        let place = Place {
            scope,
            shown,
            collapsed: &collapsed,
        };
        match &hits {
            None => asking.surest(&place, &mut best)?,
            Some(hits) => asking.found(&place, hits, &mut best)?,
        }
    }
    let mut facts = Vec::new();
    let (mut bytes, mut named) = (0, 0);
    for (digest, believed) in best.in_order() {
        let fact = match believed {
            Candidate::Signal(fact) => fact,
            Candidate::Stated(believed) => match asking.fact(&digest, believed, view, &event)? {
                Some(fact) => fact,
                None => continue,
            },
        };
        bytes += fact.text.len();
        named += fact.evidence.len();
        if !facts.is_empty() && (bytes > PAGE_BYTES || named > limits::ANSWER_EVIDENCE) {
            break;
        }
        facts.push(fact);
    }
    Ok(FactAnswer {
        facts,
        as_of: end.min(view.head()),
    })
}

/// A question, in the projection's own terms.
struct Asking<'a> {
    tx: &'a Transaction<'a>,
    hearing: Hearing<'a>,
    sight: &'a Sight,
    several: bool,
    query: &'a Query,
    now_ms: u64,
}

/// A scope, what is seen of it, and which of its events signals stand for.
struct Place<'a> {
    scope: i64,
    shown: &'a ScopeSight,
    collapsed: &'a HashSet<u64>,
}

/// Events that a search found: their scores, and the facts that they state, each with its scope and best score.
#[derive(Default)]
struct Hits {
    events: HashMap<u64, f64>,
    facts: HashMap<Digest, (i64, f64)>,
}

/// A fact that is believed.
struct Believed {
    tally: Tally,
    /// The statements that are heard, where the row does not say so.
    sayings: Option<Vec<Saying>>,
}

impl<'a> Asking<'a> {
    fn new(tx: &'a Transaction<'a>, sight: &'a Sight, query: &'a Query) -> Result<Self> {
        Ok(Self {
            tx,
            hearing: Hearing::new(tx, sight)?,
            sight,
            several: sight.scopes().len() > 1,
            query,
            now_ms: query.now.as_ms(),
        })
    }

    /// Offers the facts of a scope, as far as they can be among the best.
    fn surest(&self, place: &Place<'_>, best: &mut Best) -> Result<()> {
        let mut select = self
            .tx
            .prepare_cached("SELECT fact FROM fact WHERE scope = ?1 AND (decided >= ?2 OR (crosses AND ?3))")?;
        let rows = select.query_map(params![place.scope, number(place.shown.head), self.several], |row| {
            row.get(0)
        })?;
        for fact in rows.collect::<rusqlite::Result<Vec<Digest>>>()? {
            if let Some(believed) = self.believed(place, &fact)? {
                best.offer(0.0, fact, believed);
            }
        }
        let mut select = self.tx.prepare_cached(
            "SELECT * FROM fact WHERE scope = ?1 AND count > 0
             ORDER BY confidence DESC, last_ms DESC, newest DESC",
        )?;
        let mut rows = select.query([place.scope])?;
        while let Some(row) = rows.next()? {
            let tally = factfold::tally(row)?;
            // Neither time nor bounds make a fact surer, so what follows is no better either.
            if best.is_full_of_better(&tally) {
                break;
            }
            // Those of which the row is not right have been offered.
            let expired = tally.expires_ms.is_some_and(|expires| expires <= self.now_ms);
            if expired || !self.is_right(place.shown, &tally) {
                continue;
            }
            let fact = row.get("fact")?;
            if let Some(believed) = self.believe(place, &fact, tally)? {
                best.offer(0.0, fact, believed);
            }
        }
        Ok(())
    }

    /// Offers the facts of a scope that a search found.
    fn found(&self, place: &Place<'_>, hits: &Hits, best: &mut Best) -> Result<()> {
        for (fact, (_, score)) in hits.facts.iter().filter(|(_, (scope, _))| *scope == place.scope) {
            if let Some(believed) = self.believed(place, fact)? {
                best.offer(*score, *fact, believed);
            }
        }
        Ok(())
    }

    /// What a search finds.
    fn matching(&self, folded: u64, view: &View, event: impl Fn(u64) -> Result<Option<Event>>) -> Result<Hits> {
        let mut query = self.query.clone();
        query.limit = limits::HITS;
        // A fact has the tags of all its statements together.
        query.tags.clear();
        let mut hits = Hits::default();
        let mut scope = self.tx.prepare_cached("SELECT scope FROM saying WHERE seq = ?1")?;
        for hit in search::search(self.tx, folded, view, &query, event)?.hits {
            let seq = hit.event.envelope.seq;
            hits.events.insert(seq, hit.score);
            if let Some(states) = Saying::load(self.tx, seq)?.and_then(|saying| saying.states) {
                let scope = scope.query_row([number(seq)], |row| row.get(0))?;
                hits.facts.entry(states.fact).or_insert((scope, hit.score));
            }
        }
        Ok(hits)
    }

    /// The score of a signal; `None`: it does not pass the query's bounds. It is of no one kind, actor or instant.
    fn matches(&self, signal: &Signal, hits: Option<&Hits>) -> Option<f64> {
        let query = self.query;
        let fact = &signal.fact;
        let passes = query.kinds.is_empty()
            && query.actors.is_empty()
            && query.tags.iter().all(|tag| fact.tags.contains(tag))
            && query.since.is_none_or(|since| fact.last_seen >= since)
            && query.until.is_none_or(|until| fact.first_seen < until);
        let score = match hits {
            None => Some(0.0),
            Some(hits) => {
                let scores = signal.events.iter().filter_map(|seq| hits.events.get(seq).copied());
                scores.reduce(f64::max)
            }
        };
        score.filter(|_| passes)
    }

    /// Facts of a scope that an entry from `head` on may have changed: those that one has a say in, the others of their
    /// keys, and those that a signal may stand for.
    fn may_differ(&self, scope: i64, head: u64) -> Result<Vec<Digest>> {
        let mut select = self.tx.prepare_cached(
            "SELECT fact FROM fact WHERE scope = ?1 AND decided >= ?2
             UNION SELECT fact FROM fact WHERE scope = ?1 AND slot IN
                (SELECT slot FROM fact WHERE scope = ?1 AND decided >= ?2 AND slot IS NOT NULL)
             UNION SELECT fact FROM noise JOIN saying USING (seq) WHERE noise.scope = ?1 AND fact IS NOT NULL",
        )?;
        let rows = select.query_map(params![scope, number(head)], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn believed(&self, place: &Place<'_>, fact: &Digest) -> Result<Option<Believed>> {
        match factfold::load(self.tx, fact)? {
            Some(tally) => self.believe(place, fact, tally),
            None => Ok(None),
        }
    }

    /// The fact of a row, if it is believed in this sight, passes the query's bounds, and no signal stands for it.
    fn believe(&self, place: &Place<'_>, fact: &Digest, row: Tally) -> Result<Option<Believed>> {
        let believed = self.made(place, fact, row)?;
        let tally = &believed.tally;
        if tally.count == 0
            || place.collapsed.contains(&tally.newest)
            || !self.has_tags(tally)
            || !self.passes(fact, &believed)?
        {
            return Ok(None);
        }
        // Of several texts under one key the newest holds.
        if let Some(slot) = &tally.slot {
            for (other, row) in in_slot(self.tx, slot)?.into_iter().filter(|(other, _)| other != fact) {
                let other = self.made(place, &other, row)?.tally;
                if other.count > 0 && other.newest > tally.newest {
                    return Ok(None);
                }
            }
        }
        Ok(Some(believed))
    }

    /// The fact of a row as this sight makes it.
    fn made(&self, place: &Place<'_>, fact: &Digest, row: Tally) -> Result<Believed> {
        if self.is_right(place.shown, &row) && !self.has_changed(&row) {
            return Ok(Believed {
                tally: row,
                sayings: None,
            });
        }
        let sayings = Saying::of_fact(self.tx, fact)?;
        let seen = sayings
            .into_iter()
            .filter(|saying| self.sight.sees(place.scope, saying.seq, saying.run.as_ref()));
        let heard = seen.map(|saying| {
            let heard = self.hearing.hear(&saying)?;
            Ok((saying, heard))
        });
        let (made, _) = Tallied::of(heard.collect::<Result<Vec<_>>>()?, Some(self.now_ms));
        Ok(Believed {
            tally: made.tally,
            sayings: Some(made.sayings),
        })
    }

    /// Whether the row says what this sight shows.
    fn is_right(&self, shown: &ScopeSight, row: &Tally) -> bool {
        row.decided < shown.head && !(row.crosses && self.several)
    }

    /// Whether a statement has expired.
    fn has_changed(&self, row: &Tally) -> bool {
        row.changes_ms.is_some_and(|changes| changes <= self.now_ms)
    }

    fn has_tags(&self, tally: &Tally) -> bool {
        self.query.tags.iter().all(|tag| tally.tags.contains(tag))
    }

    /// Whether one of its statements passes the bounds on kind, actor and time.
    fn passes(&self, fact: &Digest, believed: &Believed) -> Result<bool> {
        let query = self.query;
        if query.kinds.is_empty() && query.actors.is_empty() && query.since.is_none() && query.until.is_none() {
            return Ok(true);
        }
        let mut select = self.tx.prepare_cached(
            "SELECT saying.seq, kind, name, speaker, time_ms FROM saying JOIN entry USING (seq) JOIN actor ON actor.id = actor
             WHERE fact = ?1 AND (speaks OR ?2)",
        )?;
        let heard: Option<BTreeSet<u64>> = believed
            .sayings
            .as_ref()
            .map(|sayings| sayings.iter().map(|saying| saying.seq).collect());
        let mut rows = select.query(params![fact, heard.is_some()])?;
        while let Some(row) = rows.next()? {
            let seq = position(row.get(0)?)?;
            let (kind, actor): (String, String) = (row.get(1)?, row.get(2)?);
            let speaker: Option<String> = row.get(3)?;
            let time = Timestamp::from_ms(position(row.get(4)?)?);
            let one_of = |names: &[String], name: &String| names.is_empty() || names.contains(name);
            if heard.as_ref().is_none_or(|heard| heard.contains(&seq))
                && one_of(&query.kinds, &kind)
                && (one_of(&query.actors, &actor) || speaker.is_some_and(|speaker| query.actors.contains(&speaker)))
                && query.since.is_none_or(|since| time >= since)
                && query.until.is_none_or(|until| time < until)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The fact as it is told. `None`: what it says has been erased since it was folded.
    fn fact(
        &self,
        fact: &Digest,
        believed: Believed,
        view: &View,
        event: &impl Fn(u64) -> Result<Option<Event>>,
    ) -> Result<Option<Fact>> {
        let Believed { tally, sayings } = believed;
        // That the view shows it is asked once more of the log itself.
        let Some(newest) = event(tally.newest)?.filter(|event| view.sees(&event.envelope)) else {
            return Ok(None);
        };
        let Some(text) = text(&newest) else { return Ok(None) };
        let mut evidence = match sayings {
            Some(sayings) => sayings
                .iter()
                .rev()
                .take(limits::EVIDENCE)
                .map(|saying| saying.id)
                .collect(),
            None => self.evidence(fact)?,
        };
        evidence.reverse();
        Ok(Some(Fact {
            scope: newest.envelope.scope,
            text,
            confidence: tally.confidence,
            tags: tally.tags.into_iter().collect(),
            count: tally.count,
            first_seen: Timestamp::from_ms(tally.first_ms),
            last_seen: Timestamp::from_ms(tally.last_ms),
            expires: tally.expires_ms.map(Timestamp::from_ms),
            evidence,
            rule: None,
        }))
    }

    /// The statements that are heard according to the tables, the newest first.
    fn evidence(&self, fact: &Digest) -> Result<Vec<EventId>> {
        let mut select = self
            .tx
            .prepare_cached("SELECT id FROM saying WHERE fact = ?1 AND speaks ORDER BY seq DESC LIMIT ?2")?;
        let rows = select.query_map(params![fact, number(limits::EVIDENCE as u64)], |row| row.get(0))?;
        rows.map(|id| Ok(EventId(ulid::Ulid::from_bytes(id?)))).collect()
    }
}

/// The text that an event states.
pub(crate) fn text(event: &Event) -> Option<String> {
    let payload: Value = serde_json::from_str(event.payload()?).ok()?;
    Some(payload.get("text")?.as_str()?.trim().to_owned())
}

/// What a fact is ranked by: the score, the confidence, when it was last stated, its newest statement. Bits of numbers
/// that are not negative rise with them.
type Rank = (u64, u64, u64, u64);

/// The facts that have a key, each with its row.
fn in_slot(tx: &Transaction<'_>, slot: &Digest) -> Result<Vec<(Digest, Tally)>> {
    let mut select = tx.prepare_cached("SELECT * FROM fact WHERE slot = ?1")?;
    let mut rows = select.query([slot])?;
    let mut facts = Vec::new();
    while let Some(row) = rows.next()? {
        facts.push((row.get("fact")?, factfold::tally(row)?));
    }
    Ok(facts)
}

/// What may be told.
enum Candidate {
    Stated(Believed),
    Signal(Fact),
}

/// The best facts so far.
struct Best {
    limit: usize,
    heap: BinaryHeap<Reverse<(Rank, Digest)>>,
    believed: HashMap<Digest, Candidate>,
}

impl Best {
    fn offer(&mut self, score: f64, fact: Digest, believed: Believed) {
        let rank = rank(score, &believed.tally);
        self.take(rank, fact, Candidate::Stated(believed));
    }

    fn signal(&mut self, score: f64, Signal { fact, newest, .. }: Signal) {
        let rank = (
            score.to_bits(),
            fact.confidence.to_bits(),
            fact.last_seen.as_ms(),
            newest,
        );
        let rule = fact.rule.as_deref().unwrap_or_default();
        let digest = signal_digest(fact.scope.as_str(), rule);
        self.take(rank, digest, Candidate::Signal(fact));
    }

    fn take(&mut self, rank: Rank, fact: Digest, candidate: Candidate) {
        if self.believed.insert(fact, candidate).is_none() {
            self.heap.push(Reverse((rank, fact)));
        }
        if self.heap.len() > self.limit
            && let Some(Reverse((_, worst))) = self.heap.pop()
        {
            self.believed.remove(&worst);
        }
    }

    fn is_full_of_better(&self, tally: &Tally) -> bool {
        let worst = self.heap.peek().filter(|_| self.heap.len() >= self.limit);
        worst.is_some_and(|Reverse((worst, _))| *worst >= rank(0.0, tally))
    }

    fn in_order(mut self) -> Vec<(Digest, Candidate)> {
        let mut ranked = self.heap.into_vec();
        ranked.sort();
        let in_order = ranked.into_iter().filter_map(|Reverse((_, fact))| {
            let candidate = self.believed.remove(&fact)?;
            Some((fact, candidate))
        });
        in_order.collect()
    }
}

fn rank(score: f64, tally: &Tally) -> Rank {
    (score.to_bits(), tally.confidence.to_bits(), tally.last_ms, tally.newest)
}

/// How a fact of a scope changed between two positions.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FactChange {
    /// As it was; `None`: it was not believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Fact>,
    /// As it is; `None`: it is not believed any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Fact>,
}

/// What changed of a scope's facts between the heads `from` and `to`, at one instant; in the order of the newest
/// statements.
pub(crate) fn changes(
    tx: &Transaction<'_>,
    folded: u64,
    rules: &Rules,
    scope: &Scope,
    [from, to]: [u64; 2],
    query: &Query,
    event: impl Fn(u64) -> Result<Option<Event>>,
) -> Result<Vec<FactChange>> {
    let mut found = BTreeMap::<(u64, Digest), FactChange>::new();
    let mut places = BTreeMap::<Digest, u64>::new();
    for (is_after, head) in [(false, from), (true, to)] {
        let handle = Handle {
            scope: scope.clone(),
            head,
            run: None,
        };
        let view = View::Handles(vec![handle]);
        let sight = view.sight(tx, folded)?;
        let asking = Asking::new(tx, &sight, query)?;
        for (scope, shown) in sight.scopes() {
            let mut collapsed = HashSet::new();
            let mut now = Vec::new();
            for signal in signals(tx, &sight, &asking.hearing, rules, scope, asking.now_ms)? {
                collapsed.extend(&signal.events);
                let rule = signal.fact.rule.as_deref().unwrap_or_default();
                now.push((
                    signal_digest(signal.fact.scope.as_str(), rule),
                    signal.newest,
                    signal.fact,
                ));
            }
            let place = Place {
                scope,
                shown,
                collapsed: &collapsed,
            };
            for fact in asking.may_differ(scope, from)? {
                if let Some(believed) = asking.believed(&place, &fact)? {
                    let newest = believed.tally.newest;
                    let told = asking.fact(&fact, believed, &view, &event)?;
                    now.extend(told.map(|told| (fact, newest, told)));
                }
            }
            for (digest, newest, fact) in now {
                let place = *places.entry(digest).or_insert(newest);
                let change = found.entry((place, digest)).or_insert(FactChange {
                    before: None,
                    after: None,
                });
                match is_after {
                    false => change.before = Some(fact),
                    true => change.after = Some(fact),
                }
            }
        }
    }
    Ok(found
        .into_values()
        .filter(|change| change.before != change.after)
        .collect())
}

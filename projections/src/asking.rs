//! One fact in one sight.
//!
//! The row of a fact is right for every sight of its scope alone that is pinned behind the last entry that had a say in
//! it. Where a sight is pinned earlier, sees a run's own later entries or several scopes, or where a statement has
//! expired, the fact is made of the statements that are in sight, by the same rules.

use std::collections::{BTreeSet, HashMap, HashSet};

use quipu_format::{Event, EventId, Timestamp};
use rusqlite::{Transaction, params};

use crate::{
    best::Best,
    error::Result,
    facts::{Fact, text},
    hearing::Hearing,
    limits,
    noise::Rules,
    saying::Saying,
    schema::{number, position},
    search::{self, Query},
    signals::{Signal, signals},
    statements::Digest,
    stating::Stating,
    tally::{Tallied, Tally, load, tally},
    tiers::Reached,
    view::{ScopeSight, Sight, View},
};

/// A question, in the projection's own terms.
pub(crate) struct Asking<'a> {
    pub(crate) tx: &'a Transaction<'a>,
    pub(crate) hearing: Hearing<'a>,
    pub(crate) sight: &'a Sight,
    pub(crate) several: bool,
    pub(crate) query: &'a Query,
    pub(crate) now_ms: u64,
}

/// A scope, what is seen of it, and which of its events signals stand for.
pub(crate) struct Place<'a> {
    pub(crate) scope: i64,
    pub(crate) shown: &'a ScopeSight,
    pub(crate) collapsed: HashSet<u64>,
}

/// Events that a search found: their scores, and the facts that they state, each with its scope and best score.
#[derive(Default)]
pub(crate) struct Hits {
    pub(crate) events: HashMap<u64, f64>,
    pub(crate) facts: HashMap<Digest, (i64, f64)>,
}

/// A fact that is believed.
pub(crate) struct Believed {
    pub(crate) scope: i64,
    pub(crate) tally: Tally,
    /// The statements that are heard, the oldest first, where the row does not say so.
    pub(crate) heard: Option<Vec<(u64, EventId)>>,
}

impl<'a> Asking<'a> {
    pub(crate) fn new(tx: &'a Transaction<'a>, sight: &'a Sight, query: &'a Query) -> Result<Self> {
        Ok(Self {
            tx,
            hearing: Hearing::new(tx, sight)?,
            sight,
            several: sight.scopes().len() > 1,
            query,
            now_ms: query.now.as_ms(),
        })
    }

    /// A scope that is seen, and the signals that hold there.
    pub(crate) fn place(&self, rules: &Rules, scope: i64, shown: &'a ScopeSight) -> Result<(Place<'a>, Vec<Signal>)> {
        let signals = signals(self.tx, self.sight, &self.hearing, rules, scope, self.now_ms)?;
        let collapsed = signals.iter().flat_map(|signal| &signal.events).copied().collect();
        let place = Place {
            scope,
            shown,
            collapsed,
        };
        Ok((place, signals))
    }

    /// Offers the facts of a scope, as far as they can be among the best.
    pub(crate) fn surest(&self, place: &Place<'_>, best: &mut Best) -> Result<()> {
        let mut select = self.tx.prepare_cached(
            "SELECT fact FROM fact WHERE scope = ?1 AND decided >= ?2
             UNION SELECT fact FROM fact WHERE scope = ?1 AND crosses = 1 AND ?3",
        )?;
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
            let tally = tally(row)?;
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
    pub(crate) fn found(&self, place: &Place<'_>, hits: &Hits, best: &mut Best) -> Result<()> {
        for (fact, (_, score)) in hits.facts.iter().filter(|(_, (scope, _))| *scope == place.scope) {
            if let Some(believed) = self.believed(place, fact)? {
                best.offer(*score, *fact, believed);
            }
        }
        Ok(())
    }

    /// What a search finds.
    pub(crate) fn matching(
        &self,
        reached: Reached,
        view: &View,
        event: impl Fn(u64) -> Result<Option<Event>>,
    ) -> Result<Hits> {
        let mut query = self.query.clone();
        query.limit = limits::HITS;
        // A fact has the tags of all its statements together.
        query.tags.clear();
        let mut hits = Hits::default();
        for hit in search::search_facts(self.tx, reached, view, &query, event)? {
            let seq = hit.event.envelope.seq;
            hits.events.insert(seq, hit.score);
            if let Some(saying) = Saying::load(self.tx, seq)?
                && let Some(states) = saying.states
            {
                hits.facts.entry(states.fact).or_insert((saying.scope, hit.score));
            }
        }
        Ok(hits)
    }

    /// The score of a signal; `None`: it does not pass the query's bounds. It is of no one kind, actor or instant.
    pub(crate) fn matches(&self, signal: &Signal, hits: Option<&Hits>) -> Option<f64> {
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
    pub(crate) fn may_differ(&self, scope: i64, head: u64) -> Result<Vec<Digest>> {
        let mut select = self.tx.prepare_cached(
            "SELECT fact FROM fact WHERE scope = ?1 AND decided >= ?2
             UNION SELECT fact FROM fact WHERE scope = ?1 AND slot IN
                (SELECT slot FROM fact WHERE scope = ?1 AND decided >= ?2 AND slot IS NOT NULL)
             UNION SELECT fact FROM noise JOIN saying USING (seq) WHERE noise.scope = ?1 AND fact IS NOT NULL",
        )?;
        let rows = select.query_map(params![scope, number(head)], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    pub(crate) fn believed(&self, place: &Place<'_>, fact: &Digest) -> Result<Option<Believed>> {
        match load(self.tx, place.scope, fact)? {
            Some(row) => self.believe(place, fact, row.tally),
            None => Ok(None),
        }
    }

    /// The fact of a row, if it is believed in this sight, passes the query's bounds, and no signal stands for it.
    fn believe(&self, place: &Place<'_>, fact: &Digest, row: Tally) -> Result<Option<Believed>> {
        let believed = self.made(place, fact, row)?;
        let tally = &believed.tally;
        // How sure it was, nobody knows any more, or nobody is: that is no belief.
        if tally.count == 0
            || tally.confidence <= 0.0
            || place.collapsed.contains(&tally.newest)
            || !self.has_tags(tally)
            || !self.passes(place.scope, fact, &believed)?
        {
            return Ok(None);
        }
        match self.is_outdated(place, fact, tally)? {
            true => Ok(None),
            false => Ok(Some(believed)),
        }
    }

    /// Of several texts under one key the newest holds: whether there is a newer one.
    pub(crate) fn is_outdated(&self, place: &Place<'_>, fact: &Digest, tally: &Tally) -> Result<bool> {
        if let Some(slot) = &tally.slot {
            // Only what an entry behind its newest has a say in can be newer; mostly the first one is.
            let mut select = self.tx.prepare_cached(
                "SELECT * FROM fact WHERE slot = ?1 AND decided > ?2 AND fact != ?3 ORDER BY decided DESC",
            )?;
            let mut rows = select.query(params![slot, number(tally.newest), fact])?;
            while let Some(row) = rows.next()? {
                let other: Digest = row.get("fact")?;
                let other = self.made(place, &other, self::tally(row)?)?.tally;
                if other.count > 0 && other.newest > tally.newest {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The fact of a row as this sight makes it.
    pub(crate) fn made(&self, place: &Place<'_>, fact: &Digest, row: Tally) -> Result<Believed> {
        if self.is_right(place.shown, &row) && !self.has_changed(&row) {
            return Ok(Believed {
                scope: place.scope,
                tally: row,
                heard: None,
            });
        }
        let mut made = Tallied::new(row.slot);
        let mut heard_of = Vec::new();
        Stating::each(self.tx, place.scope, fact, |stating| {
            let expired = stating.expires_ms.is_some_and(|expires| expires <= self.now_ms);
            let saying = match expired {
                true => None,
                false => Saying::load(self.tx, stating.seq)?,
            };
            let seen = saying.filter(|saying| self.sight.sees(place.scope, saying.seq, saying.run.as_ref()));
            if let Some(saying) = seen {
                // What its scope alone makes of it is right where the sight shows all that has a say in that.
                let right = self.is_shown(place.shown, stating.heard.decided, stating.heard.more);
                let heard = match right {
                    true => stating.heard.clone(),
                    false => self.hearing.hear(&saying)?,
                };
                if made.add(&stating, &heard) {
                    heard_of.push((stating.seq, stating.id));
                }
            }
            Ok(())
        })?;
        Ok(Believed {
            scope: place.scope,
            tally: made.settled().tally,
            heard: Some(heard_of),
        })
    }

    /// Whether the row says what this sight shows.
    fn is_right(&self, shown: &ScopeSight, row: &Tally) -> bool {
        self.is_shown(shown, row.decided, row.crosses)
    }

    /// Whether the sight shows all that had a say, the last of it at `decided`.
    fn is_shown(&self, shown: &ScopeSight, decided: u64, crosses: bool) -> bool {
        decided < shown.head && !(crosses && self.several)
    }

    /// Whether a statement has expired.
    fn has_changed(&self, row: &Tally) -> bool {
        row.changes_ms.is_some_and(|changes| changes <= self.now_ms)
    }

    fn has_tags(&self, tally: &Tally) -> bool {
        self.query.tags.iter().all(|tag| tally.tags.contains(tag))
    }

    /// Whether one of its statements passes the bounds on kind, actor and time.
    fn passes(&self, scope: i64, fact: &Digest, believed: &Believed) -> Result<bool> {
        let query = self.query;
        if query.kinds.is_empty() && query.actors.is_empty() && query.since.is_none() && query.until.is_none() {
            return Ok(true);
        }
        let mut select = self.tx.prepare_cached(
            "SELECT statement.seq, kind, name, speaker, time_ms FROM statement JOIN entry USING (seq)
             JOIN actor ON actor.id = actor WHERE statement.scope = ?3 AND fact = ?1 AND (length(voices) > 0 OR ?2)",
        )?;
        let heard: Option<BTreeSet<u64>> = believed
            .heard
            .as_ref()
            .map(|heard| heard.iter().map(|(seq, _)| *seq).collect());
        let mut rows = select.query(params![fact, heard.is_some(), scope])?;
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
    pub(crate) fn fact(
        &self,
        fact: &Digest,
        believed: Believed,
        view: &View,
        event: &impl Fn(u64) -> Result<Option<Event>>,
    ) -> Result<Option<Fact>> {
        let Believed { scope, tally, heard } = believed;
        // That the view shows it is asked once more of the log itself.
        let Some(newest) = event(tally.newest)?.filter(|event| view.sees(&event.envelope)) else {
            return Ok(None);
        };
        let Some(text) = text(&newest) else { return Ok(None) };
        let mut evidence = match heard {
            Some(heard) => heard.iter().rev().take(limits::EVIDENCE).map(|(_, id)| *id).collect(),
            None => self.evidence(scope, fact)?,
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
    fn evidence(&self, scope: i64, fact: &Digest) -> Result<Vec<EventId>> {
        let mut select = self.tx.prepare_cached(
            "SELECT id FROM statement WHERE scope = ?1 AND fact = ?2 AND length(voices) > 0 ORDER BY seq DESC LIMIT ?3",
        )?;
        let most = number(limits::EVIDENCE as u64);
        let rows = select.query_map(params![scope, fact, most], |row| row.get(0))?;
        rows.map(|id| Ok(EventId(ulid::Ulid::from_bytes(id?)))).collect()
    }
}

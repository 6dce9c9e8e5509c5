//! Derived state of a quipu ledger: search and provenance.
//!
//! A projection is a deterministic fold of the log, kept in one SQLite file. It holds nothing of its own: the file can
//! be deleted at any time, also while it is in use, and [`Projections::catch_up`] makes it again from the log, equal
//! row for row. It remembers which ledger it folded and how far, so that the projection of another ledger, or of one
//! that was rolled back, is thrown away and not believed.
//!
//! Two things it never does: it does not write the log, and it does not let one scope's entries touch what is
//! answered from another. Ranking statistics are those of the entries that the question's [`View`] shows, scope by
//! scope, so that even an entry that is appended to the *same* scope later does not move a pinned reader's scores.
//!
//! ```no_run
//! use quipu_projections::{Projections, Query, View};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let ledger = quipu_log::Ledger::open_read_only(std::path::Path::new("ledger"))?;
//! let projections = Projections::open(&ledger)?;
//! projections.catch_up(ledger.head())?;
//!
//! let mut query = Query::default();
//! query.text = "How does acme want its invoices?".into();
//! for hit in projections.search(&View::Everything { head: ledger.head() }, &query)?.hits {
//!     println!("{:.3} {}", hit.score, hit.event.envelope.id);
//! }
//! # Ok(())
//! # }
//! ```

mod ahead;
mod around;
mod asking;
mod beliefs;
mod best;
mod blocks;
mod budget;
mod building;
mod changes;
mod compact;
mod confidence;
mod context;
mod dates;
mod dense;
mod descent;
mod document;
mod error;
mod factfold;
mod facts;
mod fold;
mod folding;
mod gist;
mod hearing;
mod irregular;
pub mod limits;
mod noise;
mod packing;
mod pages;
mod places;
mod rank;
mod recorded;
mod retract;
mod runs;
mod saying;
mod schema;
mod search;
mod shelf;
mod signals;
mod snapshots;
mod stated;
mod statements;
mod stating;
mod store;
mod tally;
mod text;
mod tiers;
mod touch;
mod trail;
mod vectors;
mod view;
mod withdrawn;

use std::{
    collections::BTreeSet,
    io::Write,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use quipu_format::{Event, EventId, RunId, Scope, Timestamp};
use quipu_log::LedgerReader;

pub use crate::{
    beliefs::{Standing, Statement},
    budget::Budget,
    building::Lag,
    changes::FactChange,
    compact::{Compaction, Covers, KEYS as COMPACTION_KEYS, NewSummary, Summary, SummaryLine, TierPlan},
    context::Context,
    descent::{Because, Descendant},
    error::{Error, ErrorKind},
    facts::{Fact, FactAnswer},
    noise::NoiseRules,
    recorded::{FactNote, Layout, context_again, fact_again, links_again},
    retract::{QUARANTINE, Quarantine},
    runs::Shown,
    search::{Hit, Query, SearchAnswer},
    snapshots::Snapshot,
    statements::{RETRACT, SUMMARY},
    trail::{Link, Relation, Trail},
    view::{Handle, View},
};
use crate::{
    error::{Cause, unless_damaged},
    noise::Watched,
    store::Store,
    trail::Way,
};

/// What is derived from one ledger. Threads may share it, and processes may use the same file at once: each answer
/// is from one consistent state, and nobody waits for somebody else's catching up.
pub struct Projections {
    ledger: LedgerReader,
    store: Store,
    /// The write-ahead file may hold what was erased, and is to be cut.
    uncut: AtomicBool,
    /// Erasures below it are known here, whoever folded them.
    erased: AtomicU64,
    rules: Watched,
    /// Entries that could be read when they were folded, and cannot any more.
    unreadable: Mutex<BTreeSet<u64>>,
}

impl Projections {
    /// Opens the projections of a ledger, or makes empty ones, in the folder that it names for them. Nothing is
    /// folded yet.
    pub fn open(ledger: &LedgerReader) -> std::result::Result<Self, Error> {
        let store = Store::new(ledger.projections_path(), ledger.origin());
        let projections = Self {
            ledger: ledger.clone(),
            store,
            // Whoever was here before may have been killed.
            uncut: AtomicBool::new(true),
            erased: AtomicU64::new(0),
            rules: Watched::new(ledger.projections_path().parent().unwrap_or(std::path::Path::new("."))),
            unreadable: Mutex::default(),
        };
        projections.take_back()?;
        // Rules that cannot be used are told by whatever needs them. Forgetting does not.
        if projections.rules().is_ok() {
            projections.as_of()?;
        }
        Ok(projections)
    }

    /// The `seq` that is reached: entries below it are folded.
    pub fn as_of(&self) -> std::result::Result<u64, Error> {
        Ok(self.reached_so_far()?.unwrap_or(0).min(self.ledger.head()))
    }

    /// Folds what is missing below `to` (at most up to the ledger's head), and returns the `seq` reached. In steps,
    /// each whole or absent: broken off at any place, it goes on from there.
    pub fn catch_up(&self, to: u64) -> std::result::Result<u64, Error> {
        Ok(self.fold_up_to(to)?)
    }

    /// Whether the ledger has projections. One that has none has nothing derived to forget.
    pub fn exist(ledger: &LedgerReader) -> bool {
        ledger.projections_path().join(store::FILE).exists()
    }

    /// Folds all that is missing, so that what the log says is erased is erased here too, and overwrites what the files
    /// still hold of it outside the tables. It waits for whoever reads or writes them, some seconds. Returns whether that
    /// could be done: it cannot while an answer takes longer than that, and is to be asked for again.
    pub fn forget(&self) -> std::result::Result<bool, Error> {
        // Whoever folded the erasure may have been another process, which could not cut the file.
        self.uncut.store(true, Ordering::Release);
        if let Err(error) = self.rules() {
            tracing::warn!(%error, "what is derived cannot be brought up to date, and is thrown away");
            self.store.write(|tx| self.throw_away(tx))?;
            return Ok(self.store.cut_wal(0, limits::PATIENCE)?);
        }
        self.fold_up_to(u64::MAX)?;
        if self.uncut.load(Ordering::Acquire) && self.store.cut_wal(0, limits::PATIENCE)? {
            self.uncut.store(false, Ordering::Release);
        }
        Ok(!self.uncut.load(Ordering::Acquire))
    }

    /// Throws everything away and folds the log from its beginning, as far as it goes now. Answers meanwhile say how far
    /// that has come. Broken off at any place, it is gone on with by whoever asks next.
    ///
    /// # Errors
    /// `Busy` where somebody else is at it.
    pub fn rebuild(&self) -> std::result::Result<(), Error> {
        self.rebuild_telling(&mut |_, _| {}).map(drop)
    }

    /// Events that match, ranked by BM25 of their words and of those around them in their conversation, under the
    /// statistics of each scope by itself. Left out: what an event that
    /// the view shows supersedes, what has expired, what is erased, and kinds that begin with `quipu.`.
    ///
    /// Answers as of the `seq` reached: whoever must find what was just appended catches up first.
    pub fn search(&self, view: &View, query: &Query) -> std::result::Result<SearchAnswer, Error> {
        Ok(self.answer(|tx| {
            let rules = self.rules()?;
            search::search(tx, self.how_far(tx)?, view, query, &rules, |seq| self.event(seq))
        })?)
    }

    /// What is believed, as far as the view shows what states it: each scope's facts by themselves, the surest first; with
    /// text, those first of which a statement matches best. A fact passes the query's bounds if one of its statements does.
    ///
    /// Answers as of the `seq` reached, as [`search`](Self::search) does.
    pub fn facts(&self, view: &View, query: &Query) -> std::result::Result<FactAnswer, Error> {
        Ok(self.answer(|tx| {
            let mut answer = facts::facts(tx, self.how_far(tx)?, &*self.rules()?, view, query, |seq| {
                self.event(seq)
            })?;
            self.without_erased(tx, &mut answer.facts)?;
            Ok(answer)
        })?)
    }

    /// Those of the facts that one of the entries at these positions states, or has a part in as a signal; the surest first.
    /// Of the query, its present alone counts.
    pub fn facts_of(&self, view: &View, seqs: &BTreeSet<u64>, query: &Query) -> std::result::Result<Vec<Fact>, Error> {
        let all = Query {
            now: query.now,
            ..Query::default()
        };
        Ok(self.answer(|tx| {
            let rules = self.rules()?;
            let mut facts = stated::facts(tx, self.folded(tx)?, &rules, view, &all, seqs, |seq| self.event(seq))?;
            self.without_erased(tx, &mut facts)?;
            Ok(facts)
        })?)
    }

    /// How the facts of a scope changed between two positions, both as at `query.now`; nothing else of the query counts.
    pub fn changes(
        &self,
        scope: &Scope,
        from: u64,
        to: u64,
        query: &Query,
    ) -> std::result::Result<Vec<FactChange>, Error> {
        let all = Query {
            now: query.now,
            ..Query::default()
        };
        Ok(self.answer(|tx| {
            let folded = self.folded(tx)?;
            let mut changes = changes::changes(tx, folded, &*self.rules()?, scope, [from, to], &all, |seq| {
                self.event(seq)
            })?;
            let facts = changes
                .iter_mut()
                .flat_map(|change| [&mut change.before, &mut change.after]);
            self.without_erased(tx, facts.flatten())?;
            Ok(changes)
        })?)
    }

    /// The statements of a scope that say this text, and what has become of each by `now`, oldest first, at most 1,000. The
    /// first introduced the belief.
    pub fn statements(
        &self,
        view: &View,
        scope: &Scope,
        text: &str,
        now: Timestamp,
    ) -> std::result::Result<Vec<Statement>, Error> {
        Ok(self.answer(|tx| beliefs::statements(tx, self.folded(tx)?, view, scope, text, now, |seq| self.event(seq)))?)
    }

    /// All revisions of what an event revises and is revised by, oldest first, at most 1,000. `None` as for
    /// [`why`](Self::why).
    pub fn history(&self, view: &View, id: EventId) -> std::result::Result<Option<Vec<Event>>, Error> {
        let Some(seq) = self.ledger.find(id).map_err(Cause::from)? else {
            return Ok(None);
        };
        Ok(self.answer(|tx| beliefs::history(tx, self.folded(tx)?, view, seq, |seq| self.event(seq)))?)
    }

    /// Entries that a quarantine would cover, oldest first. For operators alone.
    pub fn covered(&self, quarantine: &Quarantine) -> std::result::Result<Vec<u64>, Error> {
        Ok(self.answer(|tx| beliefs::covered(tx, self.folded(tx)?, quarantine))?)
    }

    /// What recall showed to a run, call by call. For operators alone.
    pub fn shown(&self, run: RunId) -> std::result::Result<Vec<Shown>, Error> {
        Ok(self.answer(|tx| runs::told_to(tx, &self.ledger, run))?)
    }

    /// How sure events together are, by the rule of facts: what rests on them is no surer.
    pub fn supported(&self, view: &View, events: &[EventId]) -> std::result::Result<f64, Error> {
        Ok(self.answer(|tx| {
            let find = |id| unless_damaged(self.ledger.find(id));
            beliefs::supported(tx, self.folded(tx)?, view, events, find, |seq| self.event(seq))
        })?)
    }

    /// Text for a prompt: facts, what answers the query and the turns around it, fitted to a budget. They are found as by
    /// [`facts`](Self::facts) and [`search`](Self::search).
    pub fn compose(&self, view: &View, query: &Query, budget: Budget) -> std::result::Result<Context, Error> {
        Ok(self.answer(|tx| {
            let (reached, event) = (self.how_far(tx)?, |seq| self.event(seq));
            let rules = self.rules()?;
            let (answers, as_of) = search::answers(tx, reached, view, query, &rules, event)?;
            let mut facts = facts::facts(tx, reached, &rules, view, query, event)?.facts;
            facts.retain(|fact| query.min_confidence.is_none_or(|least| fact.confidence >= least));
            Ok(context::compose(&facts, &answers, budget, as_of))
        })?)
    }

    /// What an event rests on, back to its roots. `None`: there is no such event, the view does not show it, or it
    /// is not folded yet; which of these it is does not show.
    pub fn why(&self, view: &View, id: EventId) -> std::result::Result<Option<Trail>, Error> {
        self.trail(view, id, Way::Back)
    }

    /// What rests on an event: what names it as evidence or supersedes it, and so on forward. `None` as for
    /// [`why`](Self::why).
    pub fn impact(&self, view: &View, id: EventId) -> std::result::Result<Option<Trail>, Error> {
        self.trail(view, id, Way::Forward)
    }

    /// What descends from these events: what rests on them, what was written by runs that read them or were shown them,
    /// and what descends from that, as if the ledger ended at `end`. For operators alone. `progress` is told how many runs
    /// have been looked at, and of how many.
    ///
    /// # Errors
    /// `Invalid` where an event is none, or more than 100,000 entries descend from them. Catch up first: what is not
    /// folded is not seen.
    pub fn descent(
        &self,
        events: &[EventId],
        end: u64,
        progress: &mut dyn FnMut(u64, u64),
    ) -> std::result::Result<Vec<Descendant>, Error> {
        let mut from = Vec::with_capacity(events.len());
        for id in events {
            let seq = self.ledger.find(*id).map_err(Cause::from)?.filter(|seq| *seq < end);
            from.push(seq.ok_or_else(|| Cause::Invalid(format!("there is no event named {id} in this ledger")))?);
        }
        let progress = std::cell::RefCell::new(progress);
        let wanted = end.min(self.ledger.head());
        Ok(self.answer(|tx| {
            // Somebody may be making it anew: what is not there yet would be left out without a word.
            if self.folded(tx)? < wanted {
                return Err(Cause::Building);
            }
            descent::descent(tx, &self.ledger, &from, end, &mut **progress.borrow_mut())
        })?)
    }

    fn trail(&self, view: &View, id: EventId, way: Way) -> std::result::Result<Option<Trail>, Error> {
        let Some(seq) = self.ledger.find(id).map_err(Cause::from)? else {
            return Ok(None);
        };
        Ok(self.answer(|tx| trail::trail(tx, self.folded(tx)?, view, seq, way, |seq| self.event(seq)))?)
    }

    /// Writes every row of every table, one a line, in a fixed order. Two projections of one ledger that reach the
    /// same `seq` are equal here byte for byte, however they came to be. It holds content: treat it as the ledger.
    pub fn dump(&self, out: &mut dyn Write) -> std::result::Result<(), Error> {
        let out = std::cell::RefCell::new(out);
        Ok(self.store.read(|tx| schema::dump(tx, &mut **out.borrow_mut()))?)
    }
}

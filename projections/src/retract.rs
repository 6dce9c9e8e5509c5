//! What takes an entry out of recall: entries that supersede it, and quarantines.
//!
//! An entry of kind `memory.retract` *retracts* what it supersedes: it is gone from what is recalled, it no longer
//! supports what rests on it, and what it had superseded or retracted itself comes back. An entry of any other kind
//! *replaces* what it supersedes: that is out of recall, and goes on supporting what rests on it. A quarantine retracts
//! all entries of a run, or of an actor in an interval of `seq`, until one that is signed like it *lifts* it; what lifts
//! can be lifted too.
//!
//! Who may: what a run supersedes was checked against its grant when it was appended, and what no run appended is of
//! an operator's command or of the host's own application. So every link that is in the log counts.

use std::{
    collections::{BTreeMap, HashMap, HashSet, btree_map::Entry},
    rc::Rc,
};

use quipu_format::{Actor, Envelope, EventId, RunId};
use rusqlite::{OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::{
    error::Result,
    schema::{SUPERSEDES, number, position},
    view::Sight,
};

/// Kind of the operators' act that quarantines.
pub(crate) const KIND: &str = "quipu.quarantine";
/// Its member of `sys`.
pub const QUARANTINE: &str = "quarantine";

/// Whose entries are retracted by a quarantine, as it stands in `sys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub enum Quarantine {
    /// All of a run's entries.
    Run(RunId),
    /// An actor's entries from `first` on and below `end`.
    Actor {
        /// The actor.
        name: Actor,
        /// Their first `seq`.
        first: u64,
        /// The `seq` behind their last.
        end: u64,
    },
    /// None: takes back the quarantine that this entry is, or what lifted one.
    Lift(EventId),
}

impl Quarantine {
    /// Of an actor's entries from `first` on and below `end`.
    pub fn actor(name: Actor, first: u64, end: u64) -> Self {
        Self::Actor { name, first, end }
    }

    /// The entry that it lifts.
    pub(crate) fn lifted(&self) -> Option<EventId> {
        match self {
            Self::Lift(id) => Some(*id),
            Self::Run(_) | Self::Actor { .. } => None,
        }
    }

    /// What an entry of kind `quipu.quarantine` says; `None` of any other.
    pub fn of(envelope: &Envelope) -> Option<Self> {
        let sys = envelope.sys.as_ref().filter(|_| envelope.kind.as_str() == KIND)?;
        serde_json::from_value(sys[QUARANTINE].clone()).ok()
    }

    /// Whether it retracts an entry. The host's and operators' own entries are not retracted.
    pub fn covers(&self, entry: &Envelope) -> bool {
        !entry.kind.is_reserved()
            && match self {
                Self::Run(run) => entry.run == Some(*run),
                Self::Actor { name, first, end } => entry.actor == *name && (*first..*end).contains(&entry.seq),
                Self::Lift(_) => false,
            }
    }
}

/// Which entries are seen.
pub(crate) trait Sees {
    fn sees(&self, scope: i64, seq: u64, run: Option<&[u8; 16]>) -> bool;
}

impl Sees for Sight {
    fn sees(&self, scope: i64, seq: u64, run: Option<&[u8; 16]>) -> bool {
        Self::sees(self, scope, seq, run)
    }
}

/// All that is folded of one scope.
pub(crate) struct OneScope(pub(crate) i64);

impl Sees for OneScope {
    fn sees(&self, scope: i64, _: u64, _: Option<&[u8; 16]>) -> bool {
        scope == self.0
    }
}

/// What has become of an entry.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Fate {
    pub(crate) replaced: bool,
    pub(crate) retracted: bool,
    /// The last entry that has a say in this; 0 if there is none.
    pub(crate) decided: u64,
    /// Entries that are not seen would have a say as well.
    pub(crate) more: bool,
}

impl Fate {
    /// It is out of recall.
    pub(crate) fn is_withdrawn(self) -> bool {
        self.replaced || self.retracted
    }
}

/// Tells the fate of entries, as far as a sight shows it.
pub(crate) struct Fates<'a> {
    tx: &'a Transaction<'a>,
    sees: &'a dyn Sees,
    quarantines: Rc<Quarantines>,
}

/// Operators' quarantines and what lifts them, the oldest first.
pub(crate) struct Quarantines(Vec<Confined>);

/// A quarantine in the projection's own terms.
struct Confined {
    seq: u64,
    run: Option<[u8; 16]>,
    actor: Option<i64>,
    first: u64,
    end: u64,
    /// The one that it lifts; it is none itself then.
    lifts: Option<u64>,
}

impl Quarantines {
    pub(crate) fn load(tx: &Transaction<'_>) -> Result<Rc<Self>> {
        let mut select = tx.prepare_cached("SELECT seq, run, actor, first, end, lifts FROM quarantine ORDER BY seq")?;
        let mut rows = select.query([])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(Confined {
                seq: position(row.get(0)?)?,
                run: row.get(1)?,
                actor: row.get(2)?,
                first: position(row.get(3)?)?,
                end: position(row.get(4)?)?,
                lifts: row.get::<_, Option<i64>>(5)?.map(position).transpose()?,
            });
        }
        Ok(Rc::new(Self(all)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What lifts the one at `seq` and is not lifted itself, the newest.
    pub(crate) fn lifted_by(&self, seq: u64) -> Option<u64> {
        let (mut void, mut by) = (HashSet::new(), None);
        for this in self.0.iter().rev() {
            match this.lifts {
                _ if void.contains(&this.seq) => {}
                Some(lifted) if lifted == seq => by = by.or(Some(this.seq)),
                Some(lifted) => drop(void.insert(lifted)),
                None => {}
            }
        }
        by
    }

    /// What quarantines say of an entry, those that `seen` shows.
    fn fate(&self, seq: u64, node: &Node, seen: impl Fn(u64) -> bool) -> Fate {
        let mut fate = Fate::default();
        // What is lifted, and by which entries in the end. What lifts comes later.
        let (mut void, mut by) = (HashSet::new(), HashMap::<u64, u64>::new());
        for this in self.0.iter().rev().filter(|this| seen(this.seq)) {
            let last = by.get(&this.seq).copied().unwrap_or(0).max(this.seq);
            let stands = !void.contains(&this.seq);
            if let Some(lifted) = this.lifts {
                by.entry(lifted).and_modify(|by| *by = last.max(*by)).or_insert(last);
                if stands {
                    void.insert(lifted);
                }
                continue;
            }
            let covers = match (this.run, this.actor) {
                (Some(run), _) => node.run == Some(run),
                (None, actor) => actor == Some(node.actor) && (this.first..this.end).contains(&seq),
            };
            if covers && !node.reserved {
                fate.retracted |= stands;
                fate.decided = fate.decided.max(last);
            }
        }
        fate
    }
}

/// An entry on the way.
struct Node {
    scope: i64,
    run: Option<[u8; 16]>,
    actor: i64,
    retracts: bool,
    reserved: bool,
    laters: Laters,
}

/// What supersedes an entry.
#[derive(Default)]
struct Laters {
    /// As far as it is seen.
    seqs: Vec<u64>,
    /// Some is not.
    more: bool,
}

/// What is asked about an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Withdrawn,
    Retracted,
}

impl<'a> Fates<'a> {
    pub(crate) fn load(tx: &'a Transaction<'a>, sees: &'a dyn Sees) -> Result<Self> {
        Ok(Self::under(tx, sees, Quarantines::load(tx)?))
    }

    /// Under quarantines that were loaded.
    pub(crate) fn under(tx: &'a Transaction<'a>, sees: &'a dyn Sees, quarantines: Rc<Quarantines>) -> Self {
        Self { tx, sees, quarantines }
    }

    /// The quarantines that it looks under, for others to look under them too.
    pub(crate) fn quarantines(&self) -> Rc<Quarantines> {
        self.quarantines.clone()
    }

    /// What has become of an entry.
    pub(crate) fn of(&self, seq: u64) -> Result<Fate> {
        self.fate(seq, Asked::Withdrawn)
    }

    /// Whether an entry is retracted; that it is replaced does not matter, and who replaces it does not either.
    pub(crate) fn retraction(&self, seq: u64) -> Result<Fate> {
        self.fate(seq, Asked::Retracted)
    }

    /// The newest entry that retracts one and is not retracted itself.
    pub(crate) fn retracted_by(&self, seq: u64) -> Result<Option<u64>> {
        let (laters, _) = self.laters(seq, Asked::Retracted)?;
        for later in laters.seqs.into_iter().rev() {
            if !self.retraction(later)?.retracted {
                return Ok(Some(later));
            }
        }
        Ok(None)
    }

    fn fate(&self, seq: u64, asked: Asked) -> Result<Fate> {
        let (laters, ahead) = self.laters(seq, asked)?;
        if laters.seqs.is_empty() && self.quarantines.is_empty() {
            let more = laters.more;
            return Ok(Fate {
                more,
                ..Fate::default()
            });
        }
        let Some(start) = self.node(seq, laters)? else {
            return Ok(Fate::default());
        };
        let mut nodes = BTreeMap::from([(seq, start)]);
        let mut todo = ahead;
        while let Some((seq, mut node)) = todo.pop() {
            if let Entry::Vacant(new) = nodes.entry(seq) {
                let (laters, ahead) = self.laters(seq, Asked::Retracted)?;
                node.laters = laters;
                new.insert(node);
                todo.extend(ahead);
            }
        }
        // Whatever has a say in an entry's fate comes later: so the last are told first.
        let mut fates = HashMap::<u64, Fate>::new();
        for (&seq, node) in nodes.iter().rev() {
            // It is the operator's word, which every handle sees that is pinned behind it.
            let mut fate = self
                .quarantines
                .fate(seq, node, |by| self.sees.sees(node.scope, by, None));
            fate.more = node.laters.more;
            for &later in &node.laters.seqs {
                let of_later = fates.get(&later).copied().unwrap_or_default();
                fate.decided = fate.decided.max(later).max(of_later.decided);
                fate.more |= of_later.more;
                let retracts = nodes.get(&later).is_some_and(|node| node.retracts);
                fate.retracted |= retracts && !of_later.retracted;
                fate.replaced |= !retracts && !of_later.retracted;
            }
            fates.insert(seq, fate);
        }
        Ok(fates.remove(&seq).unwrap_or_default())
    }

    fn node(&self, seq: u64, laters: Laters) -> Result<Option<Node>> {
        let mut select = self
            .tx
            .prepare_cached("SELECT scope, run, actor, retracts, reserved FROM entry WHERE seq = ?1")?;
        let node = select.query_row([number(seq)], |row| {
            Ok(Node {
                scope: row.get(0)?,
                run: row.get(1)?,
                actor: row.get(2)?,
                retracts: row.get(3)?,
                reserved: row.get(4)?,
                laters,
            })
        });
        Ok(node.optional()?)
    }

    /// What supersedes the entry at `seq`, or what of it retracts; and the entries that do.
    fn laters(&self, seq: u64, asked: Asked) -> Result<(Laters, Vec<(u64, Node)>)> {
        let mut select = self.tx.prepare_cached(
            "SELECT later, scope, run, actor, retracts, reserved FROM link JOIN entry ON entry.seq = later
             WHERE earlier = ?1 AND relation = ?2 AND (retracts OR ?3) ORDER BY later",
        )?;
        let mut rows = select.query(params![number(seq), SUPERSEDES, asked == Asked::Withdrawn])?;
        let (mut laters, mut nodes) = (Laters::default(), Vec::new());
        while let Some(row) = rows.next()? {
            let later = position(row.get(0)?)?;
            let node = Node {
                scope: row.get(1)?,
                run: row.get(2)?,
                actor: row.get(3)?,
                retracts: row.get(4)?,
                reserved: row.get(5)?,
                laters: Laters::default(),
            };
            match self.sees.sees(node.scope, later, node.run.as_ref()) {
                true => {
                    laters.seqs.push(later);
                    nodes.push((later, node));
                }
                false => laters.more = true,
            }
        }
        Ok((laters, nodes))
    }
}

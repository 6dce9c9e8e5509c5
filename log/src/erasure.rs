//! Destroying the secrets of entries: what is in the log and still to be done, and what may come in.
//!
//! Order, each step finished at the next open where a crash came between: the entry is durable; a checkpoint that covers
//! it is; the key file is written anew without the secrets; what is derived forgets. docs/FORMAT.md, "Erasures".

use std::{collections::BTreeMap, sync::PoisonError};

use quipu_format::{Cause, Envelope, Erasure, KeyTree, Scope, limits};

use serde_json::Value;

use crate::{Error, ErrorKind, Result, index::Index, keyfile::Keys, random, reader::ReadState};

/// Erasures that are in the log, by scope, and the positions of their entries.
#[derive(Debug, Default, Clone)]
pub(crate) struct Erasures(BTreeMap<Scope, Vec<(u64, Erasure)>>);

impl Erasures {
    /// Takes an entry in, if it is an erasure.
    pub(crate) fn take(&mut self, envelope: &Envelope) {
        if let Some(erasure) = of(envelope) {
            let scope = self.0.entry(envelope.scope.clone()).or_default();
            scope.push((envelope.seq, erasure));
        }
    }

    /// Takes in all of others.
    pub(crate) fn extend(&mut self, others: Self) {
        for (scope, erasures) in others.0 {
            self.0.entry(scope).or_default().extend(erasures);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Position of the last of their entries.
    pub(crate) fn last(&self) -> Option<u64> {
        self.0.values().flatten().map(|(seq, _)| *seq).max()
    }

    /// Positions of their entries, rising.
    pub(crate) fn seqs(&self) -> Vec<u64> {
        let mut seqs: Vec<_> = self.0.values().flatten().map(|(seq, _)| *seq).collect();
        seqs.sort_unstable();
        seqs
    }

    /// Forgets those in entries below `applied`: they have been carried out.
    pub(crate) fn done_below(&mut self, applied: u64) {
        self.retain(|seq| seq >= applied);
    }

    /// Forgets all but those in these entries.
    pub(crate) fn retain(&mut self, keep: impl Fn(u64) -> bool) {
        for erasures in self.0.values_mut() {
            erasures.retain(|(seq, _)| keep(*seq));
        }
        self.0.retain(|_, erasures| !erasures.is_empty());
    }

    /// Takes the secrets out of keys that a reader holds, whose file the writer has not come to write yet.
    pub(crate) fn hide(&self, keys: &mut Keys) {
        for (scope, ranges, _) in self.by_scope() {
            if let Some(tree) = keys.trees.get_mut(scope)
                && tree.puncture_all(&ranges).is_err()
            {
                // No act that leaves so many comes into the log; then rather all is hidden.
                *tree = KeyTree::empty();
            }
        }
    }

    /// Carries them out on the keys, whose file is to be replaced by these next. `count` are the entries of a scope.
    pub(crate) fn carry_out(&self, keys: &mut Keys, count: impl Fn(&Scope) -> u32) -> Result<()> {
        for (scope, ranges, renewed) in self.by_scope() {
            let Some(tree) = keys.trees.get_mut(scope) else {
                continue;
            };
            tree.puncture_all(&ranges).map_err(Error::from)?;
            if renewed {
                tree.renew(count(scope), *random::secret()?).map_err(Error::from)?;
            }
        }
        keys.applied = keys.applied.max(self.last().map_or(0, |seq| seq + 1));
        keys.generation += 1;
        Ok(())
    }

    /// Each scope, what is erased of it, and whether its root is renewed.
    fn by_scope(&self) -> impl Iterator<Item = (&Scope, Vec<[u32; 2]>, bool)> {
        self.0.iter().map(|(scope, erasures)| {
            let ranges = erasures.iter().flat_map(|(_, erasure)| erasure.ranges.iter().copied());
            let renewed = erasures.iter().any(|(_, erasure)| erasure.cause == Cause::ForgetScope);
            (scope, Erasure::join(ranges), renewed)
        })
    }

    /// Whether erasures may be appended together: each stands in the scope that it erases and names entries that are
    /// durable, and the scope's key tree stays within its limit, these and those already taken done.
    ///
    /// It is asked where an act is queued, and once more by the sequencer, right before it gets its place: whatever else
    /// may forbid an erasure belongs here.
    pub(crate) fn admit<'a>(&self, drafts: impl Iterator<Item = &'a Envelope>, state: &ReadState) -> Result<()> {
        let mut drafts = drafts
            .filter(|envelope| envelope.kind.as_str() == Erasure::KIND)
            .peekable();
        if drafts.peek().is_none() {
            return Ok(());
        }
        let index = state.index.read().unwrap_or_else(PoisonError::into_inner);
        let keys = state.keys.read().unwrap_or_else(PoisonError::into_inner);
        let mut all = self.clone();
        for envelope in drafts {
            let sys = envelope.sys.as_ref().map(|sys| &sys[Erasure::MEMBER]);
            let erasure = Erasure::parse(sys.unwrap_or(&Value::Null))?;
            check_place(&erasure, envelope, &index)?;
            all.0
                .entry(envelope.scope.clone())
                .or_default()
                .push((envelope.seq, erasure));
        }
        for (scope, ranges, renewed) in all.by_scope() {
            let tree = keys.trees.get(scope);
            let renewal = if renewed { RENEWAL_NODES } else { 0 };
            check_nodes(scope, tree.map_or(0, |tree| tree.nodes_after(&ranges)) + renewal)?;
        }
        Ok(())
    }
}

/// Key nodes that a new root adds at most: those that cover the new part, and the edge of the old one.
const RENEWAL_NODES: usize = 64;

/// The erasure that an entry is. None: it is none, or has not the form of one, which no act that was let in has.
pub(crate) fn of(envelope: &Envelope) -> Option<Erasure> {
    if envelope.kind.as_str() != Erasure::KIND {
        return None;
    }
    let erasure = Erasure::parse(&envelope.sys.as_ref()?[Erasure::MEMBER]).ok()?;
    let last = erasure.ranges.last().map_or(0, |range| range[1]);
    (erasure.scope == envelope.scope && last < envelope.nth).then_some(erasure)
}

fn check_place(erasure: &Erasure, envelope: &Envelope, index: &Index) -> Result<()> {
    if erasure.scope != envelope.scope {
        let message = format!(
            "an erasure of {} cannot stand in {}: it belongs in the scope that it erases",
            erasure.scope, envelope.scope
        );
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let count = index.scopes.get(&erasure.scope).map_or(0, |head| head.count);
    let last = erasure.ranges.last().map_or(0, |range| range[1]);
    if last >= count {
        let message = format!(
            "the scope {} has {count} entries, and the erasure names its entry {last}, which is still to come",
            erasure.scope
        );
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    Ok(())
}

/// Refuses an erasure that would leave more nodes of a scope's key tree than the key file holds.
pub(crate) fn check_nodes(scope: &Scope, nodes: usize) -> Result<()> {
    if nodes <= limits::KEY_NODES {
        return Ok(());
    }
    let message = format!(
        "{nodes} key nodes of the scope {scope} would remain, and at most {} do: each scattered entry that is erased costs \
         up to 32. Nothing was erased. Erase everything up to a time with `quipu retain`, which leaves at most 32, or all \
         of the scope with `quipu forget-scope`; `quipu keys` shows how many nodes each scope has",
        limits::KEY_NODES
    );
    Err(Error::new(ErrorKind::TooLarge, message))
}

//! What an operator is about to erase: resolved before it is signed, so that what is signed are entries and not words.

use std::collections::BTreeMap;

use quipu_format::{Act, Cause, Erasure, EventId, RequestId, Scope, Signer, limits};
use serde::Serialize;

use crate::{
    Error, ErrorKind, LedgerReader, Result, SignedAct, erasure::check_nodes, index::SharedIndex, reader::Direction,
    reason::Reason,
};

/// What is to be erased.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Target {
    /// These entries.
    Events(Vec<EventId>),
    /// All of a scope before a position; [`LedgerReader::seq_at`] gives that of a time.
    Before {
        /// The scope.
        scope: Scope,
        /// The first position that stays.
        seq: u64,
    },
    /// All of a scope so far.
    Scope(Scope),
}

/// An erasure that was resolved and is not signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ErasurePlan {
    /// Entries of the log when it was resolved.
    pub size: u64,
    /// What is erased, scope by scope. Empty: all of it has been already.
    pub erasures: Vec<Erasure>,
    /// Entries that it erases.
    pub entries: u64,
    /// Key nodes that remain in each scope that it touches, and those that there are.
    pub nodes: Vec<NodesAfter>,
    /// Positions of the entries, the newest: the reason is compared with them.
    #[serde(skip)]
    newest: Vec<u64>,
}

/// Key nodes of a scope before and after an erasure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NodesAfter {
    /// The scope.
    pub scope: Scope,
    /// Nodes now.
    pub before: usize,
    /// Nodes then, at most 100,000.
    pub after: usize,
}

/// Ranges in one entry's `sys`, which has 16 KiB: a range has at most 24 characters.
pub(crate) const RANGES_PER_ACT: usize = 600;

impl ErasurePlan {
    /// Resolves what is to be erased. Entries whose secrets are gone already are left out; so is a prefix of which nothing is
    /// left but the erasures, which would otherwise never come to an end.
    ///
    /// # Errors
    /// `NotFound` for an event that is none; `Invalid` for the ledger's own entries, which are never erased, and for a
    /// scope without entries; `TooLarge` where more key nodes would remain than are kept, with advice.
    pub fn new(reader: &LedgerReader, target: &Target, request: Option<RequestId>) -> Result<Self> {
        let size = reader.refresh()?;
        let (cause, (pairs, newest)) = match target {
            Target::Events(ids) => (Cause::Redact, named(reader, ids)?),
            Target::Before { scope, seq } => (Cause::Retain, prefix(reader, Cause::Retain, scope, *seq)?),
            Target::Scope(scope) => (Cause::ForgetScope, prefix(reader, Cause::ForgetScope, scope, u64::MAX)?),
        };
        let mut plan = Self {
            size,
            erasures: Vec::new(),
            entries: 0,
            nodes: Vec::new(),
            newest,
        };
        for (scope, pairs) in pairs {
            plan.add(reader, cause, scope, pairs, request.as_ref())?;
        }
        Ok(plan)
    }

    /// Has the operator sign it, for the reason that is given: one act for each scope, or more where a scope has many
    /// ranges. [`Ledger::act`](crate::Ledger::act) does them, all or none.
    ///
    /// # Errors
    /// `Invalid` where the reason quotes what is to be erased, see [`check_reason`](Self::check_reason).
    pub fn sign(&self, reader: &LedgerReader, signer: &Signer, reason: &str) -> Result<Vec<SignedAct>> {
        self.check_reason(reader, reason)?;
        self.erasures
            .iter()
            .map(|erasure| {
                let act = SignedAct::sign(reader.origin(), self.size, Erasure::MEMBER, erasure, signer)?;
                Ok(act.because(reason))
            })
            .collect()
    }

    /// Refuses a reason that would keep what is erased: one that has five words in a row or twenty characters in a row in
    /// common with the text of an entry that is erased, or the whole of a text of six characters or more; case and
    /// whatever is neither letter nor digit do not count. What is encoded in it, as base64, in hexadecimal digits or behind
    /// percent signs, is compared too. The newest 10,000 of them are compared.
    pub fn check_reason(&self, reader: &LedgerReader, reason: &str) -> Result<()> {
        if reason.len() > limits::REASON_BYTES {
            let message = format!(
                "the reason has {} bytes; at most {} fit",
                reason.len(),
                limits::REASON_BYTES
            );
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        let reason = Reason::new(reason);
        for &seq in self.newest.iter().filter(|_| !reason.is_empty()) {
            // An operator's act has nothing but the reason of another.
            let event = reader
                .event(seq)?
                .filter(|event| matches!(Act::of(&event.envelope), Ok(None)));
            let Some(event) = event else { continue };
            if let Some(what) = event.body().and_then(|body| reason.quotes(body)) {
                let message = format!(
                    "the reason quotes what is to be erased: it has {what} in common with {}. The reason is kept: say it \
                     in other words",
                    event.envelope.id
                );
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        reader: &LedgerReader,
        cause: Cause,
        scope: Scope,
        pairs: Vec<[u32; 2]>,
        request: Option<&RequestId>,
    ) -> Result<()> {
        if scope == Scope::ledger() {
            let message = "entries of quipu:ledger are the ledger's own and are never erased";
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let keys = reader
            .state
            .keys
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(tree) = keys.trees.get(&scope) else {
            let message = format!("the file keys has no record of the scope {scope}: put back the newest one");
            return Err(Error::new(ErrorKind::Tampered, message));
        };
        // What is gone is gone. Within a stretch it may be named again, which costs nothing and keeps the stretch whole.
        let pairs = pairs.into_iter().filter(|[first, last]| match cause {
            Cause::Redact => tree.holds(*first),
            _ => tree.holds_any(*first, *last),
        });
        let ranges = Erasure::join(pairs);
        if ranges.is_empty() {
            return Ok(());
        }
        let (before, after) = (tree.nodes().len(), tree.nodes_after(&ranges));
        check_nodes(&scope, after)?;
        self.nodes.push(NodesAfter {
            scope: scope.clone(),
            before,
            after,
        });
        for ranges in ranges.chunks(RANGES_PER_ACT) {
            let erasure = Erasure {
                cause,
                ranges: ranges.to_vec(),
                request: request.cloned(),
                scope: scope.clone(),
            };
            self.entries += erasure.count();
            self.erasures.push(erasure);
        }
        if self.erasures.len() > limits::DRAFTS {
            let message = format!(
                "this takes {} acts, and at most {} are done together: erase in longer ranges, or in several steps",
                self.erasures.len(),
                limits::DRAFTS
            );
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        Ok(())
    }
}

/// What is to be erased, by scope, and positions of the newest of these entries.
type Resolved = (BTreeMap<Scope, Vec<[u32; 2]>>, Vec<u64>);

fn named(reader: &LedgerReader, ids: &[EventId]) -> Result<Resolved> {
    let (mut pairs, mut seqs) = (BTreeMap::<_, Vec<_>>::new(), Vec::new());
    for id in ids {
        let envelope = match reader.find(*id)? {
            Some(seq) => reader.envelope(seq)?,
            None => None,
        };
        let Some(envelope) = envelope else {
            let message = format!("{id} is not an entry of this ledger");
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        let pair = [envelope.nth, envelope.nth];
        pairs.entry(envelope.scope).or_default().push(pair);
        seqs.push(envelope.seq);
    }
    seqs.sort_unstable_by(|a, b| b.cmp(a));
    seqs.truncate(limits::REASON_ENTRIES);
    Ok((pairs, seqs))
}

/// All entries of a scope before a position; none where an erasure for this cause has left nothing but itself.
fn prefix(reader: &LedgerReader, cause: Cause, scope: &Scope, seq: u64) -> Result<Resolved> {
    if !reader.index().scopes.contains_key(scope) {
        let message = format!("there are no entries in the scope {scope}");
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    let index = &reader.state.index;
    let newest = index.select(scope, 0..seq, Direction::Backward, limits::REASON_ENTRIES)?;
    let last = newest.first().map(|&last| reader.envelope(last)).transpose()?.flatten();
    let last = last.map_or(0, |envelope| envelope.nth);
    let erasure = reader.all_erasures(scope, &reader.alive(scope, 0..=last))?;
    // Forgetting a scope does more than erasing it does: it gives the scope another root.
    let is_done = erasure.is_some_and(|erasure| cause != Cause::ForgetScope || erasure.cause == cause);
    let pair = (!newest.is_empty() && !is_done).then(|| (scope.clone(), vec![[0, last]]));
    Ok((pair.into_iter().collect(), newest))
}

//! The best facts so far.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use crate::{
    asking::Believed,
    facts::Fact,
    signals::Signal,
    statements::{Digest, signal_digest},
    tally::Tally,
};

/// What a fact is ranked by: the score, the confidence, when it was last stated, its newest statement. Bits of numbers
/// that are not negative rise with them.
type Rank = (u64, u64, u64, u64);

/// What may be told.
pub(crate) enum Candidate {
    Stated(Believed),
    Signal(Fact),
}

/// The best facts so far.
pub(crate) struct Best {
    limit: usize,
    heap: BinaryHeap<Reverse<(Rank, Digest)>>,
    believed: HashMap<Digest, Candidate>,
}

impl Best {
    /// None yet, and at most so many.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            heap: BinaryHeap::new(),
            believed: HashMap::new(),
        }
    }

    pub(crate) fn offer(&mut self, score: f64, fact: Digest, believed: Believed) {
        let rank = rank(score, &believed.tally);
        self.take(rank, fact, Candidate::Stated(believed));
    }

    pub(crate) fn signal(&mut self, score: f64, Signal { fact, newest, .. }: Signal) {
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

    pub(crate) fn is_full_of_better(&self, tally: &Tally) -> bool {
        let worst = self.heap.peek().filter(|_| self.heap.len() >= self.limit);
        worst.is_some_and(|Reverse((worst, _))| *worst >= rank(0.0, tally))
    }

    pub(crate) fn in_order(mut self) -> Vec<(Digest, Candidate)> {
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

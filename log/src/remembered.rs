//! Which entry an idempotency key was used for: the newest million of them.

use std::collections::{HashMap, VecDeque};

use quipu_format::{IdempotencyKey, limits};

use crate::{Result, index::Index};

pub(crate) struct Remembered {
    seqs: HashMap<IdempotencyKey, u64>,
    order: VecDeque<IdempotencyKey>,
    limit: usize,
}

impl Default for Remembered {
    fn default() -> Self {
        Self {
            seqs: HashMap::new(),
            order: VecDeque::new(),
            limit: limits::REMEMBERED_KEYS,
        }
    }
}

impl Remembered {
    /// The keys of the newest entries of a log.
    pub(crate) fn of(index: &Index) -> Result<Self> {
        let mut this = Self::default();
        let sealed = index.sealed();
        let mut from = sealed.len();
        let mut count = index.recent().keyed.len();
        while from > 0 && count < this.limit {
            from -= 1;
            count += sealed[from].keyed_count()?;
        }
        for segment in &sealed[from..] {
            for (key, seq) in segment.keyed()? {
                this.insert(key, seq);
            }
        }
        let recent = index.recent();
        for (key, number) in &recent.keyed {
            this.insert(*key, recent.first + u64::from(*number));
        }
        Ok(this)
    }

    pub(crate) fn get(&self, key: &IdempotencyKey) -> Option<u64> {
        self.seqs.get(key).copied()
    }

    /// Keys come in the order of their entries; the oldest is forgotten where there are too many.
    pub(crate) fn insert(&mut self, key: IdempotencyKey, seq: u64) {
        if self.seqs.insert(key, seq).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > self.limit
            && let Some(oldest) = self.order.pop_front()
        {
            self.seqs.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_limit_the_oldest_key_is_forgotten() {
        let mut remembered = Remembered {
            limit: 2,
            ..Remembered::default()
        };
        for i in 0..3 {
            remembered.insert(IdempotencyKey([i; 16]), u64::from(i));
        }
        assert_eq!(remembered.get(&IdempotencyKey([0; 16])), None);
        assert_eq!(remembered.get(&IdempotencyKey([1; 16])), Some(1));
        assert_eq!(remembered.get(&IdempotencyKey([2; 16])), Some(2));
    }
}

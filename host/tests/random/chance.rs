//! Numbers that a seed decides, and for how long to go on.

use std::time::{Duration, Instant};

/// SplitMix64: the same seed gives the same numbers on every machine.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below that number, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True once in so many times.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// How many seeds or calls, or for how long.
pub(crate) struct Until {
    seeds: u64,
    calls: u64,
    end: Option<Instant>,
}

impl Until {
    pub(crate) fn seeds(seeds: u64) -> Self {
        Self {
            seeds,
            calls: u64::MAX,
            end: None,
        }
    }

    /// `QUIPU_SEEDS` or `QUIPU_CALLS`, or `QUIPU_SECONDS` if there are none.
    pub(crate) fn told() -> Self {
        let many = |variable| Some(told(variable, 0)).filter(|many| *many > 0);
        let (seeds, calls) = (many("QUIPU_SEEDS"), many("QUIPU_CALLS"));
        let seconds = Duration::from_secs(told("QUIPU_SECONDS", 60));
        Self {
            seeds: seeds.unwrap_or(u64::MAX),
            calls: calls.unwrap_or(u64::MAX),
            end: seeds.or(calls).is_none().then(|| Instant::now() + seconds),
        }
    }

    /// After so many of each.
    pub(crate) fn goes_on(&self, seeds: u64, calls: u64) -> bool {
        seeds < self.seeds && calls < self.calls && self.end.is_none_or(|end| Instant::now() < end)
    }
}

/// What the environment says of how long to go on, as a number.
pub(crate) fn told(variable: &str, otherwise: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is no number")),
        Err(_) => otherwise,
    }
}

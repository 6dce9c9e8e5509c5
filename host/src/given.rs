//! Which entries a run's readers have given it.

use std::collections::BTreeMap;

use quipu_format::{Scope, limits};
use serde::Serialize;

use crate::QuipuCtx;

/// By scope, the first and last `nth` of each stretch of entries whose events were in an answer: rising, none touching
/// the next. It is the member `read` of a run's end. Where there would be more than [`limits::READ_RANGES`] stretches,
/// those of a scope become one, so that it says rather too much than too little.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct Given {
    scopes: BTreeMap<Scope, Vec<[u32; 2]>>,
    #[serde(skip)]
    ranges: usize,
}

impl Given {
    /// An entry was in an answer.
    pub(crate) fn add(&mut self, scope: &Scope, nth: u32) {
        let ranges = match self.scopes.get_mut(scope) {
            Some(ranges) => ranges,
            None => self.scopes.entry(scope.clone()).or_default(),
        };
        let before = ranges.len();
        // The first stretch that ends at `nth` or later, or just before it.
        let at = ranges.partition_point(|[_, last]| last.saturating_add(1) < nth);
        match ranges.get(at).copied() {
            Some([first, last]) if first <= nth.saturating_add(1) => {
                ranges[at] = [first.min(nth), last.max(nth)];
                if let Some(&[next, end]) = ranges.get(at + 1)
                    && next <= ranges[at][1].saturating_add(1)
                {
                    ranges[at][1] = end;
                    ranges.remove(at + 1);
                }
            }
            _ => ranges.insert(at, [nth, nth]),
        }
        self.ranges = self.ranges + ranges.len() - before;
        if self.ranges > limits::READ_RANGES
            && let Some(largest) = self.scopes.values_mut().max_by_key(|ranges| ranges.len())
            && let (Some([first, _]), Some([_, last])) = (largest.first().copied(), largest.last().copied())
        {
            self.ranges -= largest.len() - 1;
            *largest = vec![[first, last]];
        }
    }
}

impl Given {
    /// Whether an entry was in an answer; of a run that was given very many, also of some between them.
    #[cfg(feature = "recall")]
    pub(crate) fn has(&self, scope: &Scope, nth: u32) -> bool {
        let ranges = self.scopes.get(scope).map(Vec::as_slice).unwrap_or_default();
        let at = ranges.partition_point(|[_, last]| *last < nth);
        ranges.get(at).is_some_and(|[first, _]| *first <= nth)
    }
}

impl QuipuCtx {
    /// Takes note of what an answer gives to the run, and goes on with the answer.
    pub(crate) fn gives<T>(&mut self, scope: &Scope, answer: T, nths: &[u32]) -> T {
        nths.iter().for_each(|nth| self.given.add(scope, *nth));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(nths: &[u32]) -> Given {
        let mut given = Given::default();
        nths.iter().for_each(|nth| given.add(&Scope::new("a").unwrap(), *nth));
        given
    }

    #[test]
    fn what_touches_is_one_stretch_in_whatever_order_it_came() {
        let json = |nths: &[u32]| serde_json::to_string(&given(nths)).unwrap();
        assert_eq!(json(&[0, 1, 2, 7]), r#"{"a":[[0,2],[7,7]]}"#);
        assert_eq!(json(&[7, 2, 0, 1, 1]), r#"{"a":[[0,2],[7,7]]}"#);
        assert_eq!(json(&[9, 8, 7, 6]), r#"{"a":[[6,9]]}"#);
        assert_eq!(
            json(&[u32::MAX, 0, u32::MAX - 1]),
            r#"{"a":[[0,0],[4294967294,4294967295]]}"#
        );
        assert_eq!(serde_json::to_string(&Given::default()).unwrap(), "{}");
    }

    #[test]
    fn past_the_limit_it_says_too_much_and_not_too_little() {
        let most = limits::READ_RANGES as u32;
        let mut full = given(&(0..most).map(|i| i * 2).collect::<Vec<_>>());
        assert_eq!(full.scopes[&Scope::new("a").unwrap()].len(), limits::READ_RANGES);
        full.add(&Scope::new("b").unwrap(), 5);
        let expected = format!(r#"{{"a":[[0,{}]],"b":[[5,5]]}}"#, (most - 1) * 2);
        assert_eq!(serde_json::to_string(&full).unwrap(), expected);
        full.add(&Scope::new("b").unwrap(), 9);
        assert_eq!(full.ranges, 3);
    }
}

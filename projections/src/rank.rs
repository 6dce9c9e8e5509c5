//! How well a document answers: BM25 (Robertson and Zaragoza, 2009) of its own words and of those around it in its
//! conversation, with the statistics of what one view shows of one scope.
//!
//! A share is the part of the query's weight that a text has: the sum over the query's terms of
//! `idf × tf / (tf + K1 × (1 − B + B × length / mean length))`, divided by the sum of `idf`, where
//! `idf = ln(1 + (N − n + ½) / (n + ½))`. So it lies in 0 to 1 whatever a scope's size, and scores of different
//! scopes can stand in one list although nothing is counted across scopes.
//!
//! A turn of a conversation says little by itself: its score is its own share, with those of the turns around it and of
//! the whole session added as the weights below say. What is no turn has nothing around it; among such documents the
//! order is plain BM25's. The weights were tuned on conversations other than those they were measured on:
//! docs/BENCHMARKS.md.

use std::ops::RangeInclusive;

use crate::packing::{Place, Shape};

/// How soon a term's repetition stops to count: Anserini's value, for short texts, as is that of [`B`].
const K1: f64 = 0.9;
/// How much long documents are held back.
const B: f64 = 0.4;

/// Of the share of each of the two turns before and the two after.
const NEAR: f64 = 0.3;
/// Besides, of the share of the turn before, if that asks something: this is where it is answered.
const ANSWER: f64 = 0.4;
/// Of the session's share.
const SESSION: f64 = 0.3;
/// Of its own share, for what is no turn: as if what is around it said half as much, and the session the same.
const ALONE: f64 = 2.0 * NEAR + SESSION;
/// For a turn of somebody whom the query names.
pub(crate) const SPEAKER: f64 = 0.2;
/// For what is from the month that the query names, and again if it is from the day.
pub(crate) const DATE: f64 = 0.2;
/// The most that there can be. Scores are parts of it.
const MOST: f64 = 1.0 + 4.0 * NEAR + ANSWER + SESSION + SPEAKER + 2.0 * DATE;

/// The score of each document, by `nth`; 0 where neither it nor a turn around it has any of the terms. `extra` is added
/// to the others.
///
/// Sums run in the order of the terms, so equal states give equal bits.
pub(crate) fn scores(documents: &[Shape], terms: &[Vec<Place>], extra: impl Fn(usize) -> f64) -> Vec<f64> {
    let counts = Counts::of(documents);
    let idfs: Vec<_> = terms
        .iter()
        .map(|places| idf(counts.documents, places.len() as f64))
        .collect();
    let whole: f64 = idfs.iter().sum();

    let mut shares = vec![0.0; documents.len()];
    for (places, idf) in terms.iter().zip(&idfs) {
        for place in places {
            let at = place.nth as usize;
            if let (Some(document), Some(share)) = (documents.get(at), shares.get_mut(at)) {
                let long = f64::from(document.length()) / counts.mean_length;
                *share += idf * saturated(f64::from(place.times), long) / whole;
            }
        }
    }
    let mut scores = vec![0.0; documents.len()];
    let mut sessions = Sessions {
        counts,
        lists: terms.iter().map(Vec::as_slice).zip(idfs).collect(),
        whole,
    };
    let mut session = Vec::new();
    for (nth, document) in documents
        .iter()
        .enumerate()
        .filter(|(_, document)| document.is_document())
    {
        if !document.goes_on() {
            sessions.score(documents, &shares, &session, &mut scores);
            session.clear();
        }
        session.push(nth);
    }
    sessions.score(documents, &shares, &session, &mut scores);
    for (nth, score) in scores.iter_mut().enumerate().filter(|(_, score)| **score > 0.0) {
        *score = (*score + extra(nth)) / MOST;
    }
    scores
}

/// What is counted of a scope's documents.
struct Counts {
    documents: f64,
    mean_length: f64,
    /// Mean number of words of sessions with several turns.
    mean_session: f64,
}

impl Counts {
    fn of(documents: &[Shape]) -> Self {
        let (mut count, mut words) = (0_u64, 0_u64);
        let (mut sessions, mut session_words) = (0_u64, 0_u64);
        let (mut before, mut goes_on) = (0, false);
        for document in documents.iter().filter(|document| document.is_document()) {
            let length = u64::from(document.length());
            count += 1;
            words += length;
            if document.goes_on() {
                session_words += length + if goes_on { 0 } else { before };
                sessions += u64::from(!goes_on);
            }
            (before, goes_on) = (length, document.goes_on());
        }
        Self {
            documents: count as f64,
            mean_length: words as f64 / count as f64,
            mean_session: session_words as f64 / sessions as f64,
        }
    }
}

/// Scores sessions one after the other.
struct Sessions<'a> {
    counts: Counts,
    /// For each term where it is, from the session on that comes next, and its weight.
    lists: Vec<(&'a [Place], f64)>,
    whole: f64,
}

impl Sessions<'_> {
    /// Scores the documents of a session, by `nth`.
    fn score(&mut self, documents: &[Shape], shares: &[f64], session: &[usize], scores: &mut [f64]) {
        let share = |at: Option<usize>| at.and_then(|at| shares.get(*session.get(at)?)).copied().unwrap_or(0.0);
        let (Some(&first), Some(&last)) = (session.first(), session.last()) else {
            return;
        };
        if first == last {
            if let Some(score) = scores.get_mut(first) {
                *score = share(Some(0)) * (1.0 + ALONE);
            }
            return;
        }
        if (0..session.len()).all(|at| share(Some(at)) == 0.0) {
            return;
        }
        let of_session = SESSION * self.share(documents, session, first..=last);
        for (at, &nth) in session.iter().enumerate() {
            let asked = session
                .get(at.wrapping_sub(1))
                .and_then(|&before| documents.get(before));
            let before = share(at.checked_sub(1));
            let near = share(at.checked_sub(2)) + before + share(Some(at + 1)) + share(Some(at + 2));
            let answer = if asked.is_some_and(|before| before.asks()) {
                before
            } else {
                0.0
            };
            let said = share(Some(at)) + NEAR * near + ANSWER * answer;
            if let Some(score) = scores.get_mut(nth).filter(|_| said > 0.0) {
                *score = said + of_session;
            }
        }
    }

    /// The share that a session has as one text. Those before it are over.
    fn share(&mut self, documents: &[Shape], session: &[usize], nths: RangeInclusive<usize>) -> f64 {
        let lengths = session
            .iter()
            .filter_map(|&nth| documents.get(nth))
            .map(|document| document.length());
        let long = lengths.map(f64::from).sum::<f64>() / self.counts.mean_session;
        let mut share = 0.0;
        for (places, idf) in &mut self.lists {
            let mut times = 0.0;
            while let Some((place, rest)) = places.split_first()
                && place.nth as usize <= *nths.end()
            {
                if place.nth as usize >= *nths.start() {
                    times += f64::from(place.times);
                }
                *places = rest;
            }
            if times > 0.0 {
                share += *idf * saturated(times, long) / self.whole;
            }
        }
        share
    }
}

/// What a term counts that a text has so many times; `long` is the text's length, of the mean.
fn saturated(times: f64, long: f64) -> f64 {
    times / (times + K1 * (1.0 - B + B * long))
}

fn idf(count: f64, with_term: f64) -> f64 {
    ((count - with_term + 0.5) / (with_term + 0.5)).ln_1p()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A document: its words, whether it asks, and whether it goes on with a conversation.
    type Plain = (Vec<u8>, bool, bool);

    /// What the head of this file says, document by document, from the words themselves.
    fn naive(documents: &[Option<Plain>], query: &[u8]) -> Vec<f64> {
        let mut sessions: Vec<Vec<usize>> = Vec::new();
        for (nth, (_, _, on)) in documents
            .iter()
            .enumerate()
            .filter_map(|(nth, d)| Some((nth, d.as_ref()?)))
        {
            match sessions.last_mut().filter(|_| *on) {
                Some(session) => session.push(nth),
                None => sessions.push(vec![nth]),
            }
        }
        let words = |session: &[usize]| -> Vec<u8> {
            session
                .iter()
                .flat_map(|&nth| documents[nth].clone().unwrap().0)
                .collect()
        };
        let mean = |lengths: Vec<usize>| lengths.iter().sum::<usize>() as f64 / lengths.len() as f64;
        let shown: Vec<_> = documents.iter().flatten().collect();
        let mean_document = mean(shown.iter().map(|d| d.0.len()).collect());
        let mean_session = mean(
            sessions
                .iter()
                .filter(|s| s.len() > 1)
                .map(|s| words(s).len())
                .collect(),
        );
        let idf = |word: u8| {
            let df = shown.iter().filter(|d| d.0.contains(&word)).count() as f64;
            (1.0 + (shown.len() as f64 - df + 0.5) / (df + 0.5)).ln()
        };
        let share = |text: &[u8], mean: f64| {
            let most: f64 = query.iter().map(|&word| idf(word)).sum();
            let of = |word: u8| {
                let tf = text.iter().filter(|&&w| w == word).count() as f64;
                let norm = 0.9 * (1.0 - 0.4 + 0.4 * text.len() as f64 / mean);
                if tf == 0.0 { 0.0 } else { idf(word) * tf / (tf + norm) }
            };
            query.iter().map(|&word| of(word)).sum::<f64>() / most
        };
        let mut scores = vec![0.0; documents.len()];
        for session in sessions {
            let own = |at: i64| {
                let nth = usize::try_from(at).ok().and_then(|at| session.get(at));
                nth.map_or(0.0, |&nth| share(&words(&[nth]), mean_document))
            };
            let whole = if session.len() > 1 {
                share(&words(&session), mean_session)
            } else {
                0.0
            };
            for (at, &nth) in (0_i64..).zip(&session) {
                let asked = at > 0 && documents[session[at as usize - 1]].as_ref().unwrap().1;
                let around = 0.3 * (own(at - 2) + own(at - 1) + own(at + 1) + own(at + 2));
                let answer = if asked { 0.4 * own(at - 1) } else { 0.0 };
                let said = own(at) + around + answer;
                let alone = if session.len() == 1 { 0.9 * own(at) } else { 0.3 * whole };
                if said > 0.0 {
                    scores[nth] = (said + alone) / 3.5;
                }
            }
        }
        scores
    }

    proptest! {
        #[test]
        fn scores_are_those_of_a_naive_computation(
            documents in prop::collection::vec(
                prop::option::weighted(0.8, (prop::collection::vec(0_u8..12, 0..20), any::<bool>(), any::<bool>())), 0..30
            ),
            query in prop::collection::btree_set(0_u8..14, 1..6),
        ) {
            let (mut documents, query) = (documents, query.into_iter().collect::<Vec<_>>());
            // There is nothing that the first could go on with.
            if let Some((.., on)) = documents.iter_mut().flatten().next() {
                *on = false;
            }
            let shape = |d: &Option<Plain>| match d {
                Some((words, asks, on)) => Shape::new(words.len() as u32, *asks).going_on(*on),
                None => Shape::NONE,
            };
            let shapes: Vec<_> = documents.iter().map(shape).collect();
            let places = |word: &u8| {
                let times = |d: &Plain| d.0.iter().filter(|w| *w == word).count() as u16;
                let all = documents.iter().enumerate().map(|(at, d)| (at, d.as_ref().map_or(0, times)));
                all.filter(|(_, times)| *times > 0).map(|(at, times)| Place { nth: at as u32, times }).collect()
            };
            let ours = scores(&shapes, &query.iter().map(places).collect::<Vec<_>>(), |_| 0.0);
            for (ours, naive) in ours.iter().zip(naive(&documents, &query)) {
                prop_assert!((ours - naive).abs() < 1e-12 && (0.0..1.0).contains(ours), "{ours} {naive}");
            }
        }
    }

    #[test]
    fn nothing_to_rank_is_no_error() {
        assert!(scores(&[], &[Vec::new()], |_| 0.0).is_empty());
        assert_eq!(scores(&[Shape::new(0, false)], &[], |_| 0.0), [0.0]);
    }

    #[test]
    fn the_weights_are_those_of_the_naive_computation() {
        assert!((MOST - 3.5).abs() < 1e-12 && (ALONE - 0.9).abs() < 1e-12);
    }
}

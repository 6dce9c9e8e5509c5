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

use std::{cell::Cell, ops::Range};

use crate::{
    error::Result,
    packing::Shape,
    places::{Cursor, Places},
};

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
/// For what means the same as the query.
pub(crate) const MEANING: f64 = 0.5;
/// The most that is said by a document and what is around it, of a share that all of it has.
const SAID: f64 = 1.0 + 4.0 * NEAR + ANSWER + SESSION;
/// The most that there can be. Scores are parts of it.
pub(crate) const MOST: f64 = SAID + SPEAKER + 2.0 * DATE;

/// Gives `found` the `nth` and the score of each document of which a turn, or one around it, has any of the terms, by
/// rising `nth`. `extra` is added to what a document scores, `most_extra` at most. Sessions of which nothing can score as
/// much as `least` says by then are passed over; returns whether some were.
///
/// Sums run in the order of the terms, so equal states give equal bits.
pub(crate) fn scores(
    documents: &[Shape],
    terms: &[Places],
    (extra, most_extra): (impl Fn(usize) -> f64, f64),
    least: &Cell<f64>,
    mut found: impl FnMut(usize, f64),
) -> Result<bool> {
    let counts = Counts::of(documents);
    let idfs = terms.iter().map(|places| idf(counts.documents, places.count() as f64));
    let idfs: Vec<_> = idfs.collect();
    let whole: f64 = idfs.iter().sum();
    let lists = terms.iter().zip(idfs);
    let mut session = Session {
        counts,
        lists: lists.map(|(places, idf)| (places.cursor(), idf / whole)).collect(),
        shares: Vec::new(),
        turns: Vec::new(),
    };
    let mut passed = false;
    // Only sessions that have a term are looked at.
    while let Some(at) = session.next() {
        let before = documents.get(..=at).unwrap_or_default();
        let start = before.iter().rposition(|document| document.begins()).unwrap_or(at);
        let behind = documents.get(at + 1..).unwrap_or_default();
        let end = behind.iter().position(|document| document.begins());
        let end = end.map_or(documents.len().max(at + 1), |more| at + 1 + more);
        if session.bound(end, most_extra) < least.get() {
            session.pass(end);
            passed = true;
            continue;
        }
        session.score(documents, start..end, |nth, score| {
            found(nth, (score + extra(nth)) / MOST);
        });
    }
    session.lists.into_iter().try_for_each(|(cursor, _)| cursor.end())?;
    Ok(passed)
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
struct Session<'a> {
    counts: Counts,
    /// For each term where it is, from the session on that comes next, and its part of the query's weight.
    lists: Vec<(Cursor<'a>, f64)>,
    /// Of each document of a session its share.
    shares: Vec<f64>,
    /// The shares of those that there are, between two zeros before and two behind, for what is around them.
    turns: Vec<f64>,
}

impl Session<'_> {
    /// The next document that has a term.
    fn next(&self) -> Option<usize> {
        let places = self.lists.iter().filter_map(|(cursor, _)| cursor.place);
        places.map(|place| place.nth as usize).min()
    }

    /// No document of a session that ends before `end` scores more: not if each of its turns had all terms of the session
    /// as often as can be.
    fn bound(&self, end: usize, extra: f64) -> f64 {
        let there = self.lists.iter().filter(|(cursor, _)| cursor.is_before(end));
        let share: f64 = there.map(|(_, weight)| weight).sum();
        // Sums of other orders differ in their last bits.
        (share * SAID + extra) / MOST * (1.0 + 1e-9)
    }

    /// Passes over a session.
    fn pass(&mut self, end: usize) {
        for (cursor, _) in &mut self.lists {
            while cursor.is_before(end) {
                cursor.advance();
            }
        }
    }

    /// Scores the documents of a session, by `nth`. Those before it are over.
    fn score(&mut self, documents: &[Shape], nths: Range<usize>, mut found: impl FnMut(usize, f64)) {
        let of_session = documents.get(nths.clone()).unwrap_or_default();
        let there = || {
            (nths.start..)
                .zip(of_session)
                .filter(|(_, document)| document.is_document())
        };
        let per_document = 1.0 / self.counts.mean_length;
        let per_session = 1.0 / self.counts.mean_session;
        let length: f64 = there().map(|(_, document)| f64::from(document.length())).sum();
        self.shares.clear();
        self.shares.resize(nths.len(), 0.0);
        let mut whole = 0.0;
        for (cursor, weight) in &mut self.lists {
            let mut times = 0.0;
            while let Some(place) = cursor.place.filter(|place| (place.nth as usize) < nths.end) {
                let at = (place.nth as usize).wrapping_sub(nths.start);
                if let (Some(document), Some(share)) = (of_session.get(at), self.shares.get_mut(at)) {
                    let of_place = f64::from(place.times);
                    *share += *weight * saturated(of_place, f64::from(document.length()) * per_document);
                    times += of_place;
                }
                cursor.advance();
            }
            if times > 0.0 {
                whole += *weight * saturated(times, length * per_session);
            }
        }
        self.turns.clear();
        self.turns.extend([0.0; 2]);
        let shares = self.shares.iter().zip(of_session);
        self.turns.extend(
            shares
                .filter(|(_, document)| document.is_document())
                .map(|(share, _)| share),
        );
        if let [_, _, alone] = self.turns[..] {
            if let Some((nth, _)) = there().next().filter(|_| alone > 0.0) {
                found(nth, alone * (1.0 + ALONE));
            }
            return;
        }
        self.turns.extend([0.0; 2]);
        let mut asked = false;
        for ((nth, document), around) in there().zip(self.turns.windows(5)) {
            let &[second, before, own, after, next] = around else {
                continue;
            };
            let answer = if asked { before } else { 0.0 };
            let said = own + NEAR * (second + before + after + next) + ANSWER * answer;
            if said > 0.0 {
                found(nth, said + SESSION * whole);
            }
            asked = document.asks();
        }
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
    use crate::packing::{Place, put_place};

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
            block in 0_u32..40,
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
                let all = all.filter(|(_, times)| *times > 0).map(|(at, times)| Place { nth: at as u32, times });
                // Those of the blocks packed, the others not.
                let (in_block, behind): (Vec<_>, Vec<_>) = all.partition(|place| place.nth < block);
                let (mut places, mut packed, mut next) = (Places::default(), Vec::new(), 0);
                for place in &in_block {
                    put_place(&mut packed, *place, next);
                    next = place.nth + 1;
                }
                places.add_list(0, in_block.len() as u32, &packed);
                behind.into_iter().for_each(|place| places.push(place));
                places
            };
            let terms: Vec<_> = query.iter().map(places).collect();
            let mut ours = vec![0.0; documents.len()];
            let least = Cell::new(0.0);
            scores(&shapes, &terms, (|_| 0.0, 0.0), &least, |nth, score| ours[nth] = score).unwrap();
            // What is passed over is what would not have counted.
            let bound = ours.get(block as usize).copied().unwrap_or(0.3);
            let (least, mut pruned) = (Cell::new(bound), ours.clone());
            pruned.iter_mut().filter(|score| **score > 0.0 && **score >= bound).for_each(|score| *score = -1.0);
            scores(&shapes, &terms, (|_| 0.0, 0.0), &least, |nth, score| pruned[nth] = score).unwrap();
            prop_assert_eq!(&ours, &pruned);
            for (ours, naive) in ours.iter().zip(naive(&documents, &query)) {
                prop_assert!((ours - naive).abs() < 1e-12 && (0.0..1.0).contains(ours), "{ours} {naive}");
            }
        }
    }

    #[test]
    fn nothing_to_rank_is_no_error() {
        let mut found = Vec::new();
        let least = Cell::new(0.0);
        scores(&[], &[Places::default()], (|_| 0.0, 0.0), &least, |nth, _| {
            found.push(nth)
        })
        .unwrap();
        scores(&[Shape::new(0, false)], &[], (|_| 0.0, 0.0), &least, |nth, _| {
            found.push(nth)
        })
        .unwrap();
        assert!(found.is_empty());
    }

    #[test]
    fn the_weights_are_those_of_the_naive_computation() {
        assert!((MOST - 3.5).abs() < 1e-12 && (ALONE - 0.9).abs() < 1e-12);
    }
}

//! BM25 (Robertson and Zaragoza, 2009), with the statistics of what one view shows of one scope.
//!
//! A score is the share of the query's weight that a document has: the sum over the query's terms of
//! `idf × tf / (tf + K1 × (1 − B + B × length / mean length))`, divided by the sum of `idf`, where
//! `idf = ln(1 + (N − n + ½) / (n + ½))`. So it lies in 0 to 1 whatever a scope's size, and scores of different
//! scopes can stand in one list although nothing is counted across scopes. Within a scope the order is plain BM25's.

use crate::packing::{Outline, Place};

/// How soon a term's repetition stops to count: Anserini's value, for short texts, as is that of [`B`].
const K1: f64 = 0.9;
/// How much long documents are held back.
const B: f64 = 0.4;

/// The score of each document, by `nth`; 0 where it has none of the terms.
///
/// Sums run in the order of the terms, so equal states give equal bits.
pub(crate) fn scores(documents: &[Option<Outline>], terms: &[Vec<Place>]) -> Vec<f64> {
    let (mut count, mut words) = (0.0, 0.0);
    for document in documents.iter().flatten() {
        count += 1.0;
        words += f64::from(document.length);
    }
    let mean_length = words / count;
    let idfs: Vec<_> = terms.iter().map(|places| idf(count, places.len() as f64)).collect();
    let whole: f64 = idfs.iter().sum();

    let mut scores = vec![0.0; documents.len()];
    for (places, idf) in terms.iter().zip(&idfs) {
        for place in places {
            let at = place.nth as usize;
            if let (Some(Some(document)), Some(score)) = (documents.get(at), scores.get_mut(at)) {
                let times = f64::from(place.times);
                let long = 1.0 - B + B * f64::from(document.length) / mean_length;
                *score += idf * times / (times + K1 * long) / whole;
            }
        }
    }
    scores
}

fn idf(count: f64, with_term: f64) -> f64 {
    ((count - with_term + 0.5) / (with_term + 0.5)).ln_1p()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// BM25 as its paper writes it, document by document, from the words themselves.
    fn naive(documents: &[Option<Vec<u8>>], query: &[u8]) -> Vec<f64> {
        let shown: Vec<_> = documents.iter().flatten().collect();
        let n = shown.len() as f64;
        let mean = shown.iter().map(|d| d.len() as f64).sum::<f64>() / n;
        let idf = |word: u8| {
            let df = shown.iter().filter(|d| d.contains(&word)).count() as f64;
            (1.0 + (n - df + 0.5) / (df + 0.5)).ln()
        };
        let most: f64 = query.iter().map(|&word| idf(word) * (0.9 + 1.0)).sum();
        let score = |document: &Vec<u8>| {
            query.iter().fold(0.0, |sum, &word| {
                let tf = document.iter().filter(|&&w| w == word).count() as f64;
                let norm = 0.9 * (1.0 - 0.4 + 0.4 * document.len() as f64 / mean);
                if tf == 0.0 {
                    sum
                } else {
                    sum + idf(word) * tf * (0.9 + 1.0) / (tf + norm)
                }
            })
        };
        documents
            .iter()
            .map(|d| d.as_ref().map_or(0.0, |d| score(d) / most))
            .collect()
    }

    fn outline(at: usize, words: &[u8]) -> Outline {
        Outline {
            nth: at as u32,
            seq: at as u64,
            length: words.len() as u32,
            time_ms: 0,
            expires_ms: u64::MAX,
        }
    }

    proptest! {
        #[test]
        fn scores_are_those_of_a_naive_computation(
            documents in prop::collection::vec(prop::option::of(prop::collection::vec(0_u8..12, 0..20)), 0..30),
            query in prop::collection::btree_set(0_u8..14, 1..6),
        ) {
            let query: Vec<_> = query.into_iter().collect();
            let outlines: Vec<_> =
                documents.iter().enumerate().map(|(at, d)| d.as_ref().map(|d| outline(at, d))).collect();
            let places = |word: &u8| {
                let times = |d: &Vec<u8>| d.iter().filter(|w| *w == word).count() as u16;
                let all = documents.iter().enumerate().map(|(at, d)| (at, d.as_ref().map_or(0, times)));
                all.filter(|(_, times)| *times > 0).map(|(at, times)| Place { nth: at as u32, times }).collect()
            };
            let ours = scores(&outlines, &query.iter().map(places).collect::<Vec<_>>());
            for (ours, naive) in ours.iter().zip(naive(&documents, &query)) {
                prop_assert!((ours - naive).abs() < 1e-12 && (0.0..1.0).contains(ours), "{ours} {naive}");
            }
        }
    }

    #[test]
    fn nothing_to_rank_is_no_error() {
        assert!(scores(&[], &[Vec::new()]).is_empty());
        assert_eq!(scores(&[Some(outline(0, &[]))], &[]), [0.0]);
    }
}

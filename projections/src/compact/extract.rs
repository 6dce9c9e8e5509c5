//! The sentences of a conversation that say the most, by what its words tell and nothing else: no model, and whole numbers
//! alone, so that the same turns give the same sentences on any machine.

use std::collections::{BTreeSet, HashMap, HashSet};

use unicode_segmentation::UnicodeSegmentation;

use crate::text::{Analyzer, is_function_word, words};

/// A sentence of a turn.
#[derive(Debug, Clone)]
pub(crate) struct Sentence {
    /// As it was said.
    pub(crate) text: String,
    /// The number of its turn.
    pub(crate) turn: usize,
    stems: BTreeSet<String>,
    words: u64,
    bonus: u64,
}

/// Times a word counts: what everybody says over and over tells little more.
const TIMES: u64 = 6;
/// Words that every sentence is taken to have besides its own, so that short ones do not win by being short.
const EVEN_WORDS: u64 = 6;
/// Fewer words with content of their own say nothing by themselves.
const LEAST_STEMS: usize = 3;

/// The sentences of a turn.
pub(crate) fn sentences(text: &str, turn: usize, analyzer: &mut Analyzer) -> Vec<Sentence> {
    let parts = text.split('\n').flat_map(|line| line.unicode_sentences());
    let parts = parts.map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
    let parts = parts.filter(|part| !part.is_empty());
    parts.map(|text| Sentence::new(text, turn, analyzer)).collect()
}

impl Sentence {
    /// A text that is one sentence.
    pub(crate) fn new(text: String, turn: usize, analyzer: &mut Analyzer) -> Self {
        let all: Vec<_> = words(&text).collect();
        let stems = all.iter().filter(|word| !is_function_word(word));
        let stems: BTreeSet<_> = stems.map(|word| analyzer.stem(word).to_string()).collect();
        // Numbers, dates and names are what is asked for later; what asks says nothing yet.
        let names = text.split(' ').skip(1).filter(|word| {
            let mut chars = word.chars();
            chars.next().is_some_and(char::is_uppercase) && chars.next().is_some_and(char::is_lowercase)
        });
        let numbers = all.iter().filter(|word| word.contains(|c: char| c.is_ascii_digit()));
        let bonus = (names.count() + numbers.count()).min(4) as u64;
        let (words, asks) = (all.len() as u64, text.contains(['?', '\u{ff1f}', '\u{61f}']));
        Self {
            turn,
            words,
            bonus: if asks { 0 } else { 1 + bonus },
            stems,
            text,
        }
    }
}

/// As many of the best sentences as fit, in their order. Each next one is the best besides those that were taken: a word
/// that was said counts for a quarter from then on.
pub(crate) fn best(all: Vec<Sentence>, bytes: usize) -> Vec<Sentence> {
    // Stems by number: each is asked for over and over.
    let mut numbers = HashMap::<&str, usize>::new();
    let mut weights = Vec::<u64>::new();
    let mut stems = Vec::with_capacity(all.len());
    for sentence in &all {
        let numbered = sentence.stems.iter().map(|stem| {
            let new = numbers.len();
            let number = *numbers.entry(stem).or_insert(new);
            weights.resize(numbers.len(), 0);
            weights[number] += 1;
            number
        });
        stems.push(numbered.collect::<Vec<_>>());
    }
    weights
        .iter_mut()
        .for_each(|weight| *weight = (*weight).min(TIMES) * 64);
    // What is said again is said once.
    let mut said = HashSet::new();
    let mut left: Vec<_> = all
        .iter()
        .zip(&stems)
        .enumerate()
        .filter(|(_, (sentence, stems))| stems.len() >= LEAST_STEMS && said.insert(&*sentence.text))
        .collect();
    let (mut taken, mut room) = (BTreeSet::new(), bytes);
    loop {
        left.retain(|(_, (sentence, _))| sentence.text.len() < room);
        let score = |sentence: &Sentence, stems: &[usize]| {
            let sum: u64 = stems.iter().map(|stem| weights[*stem]).sum();
            sum * (4 + sentence.bonus) / (sentence.words + EVEN_WORDS)
        };
        // Of equal ones the first.
        let best = left
            .iter()
            .enumerate()
            .max_by_key(|(at, (_, (sentence, stems)))| (score(sentence, stems), usize::MAX - at));
        let Some((at, _)) = best else { break };
        let (nth, (sentence, stems)) = left.remove(at);
        stems.iter().for_each(|stem| weights[*stem] /= 4);
        room -= sentence.text.len() + 1;
        taken.insert(nth);
    }
    let numbered = all.into_iter().enumerate();
    numbered
        .filter(|(nth, _)| taken.contains(nth))
        .map(|(_, sentence)| sentence)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tells_most_is_taken_and_nothing_twice() {
        let mut analyzer = Analyzer::new();
        let turns = [
            "Hi there! How are you?",
            "We moved the invoices of Acme to CSV exports on 12 March.",
            "Great.",
            "Yes, the invoices of Acme moved to CSV exports.",
            "The deploy of the billing service failed with error 502 in Frankfurt.",
        ];
        let all = turns
            .iter()
            .zip(0..)
            .flat_map(|(text, turn)| sentences(text, turn, &mut analyzer));
        let best = best(all.collect(), 140);
        let best: Vec<_> = best.iter().map(|sentence| sentence.turn).collect();
        assert_eq!(best, [1, 4]);
    }

    #[test]
    fn nothing_is_taken_where_nothing_is_said_or_fits() {
        let mut analyzer = Analyzer::new();
        assert!(best(sentences("Hm. Ok! 🎉 …", 0, &mut analyzer), 1_000).is_empty());
        assert!(best(sentences("Rosa paints large murals in Lisbon.", 0, &mut analyzer), 20).is_empty());
        assert!(best(Vec::new(), 0).is_empty());
    }
}

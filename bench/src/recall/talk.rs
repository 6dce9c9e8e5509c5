//! Conversations that nobody had: words as rare and as common as in English (Zipf), turns of 8 to 24 words, 20 turns a
//! session. The same in each run.

use quipu_format::{Actor, Body, Kind, Scope, Source};
use quipu_log::Draft;
use serde_json::json;

use crate::{Result, payload::Random};

/// Different words.
const WORDS: usize = 30_000;
/// Turns of a session.
const SESSION: usize = 20;
/// The most common words, which carry nothing.
const FUNCTION_WORDS: [&str; 12] = [
    "the", "to", "and", "a", "of", "i", "in", "it", "you", "that", "was", "for",
];

/// Makes the turns of many scopes, session by session, and questions about them.
pub(crate) struct Talk {
    random: Random,
    scopes: usize,
    turns: usize,
    /// For each word, the weights of it and of all before it.
    weights: Vec<f64>,
}

impl Talk {
    pub(crate) fn new(scopes: usize) -> Self {
        let mut sum = 0.0;
        let weights = (0..WORDS).map(|rank| {
            sum += 1.0 / (rank as f64 + 2.7);
            sum
        });
        Self {
            random: Random::new(7),
            scopes,
            turns: 0,
            weights: weights.collect(),
        }
    }

    /// The next turn: 20 in one scope, then 20 in the next.
    pub(crate) fn next(&mut self) -> Result<Draft> {
        let session = self.turns / SESSION;
        let scope = session % self.scopes;
        let speaker = ["Ann", "Ben"][self.turns % 2];
        let length = 8 + self.random.below(17);
        let text: Vec<_> = (0..length).map(|_| self.word(0)).collect();
        let source: Source = serde_json::from_value(json!({
            "channel": "bench", "conversationId": format!("talk-{scope}"), "session": session, "speaker": speaker,
        }))?;
        let body = Body::new(Some(source), &json!({ "text": text.join(" ") }).to_string())?;
        self.turns += 1;
        Ok(Draft::new(
            Self::scope(scope)?,
            Actor::new("tool:bench")?,
            Kind::new("message")?,
            body,
        ))
    }

    /// What somebody might ask about a scope: four words as common as those of the turns.
    pub(crate) fn question(&mut self) -> Result<(Scope, String)> {
        let scope = Self::scope(self.random.below(self.scopes))?;
        let words: Vec<_> = (0..4).map(|_| self.word(FUNCTION_WORDS.len())).collect();
        Ok((scope, format!("What did Ann say to Ben about the {}?", words.join(" "))))
    }

    fn scope(number: usize) -> Result<Scope> {
        Ok(Scope::new(&format!("bench:{number}"))?)
    }

    /// A word, not one of the `skipped` most common.
    fn word(&mut self, skipped: usize) -> String {
        let below = skipped
            .checked_sub(1)
            .and_then(|last| self.weights.get(last))
            .copied()
            .unwrap_or(0.0);
        let whole = self.weights.last().copied().unwrap_or(1.0);
        let at = below + (whole - below) * (self.random.below(1 << 53) as f64 / (1_u64 << 53) as f64);
        let rank = self.weights.partition_point(|sum| *sum <= at);
        FUNCTION_WORDS
            .get(rank)
            .map_or_else(|| spelt(rank), |word| (*word).to_owned())
    }
}

/// A word of its own for each number.
fn spelt(mut number: usize) -> String {
    const SYLLABLES: [&str; 16] = [
        "ba", "do", "fi", "gu", "ka", "lo", "mi", "nu", "pa", "ro", "si", "tu", "va", "xo", "zi", "wu",
    ];
    let mut word = String::new();
    while number > 0 {
        word.push_str(SYLLABLES[number % SYLLABLES.len()]);
        number /= SYLLABLES.len();
    }
    word + "k"
}

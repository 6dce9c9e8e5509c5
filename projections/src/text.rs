//! From text to the words that are indexed and looked for.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use rust_stemmers::{Algorithm, Stemmer};
use unicode_segmentation::UnicodeSegmentation;

use crate::{irregular, limits};

/// Reduces words to the stems that are indexed.
pub(crate) struct Analyzer {
    stemmer: Stemmer,
    /// Stems of words that have come up: people say the same ones over and over.
    known: HashMap<Box<str>, Arc<str>, foldhash::fast::RandomState>,
}

/// Words whose stems are remembered.
const KNOWN_WORDS: usize = 65_536;

impl Analyzer {
    pub(crate) fn new() -> Self {
        Self {
            stemmer: Stemmer::create(Algorithm::English),
            known: HashMap::default(),
        }
    }

    /// The stem of a word that [`words`] gave: of English ones Snowball's, of others the word.
    pub(crate) fn stem(&mut self, word: &str) -> Arc<str> {
        if let Some(stem) = self.known.get(word) {
            return stem.clone();
        }
        if self.known.len() >= KNOWN_WORDS {
            self.known.clear();
        }
        // The stemmer is for English, and what is not ASCII is not.
        let stem: Arc<str> = if word.is_ascii() {
            self.stemmer.stem(irregular::base(word)).into()
        } else {
            word.into()
        };
        self.known.insert(word.into(), stem.clone());
        stem
    }

    /// The different stems that a query looks for. Words without content of their own ("the", "who") are looked for
    /// only where the query has no others.
    pub(crate) fn query(&mut self, text: &str) -> Vec<String> {
        let (mut content, mut function) = (Distinct::default(), Distinct::default());
        for word in words(beginning(text, limits::QUERY_BYTES)) {
            let kept = if is_function_word(&word) {
                &mut function
            } else {
                &mut content
            };
            kept.push(&self.stem(&word));
        }
        let Distinct { mut stems, .. } = if content.stems.is_empty() { function } else { content };
        stems.truncate(limits::QUERY_WORDS);
        stems
    }
}

#[derive(Default)]
struct Distinct {
    seen: HashSet<String>,
    stems: Vec<String>,
}

impl Distinct {
    fn push(&mut self, stem: &str) {
        if !self.seen.contains(stem) {
            self.seen.insert(stem.to_owned());
            self.stems.push(stem.to_owned());
        }
    }
}

/// At most `bytes` of a text, ending between two characters.
pub(crate) fn beginning(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

/// The lower-cased words of a text (Unicode Standard Annex 29). The standard keeps `snake_case`, `example.com` and
/// `12:30` whole; people look for their parts.
pub(crate) fn words(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let (ascii, other) = match text.is_ascii() {
        true => (Some(ascii_words(text)), None),
        false => (None, Some(unicode_words(text))),
    };
    ascii
        .into_iter()
        .flatten()
        .chain(other.into_iter().flatten())
        .map(|word| {
            let word = beginning(word, limits::WORD_BYTES);
            match word.is_ascii() {
                true if word.bytes().any(|byte| byte.is_ascii_uppercase()) => word.to_ascii_lowercase().into(),
                true => word.into(),
                false => straight_apostrophes(word).to_lowercase().into(),
            }
        })
}

fn unicode_words(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.unicode_words().flat_map(|word| word.split(['_', '.', ':']));
    parts.filter(|word| !word.is_empty())
}

/// What [`unicode_words`] gives of a text that is ASCII, several times as fast: runs of letters and digits, over an
/// apostrophe between two letters, and over `'`, `,` and `;` between two digits.
fn ascii_words(text: &str) -> impl Iterator<Item = &str> {
    let bytes = text.as_bytes();
    let at = |i: usize| bytes.get(i).copied().unwrap_or(b' ');
    let mut next = 0;
    std::iter::from_fn(move || {
        let start = next + bytes.get(next..)?.iter().position(u8::is_ascii_alphanumeric)?;
        next = start;
        loop {
            next += 1;
            let joins = match at(next) {
                byte if byte.is_ascii_alphanumeric() => true,
                b'\'' if at(next - 1).is_ascii_alphabetic() => at(next + 1).is_ascii_alphabetic(),
                b'\'' | b',' | b';' => at(next - 1).is_ascii_digit() && at(next + 1).is_ascii_digit(),
                _ => false,
            };
            if !joins {
                return text.get(start..next);
            }
        }
    })
}

/// The stemmer knows `'s` by the typewriter's apostrophe alone.
fn straight_apostrophes(word: &str) -> Cow<'_, str> {
    if word.contains('\u{2019}') {
        word.replace('\u{2019}', "'").into()
    } else {
        word.into()
    }
}

pub(crate) fn is_function_word(word: &str) -> bool {
    FUNCTION_WORDS.binary_search(&word).is_ok()
}

/// Articles, pronouns, prepositions, auxiliaries and question words, sorted.
const FUNCTION_WORDS: &[&str] = &[
    "a", "about", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can", "could", "did", "do",
    "does", "for", "from", "had", "has", "have", "he", "her", "hers", "him", "his", "how", "i", "if", "in", "into",
    "is", "it", "its", "me", "my", "of", "on", "or", "our", "she", "should", "so", "some", "than", "that", "the",
    "their", "them", "then", "there", "these", "they", "this", "those", "to", "was", "we", "were", "what", "when",
    "where", "which", "who", "whom", "whose", "why", "will", "with", "would", "you", "your",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn stems(text: &str) -> Vec<String> {
        let mut analyzer = Analyzer::new();
        words(text).map(|word| analyzer.stem(&word).to_string()).collect()
    }

    #[test]
    fn inflections_and_cases_meet() {
        assert_eq!(stems("Invoices invoicing INVOICED"), ["invoic", "invoic", "invoic"]);
        assert_eq!(
            stems("Caroline\u{2019}s Caroline's caroline"),
            ["carolin", "carolin", "carolin"]
        );
    }

    #[test]
    fn parts_of_names_and_addresses_are_words() {
        assert_eq!(
            stems("wit_bindgen example.com 12:30"),
            ["wit", "bindgen", "exampl", "com", "12", "30"]
        );
    }

    #[test]
    fn other_scripts_are_words_and_emoji_are_not() {
        assert_eq!(stems("Žofie 🎉 مرحبا 東京"), ["žofie", "مرحبا", "東", "京"]);
    }

    #[test]
    fn a_query_of_function_words_alone_still_looks_for_them() {
        let mut analyzer = Analyzer::new();
        assert_eq!(
            analyzer.query("What did the dentist say to the dentists?"),
            ["dentist", "say"]
        );
        assert_eq!(analyzer.query("To be or not to be?"), ["not"]);
        assert_eq!(analyzer.query("The Who"), ["the", "who"]);
    }

    #[test]
    fn long_words_and_queries_are_cut() {
        let mut analyzer = Analyzer::new();
        let word = "ä".repeat(100_000);
        assert_eq!(analyzer.query(&word), ["ä".repeat(limits::WORD_BYTES / 2)]);
        let many: String = (0..20_000).map(|i| format!("w{i} ")).collect();
        assert_eq!(analyzer.query(&many).len(), limits::QUERY_WORDS);
        let late = format!("{} late", " ".repeat(limits::QUERY_BYTES));
        assert!(analyzer.query(&late).is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut analyzer = Analyzer::new();
        for i in 0..=KNOWN_WORDS {
            analyzer.stem(&i.to_string());
        }
        assert!(analyzer.known.len() <= KNOWN_WORDS);
        assert_eq!(&*analyzer.stem("invoices"), "invoic");
    }

    #[test]
    fn function_words_are_sorted() {
        assert!(FUNCTION_WORDS.is_sorted());
    }

    proptest::proptest! {
        #[test]
        fn ascii_is_cut_as_all_text_is(text in "[a-cA-C0-9_.,:;'\" \n-]{0,30}|[ -~]{0,30}") {
            let (fast, slow): (Vec<_>, Vec<_>) = (ascii_words(&text).collect(), unicode_words(&text).collect());
            proptest::prop_assert_eq!(fast, slow);
        }

        #[test]
        fn any_text_is_cut_without_panic(text in "\\PC{0,200}", bytes in 0_usize..300) {
            for stem in stems(beginning(&text, bytes)) {
                proptest::prop_assert!(!stem.is_empty() && stem.len() <= 3 * limits::WORD_BYTES);
            }
        }

        #[test]
        fn any_ascii_word_has_a_stem(word in "[a-z0-9']{1,70}") {
            Analyzer::new().stem(&word);
        }
    }
}

use std::collections::BTreeSet;

use rust_stemmers::{Algorithm, Stemmer};
use unicode_segmentation::UnicodeSegmentation;

/// Words that say nothing about a subject: grammar, politeness, and the wording of wishes itself.
const EMPTY: &str = "a about actually all also always am an and any anymore are as at back be because been before but by \
    can could correction did do does don't done for from get give go goes going good great had has have he hello her hi \
    him his how i i'd i'll i'm i've if in instead into is it it's its just let like longer may me more must my need needs \
    never no not now of off ok on one only or our out over please prefer prefers put rather say she should so some still \
    than thank thanks that that's the their them then there these they thing this those to too until up us very want \
    wants was way we we'd we'll we're we've were what when where which who whose why will wish with would yes you your";

/// The stems of a text's words that speak of something.
pub(crate) fn words(text: &str) -> BTreeSet<String> {
    let stemmer = Stemmer::create(Algorithm::English);
    // "e-mail" and "email" are one word, and so are "don’t" and "don't".
    let text = text.to_lowercase().replace("e-mail", "email").replace('’', "'");
    let words = text
        .unicode_words()
        .filter(|word| !EMPTY.split_whitespace().any(|empty| empty == *word));
    words
        .map(|word| stemmer.stem(word.strip_suffix("'s").unwrap_or(word)).into_owned())
        .collect()
}

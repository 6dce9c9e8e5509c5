use quipu_guest::Event;

use crate::{message::Message, words::words};

/// How much of a question an entry must speak of to be an answer: half, by weight.
const ENOUGH: f64 = 0.5;
/// How much of what the best entry speaks of another must, to be cited beside it.
const AS_GOOD: f64 = 0.75;
/// Most entries in one answer.
const MOST: usize = 3;

/// The entries that speak of what was asked, the best first, with their sources; or that there is none, which cites
/// nothing. The entries come in the order of recall, which decides between equals.
pub(crate) fn answer(question: &str, customer: &str, entries: &[Event], messages: &[Message]) -> String {
    let said: Vec<_> = messages.iter().map(|message| words(&message.text)).collect();
    // A word that came up seldom says more, and most of all one that never did: nobody has spoken of the matter then.
    let weigh = |word: &String| {
        let count = said.iter().filter(|said| said.contains(word)).count();
        (1.0 + said.len() as f64 / (1.0 + count as f64)).ln()
    };
    let asked: Vec<_> = (&words(question) - &words(customer))
        .into_iter()
        .map(|word| (weigh(&word), word))
        .collect();
    let total: f64 = asked.iter().map(|(weight, _)| weight).sum();
    let spoken_of = |text: &str| {
        let said = words(text);
        asked
            .iter()
            .filter(|(_, word)| said.contains(word))
            .map(|(weight, _)| weight / total)
            .sum::<f64>()
    };

    let texts = entries.iter().filter_map(|entry| Some((entry, entry.text()?)));
    let mut found: Vec<_> = texts.map(|(entry, text)| (spoken_of(&text), entry, text)).collect();
    found.retain(|(share, ..)| *share >= ENOUGH);
    found.sort_by(|(a, ..), (b, ..)| b.total_cmp(a));
    let Some((best, ..)) = found.first() else {
        return format!("I don't know. Nothing that I remember of {customer} answers this.");
    };
    let good = found
        .iter()
        .take_while(|(share, ..)| *share >= AS_GOOD * best)
        .take(MOST);
    let lines: Vec<_> = good.map(|(_, entry, text)| cite(entry, text, messages)).collect();
    format!("What I remember of {customer}:\n{}", lines.join("\n"))
}

/// An entry in the words of whoever said it, with the messages that it rests on.
fn cite(entry: &Event, text: &str, messages: &[Message]) -> String {
    let message = messages
        .iter()
        .find(|message| entry.evidence.first() == Some(&message.id));
    let by = message
        .map(|message| format!(" ({}, {})", message.speaker, message.day))
        .unwrap_or_default();
    let mut line = format!(
        "- “{text}”{by}\n  memory {}, said in {}",
        entry.id,
        entry.evidence.join(" and ")
    );
    if !entry.supersedes.is_empty() {
        line += &format!(", in place of {}", entry.supersedes.join(" and "));
    }
    line
}

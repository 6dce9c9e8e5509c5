use std::collections::BTreeSet;

use unicode_segmentation::UnicodeSegmentation;

use crate::{message::Message, words::words};

/// Kinds that statements are remembered as.
pub(crate) const WISH: &str = "memory.write";
pub(crate) const DECISION: &str = "decision";

/// A sentence with one of these states a lasting wish; `+` joins what must come together. A request for today, such as
/// "please send it again", has none of them.
const WISHES: &str = "prefer |from now on|going forward|in future|as a rule|for the record|we want our|we'd like our|\
    would like our|please use|please keep|please+always|please+never|please+instead|changed our mind| must | should ";
/// … and with one of these, a decision.
const DECISIONS: &str = "we decided|we've decided|we have decided|we agreed|let's go with|we'll go with";
/// It takes back what was said before.
const CORRECTIONS: &str = "actually|correction|instead|no longer|any more|anymore|from now on|changed our mind";
/// It is not settled, or a question.
const HEDGES: &str = "maybe|perhaps|might|probably|not sure|thinking about|whether| how |?";

/// Most messages that a statement rests on. One that is repeated for years rests on the newest.
const EVIDENCE: usize = 16;

/// What a customer wants, in the customer's own words.
pub(crate) struct Statement<'a> {
    pub(crate) message: &'a Message,
    pub(crate) kind: &'static str,
    pub(crate) text: String,
    /// Messages that it rests on, its own first, then from new to old.
    pub(crate) evidence: Vec<String>,
    /// The statement that it replaces: the index of an earlier one.
    pub(crate) replaces: Option<usize>,
    words: BTreeSet<String>,
}

/// All that was stated by those who may, in the order of the messages. One replaces an earlier one that it corrects, or
/// that it repeats: then it rests on both.
pub(crate) fn statements<'a>(messages: &'a [Message], customer: &str) -> Vec<Statement<'a>> {
    let mut statements: Vec<Statement<'a>> = Vec::new();
    let mut holding = BTreeSet::new();
    for message in messages.iter().filter(|message| message.is_trusted(customer)) {
        let Some((kind, text)) = stated(message) else { continue };
        let words = words(&text);
        let shared = |earlier: &usize| statements[*earlier].words.intersection(&words).count();
        let all = |earlier: &usize| statements[*earlier].words.union(&words).count();

        let closest = holding
            .iter()
            .copied()
            .max_by_key(shared)
            .filter(|earlier| shared(earlier) > 0);
        let repeated = closest.filter(|earlier| 2 * shared(earlier) >= all(earlier));
        let replaces = repeated.or(closest.filter(|_| has_any(&text.to_lowercase(), CORRECTIONS)));
        let mut evidence = vec![message.id.clone()];
        evidence.extend(
            repeated
                .iter()
                .flat_map(|earlier| statements[*earlier].evidence.iter().cloned()),
        );
        evidence.truncate(EVIDENCE);

        holding.retain(|earlier| Some(*earlier) != replaces);
        holding.insert(statements.len());
        statements.push(Statement {
            message,
            kind,
            text,
            evidence,
            replaces,
            words,
        });
    }
    statements
}

/// What a message states, if anything: from the first sentence that does to the end of its line, which explains it.
fn stated(message: &Message) -> Option<(&'static str, String)> {
    if message.is_decision {
        return Some((DECISION, message.text.clone()));
    }
    message.text.lines().find_map(|line| {
        let mut sentences = line.split_sentence_bound_indices();
        sentences.find_map(|(start, sentence)| Some((kind(sentence)?, line[start..].trim().to_owned())))
    })
}

fn kind(sentence: &str) -> Option<&'static str> {
    let sentence = sentence.to_lowercase().replace('’', "'");
    if has_any(&sentence, HEDGES) || sentence.starts_with("if ") {
        None
    } else if has_any(&sentence, DECISIONS) {
        Some(DECISION)
    } else {
        has_any(&sentence, WISHES).then_some(WISH)
    }
}

fn has_any(text: &str, phrases: &str) -> bool {
    phrases
        .split('|')
        .any(|phrase| phrase.split('+').all(|part| text.contains(part)))
}

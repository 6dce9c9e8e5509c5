//! A support agent: it remembers what a customer's own messages state, and answers from that.

use std::collections::BTreeSet;

use quipu_guest::{Draft, ErrorKind::*, Event, EventId, Memory, Query, Result, RunInfo, Source};

quipu_guest::agent!(handle);

/// A sentence with one of these says what the customer wants …
const STATES: &str = "from now on|we want|we d like|we would like|we prefer|we decided|we have decided|we ve decided|\
    please use|please always|please never|should always";
/// … and with one of these, that something it said before holds no more.
const CORRECTS: &str = "from now on|instead|no longer|changed our mind";

fn handle(run: RunInfo, memory: Memory, question: String) -> Result<String> {
    let mut held = Vec::<(EventId, BTreeSet<String>)>::new();
    for event in memory.home().events() {
        let event = event?;
        if let Some((sentence, words)) = stated(&event) {
            let about = subject(&words);
            let shared = |at: &usize| held[*at].1.intersection(&about).count();
            let earlier = if has(&words, CORRECTS) { held.len() } else { 0 };
            let closest = (0..earlier).max_by_key(shared); // the newest of equals
            let replaced = closest.filter(|at| shared(at) > 0);
            let replaced = replaced.map(|at| held.remove(at).0);
            let draft = Draft::new("memory.write").text(sentence).tags(["stated"]);
            let draft = draft.evidence([&event.id]).supersedes(replaced);
            let source = event.source.map(|source| Source { extra: None, ..source });
            let draft = source.into_iter().fold(draft, Draft::source);
            match draft.key(format!("said:{}", event.id)).append() {
                Ok(receipt) => held.push((receipt.id, about)),
                // What may not be remembered keeps nothing else from being.
                Err(error) if matches!(error.kind(), Secret | Conflict | Redacted) => {}
                Err(error) => return Err(error),
            }
        }
    }
    if question.is_empty() {
        return Ok(format!("{} statements in {}", held.len(), memory.home().scope()));
    }
    let query = Query::new(question).kinds(["memory.write"]).actors([&run.actor]);
    let hits = memory.search(query.limit(3))?.hits.into_iter().map(|hit| hit.event);
    let own = hits.filter(|event| event.actor == run.actor && event.run.is_some());
    let lines: Vec<_> = own.filter_map(|event| cited(&event)).collect();
    match lines.is_empty() {
        true => Ok("I remember nothing that answers this.".into()),
        false => Ok(lines.join("\n")),
    }
}

fn cited(event: &Event) -> Option<String> {
    let evidence = event.evidence.join(", ");
    Some(format!("- {} [{}, said in {evidence}]", event.text()?, event.id))
}

/// The first sentence of a user's own message that states something, and its words.
fn stated(event: &Event) -> Option<(String, String)> {
    let original = event.original().and_then(|original| original.actor);
    let speaker = original.as_ref().unwrap_or(&event.actor);
    if event.kind != "message" || event.run.is_some() || !speaker.starts_with("user:") {
        return None;
    }
    let text = event.text()?.replace(". ", ".\n");
    let text = text.replace("! ", "!\n").replace("? ", "?\n");
    let lines = text.split('\n').map(|line| line.trim_matches([' ', '\t', '\r']));
    let own = lines.filter(|line| !line.starts_with('>') && !line.ends_with('?'));
    own.map(|line| (line.to_owned(), words(line)))
        .find(|(_, words)| has(words, STATES) || has(words, CORRECTS))
}

/// Letters and digits of ASCII in lower case, one space around each word.
fn words(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    format!(" {} ", words.join(" ").to_ascii_lowercase())
}

fn has(words: &str, phrases: &str) -> bool {
    let mut phrases = phrases.split('|');
    phrases.any(|phrase| words.contains(&format!(" {phrase} ")))
}

/// Words of four letters or more that no phrase has.
fn subject(words: &str) -> BTreeSet<String> {
    let phrases = format!(" {STATES}|{CORRECTS} ").replace('|', " ");
    let words = words.split(' ').filter(|word| word.len() >= 4);
    words.filter(|word| !has(&phrases, word)).map(str::to_owned).collect()
}

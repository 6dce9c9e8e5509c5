//! A support agent without a model. On each run it reads its home scope, remembers what the customer has wished for or
//! decided since, and answers the question that it is given from memory, citing the entries that it rests on. Without a
//! question it only remembers.
//!
//! It never rewrites: what a customer takes back is superseded. The same messages give the same entries, under the
//! same keys, so a second run over them adds nothing.

mod answer;
mod message;
mod statement;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;

use message::Message;
use quipu_guest::{
    Draft,
    ErrorKind::{Conflict, Redacted, Secret, TooLarge},
    Event, EventId, Memory, Query, Result, RunInfo, Source,
};
use statement::{DECISION, Statement, WISH, statements};

quipu_guest::agent!(handle);

fn handle(run: RunInfo, memory: Memory, question: String) -> Result<String> {
    let scope = memory.home().scope();
    let customer = scope.split_once(':').map_or(scope.as_str(), |(_, name)| name);
    let is_own = |event: &Event| event.actor == run.actor && event.run.is_some();

    let mut messages = Vec::new();
    let mut remembered = BTreeMap::new();
    for event in memory.home().events() {
        let event = event?;
        if is_own(&event) {
            // An entry's first evidence is the message that it was made of.
            remembered.extend(event.evidence.into_iter().next().map(|message| (message, event.id)));
        } else {
            messages.extend(Message::from_event(event));
        }
    }
    let statements = statements(&messages, customer);
    let added = remember(&statements, &remembered)?;
    if question.trim().is_empty() {
        return Ok(format!(
            "{customer}: {} statements remembered, {added} of them new.",
            statements.len()
        ));
    }

    // Only what it has remembered itself: nothing else has passed its rule of trust.
    let query = Query::new(question.as_str())
        .kinds([WISH, DECISION])
        .actors([run.actor.as_str()])
        .limit(50);
    let hits = memory.search(query)?.hits.into_iter().map(|hit| hit.event);
    let entries: Vec<Event> = hits.filter(|event| is_own(event) && event.scope == scope).collect();
    Ok(answer::answer(&question, customer, &entries, &messages))
}

/// Appends what is not remembered yet, and returns how many that were.
fn remember(statements: &[Statement<'_>], remembered: &BTreeMap<EventId, EventId>) -> Result<usize> {
    let mut added = 0;
    let mut entries: Vec<Option<EventId>> = Vec::new();
    for statement in statements {
        let message = statement.message;
        if let Some(entry) = remembered.get(&message.id) {
            entries.push(Some(entry.clone()));
            continue;
        }
        let mut draft = Draft::new(statement.kind)
            .text(statement.text.as_str())
            .confidence(if statement.evidence.len() > 1 { 0.9 } else { 0.8 })
            .tags([if statement.kind == DECISION {
                "decision"
            } else {
                "preference"
            }])
            .evidence(&statement.evidence)
            .supersedes(statement.replaces.and_then(|earlier| entries[earlier].as_ref()))
            .key(format!("said:{}", message.id));
        if let Some(source) = &message.source {
            draft = draft.source(Source {
                extra: None,
                ..source.clone()
            });
        }
        entries.push(match draft.append() {
            Ok(receipt) => Some(receipt.id),
            // What may not be remembered must not keep the rest from being: a password in a message, for example.
            Err(error) if matches!(error.kind(), Secret | TooLarge | Conflict | Redacted) => None,
            Err(error) => return Err(error),
        });
        added += usize::from(entries.last().is_some_and(Option::is_some));
    }
    Ok(added)
}

//! Summarises what was decided last: `quipu compact --scope team:core --with latest.wasm --actor tool:latest`.
//!
//! The summary has a line for each of the last ten events of kind `decision`, the newest first, and replaces the one that this
//! compactor wrote before. Where nothing was decided since, it says the same again, which adds nothing.

use quipu_guest_compactor::{Draft, Event, RunInfo, summary};

quipu_guest_compactor::compactor!(compact);

/// Decisions in a summary.
const DECISIONS: usize = 10;

fn compact(run: RunInfo, events: Vec<Event>) -> Result<Vec<Draft>, String> {
    let decisions = events.iter().rev().filter(|event| event.kind == "decision");
    let decisions: Vec<_> = decisions.take(DECISIONS).collect();
    if decisions.is_empty() {
        return Ok(Vec::new());
    }
    let lines: Vec<_> = decisions
        .iter()
        .map(|event| format!("{} {}", day(event), text(event)))
        .collect();
    let mut draft = summary(&lines.join("\n"), decisions);
    let last = events
        .iter()
        .rev()
        .find(|event| event.kind == "memory.summary" && event.actor == run.actor);
    match last {
        Some(last) if last.evidence == draft.evidence => Ok(Vec::new()),
        last => {
            draft.supersedes = last.map(|last| last.id.clone()).into_iter().collect();
            Ok(vec![draft])
        }
    }
}

fn day(event: &Event) -> &str {
    event.ts.get(..10).unwrap_or(&event.ts)
}

fn text(event: &Event) -> String {
    let payload: serde_json::Value = serde_json::from_str(event.payload.as_deref().unwrap_or("{}")).unwrap_or_default();
    payload["text"]
        .as_str()
        .unwrap_or("(no text)")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

//! A compactor that does as the newest event says. Its summary covers all events and says how many they are.
//!
//! A text `spin` has it compute for ever, `trap` trap, `fail` fail. `stranger` has it name evidence that it was not given,
//! `nothing` none, `huge` say a great deal, `sure` be surer than its evidence, `scope` write to another scope, `kind` write another
//! kind, `message` supersede what another actor said.

use quipu_guest_compactor::{Draft, Event, RunInfo, summary};

quipu_guest_compactor::compactor!(compact);

fn compact(_run: RunInfo, events: Vec<Event>) -> Result<Vec<Draft>, String> {
    let said: Vec<_> = events.iter().filter(|event| event.kind != "memory.summary").collect();
    let payload = said.last().and_then(|event| event.payload.clone()).unwrap_or_default();
    let payload: serde_json::Value = serde_json::from_str(&payload).unwrap_or_default();
    let mut draft = summary(&format!("{} events", said.len()), said.iter().copied());
    match payload["text"].as_str().unwrap_or_default() {
        "spin" => spin(),
        "trap" => panic!(),
        "fail" => return Err("it was told to".into()),
        "stranger" => draft.evidence.push("evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D".into()),
        "nothing" => draft.evidence.clear(),
        "huge" => draft.payload = format!(r#"{{"text":"{}"}}"#, "x".repeat(100 << 10)),
        "sure" => draft.payload = r#"{"text":"certainly","confidence":0.95}"#.into(),
        "scope" => draft.scope = Some("b".into()),
        "kind" => draft.kind = "memory.write".into(),
        "message" => draft.supersedes = said.iter().map(|event| event.id.clone()).collect(),
        _ => {}
    }
    Ok(vec![draft])
}

fn spin() {
    let mut n = 0_u64;
    loop {
        n = std::hint::black_box(n + 1);
    }
}

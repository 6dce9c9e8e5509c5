//! Appends its input as the text of a `memory.write`, and reports all that it is given and sees:
//! `{"run":{…},"input":…,"receipt":{…},"scopes":[{"scope":…,"head":…,"events":[…]}]}`. The events are read after the
//! append, oldest first.

use quipu_guest::{Draft, Memory, Result, RunInfo};
use quipu_test_guests::Summary;
use serde_json::{Value, json};

quipu_guest::agent!(handle);

fn handle(run: RunInfo, memory: Memory, input: String) -> Result<String> {
    let receipt = Draft::new("memory.write").text(input.as_str()).append()?;
    let scopes = memory.readers().map(|reader| {
        let events = reader
            .events()
            .map(|event| Ok(event?.summary()))
            .collect::<Result<Vec<Value>>>()?;
        Ok(json!({"scope": reader.scope(), "head": reader.head(), "events": events}))
    });
    let scopes = scopes.collect::<Result<Vec<Value>>>()?;
    let run = json!({"id": run.id, "actor": run.actor, "now": run.now});
    Ok(json!({"run": run, "input": input, "receipt": receipt.summary(), "scopes": scopes}).to_string())
}

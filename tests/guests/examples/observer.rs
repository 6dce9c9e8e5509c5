//! Built for world `observer`: counts what it sees, and searches for its input. It imports nothing that appends.
//! Report: `{"counts":{SCOPE:N…},"found":[ID…]}`.

use quipu_guest::{Memory, Query, Result, RunInfo};
use serde_json::{Map, Value, json};

quipu_guest::observer!(handle);

fn handle(_run: RunInfo, memory: Memory, input: String) -> Result<String> {
    let mut counts = Map::new();
    for reader in memory.readers() {
        let mut count = 0;
        for event in reader.events() {
            event?;
            count += 1;
        }
        counts.insert(reader.scope(), Value::from(count));
    }
    let answer = memory.search(Query::new(input))?;
    let found: Vec<_> = answer.hits.into_iter().map(|hit| hit.event.id).collect();
    Ok(json!({"counts": counts, "found": found}).to_string())
}

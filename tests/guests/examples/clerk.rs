//! Notes what it is told and answers with what it remembers of that: one append and one search. Told nothing, it does
//! neither.

use quipu_guest::{Draft, Memory, Query, Result, RunInfo};

quipu_guest::agent!(handle);

fn handle(_run: RunInfo, memory: Memory, message: String) -> Result<String> {
    if message.is_empty() {
        return Ok(String::new());
    }
    let hits = memory.search(Query::new(message.as_str()).limit(3))?.hits;
    Draft::new("memory.write").text(message.as_str()).append()?;
    let remembered: Vec<_> = hits.iter().filter_map(|hit| hit.event.text()).collect();
    Ok(remembered.join("\n"))
}

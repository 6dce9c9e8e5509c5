//! Says that it is an `observer`, and appends. No host may link it as one.

use quipu_guest::{Draft, Memory, Result, RunInfo};

quipu_guest::observer!(handle);

fn handle(_run: RunInfo, _memory: Memory, input: String) -> Result<String> {
    Ok(Draft::new("memory.write").text(input).append()?.id)
}

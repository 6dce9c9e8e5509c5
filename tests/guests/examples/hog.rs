//! Takes memory without end. Input `polite` in place of that: until it is refused, and reports
//! `{"allocated_bytes":N}`.

use std::hint::black_box;

use quipu_guest::{Memory, RunInfo};
use serde_json::json;

quipu_guest::agent!(handle);

const STEP_BYTES: usize = 1 << 20;

fn handle(_run: RunInfo, _memory: Memory, input: String) -> Result<String, String> {
    let polite = input == "polite";
    let mut held: Vec<Vec<u8>> = Vec::with_capacity(1 << 16);
    loop {
        let mut more = Vec::new();
        if polite && more.try_reserve_exact(STEP_BYTES).is_err() {
            return Ok(json!({"allocated_bytes": held.len() * STEP_BYTES}).to_string());
        }
        more.resize(STEP_BYTES, 1);
        held.push(black_box(more));
    }
}

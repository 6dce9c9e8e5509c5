//! Never ends. Input `host` in place of that: calls the host for ever.

use std::hint::black_box;

use quipu_guest::{Memory, RunInfo};

quipu_guest::agent!(handle);

fn handle(_run: RunInfo, memory: Memory, input: String) -> Result<String, String> {
    let calls_host = input == "host";
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
        if calls_host {
            black_box(memory.home().head());
        }
    }
}

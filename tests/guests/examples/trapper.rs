//! Appends one entry and comes to a bad end. Input: `panic` (or nothing), `overflow` (of the stack), `error` (it returns
//! one, which is no trap).

use std::hint::black_box;

use quipu_guest::{Draft, Memory, RunInfo};

quipu_guest::agent!(handle);

fn handle(_run: RunInfo, _memory: Memory, input: String) -> Result<String, String> {
    let receipt = Draft::new("memory.write").text("appended before the end").append()?;
    match input.as_str() {
        "overflow" => Ok(format!("{} frames", overflow(&[0; 64]))),
        "error" => Err(format!("gave up after {}", receipt.id)),
        _ => panic!("a bug in the guest, after {}", receipt.id),
    }
}

/// Each frame holds on to the one before it, so that no optimiser can make a loop of this.
#[allow(unconditional_recursion)]
fn overflow(before: &[u64; 64]) -> u64 {
    let frame = [before[0] + 1; 64];
    overflow(black_box(&frame)) + frame[1]
}

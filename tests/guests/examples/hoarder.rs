//! Misuses handles. Input:
//!
//! - `leak` (or nothing): never gives one back; reports `{"held":N}`;
//! - `stale`: gives its first one back and goes on to use it;
//! - `guess`: uses handles that it was never given, by number.

use std::mem;

use quipu_guest::{Memory, Reader, RunInfo};
use serde_json::json;

quipu_guest::agent!(handle);

fn handle(_run: RunInfo, memory: Memory, input: String) -> Result<String, String> {
    match input.as_str() {
        "" | "leak" => {
            let held = memory.readers().map(Reader::scope).count();
            mem::forget(memory);
            Ok(json!({"held": held}).to_string())
        }
        "stale" => {
            let number = memory.home().handle();
            drop(memory);
            Ok(use_number(number))
        }
        "guess" => {
            let highest = memory.readers().map(Reader::handle).max().unwrap_or_default();
            Ok((highest + 1..highest + 1_000).map(use_number).collect())
        }
        other => Err(format!("{other:?} is not among leak, stale, guess")),
    }
}

#[allow(unsafe_code)]
fn use_number(number: u32) -> String {
    // SAFETY: none. A handle is a number that the host must check; this guest is here to see that it does.
    let reader = mem::ManuallyDrop::new(unsafe { Reader::from_handle(number) });
    reader.scope()
}

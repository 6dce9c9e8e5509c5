//! Appends until it is refused. Report: `{"appended":N,"refused":KIND,"message":…}`.

use quipu_guest::{Memory, RunInfo, bindings::append};
use quipu_test_guests::kind;
use serde_json::json;

quipu_guest::agent!(handle);

fn handle(_run: RunInfo, _memory: Memory, _input: String) -> Result<String, String> {
    let draft = quipu_guest::Draft::new("memory.write").text("more").into_raw()?;
    for appended in 0.. {
        if let Err(error) = append::append(&draft) {
            return Ok(json!({"appended": appended, "refused": kind(&error), "message": error.message}).to_string());
        }
    }
    Err("the host took more entries than can be counted".into())
}

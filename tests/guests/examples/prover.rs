//! Asks for a proof of each event that it sees at home, then appends one and asks for its proof too. Report: the outcome of
//! each call; an event's is its id, then its proof.

use quipu_guest::{Draft, Memory, RunInfo};
use quipu_test_guests::Report;

quipu_guest::agent!(handle);

fn handle(_run: RunInfo, memory: Memory, _input: String) -> Result<String, String> {
    let mut report = Report::default();
    for event in memory.home().events() {
        let id = event.map_err(|e| e.to_string())?.id;
        report.add(&format!("prove {id}"), memory.home().prove(&id));
    }
    let receipt = Draft::new("memory.write").text("to be proved").append();
    let receipt = receipt.map_err(|e| e.to_string())?;
    report.add(&format!("prove {}", receipt.id), memory.home().prove(&receipt.id));
    Ok(report.finish())
}

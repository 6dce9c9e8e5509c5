//! Fetches the first page of its home scope as often as its input says, 1,000 events at most, and answers how many events
//! the pages had together.

use quipu_guest::{Memory, RunInfo};

quipu_guest::agent!(handle);

fn handle(_run: RunInfo, memory: Memory, input: String) -> Result<String, String> {
    let pages: u32 = input.parse().map_err(|_| format!("{input:?} is no number of pages"))?;
    let mut events = 0;
    for _ in 0..pages {
        let page = memory.home().read(None, 1_000).map_err(|error| error.message)?;
        events += page.events.len();
    }
    Ok(events.to_string())
}

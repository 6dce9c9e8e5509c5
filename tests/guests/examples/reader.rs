//! Pages through every handle in both directions and reports a digest of what it saw. Input: a JSON object with
//!
//! - `page`: events to fetch in one call, 256 if absent;
//! - `rounds`: how often to read it all, once if absent. A pinned handle gives one and the same digest;
//! - `await_growth`: afterwards refresh the first handle again and again until its head has moved, then read once more.
//!
//! Report: `{"scopes":[{"scope":…,"head":…,"count":…,"digest":…,"mirrored":BOOL,"digests":N}…],"refreshed":[…]}`.
//! `digest` is SHA-256 in hex over the ids, oldest first, each followed by LF; `mirrored` says that newest first gives
//! the same ids; `digests` counts the different ones over all rounds.

use std::collections::BTreeSet;

use quipu_guest::{Events, Memory, Reader, Result, RunInfo};
use quipu_test_guests::instructions;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

quipu_guest::agent!(handle);

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Input {
    page: u32,
    rounds: u32,
    await_growth: bool,
}

impl Default for Input {
    fn default() -> Self {
        Self {
            page: 256,
            rounds: 1,
            await_growth: false,
        }
    }
}

fn handle(_run: RunInfo, memory: Memory, input: String) -> Result<String, String> {
    let input: Input = instructions(&input)?;
    let look = |rounds| {
        memory
            .readers()
            .map(|reader| look(reader, input.page, rounds))
            .collect::<Result<Vec<Value>>>()
    };
    let scopes = look(input.rounds)?;
    let mut refreshed = Vec::new();
    if input.await_growth {
        let head = memory.home().head();
        while memory.home().refresh().map_err(|e| e.message)? == head {}
        refreshed = look(1)?;
    }
    Ok(json!({"scopes": scopes, "refreshed": refreshed}).to_string())
}

fn look(reader: &Reader, page: u32, rounds: u32) -> Result<Value> {
    let mut digests = BTreeSet::new();
    let mut last = None;
    for _ in 0..rounds {
        let forward = ids(reader.events().page_size(page))?;
        let mut backward = ids(reader.events_back().page_size(page))?;
        backward.reverse();
        let digest = digest(&forward);
        digests.insert(digest.clone());
        last = Some(json!({"count": forward.len(), "digest": digest, "mirrored": forward == backward}));
    }
    let mut seen = last.unwrap_or_else(|| json!({}));
    seen["scope"] = reader.scope().into();
    seen["head"] = reader.head().into();
    seen["digests"] = digests.len().into();
    Ok(seen)
}

fn ids(events: Events<'_>) -> Result<Vec<String>> {
    events.map(|event| Ok(event?.id)).collect()
}

fn digest(ids: &[String]) -> String {
    let mut hash = Sha256::new();
    for id in ids {
        hash.update(id);
        hash.update("\n");
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

//! Appends. Input: a JSON object with
//!
//! - `appends`: how many entries, 1 if absent;
//! - `payload_bytes`: bytes of each payload, 512 if absent, at least 32;
//! - `batch`: drafts in one call; 1, if absent, is `append` and no `append-all`;
//! - `key`: beginning of each entry's idempotency key, which its number follows; no keys if absent.
//!
//! A payload is `{"n":NUMBER,"text":"xx…"}`; numbers rise from 0. Report: `{"appended":N,"first":SEQ,"last":SEQ}`.

use quipu_guest::{
    Memory, RunInfo,
    bindings::{append, types::Draft},
};
use quipu_test_guests::instructions;
use serde::Deserialize;
use serde_json::json;

quipu_guest::agent!(handle);

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Input {
    appends: u64,
    payload_bytes: usize,
    batch: u64,
    key: Option<String>,
}

impl Default for Input {
    fn default() -> Self {
        Self {
            appends: 1,
            payload_bytes: 512,
            batch: 1,
            key: None,
        }
    }
}

fn handle(_run: RunInfo, _memory: Memory, input: String) -> Result<String, String> {
    let input: Input = instructions(&input)?;
    let (mut first, mut last) = (None, None);
    let mut n = 0;
    while n < input.appends {
        let end = input.appends.min(n + input.batch.max(1));
        let receipts = if input.batch <= 1 {
            append::append(&draft(&input, n)).map(|receipt| vec![receipt])
        } else {
            append::append_all(&(n..end).map(|n| draft(&input, n)).collect::<Vec<_>>())
        };
        let receipts = receipts.map_err(|e| format!("append {n}: {}", e.message))?;
        first = first.or(receipts.first().map(|receipt| receipt.seq));
        last = receipts.last().map(|receipt| receipt.seq);
        n = end;
    }
    Ok(json!({"appended": n, "first": first, "last": last}).to_string())
}

fn draft(input: &Input, n: u64) -> Draft {
    let head = format!(r#"{{"n":{n},"text":""#);
    let tail = r#""}"#;
    let text = "x".repeat(input.payload_bytes.saturating_sub(head.len() + tail.len()));
    Draft {
        kind: "memory.write".into(),
        payload: head + &text + tail,
        source: None,
        evidence: Vec::new(),
        supersedes: Vec::new(),
        scope: None,
        key: input.key.as_ref().map(|key| format!("{key}{n}")),
    }
}

//! Appends what is just within each limit of the interface and just past it. Input `commit` in place of that: one
//! `append-all` that is within every limit of its drafts and past 16 MiB together. Report: the outcome of each call.

use quipu_guest::{
    Memory, RunInfo,
    bindings::{append, types::Draft},
};
use quipu_test_guests::Report;

quipu_guest::agent!(handle);

const BODY_BYTES: usize = 1 << 20;
/// What the stored body has around the payload: `{"payload":` and `}`.
const AROUND_BYTES: usize = 12;

fn handle(_run: RunInfo, _memory: Memory, input: String) -> Result<String, String> {
    let mut report = Report::default();
    if input == "commit" {
        let drafts = vec![draft(BODY_BYTES - 1_000); 17];
        report.add("append-all of 17 MiB", append::append_all(&drafts));
        return Ok(report.finish());
    }

    for bytes in [
        BODY_BYTES - AROUND_BYTES,
        BODY_BYTES - AROUND_BYTES + 1,
        BODY_BYTES + 1,
        4 * BODY_BYTES,
    ] {
        report.add(&format!("payload of {bytes} bytes"), append::append(&draft(bytes)));
    }
    let receipts = append::append_all(&vec![draft(32); 1_000]);
    let ids: Vec<String> = receipts.iter().flatten().map(|receipt| receipt.id.clone()).collect();
    report.add("1000 drafts", receipts);
    report.add("1001 drafts", append::append_all(&vec![draft(32); 1_001]));
    for count in [256, 257] {
        let ids: Vec<String> = ids.iter().take(count).cloned().collect();
        report.add(
            &format!("{count} evidence"),
            append::append(&Draft {
                evidence: ids.clone(),
                ..draft(32)
            }),
        );
        report.add(
            &format!("{count} supersedes"),
            append::append(&Draft {
                supersedes: ids,
                ..draft(32)
            }),
        );
    }
    for bytes in [128, 129, 1 << 20] {
        let name = "k".repeat(bytes);
        report.add(
            &format!("kind of {bytes} bytes"),
            append::append(&Draft {
                kind: name.clone(),
                ..draft(32)
            }),
        );
        report.add(
            &format!("key of {bytes} bytes"),
            append::append(&Draft {
                key: Some(name.clone()),
                ..draft(32)
            }),
        );
        report.add(
            &format!("scope of {bytes} bytes"),
            append::append(&Draft {
                scope: Some(name),
                ..draft(32)
            }),
        );
    }
    Ok(report.finish())
}

/// A draft whose payload has that many bytes.
fn draft(payload_bytes: usize) -> Draft {
    let (head, tail) = (r#"{"text":""#, r#""}"#);
    Draft {
        kind: "memory.write".into(),
        payload: format!("{head}{}{tail}", "x".repeat(payload_bytes - head.len() - tail.len())),
        source: None,
        evidence: Vec::new(),
        supersedes: Vec::new(),
        scope: None,
        key: None,
    }
}

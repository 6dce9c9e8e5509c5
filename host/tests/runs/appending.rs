//! Receipts, batches and idempotency keys.

use quipu_host::Outcome;
use serde_json::json;

use crate::guests::{House, answer, call, grant, payload};

#[tokio::test]
async fn a_receipt_is_of_the_entry_in_the_log() {
    let house = House::new();
    let report = house.run("echo", &grant(), "x").await;
    let told = &answer(&report)["receipt"];
    let event = house.ledger.reader().event(report.appended[0].seq).unwrap().unwrap();
    assert_eq!(
        told,
        &json!({"seq": event.envelope.seq, "id": event.envelope.id, "ts": event.envelope.ts, "hash": event.hash})
    );
    assert_eq!(payload(&event), json!({"text": "x"}));
}

#[tokio::test]
async fn a_batch_is_consecutive_and_in_order() {
    let house = House::new();
    let report = house
        .run("writer", &grant(), r#"{"appends":100,"batch":50,"payload_bytes":64}"#)
        .await;
    let seqs: Vec<u64> = report.appended.iter().map(|receipt| receipt.seq).collect();
    let first = seqs[0];
    assert_eq!(seqs, (first..first + 100).collect::<Vec<_>>());
    for (n, seq) in seqs.into_iter().enumerate() {
        assert_eq!(
            payload(&house.ledger.reader().event(seq).unwrap().unwrap())["n"],
            json!(n)
        );
    }
}

#[tokio::test]
async fn other_content_under_a_used_key_is_a_conflict() {
    let house = House::new();
    answer(&house.run("writer", &grant(), r#"{"key":"k","payload_bytes":64}"#).await);
    let report = house.run("writer", &grant(), r#"{"key":"k","payload_bytes":65}"#).await;
    assert!(matches!(report.outcome, Outcome::Failed(_)));
    assert_eq!(house.told(report.run)[0]["refused"]["kind"], "conflict");
    assert_eq!(report.appended.len(), 0);
}

/// The compactor's keys follow from what is in the log: a guest in its name could use one up, and block it.
#[tokio::test]
async fn keys_of_the_host_are_not_for_guests() {
    let house = House::new();
    let key = format!("{}{}", quipu_projections::COMPACTION_KEYS, "0".repeat(64));
    let input = json!({"key": key, "payload_bytes": 64}).to_string();
    let report = house.run("writer", &grant(), &input).await;
    assert!(matches!(report.outcome, Outcome::Failed(_)));
    assert_eq!(house.told(report.run)[0]["refused"]["kind"], "invalid");
    assert_eq!(report.appended.len(), 0);
}

#[tokio::test]
async fn what_a_guest_appends_is_kept_as_it_wrote_it() {
    let house = House::new();
    let calls = answer(&house.run("forger", &grant(), "").await);
    let stored = &call(&calls, "stamps in the payload")["ok"]["payload"];
    assert!(stored.as_str().unwrap().contains(r#""actor":"operator:root""#));
    let source = &call(&calls, "stamps in the source")["ok"]["source"];
    assert_eq!(source["channel"], "import");
    assert!(source["extra"].as_str().unwrap().contains("original"));
}

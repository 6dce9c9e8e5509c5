//! Pages and handles.

use std::fs;

use serde_json::json;

use crate::guests::{House, answer, call, grant, refused, scope};

#[tokio::test]
async fn pages_of_any_size_show_the_same_events_in_both_directions() {
    let house = House::new();
    for n in 0..30 {
        house.seed(
            if n % 3 == 0 { "other" } else { "home" },
            "user:ann",
            &json!({ "n": n }).to_string(),
        );
        if n % 10 == 9 {
            // Leaves the host's own entries in between.
            house.run("observer", &grant(), "").await;
        }
    }
    let mut digests = Vec::new();
    for page in [1, 2, 3, 7, 20, 21, 1000, u32::MAX] {
        let report = house
            .run("reader", &grant(), &json!({ "page": page }).to_string())
            .await;
        let seen = answer(&report)["scopes"][0].clone();
        assert_eq!(
            (&seen["count"], &seen["mirrored"]),
            (&json!(20), &json!(true)),
            "pages of {page}"
        );
        digests.push(seen["digest"].clone());
    }
    digests.dedup();
    assert_eq!(digests.len(), 1);
}

#[tokio::test]
async fn a_page_holds_at_most_four_mebibytes_and_one_event() {
    let house = House::new();
    let payload = json!({"text": "x".repeat(1_000_000)}).to_string();
    for _ in 0..7 {
        house.seed("home", "user:ann", &payload);
    }
    let calls = answer(&house.run("liar", &grant(), "").await);
    let page = &call(&calls, "read limit 4294967295")["ok"];
    assert_eq!(page["events"], 5);
    assert!(page["next"].is_u64());
    let back = &call(&calls, "read-back limit 4294967295")["ok"];
    assert_eq!(back["events"], 5);
}

#[tokio::test]
async fn one_handle_for_each_scope_and_home_first() {
    let house = House::new();
    house.seed("a", "user:ann", r#"{"in":"a"}"#);
    house.seed("z", "user:ann", r#"{"in":"z"}"#);
    let mut grant = grant();
    grant.read = vec![scope("z"), scope("a"), scope("empty"), scope("z")];
    let seen = answer(&house.run("echo", &grant, "x").await);
    let scopes: Vec<_> = seen["scopes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["scope"].as_str().unwrap())
        .collect();
    assert_eq!(scopes, ["home", "z", "a", "empty"]);
    assert_eq!(seen["scopes"][1]["events"][0]["payload"], r#"{"in":"z"}"#);
    assert_eq!(seen["scopes"][3]["events"], json!([]));
}

#[tokio::test]
async fn damaged_memory_is_no_page_with_gaps() {
    let house = House::new();
    let seeded: Vec<_> = (0..5).map(|_| house.seed("home", "user:ann", "{}")).collect();
    let id = seeded[2].id.to_string();
    let files = fs::read_dir(house.path().join("log")).unwrap();
    let damaged = files.map(|file| file.unwrap().path()).filter(|path| {
        let mut bytes = fs::read(path).unwrap();
        let at = bytes.windows(id.len()).position(|bytes| bytes == id.as_bytes());
        at.is_some_and(|at| {
            bytes[at] ^= 4;
            fs::write(path, bytes).is_ok()
        })
    });
    assert_eq!(damaged.count(), 1);
    let calls = answer(&house.run("liar", &grant(), "").await);
    for name in ["read limit 1001", "read-back limit 1001"] {
        assert_eq!(refused(&calls, name), "unavailable", "{name}");
    }
}

#[tokio::test]
async fn a_guest_gets_proofs_that_its_host_is_not_needed_for() {
    let house = House::new();
    for n in 0..3 {
        house.seed("home", "user:ann", &json!({ "n": n }).to_string());
    }
    house.seed("other", "user:ann", "{}");
    let calls = answer(&house.run("prover", &grant(), "").await);
    let calls = calls.as_array().unwrap();
    assert_eq!(calls.len(), 4);
    let key = house.ledger.reader().verifier_key();
    for call in calls {
        let proof = call["ok"].as_str().unwrap_or_else(|| panic!("it is refused: {call}"));
        let finding = quipu_format::check(proof.as_bytes(), &quipu_format::Given::new(key))
            .unwrap()
            .unwrap();
        let finding = serde_json::to_value(finding).unwrap();
        let name = format!("prove {}", finding["envelope"]["id"].as_str().unwrap());
        assert_eq!(
            (&call["call"], &finding["envelope"]["scope"]),
            (&json!(name), &json!("home"))
        );
    }
}

#[tokio::test]
async fn a_page_has_a_thousand_events_of_half_a_kilobyte() {
    let house = House::new();
    let payload = format!(r#"{{"text":"{}"}}"#, "x".repeat(500));
    house.seed_all("home", "user:test", (0..1_000).map(|_| payload.clone()));
    assert_eq!(answer(&house.run("pager", &grant(), "3").await), 3_000);
}

//! Search and provenance, over the handles that are passed and nothing else.

use serde_json::json;

use crate::guests::{House, answer, call, grant, limits, refused, scope};

#[tokio::test]
async fn search_sees_what_the_passed_handles_see() {
    let house = House::new();
    let home = house.seed("home", "user:ann", r#"{"text":"invoices as PDF please"}"#);
    let other = house.seed("other", "user:ann", r#"{"text":"invoices by post"}"#);
    house.seed("secret", "user:eve", r#"{"text":"invoices are forged"}"#);
    let mut grant = grant();
    grant.read.push(scope("other"));
    let report = house.run("recaller", &grant, r#"{"search":"invoices"}"#).await;
    let calls = answer(&report);
    let mut all: Vec<_> = call(&calls, "search all")["ok"]["ids"].as_array().unwrap().clone();
    all.sort_by_key(|id| id.to_string());
    assert_eq!(all, [json!(home.id), json!(other.id)]);
    assert_eq!(call(&calls, "search home")["ok"]["ids"], json!([home.id]));
    assert_eq!(call(&calls, "search all")["ok"]["as_of"], json!(report.head));
}

#[tokio::test]
async fn what_was_recalled_is_recorded() {
    let house = House::new();
    let event = house.seed_statement("home", "user:ann", r#"{"text":"invoices as PDF please"}"#);
    let input = json!({"search": "invoices", "id": event.id}).to_string();
    let report = house.run("recaller", &grant(), &input).await;
    let calls = answer(&report);
    let told = house.told(report.run);
    let search = &call(&calls, "search all")["ok"];
    assert_eq!(
        told[0],
        json!({"call": 1, "hits": {"hits": [[event.id, search["scores"][0]]], "asOf": search["as_of"]}})
    );
    assert_eq!(told[2]["trail"]["events"], json!([event.id]));
    assert_eq!(told[4]["trail"]["events"], json!([event.id]));
    // What a fact says is in the events that state it, and not in the record.
    let notes = json!([{"count": 1, "first": event.ts, "last": event.ts}]);
    assert_eq!(
        told[5],
        json!({"call": 6, "facts": {"facts": [[0.8, [event.id]]], "notes": notes, "asOf": search["as_of"]}})
    );
    let layout = json!({"version": 1, "facts": [["0.80", null]]});
    assert_eq!(told[6]["context"]["layout"], layout);
    assert_eq!(told.len(), 7);
}

#[tokio::test]
async fn why_follows_evidence_through_the_passed_handles_alone() {
    let house = House::new();
    let root = house.seed("other", "user:ann", r#"{"text":"as CSV from May on"}"#);
    let mut wide = grant();
    wide.read.push(scope("other"));
    let forged = house
        .run("forger", &wide, &json!({ "evidence": root.id }).to_string())
        .await;
    let calls = answer(&forged);
    let leaf = call(&calls, "evidence that is not granted")["ok"]["id"]
        .as_str()
        .unwrap();

    let calls = answer(&house.run("recaller", &wide, &json!({ "id": leaf }).to_string()).await);
    assert_eq!(call(&calls, "why all")["ok"]["ids"], json!([leaf, root.id]));
    assert_eq!(call(&calls, "why all")["ok"]["links"], json!([[leaf, root.id]]));
    assert_eq!(call(&calls, "why home")["ok"]["ids"], json!([leaf]));

    let calls = answer(
        &house
            .run("recaller", &grant(), &json!({ "id": root.id }).to_string())
            .await,
    );
    assert_eq!(refused(&calls, "why all"), "not-found");

    let calls = answer(
        &house
            .run("recaller", &wide, &json!({ "id": root.id }).to_string())
            .await,
    );
    assert_eq!(call(&calls, "impact all")["ok"]["ids"], json!([root.id, leaf]));
    assert_eq!(call(&calls, "impact all")["ok"]["links"], json!([[leaf, root.id]]));
}

#[tokio::test]
async fn facts_are_those_of_the_passed_handles() {
    let house = House::new();
    let one = house.seed_statement("home", "user:ann", r#"{"text":"Wants PDF","confidence":0.5}"#);
    let two = house.seed_statement("home", "user:bob", r#"{"text":"wants  pdf.","confidence":0.5}"#);
    house.seed_statement("secret", "user:eve", r#"{"text":"wants forgeries"}"#);
    let report = house.run("recaller", &grant(), "{}").await;
    let calls = answer(&report);
    let facts = &call(&calls, "facts all")["ok"];
    assert_eq!(
        facts["facts"],
        json!([{"text": "wants  pdf.", "ids": [one.id, two.id]}])
    );
    assert_eq!(facts["as_of"], json!(report.head));
}

#[tokio::test]
async fn a_composed_text_names_what_it_says_and_the_run_records_the_names_alone() {
    let house = House::new();
    let event = house.seed("home", "user:ann", r#"{"text":"Wants PDF invoices"}"#);
    house.seed("elsewhere", "user:ann", r#"{"text":"PDF invoices of another scope"}"#);
    let report = house.run("recaller", &grant(), r#"{"search":"invoices"}"#).await;
    let calls = answer(&report);
    let composed = &call(&calls, "compose all")["ok"];
    assert_eq!(composed["ids"], json!([event.id]));
    let text = composed["text"].as_str().unwrap();
    assert!(
        text.ends_with(&format!("user:ann: Wants PDF invoices {}\n", event.id)),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1);
    let told = house.told(report.run);
    let contexts: Vec<_> = told.iter().filter_map(|told| told.get("context")).collect();
    assert_eq!(contexts.len(), 1);
    assert_eq!(contexts[0]["events"], json!([event.id]));
    assert!(!told.iter().any(|told| told.to_string().contains("Wants PDF")));
}

#[tokio::test]
async fn a_composed_text_begins_with_facts_and_the_run_records_all_that_state_them() {
    let house = House::new();
    let one = house.seed_statement("home", "user:ann", r#"{"text":"Wants PDF","confidence":0.5}"#);
    let two = house.seed_statement("home", "user:bob", r#"{"text":"Wants PDF","confidence":0.5}"#);
    let report = house.run("recaller", &grant(), r#"{"search":"pdf"}"#).await;
    let calls = answer(&report);
    let composed = &call(&calls, "compose all")["ok"];
    assert_eq!(composed["ids"], json!([two.id]));
    assert_eq!(composed["text"], format!("[fact 0.75] Wants PDF {}\n", two.id));
    let told = house.told(report.run);
    let context = told.iter().find_map(|told| told.get("context")).unwrap();
    assert_eq!(
        (&context["events"], &context["evidence"]),
        (&json!([two.id]), &json!([one.id]))
    );
}

#[tokio::test]
async fn malformed_queries_are_refused() {
    let house = House::new();
    let calls = answer(&house.run("liar", &grant(), "").await);
    for name in [
        "search without handles",
        "search limit 0",
        "search since yesterday",
        "why without handles",
    ] {
        assert_eq!(refused(&calls, name), "invalid", "{name}");
    }
    for name in ["search for 1 MiB", "search with 10,000 tags"] {
        assert_eq!(refused(&calls, name), "too-large", "{name}");
    }
    assert!(call(&calls, "search limit u32::MAX")["ok"].is_u64());
    assert!(call(&calls, "search one handle twice")["ok"].is_u64());
}

#[tokio::test]
async fn what_has_expired_when_the_run_begins_is_not_found() {
    let house = House::new();
    house.seed("home", "user:ann", r#"{"text":"invoices of today","ttlDays":0}"#);
    let lasting = house.seed("home", "user:ann", r#"{"text":"invoices of this year","ttlDays":365}"#);
    let report = house.run("recaller", &grant(), r#"{"search":"invoices"}"#).await;
    assert_eq!(call(&answer(&report), "search all")["ok"]["ids"], json!([lasting.id]));
}

#[tokio::test]
async fn what_is_derived_catches_up_in_steps_to_the_end() {
    let house = House::new();
    for _ in 0..11 {
        house.seed_all("home", "user:ann", (0..1_000).map(|n| json!({ "n": n }).to_string()));
    }
    let last = house.seed("home", "user:ann", r#"{"text":"invoices"}"#);
    let report = house.run("recaller", &grant(), r#"{"search":"invoices"}"#).await;
    assert_eq!(call(&answer(&report), "search all")["ok"]["ids"], json!([last.id]));
}

/// Read your writes: what a run has a receipt for is in its next answer, though its readers are pinned before it.
#[tokio::test]
async fn what_a_run_appended_is_in_its_next_answer() {
    let house = House::new();
    house.seed("home", "user:ann", r#"{"text":"invoices by post"}"#);
    for nth in 0..3 {
        let input =
            json!({"search": format!("parcel {nth}"), "say": format!("parcel {nth} went to Lisbon")}).to_string();
        let report = house.run("recaller", &grant(), &input).await;
        let own = json!([report.appended[0].id]);
        assert!(report.appended[0].seq >= report.head);
        let calls = answer(&report);
        assert_eq!(call(&calls, "search home")["ok"]["ids"][0], own[0]);
        assert_eq!(call(&calls, "facts all")["ok"]["facts"][0]["ids"], own);
        let text = &call(&calls, "compose all")["ok"]["text"];
        assert!(text.as_str().unwrap().contains(&format!("parcel {nth}")), "{text}");
    }
}

/// Another process makes what is derived anew: it was competed with, and the run's time passed without a word.
#[tokio::test]
async fn a_call_that_waits_in_vain_for_what_is_derived_says_how_far_that_is() {
    let house = House::within(limits(|l| l.deadline_ms = 3_000));
    for _ in 0..33 {
        house.seed_all("home", "user:ann", (0..1_000).map(|n| json!({ "n": n }).to_string()));
    }
    let folder = house.ledger.reader().projections_path();
    std::fs::create_dir_all(&folder).unwrap();
    let building = std::fs::File::create(folder.join("building.lock")).unwrap();
    building.lock().unwrap();
    let report = house.run("recaller", &grant(), r#"{"search":"invoices"}"#).await;
    let calls = answer(&report);
    assert_eq!(refused(&calls, "search all"), "unavailable");
    let told = house.told(report.run)[0]["refused"]["message"].to_string();
    assert!(
        told.contains("to seq 0 of 33") && told.contains("readers still answer"),
        "{told}"
    );
    drop(building);
    let report = house.run("recaller", &grant(), r#"{"search":"n"}"#).await;
    assert!(!call(&answer(&report), "search all")["ok"].is_null());
}

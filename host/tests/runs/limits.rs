//! Each limit, and what happens past it.

use std::time::{Duration, Instant};

use quipu_host::{ErrorKind, Outcome, Replayer, Verdict};
use serde_json::json;

use crate::guests::{House, answer, call, grant, guest, kinds, limits, payload, refused, scope};

#[tokio::test]
async fn a_guest_that_computes_for_ever_is_stopped_at_its_deadline() {
    let house = House::within(limits(|l| l.deadline_ms = 200));
    let agent = house.runtime.load(&guest("spin")).unwrap();
    for input in ["", "host"] {
        let began = Instant::now();
        let report = house.runtime.run(&agent, &grant(), input).await.unwrap();
        let took = began.elapsed();
        assert_eq!(report.outcome, Outcome::TimedOut);
        assert!(
            took >= Duration::from_millis(200) && took < Duration::from_secs(5),
            "{took:?}"
        );
        assert_eq!(house.told(report.run).last().unwrap()["deadline"], json!(null));
        assert_eq!(
            house.end(report.run).unwrap().envelope.sys.unwrap()["end"]["outcome"],
            "deadline"
        );
    }
}

#[tokio::test]
async fn memory_ends_where_the_limit_is() {
    let house = House::within(limits(|l| l.memory_bytes = 8 << 20));
    let report = house.run("hog", &grant(), "").await;
    assert!(matches!(report.outcome, Outcome::Trapped(_)), "{:?}", report.outcome);
    let allocated = answer(&house.run("hog", &grant(), "polite").await)["allocated_bytes"]
        .as_u64()
        .unwrap();
    assert!((4 << 20..8 << 20).contains(&allocated), "{allocated}");
}

#[tokio::test]
async fn appends_end_where_the_limit_is() {
    let house = House::within(limits(|l| l.appends = 25));
    let report = house.run("flooder", &grant(), "").await;
    let flood = answer(&report);
    assert_eq!((&flood["appended"], &flood["refused"]), (&json!(25), &json!("quota")));
    assert_eq!(report.appended.len(), 25);

    let batch = json!({"appends": 26, "batch": 26}).to_string();
    let report = house.run("writer", &grant(), &batch).await;
    assert!(matches!(report.outcome, Outcome::Failed(_)), "{:?}", report.outcome);
    assert_eq!(report.appended.len(), 0);
}

#[tokio::test]
async fn drafts_end_where_the_limits_are() {
    let house = House::new();
    let calls = answer(&house.run("big", &grant(), "").await);
    let fits = (1 << 20) - 12;
    assert!(call(&calls, &format!("payload of {fits} bytes"))["ok"].is_object());
    for bytes in [fits + 1, (1 << 20) + 1, 4 << 20] {
        assert_eq!(refused(&calls, &format!("payload of {bytes} bytes")), "too-large");
    }
    assert_eq!(call(&calls, "1000 drafts")["ok"]["receipts"], 1000);
    assert_eq!(refused(&calls, "1001 drafts"), "too-large");
    assert_eq!(
        call(&calls, "1001 drafts")["message"],
        "1001 drafts; one call takes at most 1000"
    );
    for field in ["evidence", "supersedes"] {
        assert!(call(&calls, &format!("256 {field}"))["ok"].is_object());
        assert_eq!(refused(&calls, &format!("257 {field}")), "invalid");
    }
    assert!(call(&calls, "key of 128 bytes")["ok"].is_object());
    assert_eq!(refused(&calls, "key of 129 bytes"), "invalid");
    assert_eq!(refused(&calls, "key of 1048576 bytes"), "invalid");
    for bytes in [128, 129, 1 << 20] {
        assert_eq!(refused(&calls, &format!("kind of {bytes} bytes")), "denied");
        assert_eq!(refused(&calls, &format!("scope of {bytes} bytes")), "denied");
    }
}

#[tokio::test]
async fn a_batch_past_a_commit_is_refused_whole() {
    let house = House::within(limits(|l| l.host_call_bytes = 64 << 20));
    let report = house.run("big", &grant(), "commit").await;
    assert_eq!(refused(&answer(&report), "append-all of 17 MiB"), "too-large");
    assert_eq!(report.appended.len(), 0);
}

#[tokio::test]
async fn a_host_call_carries_no_more_than_its_limit() {
    let house = House::new();
    let report = house.run("big", &grant(), "commit").await;
    assert!(matches!(&report.outcome, Outcome::Trapped(_)), "{:?}", report.outcome);
    assert_eq!(kinds(&house.events_of(report.run)), ["quipu.run", "quipu.run.end"]);
}

#[tokio::test]
async fn an_input_past_its_limit_begins_no_run() {
    let house = House::within(limits(|l| l.input_bytes = 100));
    let agent = house.runtime.load(&guest("echo")).unwrap();
    let before = house.ledger.reader().head();
    let error = house.runtime.run(&agent, &grant(), &"x".repeat(101)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    assert_eq!(house.ledger.reader().head(), before);
}

#[tokio::test]
async fn an_answer_past_its_limit_is_none() {
    let house = House::within(limits(|l| l.input_bytes = 100));
    let report = house.run("echo", &grant(), "the answer tells all that echo sees").await;
    let Outcome::Trapped(message) = &report.outcome else {
        panic!("{:?}", report.outcome)
    };
    assert!(message.contains("at most 100"), "{message}");
    assert_eq!(report.appended.len(), 1);
    assert!(house.end(report.run).is_some());
}

#[tokio::test]
async fn an_answer_that_grows_as_json_still_leaves_an_end() {
    let house = House::new();
    // The guest quotes its input, which doubles it, and JSON doubles that again.
    let fits = house.run("hoarder", &grant(), &"\"".repeat(261_000)).await;
    let Outcome::Failed(said) = &fits.outcome else {
        panic!("{:?}", fits.outcome)
    };
    assert_eq!(payload(&house.end(fits.run).unwrap())["error"], json!(said));

    let report = house.run("hoarder", &grant(), &"\"".repeat(262_000)).await;
    let Outcome::Trapped(message) = &report.outcome else {
        panic!("an answer of {} bytes", 2 * 262_000)
    };
    assert!(message.contains("as JSON"), "{message}");
    assert!(house.end(report.run).is_some());
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_told() {
    let house = House::within(limits(|l| l.told_bytes = 2_000));
    let report = house.run("liar", &grant(), "").await;
    let Outcome::Trapped(message) = &report.outcome else {
        panic!("{:?}", report.outcome)
    };
    assert!(message.contains("2000 bytes"), "{message}");
    let told: usize = house.told(report.run).iter().map(|told| told.to_string().len()).sum();
    assert!((1_000..=2_000).contains(&told), "{told}");
    assert!(house.end(report.run).is_some());
}

#[tokio::test]
async fn a_grant_of_more_scopes_than_handles_is_refused() {
    let house = House::within(limits(|l| l.handles = 2));
    let agent = house.runtime.load(&guest("hoarder")).unwrap();
    let mut wide = grant();
    wide.read.push(scope("second"));
    assert_eq!(
        answer(&house.runtime.run(&agent, &wide, "leak").await.unwrap())["held"],
        2
    );
    wide.read.push(scope("third"));
    assert_eq!(
        house.runtime.run(&agent, &wide, "leak").await.unwrap_err().kind(),
        ErrorKind::Grant
    );
}

#[tokio::test]
async fn a_grant_that_is_too_long_to_record_is_refused() {
    let house = House::new();
    let agent = house.runtime.load(&guest("echo")).unwrap();
    let mut wide = grant();
    wide.append = (0..200).map(|n| scope(&format!("{n:0>128}"))).collect();
    let error = house.runtime.run(&agent, &wide, "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Grant);
}

#[tokio::test]
async fn nonsense_is_refused_and_the_run_goes_on() {
    let house = House::new();
    let report = house.run("liar", &grant(), "").await;
    let calls = answer(&report);
    assert_eq!(refused(&calls, "read limit 0"), "invalid");
    assert!(call(&calls, "read limit 4294967295")["ok"].is_object());
    assert_eq!(
        call(&calls, &format!("read start {}", u64::MAX))["ok"],
        json!({"events": 0, "next": null})
    );
    assert_eq!(refused(&calls, "append-all of nothing"), "invalid");
    for call in calls.as_array().unwrap() {
        let name = call["call"].as_str().unwrap();
        let expected = match name {
            _ if name.starts_with("append payload") || name.starts_with("append evidence") => "invalid",
            _ if name.starts_with("append supersedes") || name.starts_with("get") => "invalid",
            _ if name.starts_with("append kind") || name.starts_with("append scope") => "denied",
            _ => continue,
        };
        assert_eq!(call["refused"], expected, "{call}");
        assert!(!call["message"].as_str().unwrap().contains('/'), "a path? {call}");
    }
    for name in ["", "[]", "null", "{", r#"{"channel":"forged","messageId":"forged"}"#] {
        assert_eq!(refused(&calls, &format!("append source extra {name:?}")), "invalid");
    }
}

#[tokio::test]
async fn a_scope_ends_where_its_quota_is_and_runs_go_on_in_it() {
    let house = House::new();
    // The run's beginning takes one.
    house.quota("home", 6).await;
    let report = house.run("flooder", &grant(), "").await;
    let flood = answer(&report);
    assert_eq!((&flood["appended"], &flood["refused"]), (&json!(5), &json!("quota")));
    let message = flood["message"].as_str().unwrap();
    for part in [
        "home has no room",
        "the quota of home allows 6 entries",
        "it holds 6",
        "operator",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(house.told(report.run)[0]["refused"]["kind"], "quota");
    // Another one begins, reads and ends, and appends nothing, be it alone or among others.
    let reader = house.run("reader", &grant(), "{}").await;
    assert_eq!(answer(&reader)["scopes"][0]["count"], 5, "{reader:?}");
    let full = house.run("writer", &grant(), r#"{"appends":1}"#).await;
    assert!(matches!(full.outcome, Outcome::Failed(_)) && full.appended.is_empty());
    house.quota("home", 40).await;
    let batch = json!({"appends": 39, "batch": 39}).to_string();
    let report = house.run("writer", &grant(), &batch).await;
    assert!(matches!(report.outcome, Outcome::Failed(_)) && report.appended.is_empty());
    // All of it is the same again, from the record.
    let replayer = Replayer::new(house.ledger.reader().clone()).unwrap();
    for run in replayer.runs().map(Result::unwrap) {
        let replay = replayer.replay(&run, None).await.unwrap();
        assert!(matches!(replay.verdict, Verdict::Identical(_)), "{replay:?}");
    }
}

/// What others keep there would show in the numbers.
#[tokio::test]
async fn how_much_is_in_a_scope_that_is_not_read_is_not_told() {
    let house = House::new();
    for _ in 0..7 {
        house.seed("other", "user:ann", r#"{"text":"hers"}"#);
    }
    house.quota("other", 7).await;
    let mut grant = grant();
    grant.append.push(scope("other"));
    let draft = json!({"kind": "memory.write", "payload": "{}", "scope": "other"});
    let calls = json!([{"append": draft}, {"append-all": [draft]}]).to_string();
    let report = house.run("caller", &grant, &calls).await;
    assert_eq!(report.outcome, Outcome::Ok("e quota\ne quota".into()));
    for told in house.told(report.run) {
        let message = told["refused"]["message"].as_str().unwrap();
        assert!(
            message.contains("no room") && !message.contains(['7', '1']),
            "{message}"
        );
    }
}

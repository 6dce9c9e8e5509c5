//! Many runs at once over one ledger.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use quipu_host::{Grant, Outcome};
use serde_json::json;

use crate::guests::{House, actor, answer, grant, guest, limits, scope};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_runs_append_at_once_and_each_sees_its_own_alone() {
    let house = Arc::new(House::new());
    let agent = house.runtime.load(&guest("echo")).unwrap();
    let runs: Vec<_> = (0..50)
        .map(|n| {
            let (house, agent) = (house.clone(), agent.clone());
            tokio::spawn(async move {
                let grant = Grant::new(actor(&format!("agent:{n}")), scope(&format!("home:{}", n % 5)));
                let report = house.runtime.run(&agent, &grant, &format!("of {n}")).await.unwrap();
                let seen = answer(&report);
                let events = seen["scopes"][0]["events"].as_array().unwrap().clone();
                let head = seen["scopes"][0]["head"].as_u64().unwrap();
                for event in &events {
                    let own = event["run"] == json!(report.run);
                    assert!(
                        own || event["seq"].as_u64().unwrap() < head,
                        "seen past the pin: {event}"
                    );
                    assert_eq!(event["scope"], json!(grant.home));
                }
                assert_eq!(
                    events.iter().filter(|event| event["run"] == json!(report.run)).count(),
                    1
                );
                report
            })
        })
        .collect();
    let mut seqs = HashSet::new();
    for run in runs {
        let report = run.await.unwrap();
        assert!(report.appended.iter().all(|receipt| seqs.insert(receipt.seq)));
        let events = house.events_of(report.run);
        assert_eq!(events.len(), 3);
        assert!(
            events
                .iter()
                .all(|event| event.envelope.actor == events[0].envelope.actor)
        );
    }
    assert_eq!(seqs.len(), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_sees_one_and_the_same_log_while_another_appends() {
    let house = Arc::new(House::new());
    for n in 0..20 {
        house.seed("home", "user:ann", &json!({ "n": n }).to_string());
    }
    let reader = house.runtime.load(&guest("reader")).unwrap();
    let writer = house.runtime.load(&guest("writer")).unwrap();
    let writing = tokio::spawn({
        let house = house.clone();
        async move {
            house
                .runtime
                .run(&writer, &grant(), r#"{"appends":300}"#)
                .await
                .unwrap()
        }
    });
    while house.ledger.reader().head() < 40 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let report = house
        .runtime
        .run(&reader, &grant(), r#"{"page":5,"rounds":40}"#)
        .await
        .unwrap();
    let during = house.ledger.reader().head();
    let seen = &answer(&report)["scopes"][0];
    assert_eq!(answer(&writing.await.unwrap())["appended"], 300);

    assert_eq!(seen["digests"], 1, "{seen}");
    assert_eq!(seen["mirrored"], true);
    assert_eq!(seen["head"], json!(report.head));
    assert!(
        during > report.head + 2,
        "the writer did not write meanwhile: nothing was tested"
    );
    let below = house.events().into_iter().filter(|event| {
        event.envelope.seq < report.head
            && event.envelope.scope == scope("home")
            && !event.envelope.kind.as_str().starts_with("quipu.")
    });
    assert_eq!(seen["count"], json!(below.count()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refreshing_moves_a_handle_to_the_present() {
    let house = Arc::new(House::new());
    let reader = house.runtime.load(&guest("reader")).unwrap();
    let run = tokio::spawn({
        let house = house.clone();
        async move {
            house
                .runtime
                .run(&reader, &grant(), r#"{"await_growth":true}"#)
                .await
                .unwrap()
        }
    });
    while !house
        .events()
        .iter()
        .any(|event| event.envelope.kind.as_str() == "quipu.run")
    {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // The run's own first entry moves the head already; this one is seen or not, by when it comes.
    let report = run.await.unwrap();
    let seen = answer(&report);
    let (before, after) = (&seen["scopes"][0]["head"], &seen["refreshed"][0]["head"]);
    assert_eq!(before, &json!(report.head));
    assert!(after.as_u64() > before.as_u64());
    let told = house.told(report.run);
    assert_eq!(told.last().unwrap()["head"], *after);
}

#[tokio::test]
async fn others_go_on_while_a_guest_spins_on_the_only_thread() {
    let house = Arc::new(House::within(limits(|l| l.deadline_ms = 2_000)));
    let spin = house.runtime.load(&guest("spin")).unwrap();
    let echo = house.runtime.load(&guest("echo")).unwrap();
    let spinning = tokio::spawn({
        let house = house.clone();
        async move { house.runtime.run(&spin, &grant(), "").await.unwrap() }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    for n in 0..5 {
        answer(&house.runtime.run(&echo, &grant(), &n.to_string()).await.unwrap());
    }
    assert!(!spinning.is_finished(), "five runs took {:?}", began.elapsed());
    assert_eq!(spinning.await.unwrap().outcome, Outcome::TimedOut);
}

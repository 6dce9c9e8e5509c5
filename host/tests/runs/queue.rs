//! Runs that wait, runs that are not let in, and the end of a runtime.

use std::{sync::Arc, time::Duration};

use quipu_host::{Actor, ErrorKind, Grant, Outcome, Runtime, Scope};

use crate::guests::{House, grant, guest, kinds, limits};

/// Longer than any of these tests takes.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutting_down_waits_for_runs_and_begins_no_more() {
    let house = Arc::new(House::within(limits(|l| l.deadline_ms = 300)));
    let (spin, echo) = (guest("spin"), guest("echo"));
    let (spin, echo) = (house.runtime.load(&spin).unwrap(), house.runtime.load(&echo).unwrap());
    let running = tokio::spawn({
        let house = house.clone();
        async move { house.runtime.run(&spin, &grant(), "").await.unwrap() }
    });
    until_begun(&house).await;
    assert_eq!(house.runtime.shutdown(LONG).await, 0, "it ended by itself");
    assert_eq!(running.await.unwrap().outcome, Outcome::TimedOut);
    let late = house.runtime.run(&echo, &grant(), "").await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutting_down_ends_runs_that_take_too_long_and_records_it() {
    for input in ["", "host"] {
        let house = Arc::new(House::within(limits(|l| l.deadline_ms = 60_000)));
        let spin = house.runtime.load(&guest("spin")).unwrap();
        let running = tokio::spawn({
            let house = house.clone();
            async move { house.runtime.run(&spin, &grant(), input).await.unwrap() }
        });
        until_begun(&house).await;
        assert_eq!(house.runtime.shutdown(Duration::from_millis(20)).await, 1);
        let report = running.await.unwrap();
        assert_eq!(
            report.outcome,
            Outcome::Trapped("the host ended the run".into()),
            "{input:?}"
        );
        assert_eq!(kinds(&house.events_of(report.run)), ["quipu.run", "quipu.run.end"]);
        house.ledger.clone().close().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_no_room_waits_and_past_the_bound_it_is_refused_and_leaves_nothing() {
    let house = House::new();
    let memory = house.runtime.memory().clone();
    let runtime = Runtime::over(memory, limits(|l| l.deadline_ms = 60_000))
        .unwrap()
        .waiting(0);
    let runtime = Arc::new(runtime);
    let spin = runtime.load(&guest("spin")).unwrap();
    // Eight begin, and one waits.
    let run = |n: usize| {
        let (runtime, spin) = (runtime.clone(), spin.clone());
        let home = Scope::new(&format!("home:{n}")).unwrap();
        let grant = Grant::new(Actor::new("agent:test").unwrap(), home);
        tokio::spawn(async move { runtime.run(&spin, &grant, "").await })
    };
    let running: Vec<_> = (0..8).map(run).collect();
    // Besides the ledger's own scope.
    while house.ledger.reader().scopes().len() < 9 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let waiting = run(8);
    let another = grant();
    let refused = loop {
        let refused = runtime.run(&spin, &another, "");
        match tokio::time::timeout(Duration::from_millis(100), refused).await {
            Ok(refused) => break refused.unwrap_err(),
            // It took the place in the queue before the ninth did.
            Err(_) => continue,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::Busy);
    assert!(refused.to_string().contains("1 runs wait already"), "{refused}");
    assert_eq!(house.ledger.reader().head(), 9, "neither is recorded");
    assert_eq!(runtime.shutdown(Duration::ZERO).await, 8);
    for run in running {
        let report = run.await.unwrap().unwrap();
        assert!(matches!(report.outcome, Outcome::Trapped(_)), "{:?}", report.outcome);
    }
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
}

async fn until_begun(house: &House) {
    while house.ledger.reader().head() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

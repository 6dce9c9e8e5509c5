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
    house.until_begun().await;
    assert_eq!(house.runtime.shutdown(LONG).await, 0, "it ended by itself");
    assert_eq!(running.await.unwrap().outcome, Outcome::TimedOut);
    let late = house.runtime.run(&echo, &grant(), "").await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutting_down_ends_runs_that_take_too_long_and_records_it() {
    for input in ["", "host"] {
        let house = House::within(limits(|l| l.deadline_ms = 60_000));
        let report = house.run_halted(input).await;
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
        .at_once(8)
        .waiting(1);
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
    // Besides the ledger's first entry.
    while house.ledger.reader().head() < 9 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let ninth = grant();
    let waiting = runtime.run(&spin, &ninth, "");
    tokio::pin!(waiting);
    let waited = tokio::time::timeout(Duration::from_millis(100), waiting.as_mut()).await;
    assert!(waited.is_err(), "it waits");
    let refused = runtime.run(&spin, &ninth, "").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy);
    assert!(refused.to_string().contains("1 runs wait already"), "{refused}");
    assert_eq!(house.ledger.reader().head(), 9, "neither is recorded");
    let (ended, waited) = tokio::join!(runtime.shutdown(Duration::ZERO), waiting);
    assert_eq!((ended, waited.unwrap_err().kind()), (8, ErrorKind::Closed));
    for run in running {
        let report = run.await.unwrap().unwrap();
        assert!(matches!(report.outcome, Outcome::Trapped(_)), "{:?}", report.outcome);
    }
}

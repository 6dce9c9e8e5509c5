//! What an application's recorder is told of runs.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

use crate::guests::{House, grant, guest, limits};

/// Sums of counters and histograms, and the last value of gauges, by the metric's name and labels.
#[derive(Clone, Default)]
struct Sums(Arc<Mutex<BTreeMap<String, f64>>>);

struct Sum {
    name: String,
    sums: Sums,
}

impl Sum {
    fn change(&self, change: impl FnOnce(&mut f64)) {
        change(self.sums.0.lock().unwrap().entry(self.name.clone()).or_default());
    }
}

impl CounterFn for Sum {
    fn increment(&self, value: u64) {
        self.change(|sum| *sum += value as f64);
    }
    fn absolute(&self, value: u64) {
        self.change(|sum| *sum = value as f64);
    }
}

impl GaugeFn for Sum {
    fn increment(&self, value: f64) {
        self.change(|sum| *sum += value);
    }
    fn decrement(&self, value: f64) {
        self.change(|sum| *sum -= value);
    }
    fn set(&self, value: f64) {
        self.change(|sum| *sum = value);
    }
}

impl HistogramFn for Sum {
    fn record(&self, value: f64) {
        self.change(|sum| *sum += value);
    }
}

impl Sums {
    fn of(&self, key: &Key) -> Arc<Sum> {
        let labels: String = key
            .labels()
            .map(|label| format!("{{{}={}}}", label.key(), label.value()))
            .collect();
        let name = format!("{}{labels}", key.name());
        Arc::new(Sum {
            name,
            sums: self.clone(),
        })
    }

    fn get(&self, name: &str) -> Option<f64> {
        self.0.lock().unwrap().get(name).copied()
    }
}

impl Recorder for Sums {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.of(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.of(key))
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.of(key))
    }
}

/// One thread: the recorder is this thread's.
#[test]
fn runs_are_counted_by_their_ends() {
    let sums = Sums::default();
    metrics::with_local_recorder(&sums, || {
        let executor = tokio::runtime::Builder::new_current_thread().enable_all().build();
        executor.unwrap().block_on(async {
            let house = House::within(limits(|l| l.deadline_ms = 200));
            house.run("echo", &grant(), "hello").await;
            house.run("trapper", &grant(), "panic").await;
            house.run("trapper", &grant(), "error").await;
            house.run("spin", &grant(), "").await;
            // Dropped while it goes on.
            let grant_of_it = grant();
            let killed = house.run("spin", &grant_of_it, "");
            assert!(tokio::time::timeout(Duration::from_millis(50), killed).await.is_err());
            house.runtime.shutdown(Duration::ZERO).await;
            let agent = house.runtime.load(&guest("echo")).unwrap();
            house.runtime.run(&agent, &grant(), "late").await.unwrap_err();
        });
    });
    for outcome in ["ok", "trapped", "failed", "deadline", "killed"] {
        let name = format!("quipu_runs_total{{outcome={outcome}}}");
        assert_eq!(sums.get(&name), Some(1.0), "{name}");
    }
    assert_eq!(sums.get("quipu_runs_refused_total{reason=closed}"), Some(1.0));
    assert_eq!(sums.get("quipu_runs_running"), Some(0.0));
    assert_eq!(
        sums.get("quipu_run_appends"),
        Some(3.0),
        "one of echo, one of each trapper"
    );
    assert!(sums.get("quipu_run_calls").unwrap() >= 2.0);
    let seconds = sums.get("quipu_run_seconds").unwrap();
    assert!((0.2..60.0).contains(&seconds), "{seconds}");
}

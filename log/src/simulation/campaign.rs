//! Many seeds, on all processors.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use super::world::{self, Report};

/// What happened in all of them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Total {
    pub(super) seeds: u64,
    pub(super) report: Report,
}

/// A seed in which a promise was broken.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) seed: u64,
    pub(super) what: String,
}

/// Runs seeds from `from` on, each through so many power cuts, until one fails. `progress` is told after each.
pub(super) fn run(from: u64, seeds: u64, cuts: u64, progress: impl Fn(&Total) + Sync) -> Result<Total, Failure> {
    let next = AtomicU64::new(from);
    let done = Mutex::new((Total::default(), None::<Failure>));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds || done.lock().unwrap().1.is_some() {
                        return;
                    }
                    let outcome = one(seed, cuts);
                    let mut done = done.lock().unwrap();
                    match outcome {
                        Ok(report) => {
                            done.0.add(&report);
                            progress(&done.0);
                        }
                        // Of two that fail at once the lower one is named.
                        Err(what) if done.1.as_ref().is_none_or(|failure| seed < failure.seed) => {
                            done.1 = Some(Failure { seed, what });
                        }
                        Err(_) => {}
                    }
                }
            });
        }
    });
    match done.into_inner().unwrap() {
        (total, None) => Ok(total),
        (_, Some(failure)) => Err(failure),
    }
}

/// A panic is a broken promise too.
fn one(seed: u64, cuts: u64) -> Result<Report, String> {
    catch_unwind(AssertUnwindSafe(|| world::run(seed, cuts, None))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("a panic: {}", text.unwrap_or_default()))
    })
}

impl Total {
    fn add(&mut self, more: &Report) {
        let sum = &mut self.report;
        self.seeds += 1;
        sum.cuts += more.cuts;
        sum.cuts_in_open += more.cuts_in_open;
        sum.kills += more.kills;
        sum.faults += more.faults;
        sum.commits += more.commits;
        sum.full += more.full;
        sum.entries += more.entries;
        sum.roots += more.roots;
        sum.segments += more.segments;
        sum.calls += more.calls;
    }
}

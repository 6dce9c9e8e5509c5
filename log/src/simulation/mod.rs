//! A ledger on a simulated machine whose power, disk and processes fail at random, each time in the same way for the
//! same seed: no threads, no clock and no randomness but what the seed gives.
//!
//! `world.rs` says what must hold and `work.rs` does the work; `model.rs` knows what must be there; `filling.rs` what there is
//! room for; `disk.rs` is the storage, with what each file (`image.rs`) and folder (`names.rs`) may hold after a power cut; `plan.rs` decides which calls go
//! wrong; `roots.rs` checks the roots of scopes; `damage.rs` changes bytes behind the ledger's back.

mod beside;
mod campaign;
mod damage;
mod dice;
mod disk;
mod endings;
mod erasing;
mod filling;
mod image;
mod model;
mod names;
mod plan;
mod roots;
mod storage;
mod work;
mod world;

use std::time::{Duration, Instant};

use plan::{Ending, Lie};

/// Power cuts that each seed goes through.
const CUTS: u64 = 10;

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_invented() {
    let total = campaign::run(0, 180, CUTS, |_| {}).unwrap();
    let report = total.report;
    // The machine does fail, and the ledger does work.
    assert!(report.cuts >= 180 * CUTS && report.cuts_in_open > 150, "{total:?}");
    assert!(report.kills > 50 && report.faults > 500, "{total:?}");
    assert!(report.commits > 2_000 && report.segments > 300, "{total:?}");
    assert!(report.roots > 100 && report.full > 20, "{total:?}");
}

#[test]
fn the_same_seed_does_the_same() {
    for seed in 0..5 {
        assert_eq!(
            world::run(seed, CUTS, None),
            world::run(seed, CUTS, None),
            "seed {seed}"
        );
    }
}

/// Whatever was being done when the process or the power went, entries that rest on what it left are there after the
/// next power cut.
#[test]
fn every_call_can_be_the_last() {
    type Work = fn(&mut world::World) -> model::Result;
    let cases = [
        ("append", world::World::step_into_every_scope as Work, 5),
        ("publish", world::World::publish, 5),
        ("rewrite the key file", world::World::rewrite_keys, 8),
        ("change the passphrase", world::World::change_passphrase, 8),
        ("rotate the key", world::World::rotate, 5),
        ("keep a component", world::World::keep_component, 5),
        ("import", world::World::import, 4),
        ("erase", world::World::erase_from_every_scope, 20),
    ];
    std::thread::scope(|threads| {
        for (what, work, least) in cases {
            threads.spawn(move || {
                for (seed, ending) in [(1, Ending::Kill), (4, Ending::PowerCut)] {
                    // Not into a new one: that would sync what an old one rests on.
                    let calls = endings::at_every_call(seed, ending, work, world::World::step_into_known_scopes);
                    let calls = calls.unwrap_or_else(|e| panic!("{what}, seed {seed}, {ending:?}: {e}"));
                    assert!(calls >= least, "{what} has {calls} calls");
                    println!("{what}, {ending:?}: {calls} calls");
                }
            });
        }
    });
}

/// A medium that does not do what it reports loses entries, and that is seen: the checks above can fail.
#[test]
fn a_medium_that_lies_is_caught() {
    for lie in [Lie::FileSync, Lie::FolderSync, Lie::Rename, Lie::SameBytes, Lie::Lock] {
        let caught = (0..4_000).find_map(|seed| {
            world::run(seed, CUTS, Some(lie))
                .err()
                .map(|what| format!("seed {seed}: {what}"))
        });
        let what = caught.unwrap_or_else(|| panic!("{lie:?} goes unnoticed"));
        println!("{lie:?}: {what}");
    }
}

#[test]
fn damage_is_named_or_does_not_matter() {
    for seed in 0..12 {
        damage::run(seed, CUTS, 60).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    }
}

/// What an open finds written and shows, although nobody had synced it or a sync of it had failed, is durable before
/// anything is appended to it.
#[test]
fn what_an_open_shows_stays() {
    for (seed, ending) in (0..8).flat_map(|seed| [(seed, Ending::Kill), (seed, Ending::Fault)]) {
        endings::at_every_call(seed, ending, world::World::step_into_every_scope, |_| Ok(()))
            .unwrap_or_else(|e| panic!("seed {seed}, {ending:?}: {e}"));
    }
}

/// `cargo xtask fuzz sim` runs this.
#[test]
#[ignore = "takes minutes; `cargo xtask fuzz sim` runs it"]
fn many() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (from, seeds) = (number("QUIPU_SIM_FROM", 0), number("QUIPU_SIM_SEEDS", 1_000));
    let begun = Instant::now();
    let said = std::sync::Mutex::new(begun);
    let say = |total: &campaign::Total| {
        let report = &total.report;
        println!(
            "{} of {seeds} seeds: {} power cuts ({} while opening), {} kills, {} faults, {} commits, {} entries, {:.0} s",
            total.seeds,
            report.cuts,
            report.cuts_in_open,
            report.kills,
            report.faults,
            report.commits,
            report.entries,
            begun.elapsed().as_secs_f64()
        );
    };
    let total = campaign::run(from, seeds, CUTS, |total| {
        let mut said = said.lock().unwrap();
        if said.elapsed() > Duration::from_secs(5) {
            *said = Instant::now();
            say(total);
        }
    });
    match total {
        Ok(total) => {
            say(&total);
            println!("nothing acknowledged was lost, and nothing was there that nobody submitted");
        }
        Err(failure) => panic!(
            "seed {}: {}\nrepeat it with `cargo xtask fuzz sim --seeds 1 --from {}`",
            failure.seed, failure.what, failure.seed
        ),
    }
}

//! Verifiers that we did not write accept the logs of every size, and refuse each with one bit changed.
//!
//! They are in tests/strangers, and `cargo xtask test` installs what they need; one that is not here is passed over, which
//! a line on stderr says.

#[path = "../ledgers/mod.rs"]
mod ledgers;

mod cases;
mod damage;
mod stranger;

use std::{thread, time::Instant};

use cases::Cases;
use stranger::Stranger;

/// Entries up to which a log of every size is verified.
const EVERY_SIZE_TO: u64 = 600;
/// A log with three levels of tiles.
const LARGE: u64 = 70_000;

#[test]
fn every_size_is_accepted_and_every_changed_bit_refused() {
    let begin = Instant::now();
    let mut cases = Cases::new();
    cases.grow(EVERY_SIZE_TO, LARGE);
    for size in [1, 2, 3, 255, 256, 257, 511, 512, 513, EVERY_SIZE_TO] {
        cases.damage(size);
    }
    println!(
        "{} logs and {} damaged ones in {:.1?}",
        cases.sound.len(),
        cases.damaged.len(),
        begin.elapsed()
    );
    judge(&cases);
}

/// All strangers that are here look at all cases that they can read.
#[track_caller]
fn judge(cases: &Cases) {
    let strangers = Stranger::all_here();
    thread::scope(|scope| {
        for stranger in &strangers {
            scope.spawn(|| stranger.judge(cases));
        }
    });
}

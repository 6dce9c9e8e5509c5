//! Verifiers that we did not write accept the logs of every size, and refuse each with one bit changed.
//!
//! They are in tests/strangers, and `cargo xtask test` installs what they need; one that is not here is passed over, which
//! a line on stderr says.

#[path = "../ledgers/mod.rs"]
mod ledgers;

mod cases;
mod damage;
mod stranger;

use std::{
    thread,
    time::{Duration, Instant},
};

use cases::Cases;
use ledgers::{TestLedger, draft};
use quipu_format::{Content, Scope, Signer};
use quipu_log::{ErasurePlan, Ledger, Receipt, Target, rotate_key};
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
    for size in (1..=EVERY_SIZE_TO).chain([cases.newest()]) {
        cases.damage_somewhere(size);
    }
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

#[test]
fn what_was_redacted_retained_and_forgotten_changes_nothing_for_strangers() {
    let kim = Signer::new("operator:kim", [9; 32]).unwrap();
    let mut cases = Cases::of(TestLedger::create_in_memory_with(&kim.verifier_key()));
    let receipts = fill(&cases, 300);
    cases.take();
    let scope = |name| Scope::new(name).unwrap();
    let erase = |cases: &mut Cases, target: Target| {
        let ledger = cases.ledger.open();
        let plan = ErasurePlan::new(ledger.reader(), &target, None).unwrap();
        let acts = plan.sign(ledger.reader(), &kim, "on request").unwrap();
        ledger.act_blocking(acts).unwrap();
        ledger.close().unwrap();
        cases.take();
        cases.damage_newest();
    };
    erase(
        &mut cases,
        Target::Events(receipts.iter().step_by(7).map(|receipt| receipt.id).collect()),
    );
    let prefix = Target::Before {
        scope: scope("a"),
        seq: receipts[200].seq,
    };
    erase(&mut cases, prefix);
    erase(&mut cases, Target::Scope(scope("b")));
    let reader = Ledger::open_read_only(cases.ledger.path()).unwrap();
    let erased = |at: usize| reader.event(receipts[at].seq).unwrap().unwrap().content == Content::Erased;
    // By name, with the prefix, and with the scope; and what stays.
    assert!(erased(14) && erased(198) && erased(299) && !erased(202));
    judge(&cases);
}

#[test]
fn strangers_accept_a_log_under_its_new_key_and_refuse_it_under_the_old_one() {
    let mut cases = Cases::of(TestLedger::create_in_memory());
    fill(&cases, 270);
    cases.take();
    judge(&cases);
    for turn in 1..=2 {
        let old = cases.sound.last().unwrap().to_owned();
        rotate_key(cases.ledger.path(), Duration::ZERO).unwrap();
        // Whoever goes on with the new key starts from a checkpoint that it signed.
        cases = Cases::of(cases.ledger);
        cases.take();
        fill(&cases, 10 * turn);
        cases.take();
        cases.damage_newest();
        cases.refuse_checkpoint_of(&old);
        judge(&cases);
    }
}

/// Appends so many notes, and closes the ledger.
fn fill(cases: &Cases, notes: usize) -> Vec<Receipt> {
    let ledger = cases.ledger.open();
    let append = |n: usize| ledger.append_blocking(draft(["a", "b"][n % 2], &n.to_string()));
    let receipts = (0..notes).map(|n| append(n).unwrap()).collect();
    ledger.close().unwrap();
    receipts
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

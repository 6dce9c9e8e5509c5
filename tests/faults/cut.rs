//! The power is cut: an ext4 on a loop device is shut down under a writer at work, and mounted again.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::{
    driver::{Ledger, run},
    machine::{Mount, compiled, may_mount, skip},
    work::{Acknowledged, Random, append, appending, assert_kept, number},
};

const UNTESTED: &str = "that acknowledged appends survive a cut of the file system";
/// Cycles on one ledger; then a new one is begun, so that its beginnings are cut often too.
const CYCLES_A_LEDGER: u64 = 50;

#[test]
fn acknowledged_appends_survive_a_cut_of_the_file_system() {
    if !may_mount("cut::acknowledged_appends_survive_a_cut_of_the_file_system", UNTESTED) {
        return;
    }
    let Some(cut) = compiled("cut.c", &[], UNTESTED) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut disk = match Mount::ext4(128, folder.path()) {
        Ok(disk) => disk,
        Err(why) => return skip(&why, UNTESTED),
    };
    let cycles = number("QUIPU_CUT_CYCLES").unwrap_or(9);
    let mut random = Random::new();
    let begin = Instant::now();
    let mut ledger = Ledger::within(disk.path());
    let mut acknowledged = Acknowledged::new();
    let (mut total, mut in_flight, mut repairs) = (0, 0, 0);
    for cycle in 1..=cycles {
        if cycle % CYCLES_A_LEDGER == 0 {
            ledger = Ledger::within(disk.path());
            total += acknowledged.len();
            acknowledged.clear();
        }
        let when = format!("cut {cycle}");
        let flags = (cycle % 3).to_string();
        let first = acknowledged.len() as u64;
        // Sometimes in the middle of opening, sometimes behind thousands of appends.
        let most = 1 << random.below(11);
        let wanted = random.below(most);
        let ran = append(
            &mut appending(&ledger),
            &mut acknowledged,
            first + 100_000,
            wanted,
            |_| {
                thread::sleep(Duration::from_micros(random.below(5_000)));
                run(Command::new(&cut).arg(disk.path()).arg(&flags)).good();
            },
        );
        ran.exits(2).tells(&["cannot ", "(os error "]);
        disk.unmount();
        disk.mount();
        let held = assert_kept(&ledger.path(), &acknowledged, &when);
        assert!(
            held <= acknowledged.len() as u64 + 1,
            "{when}: one draft was on its way"
        );
        // One that was durable before it could be acknowledged: sent again under its key, it is found.
        in_flight += held - acknowledged.len() as u64;
        if cycle % CYCLES_A_LEDGER == 0 {
            disk.unmount();
            repairs += u64::from(disk.repair());
            disk.mount();
        }
    }
    total += acknowledged.len();
    println!(
        "{cycles} cuts of an ext4, {total} appends acknowledged and none lost, {in_flight} kept that were on their way, \
         {repairs} repairs of the file system, {:.0?}",
        begin.elapsed()
    );
}

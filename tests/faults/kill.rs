//! The process is killed.

use std::{thread, time::Duration};

use quipu_log::Ledger as Log;

use crate::{
    driver::Ledger,
    work::{Acknowledged, Random, append, appending, assert_kept, number},
};

/// 10,000 appends, in which the writer is killed 50 times and started again. Those that were sent and not
/// acknowledged are sent again under their keys.
#[test]
fn acknowledged_appends_survive_kill_9() {
    let kills = number("QUIPU_KILLS").unwrap_or(50);
    let appends = kills * 200;
    let mut random = Random::new();
    let ledger = Ledger::new();
    let mut acknowledged = Acknowledged::new();
    for kill in 1..=kills {
        let left = appends - acknowledged.len() as u64;
        let wanted = random.below(2 * left / (kills - kill + 1) + 1);
        append(
            &mut appending(&ledger),
            &mut acknowledged,
            appends,
            wanted,
            |appender| {
                thread::sleep(Duration::from_micros(random.below(1_000)));
                appender.kill();
            },
        );
        ledger.verify().good();
        let reader = Log::open_read_only(&ledger.path()).unwrap();
        for (n, receipt) in acknowledged.iter().rev().take(500) {
            // A reader waits for a sign that the last commit was synced, and the next writer gives it.
            let seq = receipt["seq"].as_u64().unwrap();
            let waits = seq >= reader.head() && *n + 1 == acknowledged.len() as u64;
            let shown = reader.event(seq).unwrap().map(|event| event.hash.to_string());
            assert!(
                waits || shown.as_deref() == receipt["hash"].as_str(),
                "{n} is lost after kill {kill}"
            );
        }
    }
    append(&mut appending(&ledger), &mut acknowledged, appends, appends, |_| {}).good();
    assert_eq!(acknowledged.len() as u64, appends);
    assert_kept(&ledger.path(), &acknowledged, "after the last kill");
    assert_eq!(ledger.log(&["--actor", "tool:test"]).len() as u64, appends, "each once");
    println!("{appends} appends, {kills} kills");
}

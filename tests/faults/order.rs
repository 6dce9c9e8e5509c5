//! The order of system calls: an acknowledgement is written after the sync that covers it has returned.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use crate::{
    driver::{self, Ledger, has},
    work::draft,
};

#[test]
fn every_acknowledgement_follows_a_sync_that_covers_it() {
    const DRAFTS: u64 = 200;
    if !has("strace", "that acknowledgements follow their sync") {
        return;
    }
    let ledger = Ledger::new();
    let trace = ledger.beside("trace");
    let drafts = ledger.file("drafts", (0..DRAFTS).map(|n| draft(n) + "\n").collect::<String>());
    let mut strace = Command::new("strace");
    strace.args([
        "-f",
        "-y",
        "-s",
        "1000000",
        "-e",
        "trace=write,pwrite64,pwritev,pwritev2,fdatasync,fsync",
        "-o",
    ]);
    strace
        .arg(&trace)
        .arg(env!("CARGO_BIN_EXE_quipu"))
        .arg("--ledger")
        .arg(ledger.path());
    strace.args(["append", "--actor", "tool:test", "--jsonl"]).arg(drafts);
    let ran = driver::run(&mut strace);
    if ran.code != 0 && ran.err.contains("ptrace") {
        println!("skipped, strace may not trace here: {}", ran.err);
        return;
    }
    assert_eq!(ran.good().json_lines().len() as u64, DRAFTS);

    let trace = fs::read_to_string(trace).unwrap();
    assert_eq!(unsynced_acknowledgements(&trace), (DRAFTS, vec![]));
    // The control: without its syncs, no acknowledgement of the same trace is covered.
    let without: String = trace
        .lines()
        .filter(|line| !line.contains("sync"))
        .map(|line| format!("{line}\n"))
        .collect();
    let (acknowledged, unsynced) = unsynced_acknowledgements(&without);
    assert_eq!((acknowledged, unsynced.len() as u64), (DRAFTS, DRAFTS));
}

/// Reads a trace of `strace -f -y`. Gives how many entries were acknowledged on standard output, and the positions of
/// those whose bytes no sync of the log had covered by then.
fn unsynced_acknowledgements(trace: &str) -> (u64, Vec<u64>) {
    // Calls of several threads are cut in two: `call(… <unfinished ...>` and `<... call resumed> … = 0`.
    let mut unfinished = BTreeMap::<&str, Call>::new();
    let mut written = BTreeSet::new();
    let mut synced = BTreeSet::new();
    let mut acknowledged = 0;
    let mut unsynced = Vec::new();
    for line in trace.lines() {
        let (thread, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        let begun = match call.split_once("resumed>") {
            Some(_) => unfinished.remove(thread),
            None if call.starts_with("write(1<") => {
                for seq in positions(call) {
                    acknowledged += 1;
                    if !synced.contains(&seq) {
                        unsynced.push(seq);
                    }
                }
                None
            }
            None if !call.contains("/log/") => None,
            None if call.starts_with("pwrite") => Some(Call::Write(positions(call))),
            None if call.starts_with("fdatasync(") || call.starts_with("fsync(") => Some(Call::Sync(written.clone())),
            None => None,
        };
        match begun {
            Some(begun) if call.ends_with("<unfinished ...>") => drop(unfinished.insert(thread, begun)),
            Some(Call::Write(seqs)) if !call.contains(" = -1") => written.extend(seqs),
            Some(Call::Sync(seqs)) if call.ends_with("= 0") => synced.extend(seqs),
            _ => {}
        }
    }
    (acknowledged, unsynced)
}

enum Call {
    /// These entries are on their way.
    Write(Vec<u64>),
    /// These entries had been written when the sync began.
    Sync(BTreeSet<u64>),
}

/// The entries whose JSON a traced string holds.
fn positions(call: &str) -> Vec<u64> {
    let after = call.split(r#"\"seq\":"#).skip(1);
    after
        .filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
        .collect()
}

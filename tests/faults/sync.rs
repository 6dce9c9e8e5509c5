//! A sync fails: nothing is acknowledged after it, nobody waits for ever, and the next open finds all that was
//! acknowledged before.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use quipu_log::ErrorKind;
use serde_json::Value;

use crate::{
    driver::{Ledger, Ran, has, run},
    machine::{Mount, compiled, fill_up, may_mount, memory, skip},
    work::{Acknowledged, append, append_of, appending, assert_kept, draft},
    worker,
};

const UNTESTED: &str = "what a failing sync does";
const DRAFTS: u64 = 12;

/// Every sync of a process fails in turn, once, or it and all after it.
#[test]
fn nothing_is_acknowledged_after_a_failed_sync() {
    let Some(library) = compiled("sync_fails.c", &["-shared", "-fPIC", "-ldl"], UNTESTED) else {
        return;
    };
    let mut runs = 0;
    let mut files = BTreeSet::new();
    for all in [false, true] {
        for number in (1..).step_by(if all { 3 } else { 1 }) {
            let when = format!("sync {number} fails, all after it: {all}");
            let ledger = Ledger::within(&memory());
            let drafts = ledger.file("drafts", (40..40 + DRAFTS).map(|n| draft(n) + "\n").collect::<String>());
            let mut command = ledger.command(["append", "--actor", "tool:test", "--jsonl"]);
            command.arg(drafts);
            let told = failing(&library, &command, number, all);
            let Some(fault) = &told.fault else {
                assert_eq!(
                    (told.code, told.before.len() as u64),
                    (0, DRAFTS),
                    "{when}: {}",
                    told.all
                );
                assert!(number > DRAFTS, "there were only {number} syncs");
                break;
            };
            // What else is written is written again or made anew: only these two hold what cannot be had again.
            let matters = fault.contains("/log/") || fault.ends_with("/keys");
            assert!(
                !matters || told.after.is_empty(),
                "{when}: acknowledged after it: {}",
                told.all
            );
            assert!(!matters || told.code == 2, "{when}: {}", told.all);
            told.is_clear(&when);
            let receipts = told.before.iter().chain(&told.after).cloned();
            let acknowledged: Acknowledged = (40..).zip(receipts).collect();
            assert_kept(&ledger.path(), &acknowledged, &when);
            files.insert(fault.rsplit('/').next().unwrap().to_owned());
            runs += 1;
        }
    }
    println!("{runs} failing syncs of an append, of {files:?}");
    assert!(files.contains("keys") && files.contains("00000000000000000000.log") && files.contains("checkpoint.new"));
}

/// Whoever goes on after the error, through the library, is refused until the ledger is opened again; segments are small,
/// so that the syncs of a rotation fail too.
#[test]
fn a_writer_that_goes_on_is_refused_after_a_failed_sync() {
    let Some(library) = compiled("sync_fails.c", &["-shared", "-fPIC", "-ldl"], UNTESTED) else {
        return;
    };
    let (mut runs, mut refused) = (0, 0);
    for number in 1.. {
        let when = format!("sync {number} fails");
        let ledger = Ledger::within(&memory());
        let told = failing(
            &library,
            &worker::command(&ledger.path(), 0..DRAFTS, true),
            number,
            false,
        );
        let Some(fault) = &told.fault else {
            assert_eq!(
                (told.code, told.before.len() as u64),
                (0, DRAFTS),
                "{when}: {}",
                told.all
            );
            break;
        };
        assert!(!told.all.contains("panicked"), "{when}: {}", told.all);
        // A next segment that could not be prepared is thrown away and begun anew.
        let matters = (fault.contains("/log/") && !fault.ends_with("/next")) || fault.ends_with("/keys");
        assert!(
            !matters || told.after.is_empty(),
            "{when}, of {fault}: acknowledged after it: {}",
            told.all
        );
        refused += u64::from(matters);
        let receipts = told.before.iter().chain(&told.after);
        let acknowledged: Acknowledged = receipts.map(|it| (it["n"].as_u64().unwrap(), it.clone())).collect();
        assert_kept(&ledger.path(), &acknowledged, &when);
        runs += 1;
    }
    println!("{runs} failing syncs of a writer that goes on, after {refused} of which it is refused");
    assert!(refused > DRAFTS, "only {refused} of {runs}");
}

#[test]
fn a_ledger_that_a_failed_sync_left_unfinished_is_none_or_whole() {
    let Some(library) = compiled("sync_fails.c", &["-shared", "-fPIC", "-ldl"], UNTESTED) else {
        return;
    };
    for number in 1.. {
        let when = format!("sync {number} of init fails");
        let ledger = Ledger::none_within(&memory());
        let mut init = crate::driver::quipu();
        init.arg("init").arg(ledger.path());
        let told = failing(&library, &init, number, false);
        if told.fault.is_none() {
            assert_eq!(told.code, 0, "{when}");
            assert!(number > 10, "there were only {number} syncs");
            return;
        }
        told.is_clear(&when);
        match quipu_log::Ledger::open_read_only(&ledger.path()) {
            Err(error) if error.kind() == ErrorKind::NotFound => assert_eq!(told.code, 2, "{when}"),
            Err(error) => panic!("{when}: {error}"),
            Ok(_) => assert_eq!(assert_kept(&ledger.path(), &Acknowledged::new(), &when), 0),
        }
    }
}

/// What a command said while one of its syncs failed, in order.
struct Told {
    code: i32,
    /// The file whose sync failed first.
    fault: Option<String>,
    /// Receipts before that, and after.
    before: Vec<Value>,
    after: Vec<Value>,
    all: String,
}

impl Told {
    #[track_caller]
    fn is_clear(&self, when: &str) {
        assert!(!self.all.contains("panicked"), "{when}: {}", self.all);
        match self.code {
            0 => {}
            2 => assert!(
                self.all.contains("error: ") && self.all.contains("Input/output error"),
                "{when}: {}",
                self.all
            ),
            code => panic!("{when}: exit code {code}: {}", self.all),
        }
    }
}

fn failing(library: &Path, command: &Command, number: u64, all: bool) -> Told {
    // Both outputs in one, so that their order is seen.
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "exec \"$0\" \"$@\" 2>&1"])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.env("LD_PRELOAD", library).env("FAIL_AT", number.to_string());
    if all {
        shell.env("FAIL_ALL", "1");
    }
    let Ran { code, out, .. } = run(&mut shell);
    let mut told = Told {
        code,
        fault: None,
        before: Vec::new(),
        after: Vec::new(),
        all: out,
    };
    for line in told.all.lines() {
        if let Some((_, file)) = line.split_once(" fails: ") {
            told.fault.get_or_insert(file.to_owned());
        } else if line.starts_with("{\"seq\":") {
            let receipt = serde_json::from_str(line).unwrap();
            match told.fault {
                None => told.before.push(receipt),
                Some(_) => told.after.push(receipt),
            }
        }
    }
    told
}

/// A real one: a disk that turns out to be smaller than it said. After the error the page cache shows what never reached
/// the disk, until it is mounted again.
#[test]
fn a_disk_that_cannot_keep_its_promise_loses_nothing_acknowledged() {
    let test = "sync::a_disk_that_cannot_keep_its_promise_loses_nothing_acknowledged";
    if !may_mount(test, UNTESTED) {
        return;
    }
    let made = Mount::tmpfs(14).and_then(|backing| Ok((Mount::ext4(64, backing.path())?, backing)));
    let (mut disk, backing) = match made {
        Ok(made) => made,
        Err(why) => return skip(&why, UNTESTED),
    };
    let ledger = Ledger::within(disk.path());
    let mut acknowledged = Acknowledged::new();
    let ran = append_of(
        10_000,
        &mut appending(&ledger),
        &mut acknowledged,
        100_000,
        100_000,
        |_| {},
    );
    // Linux gives EIO or, from a loop device, ENOSPC.
    let ran = ran.exits(2).tells(&["cannot sync ", "(os error "]);
    let told = acknowledged.len();
    disk.unmount();
    backing.resize(128);
    let repaired = disk.repair();
    disk.mount();
    assert_kept(&ledger.path(), &acknowledged, "after a real EIO");
    let more = acknowledged.len() as u64 + 100;
    append(&mut appending(&ledger), &mut acknowledged, more, 100, |_| {}).good();
    assert_kept(&ledger.path(), &acknowledged, "with a disk that is whole again");
    assert!(told > 100, "only {told} were acknowledged");
    println!("{told} appends, then {}file system repaired: {repaired}", ran.err);
}

/// The sync of a commit fails for real. The page cache then shows the commit, as clean, though the disk never got it, and
/// a second sync would succeed: so the next open writes it again before it believes it.
#[test]
fn a_commit_that_only_the_page_cache_holds_is_written_again() {
    let test = "sync::a_commit_that_only_the_page_cache_holds_is_written_again";
    if !may_mount(test, UNTESTED) || !has("fallocate", UNTESTED) {
        return;
    }
    // Without a journal, whose own writes would need room first.
    let journal = ["-O", "^has_journal", "-b", "4096"];
    let made = Mount::tmpfs(16).and_then(|backing| Ok((Mount::ext4_with(&journal, 64, backing.path())?, backing)));
    let (mut disk, backing) = match made {
        Ok(made) => made,
        Err(why) => return skip(&why, UNTESTED),
    };
    let ledger = Ledger::within(disk.path());
    let mut acknowledged = Acknowledged::new();
    append(&mut appending(&ledger), &mut acknowledged, 40, 40, |_| {}).good();
    let segment = ledger.path().join("log/00000000000000000000.log");
    let bytes = fs::read(&segment).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != b'\n').unwrap() as u64 + 2;
    disk.punch(&segment, end).unwrap();
    let rest = fill_up(backing.path(), "rest");

    let ran = append(&mut appending(&ledger), &mut acknowledged, 1_000, 1_000, |_| {});
    // Where filling the segment again meets the full disk before a commit does, nothing is unknown.
    let ran = ran.exits(2).tells(&["cannot sync log/"]);
    let unknown = "Whether the entries of this commit are kept is unknown";
    assert!(
        ran.err.contains(unknown) || ran.err.contains("Make room"),
        "{}",
        ran.err
    );
    assert!(
        acknowledged.len() < 50,
        "the hole begins a block behind the last commit"
    );
    let ran = append(&mut appending(&ledger), &mut acknowledged, 1_000, 1_000, |_| {});
    ran.exits(2).tells(&["cannot sync "]);

    fs::remove_file(rest).unwrap();
    let more = acknowledged.len() as u64 + 5;
    append(&mut appending(&ledger), &mut acknowledged, more, 5, |_| {}).good();
    // What the page cache had is forgotten.
    disk.unmount();
    disk.mount();
    assert_kept(&ledger.path(), &acknowledged, "read from the disk");
}

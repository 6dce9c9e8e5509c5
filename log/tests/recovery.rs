//! What an open finds after a crash, after damage and after tampering. Row letters as in docs/FORMAT.md.

// Long because one test a row of the recovery table, and what surrounds it.

mod ledgers;

use std::{
    fs,
    path::{Path, PathBuf},
};

use ledgers::{TestLedger, draft, text_of};
use proptest::prelude::*;
use quipu_format::Scope;
use quipu_log::{ErrorKind, Ledger};

/// A ledger of three commits whose checkpoint covers all of it, and the bytes that later commits added to its segment
/// while its checkpoint stayed behind: what a crash within a second leaves.
struct Crashed {
    test: TestLedger,
    /// Byte after the last commit that the checkpoint covers.
    covered: usize,
    /// Bytes of each later commit.
    commits: Vec<Vec<u8>>,
    segment: PathBuf,
    before: Vec<u8>,
    checkpoint: Vec<u8>,
}

impl Crashed {
    fn new(later: &[usize]) -> Self {
        let test = TestLedger::create();
        let ledger = test.open();
        for i in 0..3 {
            ledger.append_blocking(draft("a", &format!("covered {i}"))).unwrap();
        }
        ledger.close().unwrap();
        let (segment, checkpoint) = (test.newest_segment(), test.path().join("checkpoint"));
        let (before, checkpoint_before) = (fs::read(&segment).unwrap(), fs::read(&checkpoint).unwrap());
        let covered = used(&before);
        let mut at = covered;
        let ledger = test.open();
        let mut commits = Vec::new();
        for (i, &count) in later.iter().enumerate() {
            let drafts = (0..count).map(|n| draft("a", &format!("later {i}.{n}"))).collect();
            ledger.append_all_blocking(drafts).unwrap();
            let bytes = fs::read(&segment).unwrap();
            commits.push(bytes[at..used(&bytes)].to_vec());
            at = used(&bytes);
        }
        ledger.close().unwrap();
        let this = Self {
            test,
            covered,
            commits,
            segment,
            before,
            checkpoint: checkpoint_before,
        };
        this.restore();
        this
    }

    /// Puts bytes behind what is covered.
    fn put(&self, bytes: &[u8]) {
        let mut segment = self.before.clone();
        segment[self.covered..self.covered + bytes.len()].copy_from_slice(bytes);
        fs::write(&self.segment, segment).unwrap();
    }

    /// Back to the state that the checkpoint covers.
    fn restore(&self) {
        fs::write(&self.segment, &self.before).unwrap();
        fs::write(self.test.path().join("checkpoint"), &self.checkpoint).unwrap();
        for file in self.torn_files() {
            fs::remove_file(file).unwrap();
        }
    }

    fn torn_files(&self) -> Vec<PathBuf> {
        fs::read_dir(self.test.path().join("torn"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect()
    }
}

/// Bytes up to the last that is not fill.
fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&b| b != b'\n').map_or(0, |i| i + 2)
}

fn texts(ledger: &Ledger) -> Vec<String> {
    let scope = Scope::new("a").unwrap();
    let page = ledger
        .reader()
        .page(&scope, 0..u64::MAX, quipu_log::Direction::Forward, 1_000)
        .unwrap();
    page.events.iter().map(text_of).collect()
}

fn digest_of_folder(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().unwrap() != "lock" {
                files.push((path.clone(), fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

/// Opening is refused with this kind, changes nothing, and reading still works.
fn assert_refused(test: &TestLedger, kind: ErrorKind) -> String {
    let before = digest_of_folder(test.path());
    let refused = test.try_open().err().expect("the open must be refused");
    assert_eq!(refused.kind(), kind, "{refused}");
    assert!(
        before == digest_of_folder(test.path()),
        "a refused open changed something"
    );
    Ledger::open_read_only(test.path()).unwrap();
    refused.to_string()
}

#[test]
fn row_e_a_commit_that_is_whole_stays_though_no_checkpoint_covers_it() {
    let crashed = Crashed::new(&[2]);
    crashed.put(&crashed.commits[0]);
    let ledger = crashed.test.open();
    assert_eq!(texts(&ledger)[3..], ["later 0.0", "later 0.1"]);
    ledger.close().unwrap();
    assert_eq!(crashed.test.verify().fault, None);
    assert!(crashed.torn_files().is_empty());
}

#[test]
fn row_d_a_commit_cut_at_any_byte_is_wholly_absent_and_set_aside() {
    let crashed = Crashed::new(&[3]);
    let commit = &crashed.commits[0];
    for cut in (1..commit.len() - 1).step_by(37).chain([commit.len() - 2]) {
        crashed.put(&commit[..cut]);
        let ledger = crashed.test.open();
        assert_eq!(texts(&ledger).len(), 3, "cut at {cut}");
        // The entry that says so, and then the log goes on.
        let said = ledger.reader().events(0..u64::MAX).last().unwrap().unwrap();
        assert_eq!(said.envelope.kind.as_str(), "quipu.recovered");
        let file = said.envelope.sys.unwrap()["recovered"]["file"]
            .as_str()
            .unwrap()
            .to_owned();
        let torn = fs::read(crashed.test.path().join("torn").join(file)).unwrap();
        assert_eq!(torn, &commit[..used(&commit[..cut]).min(cut)]);
        ledger.append_blocking(draft("a", "goes on")).unwrap();
        ledger.close().unwrap();
        assert_eq!(crashed.test.verify().fault, None);
        let again = crashed.test.open();
        let recovered = again
            .reader()
            .events(0..u64::MAX)
            .filter(|event| event.as_ref().unwrap().envelope.kind.as_str() == "quipu.recovered");
        assert_eq!(recovered.count(), 1, "it is said once");
        drop(again);
        crashed.restore();
    }
}

#[test]
fn row_d_what_follows_a_recovery_reuses_the_place_with_another_nonce() {
    let crashed = Crashed::new(&[1]);
    crashed.put(&crashed.commits[0][..100]);
    let ledger = crashed.test.open();
    let receipt = ledger
        .append_blocking(draft("a", "another content at the same nth"))
        .unwrap();
    let event = ledger.reader().event(receipt.seq).unwrap().unwrap();
    assert_eq!(event.envelope.nth, 3);
    let torn: serde_json::Value = serde_json::from_str(
        String::from_utf8(crashed.commits[0].clone())
            .unwrap()
            .split('\t')
            .next()
            .unwrap(),
    )
    .unwrap();
    assert_eq!(torn["nth"], 3);
    assert_ne!(
        torn["body"],
        event.envelope.body.to_string(),
        "the nonce comes from the commitment"
    );
}

#[test]
fn row_a_a_checkpoint_that_does_not_fit_is_tampering() {
    let crashed = Crashed::new(&[1]);
    let checkpoint = crashed.test.path().join("checkpoint");
    // Missing.
    fs::remove_file(&checkpoint).unwrap();
    assert_refused(&crashed.test, ErrorKind::Tampered);
    // Changed anywhere: each byte is in the signed text, the signature, or the form around them.
    for at in 0..crashed.checkpoint.len() {
        let mut bad = crashed.checkpoint.clone();
        bad[at] ^= 1;
        fs::write(&checkpoint, bad).unwrap();
        assert_refused(&crashed.test, ErrorKind::Tampered);
    }
    // Well signed, of another history of the same size.
    let ledger = {
        crashed.restore();
        crashed.test.open()
    };
    ledger.append_blocking(draft("a", "one history")).unwrap();
    ledger.close().unwrap();
    let one = fs::read(&checkpoint).unwrap();
    crashed.restore();
    let ledger = crashed.test.open();
    ledger.append_blocking(draft("a", "another history")).unwrap();
    ledger.close().unwrap();
    fs::write(&checkpoint, one).unwrap();
    let said = assert_refused(&crashed.test, ErrorKind::Tampered);
    assert!(said.contains("root"), "{said}");
    assert!(crashed.test.verify().fault.unwrap().what.contains("root"));
}

#[test]
fn row_b_a_log_that_ends_before_its_checkpoint_has_lost_entries_however_clean_its_end() {
    let crashed = Crashed::new(&[1]);
    let ledger = crashed.test.open();
    ledger.append_blocking(draft("a", "acknowledged and covered")).unwrap();
    ledger.close().unwrap();
    fs::write(&crashed.segment, &crashed.before).unwrap();
    let said = assert_refused(&crashed.test, ErrorKind::LostEntries);
    assert!(said.contains("4 entries where 5 were acknowledged"), "{said}");
    assert_eq!(crashed.test.verify().fault.unwrap().seq, Some(4));
    // Not even the file is there.
    fs::remove_file(&crashed.segment).unwrap();
    assert_refused(&crashed.test, ErrorKind::LostEntries);
}

#[test]
fn row_c_damage_before_a_later_commit_is_corruption_and_not_a_torn_end() {
    let crashed = Crashed::new(&[1, 1, 1]);
    let all = crashed.commits.concat();
    // Any byte of the first of three commits, its line feed included (without which its line is still read); the commit
    // behind it proves that it was durable.
    for at in 0..crashed.commits[0].len() {
        let mut bad = all.clone();
        bad[at] ^= 4;
        crashed.put(&bad);
        let said = assert_refused(&crashed.test, ErrorKind::Corrupt);
        assert!(
            said.contains(&format!("byte {}: entry 4 is damaged", crashed.covered)),
            "{said}"
        );
        let fault = crashed.test.verify().fault.unwrap();
        assert_eq!(
            (fault.offset, fault.seq),
            (crashed.covered as u64, Some(4)),
            "{fault:?}"
        );
        // Entries before and behind are still read.
        let reader = Ledger::open_read_only(crashed.test.path()).unwrap();
        assert_eq!(reader.head(), 6, "the last commit is not proved durable");
        if at + 1 < crashed.commits[0].len() {
            assert_eq!(reader.event(4).unwrap_err().kind(), ErrorKind::Corrupt);
        }
        assert_eq!(text_of(&reader.event(3).unwrap().unwrap()), "covered 2");
        assert_eq!(text_of(&reader.event(5).unwrap().unwrap()), "later 1.0");
    }
}

/// What `heads` vouches for is not read again at open: it is found when it is read, and by verify.
#[test]
fn row_c_a_sealed_segment_that_does_not_reach_the_next_is_corruption() {
    let test = TestLedger::create_with(64 << 10);
    let ledger = test.open();
    for i in 0..100 {
        ledger
            .append_blocking(draft("a", &format!("{i} {}", "x".repeat(2_000))))
            .unwrap();
    }
    ledger.close().unwrap();
    let first = test.segments().remove(0);
    let good = fs::read(&first).unwrap();
    assert!(
        fs::metadata(&first).unwrap().permissions().readonly(),
        "a sealed segment is read-only"
    );
    let mut bad = good.clone();
    let at = used(&good) - 10;
    bad[at] ^= 1;
    fs::remove_file(&first).unwrap();
    fs::write(&first, bad).unwrap();
    let fault = test.verify().fault.unwrap();
    let damaged = fault.seq.unwrap();
    let ledger = test.open();
    assert_eq!(ledger.reader().event(damaged).unwrap_err().kind(), ErrorKind::Corrupt);
    let scope = Scope::new("a").unwrap();
    let page = ledger
        .reader()
        .page(&scope, 0..u64::MAX, quipu_log::Direction::Forward, 1_000);
    let page = page.unwrap();
    assert_eq!((page.events.len(), page.missing), (99, 1));
    ledger.append_blocking(draft("a", "goes on")).unwrap();
    ledger.close().unwrap();
    // Without them all is read. The checkpoint covers it, so entries that were acknowledged are gone: row b stands
    // before row c.
    let heads = fs::read(test.path().join("heads")).unwrap();
    fs::remove_file(test.path().join("heads")).unwrap();
    let said = assert_refused(&test, ErrorKind::LostEntries);
    assert!(said.contains("is damaged"), "{said}");
    // So it is where the segment has no sidecar that says what it holds.
    fs::write(test.path().join("heads"), heads).unwrap();
    fs::remove_file(first.with_extension("idx")).unwrap();
    assert_refused(&test, ErrorKind::LostEntries);
    fs::write(&first, good).unwrap();
    test.open();
}

#[test]
fn a_reader_serves_only_what_something_later_proves_durable() {
    let crashed = Crashed::new(&[2, 2]);
    crashed.put(&crashed.commits[0]);
    let reader = Ledger::open_read_only(crashed.test.path()).unwrap();
    assert_eq!(reader.head(), 4, "the last commit may not have been synced yet");
    crashed.put(&crashed.commits.concat());
    assert_eq!(
        reader.refresh().unwrap(),
        6,
        "the commit behind it proves the one before"
    );
    crashed.put(&crashed.commits.concat()[..crashed.commits[0].len() + 50]);
    assert_eq!(Ledger::open_read_only(crashed.test.path()).unwrap().head(), 4);
}

#[test]
fn keys_that_lack_a_scope_are_refused_and_nothing_is_minted() {
    let crashed = Crashed::new(&[1]);
    let path = crashed.test.path().join("keys");
    let good = fs::read_to_string(&path).unwrap();
    let without: String = good
        .lines()
        .filter(|line| !line.starts_with("a\t"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_ne!(good, without);
    fs::write(&path, &without).unwrap();
    let refused = crashed.test.try_open().err().unwrap();
    assert!(refused.to_string().contains("no record of the scope a"), "{refused}");
    assert_eq!(fs::read_to_string(&path).unwrap(), without);
    fs::remove_file(&path).unwrap();
    assert_eq!(crashed.test.try_open().err().unwrap().kind(), ErrorKind::NotFound);
    assert!(!path.exists());
}

#[test]
fn tiles_that_were_lost_or_changed_are_made_anew() {
    let crashed = Crashed::new(&[1]);
    let tile = crashed.test.path().join("tree/0");
    let good = fs::read(&tile).unwrap();
    fs::write(&tile, vec![1; good.len()]).unwrap();
    let reader = Ledger::open_read_only(crashed.test.path()).unwrap();
    assert_eq!(reader.prove(1).unwrap_err().kind(), ErrorKind::Corrupt);
    crashed.test.open().close().unwrap();
    assert_eq!(fs::read(&tile).unwrap()[..128], good[..128]);
    reader.prove(1).unwrap();
}

#[test]
fn an_unfinished_next_segment_is_removed() {
    let crashed = Crashed::new(&[1]);
    let next = crashed.test.path().join("log/next");
    fs::write(&next, "half of it").unwrap();
    crashed.test.open();
    assert!(!next.exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 40 } else { 400 }))]

    /// Of a commit that was being written any sectors may have reached the disk, in any order; the rest is fill. The
    /// commit is then wholly there or wholly absent, and what was covered is always there.
    #[test]
    fn any_sectors_of_a_torn_commit_leave_all_or_nothing(sectors in proptest::collection::vec(any::<bool>(), 64), count in 1_usize..8) {
        let crashed = Crashed::new(&[count]);
        let commit = &crashed.commits[0];
        let mut bytes = crashed.before.clone();
        for (i, byte) in commit.iter().enumerate() {
            let at = crashed.covered + i;
            if sectors[at / 512 % sectors.len()] {
                bytes[at] = *byte;
            }
        }
        let whole = bytes[crashed.covered..].starts_with(commit);
        fs::write(&crashed.segment, bytes).unwrap();
        let ledger = crashed.test.open();
        let texts = texts(&ledger);
        prop_assert_eq!(texts.len(), if whole { 3 + count } else { 3 });
        prop_assert_eq!(&texts[2], "covered 2");
        ledger.append_blocking(draft("a", "goes on")).unwrap();
        ledger.close().unwrap();
        prop_assert_eq!(crashed.test.verify().fault, None);
    }
}

/// Sealing comes after the next segment's name is durable; an older release, or a copy, may have left the newest
/// segment read-only all the same.
#[test]
fn a_newest_segment_that_is_read_only_is_written_again() {
    use std::os::unix::fs::PermissionsExt;
    let crashed = Crashed::new(&[1]);
    fs::set_permissions(&crashed.segment, fs::Permissions::from_mode(0o444)).unwrap();
    crashed.test.open();
    assert_eq!(
        fs::metadata(&crashed.segment).unwrap().permissions().mode() & 0o200,
        0o200
    );
}

#[test]
fn secrets_that_others_may_read_are_refused_before_anything_is_changed() {
    use std::os::unix::fs::PermissionsExt;
    for secret in ["keys", "signer"] {
        let crashed = Crashed::new(&[1]);
        crashed.put(&crashed.commits[0][..100]);
        fs::set_permissions(crashed.test.path().join(secret), fs::Permissions::from_mode(0o644)).unwrap();
        let said = assert_refused(&crashed.test, ErrorKind::Invalid);
        assert!(
            said.contains(&format!("the file {secret} can be read by others")),
            "{said}"
        );
    }
}

/// A megabyte of marks once took a second, and a segment of them an hour.
#[test]
fn hostile_bytes_behind_the_log_are_searched_in_bounded_time() {
    let crashed = Crashed::new(&[1]);
    let marks = br#"{"v":1,"#.repeat(600_000);
    let mut bytes = crashed.before[..crashed.covered].to_vec();
    bytes.extend_from_slice(&marks);
    fs::write(&crashed.segment, bytes).unwrap();
    let begin = std::time::Instant::now();
    assert!(crashed.test.verify().fault.is_some());
    assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
}

#[test]
fn entries_that_damage_hides_are_counted_and_their_neighbours_found() {
    let crashed = Crashed::new(&[1, 1, 1]);
    let mut bad = crashed.commits.concat();
    bad[20] ^= 4;
    crashed.put(&bad);
    let reader = Ledger::open_read_only(crashed.test.path()).unwrap();
    let page = reader
        .page(
            &Scope::new("a").unwrap(),
            0..u64::MAX,
            quipu_log::Direction::Forward,
            100,
        )
        .unwrap();
    assert_eq!((page.events.len(), page.missing), (4, 1));
    // A page that begins behind the gap tells of it too.
    let page_after = reader
        .page(&Scope::new("a").unwrap(), 5..u64::MAX, quipu_log::Direction::Forward, 1)
        .unwrap();
    assert_eq!((page_after.events.len(), page_after.missing), (1, 1));
    for event in &page.events {
        assert_eq!(reader.find(event.envelope.id).unwrap(), Some(event.envelope.seq));
    }
}

#[test]
fn a_plan_says_what_an_open_would_do_and_changes_nothing() {
    let crashed = Crashed::new(&[2, 1]);
    let plan = |crashed: &Crashed| {
        let before = digest_of_folder(crashed.test.path());
        let plan = quipu_log::plan_recovery(crashed.test.path()).unwrap();
        assert!(before == digest_of_folder(crashed.test.path()));
        plan
    };
    let clean = plan(&crashed);
    assert_eq!((clean.row, clean.entries, clean.acknowledged), ('e', 4, 4));
    crashed.put(&crashed.commits[0]);
    let ahead = plan(&crashed);
    assert_eq!((ahead.row, ahead.entries, ahead.acknowledged), ('e', 6, 4));
    assert!(ahead.steps.iter().any(|step| step.contains("over 6 entries")));
    crashed.put(&crashed.commits[0][..100]);
    let torn = plan(&crashed);
    assert_eq!((torn.row, torn.entries), ('d', 4));
    let bytes = format!("bytes {} to {}", crashed.covered, crashed.covered + 100);
    assert!(torn.steps[0].contains(&bytes), "{torn:?}");
    let mut bad = crashed.commits.concat();
    bad[30] ^= 1;
    crashed.put(&bad);
    let damaged = plan(&crashed);
    assert_eq!((damaged.row, damaged.steps.len()), ('c', 0));
    assert_eq!(
        damaged.refusal.unwrap(),
        crashed.test.try_open().err().unwrap().to_string()
    );
    fs::write(crashed.test.path().join("checkpoint"), "not one").unwrap();
    assert_eq!(plan(&crashed).row, 'a');
    crashed.restore();
    fs::write(&crashed.segment, "").unwrap();
    assert_eq!(plan(&crashed).row, 'b');
}

//! What was redacted is gone from the disk itself: also from blocks that its files have given back.

use std::fs;

use quipu_log::Ledger;
use quipu_projections::Projections;

use crate::{
    canary::Canary,
    driver::run,
    machine::{Mount, may_mount, skip},
};

const UNTESTED: &str = "that the blocks of a disk hold nothing of what was redacted";

#[test]
fn no_block_of_the_disk_holds_what_was_redacted() {
    if !may_mount("erased::no_block_of_the_disk_holds_what_was_redacted", UNTESTED) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut disk = match Mount::ext4(256, folder.path()) {
        Ok(disk) => disk,
        Err(why) => return skip(&why, UNTESTED),
    };
    let mut it = Canary::new(disk.path());
    // Somebody recalls all the time, takes it up together with much else, and ends. What it wrote stands where no file is
    // written to again.
    let reader = Ledger::open_read_only(&it.ledger.path()).unwrap();
    let projections = Projections::open(&reader).unwrap();
    projections.catch_up(reader.head()).unwrap();
    for n in 0..40 {
        let words: String = (0..1_000).map(|word| format!("w{n}x{word} ")).collect();
        it.ledger.append(&format!("scope:{n}"), &words, &[]);
    }
    let text = it.text();
    it.events.push(it.ledger.append("home", &text, &[]));
    projections.catch_up(reader.refresh().unwrap()).unwrap();
    let ahead = fs::metadata(reader.projections_path().join("recall.sqlite-wal")).unwrap();
    assert!((100 << 10..1 << 20).contains(&ahead.len()), "{}", ahead.len());
    drop((projections, reader));
    it.write();
    run(it.ledger.command(["backup"]).arg(it.ledger.beside("backup"))).good();
    assert!(it.is_found());
    it.learn_secrets();
    disk.unmount();
    let before = it.wanted.found_in(&[disk.image()]);
    for name in ["the canary is in", "node 0 on the way"] {
        assert!(before.iter().any(|found| found.contains(name)), "{name}: {before:#?}");
    }
    disk.mount();
    run(&mut it.redact()).good();
    assert!(it.still_told().is_empty());
    disk.unmount();
    it.wanted.assert_nowhere(&[disk.image()], "on the disk");
    disk.mount();
    it.ledger.verify().good();
    disk.unmount();
}

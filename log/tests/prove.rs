//! Proofs: with an append, of any entry, and that the ledger only grew.

mod ledgers;

use std::{fs, path::Path, thread};

use ledgers::{TestLedger, draft};
use quipu_format::{Cause, Checkpoint, Erasure, Given, Scope, Signer, check, leaf_hash};
use quipu_log::{CreateOptions, ErrorKind, Ledger, OpenOptions, SCOPE_FILE, SignedAct};
use serde_json::json;

#[test]
fn an_append_comes_with_a_proof_that_needs_no_ledger() {
    let test = TestLedger::create();
    let ledger = test.open();
    let key = ledger.reader().verifier_key().clone();
    for n in 0..40 {
        let proved = ledger.append_proved_blocking(draft("a", &format!("note {n}"))).unwrap();
        assert_eq!(proved.proof.index, proved.receipt.seq);
        let envelope = proved.proof.extra.as_deref().unwrap();
        assert_eq!(leaf_hash(envelope), proved.receipt.hash);
        let checkpoint = proved.proof.verify(&proved.receipt.hash, &key).unwrap();
        assert!(checkpoint.size > proved.receipt.seq);
        // It is on disk, for other processes too.
        let (_, newest) = Ledger::open_read_only(test.path()).unwrap().checkpoint().unwrap();
        assert!(newest.size >= checkpoint.size);
    }
    // One that was appended without is proved afterwards, and one that a checkpoint covers already.
    let receipt = ledger.append_blocking(draft("a", "plain")).unwrap();
    for seq in [receipt.seq, receipt.seq, 0] {
        let proof = ledger.prove_blocking(seq).unwrap();
        let leaf = leaf_hash(proof.extra.as_deref().unwrap());
        assert!(proof.verify(&leaf, &key).is_ok());
    }
    assert_eq!(
        ledger.prove_blocking(receipt.seq + 1).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

/// What was just appended is proved from memory: what is on the disk of the tree is of no matter.
#[test]
fn a_proof_with_an_append_reads_no_hashes() {
    let test = TestLedger::create();
    let ledger = test.open();
    let key = ledger.reader().verifier_key().clone();
    for n in 0..300 {
        ledger.append_blocking(draft("a", &format!("{n}"))).unwrap();
    }
    ledger.append_proved_blocking(draft("a", "before")).unwrap();
    for level in ["0", "1"] {
        let file = fs::OpenOptions::new()
            .write(true)
            .open(test.path().join("tree").join(level));
        file.unwrap().set_len(0).unwrap();
    }
    let proved = ledger.append_proved_blocking(draft("a", "after")).unwrap();
    assert!(proved.proof.verify(&proved.receipt.hash, &key).is_ok());
    assert_eq!(ledger.reader().prove(0).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn many_who_wait_share_checkpoints_and_none_is_signed_twice() {
    let test = TestLedger::create();
    let ledger = test.open();
    let key = ledger.reader().verifier_key().clone();
    let writers: Vec<_> = (0..16)
        .map(|writer| {
            let ledger = ledger.clone();
            thread::spawn(move || {
                let append = |n| ledger.append_proved_blocking(draft(&format!("s:{writer}"), &format!("{n}")));
                (0..20).map(|n| append(n).unwrap()).collect::<Vec<_>>()
            })
        })
        .collect();
    let proved: Vec<_> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
    let mut roots = std::collections::BTreeMap::new();
    for proved in &proved {
        let checkpoint = proved.proof.verify(&proved.receipt.hash, &key).unwrap();
        // At one size there is one root, and one text.
        let same = roots.insert(checkpoint.size, proved.proof.checkpoint.clone());
        assert!(same.is_none_or(|same| same == proved.proof.checkpoint));
    }
    assert_eq!(proved.len(), 320);
    assert!(roots.len() < 320, "nobody shared a checkpoint");
    ledger.close().unwrap();
    assert!(test.verify().fault.is_none());
}

/// A copy of the ledger as a crash would leave it now.
fn crashed(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            crashed(&entry.path(), &target);
        } else if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_checkpoint_that_was_handed_out_binds_the_ledger_after_a_crash() {
    let test = TestLedger::create();
    let ledger = test.open();
    let key = ledger.reader().verifier_key().clone();
    ledger.append_proved_blocking(draft("a", "first")).unwrap();
    let proved = ledger.append_proved_blocking(draft("a", "second")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (whole, cut) = (folder.path().join("whole"), folder.path().join("cut"));
    crashed(test.path(), &whole);
    crashed(&whole, &cut);
    ledger.close().unwrap();
    assert!(!test.path().join("cover").exists(), "a clean end leaves one checkpoint");

    // The second proof's checkpoint was not in the file `checkpoint` yet.
    let size = |note: &[u8]| Checkpoint::open(note, &key).unwrap().size;
    assert_eq!(size(&fs::read(whole.join("checkpoint")).unwrap()), proved.receipt.seq);
    let ledger = Ledger::open(&whole, OpenOptions::default()).unwrap();
    assert!(ledger.prove_blocking(proved.receipt.seq).is_ok());
    assert_eq!(
        size(&fs::read(whole.join("checkpoint")).unwrap()),
        proved.receipt.seq + 1
    );
    drop(ledger);

    // Without the entry that it covers, the ledger is one that lost its end; without the file, only a crash's victim.
    let log = cut.join("log/00000000000000000000.log");
    let text = fs::read_to_string(&log).unwrap();
    let keep: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains(&proved.receipt.id.to_string()))
        .collect();
    fs::write(&log, keep.join("\n") + "\n").unwrap();
    let refused = Ledger::open(&cut, OpenOptions::default()).map(|_| ()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::LostEntries, "{refused}");
    let mut cover = fs::read(cut.join("cover")).unwrap();
    assert_eq!(cover.len(), 8192);
    cover.iter_mut().for_each(|byte| *byte ^= 1);
    fs::write(cut.join("cover"), cover).unwrap();
    assert!(Ledger::open(&cut, OpenOptions::default()).is_ok());
}

#[test]
fn a_ledger_that_only_grew_is_shown_to_have() {
    let test = TestLedger::create();
    let ledger = test.open();
    let mut kept = Vec::new();
    for n in 0..30 {
        let proved = ledger.append_proved_blocking(draft("a", &format!("{n}"))).unwrap();
        kept.push(proved.proof.checkpoint);
    }
    let key = ledger.reader().verifier_key().clone();
    for old in &kept {
        let proof = ledger.reader().prove_consistency(old.as_bytes()).unwrap();
        let (then, now) = proof.verify(&key).unwrap();
        assert_eq!(then, Checkpoint::open(old.as_bytes(), &key).unwrap());
        assert_eq!(now.size, 31);
    }
    let kind = |note: &str| ledger.reader().prove_consistency(note.as_bytes()).unwrap_err().kind();
    assert_eq!(kind("no note"), ErrorKind::Invalid);

    // Another history under one name: what was signed there is neither older nor newer here.
    let folder = tempfile::tempdir().unwrap();
    let fork = folder.path().join("fork");
    crashed(test.path(), &fork);
    ledger.append_proved_blocking(draft("a", "here")).unwrap();
    let other = Ledger::open(&fork, OpenOptions::default()).unwrap();
    let there = other
        .append_proved_blocking(draft("a", "there"))
        .unwrap()
        .proof
        .checkpoint;
    assert_eq!(kind_of(&ledger, &there), ErrorKind::Tampered);
    let further = other
        .append_proved_blocking(draft("a", "further"))
        .unwrap()
        .proof
        .checkpoint;
    assert_eq!(kind_of(&ledger, &further), ErrorKind::LostEntries);
}

fn kind_of(ledger: &Ledger, note: &str) -> ErrorKind {
    ledger.reader().prove_consistency(note.as_bytes()).unwrap_err().kind()
}

#[test]
fn another_process_s_append_is_proved_as_well() {
    let test = TestLedger::create();
    let writer = Ledger::open_shared(test.path(), OpenOptions::default()).unwrap();
    let client = Ledger::open_shared(test.path(), OpenOptions::default()).unwrap();
    let key = writer.reader().verifier_key();
    for n in 0..3 {
        let proved = client
            .append_proved_blocking(draft("a", &format!("handed over {n}")))
            .unwrap();
        let checkpoint = proved.proof.verify(&proved.receipt.hash, key).unwrap();
        // Signed for it, and not when one was due anyway.
        assert_eq!(checkpoint.size, proved.receipt.seq + 1);
        assert!(test.path().join("cover").exists());
    }
    let plain = client.append_blocking(draft("a", "plain")).unwrap();
    let proof = client.prove_blocking(plain.seq).unwrap();
    assert!(proof.verify(&plain.hash, key).is_ok());
    // The client comes to write, and signs for itself.
    writer.close().unwrap();
    let proved = client.append_proved_blocking(draft("a", "its own")).unwrap();
    let key = client.reader().verifier_key();
    assert!(proved.proof.verify(&proved.receipt.hash, key).is_ok());
}

#[test]
fn what_was_erased_is_proved_and_not_disclosed() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Signer::new("operator:kim", [9; 32]).unwrap();
    let origin = "example.com/test";
    let options = CreateOptions::new(origin).operator(&operator.verifier_key()).unwrap();
    let ledger = Ledger::create(&folder.path().join("ledger"), options).unwrap();
    let key = ledger.reader().verifier_key().clone();
    let kept = ledger.append_blocking(draft("a", "kept")).unwrap();
    let gone = ledger.append_proved_blocking(draft("a", "to be forgotten")).unwrap();
    let before = ledger.reader().disclose(gone.receipt.seq).unwrap();
    assert!(before.verify(&key).is_ok());

    let erasure = Erasure {
        cause: Cause::Redact,
        ranges: vec![[1, 1]],
        request: None,
        scope: Scope::new("a").unwrap(),
    };
    let size = ledger.reader().head();
    let act = SignedAct::sign(origin, size, Erasure::MEMBER, &json!(erasure), &operator).unwrap();
    let act = ledger.act_blocking(vec![act]).unwrap().remove(0);
    ledger.prove_blocking(act.seq).unwrap();
    let reader = ledger.reader();
    assert_eq!(reader.event(gone.receipt.seq).unwrap().unwrap().payload(), None);

    // The old proof holds, and so does a new one.
    assert!(gone.proof.verify(&gone.receipt.hash, &key).is_ok());
    let proof = reader.prove(gone.receipt.seq).unwrap();
    assert!(proof.verify(&gone.receipt.hash, &key).unwrap().size > act.seq);
    assert_eq!(
        reader.disclose(gone.receipt.seq).unwrap_err().kind(),
        ErrorKind::Redacted
    );
    assert!(reader.disclose(kept.seq).is_ok());

    // In the scope's export it stays as an envelope.
    let dir = folder.path().join("exported");
    let scope = Scope::new("a").unwrap();
    let summary = reader.export_scope(&scope, &dir, false, &mut |_, _| {}).unwrap();
    assert_eq!((summary.entries, summary.opened, summary.erased), (3, 2, 1));
    let text = fs::read_to_string(dir.join(SCOPE_FILE)).unwrap();
    assert!(text.contains("kept") && !text.contains("forgotten"));
    let finding = check(text.as_bytes(), &Given::new(&key)).unwrap().unwrap();
    assert!(finding.shows.contains("first 3 entries"), "{}", finding.shows);

    // As events it is left out, and so are the operators' own.
    let mut events = reader.exported_events(None);
    let seqs: Vec<u64> = events.by_ref().map(|event| event.unwrap().seq()).collect();
    assert_eq!((seqs, events.erased), (vec![kept.seq], 1));
}

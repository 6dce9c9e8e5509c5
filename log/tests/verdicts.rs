//! What verification says of content that is gone, of content that should be, and of a ledger that was put back.

mod ledgers;

use std::{fs, os::unix::fs::FileExt, path::PathBuf};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ledgers::draft;
use quipu_format::{Actor, Envelope, EventId, KeyNode, KeyTree, Kind, Scope, Signer, encode_line, seal};
use quipu_log::{
    CreateOptions, ErasurePlan, Ledger, OpenOptions, Receipt, Target, Verdict, Verification, verify, verify_since,
};
use serde_json::json;

fn kim() -> Signer {
    Signer::new("operator:kim", [9; 32]).unwrap()
}

struct Test {
    folder: tempfile::TempDir,
    receipts: Vec<Receipt>,
}

impl Test {
    /// Six notes in a scope and two in another.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = CreateOptions::new("example.com/v")
            .operator(&kim().verifier_key())
            .unwrap();
        let ledger = Ledger::create(&folder.path().join("ledger"), options).unwrap();
        let texts = (0..8).map(|i| draft(if i < 6 { "a" } else { "b" }, &format!("note {i}")));
        let receipts = texts.map(|draft| ledger.append_blocking(draft).unwrap()).collect();
        ledger.close().unwrap();
        Self { folder, receipts }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("ledger").join(name)
    }

    fn open(&self) -> Ledger {
        Ledger::open(&self.file(""), OpenOptions::default()).unwrap()
    }

    fn erase(&self, target: &Target) -> Vec<Receipt> {
        let ledger = self.open();
        let plan = ErasurePlan::new(ledger.reader(), target, None).unwrap();
        let acts = plan.sign(ledger.reader(), &kim(), "on request").unwrap();
        let receipts = ledger.act_blocking(acts).unwrap();
        ledger.close().unwrap();
        receipts
    }

    fn verify(&self) -> Verification {
        verify(&self.file(""), &mut |_| {}).unwrap()
    }

    fn copy(&self) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(&self.file(""), copy.path());
        copy
    }

    fn put_back(&self, copy: &tempfile::TempDir) {
        fs::remove_dir_all(self.file("")).unwrap();
        copy_folder(copy.path(), &self.file(""));
    }
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn what_an_operator_erased_is_erased_with_authority() {
    let test = Test::new();
    let acts = test.erase(&Target::Events(vec![test.receipts[1].id, test.receipts[6].id]));
    let verdict = test.verify();
    assert_eq!(verdict.fault, None);
    assert_eq!(
        (verdict.entries, verdict.intact, verdict.erased_with_authority),
        (11, 9, 2)
    );
    assert_eq!(
        (verdict.sealed, verdict.erased_claimed, verdict.not_carried_out),
        (0, 0, 0)
    );
    assert_eq!(verdict.erasures.len(), 2);
    for (erased, act) in verdict.erasures.iter().zip(&acts) {
        assert_eq!((erased.id, erased.seq, erased.ts), (act.id, act.seq, act.ts));
        assert_eq!(erased.operator.as_ref().unwrap().as_str(), "operator:kim");
    }
    // Without keys nothing is known of what opens.
    fs::remove_file(test.file("keys")).unwrap();
    let verdict = test.verify();
    assert_eq!(
        (verdict.fault, verdict.sealed, verdict.erased_with_authority),
        (None, 11, 0)
    );
    assert_eq!(verdict.erasures.len(), 2);
}

/// Nobody can append one. A host that writes its files itself can.
#[test]
fn what_the_host_erased_without_an_operator_is_erased_as_it_claims() {
    let test = Test::new();
    test.erase(&Target::Events(vec![test.receipts[1].id]));
    let reader = Ledger::open_read_only(&test.file("")).unwrap();
    let last = reader.event(reader.head() - 1).unwrap().unwrap();
    let scope = Scope::new("a").unwrap();
    assert_eq!((&last.envelope.scope, last.envelope.nth), (&scope, 6));
    // What the signed one covers, and more.
    let erasure = json!({"cause": "redact", "ranges": [[0, 2]], "scope": "a"});
    let secret = tree(&fs::read_to_string(test.file("keys")).unwrap()).secret(7).unwrap();
    let (body, sealed) = seal(&secret, &scope, 7, br#"{"payload":{"reason":"because"}}"#);
    let seq = last.envelope.seq + 1;
    let mut envelope = Envelope::new(
        seq,
        EventId(last.envelope.id.0.increment().unwrap()),
        last.envelope.ts,
        Actor::new("operator:kim").unwrap(),
        Kind::new("quipu.erase").unwrap(),
        scope,
        7,
        last.hash,
        body,
    );
    envelope.sys = Some(json!({ "erase": erasure }));
    let mut line = Vec::new();
    encode_line(&mut line, &envelope.to_bytes().unwrap(), &sealed, seq, seq);
    let segment = test.file("log/00000000000000000000.log");
    let bytes = fs::read(&segment).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != b'\n').unwrap() + 2;
    let file = fs::File::options().write(true).open(&segment).unwrap();
    file.write_all_at(&line, end as u64).unwrap();

    // It is taken for a commit that was not covered yet, signed, and carried out.
    test.open().close().unwrap();
    let verdict = test.verify();
    assert_eq!(verdict.fault, None);
    assert_eq!(
        (verdict.intact, verdict.erased_with_authority, verdict.erased_claimed),
        (8, 1, 2)
    );
    let operators: Vec<_> = verdict.erasures.iter().map(|erased| &erased.operator).collect();
    assert_eq!(operators, [&Some(Actor::new("operator:kim").unwrap()), &None]);
}

/// The key tree of the scope `a`.
fn tree(keys: &str) -> KeyTree {
    let line = keys.lines().find(|line| line.starts_with("a\t")).unwrap();
    let nodes: Vec<_> = line.split('\t').skip(1).filter(|field| field.contains('.')).collect();
    let node = |text: &&str| {
        let [depth, index, secret] = text.split('.').collect::<Vec<_>>()[..] else {
            panic!("{text} is no node");
        };
        let secret = BASE64_URL_SAFE_NO_PAD.decode(secret).unwrap().try_into().unwrap();
        KeyNode::new(depth.parse().unwrap(), index.parse().unwrap(), secret)
    };
    KeyTree::from_nodes(nodes.iter().map(node).collect()).unwrap()
}

#[test]
fn a_secret_that_is_gone_without_an_erasure_is_tampering() {
    let test = Test::new();
    let key = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("a\t")).unwrap().to_owned();
        (text.to_owned(), line)
    };
    // Somebody who can write the key file destroys the scope's root, and leaves the right half of the tree.
    let (text, line) = key(&fs::read_to_string(test.file("keys")).unwrap());
    let mut tree = quipu_format::KeyTree::new([1; 32]);
    tree.puncture(0..=7).unwrap();
    let nodes: Vec<_> = tree
        .nodes()
        .iter()
        .map(|node| {
            use base64::Engine;
            let secret = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(node.secret());
            format!("{}.{}.{secret}", node.depth, node.index)
        })
        .collect();
    let body = format!("a\t{}\t", nodes.join("\t"));
    let crc = String::from_utf8(quipu_format::checksum(body.as_bytes()).to_vec()).unwrap();
    fs::write(test.file("keys"), text.replace(&line, &format!("{body}{crc}"))).unwrap();
    let verdict = test.verify();
    let fault = verdict.fault.unwrap();
    assert_eq!(fault.seq, Some(test.receipts[0].seq));
    assert!(fault.what.contains("no erasure says so"), "{}", fault.what);
    assert_eq!(verdict.findings.len(), 1);
    let finding = &verdict.findings[0];
    assert_eq!((finding.verdict, finding.nths), (Verdict::Tampered, [0, 5]));
    assert_eq!((verdict.intact, verdict.erased_with_authority), (3, 0));
}

#[test]
fn a_key_file_from_before_an_erasure_shows_that_it_is_not_carried_out() {
    let test = Test::new();
    let old = fs::read(test.file("keys")).unwrap();
    let seq = test.receipts[3].seq;
    let acts = test.erase(&Target::Before {
        scope: Scope::new("a").unwrap(),
        seq,
    });
    let new = fs::read(test.file("keys")).unwrap();
    fs::write(test.file("keys"), &old).unwrap();
    let verdict = test.verify();
    let fault = verdict.fault.unwrap();
    assert_eq!(fault.seq, Some(acts[0].seq));
    assert!(fault.what.contains("still opens"), "{}", fault.what);
    assert_eq!(
        (verdict.findings[0].verdict, verdict.findings[0].nths),
        (Verdict::ErasureNotCarriedOut, [0, 2])
    );
    assert_eq!((verdict.not_carried_out, verdict.intact), (3, 7));
    // Opening finishes it.
    test.open().close().unwrap();
    assert_eq!(test.verify().fault, None);
    // A forgotten scope has other keys since: an older file cannot open what came after.
    fs::write(test.file("keys"), &new).unwrap();
    test.erase(&Target::Scope(Scope::new("a").unwrap()));
    let ledger = test.open();
    ledger.append_blocking(draft("a", "anew")).unwrap();
    ledger.close().unwrap();
    assert_eq!(test.verify().fault, None);
    fs::write(test.file("keys"), &new).unwrap();
    let fault = test.verify().fault.unwrap();
    assert!(fault.what.contains("older than the erasure"), "{}", fault.what);
}

#[test]
fn a_checkpoint_that_was_kept_shows_that_a_ledger_was_put_back_or_went_on_otherwise() {
    let test = Test::new();
    let copy = test.copy();
    let ledger = test.open();
    ledger.append_blocking(draft("a", "acknowledged")).unwrap();
    ledger.close().unwrap();
    let kept = fs::read(test.file("checkpoint")).unwrap();
    let since = |test: &Test| verify_since(&test.file(""), &kept, &mut |_| {}).unwrap().fault;
    assert_eq!(since(&test), None);
    // The older copy verifies by itself, and not for somebody who has seen more.
    test.put_back(&copy);
    assert_eq!(test.verify().fault, None);
    let fault = since(&test).unwrap();
    assert!(fault.what.contains("cut short, or is an older copy"), "{}", fault.what);
    assert_eq!(fault.seq, Some(9));
    // It goes on, past the place, with other content.
    let ledger = test.open();
    ledger.append_blocking(draft("a", "something else")).unwrap();
    ledger.append_blocking(draft("a", "and more")).unwrap();
    ledger.close().unwrap();
    assert_eq!(test.verify().fault, None);
    let fault = since(&test).unwrap();
    assert!(
        fault.what.contains("not that of the checkpoint that was shown"),
        "{}",
        fault.what
    );
    assert_eq!(fault.seq, Some(9));
    let refused = verify_since(&test.file(""), b"none", &mut |_| {});
    assert!(refused.is_err());
}

/// Lines that are taken for another's are found by their places, their chains or their bodies.
#[test]
fn reordered_inserted_and_substituted_lines_and_swapped_bodies_are_found() {
    let test = Test::new();
    test.erase(&Target::Events(vec![test.receipts[1].id]));
    let segment = test.file("log/00000000000000000000.seg");
    let segment = if segment.exists() {
        segment
    } else {
        fs::read_dir(test.file("log")).unwrap().next().unwrap().unwrap().path()
    };
    let good = fs::read_to_string(&segment).unwrap();
    let lines: Vec<&str> = good.lines().filter(|line| !line.is_empty()).collect();
    let rest = &good[lines.iter().map(|line| line.len() + 1).sum::<usize>()..];
    let write = |lines: &[String]| {
        fs::write(
            &segment,
            lines.iter().map(|line| format!("{line}\n")).collect::<String>() + rest,
        )
        .unwrap();
    };
    let owned = || lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let refused = |what: &str, lines: Vec<String>| {
        write(&lines);
        assert!(test.verify().fault.is_some(), "{what}");
    };
    for at in 0..lines.len() - 1 {
        let mut swapped = owned();
        swapped.swap(at, at + 1);
        refused(&format!("lines {at} and the next are swapped"), swapped);
        let mut without = owned();
        without.remove(at);
        refused(&format!("line {at} is missing"), without);
        let mut twice = owned();
        twice.insert(at, lines[at].to_owned());
        refused(&format!("line {at} is there twice"), twice);
        // The body of another entry, under a good checksum.
        let mut bodies = owned();
        let fields: Vec<Vec<&str>> = lines.iter().map(|line| line.split('\t').collect()).collect();
        let mixed = format!("{}\t{}\t{}\t", fields[at][0], fields[at + 1][1], fields[at][2]);
        let crc = String::from_utf8(quipu_format::checksum(mixed.as_bytes()).to_vec()).unwrap();
        bodies[at] = format!("{mixed}{crc}");
        if at != 2 {
            refused(&format!("line {at} has the body of the next"), bodies);
        }
    }
    write(&owned());
    assert_eq!(test.verify().fault, None);
}

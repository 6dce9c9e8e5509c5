// Long because each verdict comes with the ledger that earns it.

//! What verification says of content that is gone, of content that should be, and of a ledger that was put back.

mod forgery;
mod ledgers;

use std::{fs, path::PathBuf};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use forgery::{forge_erasure, key_tree};
use ledgers::draft;
use quipu_format::{Act, ActId, Actor, Content, KeyNode, Scope, Signer, checksum};
use quipu_log::{
    CreateOptions, ErasurePlan, ErrorKind, Ledger, OpenOptions, Receipt, SignedAct, Target, Verdict, Verification,
    plan_recovery, verify, verify_since,
};
use serde_json::json;

const ORIGIN: &str = "example.com/v";

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
        let options = CreateOptions::new(ORIGIN);
        Self::with(options.operator(&kim().verifier_key()).unwrap())
    }

    fn without_operators() -> Self {
        Self::with(CreateOptions::new(ORIGIN))
    }

    fn with(options: CreateOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
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

/// Nobody can append one. Whoever writes the files can.
#[test]
fn an_erasure_without_authority_destroys_nothing_and_is_named() {
    for forged in [
        Forged::Unsigned,
        Forged::ByAStranger,
        Forged::OfAnotherLedger,
        Forged::AgainstAHold,
    ] {
        let test = Test::new();
        test.erase(&Target::Events(vec![test.receipts[1].id]));
        if forged == Forged::AgainstAHold {
            test.hold("a");
        }
        let keys = fs::read(test.file("keys")).unwrap();
        // What the signed one covers, and more.
        let seq = test.forge(forged, [0, 2]);
        let files = || {
            [
                fs::read(test.segment()).unwrap(),
                fs::read(test.file("checkpoint")).unwrap(),
            ]
        };
        let before = files();

        let refused = Ledger::open(&test.file(""), OpenOptions::default()).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::Tampered, "{forged:?}: {refused}");
        let named = format!("entry {seq} is an erasure without authority");
        assert!(refused.to_string().contains(&named), "{forged:?}: {refused}");
        assert_eq!(fs::read(test.file("keys")).unwrap(), keys, "{forged:?}");
        assert_eq!(files(), before, "{forged:?}: an open that refuses changes nothing");
        let plan = plan_recovery(&test.file("")).unwrap();
        assert_eq!((plan.row, plan.steps.len()), ('a', 0), "{forged:?}");
        assert!(plan.refusal.unwrap().contains(&named));

        // Who reads sees everything but what an operator erased.
        let reader = Ledger::open_read_only(&test.file("")).unwrap();
        let open = |at: usize| {
            let event = reader.event(test.receipts[at].seq).unwrap().unwrap();
            matches!(event.content, Content::Open(_))
        };
        assert!(open(0) && !open(1) && open(2), "{forged:?}");

        for with_keys in [true, false] {
            if !with_keys {
                fs::remove_file(test.file("keys")).unwrap();
            }
            let verdict = test.verify();
            let fault = verdict.fault.unwrap();
            assert_eq!(fault.seq, Some(seq), "{forged:?}");
            assert!(fault.what.contains("without authority"), "{forged:?}: {}", fault.what);
            let [finding] = &verdict.findings[..] else {
                panic!("{forged:?}: {:?}", verdict.findings)
            };
            assert_eq!(
                (finding.verdict, finding.nths),
                (Verdict::ErasureWithoutAuthority, [0, 2])
            );
            assert_eq!(verdict.erasures[0].operator, Some(Actor::new("operator:kim").unwrap()));
            assert_eq!(
                (&verdict.erasures[1].operator, verdict.erasures[1].refused.is_some()),
                (&None, true)
            );
            assert_eq!((verdict.not_carried_out, verdict.erased_claimed), (0, 0), "{forged:?}");
        }
    }
}

/// Whether an erasure counts could not be told when it was met, for the entry that enrols its operator could not be read:
/// what it covers was hidden until the key file was written anew, however often the log was looked at.
#[test]
fn a_reader_judges_an_erasure_again_that_it_could_not_judge() {
    let test = Test::new();
    let reader = Ledger::open_read_only(&test.file("")).unwrap();
    test.forge(Forged::ByAStranger, [0, 2]);
    let good = fs::read(test.segment()).unwrap();
    let mut damaged = good.clone();
    damaged[10] ^= 1;
    fs::write(test.segment(), damaged).unwrap();
    let open = || {
        reader.refresh().unwrap();
        let event = reader.event(test.receipts[1].seq).unwrap().unwrap();
        matches!(event.content, Content::Open(_))
    };
    assert!(!open() && !open(), "what may be erased is not shown");
    fs::write(test.segment(), good).unwrap();
    assert!(open());
}

/// The host destroys the secrets as well: it is named all the same, and what is gone is not taken for erased.
#[test]
fn what_was_destroyed_without_authority_is_not_taken_for_erased() {
    let test = Test::new();
    let seq = test.forge(Forged::Unsigned, [0, 2]);
    test.destroy([0, 2]);
    let verdict = test.verify();
    assert_eq!(verdict.fault.unwrap().seq, Some(seq));
    assert_eq!(verdict.findings.len(), 1, "{:?}", verdict.findings);
    assert_eq!(verdict.findings[0].verdict, Verdict::ErasureWithoutAuthority);
    assert_eq!((verdict.erased_with_authority, verdict.erased_claimed), (0, 0));
    // And what is gone beyond it is missed apart.
    test.destroy([0, 3]);
    let verdict = test.verify();
    let findings: Vec<_> = verdict
        .findings
        .iter()
        .map(|finding| (finding.verdict, finding.nths))
        .collect();
    assert_eq!(
        findings,
        [(Verdict::Tampered, [3, 3]), (Verdict::ErasureWithoutAuthority, [0, 2])]
    );
}

/// Where there never was an operator nobody could sign: what the host says that it erased it did erase.
#[test]
fn without_operators_what_the_host_destroyed_is_erased_as_it_claims() {
    let test = Test::without_operators();
    let seq = test.forge(Forged::Unsigned, [0, 2]);
    let verdict = test.verify();
    assert_eq!(verdict.fault.unwrap().seq, Some(seq));
    assert_eq!(verdict.findings[0].verdict, Verdict::ErasureWithoutAuthority);
    let refused = Ledger::open(&test.file(""), OpenOptions::default()).err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::Tampered, "{refused}");
    test.destroy([0, 2]);
    let verdict = test.verify();
    assert_eq!(verdict.fault, None);
    assert_eq!((verdict.erased_claimed, verdict.erased_with_authority), (3, 0));
    assert_eq!(
        (&verdict.erasures[0].operator, &verdict.erasures[0].refused),
        (&None, &None)
    );
}

/// How somebody gets an erasure into the files who cannot append one.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Forged {
    Unsigned,
    /// Somebody signs who is no operator, under an operator's name.
    ByAStranger,
    /// An operator signed it, for another ledger.
    OfAnotherLedger,
    /// An operator signed it, and it is held.
    AgainstAHold,
}

impl Test {
    fn segment(&self) -> PathBuf {
        self.file("log/00000000000000000000.log")
    }

    fn hold(&self, scope: &str) {
        let ledger = self.open();
        let hold = json!({"id": "hold-1", "over": [{"scope": scope}]});
        let act = SignedAct::sign(ORIGIN, ledger.reader().head(), "hold", &hold, &kim()).unwrap();
        ledger.act_blocking(vec![act]).unwrap();
        ledger.close().unwrap();
    }

    /// Writes an erasure of entries of the scope `a` behind the log's last line. Returns its position.
    fn forge(&self, forged: Forged, range: [u32; 2]) -> u64 {
        forge_erasure(&self.file(""), "a", range, |seq, erasure| {
            let signed = |origin: &str, signer: &Signer| {
                Act::sign(origin, ActId([5; 16]), seq, "erase", &erasure, signer)
                    .unwrap()
                    .sys()
            };
            match forged {
                Forged::Unsigned => json!({ "erase": erasure }),
                Forged::ByAStranger => signed(ORIGIN, &Signer::new("operator:kim", [1; 32]).unwrap()),
                Forged::OfAnotherLedger => signed("example.com/other", &kim()),
                Forged::AgainstAHold => signed(ORIGIN, &kim()),
            }
        })
    }

    /// Takes secrets of the scope `a` out of the key file, as whoever can write it does.
    fn destroy(&self, [first, last]: [u32; 2]) {
        let text = fs::read_to_string(self.file("keys")).unwrap();
        let mut tree = key_tree(&text, "a");
        tree.puncture(first..=last).unwrap();
        let node = |node: &KeyNode| {
            let secret = BASE64_URL_SAFE_NO_PAD.encode(node.secret());
            format!("{}.{}.{secret}", node.depth, node.index)
        };
        let nodes: Vec<_> = tree.nodes().iter().map(node).collect();
        let body = format!("a\t{}\t", nodes.join("\t"));
        let crc = String::from_utf8(checksum(body.as_bytes()).to_vec()).unwrap();
        let line = text.lines().find(|line| line.starts_with("a\t")).unwrap();
        fs::write(self.file("keys"), text.replace(line, &format!("{body}{crc}"))).unwrap();
    }
}

#[test]
fn a_secret_that_is_gone_without_an_erasure_is_tampering() {
    let test = Test::new();
    // Somebody who can write the key file destroys what there is of the scope, and leaves what is to come.
    test.destroy([0, 7]);
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

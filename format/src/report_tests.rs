use ulid::Ulid;

use crate::{ActId, Actor, Checkpoint, Hash, Kind, Subject};

use super::*;

const ORIGIN: &str = "example.com/memory";

fn ledger() -> Signer {
    Signer::new(ORIGIN, [5; 32]).unwrap()
}

/// The envelope of an erasure that answers `request`, alone in a ledger, and its proof.
fn erased(request: &str, ranges: &[[u32; 2]]) -> Erased {
    let kim = Signer::new("operator:kim", [9; 32]).unwrap();
    let erasure = Erasure {
        cause: Cause::Redact,
        ranges: ranges.to_vec(),
        request: Some(RequestId::new(request).unwrap()),
        scope: Scope::new("a").unwrap(),
    };
    let act = Act::sign(ORIGIN, ActId([7; 16]), 0, Erasure::MEMBER, &erasure, &kim).unwrap();
    let mut envelope = Envelope::new(
        0,
        EventId(Ulid::from_parts(1_771_553_503_123, 42)),
        Timestamp::from_ms(1_771_553_503_123),
        Actor::new("operator:kim").unwrap(),
        Kind::new(Erasure::KIND).unwrap(),
        erasure.scope.clone(),
        40,
        Hash::of_nothing(),
        Hash::of_nothing(),
    );
    envelope.sys = Some(act.sys());
    let envelope = envelope.to_bytes().unwrap();
    let checkpoint = Checkpoint {
        origin: ORIGIN.to_owned(),
        size: 1,
        root: leaf_hash(&envelope),
    };
    let proof = InclusionProof {
        index: 0,
        hashes: Vec::new(),
        checkpoint: checkpoint.sign(&ledger()),
        extra: None,
    };
    Erased::of(&envelope, &proof).unwrap()
}

fn report(erased: Vec<Erased>) -> Report {
    let mut report = Report {
        request: Request {
            deadline: Timestamp::FIRST,
            id: RequestId::new("dsr-1").unwrap(),
            scopes: vec![Scope::new("a").unwrap()],
            subject: Subject::new("person:1").unwrap(),
        },
        opened: Timestamp::FIRST,
        closed: None,
        outcome: None,
        size: 1,
        erased,
        entries: 0,
        scopes: Vec::new(),
        held: vec![HeldNow {
            hold: HoldId::new("h-1").unwrap(),
            since: Timestamp::FIRST,
            scope: Scope::new("a").unwrap(),
            ranges: None,
            reason: Some("line\nfeed, \u{7f}\u{9b} and ä".to_owned()),
        }],
        derived: Vec::new(),
    };
    report.entries = report.covered();
    report
}

#[test]
fn a_report_is_read_and_refused_with_any_byte_changed() {
    let key = ledger().verifier_key();
    let report = report(vec![erased("dsr-1", &[[0, 4], [9, 9]])]);
    assert_eq!(report.entries, 6);
    let note = report.sign(&ledger()).unwrap();
    assert!(note.starts_with(BEGINNING));
    assert_eq!(Report::open(note.as_bytes(), &key).unwrap(), report);
    for at in 0..note.len() {
        let mut changed = note.clone().into_bytes();
        changed[at] ^= 1;
        assert!(Report::open(&changed, &key).is_err(), "byte {at}");
    }
    let other = Signer::new(ORIGIN, [6; 32]).unwrap();
    assert!(Report::open(note.as_bytes(), &other.verifier_key()).is_err());
}

/// Whoever has the key can still not say what the log does not.
#[test]
fn a_signed_report_that_says_more_than_its_entries_is_refused() {
    let key = ledger().verifier_key();
    let good = report(vec![erased("dsr-1", &[[0, 4]])]);
    let changed: [&dyn Fn(&mut Report); 6] = [
        &|report| report.entries += 1,
        &|report| report.erased[0].ranges = vec![[0, 5]],
        &|report| report.erased[0].operator = "operator:lee".to_owned(),
        &|report| report.erased[0].seq = 1,
        &|report| report.erased[0].envelope = report.erased[0].envelope.replace("\"nth\":40", "\"nth\":41"),
        &|report| report.request.id = RequestId::new("dsr-2").unwrap(),
    ];
    for (number, change) in changed.iter().enumerate() {
        let mut report = good.clone();
        change(&mut report);
        let note = report.sign(&ledger()).unwrap();
        assert!(Report::open(note.as_bytes(), &key).is_err(), "change {number}");
    }
    let other = report(vec![erased("dsr-2", &[[0, 4]])]).sign(&ledger()).unwrap();
    assert!(Report::open(other.as_bytes(), &key).is_err());
}

#[test]
fn an_entry_that_two_erasures_cover_is_counted_once() {
    let mut twice = report(vec![erased("dsr-1", &[[0, 4]]), erased("dsr-1", &[[3, 9]])]);
    assert_eq!(twice.covered(), 10);
    twice.erased[1].scope = Scope::new("b").unwrap();
    assert_eq!(twice.covered(), 12);
    twice.erased[1].ranges = vec![[0, u32::MAX]];
    assert_eq!(twice.covered(), 5 + (1 << 32));
    assert_eq!(report(Vec::new()).covered(), 0);
}

#[test]
fn a_report_past_the_size_of_a_note_is_refused() {
    let many = report(vec![erased("dsr-1", &[[0, 4]]); 1_500]);
    let refused = many.sign(&ledger()).unwrap_err().to_string();
    assert!(refused.contains("1000000"), "{refused}");
}

//! Operators: how one is enrolled and removed, and whose acts count.

use std::path::Path;

use quipu_format::{Act, ActId, Signer, VerifierKey};
use quipu_log::{CreateOptions, ErrorKind, Ledger, OpenOptions, OperatorChange, SignedAct};
use serde_json::json;

const ORIGIN: &str = "example.com/acts";

fn signer(name: &str) -> Signer {
    Signer::new(name, [name.len() as u8; 32]).unwrap()
}

fn key(name: &str) -> VerifierKey {
    signer(name).verifier_key()
}

fn kim() -> Signer {
    signer("operator:kim")
}

fn create(folder: &Path) -> Ledger {
    let options = CreateOptions::new(ORIGIN).operator(&key("operator:kim")).unwrap();
    Ledger::create(&folder.join("ledger"), options).unwrap()
}

fn reopen(folder: &Path, ledger: Ledger) -> Ledger {
    ledger.close().unwrap();
    Ledger::open(&folder.join("ledger"), OpenOptions::default()).unwrap()
}

fn enrol(ledger: &Ledger, name: &str, by: &Signer) -> quipu_log::Result<u64> {
    change(ledger, &OperatorChange::Enrol(key(name).to_string()), by)
}

fn change(ledger: &Ledger, change: &OperatorChange, by: &Signer) -> quipu_log::Result<u64> {
    let act = SignedAct::sign(ORIGIN, ledger.reader().head(), OperatorChange::MEMBER, change, by)?;
    Ok(ledger.act_blocking(vec![act.because("a new colleague")])?[0].seq)
}

fn operators(ledger: &Ledger) -> Vec<String> {
    let keys = ledger.reader().operators().unwrap();
    keys.iter().map(|key| key.name().to_owned()).collect()
}

#[test]
fn operators_enrol_and_remove_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = create(folder.path());
    assert_eq!(operators(&ledger), ["operator:kim"]);
    let seq = enrol(&ledger, "operator:kristen", &kim()).unwrap();
    let event = ledger.reader().event(seq).unwrap().unwrap();
    assert_eq!(event.envelope.kind.as_str(), "quipu.operator");
    assert_eq!(event.envelope.actor.as_str(), "operator:kim");
    assert_eq!(event.payload(), Some(r#"{"reason":"a new colleague"}"#));
    let act = Act::of(&event.envelope).unwrap().unwrap();
    act.check(ORIGIN, &key("operator:kim")).unwrap();

    let ledger = reopen(folder.path(), ledger);
    assert_eq!(operators(&ledger), ["operator:kim", "operator:kristen"]);
    let remove = OperatorChange::Remove(key("operator:kim").to_string());
    change(&ledger, &remove, &signer("operator:kristen")).unwrap();
    let ledger = reopen(folder.path(), ledger);
    assert_eq!(operators(&ledger), ["operator:kristen"]);
    let refused = enrol(&ledger, "operator:li", &kim()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    let last = OperatorChange::Remove(key("operator:kristen").to_string());
    let refused = change(&ledger, &last, &signer("operator:kristen")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
}

#[test]
fn what_no_operator_signed_is_refused_and_nothing_is_appended() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = create(folder.path());
    let head = ledger.reader().head();
    let enrol = OperatorChange::Enrol(key("operator:li").to_string());
    let signed = |origin: &str, size: u64, by: &Signer| {
        SignedAct::sign(origin, size, OperatorChange::MEMBER, &enrol, by).unwrap()
    };
    let stranger = signer("operator:stranger");
    let impostor = Signer::new("operator:kim", [1; 32]).unwrap();
    let mut changed = signed(ORIGIN, head, &kim());
    changed.act.value = json!({"enrol": key("operator:mallory").to_string()});
    for (act, kind) in [
        (signed(ORIGIN, head, &stranger), ErrorKind::Invalid),
        (signed(ORIGIN, head, &impostor), ErrorKind::Invalid),
        (signed("example.com/other", head, &kim()), ErrorKind::Invalid),
        (changed, ErrorKind::Invalid),
        (signed(ORIGIN, head + 1, &kim()), ErrorKind::Conflict),
    ] {
        let refused = ledger.act_blocking(vec![act]).unwrap_err();
        assert_eq!(refused.kind(), kind, "{refused}");
    }
    assert_eq!(ledger.reader().head(), head);
    assert_eq!(operators(&ledger), ["operator:kim"]);
}

/// A host that kept an act cannot do it again, be it after a restart.
#[test]
fn an_act_is_done_once() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = create(folder.path());
    let enrol = OperatorChange::Enrol(key("operator:li").to_string());
    let act = Act::sign(ORIGIN, ActId([3; 16]), 1, OperatorChange::MEMBER, &enrol, &kim()).unwrap();
    let mut draft = quipu_log::Draft::new(
        quipu_format::Scope::ledger(),
        act.operator.clone(),
        act.kind().unwrap(),
        quipu_format::Body::new(None, "{}").unwrap(),
    );
    draft.sys = Some(act.sys());
    ledger.append_blocking(draft.clone()).unwrap();
    let remove = OperatorChange::Remove(key("operator:li").to_string());
    change(&ledger, &remove, &kim()).unwrap();
    assert_eq!(
        ledger.append_blocking(draft.clone()).unwrap_err().kind(),
        ErrorKind::Conflict
    );
    let ledger = reopen(folder.path(), ledger);
    assert_eq!(ledger.append_blocking(draft).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(operators(&ledger), ["operator:kim"]);
}

#[test]
fn a_ledger_without_operators_gets_its_first_from_its_host_and_no_second() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::create(&folder.path().join("ledger"), CreateOptions::new(ORIGIN)).unwrap();
    assert!(operators(&ledger).is_empty());
    ledger.found_operator(&key("operator:kim")).unwrap();
    let ledger = reopen(folder.path(), ledger);
    assert_eq!(operators(&ledger), ["operator:kim"]);
    let refused = ledger.found_operator(&key("operator:li")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    let agent = ledger.found_operator(&key("agent:li")).unwrap_err();
    assert_eq!(agent.kind(), ErrorKind::Invalid, "{agent}");
}

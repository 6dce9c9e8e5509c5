//! What an erasure takes out of what is derived.

use quipu_format::Signer;
use quipu_log::{CreateOptions, ErasurePlan, Ledger, Target};
use quipu_projections::{Projections, Query, View};
use serde_json::json;

use crate::{
    fixture::{Fixture, dump, say},
    forgery::forge_erasure,
};

fn fixture() -> (Fixture, Signer) {
    let kim = Signer::new("operator:kim", [9; 32]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = CreateOptions::new("example.com/test")
        .operator(&kim.verifier_key())
        .unwrap();
    let ledger = Ledger::create(&folder.path().join("ledger"), options).unwrap();
    let projections = Projections::open(ledger.reader()).unwrap();
    let fixture = Fixture {
        folder,
        ledger,
        projections,
    };
    (fixture, kim)
}

fn erase(fixture: &Fixture, kim: &Signer, target: &Target) {
    let reader = fixture.ledger.reader();
    let plan = ErasurePlan::new(reader, target, None).unwrap();
    fixture
        .ledger
        .act_blocking(plan.sign(reader, kim, "").unwrap())
        .unwrap();
}

/// Documents of a full block and of one that is not, some of them, then all: what is left is what a fold from the
/// beginning gives, and no byte of the folder has the words.
#[test]
fn what_is_erased_leaves_the_tables_and_the_file() {
    let (fixture, kim) = fixture();
    let mut receipts = Vec::new();
    for part in 0..3 {
        let drafts = (0..400).map(|i| {
            let text = match part * 400 + i {
                5 => "the xylographer came".to_owned(),
                1_100 => "the zymologist left".to_owned(),
                nth => format!("note {nth} of many"),
            };
            say("a", &text)
        });
        receipts.extend(fixture.append_all(drafts.collect()));
        fixture.catch_up();
    }
    let mut query = Query::default();
    query.text = "xylographer zymologist".into();
    assert_eq!(fixture.search(&["a"], &query).len(), 2);
    let holds = |what: &str| {
        let files = std::fs::read_dir(fixture.folder.path().join("ledger/projections")).unwrap();
        let mut bytes = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
        bytes.any(|bytes| bytes.windows(what.len()).any(|window| window == what.as_bytes()))
    };
    assert!(
        holds("xylograph") && holds("zymologist"),
        "the search can find something"
    );
    let target = Target::Events(vec![receipts[5].id, receipts[1_100].id]);
    erase(&fixture, &kim, &target);
    fixture.catch_up();
    assert!(!holds("xylograph") && !holds("zymologist"));
    assert!(fixture.search(&["a"], &query).is_empty());
    query.text = "note 7".into();
    assert!(!fixture.search(&["a"], &query).is_empty());
    let rows = dump(&fixture.projections);
    fixture.projections.rebuild().unwrap();
    assert_eq!(rows, dump(&fixture.projections));

    erase(&fixture, &kim, &Target::Scope(quipu_format::Scope::new("a").unwrap()));
    fixture.catch_up();
    assert!(fixture.search(&["a"], &query).is_empty());
    let rows = dump(&fixture.projections);
    fixture.projections.rebuild().unwrap();
    assert_eq!(rows, dump(&fixture.projections));
}

/// What no operator signed hides nothing, in a fold that goes on as in one from the beginning.
#[test]
fn an_erasure_without_authority_is_passed_over() {
    let (fixture, _) = fixture();
    fixture.say("a", "the xylographer came");
    fixture.catch_up();
    let Fixture { folder, ledger, .. } = fixture;
    ledger.close().unwrap();
    let path = folder.path().join("ledger");
    forge_erasure(&path, "a", [0, 0], |_, erasure| json!({ "erase": erasure }));
    let reader = Ledger::open_read_only(&path).unwrap();
    let projections = Projections::open(&reader).unwrap();
    assert_eq!(projections.catch_up(u64::MAX).unwrap(), 3);
    let mut query = Query::default();
    query.text = "xylographer".into();
    let found = || {
        let view = View::Everything { head: reader.head() };
        projections.search(&view, &query).unwrap().hits.len()
    };
    assert_eq!(found(), 1);
    let rows = dump(&projections);
    projections.rebuild().unwrap();
    assert_eq!((found(), dump(&projections)), (1, rows));
}

//! What an erasure takes out of what is derived.

use quipu_format::Signer;
use quipu_log::{CreateOptions, ErasurePlan, Ledger, Target};
use quipu_projections::{Projections, Query, Snapshot, View};
use serde_json::json;

use crate::{
    fixture::{Fixture, dump, imported, payload, resting_on, say},
    forgery::forge_erasure,
};

pub(crate) fn fixture() -> (Fixture, Signer) {
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

pub(crate) fn erase(fixture: &Fixture, kim: &Signer, target: &Target) {
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

/// What facts are made of: texts and sources as digests, tags and the actors of imported events in clear.
#[test]
fn what_is_erased_leaves_the_facts() {
    let (fixture, kim) = fixture();
    let said = json!({"text": "the safe opens with 4711", "tags": ["xylographer"], "key": "safe"});
    let draft = imported("a", said, "2026-01-01T00:00:00.000Z", "user:zymologist");
    let mut asked = fixture.append_all(vec![draft, say("a", "asked about pricing"), say("a", "stays")]);
    let rests = resting_on(
        payload("a", json!({"text": "knows how the safe opens"})),
        &[asked[0].id],
    );
    asked.extend(fixture.append_all(vec![rests]));
    fixture.catch_up();
    let rows = dump(&fixture.projections);
    let digests = |rows: &str| -> Vec<String> {
        let of = rows.lines().filter(|row| {
            ["saying\t", "statement\t", "fact\t", "noise\t"]
                .iter()
                .any(|t| row.starts_with(t))
        });
        of.flat_map(|row| row.split('\t').map(str::to_owned).collect::<Vec<_>>())
            .collect()
    };
    assert!(rows.contains("xylographer") && rows.contains("zymologist") && rows.contains("\nnoise\t"));
    erase(&fixture, &kim, &Target::Events(vec![asked[0].id, asked[1].id]));
    fixture.catch_up();
    let left = dump(&fixture.projections);
    let files = std::fs::read_dir(fixture.folder.path().join("ledger/projections")).unwrap();
    let bytes: Vec<u8> = files
        .flat_map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .collect();
    let holds = |what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
    assert!(!holds(b"xylographer") && !holds(b"zymologist"));
    // Every digest that is gone from the rows is gone from the files, their free pages among them.
    let (before, after) = (digests(&rows), digests(&left));
    let gone: Vec<_> = before
        .iter()
        .filter(|value| value.contains('\\') && !after.contains(value))
        .collect();
    assert!(gone.len() >= 6, "{gone:?}");
    for value in gone {
        let bytes = unescaped(value);
        assert!(bytes.len() < 16 || !holds(&bytes), "{value}");
    }
    assert!(!left.contains("\nnoise\t"));
    let facts = fixture
        .projections
        .facts(&fixture.pinned(&["a"]), &Query::default())
        .unwrap()
        .facts;
    let texts: Vec<_> = facts.iter().map(|fact| fact.text.as_str()).collect();
    assert_eq!(
        texts,
        ["stays"],
        "what is derived from it alone is trusted with nothing"
    );
    fixture.projections.rebuild().unwrap();
    assert_eq!(left, dump(&fixture.projections));
}

/// Bytes as the dump writes them.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let (byte, left) = match (first, after) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                let hex = std::str::from_utf8(&[*high, *low]).unwrap().to_owned();
                (u8::from_str_radix(&hex, 16).unwrap(), after)
            }
            (b'\\', [escaped, after @ ..]) => {
                let plain = match escaped {
                    b't' => b'\t',
                    b'n' => b'\n',
                    b'r' => b'\r',
                    other => *other,
                };
                (plain, after)
            }
            (first, after) => (first, after),
        };
        rest = left;
        bytes.push(byte);
    }
    bytes
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

/// Between the moment in which an erasure is in the log and that in which its keys are gone, what it covers can be read.
#[test]
fn what_is_about_to_be_erased_is_not_kept_by_components() {
    let (fixture, kim) = fixture();
    let id = fixture.say("a", "the safe opens with 4711");
    fixture.catch_up();
    let name = "counter".parse().unwrap();
    let keep = || {
        let snapshot = Snapshot {
            component: quipu_format::Hash([1; 32]),
            setting: 1,
            as_of: fixture.head(),
            state: b"4711".to_vec(),
        };
        let erasures = fixture.projections.erasures().unwrap();
        fixture.projections.keep_snapshot(&name, &snapshot, erasures).unwrap()
    };
    assert!(fixture.projections.is_all_erased().unwrap() && keep());
    // Keys go when a checkpoint covers the erasure, and that cannot be written.
    let in_the_way = fixture.folder.path().join("ledger/checkpoint.new/file");
    std::fs::create_dir_all(&in_the_way).unwrap();
    let reader = fixture.ledger.reader();
    let act = ErasurePlan::new(reader, &Target::Events(vec![id]), None)
        .unwrap()
        .sign(reader, &kim, "")
        .unwrap();
    fixture.ledger.act_blocking(act).unwrap_err();
    fixture.catch_up();
    assert_eq!(fixture.projections.erasures().unwrap(), fixture.head());
    assert_eq!(fixture.projections.snapshot(&name).unwrap(), None);
    assert!(!fixture.projections.is_all_erased().unwrap() && !keep());
    assert_eq!(fixture.projections.snapshot(&name).unwrap(), None);
}

//! Erasing: what an operator's act destroys, for whom, and when.

mod ledgers;

use ledgers::{TestLedger, draft, text_of};
use quipu_format::{Content, EventId, Scope, Signer, limits};
use quipu_log::{
    CreateOptions, Direction, ErasurePlan, ErrorKind, Ledger, LedgerReader, OpenOptions, Receipt, Result, SignedAct,
    Target,
};

const ORIGIN: &str = "example.com/erase";

fn kim() -> Signer {
    Signer::new("operator:kim", [9; 32]).unwrap()
}

struct Test {
    folder: tempfile::TempDir,
}

impl Test {
    fn new() -> (Self, Ledger) {
        let folder = tempfile::tempdir().unwrap();
        let options = CreateOptions::new(ORIGIN).operator(&kim().verifier_key()).unwrap();
        let ledger = Ledger::create(&folder.path().join("ledger"), options).unwrap();
        (Self { folder }, ledger)
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("ledger")
    }

    fn open(&self) -> Ledger {
        Ledger::open(&self.path(), OpenOptions::default()).unwrap()
    }

    fn keys(&self) -> Vec<u8> {
        std::fs::read(self.path().join("keys")).unwrap()
    }
}

fn scope(name: &str) -> Scope {
    Scope::new(name).unwrap()
}

fn append(ledger: &Ledger, scope: &str, text: &str) -> Receipt {
    ledger.append_blocking(draft(scope, text)).unwrap()
}

fn erase(ledger: &Ledger, target: &Target) -> Result<Vec<Receipt>> {
    let plan = ErasurePlan::new(ledger.reader(), target, None)?;
    ledger.act_blocking(plan.sign(ledger.reader(), &kim(), "on request")?)
}

fn events(ids: impl IntoIterator<Item = EventId>) -> Target {
    Target::Events(ids.into_iter().collect())
}

/// Texts of a scope's entries; `None` for those that are erased.
fn texts(reader: &LedgerReader, name: &str) -> Vec<Option<String>> {
    let page = reader
        .page(&scope(name), 0..u64::MAX, Direction::Forward, 1_000)
        .unwrap();
    assert_eq!(page.missing, 0);
    let notes = page.events.iter().filter(|event| !event.envelope.kind.is_reserved());
    notes
        .map(|event| match &event.content {
            Content::Erased => None,
            Content::Open(_) => Some(text_of(event)),
        })
        .collect()
}

#[test]
fn what_is_redacted_is_gone_for_everybody_at_once_and_the_rest_stays() {
    let (test, ledger) = Test::new();
    let receipts: Vec<_> = (0..6).map(|i| append(&ledger, "a", &format!("note {i}"))).collect();
    append(&ledger, "b", "other");
    // One reads beside and does not look again by itself, one is in the middle of reading.
    let beside = Ledger::open_read_only(&test.path()).unwrap();
    let head = ledger.reader().head();
    let mut reading = beside.events(0..head);
    reading.next().unwrap().unwrap();
    assert_eq!(texts(&beside, "a")[2].as_deref(), Some("note 2"));

    let acts = erase(&ledger, &events([receipts[2].id, receipts[3].id])).unwrap();
    let act = ledger.reader().event(acts[0].seq).unwrap().unwrap();
    assert_eq!(act.envelope.scope.as_str(), "a");
    assert_eq!(
        act.envelope.sys.as_ref().unwrap()["erase"]["ranges"],
        serde_json::json!([[2, 3]])
    );
    assert_eq!(act.payload(), Some(r#"{"reason":"on request"}"#));
    let expected: Vec<_> = (0..6)
        .map(|i| (![2, 3].contains(&i)).then(|| format!("note {i}")))
        .collect();
    for reader in [ledger.reader(), &beside] {
        assert_eq!(texts(reader, "a"), expected);
        assert_eq!(reader.event(receipts[2].seq).unwrap().unwrap().content, Content::Erased);
    }
    assert_eq!(texts(ledger.reader(), "b"), [Some("other".into())]);
    let erased = reading.filter(|event| event.as_ref().unwrap().content == Content::Erased);
    assert_eq!(erased.count(), 2);
    append(&ledger, "a", "after");
    drop(ledger);
    let ledger = test.open();
    assert_eq!(texts(ledger.reader(), "a").len(), 7);
    assert_eq!(texts(ledger.reader(), "a")[2], None);
    assert_eq!(texts(ledger.reader(), "a")[6].as_deref(), Some("after"));
}

#[test]
fn erasing_again_changes_nothing_and_says_so() {
    let (test, ledger) = Test::new();
    let receipt = append(&ledger, "a", "note");
    erase(&ledger, &events([receipt.id])).unwrap();
    let (keys, head) = (test.keys(), ledger.reader().head());
    let plan = ErasurePlan::new(ledger.reader(), &events([receipt.id]), None).unwrap();
    assert!(plan.erasures.is_empty() && plan.entries == 0);
    assert_eq!((test.keys(), ledger.reader().head()), (keys, head));

    // Of a prefix, what the erasure says of itself is left, and is not erased by another that says the same.
    append(&ledger, "a", "note");
    let reader = ledger.reader();
    let (scope, seq) = (scope("a"), u64::MAX);
    let prefix = Target::Before {
        scope: scope.clone(),
        seq,
    };
    let nothing = |target: &Target| ErasurePlan::new(reader, target, None).unwrap().erasures.is_empty();
    erase(&ledger, &prefix).unwrap();
    assert!(nothing(&prefix));
    // A scope that is forgotten has another root besides.
    let whole = Target::Scope(scope);
    assert!(!nothing(&whole));
    let act = erase(&ledger, &whole).unwrap().remove(0);
    assert!(nothing(&whole) && nothing(&prefix) && !nothing(&events([act.id])));
    append(&ledger, "a", "anew");
    assert!(!nothing(&whole) && !nothing(&prefix));
}

#[test]
fn a_prefix_leaves_few_nodes_and_a_scope_that_is_forgotten_gets_another_root() {
    let (test, ledger) = Test::new();
    for i in 0..40 {
        append(&ledger, "a", &format!("note {i}"));
    }
    let seq = ledger.reader().head() - 10;
    erase(&ledger, &Target::Before { scope: scope("a"), seq }).unwrap();
    assert_eq!(
        texts(ledger.reader(), "a").iter().filter(|text| text.is_some()).count(),
        10
    );
    let nodes = |ledger: &Ledger| {
        ledger
            .reader()
            .key_nodes()
            .into_iter()
            .find(|k| k.scope == scope("a"))
            .unwrap()
            .nodes
    };
    assert!(nodes(&ledger) <= 32, "{}", nodes(&ledger));

    let before = test.keys();
    let acts = erase(&ledger, &Target::Scope(scope("a"))).unwrap();
    assert!(texts(ledger.reader(), "a").iter().all(Option::is_none));
    // Why it was is still told.
    let act = ledger.reader().event(acts[0].seq).unwrap().unwrap();
    assert_eq!(act.payload(), Some(r#"{"reason":"on request"}"#));
    append(&ledger, "a", "anew");
    ledger.close().unwrap();
    let ledger = test.open();
    assert_eq!(texts(ledger.reader(), "a").last().unwrap().as_deref(), Some("anew"));
    assert!(nodes(&ledger) <= 66, "{}", nodes(&ledger));
    ledger.close().unwrap();
    // Whoever kept the old key file opens nothing of what came after.
    std::fs::write(test.path().join("keys"), before).unwrap();
    let reader = Ledger::open_read_only(&test.path()).unwrap();
    let last = reader.event(reader.head() - 1);
    assert!(last.is_err(), "{last:?}");
}

#[test]
fn several_scopes_are_erased_together() {
    let (_test, ledger) = Test::new();
    let ids = ["a", "b", "c"].map(|name| append(&ledger, name, "note").id);
    let receipts = erase(&ledger, &events(ids)).unwrap();
    assert_eq!(receipts.len(), 3);
    assert!(receipts.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq));
    for name in ["a", "b", "c"] {
        assert_eq!(texts(ledger.reader(), name), [None]);
    }
}

#[test]
fn an_idempotency_key_of_what_was_erased_answers_redacted() {
    let (test, ledger) = Test::new();
    let mut keyed = draft("a", "note");
    keyed.key = Some("k".into());
    let receipt = ledger.append_blocking(keyed.clone()).unwrap();
    erase(&ledger, &events([receipt.id])).unwrap();
    let refused = ledger.append_blocking(keyed.clone()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Redacted);
    drop(ledger);
    let refused = test.open().append_blocking(keyed).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Redacted);
}

#[test]
fn what_may_not_be_erased_is_refused_and_nothing_changes() {
    let (test, ledger) = Test::new();
    let receipt = append(&ledger, "a", "The card is 4929 1234 5678 9012.");
    let (keys, head) = (test.keys(), ledger.reader().head());
    let genesis = ledger.reader().event(0).unwrap().unwrap().envelope.id;
    let kind = |target: &Target| ErasurePlan::new(ledger.reader(), target, None).unwrap_err().kind();
    assert_eq!(kind(&events([genesis])), ErrorKind::Invalid);
    assert_eq!(kind(&Target::Scope(Scope::ledger())), ErrorKind::Invalid);
    assert_eq!(kind(&Target::Scope(scope("none"))), ErrorKind::NotFound);
    let unknown = "evt_01KHWD2DWK000000000000001A".parse().unwrap();
    assert_eq!(kind(&events([unknown])), ErrorKind::NotFound);
    let plan = ErasurePlan::new(ledger.reader(), &events([receipt.id]), None).unwrap();
    let quoted = plan
        .sign(ledger.reader(), &kim(), "her card is 4929-1234 5678-9012")
        .unwrap_err();
    assert!(quoted.to_string().contains("other words"), "{quoted}");
    // A plan that was changed after it was resolved: other ranges, another scope.
    for (from, to) in [("[[0,0]]", "[[0,1]]"), ("\"a\"", "\"b\"")] {
        let mut acts = plan.sign(ledger.reader(), &kim(), "on request").unwrap();
        let value = acts[0].act.value.to_string().replace(from, to);
        acts[0].act = quipu_format::Act::sign(
            ORIGIN,
            acts[0].act.id,
            acts[0].act.size,
            "erase",
            &serde_json::from_str::<serde_json::Value>(&value).unwrap(),
            &kim(),
        )
        .unwrap();
        assert_eq!(ledger.act_blocking(acts).unwrap_err().kind(), ErrorKind::Invalid);
    }
    // Unsigned.
    let mut unsigned = draft("a", "x");
    unsigned.kind = quipu_format::Kind::new("quipu.erase").unwrap();
    unsigned.sys = Some(serde_json::json!({"erase": plan.erasures[0]}));
    assert_eq!(ledger.append_blocking(unsigned).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!((test.keys(), ledger.reader().head()), (keys, head));
}

#[test]
fn another_process_erases_through_the_writers_socket() {
    let (test, ledger) = Test::new();
    let receipt = append(&ledger, "a", "note");
    let client = Ledger::open_shared(&test.path(), OpenOptions::default()).unwrap();
    assert_eq!(texts(client.reader(), "a"), [Some("note".into())]);
    let acts = erase(&client, &events([receipt.id])).unwrap();
    assert!(!acts[0].repeated);
    assert_eq!(texts(client.reader(), "a"), [None]);
    assert_eq!(texts(ledger.reader(), "a"), [None]);
    client.close().unwrap();
}

/// The key file of a backup brings what was erased back, until the ledger is opened for writing: a reader does not even
/// show it.
#[test]
fn an_older_key_file_is_brought_up_to_the_log() {
    let (test, ledger) = Test::new();
    let receipts: Vec<_> = (0..3).map(|i| append(&ledger, "a", &format!("note {i}"))).collect();
    ledger.close().unwrap();
    let old = test.keys();
    let ledger = test.open();
    erase(&ledger, &events([receipts[1].id])).unwrap();
    append(&ledger, "a", "later");
    ledger.close().unwrap();
    std::fs::write(test.path().join("keys"), &old).unwrap();
    let reader = Ledger::open_read_only(&test.path()).unwrap();
    assert_eq!(texts(&reader, "a")[1], None);
    assert_eq!(test.keys(), old);
    let ledger = test.open();
    assert_eq!(texts(ledger.reader(), "a")[1], None);
    let applied = String::from_utf8(test.keys()).unwrap();
    assert!(applied.lines().next().unwrap().split('\t').nth(3).unwrap() != "0");
}

#[test]
fn a_reason_has_a_limit() {
    let (_test, ledger) = Test::new();
    let receipt = append(&ledger, "a", "note");
    let plan = ErasurePlan::new(ledger.reader(), &events([receipt.id]), None).unwrap();
    let reason = |bytes: usize| plan.sign(ledger.reader(), &kim(), &"because ".repeat(bytes)[..bytes]);
    reason(limits::REASON_BYTES).unwrap();
    let refused = reason(limits::REASON_BYTES + 1).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TooLarge);
    assert!(refused.to_string().contains("4096"), "{refused}");
}

/// What is compared with the reason are the newest entries.
#[test]
fn a_reason_is_compared_with_so_many_entries_and_no_more() {
    let test = TestLedger::create_in_memory_with(&kim().verifier_key());
    let ledger = test.open();
    let most = limits::REASON_ENTRIES;
    fill(&ledger, "a", most + 1);
    let plan = ErasurePlan::new(ledger.reader(), &Target::Scope(scope("a")), None).unwrap();
    let reason = |number: usize| plan.check_reason(ledger.reader(), &number_text(number));
    reason(0).unwrap();
    assert!(reason(1).is_err() && reason(most).is_err());
}

#[test]
fn more_acts_than_one_commit_takes_are_refused() {
    let test = TestLedger::create_in_memory_with(&kim().verifier_key());
    let ledger = test.open();
    let drafts: Vec<_> = (0..=limits::DRAFTS).map(|n| draft(&format!("s:{n}"), "note")).collect();
    let receipts: Vec<_> = drafts
        .chunks(limits::DRAFTS)
        .flat_map(|drafts| ledger.append_all_blocking(drafts.to_vec()).unwrap())
        .collect();
    let plan = |count: usize| {
        let target = events(receipts[..count].iter().map(|receipt| receipt.id));
        ErasurePlan::new(ledger.reader(), &target, None)
    };
    assert_eq!(plan(limits::DRAFTS).unwrap().erasures.len(), limits::DRAFTS);
    let refused = plan(limits::DRAFTS + 1).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TooLarge);
    assert!(refused.to_string().contains("in several steps"), "{refused}");
}

/// Every second of 200,004 entries: that leaves a node for each of the others.
#[test]
fn an_erasure_that_leaves_more_key_nodes_than_a_scope_has_room_for_is_refused_with_advice() {
    let test = TestLedger::create_in_memory_with(&kim().verifier_key());
    let ledger = test.open();
    let ids = fill(&ledger, "a", 2 * (limits::KEY_NODES + 2));
    let head = ledger.reader().head();
    let every_second = || ids.iter().step_by(2);
    let refused = ErasurePlan::new(ledger.reader(), &events(every_second().copied()), None).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TooLarge);
    for advice in ["at most 100000", "quipu retain", "quipu forget-scope", "quipu keys"] {
        assert!(refused.to_string().contains(advice), "{refused}");
    }
    // Who asks nobody first is refused by the ledger itself.
    let ranges: Vec<_> = (0..ids.len() as u32).step_by(2).map(|nth| [nth, nth]).collect();
    let acts = ranges.chunks(400).map(|ranges| {
        let erasure = serde_json::json!({"cause": "redact", "ranges": ranges, "scope": "a"});
        SignedAct::sign("example.com/test", head, "erase", &erasure, &kim()).unwrap()
    });
    let refused = ledger.act_blocking(acts.collect()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TooLarge, "{refused}");
    assert_eq!(ledger.reader().head(), head);
    // As many as there is room for.
    let fewer = every_second().take(limits::KEY_NODES / 2).copied();
    let acts = erase(&ledger, &events(fewer)).unwrap();
    assert_eq!(acts.len(), (limits::KEY_NODES / 2).div_ceil(600));
}

fn number_text(number: usize) -> String {
    format!("n{number:06}")
}

/// Appends so many entries to a scope, each with its number.
fn fill(ledger: &Ledger, scope: &str, count: usize) -> Vec<EventId> {
    let numbers: Vec<_> = (0..count).collect();
    let append = |numbers: &[usize]| {
        let drafts = numbers
            .iter()
            .map(|&number| draft(scope, &number_text(number)))
            .collect();
        ledger.append_all_blocking(drafts).unwrap()
    };
    let receipts = numbers.chunks(limits::DRAFTS).flat_map(append);
    receipts.map(|receipt| receipt.id).collect()
}

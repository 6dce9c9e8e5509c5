//! Entries `quipu.scopes`: when they come, and that verify finds the wrong one.

use std::{path::Path, time::Instant};

use quipu_format::{Actor, Body, Envelope, Kind, Scope, ScopeProof, ScopeRoot, ScopeStanding, leaf_hash, limits};
use quipu_log::{CreateOptions, Direction, Draft, Ledger, LedgerReader, OpenOptions, verify};

fn draft(scope: &str) -> Draft {
    let body = Body::new(None, r#"{"text":"x"}"#).unwrap();
    let actor = Actor::new("agent:a").unwrap();
    Draft::new(Scope::new(scope).unwrap(), actor, Kind::new("note").unwrap(), body)
}

fn create(path: &Path) -> Ledger {
    Ledger::create(path, CreateOptions::new("example.com/roots")).unwrap()
}

/// Positions of all roots, and what they say.
fn roots(reader: &LedgerReader) -> Vec<(u64, ScopeRoot)> {
    let all = reader.events(0..reader.head()).map(|event| event.unwrap().envelope);
    all.filter_map(|envelope| Some((envelope.seq, ScopeRoot::of(&envelope).unwrap()?)))
        .collect()
}

#[test]
fn among_ten_thousand_entries_there_is_a_root_and_they_all_verify() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = create(folder.path());
    let mut scopes = 0;
    std::thread::scope(|threads| {
        for writer in 0..4 {
            let ledger = &ledger;
            scopes += 1;
            threads.spawn(move || {
                for batch in 0..12 {
                    let drafts = (0..1_000).map(|n| draft(&format!("scope:{}", (n + batch * writer) % 300)));
                    ledger.append_all_blocking(drafts.collect()).unwrap();
                }
            });
        }
    });
    let head = ledger.reader().head();
    assert!(head > 48_000);
    let found = roots(ledger.reader());
    let ends = found.iter().map(|(seq, _)| *seq).chain([head]);
    let starts = [0].into_iter().chain(found.iter().map(|(seq, _)| seq + 1));
    for (start, end) in starts.zip(ends) {
        assert!(
            end - start < limits::SCOPE_ROOT_ENTRIES,
            "{start} to {end} without a root"
        );
    }
    assert!(found.len() < 40, "{}: not more than there need be", found.len());
    ledger.close().unwrap();
    let verdict = verify(folder.path(), &mut |_| {}).unwrap();
    assert_eq!(verdict.fault, None);
    assert_eq!(verdict.entries, head);
}

#[test]
fn a_ledger_that_is_only_opened_gets_none() {
    let folder = tempfile::tempdir().unwrap();
    create(folder.path()).close().unwrap();
    for _ in 0..3 {
        let ledger = Ledger::open(folder.path(), OpenOptions::default()).unwrap();
        ledger.append_blocking(draft("a")).unwrap();
        ledger.close().unwrap();
        Ledger::open(folder.path(), OpenOptions::default())
            .unwrap()
            .close()
            .unwrap();
    }
    let reader = Ledger::open_read_only(folder.path()).unwrap();
    assert_eq!((reader.head(), roots(&reader)), (4, Vec::new()));
}

#[test]
fn entries_count_over_several_openings() {
    let folder = tempfile::tempdir().unwrap();
    create(folder.path()).close().unwrap();
    for _ in 0..13 {
        let ledger = Ledger::open(folder.path(), OpenOptions::default()).unwrap();
        let drafts = (0..1_000).map(|n| draft(&format!("s:{n}"))).collect();
        ledger.append_all_blocking(drafts).unwrap();
        ledger.close().unwrap();
    }
    let reader = Ledger::open_read_only(folder.path()).unwrap();
    let roots = roots(&reader);
    assert!((1..=3).contains(&roots.len()), "{roots:?}");
    assert_eq!(verify(folder.path(), &mut |_| {}).unwrap().fault, None);
}

#[test]
fn a_root_that_is_asked_for_covers_what_was_acknowledged_and_says_what_the_host_says() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = create(folder.path());
    ledger.append_blocking(draft("a")).unwrap();
    let receipt = ledger.root_scopes().unwrap();
    assert_eq!(
        roots(ledger.reader())
            .iter()
            .map(|(seq, root)| (*seq, root.size))
            .collect::<Vec<_>>(),
        [(receipt.seq, 2)]
    );
    // A draft that makes up a root is given the true one.
    let mut forged = draft("a");
    forged.kind = Kind::new(ScopeRoot::KIND).unwrap();
    let made_up = ScopeRoot {
        size: 1,
        root: quipu_format::Hash::of_nothing(),
    };
    forged.sys = Some(made_up.to_sys());
    ledger.append_blocking(forged).unwrap();
    assert_eq!(roots(ledger.reader())[1].1.size, 3);
    ledger.close().unwrap();
    assert_eq!(verify(folder.path(), &mut |_| {}).unwrap().fault, None);
}

/// What a root costs. `cargo test --release -p quipu-log --test scope_roots -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn cost_of_a_root() {
    use quipu_format::{Hash, ScopeState, ScopeTree, scope_key};
    let key = |n: u32| scope_key(&Scope::new(&format!("customer:{n}")).unwrap());
    let state = |count| ScopeState {
        count,
        last: Hash::of(&[b"last"]),
    };
    let keys: Vec<_> = (0..100_000).map(key).collect();
    let mut tree = ScopeTree::default();
    let begun = Instant::now();
    keys.iter().for_each(|key| tree.set(*key, state(1)));
    let set = begun.elapsed();
    tree.root();
    println!("100,000 scopes: set {set:?}, with the first root {:?}", begun.elapsed());
    for changed in [1, 100, 2_500] {
        let begun = Instant::now();
        keys.iter()
            .step_by(100_000 / changed)
            .for_each(|key| tree.set(*key, state(2 + changed as u32)));
        tree.root();
        println!("root after {changed} scopes have changed: {:?}", begun.elapsed());
    }
    println!("{} bytes a scope", tree.bytes() / 100_000);
}

/// Whether these are all entries of the scope; gives those that came later.
fn check<'a>(standing: &ScopeStanding, envelopes: impl Iterator<Item = &'a [u8]>) -> quipu_format::Result<u32> {
    let mut all = standing.follow();
    for bytes in envelopes {
        all.entry(&Envelope::parse(bytes)?, leaf_hash(bytes))?;
    }
    all.end(&standing.scope)
}

#[test]
fn a_scope_is_proved_complete_and_others_are_proved_absent() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = create(folder.path());
    let reader = ledger.reader();
    let scope = |name: &str| Scope::new(name).unwrap();
    let error = reader.prove_scope(&scope("a")).unwrap_err();
    assert!(error.to_string().contains("--fresh"), "{error}");
    for n in 0..40 {
        ledger.append_blocking(draft(&format!("s:{}", n % 8))).unwrap();
    }
    let root = ledger.root_scopes().unwrap();
    ledger.append_blocking(draft("s:3")).unwrap();
    ledger.append_blocking(draft("new")).unwrap();
    ledger.prove_blocking(root.seq).unwrap();
    let envelopes = |name: &str| -> Vec<Vec<u8>> {
        let page = reader.page(&scope(name), 0..u64::MAX, Direction::Forward, 100).unwrap();
        let seqs = page.events.iter().map(|event| event.envelope.seq);
        seqs.map(|seq| {
            reader
                .prove(seq)
                .or_else(|_| ledger.prove_blocking(seq))
                .unwrap()
                .extra
                .unwrap()
        })
        .collect()
    };
    let key = reader.verifier_key();
    for (name, count, later) in [("s:3", 5, 1), ("s:4", 5, 0), ("new", 0, 1), ("nobody", 0, 0)] {
        let proved = reader.prove_scope(&scope(name)).unwrap();
        assert_eq!(
            (proved.state.map_or(0, |s| s.count), proved.later, proved.size),
            (count, later, 41)
        );
        let read: ScopeProof = proved.proof.to_string().parse().unwrap();
        assert_eq!(read, proved.proof);
        let standing = read.verify(key).unwrap();
        let all = envelopes(name);
        let slices = || all.iter().map(Vec::as_slice);
        assert_eq!(check(&standing, slices()).unwrap(), later, "{name}");
        if count > 0 {
            let why = check(&standing, slices().take(count as usize - 1))
                .unwrap_err()
                .to_string();
            assert!(why.contains("4 entries are here"), "{why}");
            check(&standing, slices().skip(1)).unwrap_err();
            let mut other = read.clone();
            other.scope = scope("s:1");
            other.verify(key).unwrap_err();
        }
    }
}

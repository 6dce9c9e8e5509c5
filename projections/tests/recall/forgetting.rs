//! What forgetting the beginning of a long scope takes, with projections that hold it: what is erased is answered by
//! nobody from the act on, and no file has words of it when the projections say that they have forgotten. Of a million:
//! `cargo test --release -p quipu-projections --test recall -- --ignored forgetting --nocapture`

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use quipu_format::EventId;
use quipu_log::{ErasurePlan, ErrorKind, Target};
use quipu_projections::Projections;

use crate::{
    erase::fixture,
    fixture::{Fixture, say, scope, words},
};

/// What stands in the tables for a word that is erased.
const STEM: &[u8] = b"xylograph";

/// How long each part took.
#[derive(Debug)]
#[expect(dead_code, reason = "they are printed")]
struct Took {
    /// Folding all, before anything is erased.
    fold: Duration,
    resolve: Duration,
    /// Comparing the reason with what is erased, and signing.
    sign: Duration,
    /// Until the act is acknowledged.
    act: Duration,
    nodes: usize,
    /// Until no file of the projections has words of it.
    forget: Duration,
    /// Searches meanwhile, and the longest of them.
    searches: u64,
    longest: Duration,
}

#[test]
fn a_prefix_is_answered_by_nobody_from_the_act_on() {
    forget_a_prefix(12_000);
}

#[test]
#[ignore = "measures"]
fn forgetting_a_prefix_of_a_million_entries() {
    let took = forget_a_prefix(1_000_000);
    println!("{took:#?}");
    assert!(took.resolve + took.sign + took.act < Duration::from_secs(1));
}

/// The files were overwritten only at a moment at which nobody read: under readers that never pause that moment did not
/// come for minutes.
#[test]
fn forgetting_ends_under_readers_that_never_pause() {
    let (fixture, kim) = fixture();
    let ids = fill(&fixture, 4_000);
    fixture.catch_up();
    let reader = fixture.ledger.reader();
    let seq = reader.find(ids[4_000 - 50]).unwrap().unwrap();
    let target = Target::Before { scope: scope("a"), seq };
    let plan = ErasurePlan::new(reader, &target, None).unwrap();
    fixture
        .ledger
        .act_blocking(plan.sign(reader, &kim, "asked for").unwrap())
        .unwrap();

    let (done, searches) = (AtomicBool::new(false), AtomicU64::new(0));
    let view = fixture.pinned(&["a"]);
    thread::scope(|threads| {
        for _ in 0..3 {
            threads.spawn(|| {
                let beside = Projections::open(reader).unwrap();
                while !done.load(Ordering::Relaxed) {
                    beside.search(&view, &words("invoice by transfer")).unwrap();
                    searches.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while searches.load(Ordering::Relaxed) < 10 {
            thread::yield_now();
        }
        let begin = Instant::now();
        let mut forgot = fixture.projections.forget();
        while matches!(forgot, Ok(false)) && begin.elapsed() < Duration::from_secs(30) {
            thread::sleep(Duration::from_millis(50));
            forgot = fixture.projections.forget();
        }
        let holder = holder_of(STEM, &fixture);
        done.store(true, Ordering::Relaxed);
        assert!(forgot.unwrap(), "not within {:?}", begin.elapsed());
        assert_eq!(holder, None, "it holds words of what was erased");
    });
}

/// Whoever could not read the rules could not open what is derived either, and left there what the log had erased.
#[test]
fn what_is_erased_is_forgotten_also_where_the_rules_cannot_be_used() {
    let (fixture, kim) = fixture();
    let ids = fill(&fixture, 20);
    fixture.catch_up();
    assert_eq!(holder_of(STEM, &fixture), Some(fixture.file()));
    std::fs::write(fixture.folder.path().join("ledger/noise.toml"), "rule = 7").unwrap();
    let reader = fixture.ledger.reader();
    let seq = reader.find(*ids.last().unwrap()).unwrap().unwrap() + 1;
    let target = Target::Before { scope: scope("a"), seq };
    let plan = ErasurePlan::new(reader, &target, None).unwrap();
    let acts = plan.sign(reader, &kim, "asked for").unwrap();
    fixture.ledger.act_blocking(acts).unwrap();
    let opened = Projections::open(reader).unwrap();
    assert!(opened.forget().unwrap());
    assert_eq!(holder_of(STEM, &fixture), None);
    let refused = opened.catch_up(reader.head()).unwrap_err();
    assert!(refused.to_string().contains("noise.toml"), "{refused}");
}

fn forget_a_prefix(entries: usize) -> Took {
    let (fixture, kim) = fixture();
    let ids = fill(&fixture, entries);
    let (fold, _) = timed(|| fixture.catch_up());
    let stays = entries / 80;
    let reader = fixture.ledger.reader();
    let seq = reader.find(ids[entries - stays]).unwrap().unwrap();
    assert_eq!(holder_of(STEM, &fixture), Some(fixture.file()));
    refuse_a_random_tenth(&fixture, &ids);
    let target = Target::Before { scope: scope("a"), seq };
    let (resolve, plan) = timed(|| ErasurePlan::new(reader, &target, None).unwrap());
    let (sign, acts) = timed(|| plan.sign(reader, &kim, "the contract has ended").unwrap());
    let (act, _) = timed(|| fixture.ledger.act_blocking(acts).unwrap());
    let of_a = reader.key_nodes().into_iter().find(|keys| keys.scope == scope("a"));
    let nodes = of_a.unwrap().nodes;
    assert!(nodes <= 32, "{nodes} nodes");

    let (done, searches) = (AtomicBool::new(false), AtomicU64::new(0));
    let beside = Projections::open(reader).unwrap();
    let view = fixture.pinned(&["a"]);
    let (forget, longest) = thread::scope(|threads| {
        let searching = threads.spawn(|| {
            let mut longest = Duration::ZERO;
            while !done.load(Ordering::Relaxed) || searches.load(Ordering::Relaxed) == 0 {
                let (took, answer) = timed(|| beside.search(&view, &words("xylographer zymologist")).unwrap());
                let found: Vec<_> = answer.hits.iter().map(|hit| hit.event.envelope.id).collect();
                assert_eq!(found, [ids[entries - 1]], "what is erased is answered by nobody");
                searches.fetch_add(1, Ordering::Relaxed);
                longest = longest.max(took);
            }
            longest
        });
        let (forget, ()) = timed(|| {
            while !fixture.projections.forget().unwrap() {
                thread::sleep(Duration::from_millis(1));
            }
        });
        // Nothing of it is anywhere when this is said to be done.
        assert_eq!(holder_of(STEM, &fixture), None, "it holds words of what was erased");
        done.store(true, Ordering::Relaxed);
        (forget, searching.join().unwrap())
    });
    Took {
        fold,
        resolve,
        sign,
        act,
        nodes,
        forget,
        searches: searches.into_inner(),
        longest,
    }
}

/// The first, some in between, and the last of what will be erased say one word, and the last entry another.
fn fill(fixture: &Fixture, entries: usize) -> Vec<EventId> {
    let text = |nth: usize| match nth {
        _ if nth == entries - 1 => "the zymologist stays".to_owned(),
        _ if nth == entries - entries / 80 - 1 || nth.is_multiple_of(5_000) && nth < entries / 2 => {
            format!("the xylographer came for the {nth}th time")
        }
        _ => format!(
            "Said in turn {nth}: the invoice of month {} is paid by transfer",
            nth % 12
        ),
    };
    let nths: Vec<_> = (0..entries).collect();
    let append = |nths: &[usize]| fixture.append_all(nths.iter().map(|&nth| say("a", &text(nth))).collect());
    let receipts = nths.chunks(1_000).flat_map(append);
    receipts.map(|receipt| receipt.id).collect()
}

/// A file of the projections in which these bytes stand.
fn holder_of(bytes: &[u8], fixture: &Fixture) -> Option<PathBuf> {
    let files = std::fs::read_dir(fixture.file().parent().unwrap()).unwrap();
    let mut files = files.map(|file| file.unwrap().path());
    files.find(|file| {
        let content = std::fs::read(file).unwrap();
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}

/// It would leave more key nodes than a scope has room for, where there are a million.
fn refuse_a_random_tenth(fixture: &Fixture, ids: &[EventId]) {
    // Which of them does not matter, only that they have no order.
    let mut state = 7_u64;
    let mut one_in_ten = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33).is_multiple_of(10)
    };
    let tenth = ids.iter().copied().filter(|_| one_in_ten()).collect();
    let plan = ErasurePlan::new(fixture.ledger.reader(), &Target::Events(tenth), None);
    if ids.len() < 1_000_000 {
        assert!(plan.is_ok());
        return;
    }
    let refused = plan.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TooLarge);
    for advice in ["quipu retain", "quipu forget-scope"] {
        assert!(refused.to_string().contains(advice), "{refused}");
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begin = Instant::now();
    let done = work();
    (begin.elapsed(), done)
}

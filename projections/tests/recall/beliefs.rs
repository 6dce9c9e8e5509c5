//! Facts against a computation that is as simple as can be (`plain.rs`), over ledgers in which everything happens; and that what is
//! derived is the same however it was derived.

use std::{collections::BTreeMap, fs};

use proptest::prelude::*;
use quipu_format::{EventId, Signer, Timestamp};
use quipu_log::{CreateOptions, ErasurePlan, Ledger, SignedAct, Target};
use quipu_projections::{Handle, Projections, QUARANTINE, Quarantine, View};
use serde_json::{Value, json};

use crate::{
    fixture::{Fixture, dump, payload, query, run, scope},
    plain::{Model, sorted, told},
};

pub(crate) const SCOPES: [&str; 2] = ["a", "b"];
pub(crate) const TEXTS: [&str; 4] = ["likes tea", "likes coffee", "pays late", "asked about pricing"];
const ACTORS: [&str; 3] = ["agent:one", "agent:two", "user:ann"];
const RUNS: [&str; 2] = ["FAV", "FAW"];
pub(crate) const DAY_MS: u64 = 86_400_000;

/// What happens next. Numbers choose among what is there.
#[derive(Debug, Clone)]
enum Step {
    Say {
        scope: usize,
        kind: usize,
        text: usize,
        key: bool,
        actor: usize,
        channel: usize,
        confidence: Option<u8>,
        ttl: Option<u8>,
        run: usize,
        evidence: Vec<usize>,
        supersedes: Vec<usize>,
    },
    Tell {
        run: usize,
        events: Vec<usize>,
    },
    Erase {
        event: usize,
    },
    Quarantine {
        run: Option<usize>,
        actor: usize,
        back: usize,
    },
    Lift {
        quarantine: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let some = || prop::collection::vec(0..100_usize, 0..3);
    let few = || prop_oneof![3 => Just(Vec::new()), 1 => some()];
    let say = (
        (
            0..SCOPES.len(),
            0..6_usize,
            0..TEXTS.len(),
            prop::bool::weighted(0.2),
            0..ACTORS.len(),
            0..2_usize,
        ),
        (
            prop::option::of(0..=4_u8),
            prop::option::weighted(0.2, 0..9_u8),
            0..4_usize,
            few(),
            few(),
        ),
    );
    let say = say.prop_map(
        |((scope, kind, text, key, actor, channel), (confidence, ttl, run, evidence, supersedes))| Step::Say {
            scope,
            kind,
            text,
            key,
            actor,
            channel,
            confidence,
            ttl,
            run,
            evidence,
            supersedes,
        },
    );
    let tell = (0..RUNS.len(), some()).prop_map(|(run, events)| Step::Tell { run, events });
    let erase = (0..100_usize).prop_map(|event| Step::Erase { event });
    let quarantine = (prop::option::of(0..RUNS.len()), 0..ACTORS.len(), 1..20_usize)
        .prop_map(|(run, actor, back)| Step::Quarantine { run, actor, back });
    let lift = (0..100_usize).prop_map(|quarantine| Step::Lift { quarantine });
    let step = prop_oneof![28 => say, 6 => tell, 3 => erase, 2 => quarantine, 1 => lift];
    prop::collection::vec(step, 1..45)
}

/// A ledger in which all that happened.
fn ledger(steps: &[Step]) -> Fixture {
    written(steps, |_| ())
}

/// The same, folded after each step.
fn ledger_folded(steps: &[Step]) -> Fixture {
    written(steps, |memory| {
        memory.catch_up();
    })
}

fn written(steps: &[Step], after_each: impl Fn(&Fixture)) -> Fixture {
    let kim = Signer::new("operator:kim", [9; 32]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = CreateOptions::new("example.com/test")
        .operator(&kim.verifier_key())
        .unwrap();
    let ledger = Ledger::create(&folder.path().join("ledger"), options).unwrap();
    let projections = Projections::open(ledger.reader()).unwrap();
    let memory = Fixture {
        folder,
        ledger,
        projections,
    };
    let rules = "[[rule]]\nname = \"pricing\"\npattern = \"pricing\"\nkinds = [\"memory.write\", \"message\"]\ncount = 2\n\
                 within = 3\nsignal = \"pricing-sensitive\"\ntags = [\"signal\"]\n";
    fs::write(memory.folder.path().join("ledger/noise.toml"), rules).unwrap();
    let (mut ids, mut quarantines): (Vec<EventId>, Vec<EventId>) = Default::default();
    let pick = |ids: &[EventId], picks: &[usize]| -> Vec<EventId> {
        let picked = picks
            .iter()
            .filter(|_| !ids.is_empty())
            .map(|pick| ids[pick % ids.len()]);
        let mut picked: Vec<_> = picked.collect();
        picked.sort();
        picked.dedup();
        picked
    };
    let reader = memory.ledger.reader();
    for step in steps {
        match step {
            Step::Say {
                scope,
                kind,
                text,
                key,
                actor,
                channel,
                confidence,
                ttl,
                run: of_run,
                evidence,
                supersedes,
            } => {
                let mut said = json!({"text": TEXTS[*text], "tags": [format!("t{text}{channel}")]});
                if *key {
                    said["key"] = json!("slot");
                }
                if let Some(quarters) = confidence {
                    said["confidence"] = json!(f64::from(*quarters) / 4.0);
                }
                if let Some(days) = ttl {
                    said["ttlDays"] = json!(days);
                }
                let mut draft = payload(SCOPES[*scope], said);
                let kinds = [
                    "memory.write",
                    "memory.write",
                    "memory.write",
                    "memory.retract",
                    "message",
                    "memory.summary",
                ];
                draft.kind = kinds[*kind].parse().unwrap();
                draft.actor = ACTORS[*actor].parse().unwrap();
                draft.run = RUNS.get(*of_run).map(|name| run(name));
                let time = Timestamp::from_ms(1_700_000_000_000 + (ids.len() as u64 % 7) * DAY_MS);
                let source = json!({"channel": format!("c{channel}"), "original": {"ts": time.to_string()}});
                draft.body.source = Some(serde_json::from_value(source).unwrap());
                draft.evidence = pick(&ids, evidence);
                draft.supersedes = pick(&ids, supersedes);
                ids.push(memory.append(draft).id);
            }
            Step::Tell { run: of_run, events } => {
                let hits: Vec<Value> = pick(&ids, events).iter().map(|id| json!([id, 0.5])).collect();
                let mut draft = payload("a", json!({"told": [{"call": 1, "hits": {"hits": hits, "asOf": 1}}]}));
                (draft.kind, draft.run) = ("quipu.run.told".parse().unwrap(), Some(run(RUNS[*of_run])));
                ids.push(memory.append(draft).id);
            }
            Step::Erase { event } => {
                let target = Target::Events(pick(&ids, &[*event]));
                if !ids.is_empty()
                    && let Ok(plan) = ErasurePlan::new(reader, &target, None)
                {
                    let acts = plan.sign(reader, &kim, "").unwrap();
                    // What is erased already needs none.
                    if !acts.is_empty() {
                        memory.ledger.act_blocking(acts).unwrap();
                    }
                }
            }
            Step::Quarantine {
                run: of_run,
                actor,
                back,
            } => {
                let head = reader.head();
                let what = match of_run {
                    Some(of_run) => Quarantine::Run(run(RUNS[*of_run])),
                    None => Quarantine::Actor {
                        name: ACTORS[*actor].parse().unwrap(),
                        first: head.saturating_sub(*back as u64),
                        end: head,
                    },
                };
                let act = SignedAct::sign(reader.origin(), head, QUARANTINE, &what, &kim).unwrap();
                quarantines.push(memory.ledger.act_blocking(vec![act]).unwrap()[0].id);
            }
            Step::Lift { quarantine } => {
                for id in pick(&quarantines, &[*quarantine]) {
                    let what = Quarantine::Lift(id);
                    let act = SignedAct::sign(reader.origin(), reader.head(), QUARANTINE, &what, &kim).unwrap();
                    quarantines.push(memory.ledger.act_blocking(vec![act]).unwrap()[0].id);
                }
            }
        }
        after_each(&memory);
    }
    memory
}

fn views(head: u64) -> Vec<View> {
    let handle = |name: &str, head, by: Option<&str>| Handle {
        scope: scope(name),
        head,
        run: by.map(run),
    };
    let half = head / 2;
    vec![
        View::Everything { head },
        View::Everything { head: half },
        View::Handles(vec![handle("a", head, None)]),
        View::Handles(vec![handle("b", half, Some("FAV"))]),
        View::Handles(vec![handle("a", half, Some("FAV")), handle("b", head, Some("FAV"))]),
        View::Handles(vec![handle("a", half, Some("FAW")), handle("b", half, Some("FAW"))]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, max_shrink_iters: 60, ..ProptestConfig::default() })]

    /// Facts are those of the simple computation, whoever looks, whenever; and as of any position they are those of a
    /// projection that has folded no more.
    #[test]
    fn facts_are_what_the_rules_make_of_what_is_seen(steps in steps(), day in 0..12_u64) {
        let memory = ledger(&steps);
        memory.catch_up();
        let head = memory.head();
        let events: Vec<_> = memory.ledger.reader().events(0..head).map(Result::unwrap).collect();
        for now in [0, 1_700_000_000_000 + day * DAY_MS] {
            for view in views(head) {
                for as_of in [head, head * 2 / 3] {
                    let model = Model { events: &events, view: &view, as_of };
                    let asked = query("", |q| (q.limit, q.now, q.as_of) = (1_000, Timestamp::from_ms(now), Some(as_of)));
                    let ours = told(&memory.projections, &view, &asked);
                    prop_assert_eq!(ours, sorted(model.facts(now)), "{:?} as of {} at {}", view, as_of, now);
                }
            }
        }
        let asked = |as_of| query("", |q| (q.limit, q.as_of) = (1_000, as_of));
        let positions = [head / 3, head / 2, head - 1];
        let now = positions.map(|as_of| {
            memory.projections.facts(&View::Everything { head }, &asked(Some(as_of))).unwrap()
        });
        fs::remove_dir_all(memory.folder.path().join("ledger/projections")).unwrap();
        for (as_of, now) in positions.into_iter().zip(now) {
            prop_assert_eq!(memory.projections.catch_up(as_of).unwrap(), as_of);
            let then = memory.projections.facts(&View::Everything { head: as_of }, &asked(None)).unwrap();
            prop_assert_eq!(then, now);
        }
    }

    /// However the log is cut into batches and whatever is erased in between, the rows are those of a rebuild.
    #[test]
    fn rows_are_the_same_however_they_came_to_be(steps in steps(), cuts in prop::collection::btree_set(0..60_u64, 0..20)) {
        let memory = ledger(&steps);
        for cut in cuts {
            memory.projections.catch_up(cut).unwrap();
        }
        memory.catch_up();
        let rows = dump(&memory.projections);
        memory.projections.rebuild().unwrap();
        prop_assert_eq!(rows, dump(&memory.projections));
    }

    /// A batch of one, of a few, and of all.
    #[test]
    fn rows_are_the_same_in_batches_of_any_size(steps in steps()) {
        let memory = ledger(&steps);
        let mut rows = Vec::new();
        for size in [1, 7, 1_000] {
            fs::remove_dir_all(memory.folder.path().join("ledger/projections")).unwrap();
            for to in (0..memory.head()).step_by(size).chain([u64::MAX]) {
                memory.projections.catch_up(to).unwrap();
            }
            rows.push(dump(&memory.projections));
        }
        prop_assert_eq!(&rows[0], &rows[1]);
        prop_assert_eq!(&rows[0], &rows[2]);
    }

    /// Whoever erases makes nobody surer of anything.
    #[test]
    fn no_erasure_makes_a_fact_surer(steps in steps(), event in 0..100_usize) {
        let without_keys = steps.into_iter().filter(|step| !matches!(step, Step::Say { key: true, .. }));
        let mut steps: Vec<_> = without_keys.collect();
        let sure = |steps: &[Step]| {
            let memory = ledger(steps);
            memory.catch_up();
            let view = View::Everything { head: memory.head() };
            let facts = told(&memory.projections, &view, &query("", |q| q.limit = 1_000)).into_iter();
            // A text that a signal stood for may come out again.
            let facts = facts.filter(|fact| !fact.text.contains("pricing"));
            facts.map(|fact| ((fact.scope, fact.text), fact.confidence)).collect::<BTreeMap<_, _>>()
        };
        let before = sure(&steps);
        steps.push(Step::Erase { event });
        for (fact, confidence) in sure(&steps) {
            let was = before.get(&fact).copied().unwrap_or(0.0);
            prop_assert!(confidence <= was, "{:?} was {} and is {}", fact, was, confidence);
        }
    }

    /// As it is used: folded while it is written, so that what is erased was folded before.
    #[test]
    fn folding_after_each_step_gives_the_rows_of_a_rebuild(steps in steps()) {
        let memory = ledger_folded(&steps);
        let rows = dump(&memory.projections);
        memory.projections.rebuild().unwrap();
        prop_assert_eq!(rows, dump(&memory.projections));
    }
}

//! Recorded runs that are executed again.

// Long because each way in which a run can be another one is here, beside the records that show it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use quipu_format::{Body, Hash, Kind, RunId};
use quipu_host::{
    AgentComponent, Differs, Identical, NoReplayKind, Outcome, Replay, Replayer, Runtime, SecretsPolicy, Verdict,
};
use quipu_log::Draft;
use serde_json::{Value, json};

use crate::guests::{House, actor, grant, guest, kinds, limits, payload, scope};

impl House {
    async fn replay(&self, run: RunId) -> Replay {
        self.replay_with(run, None).await
    }

    /// With another component in place of the recorded one.
    async fn replay_with(&self, run: RunId, component: Option<&AgentComponent>) -> Replay {
        let before = files(&self.path());
        let replayer = Replayer::new(self.ledger.reader().clone()).unwrap();
        let recorded = replayer.find(run, &mut |_, _| ()).unwrap().unwrap();
        let replay = replayer.replay(&recorded, component).await.unwrap();
        assert_eq!(files(&self.path()), before, "a replay changes nothing");
        replay
    }

    async fn is_identical(&self, run: RunId) {
        let replay = self.replay(run).await;
        assert_eq!(replay.verdict, Verdict::Identical(Identical::ToItsEnd), "{replay:?}");
    }
}

/// All files of a ledger but its checkpoint, which an idle writer signs, and what is derived by those who ask.
fn files(folder: &Path) -> BTreeMap<PathBuf, Hash> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() && !path.ends_with("tree") {
            all.extend(files(&path));
        } else if kind.is_file() && !path.ends_with("checkpoint") && !path.ends_with("checkpoint.new") {
            all.insert(path.clone(), Hash::of(&[&fs::read(path).unwrap_or_default()]));
        }
    }
    all
}

#[tokio::test]
async fn runs_of_all_sorts_are_the_same_again() {
    let house = House::new();
    let first = house.seed_statement(
        "home",
        "user:ann",
        r#"{"text":"Ann likes tea","tags":["taste","tea"],"confidence":0.7}"#,
    );
    house.seed_statement("other", "user:bob", r#"{"text":"Bob likes coffee","ttlDays":30}"#);
    let mut wide = grant();
    wide.read.push(scope("other"));
    for (name, input) in [
        ("echo", "remember this".to_owned()),
        ("reader", r#"{"page":3}"#.to_owned()),
        ("writer", r#"{"appends":7,"batch":3}"#.to_owned()),
        ("writer", r#"{"appends":3,"key":"once-"}"#.to_owned()),
        ("writer", r#"{"appends":3,"key":"once-"}"#.to_owned()),
        (
            "recaller",
            json!({"search": "who likes tea", "say": "Bob likes tea too", "id": first.id}).to_string(),
        ),
        ("recaller", "{}".to_owned()),
        ("liar", String::new()),
        ("forger", String::new()),
        ("prover", first.id.to_string()),
        ("smuggler", String::new()),
        ("flooder", String::new()),
        ("trapper", "panic".to_owned()),
        ("trapper", "overflow".to_owned()),
        ("trapper", "error".to_owned()),
        ("observer", "tea".to_owned()),
        ("hog", String::new()),
        ("hoarder", "leak".to_owned()),
        ("big", String::new()),
    ] {
        let report = house.run(name, &wide, &input).await;
        let replay = house.replay(report.run).await;
        assert_eq!(
            replay.verdict,
            Verdict::Identical(Identical::ToItsEnd),
            "{name} {input}: {replay:?}"
        );
        assert_eq!(
            (replay.calls, replay.appends),
            (report.calls, report.appended.len() as u64),
            "{name}"
        );
    }
}

#[tokio::test]
async fn looking_for_a_run_tells_how_far_it_has_come() {
    let house = House::new();
    for n in 0..300 {
        house.seed("home", "user:ann", &json!({"text": format!("said {n}")}).to_string());
    }
    let report = house.run("echo", &grant(), "x").await;
    let replayer = Replayer::new(house.ledger.reader().clone()).unwrap();
    let mut told = Vec::new();
    replayer
        .find(report.run, &mut |done, total| told.push((done, total)))
        .unwrap()
        .unwrap();
    let head = house.ledger.reader().head();
    assert_eq!((told.first(), told.last()), (Some(&(256, head)), Some(&(head, head))));
    assert!(told.is_sorted(), "{told:?}");
}

#[tokio::test]
async fn another_component_is_found_by_its_first_call_that_differs() {
    let house = House::new();
    house.seed("home", "user:ann", r#"{"text":"said"}"#);
    let component = |name: &str| AgentComponent::new(&guest(name)).unwrap();

    let wrote = house.run("writer", &grant(), r#"{"appends":2}"#).await;
    let Verdict::Different(difference) = house.replay_with(wrote.run, Some(&component("flooder"))).await.verdict else {
        panic!("not different");
    };
    assert_eq!(
        (difference.call, difference.function.as_deref()),
        (Some(1), Some("append.append"))
    );
    let Differs::Draft { entry, nth: 0, members } = &difference.what else {
        panic!("{difference:?}")
    };
    assert_eq!(*entry, wrote.appended[0].id);
    assert_eq!(
        members.iter().map(|member| member.name).collect::<Vec<_>>(),
        ["payload"]
    );
    assert!(
        members[0].recorded.contains("xxx") && members[0].given.contains("more"),
        "{members:?}"
    );

    // A reader that is asked in other pages.
    let house = House::new();
    house.seed("home", "user:ann", r#"{"text":"said"}"#);
    let read = house.run("reader", &grant(), r#"{"page":7}"#).await;
    let Verdict::Different(difference) = house.replay_with(read.run, Some(&component("observer"))).await.verdict else {
        panic!("not different");
    };
    assert_eq!(difference.call, Some(1), "{difference}");
    assert!(
        matches!(difference.what, Differs::Arguments { since: 1, .. }),
        "{difference}"
    );
}

#[tokio::test]
async fn appends_that_are_too_many_or_too_few_are_named() {
    let house = House::new();
    let component = |name: &str| AgentComponent::new(&guest(name)).unwrap();
    let one = house.run("trapper", &grant(), "error").await;
    let none = house.run("hoarder", &grant(), "leak").await;
    let few = house.replay_with(one.run, Some(&component("hoarder"))).await;
    let Verdict::Different(difference) = few.verdict else {
        panic!("{few:?}")
    };
    assert_eq!(
        difference.what,
        Differs::MissingDraft {
            entry: one.appended[0].id
        }
    );
    let many = house.replay_with(none.run, Some(&component("trapper"))).await;
    let Verdict::Different(difference) = many.verdict else {
        panic!("{many:?}")
    };
    assert_eq!(difference.call, Some(1));
    let is_named = matches!(&difference.what, Differs::MoreCalls { .. } | Differs::ExtraDraft { .. });
    assert!(is_named, "{difference}");
}

#[tokio::test]
async fn a_run_that_the_machine_ended_is_compared_up_to_there() {
    let house = House::within(limits(|l| l.deadline_ms = 200));
    for input in ["", "host"] {
        let report = house.run("spin", &grant(), input).await;
        assert_eq!(report.outcome, Outcome::TimedOut);
        let replay = house.replay(report.run).await;
        assert_eq!(
            replay.verdict,
            Verdict::Identical(Identical::UpToTheDeadline),
            "{replay:?}"
        );
        assert_eq!(replay.calls, report.calls);
    }
    // Before it made a call nothing is executed: another component is compared with nothing.
    let report = house.run("spin", &grant(), "").await;
    let other = AgentComponent::new(&guest("echo")).unwrap();
    let replay = house.replay_with(report.run, Some(&other)).await;
    assert!(is_refused(&replay, NoReplayKind::Incomplete), "{replay:?}");
    // Another component, which makes another call first.
    let report = house.run("spin", &grant(), "host").await;
    let other = AgentComponent::new(&guest("echo")).unwrap();
    let replay = house.replay_with(report.run, Some(&other)).await;
    assert!(matches!(replay.verdict, Verdict::Different(_)), "{replay:?}");
    // What it is told past its limit ends it, then and now.
    let house = House::within(limits(|l| l.told_bytes = 2_000));
    let report = house.run("liar", &grant(), "").await;
    assert!(matches!(report.outcome, Outcome::Trapped(_)));
    house.is_identical(report.run).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_the_host_ended_is_compared_up_to_there() {
    for input in ["", "host"] {
        let house = House::within(limits(|l| l.deadline_ms = 60_000));
        let report = house.run_halted(input).await;
        let replay = house.replay(report.run).await;
        assert_eq!(
            replay.verdict,
            Verdict::Identical(Identical::UpToTheHostsEnd),
            "{replay:?}"
        );
        assert_eq!(replay.calls, report.calls);
    }
}

#[tokio::test]
async fn what_was_not_drafted_is_found_wherever_the_run_was_ended() {
    let house = House::within(limits(|l| l.deadline_ms = 200));
    for (input, is_killed) in [("", false), ("host", false), ("host", true)] {
        let run = house.run("spin", &grant(), input).await.run;
        let forged = forge(&house, run, |r| {
            r.insert(1, ("memory.write".into(), json!({"text": "planted"}), Value::Null));
            r.truncate(r.len() - usize::from(is_killed));
        });
        let entry = house.events_of(forged)[1].envelope.id;
        let replay = house.replay(forged).await;
        match is_killed {
            false => {
                let Verdict::Different(difference) = replay.verdict else {
                    panic!("{input}: {replay:?}")
                };
                assert_eq!(difference.what, Differs::MissingDraft { entry });
            }
            // It goes on and on without that draft.
            true => assert!(is_refused(&replay, NoReplayKind::Late), "{replay:?}"),
        }
    }
}

#[tokio::test]
async fn entries_under_a_runs_name_that_are_none_of_its_are_found() {
    let house = House::new();
    let stamp = |run: RunId, kind: &str| {
        let body = Body::new(None, r#"{"text":"planted"}"#).unwrap();
        let mut draft = Draft::new(scope("other"), actor("agent:test"), Kind::new(kind).unwrap(), body);
        draft.run = Some(run);
        house.ledger.append_blocking(draft).unwrap().id
    };
    let mut planted = Vec::new();
    for kind in ["memory.write", "quipu.run.told", "quipu.run.end", "quipu.run"] {
        let run = house.run("writer", &grant(), r#"{"appends":2}"#).await.run;
        house.is_identical(run).await;
        planted.push((run, stamp(run, kind)));
    }
    // Before it begins.
    let run = house.run("hoarder", &grant(), "leak").await.run;
    let next = house.ledger.reader().head() + 1;
    let run_after = RunId(ulid::Ulid::from_parts(run.0.timestamp_ms(), u128::from(next)));
    let before = stamp(run_after, "memory.write");
    assert_eq!(forge(&house, run, |_| ()), run_after);
    planted.push((run_after, before));
    // A second beginning in the midst of it.
    let twice = forge(&house, run, |r| r.insert(1, r[0].clone()));
    planted.push((twice, house.events_of(twice)[1].envelope.id));
    house.is_identical(run).await;

    let differs = |replay: Replay| match replay.verdict {
        Verdict::Different(difference) => Some((replay.run, difference.what)),
        _ => None,
    };
    for &(run, entry) in &planted {
        let replay = house.replay(run).await;
        assert_eq!(differs(replay), Some((run, Differs::NotDrafted { entry })));
    }
    // All of them together.
    let replayer = Replayer::new(house.ledger.reader().clone()).unwrap();
    let mut found = BTreeMap::new();
    for recorded in replayer.runs() {
        let replay = replayer.replay(&recorded.unwrap(), None).await.unwrap();
        if let Some((run, Differs::NotDrafted { entry })) = differs(replay) {
            found.insert(run, entry);
        }
    }
    assert_eq!(found, planted.into_iter().collect());
}

#[tokio::test]
async fn a_draft_of_another_actor_is_another_one() {
    let house = House::new();
    let run = house.run("writer", &grant(), r#"{"appends":1}"#).await.run;
    let forged = forge(&house, run, |r| r[0].2["run"]["grant"]["actor"] = json!("agent:other"));
    let replay = serde_json::to_value(house.replay(forged).await).unwrap();
    assert_eq!(
        (&replay["differs"], &replay["members"]),
        (
            &json!("draft"),
            &json!([{"name": "actor", "recorded": "agent:test", "given": "agent:other"}])
        ),
        "{replay}"
    );
}

fn is_refused(replay: &Replay, reason: NoReplayKind) -> bool {
    matches!(&replay.verdict, Verdict::Refused(why) if why.reason == reason)
}

#[tokio::test]
async fn a_killed_run_is_compared_up_to_what_is_recorded() {
    let house = House::new();
    let agent = house.runtime.load(&guest("flooder")).unwrap();
    let grant = grant();
    let killed = tokio::time::timeout(Duration::from_millis(150), house.runtime.run(&agent, &grant, "")).await;
    assert!(killed.is_err());
    // The append that was under way is still made.
    let mut head = 0;
    while head != house.ledger.reader().head() {
        head = house.ledger.reader().head();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let events = house.events();
    let (run, appends) = (
        events[1].envelope.run.unwrap(),
        kinds(&events).iter().filter(|kind| **kind == "memory.write").count(),
    );
    assert!(appends > 0);
    let replay = house.replay(run).await;
    assert_eq!(replay.verdict, Verdict::Identical(Identical::UpToTheKill), "{replay:?}");
    assert_eq!((replay.outcome.as_deref(), replay.appends), (None, appends as u64));
    let other = AgentComponent::new(&guest("writer")).unwrap();
    let replay = house.replay_with(run, Some(&other)).await;
    assert!(matches!(replay.verdict, Verdict::Different(_)), "{replay:?}");
}

#[tokio::test]
async fn a_component_that_is_not_kept_is_asked_for() {
    let house = House::new();
    let runtime = Runtime::over(house.runtime.memory().clone(), limits(|_| ()))
        .unwrap()
        .keep_components(false);
    let component = AgentComponent::new(&guest("echo")).unwrap();
    let agent = runtime.load_component(component.clone()).unwrap();
    let report = runtime.run(&agent, &grant(), "x").await.unwrap();
    let replay = house.replay(report.run).await;
    let Verdict::Refused(why) = &replay.verdict else {
        panic!("{replay:?}")
    };
    assert_eq!(why.reason, NoReplayKind::Component);
    assert!(
        why.why.contains(&component.sha256().to_hex()) && why.why.contains("--component"),
        "{}",
        why.why
    );
    let replay = house.replay_with(report.run, Some(&component)).await;
    assert_eq!(replay.verdict, Verdict::Identical(Identical::ToItsEnd));
    // One that is kept under its name, and is another.
    house.is_identical(house.run("echo", &grant(), "y").await.run).await;
    let file = house
        .path()
        .join("components")
        .join(format!("{}.wasm", component.sha256().to_hex()));
    fs::write(&file, guest("writer")).unwrap();
    let replay = house.replay(report.run).await;
    assert!(
        matches!(&replay.verdict, Verdict::Refused(why) if why.reason == NoReplayKind::Component),
        "{replay:?}"
    );
}

/// Appends a copy of a run's record, changed.
fn forge(house: &House, run: RunId, change: impl Fn(&mut Vec<(String, Value, Value)>)) -> RunId {
    let mut record: Vec<_> = house
        .events_of(run)
        .iter()
        .map(|event| {
            let sys = event.envelope.sys.clone().unwrap_or_default();
            (event.envelope.kind.to_string(), payload(event), sys)
        })
        .collect();
    change(&mut record);
    let forged = RunId(ulid::Ulid::from_parts(
        run.0.timestamp_ms(),
        u128::from(house.ledger.reader().head()),
    ));
    for (kind, payload, sys) in record {
        let body = Body::new(None, &payload.to_string()).unwrap();
        let mut draft = Draft::new(scope("home"), actor("agent:test"), Kind::new(&kind).unwrap(), body);
        draft.run = Some(forged);
        draft.sys = (!sys.is_null()).then_some(sys);
        house.ledger.append_blocking(draft).unwrap();
    }
    forged
}

/// Changes what an entry of a record says.
fn said(record: &mut [(String, Value, Value)], kind: &str, change: impl Fn(&mut Value)) {
    let (_, payload, _) = record.iter_mut().find(|(of, ..)| of == kind).unwrap();
    change(payload);
}

#[tokio::test]
async fn a_record_that_was_changed_is_found() {
    let house = House::new();
    house.seed_statement("home", "user:ann", r#"{"text":"Ann likes tea","tags":["a"]}"#);
    house.seed_statement("home", "user:bob", r#"{"text":"ann likes tea.","tags":["b","a"]}"#);
    let run = house.run("recaller", &grant(), r#"{"search":"tea"}"#).await.run;
    let end = "quipu.run.end";
    house.is_identical(forge(&house, run, |_| ())).await;

    let differs = [
        (
            forge(&house, run, |r| {
                said(r, end, |end| end["output"] = json!("something else"))
            }),
            "output",
        ),
        (
            forge(&house, run, |r| {
                said(r, end, |end| end["transcript"] = json!(Hash::of(&[b"x"])))
            }),
            "answers",
        ),
        (
            forge(&house, run, |r| {
                said(r, end, |end| {
                    end["transcript"] = json!(Hash::of(&[b"x"]));
                    end.as_object_mut().unwrap().remove("marks");
                });
            }),
            "transcript",
        ),
        // The guest reports the scores that it is told.
        (
            forge(&house, run, |r| {
                said(r, "quipu.run.told", |t| {
                    t["told"][0]["hits"]["hits"][0][1] = json!(0.25)
                })
            }),
            "output",
        ),
        (
            forge(&house, run, |r| {
                said(r, "quipu.run.told", |t| t["told"][0] = json!({"call": 1, "head": 3}))
            }),
            "function",
        ),
        (
            forge(&house, run, |r| {
                said(r, "quipu.run.told", |t| {
                    drop(t["told"].as_array_mut().unwrap().remove(0))
                })
            }),
            "untold",
        ),
        (
            forge(&house, run, |r| {
                let refused = json!({"call": 1, "refused": {"kind": "unavailable", "message": "no"}});
                said(r, "quipu.run.told", |t| t["told"][0] = refused.clone());
            }),
            // The guest reports what it is refused, and goes on.
            "output",
        ),
        (
            forge(&house, run, |r| r[0].1["input"] = json!(r#"{"search":"coffee"}"#)),
            "arguments",
        ),
        (
            forge(&house, run, |r| r.last_mut().unwrap().2["end"]["calls"] = json!(2)),
            "more-calls",
        ),
        (
            forge(&house, run, |r| r.last_mut().unwrap().2["end"]["calls"] = json!(9)),
            "fewer-calls",
        ),
        (
            forge(&house, run, |r| {
                r.last_mut().unwrap().2["end"]["outcome"] = json!("failed")
            }),
            "outcome",
        ),
    ];
    for (run, expected) in differs {
        let replay = serde_json::to_value(house.replay(run).await).unwrap();
        assert_eq!(
            (&replay["verdict"], &replay["differs"]),
            (&json!("different"), &json!(expected)),
            "{replay}"
        );
    }

    let refused = [
        // As earlier releases wrote it.
        forge(&house, run, |r| {
            said(r, "quipu.run.told", |t| drop(facts(t).remove("notes")))
        }),
        forge(&house, run, |r| {
            said(r, "quipu.run.told", |t| {
                let context = t["told"].as_array_mut().unwrap().last_mut().unwrap()["context"]
                    .as_object_mut()
                    .unwrap();
                context.remove("layout");
            });
        }),
        forge(&house, run, |r| {
            said(r, end, |end| {
                end["note"] = json!("what the run was told last could not be recorded")
            })
        }),
        forge(&house, run, |r| drop(r[0].1.as_object_mut().unwrap().remove("input"))),
        forge(&house, run, |r| {
            drop(r[0].2["run"].as_object_mut().unwrap().remove("head"))
        }),
        forge(&house, run, |r| {
            said(r, "quipu.run.told", |t| {
                t["told"][0] = json!({"call": 1, "invented": 3})
            })
        }),
        // More than recall answers: an event twice, and very many.
        forge(&house, run, |r| {
            said(r, "quipu.run.told", |t| {
                let hits = t["told"][0]["hits"]["hits"].as_array_mut().unwrap();
                hits.push(hits[0].clone());
            });
        }),
        forge(&house, run, |r| {
            said(r, "quipu.run.told", |t| {
                let context = t["told"].as_array_mut().unwrap().last_mut().unwrap();
                let events = context["context"]["events"].as_array_mut().unwrap();
                let first = events[0].clone();
                events.resize(10_000, first);
            });
        }),
        // With these it would not have begun, or is believed to have been allowed whatever it says.
        forge(&house, run, |r| r[0].2["run"]["limits"]["handles"] = json!(0)),
        forge(&house, run, |r| r[0].2["run"]["limits"]["inputBytes"] = json!(1)),
        forge(&house, run, |r| {
            r[0].2["run"]["limits"]["memoryBytes"] = json!(1_u64 << 40)
        }),
    ];
    for run in refused {
        let replay = house.replay(run).await;
        assert!(
            matches!(&replay.verdict, Verdict::Refused(why) if why.reason == NoReplayKind::Incomplete),
            "{replay:?}"
        );
    }
    let world = forge(&house, run, |r| r[0].2["run"]["world"] = json!("compactor"));
    let replay = house.replay(world).await;
    assert!(
        matches!(&replay.verdict, Verdict::Refused(why) if why.reason == NoReplayKind::World),
        "{replay:?}"
    );
}

fn facts(told: &mut Value) -> &mut serde_json::Map<String, Value> {
    let told = told["told"].as_array_mut().unwrap();
    let facts = told.iter_mut().find(|told| told.get("facts").is_some()).unwrap();
    facts["facts"].as_object_mut().unwrap()
}

#[tokio::test]
async fn what_a_guest_gives_as_a_secret_is_compared_with_its_handle() {
    let house = House::new();
    let mut handling = grant();
    handling.secrets = SecretsPolicy::Handle;
    let secret = format!("AKIA{}", "IOSFODNN7QWERTZU");
    // So deep in its input that it is not found there, and less deep in what the agent is told to append.
    let (mut text, mut compared) = (secret.clone(), 0);
    for _ in 0..4 {
        let append = json!({"kind": "memory.write", "payload": format!(r#"{{"text":"{text}"}}"#)});
        let report = house
            .run("caller", &handling, &json!([{ "append": append }]).to_string())
            .await;
        let events = house.events_of(report.run);
        let stored = payload(&events[1]).to_string();
        if stored.contains("secret://") && payload(&events[0])["handled"].is_null() {
            house.is_identical(report.run).await;
            compared += 1;
        }
        text = text.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    }
    assert!(compared > 0, "no draft had a secret that the input had not");
    // An input with a secret in it is recorded with a handle: nobody knows what the agent was given.
    let report = house.run("hoarder", &handling, &secret).await;
    let replay = house.replay(report.run).await;
    let Verdict::Refused(why) = &replay.verdict else {
        panic!("{replay:?}")
    };
    assert_eq!(why.reason, NoReplayKind::Incomplete);
    assert!(why.why.contains("handle"), "{}", why.why);
}

/// Answers 8 random bytes and the time, each half of a byte as a letter.
const WITH_WASI: &str = r#"(module
  (import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))
  (import "wasi:clocks/wall-clock@0.2.0" "now" (func $now (param i32)))
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "handle") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
    (local $i i32) (local $byte i32)
    (i64.store (i32.const 2048) (call $random))
    (call $now (i32.const 2056))
    (loop $next
      (local.set $byte (i32.load8_u offset=2048 (local.get $i)))
      (i32.store8 offset=3000 (i32.shl (local.get $i) (i32.const 1))
        (i32.add (i32.const 97) (i32.shr_u (local.get $byte) (i32.const 4))))
      (i32.store8 offset=3001 (i32.shl (local.get $i) (i32.const 1))
        (i32.add (i32.const 97) (i32.and (local.get $byte) (i32.const 15))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (i32.const 20))))
    (i32.store (i32.const 20) (i32.const 3000))
    (i32.store (i32.const 24) (i32.const 40))
    (i32.const 16)))"#;

/// A core module for a world of quipu's, WASI's randomness and its clock.
fn with_wasi() -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::default();
    resolve
        .push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit"))
        .unwrap();
    let packages = [
        "package wasi:random@0.2.0; interface random { get-random-u64: func() -> u64; }",
        "package wasi:clocks@0.2.0; interface wall-clock {
           record datetime { seconds: u64, nanoseconds: u32 } now: func() -> datetime; }",
        "package test:guest; world guest {
           import wasi:random/random@0.2.0; import wasi:clocks/wall-clock@0.2.0;
           use quipu:memory/types@0.1.0.{run-info}; use quipu:memory/read@0.1.0.{reader};
           export handle: func(run: run-info, memory: list<reader>, input: string) -> result<string, string>; }",
    ];
    let package = packages.map(|wit| resolve.push_str("guest.wit", wit).unwrap())[2];
    let world = resolve.select_world(&[package], Some("guest")).unwrap();
    let mut module = wat::parse_str(WITH_WASI).unwrap();
    wit_component::embed_component_metadata(&mut module, &resolve, world, wit_component::StringEncoding::UTF8, false)
        .unwrap();
    module
}

#[tokio::test]
async fn with_wasi_the_clock_and_the_random_bytes_are_the_same_again() {
    let house = House::new();
    let runtime = Runtime::over(house.runtime.memory().clone(), limits(|_| ()))
        .unwrap()
        .with_wasi()
        .unwrap();
    let agent = runtime.load(&with_wasi()).unwrap();
    let mut granted = grant();
    granted.wasi = true;
    let mut answers = Vec::new();
    for _ in 0..2 {
        let report = runtime.run(&agent, &granted, "").await.unwrap();
        let Outcome::Ok(answer) = &report.outcome else {
            panic!("{:?}", report.outcome)
        };
        answers.push((report.run, answer.clone()));
        house.is_identical(report.run).await;
    }
    assert_ne!(answers[0].1[..16], answers[1].1[..16], "random bytes of two runs");
    // The seed decides. (The copy began at another time, so that the clock differs too.)
    let forged = forge(&house, answers[0].0, |r| {
        r[0].1["wasi"]["seed"] = json!("07".repeat(32))
    });
    let replay = serde_json::to_value(house.replay(forged).await).unwrap();
    assert_eq!(replay["differs"], "output", "{replay}");
    let (recorded, given) = (replay["recorded"].as_str().unwrap(), replay["given"].as_str().unwrap());
    assert_ne!(recorded[..16], given[..16]);
    // A record without a seed offers no WASI.
    let forged = forge(&house, answers[0].0, |r| {
        drop(r[0].1.as_object_mut().unwrap().remove("wasi"))
    });
    let replay = house.replay(forged).await;
    assert!(
        matches!(&replay.verdict, Verdict::Refused(why) if why.reason == NoReplayKind::Component),
        "{replay:?}"
    );
}

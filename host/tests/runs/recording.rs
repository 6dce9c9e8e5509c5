//! What the ledger knows of a run.

use std::path::Path;

use quipu_format::{Event, Hash};
use quipu_host::{Outcome, RunReport};
use serde_json::{Value, json};

use crate::guests::{House, answer, grant, guest, kinds, limits, payload, scope};

fn sys(event: &Event) -> &Value {
    event.envelope.sys.as_ref().unwrap()
}

fn transcript(house: &House, report: &quipu_host::RunReport) -> String {
    payload(&house.end(report.run).unwrap())["transcript"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_run_begins_with_component_grant_limits_head_and_input() {
    let house = House::new();
    let head = house.seed("home", "user:ann", "{}").seq + 1;
    let mut grant = grant();
    grant.read.push(scope("other"));
    let agent = house.runtime.load(&guest("echo")).unwrap();
    let report = house.runtime.run(&agent, &grant, "remember this").await.unwrap();

    let events = house.events_of(report.run);
    assert_eq!(kinds(&events), ["quipu.run", "memory.write", "quipu.run.end"]);
    let start = &events[0];
    assert_eq!(start.envelope.scope, scope("home"));
    assert_eq!(start.envelope.actor, grant.actor);
    assert_eq!(payload(start), json!({"input": "remember this"}));
    let run = &sys(start)["run"];
    let digest = agent.component().sha256();
    let hex: String = digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(run["component"], json!(hex));
    assert_eq!(run["world"], "agent");
    assert_eq!(run["head"], json!(head));
    assert_eq!(run["grant"]["read"], json!(["other"]));
    assert_eq!(run["grant"]["supersedeOthers"], json!(false));
    assert_eq!(run["limits"]["deadlineMs"], json!(30_000));
    assert_eq!(
        house.ledger.reader().component(&digest).unwrap().unwrap(),
        agent.component().bytes()
    );
    assert_eq!(report.head, head);

    // The guest was told the time of that entry, and no other.
    let told = answer(&report);
    assert_eq!(told["run"]["now"], json!(start.envelope.ts));
    assert_eq!(told["run"]["id"], json!(report.run));
    assert_eq!(told["run"]["actor"], "agent:test");
}

#[tokio::test]
async fn a_run_ends_with_outcome_output_transcript_and_counts() {
    let house = House::new();
    let report = house.run("echo", &grant(), "x").await;
    let end = house.end(report.run).unwrap();
    let Outcome::Ok(output) = &report.outcome else {
        panic!("{:?}", report.outcome)
    };
    assert_eq!(payload(&end)["output"], json!(output));
    assert!(transcript(&house, &report).parse::<Hash>().is_ok());
    assert_eq!(
        sys(&end)["end"],
        json!({"outcome": "ok", "calls": report.calls, "appends": 1})
    );
    assert_eq!(house.events().last().unwrap(), &end);
}

/// What descends from an event is found by it.
#[tokio::test]
async fn a_run_ends_with_what_its_readers_gave_it() {
    let house = House::new();
    let read = |report: &RunReport| payload(&house.end(report.run).unwrap())["read"].clone();
    for _ in 0..3 {
        house.seed("home", "user:ann", r#"{"text":"said"}"#);
    }
    let wrote = house.run("writer", &grant(), "{}").await;
    assert_eq!(read(&wrote), json!({}));
    // The run before is recorded in the same scope, and its record is not shown: entries 3 and 5.
    let page = house.run("reader", &grant(), r#"{"page":2}"#).await;
    assert_eq!(read(&page), json!({"home": [[0, 2], [4, 4]]}));
    let recalled = house.run("recaller", &grant(), r#"{"search":"said"}"#).await;
    assert_eq!(read(&recalled), json!({}));
}

#[tokio::test]
async fn a_failure_and_a_trap_keep_what_was_appended_and_are_recorded() {
    let house = House::new();
    for (input, word, message) in [
        ("error", "failed", "gave up after evt_"),
        ("panic", "trapped", "unreachable"),
        ("overflow", "trapped", "wasm trap"),
    ] {
        let report = house.run("trapper", &grant(), input).await;
        assert_eq!(
            kinds(&house.events_of(report.run)),
            ["quipu.run", "memory.write", "quipu.run.end"]
        );
        assert_eq!(report.appended.len(), 1);
        let end = house.end(report.run).unwrap();
        assert_eq!(sys(&end)["end"]["outcome"], word);
        let error = payload(&end)["error"].as_str().unwrap().to_owned();
        assert!(error.contains(message), "{error}");
        match report.outcome {
            Outcome::Failed(said) => assert_eq!((word, said), ("failed", error)),
            Outcome::Trapped(said) => assert_eq!((word, said), ("trapped", error)),
            other => panic!("{other:?}"),
        }
    }
    // And the next run goes as if nothing had been.
    answer(&house.run("echo", &grant(), "still here").await);
}

/// A core module with a stack of functions of these names, the outermost first, the last of which traps.
fn trapping(names: &[&str]) -> Vec<u8> {
    // As the text format writes them.
    let quoted = |name: &str| name.bytes().map(|byte| format!("\\{byte:02x}")).collect::<String>();
    let names: Vec<_> = names.iter().map(|name| quoted(name)).collect();
    let mut functions = String::new();
    for (nth, name) in names.iter().enumerate() {
        let body = match names.get(nth + 1) {
            Some(next) => format!("call $\"{next}\""),
            None => "unreachable".into(),
        };
        functions.push_str(&format!("(func $\"{name}\" {body})\n"));
    }
    let module = format!(
        "(module (memory (export \"memory\") 1)
           (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
           (func $handle (export \"handle\") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
             call $\"{}\" (i32.const 16))
           {functions})",
        names[0]
    );
    let mut module = wat::parse_str(module).unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let (package, _) = resolve.push_dir(&wit).unwrap();
    let world = resolve.select_world(&[package], Some("agent")).unwrap();
    wit_component::embed_component_metadata(&mut module, &resolve, world, wit_component::StringEncoding::UTF8, false)
        .unwrap();
    module
}

#[tokio::test]
async fn a_trap_says_in_which_functions_and_no_name_steers_anything() {
    let house = House::new();
    let run = async |names: &[&str]| {
        let agent = house.runtime.load(&trapping(names)).unwrap();
        let report = house.runtime.run(&agent, &grant(), "").await.unwrap();
        let Outcome::Trapped(said) = report.outcome else {
            panic!()
        };
        assert_eq!(payload(&house.end(report.run).unwrap())["error"], json!(said));
        said
    };
    let said = run(&["answer", "invoices", "parse"]).await;
    let lines: Vec<_> = said.lines().collect();
    assert!(lines[0].contains("unreachable"), "{said}");
    assert_eq!(
        lines[1..],
        ["  in parse", "  in invoices", "  in answer", "  in handle"]
    );

    let long = "x".repeat(5_000);
    let said = run(&["a\u{1b}[2Jb\u{9b}31m", &long, "call stack exhausted"]).await;
    assert!(said.chars().all(|c| !c.is_control() || c == '\n'), "{said:?}");
    assert!(said.len() < 500, "{said}");

    let deep: Vec<String> = (0..40).map(|nth| format!("f{nth}")).collect();
    let said = run(&deep.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert!(
        said.lines().count() <= 14 && said.contains("in f39") && said.contains("or more around it"),
        "{said}"
    );
}

#[tokio::test]
async fn refusals_are_recorded_with_the_call_they_answered() {
    let house = House::new();
    let report = house.run("forger", &grant(), "").await;
    let refusals: Vec<Value> = answer(&report)
        .as_array()
        .unwrap()
        .iter()
        .filter(|c| !c["refused"].is_null())
        .cloned()
        .collect();
    let told = house.told(report.run);
    assert_eq!(told.len(), refusals.len());
    for (told, refusal) in told.iter().zip(&refusals) {
        assert_eq!(told["refused"]["kind"], refusal["refused"]);
        assert_eq!(told["refused"]["message"], refusal["message"]);
    }
    let calls: Vec<u64> = told.iter().map(|told| told["call"].as_u64().unwrap()).collect();
    assert!(calls.is_sorted() && calls.last().unwrap() <= &report.calls);
}

#[tokio::test]
async fn what_was_told_comes_before_what_was_appended_after_it() {
    let house = House::within(limits(|l| l.appends = 1));
    // Three appends that are allowed one: the refusals wait for the end.
    let report = house.run("forger", &grant(), "").await;
    let events = house.events_of(report.run);
    assert_eq!(
        kinds(&events),
        ["quipu.run", "memory.write", "quipu.run.told", "quipu.run.end"]
    );

    let house = House::new();
    house.seed("home", "user:ann", "{}");
    let report = house.run("liar", &grant(), "").await;
    let events = house.events_of(report.run);
    let first_told = events
        .iter()
        .position(|e| e.envelope.kind.as_str() == "quipu.run.told")
        .unwrap();
    let first_write = events
        .iter()
        .position(|e| e.envelope.kind.as_str() == "memory.write")
        .unwrap();
    assert_eq!((first_told, first_write), (1, 2), "{:?}", kinds(&events));
    // Both are of one commit.
    assert_eq!(events[1].envelope.seq + 1, events[2].envelope.seq);
}

#[tokio::test]
async fn idempotent_repeats_are_recorded_and_append_nothing() {
    let house = House::new();
    let input = r#"{"appends":3,"batch":3,"key":"once-"}"#;
    let first = house.run("writer", &grant(), input).await;
    let again = house.run("writer", &grant(), input).await;
    assert_eq!(answer(&first), answer(&again));
    assert_eq!((first.appended.len(), again.appended.len()), (3, 0));
    let ids: Vec<_> = first
        .appended
        .iter()
        .enumerate()
        .map(|(nth, receipt)| json!([nth, receipt.id]))
        .collect();
    assert_eq!(house.told(again.run), [json!({"call": 1, "repeated": ids})]);
    assert_eq!(house.told(first.run), [] as [Value; 0]);
}

#[tokio::test]
async fn the_same_guest_over_the_same_log_gives_the_same_transcript() {
    let original = House::new();
    original.seed_all("home", "user:ann", (0..20).map(|n| json!({ "n": n }).to_string()));
    // As long, with other content: its heads and positions are the same.
    let other = House::new();
    other.seed_all("home", "user:ann", (20..40).map(|n| json!({ "n": n }).to_string()));
    let mut hashes = Vec::new();
    for (house, input) in [
        (original.copy(), r#"{"page":7}"#),
        (original.copy(), r#"{"page":7}"#),
        (other, r#"{"page":7}"#),
        (original.copy(), r#"{"page":100}"#),
        (original.copy(), r#"{"page":101}"#),
    ] {
        let report = house.run("reader", &grant(), input).await;
        answer(&report);
        hashes.push(transcript(&house, &report));
    }
    assert_eq!(hashes[0], hashes[1]);
    assert_ne!(hashes[0], hashes[2], "the same calls, other answers");
    assert_ne!(hashes[3], hashes[4], "the same answers, other arguments");
}

#[tokio::test]
async fn a_killed_run_is_one_without_an_end() {
    let house = House::new();
    let agent = house.runtime.load(&guest("spin")).unwrap();
    let (nobody, grant) = (std::time::Duration::from_millis(100), grant());
    let killed = tokio::time::timeout(nobody, house.runtime.run(&agent, &grant, "")).await;
    assert!(killed.is_err());
    assert_eq!(kinds(&house.events()).last(), Some(&"quipu.run"));
    answer(&house.run("echo", &grant, "the next").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_end_cannot_be_recorded_is_trapped_with_the_hosts_error() {
    let house = House::within(limits(|l| l.deadline_ms = 300));
    let agent = house.runtime.load(&guest("spin")).unwrap();
    let ledger = house.ledger.clone();
    let closing = tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        tokio::task::spawn_blocking(|| ledger.close()).await.unwrap().unwrap();
    });
    let report = house.runtime.run(&agent, &grant(), "").await.unwrap();
    closing.await.unwrap();
    let Outcome::Trapped(message) = &report.outcome else {
        panic!("{:?}", report.outcome)
    };
    assert!(message.contains("could not record the run"), "{message}");
    let error = house.runtime.run(&agent, &grant(), "").await.unwrap_err();
    assert_eq!(error.kind(), quipu_host::ErrorKind::Ledger);
}

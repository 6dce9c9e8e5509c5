//! Events from elsewhere come in whole, once, or not at all.

mod driver;

use std::{collections::BTreeMap, fs};

use driver::{Ledger, Ran, root, wait_until};
use serde_json::{Value, json};

/// The line that an event was imported from, put together again. `ids` leads from new ids to those of the input.
fn original(event: &Value, ids: &BTreeMap<String, String>) -> Value {
    let mut source = event["source"].as_object().unwrap().clone();
    let mut line = source.remove("original").map_or(json!({}), |original| original);
    for member in ["kind", "scope", "payload", "evidence", "supersedes"] {
        if let Some(value) = event.get(member) {
            line[member] = value.clone();
        }
    }
    for member in ["evidence", "supersedes"] {
        for id in line.get_mut(member).and_then(Value::as_array_mut).into_iter().flatten() {
            *id = ids[id.as_str().unwrap()].as_str().into();
        }
    }
    line["source"] = source.into();
    line
}

/// From new ids to those of the input.
fn original_ids(events: &[Value]) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of = |event: &Value| (text(&event["id"]), text(&event["source"]["original"]["id"]));
    events.iter().map(of).collect()
}

fn imported(ledger: &Ledger) -> Vec<Value> {
    ledger.log(&["--actor", "tool:import"])
}

#[test]
fn the_sample_is_read_back_equal() {
    let ledger = Ledger::new();
    let sample = root().join("examples/data/support.jsonl");
    let lines = fs::read_to_string(&sample).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() >= 120);

    ledger.import(&sample, &["--dry-run"]).good();
    assert_eq!(imported(&ledger).len(), 0, "a dry run appends nothing");
    let ran = ledger.import(&sample, &[]).good();
    let scopes = lines
        .iter()
        .map(|line| line["scope"].as_str())
        .collect::<std::collections::BTreeSet<_>>()
        .len();
    assert_eq!(
        ran.out,
        format!("imported {} events into {scopes} scopes\n", lines.len())
    );

    let events = imported(&ledger);
    let ids = original_ids(&events);
    let read_back: Vec<_> = events.iter().map(|event| original(event, &ids)).collect();
    assert_eq!(read_back, lines);
    ledger.verify().good();
}

#[test]
fn everything_that_an_event_says_is_kept() {
    let ledger = Ledger::new();
    let line = r#"{"id":"evt_01J","ts":"2026-02-20T04:11:43.1234567+02:00","actor":"Teddy <teddy@example.org>",
        "kind":"memory.write","scope":"customer:acme-inc","tenant":{"plan":[1,2.5,-0.125,null,true,1e300]},
        "source":{"channel":"telegram","conversationId":"conv_1","messageId":"m 7","thread":{"n":18446744073709551615}},
        "payload":{"text":"naïve 🪢 \u0000","confidence":0.8,"ttlDays":90,"tags":["preference"],"own":{"b":1,"a":1.0}}}"#;
    let line = line.replace('\n', "");
    let second = r#"{"id":"2","kind":"memo","scope":"s","payload":{},"evidence":["evt_01J"],"supersedes":["evt_01J"]}"#;
    let file = ledger.file("events.jsonl", format!("\u{feff}{line}\r\n\r\n   \n{second}"));
    ledger.import(&file, &["--actor", "operator:kim"]).good();
    let events = ledger.log(&["--actor", "operator:kim"]);
    let ids = original_ids(&events);
    assert_eq!(
        original(&events[0], &ids),
        serde_json::from_str::<Value>(&line).unwrap()
    );
    let mut second: Value = serde_json::from_str(second).unwrap();
    second["source"] = json!({"channel": "import"});
    assert_eq!(original(&events[1], &ids), second);
    let raw = ledger
        .run(["show", events[0]["id"].as_str().unwrap(), "--json"])
        .good()
        .out;
    assert!(
        raw.contains(r#""own":{"b":1,"a":1.0}"#),
        "the payload's bytes are kept: {raw}"
    );
}

#[test]
fn bad_lines_are_all_told_and_nothing_is_appended() {
    let ledger = Ledger::new();
    let good = r#"{"id":"good","scope":"s","kind":"memo","payload":{"text":"good"}}"#;
    let deep = format!(
        r#"{{"scope":"s","kind":"memo","payload":{{"x":{}{}}}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    let huge = format!(
        r#"{{"scope":"s","kind":"memo","payload":{{"text":"{}"}}}}"#,
        "x".repeat(1 << 20)
    );
    let bad: [(&[u8], &str); 31] = [
        (b"not json", "not a JSON object"),
        (b"[1]", "not a JSON object"),
        (br#"{"scope":"s","kind":"memo","payload":{}"#, "not a JSON object"),
        (
            br#"{"scope":"s","scope":"t","kind":"memo","payload":{}}"#,
            "two members named \"scope\"",
        ),
        (br#"{"kind":"memo","payload":{}}"#, "`scope` is missing"),
        (br#"{"scope":"s","payload":{}}"#, "`kind` is missing"),
        (br#"{"scope":"s","kind":"memo"}"#, "`payload` is missing"),
        (br#"{"scope":"s","kind":"memo","erased":true}"#, "was erased"),
        (
            br#"{"scope":7,"kind":"memo","payload":{}}"#,
            "`scope` must be text, in quotes; it is 7",
        ),
        (
            br#"{"scope":"a b","kind":"memo","payload":{}}"#,
            "`scope`: a scope \"a b\"",
        ),
        (
            br#"{"scope":"quipu:ledger","kind":"memo","payload":{}}"#,
            "the ledger's own",
        ),
        (br#"{"scope":"s","kind":"quipu.run","payload":{}}"#, "the ledger's own"),
        (
            br#"{"scope":"s","kind":"memo","payload":[]}"#,
            "`payload` is not a JSON object",
        ),
        (
            br#"{"scope":"s","kind":"memo","payload":{"text":7}}"#,
            "in `payload`, `text` must be text",
        ),
        (
            br#"{"scope":"s","kind":"memo","payload":{"confidence":"0.8"}}"#,
            "`confidence` must be a number from 0 to 1",
        ),
        (
            br#"{"scope":"s","kind":"memo","payload":{"confidence":1.5}}"#,
            "`confidence` must be a number from 0 to 1",
        ),
        (
            br#"{"scope":"s","kind":"memo","payload":{"ttlDays":"90"}}"#,
            "`ttlDays` must be a whole number of days",
        ),
        (
            br#"{"scope":"s","kind":"memo","payload":{"tags":"billing"}}"#,
            "`tags` must be a list of texts",
        ),
        (
            br#"{"scope":"s","kind":"memo","payload":{},"source":"telegram"}"#,
            "`source` must be an object",
        ),
        (
            br#"{"scope":"s","kind":"memo","payload":{},"source":{"messageId":7}}"#,
            "`source.messageId` must be text",
        ),
        (
            br#"{"scope":"s","kind":"memo","payload":{},"source":{"id":123456789012345678901234567890}}"#,
            "no 64-bit number holds exactly",
        ),
        (
            br#"{"scope":"s","kind":"memo","payload":{},"original":1,"source":{"original":2}}"#,
            "`original` and `source.original` cannot both be kept",
        ),
        (
            br#"{"scope":"s","kind":"memo","payload":{},"ts":1700000000}"#,
            "`ts` must be text, in quotes",
        ),
        (
            br#"{"scope":"s","kind":"memo","payload":{},"ts":"yesterday"}"#,
            "`ts`: \"yesterday\"",
        ),
        (br#"{"id":"","scope":"s","kind":"memo","payload":{}}"#, "`id` is empty"),
        (
            br#"{"id":"good","scope":"s","kind":"memo","payload":{"text":"good"}}"#,
            "id \"good\" is also on line 1",
        ),
        (
            br#"{"scope":"s","kind":"memo","payload":{},"evidence":["nowhere"]}"#,
            "names \"nowhere\", which is neither",
        ),
        (
            br#"{"id":"x","scope":"s","kind":"memo","payload":{},"evidence":["x"]}"#,
            "names the event itself",
        ),
        (
            b"{\"scope\":\"s\",\"kind\":\"memo\",\"payload\":{\"text\":\"\xff\"}}",
            "not UTF-8 text from byte 47",
        ),
        (deep.as_bytes(), "recursion limit"),
        (huge.as_bytes(), "1048576"),
    ];
    let mut all = format!("{good}\n").into_bytes();
    for (line, said) in &bad {
        let file = ledger.file("bad.jsonl", [good.as_bytes(), b"\n", *line, b"\n"].concat());
        ledger
            .import(&file, &[])
            .exits(2)
            .tells(&["nothing was appended", "1 line to mend", "line 2: ", said]);
        all.extend_from_slice(line);
        all.push(b'\n');
    }
    let file = ledger.file("bad.jsonl", &all);
    let ran = ledger
        .import(&file, &[])
        .exits(2)
        .tells(&["31 lines to mend", "line 2: ", "line 21: ", "and 11 more"]);
    assert!(!ran.err.contains("line 22: "), "{}", ran.err);
    ledger
        .import(&file, &["--dry-run"])
        .exits(2)
        .tells(&["31 lines to mend"]);
    assert_eq!(imported(&ledger).len(), 0);
}

#[test]
fn what_is_past_a_limit_is_refused_and_what_is_below_goes_in_batches() {
    let ledger = Ledger::new();
    let long = |bytes: usize| json!({"id": "i".repeat(bytes), "scope": "s", "kind": "memo", "payload": {}}).to_string();
    let file = ledger.file("events.jsonl", long(122));
    ledger
        .import(&file, &[])
        .exits(2)
        .tells(&["`id` has 122 bytes; at most 121"]);
    let file = ledger.file("events.jsonl", long(121));
    ledger.import(&file, &[]).good();
    let small = "{\"scope\":\"s\",\"kind\":\"memo\",\"payload\":{}}\n";
    let file = ledger.file("events.jsonl", small.repeat(1_000_001));
    ledger
        .import(&file, &["--dry-run"])
        .exits(2)
        .tells(&["line 1000001: one import takes at most 1000000 events"]);
    // More events than one atomic append takes, and more bytes than one commit.
    let file = ledger.file("events.jsonl", small.repeat(1_001));
    ledger.import(&file, &[]).good();
    let large = json!({"scope": "s", "kind": "memo", "payload": {"text": "x".repeat(1_000_000)}}).to_string() + "\n";
    let file = ledger.file("events.jsonl", large.repeat(20));
    ledger.import(&file, &[]).good();
    assert_eq!(imported(&ledger).len(), 1 + 1_001 + 20);
}

#[test]
fn utf_16_is_named() {
    let ledger = Ledger::new();
    let file = ledger.file("utf16.jsonl", b"\xff\xfe{\0}\0");
    ledger.import(&file, &[]).exits(2).tells(&["UTF-16"]);
}

#[test]
fn later_lines_are_no_evidence() {
    let ledger = Ledger::new();
    let lines = r#"{"id":"a","scope":"s","kind":"memo","payload":{},"evidence":["b"]}
{"id":"b","scope":"s","kind":"memo","payload":{}}"#;
    let file = ledger.file("events.jsonl", lines);
    ledger
        .import(&file, &[])
        .exits(2)
        .tells(&["line 1: ", "comes later, on line 2"]);
}

#[test]
fn links_are_counted_and_may_lead_into_the_ledger() {
    let ledger = Ledger::new();
    let held = ledger.append("other", "held", &[]);
    let event = |links: usize| {
        let links = vec![json!(held); links];
        json!({"scope": "s", "kind": "memo", "payload": {}, "evidence": links}).to_string()
    };
    let file = ledger.file("events.jsonl", event(257));
    ledger
        .import(&file, &[])
        .exits(2)
        .tells(&["`evidence` names 257 events; at most 256"]);
    let file = ledger.file("events.jsonl", event(256));
    ledger.import(&file, &[]).good();
    assert_eq!(imported(&ledger)[0]["evidence"][255], *held);
}

#[test]
fn a_second_import_appends_nothing() {
    let ledger = Ledger::new();
    // Without ids, equal lines are still different events.
    let line = r#"{"scope":"s","kind":"memo","payload":{"text":"again"}}"#;
    let file = ledger.file("events.jsonl", format!("{line}\n{line}\n"));
    let ran = ledger.import(&file, &[]).good();
    assert_eq!(ran.out, "imported 2 events into 1 scope\n");
    let ran = ledger.import(&file, &[]).good();
    assert_eq!(ran.out, "imported 0 events into 1 scope (2 were already there)\n");
    assert_eq!(imported(&ledger).len(), 2);
    let changed = ledger.file(
        "events.jsonl",
        r#"{"id":"1","scope":"s","kind":"memo","payload":{"text":"one"}}"#,
    );
    ledger.import(&changed, &[]).good();
    let changed = ledger.file(
        "events.jsonl",
        r#"{"id":"1","scope":"s","kind":"memo","payload":{"text":"two"}}"#,
    );
    ledger
        .import(&changed, &[])
        .exits(1)
        .tells(&["lines 1 to 1", "import:1"]);
}

#[test]
fn an_export_comes_into_another_ledger() {
    let first = Ledger::new();
    let said = first.append("s", "said", &[]);
    first.append("s", "learned", &["--evidence", &said, "--supersedes", &said]);
    let lines = first.run(["log", "--json", "--scope", "s"]).good().out;
    let second = Ledger::new();
    let file = second.file("export.jsonl", &lines);
    second.import(&file, &[]).good();
    let events = imported(&second);
    assert_eq!(events[1]["evidence"][0], events[0]["id"]);
    assert_eq!(events[1]["supersedes"][0], events[0]["id"]);
    let original = &events[0]["source"]["original"];
    assert_eq!(
        (&original["id"], &original["actor"]),
        (&json!(said), &json!("operator:kim"))
    );
    // Once more: what the first import kept stays, below what the second keeps.
    let lines = second.run(["log", "--json", "--scope", "s"]).good().out;
    let third = Ledger::new();
    third.import(&third.file("export.jsonl", &lines), &[]).good();
    let kept = &imported(&third)[0]["source"]["original"];
    assert_eq!((&kept["id"], &kept["original"]), (&events[0]["id"], original));
}

#[test]
fn standard_input_is_a_file_too() {
    let ledger = Ledger::new();
    let mut import = ledger
        .command(["import", "-"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let line = br#"{"scope":"s","kind":"memo","payload":{}}"#;
    std::io::Write::write_all(&mut import.stdin.take().unwrap(), line).unwrap();
    Ran::from(import.wait_with_output().unwrap()).good();
    assert_eq!(imported(&ledger).len(), 1);
}

/// Each event rests on the one before it, so that each needs a commit of its own: a slow import, to be broken off.
#[test]
fn an_import_that_was_killed_is_finished_by_the_next() {
    const EVENTS: usize = 3_000;
    let ledger = Ledger::new();
    let lines = (0..EVENTS).map(|n| {
        let evidence = if n == 0 { vec![] } else { vec![format!("m{}", n - 1)] };
        let line = json!({"id": format!("m{n}"), "scope": format!("s:{}", n % 3), "kind": "message",
            "payload": {"n": n, "text": "x".repeat(300)}, "evidence": evidence});
        format!("{line}\n")
    });
    let file = ledger.file("events.jsonl", lines.collect::<String>());
    let mut first = ledger.command(["import"]).arg(&file).spawn().unwrap();
    wait_until("the import has begun", || {
        ledger.run(["stats", "--json"]).good().json()["entries"].as_u64() > Some(200)
    });
    first.kill().unwrap();
    let ended = first.wait_with_output().unwrap();
    assert!(!ended.status.success(), "it was killed in the middle: {ended:?}");

    ledger.verify().good();
    let already = imported(&ledger).len();
    assert!(already < EVENTS);
    let ran = ledger.import(&file, &[]).good();
    // One that was durable without being shown yet is found too.
    let told = |already| {
        format!(
            "imported {} events into 3 scopes ({already} were already there)\n",
            EVENTS - already
        )
    };
    assert!(
        (already..EVENTS).any(|already| ran.out == told(already)),
        "{already} were there, but: {}",
        ran.out
    );

    let ns: Vec<_> = imported(&ledger)
        .iter()
        .map(|event| event["payload"]["n"].as_u64().unwrap() as usize)
        .collect();
    assert!(ns.into_iter().eq(0..EVENTS), "each once, in order");
    assert_eq!(ledger.import(&file, &[]).good().out, told(EVENTS));
    ledger.verify().good();
}

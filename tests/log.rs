//! `quipu log` finds what is asked for.

mod driver;

use std::io::{BufRead, BufReader};

use driver::Ledger;

#[test]
fn log_is_filtered() {
    let ledger = Ledger::new();
    for n in 0..3 {
        let drafts = ["a", "b"].map(|scope| format!(r#"{{"scope":"{scope}","payload":{{"n":{n}}}}}"#));
        let file = ledger.file("drafts", drafts.join("\n")).display().to_string();
        let kind = if n == 1 { "observation" } else { "memo" };
        ledger
            .run([
                "append",
                "--actor",
                &format!("tool:{n}"),
                "--kind",
                kind,
                "--jsonl",
                &file,
            ])
            .good();
    }
    let ns = |args: &[&str]| -> Vec<i64> {
        ledger
            .log(args)
            .iter()
            .filter_map(|event| event["payload"]["n"].as_i64())
            .collect()
    };
    assert_eq!(ns(&[]), [0, 0, 1, 1, 2, 2]);
    assert_eq!(ns(&["--scope", "b"]), [0, 1, 2]);
    assert_eq!(
        ns(&["--scope", "a", "--scope", "b", "--actor", "tool:1", "--actor", "tool:2"]),
        [1, 1, 2, 2]
    );
    assert_eq!(ns(&["--kind", "memo", "--scope", "a"]), [0, 2]);
    assert_eq!(ns(&["--last", "3"]), [1, 2, 2]);
    assert_eq!(ns(&["--last", "2", "--scope", "a"]), [1, 2]);
    assert_eq!(ns(&["--last", "1", "--kind", "observation"]), [1]);
    assert_eq!(ns(&["--limit", "2", "--scope", "b"]), [0, 1]);
    assert_eq!(ns(&["--scope", "c"]), [0; 0]);
}

#[test]
fn the_last_events_are_found_however_many_there_are() {
    let ledger = Ledger::new();
    let drafts = (0..2500)
        .map(|n| format!("{{\"payload\":{{\"n\":{n}}}}}\n"))
        .collect::<String>();
    let file = ledger.file("drafts", drafts).display().to_string();
    ledger
        .run(["append", "--actor", "t", "--scope", "a", "--jsonl", &file])
        .good();
    for filter in [&["--scope", "a"][..], &["--actor", "t"]] {
        let last = ledger.log(&[filter, &["--last", "1500"]].concat());
        let ns = last.iter().map(|event| event["payload"]["n"].as_i64().unwrap());
        assert!(ns.eq(1000..2500));
    }
}

#[test]
fn time_is_when_it_happened() {
    let ledger = Ledger::new();
    let lines = r#"{"ts":"2020-01-31T23:59:59Z","scope":"a","kind":"message","payload":{"n":1}}
{"ts":"2020-02-01T01:00:00+02:00","scope":"a","kind":"message","payload":{"n":2}}
{"ts":"2020-02-01T00:00:00Z","scope":"a","kind":"message","payload":{"n":3}}
{"scope":"a","kind":"message","payload":{"n":4}}
"#;
    let file = ledger.file("events.jsonl", lines);
    ledger.import(&file, &[]).good();
    let ns = |args: &[&str]| -> Vec<i64> {
        let events = ledger.log(&[&["--scope", "a"], args].concat());
        events
            .iter()
            .map(|event| event["payload"]["n"].as_i64().unwrap())
            .collect()
    };
    assert_eq!(ns(&["--since", "2020-02-01"]), [3, 4]);
    assert_eq!(ns(&["--until", "2020-02-01"]), [1, 2]);
    assert_eq!(
        ns(&["--since", "2020-01-31T23:00:00Z", "--until", "2020-02-01T00:00:00.001Z"]),
        [1, 2, 3]
    );
}

#[test]
fn follow_prints_what_comes() {
    let ledger = Ledger::new();
    ledger.append("a", "before", &[]);
    let mut follow = ledger
        .command(["log", "--scope", "a", "--json", "--follow"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let mut text = || {
        let line = lines.next().unwrap().unwrap();
        serde_json::from_str::<serde_json::Value>(&line).unwrap()["payload"]["text"].clone()
    };
    assert_eq!(text(), "before");
    ledger.append("b", "elsewhere", &[]);
    ledger.append("a", "after", &[]);
    assert_eq!(text(), "after");
    follow.kill().unwrap();
    follow.wait().unwrap();
}

#[test]
fn whoever_reads_a_log_that_lost_its_end_is_told() {
    let ledger = Ledger::new();
    let [kept, lost] = ["kept", "lost"].map(|text| ledger.append("a", text, &[]));
    let segment = ledger.path().join("log/00000000000000000000.log");
    let bytes = std::fs::read_to_string(&segment).unwrap();
    std::fs::write(&segment, &bytes[..bytes.find(r#""seq":2"#).unwrap() - 7]).unwrap();
    let warning = "warning: the log ends with 2 entries where 3 were acknowledged";
    for (args, code) in [
        (vec!["log"], 1),
        (vec!["search", "kept"], 0),
        (vec!["show", &kept], 0),
        (vec!["why", &kept], 0),
        (vec!["stats"], 0),
        (vec!["show", &lost], 1),
    ] {
        let said = ledger.run(&args).exits(code).err;
        assert!(said.starts_with(warning), "{args:?}: {said}");
    }
}

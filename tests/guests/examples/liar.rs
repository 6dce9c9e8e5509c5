//! Passes nonsense to every function. Report: the outcome of each call, named by function and argument.

use quipu_guest::{
    Memory, Query, RunInfo,
    bindings::{append, read::Reader, recall, types::Draft},
};
use quipu_test_guests::Report;
use serde_json::{Value, json};

quipu_guest::agent!(handle);

fn handle(_run: RunInfo, memory: Memory, _input: String) -> Result<String, String> {
    let mut report = Report::default();
    lie_to_read(memory.home(), &mut report);
    lie_to_recall(memory.home(), &mut report);
    lie_to_append(&mut report);
    Ok(report.finish())
}

fn ids() -> Vec<(&'static str, String)> {
    vec![
        ("empty", String::new()),
        ("a bare prefix", "evt_".into()),
        ("no ULID", "evt_!!!!!!!!!!!!!!!!!!!!!!!!!!".into()),
        ("lower case", "evt_01j00000000000000000000000".into()),
        ("past the last ULID", "evt_8ZZZZZZZZZZZZZZZZZZZZZZZZZ".into()),
        ("a path", "../../keys".into()),
        ("a NUL", "evt_01J0000000000000000000000\0".into()),
        ("1 MiB", "e".repeat(1 << 20)),
    ]
}

fn lie_to_read(home: &Reader, report: &mut Report) {
    for limit in [0, 1_001, u32::MAX] {
        report.add(&format!("read limit {limit}"), home.read(None, limit));
        report.add(&format!("read-back limit {limit}"), home.read_back(None, limit));
    }
    for seq in [1 << 53, i64::MAX as u64, u64::MAX] {
        report.add(&format!("read start {seq}"), home.read(Some(seq), 10));
        report.add(&format!("read-back end {seq}"), home.read_back(Some(seq), 10));
    }
    report.add("read-back end 0", home.read_back(Some(0), 10));
    for (name, id) in ids() {
        report.add(&format!("get {name}"), home.get(&id));
        report.add(&format!("prove {name}"), home.prove(&id));
    }
}

fn lie_to_recall(home: &Reader, report: &mut Report) {
    let mut search = |name: &str, handles: &[&Reader], query: Query| {
        let hits = recall::search(handles, query.as_raw()).map(|answer| json!(answer.hits.len()));
        report.add(&format!("search {name}"), hits);
    };
    search("without handles", &[], Query::new("x"));
    search("one handle twice", &[home, home], Query::new("invoices"));
    search("limit 0", &[home], Query::new("x").limit(0));
    search("limit u32::MAX", &[home], Query::new("x").limit(u32::MAX));
    search("as of u64::MAX", &[home], Query::new("x").as_of(u64::MAX));
    search("since yesterday", &[home], Query::new("x").since("yesterday"));
    search(
        "until before since",
        &[home],
        Query::new("x")
            .since("2030-01-01T00:00:00.000Z")
            .until("2020-01-01T00:00:00.000Z"),
    );
    search("an unknown kind", &[home], Query::new("x").kinds(["no such kind"]));
    for text in [
        "\"",
        "a OR b*",
        "NEAR(",
        "payload:x",
        "'; DROP TABLE events; --",
        "\0",
        "%_%",
        "🪢",
    ] {
        search(&format!("for {text:?}"), &[home], Query::new(text));
    }
    search("for 1 MiB", &[home], Query::new("x ".repeat(1 << 19)));
    search(
        "with 10,000 tags",
        &[home],
        Query::new("x").tags((0..10_000).map(|n| n.to_string())),
    );
    for (name, id) in ids() {
        report.add(
            &format!("why {name}"),
            recall::why(&[home], &id).map(|trail| json!(trail.events.len())),
        );
    }
    report.add(
        "why without handles",
        recall::why(&[], "evt_01J00000000000000000000000").map(|trail| json!(trail.events.len())),
    );
}

fn lie_to_append(report: &mut Report) {
    let good = Draft {
        kind: "memory.write".into(),
        payload: r#"{"text":"true"}"#.into(),
        source: None,
        evidence: Vec::new(),
        supersedes: Vec::new(),
        scope: None,
        key: None,
    };
    let mut lie = |name: String, change: &dyn Fn(&mut Draft)| {
        let mut draft = good.clone();
        change(&mut draft);
        report.add(&format!("append {name}"), append::append(&draft));
    };

    let deep = "[".repeat(200_000);
    let nested = format!(r#"{{"a":{}1{}}}"#, "[".repeat(126), "]".repeat(126));
    let malformed = [
        "",
        " ",
        "null",
        "true",
        "7",
        "\"text\"",
        "[]",
        "{",
        "{}x",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":1e999}",
        "{\"a\":\"\\ud800\"}",
        "{a:1}",
        "{\"a\":1,}",
        "\u{feff}{}",
        &deep,
    ];
    for payload in malformed {
        let name: String = payload.chars().take(24).collect();
        lie(format!("payload {name:?}"), &|draft| draft.payload = payload.into());
    }
    let odd = [
        r#"{"confidence":"NaN"}"#,
        r#"{"confidence":1e308,"ttlDays":-1}"#,
        r#"{"ttlDays":1e300,"text":{"a":[]}}"#,
        r#"{"tags":"not a list","text":null}"#,
        r#"{"tags":[1,null,{}]}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"":{"":""}}"#,
        "{\"text\":\"\u{202e}\u{0}\"}",
        r#"{"text":"\u0000\u001b[31m\r\n"}"#,
        &nested,
    ];
    for payload in odd {
        let name: String = payload.chars().take(40).collect();
        lie(format!("odd payload {name:?}"), &|draft| draft.payload = payload.into());
    }
    for kind in [
        "",
        " ",
        "memory write",
        "memory.write\n",
        "mémoire",
        "jana@example.com",
        "../../keys",
        ".hidden",
    ] {
        lie(format!("kind {kind:?}"), &|draft| draft.kind = kind.into());
    }
    for scope in [
        "",
        "..",
        "customer:",
        "customer:acme-inc\0",
        "CUSTOMER:ACME-INC",
        "jana@example.com",
    ] {
        lie(format!("scope {scope:?}"), &|draft| draft.scope = Some(scope.into()));
    }
    for (name, id) in ids() {
        lie(format!("evidence {name}"), &|draft| draft.evidence = vec![id.clone()]);
        lie(format!("supersedes {name}"), &|draft| {
            draft.supersedes = vec![id.clone()]
        });
    }
    for key in ["", "\0", "key\u{1f}"] {
        lie(format!("key {key:?}"), &|draft| draft.key = Some(key.into()));
    }
    for extra in [
        "",
        "[]",
        "null",
        "{",
        r#"{"channel":"forged","messageId":"forged"}"#,
        r#"{"original":7}"#,
    ] {
        lie(format!("source extra {extra:?}"), &|draft| {
            draft.source = Some(quipu_guest::Source {
                extra: Some(extra.into()),
                ..quipu_guest::Source::new("")
            });
        });
    }
    report.add(
        "append-all of nothing",
        append::append_all(&[]).map(|receipts| Value::from(receipts.len())),
    );
}

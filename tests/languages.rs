//! The same agent in four languages: the same drafts and the same answers.

mod driver;

use std::{env, fs, path::Path, process::Command};

use driver::{Ledger, Ran, guest, languages::built, quipu, root, run};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

const SCOPES: [&str; 4] = [
    "customer:initech",
    "customer:globex",
    "customer:acme-inc",
    "customer:odd",
];
const QUESTIONS: [&str; 6] = [
    "How does acme-inc want its invoices?",
    "When should we call?",
    "Where do alerts go, and when is maintenance?",
    "naïve “ſ” 😀",
    "What is the colour of the sky?",
    "zanzibar",
];
/// In what an agent of the same name wrote that is no statement. `QUESTIONS` has it too.
const ODD_OWN: &str = "zanzibar";

/// Messages that are hard on texts: what one language folds, trims or splits and another does not.
fn odd_messages() -> String {
    let token = format!("ghp_{}", "0123456789abcdefghijABCDEFGHIJklmnop");
    let texts = [
        "From now on we want \"quotes\", back\\slashes, ü€😀, \u{7f} and \u{1}\u{1f} kept.",
        "FROM NOW ON we want CAPITALS",
        "\u{a0}\u{feff}we want odd spaces\u{a0}\u{1c} ",
        "\t  we want\ttabs \t\r\nand lines",
        "we want ſharp letters, K and İ: pleaſe always",
        "pleaſe always fold nothing",
        "Nobody said it! we want sentences. And more? ",
        "Do we want questions? . we want dots .. we prefer. ",
        "> we want quoted words. we want our own",
        "no longer anything that was said before",
        "We decided on quotes, slashes and capitals instead of sentences",
        "nothing to see",
        "",
        "we\u{0}want zeros, we want\u{0}them",
        "\u{0} we want\u{0} zeros at the ends\u{0} we prefer none \u{0}",
        "Please always keep invoices invoices invoices in one folder",
        "Please always keep invoices in another folder and drawer",
        "From now on invoices go to a drawer",
        "we wanted, rewe want, we wanting",
        "e\u{301}we want accents \u{301}we want",
    ];
    let line = |n: usize, actor: &str, kind: &str, payload: &Value| {
        json!({"id": format!("odd-{n}"), "ts": "2026-02-20T02:11:43.123Z", "actor": actor, "kind": kind,
            "scope": "customer:odd", "payload": payload, "source": {"channel": "ü", "messageId": n.to_string()}})
        .to_string()
    };
    let mut lines: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(n, text)| line(n, "user:odd/kim", "message", &json!({ "text": text })))
        .collect();
    let text = json!({"text": "We decided what nobody may say"});
    lines.push(line(100, "staff:mira", "message", &text));
    lines.push(line(101, "user:odd/kim", "observation", &text));
    lines.push(line(
        102,
        "user:odd/kim",
        "message",
        &json!({"number": 5, "deep": {"text": "we want depth"}}),
    ));
    lines.push(line(
        103,
        "user:odd/kim",
        "message",
        &json!({"a": ["text", {"text": "we want"}], "t": {"text": "we want"}}),
    ));
    lines.push(r#"{"id":"odd-104","ts":"2026-02-20T02:11:43.123Z","actor":"user:odd/kim","kind":"message","scope":"customer:odd","payload":{ "n" : 1e400, "t\u0065xt" : "\u0057e want \ud83d\ude00 \u00e9scapes\/ \b\f" }}"#.replace("1e400", "123456789012345678901234567890"));
    lines.push(line(
        105,
        "user:odd/kim",
        "message",
        &json!({"text": format!("From now on we want the folder under {token}")}),
    ));
    lines.push(line(
        106,
        "user:odd/kim",
        "message",
        &json!({"text": "From now on the folder is called drawer"}),
    ));
    lines.join("\n") + "\n"
}

/// Events that say of themselves, in whatever form, that they were imported: anyone who may append may say so.
fn odd_originals() -> String {
    let originals = [
        r#""str""#,
        "null",
        "7",
        r#"["user:odd/kim"]"#,
        "{}",
        r#"{"actor":5}"#,
        r#"{"actor":null}"#,
        r#"{"actor":""}"#,
        r#"{"actor":["staff:b"]}"#,
        r#" { "ts":5 , "actor" : "staff:b" } "#,
        r#"{"actor":"staff:b","ts":5,"id":[]}"#,
        r#"{"actor":"user:b","ts":5}"#,
        r#"{"\u0061ctor":"user:\u0062"}"#,
        r#"{"deep":{"actor":"staff:b"},"number":12345678901234567890123}"#,
    ];
    let line = |(n, original): (usize, &&str)| {
        let said = |kind: &str, what: &str| {
            format!(
                r#"{{"kind":"{kind}","payload":{what},"source":{{"channel":"web","messageId":"{n}","original":{original}}}}}"#
            )
        };
        let text = format!(r#"{{"text":"We prefer original number{n}"}}"#);
        [
            said("message", &text),
            said("observation", &text),
            said("message", r#"{"text":null}"#),
        ]
        .join("\n")
            + "\n"
    };
    originals.iter().enumerate().map(line).collect()
}

/// A ledger with all that is asked about.
fn conversations() -> Ledger {
    let ledger = Ledger::new();
    ledger.import(&root().join("examples/data/support.jsonl"), &[]).good();
    let odd = ledger.file("odd.jsonl", odd_messages());
    ledger.import(&odd, &["--secrets", "off"]).good();
    let originals = ledger.file("originals.jsonl", odd_originals());
    for actor in ["user:odd/lee", "tool:bridge"] {
        let args = ["--scope", "customer:odd", "--actor", actor];
        run(ledger.command(["append", "--jsonl"]).arg(&originals).args(args)).good();
    }
    let own = ["", r#","text":7"#, r#","text":null"#, r#","text":["a"]"#].map(|text| {
        let payload = format!(r#"{{"about":"{ODD_OWN}","tags":["{ODD_OWN}"]{text}}}"#);
        json!({"append": {"kind": "memory.write", "payload": payload}})
    });
    let caller = ask(&ledger, &guest("caller"), "customer:odd", &json!(own).to_string(), &[]);
    assert_eq!(caller.good().json()["appended"].as_array().unwrap().len(), own.len());
    ledger
}

/// A copy, so that each language finds the same events under the same names.
fn copy_of(ledger: &Ledger) -> Ledger {
    let copy = Ledger::none_within(&env::temp_dir());
    let copied = Command::new("cp")
        .arg("-a")
        .arg(ledger.path())
        .arg(copy.path())
        .status()
        .unwrap();
    assert!(copied.success());
    copy
}

fn ask(ledger: &Ledger, wasm: &Path, scope: &str, question: &str, more: &[&str]) -> Ran {
    let grant = ["--actor", "agent:support", "--home", scope, "--json"];
    run(ledger.command(["run"]).arg(wasm).arg(question).args(grant).args(more))
}

/// A draft as its agent made it: the envelope's part, with own entries by their number, and source and payload.
#[derive(PartialEq, Debug)]
struct Draft {
    envelope: Value,
    source: Value,
    payload: String,
}

#[derive(Deserialize)]
struct Shown<'a> {
    id: String,
    #[serde(default)]
    source: Value,
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// What the agent appended, and the names of those entries.
fn drafts(ledger: &Ledger) -> (Vec<Draft>, Vec<String>) {
    let shown = ledger
        .run(["log", "--json", "--actor", "agent:support", "--kind", "memory.write"])
        .good();
    let shown = shown.out.lines().filter(|line| !line.contains(ODD_OWN));
    let shown: Vec<Shown<'_>> = shown.map(|line| serde_json::from_str(line).unwrap()).collect();
    let own: Vec<String> = shown.iter().map(|event| event.id.clone()).collect();
    let mut lines = Vec::new();
    let mut segments: Vec<_> = fs::read_dir(ledger.path().join("log"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    segments.sort();
    for segment in segments
        .iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "log"))
    {
        lines.extend(fs::read_to_string(segment).unwrap().lines().map(str::to_owned));
    }
    let envelopes = lines
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line.split('\t').next()?).ok());
    let mut envelopes: Vec<_> = envelopes
        .filter(|envelope| own.iter().any(|id| envelope["id"] == **id))
        .collect();
    for envelope in &mut envelopes {
        let members = envelope.as_object_mut().unwrap();
        members.retain(|name, _| ["actor", "kind", "scope", "evidence", "supersedes", "key"].contains(&name.as_str()));
    }
    assert_eq!(envelopes.len(), own.len());
    let drafts = envelopes.into_iter().zip(shown).map(|(envelope, event)| Draft {
        envelope: serde_json::from_str(&numbered(&envelope.to_string(), &own)).unwrap(),
        source: event.source,
        payload: event.payload.get().to_owned(),
    });
    (drafts.collect(), own)
}

/// A text with own entries by their number in place of their names, which the host gives.
fn numbered(text: &str, own: &[String]) -> String {
    own.iter()
        .enumerate()
        .fold(text.to_owned(), |text, (n, id)| text.replace(id, &format!("own-{n}")))
}

#[test]
fn the_same_agent_in_four_languages_gives_the_same_drafts_and_answers() {
    let conversations = conversations();
    let mut first: Option<(&str, Vec<Draft>, Vec<String>)> = None;
    for language in built() {
        let ledger = copy_of(&conversations);
        let wasm = guest(&format!("agent-{language}"));
        let mut said = Vec::new();
        for question in std::iter::once(&"").chain(&QUESTIONS) {
            let scopes = if question.is_empty() { &SCOPES[..] } else { &SCOPES[2..] };
            for scope in scopes {
                let ran = ask(&ledger, &wasm, scope, question, &[]).good().json();
                // Only the first run over the messages finds what is new.
                assert_eq!(
                    ran["appended"].as_array().unwrap().is_empty(),
                    !question.is_empty(),
                    "{language}: {ran}"
                );
                said.push(ran["text"].as_str().unwrap().to_owned());
            }
        }
        let (drafts, own) = drafts(&ledger);
        let said: Vec<_> = said.iter().map(|answer| numbered(answer, &own)).collect();
        let Some((other, other_drafts, other_said)) = &first else {
            assert!(drafts.len() > 25, "{drafts:#?}");
            let replacing = drafts
                .iter()
                .filter(|draft| draft.envelope.get("supersedes").is_some())
                .count();
            assert!(replacing > 5, "{drafts:#?}");
            assert!(
                drafts
                    .iter()
                    .all(|draft| draft.envelope["evidence"][0].is_string() && draft.envelope["key"].is_string())
            );
            assert!(
                drafts
                    .iter()
                    .all(|draft| !draft.payload.contains("ghp_") && !draft.payload.contains("nobody may say"))
            );
            assert!(
                said.iter()
                    .any(|answer| answer.contains("CSV exports in the SFTP folder. [own-")),
                "{said:#?}"
            );
            assert!(
                said.iter()
                    .any(|answer| answer == "I remember nothing that answers this."),
                "{said:#?}"
            );
            first = Some((language, drafts, said));
            continue;
        };
        assert_eq!(drafts.len(), other_drafts.len(), "{language} and {other}");
        for (draft, other_draft) in drafts.iter().zip(other_drafts) {
            assert_eq!(draft, other_draft, "{language} and {other}");
        }
        assert_eq!(&said, other_said, "{language} and {other}");
    }
    assert!(first.is_some());
}

#[test]
fn a_refused_call_ends_each_with_the_same_words() {
    let conversations = conversations();
    let found = conversations
        .run(["search", ODD_OWN, "--scope", "customer:odd", "--json"])
        .good();
    assert!(found.out.contains("\"text\":7"), "{}", found.out);
    let mut too_long = Vec::new();
    for language in built() {
        let wasm = guest(&format!("agent-{language}"));
        let ran = ask(&conversations, &wasm, SCOPES[0], &"what ".repeat(1_000), &[])
            .exits(1)
            .json();
        assert_eq!(ran["outcome"], "failed", "{language}: {ran}");
        let message = ran["text"].as_str().unwrap();
        assert!(message.starts_with("too-large: "), "{language}: {message}");
        too_long.push(message.to_owned());
        assert_eq!(message, too_long[0], "{language}");
        let ran = ask(&conversations, &wasm, SCOPES[0], "", &["--kind", "observation"])
            .exits(1)
            .json();
        assert_eq!(ran["outcome"], "failed", "{language}: {ran}");
        let message = ran["text"].as_str().unwrap();
        assert!(
            message.starts_with("denied: this run may not append that kind"),
            "{language}: {message}"
        );
    }
}

/// Each of them is compared with all before it.
#[test]
fn hundreds_of_statements_are_neither_too_many_nor_too_much() {
    let mut random = 1_u64;
    let mut word = || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        format!("{:x}", random >> 34)
    };
    let lines = (0..800).map(|n| {
        let text = format!("From now on {} {} {} {}.", word(), word(), word(), word());
        json!({"id": n.to_string(), "ts": "2026-02-20T02:11:43.123Z", "actor": "user:odd/kim", "kind": "message", "scope": "many",
            "payload": {"text": text}})
        .to_string()
            + "\n"
    });
    let ledger = Ledger::none_within(&env::temp_dir());
    let lines = ledger.file("many.jsonl", lines.collect::<String>());
    for language in built() {
        let wasm = guest(&format!("agent-{language}"));
        let grant = ["", "--ephemeral", "--home", "many", "--import"];
        let ran = run(quipu().arg("run").arg(wasm).args(grant).arg(&lines)).good();
        assert!(ran.out.contains("800 statements in many"), "{language}: {}", ran.out);
    }
}

#[test]
fn none_of_them_can_do_more_than_an_agent() {
    for language in built() {
        let report = run(quipu()
            .arg("audit")
            .arg(guest(&format!("agent-{language}")))
            .args(["--format", "json"]))
        .good()
        .json();
        assert_eq!(report["good"], true, "{language}: {report}");
        let can = json!(["reads", "recalls", "appends", "types"]);
        assert_eq!(report["authorities"], can, "{language}");
        let imports = report["audit"]["anatomy"]["imports"].as_array().unwrap();
        let is_ours = |import: &Value| import["name"].as_str().unwrap().starts_with("quipu:memory/");
        assert!(
            imports
                .iter()
                .filter(|import| import["kind"] == "interface")
                .all(is_ours),
            "{language}: {imports:?}"
        );
    }
}

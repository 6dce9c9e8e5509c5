use std::time::{Duration, Instant};

use proptest::prelude::*;
use quipu_format::limits;

use super::*;
use crate::{Match, NoHandle, TooMuch};

/// Finds `secret` followed by eight digits, without any rules to be compiled.
struct Digits;

impl Scanner for Digits {
    fn scan(&self, text: &str, work: &mut Work) -> Result<Vec<Match>, TooMuch> {
        work.spend(text.len())?;
        let found = text.match_indices("secret").map(|(at, word)| at..at + word.len() + 8);
        let found = found.filter(|range| {
            let digits = text.as_bytes().get(range.start + 6..range.end);
            digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_digit))
        });
        Ok(found.map(|range| Match { rule: "digits", range }).collect())
    }
}

fn found(json: &str) -> Vec<(String, Range<usize>)> {
    let findings = Guard::new(Digits).find(json).unwrap();
    findings
        .into_iter()
        .map(|finding| (finding.field, finding.range))
        .collect()
}

#[test]
fn a_finding_tells_field_and_bytes_of_the_text_that_was_given() {
    let json = r#"{"n":1,"text":"a \"secret12345678\" b"}"#;
    let at = json.find("secret").unwrap();
    assert_eq!(found(json), [("text".to_owned(), at..at + 14)]);
    // Encoded: the whole of what is encoded.
    let json = r#"{"a":{"b":["x","say c2VjcmV0MTIzNDU2Nzg= ok"]}}"#;
    let at = json.find("c2Vj").unwrap();
    assert_eq!(found(json), [("b".to_owned(), at..at + 20)]);
    let json = r#"{"text":"\u0073ecret1234567\u0038!"}"#;
    let at = json.find("\\u0073").unwrap();
    assert_eq!(found(json), [("text".to_owned(), at..json.len() - 3)]);
    // A name.
    assert_eq!(
        found(r#"{"secret12345678":1}"#),
        [("the name of a member".to_owned(), 2..16)]
    );
    // Split over two values.
    let split = found(r#"{"a":"secret1234","b":"5678"}"#);
    assert_eq!(split, [("a".to_owned(), 6..27)]);
}

#[test]
fn what_is_encoded_once_more_than_is_undone_is_not_found() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let mut text = "secret12345678".to_owned();
    for depth in 0..=limits::GUARD_DEPTH + 1 {
        let json = serde_json::json!({ "text": text }).to_string();
        assert_eq!(found(&json).is_empty(), depth > limits::GUARD_DEPTH, "{depth}");
        text = STANDARD.encode(text);
    }
}

#[test]
fn a_secret_across_the_edge_of_a_piece_is_found() {
    let step = limits::GUARD_PIECE_BYTES - limits::GUARD_OVERLAP_BYTES;
    for at in [
        limits::GUARD_PIECE_BYTES - 7,
        step - 7,
        3 * step + limits::GUARD_OVERLAP_BYTES - 7,
        900_000,
    ] {
        let text = " ".repeat(at) + "secret12345678" + &" ".repeat(100_000);
        let found = Guard::new(Digits).find_text(&text).unwrap();
        assert_eq!(found.len(), 1, "{at}");
        assert_eq!(found[0].range, at..at + 14);
    }
}

#[test]
fn a_handle_covers_each_part_and_is_none_itself() {
    let guard = Guard::new(Digits);
    let handle = |rule: &str, secret: &str| format!("secret://{rule}/{}", secret.len());
    let handled = |json: &str| guard.handled(json, &handle).unwrap();
    assert_eq!(handled(r#"{"text":"none"}"#), None);
    let two = handled(r#"{"text":"a secret12345678, secret87654321"}"#).unwrap();
    assert_eq!(two, r#"{"text":"a secret://digits/14, secret://digits/14"}"#);
    let encoded = handled(r#"{"text":"a c2VjcmV0MTIzNDU2Nzg= b"}"#).unwrap();
    assert_eq!(encoded, r#"{"text":"a secret://digits/14 b"}"#);
    let split = handled(r#"{"a":"secret1234","b":"5678"}"#).unwrap();
    assert_eq!(split, r#"{"a":"secret://digits/14","b":"secret://digits/14"}"#);
}

#[test]
fn too_much_work_and_a_secret_that_no_handle_hides_are_told_apart() {
    let guard = Guard::new(Digits);
    let no_better = |_: &str, _: &str| "secret87654321".to_owned();
    let left = guard.handled(r#"{"text":"a secret12345678"}"#, &no_better).unwrap_err();
    assert_eq!(left, NoHandle::Left);
    assert!(left.to_string().contains("no handle can stand"), "{left}");
    let much = Guard::new(Costly).handled(
        r#"{"a":"a text of some length","b":"a text of some length"}"#,
        &no_better,
    );
    let much = much.unwrap_err();
    assert_eq!(much, NoHandle::TooMuch(TooMuch));
    assert!(much.to_string().contains("split it"), "{much}");
}

/// Three texts are too much for it.
struct Costly;

impl Scanner for Costly {
    fn scan(&self, _: &str, work: &mut Work) -> Result<Vec<Match>, TooMuch> {
        work.spend(limits::GUARD_WORK_BYTES / 3).map(|()| Vec::new())
    }
}

#[test]
fn a_handle_in_the_place_of_a_password_is_none() {
    let guard = Guard::new(Rules);
    let json = r#"{"text":"Server=db.example;User Id=app;Password=Zq9x!trmn1"}"#;
    let handle = |rule: &str, _: &str| format!("secret://{rule}/AAAAbbbb0000");
    let handled = guard.handled(json, &handle).unwrap().unwrap();
    assert!(handled.contains("secret://") && !handled.contains("Zq9x"), "{handled}");
    assert!(guard.find(&handled).unwrap().is_empty());
}

#[test]
fn neither_message_nor_debug_text_shows_what_was_found() {
    let guard = Guard::new(Digits);
    let findings = guard
        .find(r#"{"text":"secret12345678","secret11111111":"x secret22222222"}"#)
        .unwrap();
    assert_eq!(findings.len(), 3);
    let shown = format!(
        "{findings:?} {}",
        findings.iter().map(|f| f.in_member("payload")).collect::<String>()
    );
    for secret in ["12345678", "11111111", "22222222"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

/// The real rules, and texts that are made to take long.
#[test]
fn hostile_texts_end_soon() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    Rules::warm();
    let guard = Guard::default();
    let largest = limits::BODY_BYTES - 64;
    let fill = |unit: &str| unit.repeat(largest / unit.len());
    let keywords = "api key secret token password auth aws azure github gitlab google slack stripe twitter access \
                    client_secret=aaaaaaaaaa:bbbbbbbbbb sk- ghp_ xoxb- eyJ -----BEGIN PRIVATE KEY----- https://a:b@c ";
    let texts = [
        (
            "base64 of base64",
            STANDARD.encode(STANDARD.encode("x y".repeat(largest / 7))),
        ),
        ("short tokens", fill("ghp_1 ")),
        ("spaced", fill("a ")),
        ("line breaks", fill("aB3dE6gH9\n")),
        ("escapes", fill("%25")),
        ("slashes", fill("\\")),
        ("entities", fill("&#38;")),
        ("pairs", fill("41 ")),
        ("zero width", fill("a\u{200b}")),
        ("hexadecimal", fill("4142")),
        ("words of rules", fill(keywords)),
        (
            "key and no end",
            "-----BEGIN RSA PRIVATE KEY-----".to_owned() + &fill("A"),
        ),
        ("assignment and no end", "password = ".to_owned() + &fill("a.-=")),
    ];
    for (name, text) in texts {
        let json = serde_json::json!({ "text": text }).to_string();
        let begin = Instant::now();
        let found = guard.find(&json[..]).map(|found| found.len());
        let took = begin.elapsed();
        println!("{name}: {} KiB in {took:?}, {found:?}", json.len() >> 10);
        assert!(took < Duration::from_secs(60), "{name}: {took:?}");
    }
    let deep = format!("{{\"a\":{}\"secret\"{}}}", "[".repeat(126), "]".repeat(126));
    assert!(guard.find(&deep).unwrap().is_empty());
    let nothing_closed = "{\"a\":[".repeat(100_000);
    assert!(guard.find(&nothing_closed).unwrap().is_empty());
}

#[test]
fn more_work_than_a_draft_may_cost_is_refused() {
    let guard = Guard::new(Costly);
    assert!(guard.find(r#"{"text":"a text of some length"}"#).is_ok());
    assert_eq!(
        guard
            .find(r#"{"a":"a text of some length","b":"a text of some length","c":"a text of some length"}"#)
            .err(),
        Some(TooMuch)
    );
    let payload = format!(r#"{{"text":"{}"}}"#, "a text ".repeat(5 << 10));
    let entry = Entry {
        actor: "agent:a",
        source: None,
        payload: &payload,
    };
    let refused = guard.screen(&[entry]).unwrap_err();
    assert!(refused.message.contains("split it"), "{}", refused.message);
}

/// Pieces that mean something to what undoes encodings.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,12}",
        Just("secret12345678".to_owned()),
        Just("c2VjcmV0MTIzNDU2Nzg".to_owned()),
        Just("7365637265743132333435363738".to_owned()),
        Just("s e c r e t 1 2 3 4 5 6 7 8".to_owned()),
        Just("%73ecret\\u0031234&#53;678".to_owned()),
        Just("ｓｅｃｒｅｔ１２３\u{200b}４５６７８".to_owned()),
        Just("\\ud83d\\".to_owned()),
        Just("\"{[]}:,\"".to_owned()),
        Just("\n".to_owned()),
        Just("%".to_owned()),
    ]
}

proptest! {
    #[test]
    fn whatever_is_said_ranges_lie_on_it(pieces in proptest::collection::vec(piece(), 0..8)) {
        let guard = Guard::new(Digits);
        let text = pieces.concat();
        let json = serde_json::json!({ "text": text, text.clone(): pieces }).to_string();
        // As it is no JSON, too.
        for given in [&json, &text] {
            for finding in guard.find(given).unwrap().into_iter().chain(guard.find_text(given).unwrap()) {
                prop_assert!(finding.range.start < finding.range.end);
                prop_assert!(given.get(finding.range.clone()).is_some(), "{finding:?}");
            }
        }
        let entry = Entry { actor: "agent:a", source: None, payload: &json };
        let _ = guard.screen(&[entry, entry]);
        if let Ok(Some(handled)) = guard.handled(&json, &|_, _| "secret://digits/x".to_owned()) {
            prop_assert!(guard.find(&handled).unwrap().is_empty());
            prop_assert!(serde_json::from_str::<serde_json::Value>(&handled).is_ok(), "{handled}");
        }
    }
}

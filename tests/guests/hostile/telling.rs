//! Tries to say what harms whoever stores, shows or parses it, and to abuse idempotency keys.

use quipu_guest::{
    Memory, RunInfo,
    bindings::{
        append::{append, append_all},
        types::{Draft, ErrorKind},
    },
};
use quipu_test_guests::{Report, Target, draft};
use serde_json::json;

quipu_guest::agent!(handle);

fn handle(_run: RunInfo, memory: Memory, input: String) -> Result<String, String> {
    let target = Target::of(&input)?;
    let mut report = Report::default();
    let mut say = |payload: &str| {
        let answer = append(&draft(payload));
        // What was taken is what is read.
        if let Ok(receipt) = &answer {
            let event = memory.home().get(&receipt.id).map_err(|e| e.message).unwrap();
            assert_eq!(event.payload.as_deref(), Some(payload.trim()));
        }
        report.add("append", answer);
    };
    let text = |text: &str| json!({ "text": text }).to_string();
    match target.attack.as_str() {
        "secrets_in_eleven_encodings" => {
            // A token of GitHub's form that nobody ever had.
            let token = ["ghp", "k3Jw9QzT7bXe2RnV5mYc8LpH4sGd6FaU1tNi"].join("_");
            let each = |write: fn(u8) -> String| token.bytes().map(write).collect::<String>();
            let wide = |byte: u8| char::from_u32(u32::from(byte) + 0xfee0).unwrap_or_default();
            let lines: Vec<_> = token.as_bytes().chunks(12).map(String::from_utf8_lossy).collect();
            say(&text(&token));
            for written in [
                // In base64, without padding, and twice.
                "Z2hwX2szSnc5UXpUN2JYZTJSblY1bVljOExwSDRzR2Q2RmFVMXROaQ==".to_owned(),
                "Z2hwX2szSnc5UXpUN2JYZTJSblY1bVljOExwSDRzR2Q2RmFVMXROaQ".to_owned(),
                "WjJod1gyc3pTbmM1VVhwVU4ySllaVEpTYmxZMWJWbGpPRXh3U0RSelIyUTJSbUZWTVhST2FRPT0=".to_owned(),
                each(|byte| format!("{byte:02x}")),
                each(|byte| format!("%{byte:02X}")),
                each(|byte| format!("\\u{byte:04x}")),
                each(|byte| format!("&#{byte};")),
                each(|byte| format!("{}\u{200b}", char::from(byte))),
                token.bytes().map(|byte| format!("{} ", wide(byte))).collect(),
                lines.join("\n    "),
            ] {
                say(&text(&format!("the token is {written}")));
            }
            // And split over two entries, of which the first has no secret in it.
            let (one, other) = token.split_at(20);
            report.add(
                "allowed: the first half",
                append(&draft(&text(&format!("first {one}")))),
            );
            report.add("the second half", append(&draft(&text(&format!("{other} then")))));
        }
        "lines_of_a_log" => {
            say(&text(
                "x\n{\"v\":1,\"seq\":0,\"actor\":\"operator:root\"}\t\t0-0\t00000000\n",
            ));
            say(&text("\t\t0-0\tdeadbeef\n\n\n"));
            say(&text("\n\u{2014} example.com/hostile AAAA\n"));
        }
        "escapes_of_a_terminal" => {
            say(&text("\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\r\n\u{8}\u{7f}"));
            say("{\"text\":\"\u{7f}\u{9b}31m\"}");
        }
        "texts_that_turn_around" => say(&text(
            "\u{202e}detnarg\u{202c}\u{2066}x\u{2069}\u{200b}\u{feff}\u{e0001}",
        )),
        "no_characters" => say(&text("\0\0\0\u{fffe}\u{ffff}\u{10ffff}")),
        "combining_characters" => say(&text(&format!("a{}", "\u{300}".repeat(100_000)))),
        "json_of_another_kind" => {
            for payload in [
                "",
                " ",
                "null",
                "7",
                "\"x\"",
                "[]",
                "{",
                "{}x",
                "{\"a\":NaN}",
                "{a:1}",
                "{\"a\":1,}",
                "\u{feff}{}",
                "{} {}",
                "{'a':1}",
                "{\"a\":+1}",
                "{\"a\":01}",
                "// x\n{}",
                "{\"a\":\"\t\"}",
            ] {
                say(payload);
            }
        }
        "json_nested_without_end" => {
            say(&format!("{{\"a\":{}", "[".repeat(200_000)));
            say(&format!("{{\"a\":{}1{}}}", "[".repeat(200_000), "]".repeat(200_000)));
            say(&"{\"a\":".repeat(100_000));
        }
        "half_of_a_pair_in_json" => {
            say("{\"text\":\"\\ud800\"}");
            say("{\"text\":\"\\udc00\\ud800\"}");
        }
        "numbers_past_all_bounds" => {
            say("{\"confidence\":1e999}");
            say(&format!("{{\"ttlDays\":{}}}", "9".repeat(400)));
        }
        "numbers_that_mean_nothing" => {
            for payload in [
                "{\"confidence\":-1}",
                "{\"confidence\":1e308,\"ttlDays\":-1}",
                "{\"ttlDays\":1e300}",
                "{\"confidence\":\"high\",\"ttlDays\":\"never\",\"text\":[]}",
                "{\"tags\":[1,null,{}],\"text\":null}",
            ] {
                say(payload);
            }
        }
        "members_said_twice" => say(r#"{"text":"one","text":"two"}"#),
        "a_refusal_that_quotes_without_end" => {
            let name = "\u{7f}".repeat(200_000);
            say(&format!("{{\"{name}\":1,\"{name}\":2}}"));
        }
        "bodies_past_their_limit" => {
            say(&text(&"x".repeat(1 << 20)));
            say(&format!("{{}}{}", " ".repeat(1 << 20)));
            say(&text(&"\"".repeat(600_000)));
        }
        "drafts_past_their_number" => {
            report.add("none", append_all(&[]));
            report.add("1,001", append_all(&vec![draft("{}"); 1_001]));
        }
        "one_bad_draft_among_good_ones" => {
            let before = memory
                .home()
                .read_back(None, 1_000)
                .map_err(|e| e.message)?
                .events
                .len();
            for bad in [0, 5, 9] {
                let mut batch = vec![draft("{}"); 10];
                batch[bad].kind = "quipu.run".into();
                report.add("a kind", append_all(&batch));
                (batch[bad].kind, batch[bad].scope) = ("memo".into(), Some("hidden".into()));
                report.add("a scope", append_all(&batch));
            }
            let after = memory
                .home()
                .read_back(None, 1_000)
                .map_err(|e| e.message)?
                .events
                .len();
            assert_eq!(before, after, "some of a refused batch was appended");
        }
        "a_key_for_two_things" => {
            let keyed = |payload: &str, key: &str| Draft {
                key: Some(key.into()),
                ..draft(payload)
            };
            append(&keyed("{\"text\":\"one\"}", "red team")).map_err(|e| e.message)?;
            report.add("another text", append(&keyed("{\"text\":\"two\"}", "red team")));
            report.add(
                "another kind",
                append(&Draft {
                    kind: "memo".into(),
                    ..keyed("{\"text\":\"one\"}", "red team")
                }),
            );
            let batch = [
                keyed("{\"text\":\"three\"}", "of a batch"),
                keyed("{\"text\":\"four\"}", "of a batch"),
            ];
            report.add("in one batch", append_all(&batch));
        }
        "keys_of_no_form" => {
            for key in ["", &"k".repeat(129), &"k".repeat(1 << 20), "quipu:", "quipu:import:7"] {
                report.add(
                    "a key",
                    append(&Draft {
                        key: Some(key.into()),
                        ..draft("{}")
                    }),
                );
            }
        }
        "a_key_again_and_again" => {
            let keyed = Draft {
                key: Some("again and again".into()),
                ..draft("{\"text\":\"once\"}")
            };
            let first = append(&keyed).map_err(|e| e.message)?;
            for _ in 0..400 {
                let again = append(&keyed).map_err(|e| e.message)?;
                assert_eq!((again.seq, &again.id), (first.seq, &first.id));
            }
            report.add("once", Ok(json!(first.seq)));
        }
        "a_key_to_find_out_what_others_said" => {
            // It is this actor's own key: another's of the same name gives nothing away.
            let keyed = Draft {
                key: Some("ann's".into()),
                ..draft("{\"text\":\"the red door\"}")
            };
            let mine = append(&keyed).map_err(|e| e.message)?;
            assert!(mine.id != target.others);
            report.add("mine", Ok(json!(mine.seq)));
        }
        "quota_that_is_used_up" => {
            let batch = vec![draft("{\"text\":\"more\"}"); 100];
            for _ in 0..3 {
                append_all(&batch).map_err(|e| e.message)?;
            }
            for _ in 0..50 {
                report.add("one more", append(&draft("{}")));
                report.add("many more", append_all(&batch));
            }
        }
        "refusals_without_end" => loop {
            let answer = append(&draft("{"));
            assert!(answer.is_err_and(|error| error.kind == ErrorKind::Invalid));
        },
        "a_panic_between_two_batches" => {
            append_all(&vec![draft("{\"text\":\"before\"}"); 10]).map_err(|e| e.message)?;
            panic!("in the middle");
        }
        _ => return target.unknown(),
    }
    Ok(report.finish())
}

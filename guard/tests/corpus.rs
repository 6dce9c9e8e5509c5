//! How much is found, and how much that is none, on texts of others: `secrets/samples.tsv` and `locomo/` in the folder
//! that `QUIPU_DATA` names, or `../shared/data` beside the checkout. Prints the figures with `--nocapture`.

mod encoding;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use encoding::ENCODINGS;
use quipu_guard::{Entry, Guard};
use secrets_scanner::{ScanConfig, Scanner};
use serde_json::{Value, json};

/// The file, or none, saying so.
fn data(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let path = env::var_os("QUIPU_DATA").map_or_else(beside, PathBuf::from).join(name);
    if !path.exists() {
        eprintln!("skipped, for there is no {name} in data: set QUIPU_DATA");
        return None;
    }
    Some(path)
}

struct Sample {
    label: String,
    id: String,
    text: String,
}

fn samples(path: &Path) -> Vec<Sample> {
    let digit = |b: u8| u8::try_from(char::from(b).to_digit(16).unwrap()).unwrap();
    let parse = |line: &str| {
        let mut fields = line.split('\t').map(str::to_owned);
        let (label, id, hex) = (fields.next().unwrap(), fields.next().unwrap(), fields.next().unwrap());
        let bytes: Vec<u8> = hex
            .as_bytes()
            .chunks(2)
            .map(|two| digit(two[0]) << 4 | digit(two[1]))
            .collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Sample { label, id, text }
    };
    fs::read_to_string(path).unwrap().lines().map(parse).collect()
}

fn payload(text: &str) -> String {
    json!({ "text": text }).to_string()
}

fn alone() -> Scanner {
    Scanner::from_bundled().unwrap().with_config(ScanConfig::proxy())
}

/// Least and most that is found, in percent, by label: what has secrets, and what has none.
const BOUNDS: [(&str, f64, f64); 7] = [
    ("np_pos_secret", 70.0, 100.0),
    ("kf_pos", 36.0, 100.0),
    ("gl_tps", 98.0, 100.0),
    ("leaky_file", 50.0, 100.0),
    ("np_neg", 0.0, 20.0),
    ("gl_fps", 0.0, 8.0),
    ("techdoc_nats.docs", 0.0, 0.8),
];

#[test]
fn secrets_are_found_and_what_is_none_is_left() {
    let Some(path) = data("secrets/samples.tsv") else {
        return;
    };
    let (guard, alone) = (Guard::default(), alone());
    let mut counts = BTreeMap::<String, [usize; 3]>::new();
    for Sample { label, id, text } in samples(&path) {
        let found = guard.find(&payload(&text)).unwrap();
        let plain = !alone.scan_bytes("", text.as_bytes()).is_empty();
        let count = counts.entry(label.clone()).or_default();
        *count = [
            count[0] + 1,
            count[1] + usize::from(!found.is_empty()),
            count[2] + usize::from(plain),
        ];
        if env::var_os("QUIPU_SHOW").is_some_and(|show| show == *label) && (found.is_empty() || !plain) {
            let rules: Vec<_> = found.iter().map(|f| f.rule).collect();
            println!(
                "{label} {id} {plain} {rules:?} {:?}",
                text.chars().take(200).collect::<String>()
            );
        }
        assert!(!plain || !found.is_empty(), "{label} {id}: the scanner alone finds it");
    }
    let percent = |part: usize, of: usize| part as f64 * 100.0 / of as f64;
    for (label, least, most) in BOUNDS {
        let [all, found, plain] = counts[label];
        let found = percent(found, all);
        println!(
            "{label:20} {all:5}  guard {found:5.1} %  scanner alone {:5.1} %",
            percent(plain, all)
        );
        assert!((least..=most).contains(&found), "{label}: {found:.1} %");
    }
}

#[test]
fn conversations_of_people_have_no_secrets() {
    let Some(path) = data("locomo/conversations-1-5.json") else {
        return;
    };
    let guard = Guard::default();
    let all: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let mut turns = 0;
    for conversation in all.as_array().unwrap() {
        let sessions = conversation["conversation"].as_object().unwrap().values();
        for turn in sessions.filter_map(Value::as_array).flatten() {
            // In the order in which an import appends them, all in the name of one actor.
            let payload = turn.to_string();
            let entry = Entry {
                actor: "tool:import",
                source: None,
                payload: &payload,
            };
            let screened = guard.screen(&[entry]);
            assert!(screened.is_ok(), "{screened:?} in {payload}");
            assert!(guard.find(&payload).unwrap().is_empty());
            turns += 1;
        }
    }
    println!("{turns} turns, nothing found");
    assert!(turns > 1_000);
}

/// Of the secrets that the scanner knows in plain, each written in eleven ways where it stood.
#[test]
fn what_is_known_in_plain_is_found_encoded() {
    let Some(path) = data("secrets/samples.tsv") else {
        return;
    };
    let alone = alone();
    let mut counts = [(0_u32, 0_u32); ENCODINGS.len()];
    for Sample { label, id, text } in samples(&path) {
        if !["np_pos_secret", "kf_pos", "gl_tps"].contains(&label.as_str()) || text.len() > 1_000 {
            continue;
        }
        let findings = alone.scan_bytes("", text.as_bytes());
        let Some(finding) = findings
            .iter()
            .max_by_key(|f| f.secret_end_offset - f.secret_start_offset)
        else {
            continue;
        };
        let secret = finding.secret_start_offset..finding.secret_end_offset;
        let (Some(before), Some(token)) = (text.get(..secret.start), text.get(secret.clone())) else {
            continue;
        };
        // What tokens are made of: keys of many lines are another matter.
        if !token.bytes().all(|b| b.is_ascii_graphic()) {
            continue;
        }
        for ((name, encode), count) in ENCODINGS.iter().zip(&mut counts) {
            let parts = encode(token);
            let last = parts.len() - 1;
            let payloads: Vec<_> = parts
                .iter()
                .enumerate()
                .map(|(nth, part)| {
                    let before = if nth == 0 { before } else { "" };
                    let after = if nth == last { &text[secret.end..] } else { "" };
                    payload(&format!("{before}{part}{after}"))
                })
                .collect();
            let guard = Guard::default();
            let refused = payloads.iter().any(|payload| {
                guard
                    .screen(&[Entry {
                        actor: "agent:a",
                        source: None,
                        payload,
                    }])
                    .is_err()
            });
            count.0 += 1;
            count.1 += u32::from(refused);
            if !refused && env::var_os("QUIPU_SHOW").is_some_and(|show| show == *name) {
                println!("{name} {label} {id} {} {:?}", finding.rule_id, &payloads);
            }
        }
    }
    let mut all = (0_u32, 0_u32);
    for ((name, _), (of, found)) in ENCODINGS.iter().zip(counts) {
        println!(
            "{name:30} {found:4} of {of:4}  {:5.1} %",
            f64::from(found) * 100.0 / f64::from(of)
        );
        all = (all.0 + of, all.1 + found);
    }
    println!(
        "{:30} {:4} of {:4}  {:5.1} %",
        "all",
        all.1,
        all.0,
        f64::from(all.1) * 100.0 / f64::from(all.0)
    );
    assert!(f64::from(all.1) >= 0.9 * f64::from(all.0));
}

//! Group `guard`: how long the secret guard looks at a payload, and what it adds to a durable append.

use std::{fs, time::Instant};

use quipu_guard::{Entry, Guard, Rules};
use quipu_host::SecretGuard;
use serde_json::json;

use crate::{Result, figure::Figure, ledger, machine::Watch, payload::Random, settings::Settings};

/// Looks, and appends, of one measurement.
const LOOKS: usize = 1_000;
const APPENDS: usize = 500;

pub(crate) fn measure(settings: &Settings) -> Result<Vec<Figure>> {
    let watch = Watch::start(&settings.folder);
    let begin = Instant::now();
    let guard = Guard::default();
    guard.find(r#"{"text":"Lisbon in spring"}"#)?;
    let first = begin.elapsed().as_secs_f64() * 1e3;
    let begin = Instant::now();
    Rules::warm();
    let warm = begin.elapsed().as_secs_f64() * 1e3;
    let mut figures = vec![
        Figure::new("first-look", "ms", &[first], &json!({})),
        Figure::new("all-rules", "ms", &[warm], &json!({ "rules": Rules::count() })),
    ];
    let repetitions = settings.repetitions.unwrap_or(3);
    for (bytes, words) in [(512, false), (512, true), (4096, false), (4096, true)] {
        let (mut p50, mut p99) = (Vec::new(), Vec::new());
        for repetition in 0..repetitions {
            let mut times = look(&guard, bytes, words, repetition as u64);
            times.sort_by(f64::total_cmp);
            p50.push(times[LOOKS / 2]);
            p99.push(times[LOOKS * 99 / 100]);
        }
        let conditions = json!({
            "payload_bytes": bytes, "words_of_rules": words, "looks_each": LOOKS, "others_cores": watch.load().others_cores,
        });
        figures.push(Figure::new(format!("look-p50-{bytes}"), "µs", &p50, &conditions));
        figures.push(Figure::new(format!("look-p99-{bytes}"), "µs", &p99, &conditions));
    }
    for guarded in [false, true] {
        let mut each = Vec::new();
        for repetition in 0..repetitions {
            each.push(append(settings, guarded, repetition as u64)?);
        }
        let conditions = json!({
            "payload_bytes": 512, "appends_each": APPENDS, "guard": guarded, "words_of_rules": false, "durable": true,
        });
        let name = if guarded { "append-guarded" } else { "append-unguarded" };
        figures.push(Figure::new(name, "µs", &each, &conditions));
    }
    Ok(figures)
}

fn look(guard: &Guard, bytes: usize, words: bool, seed: u64) -> Vec<f64> {
    let mut random = Random::new(seed + 1);
    let times = (0..LOOKS).map(|_| {
        let payload = payload(&mut random, bytes, words);
        let entry = Entry {
            actor: "agent:bench",
            source: None,
            payload: &payload,
        };
        let begin = Instant::now();
        let _ = guard.screen(&[entry]);
        begin.elapsed().as_secs_f64() * 1e6
    });
    times.collect()
}

/// Microseconds of an append of a lone writer that may block.
fn append(settings: &Settings, guarded: bool, seed: u64) -> Result<f64> {
    let (ledger, folder) = ledger::create(&settings.folder)?;
    if guarded {
        SecretGuard::attach(&ledger);
    }
    let (writer, mut random) = (ledger::Writer::new(0), Random::new(seed + 1));
    ledger.append_blocking(writer.draft(&payload(&mut random, 512, false))?)?;
    let begin = Instant::now();
    for _ in 0..APPENDS {
        ledger.append_blocking(writer.draft(&payload(&mut random, 512, false))?)?;
    }
    let each = begin.elapsed().as_secs_f64() * 1e6 / APPENDS as f64;
    ledger.close()?;
    fs::remove_dir_all(folder)?;
    Ok(each)
}

/// Words of people, and among them, where asked for, one in sixteen that rules look for.
fn payload(random: &mut Random, bytes: usize, words: bool) -> String {
    let plain = [
        "prefers", "invoices", "in", "spring", "when", "Lisbon", "called", "about", "seats", "renewal",
    ];
    let looked_for = [
        "password", "the", "key", "account", "github", "=", "token", "secret:", "a7Gk29xQ", "azure",
    ];
    let mut text = String::new();
    while text.len() < bytes {
        let all = if words && random.below(16) == 0 {
            &looked_for
        } else {
            &plain
        };
        text.push_str(all[random.below(all.len())]);
        text.push(' ');
    }
    text.truncate(bytes);
    json!({ "text": text }).to_string()
}

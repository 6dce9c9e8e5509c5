//! How long a look takes; prints figures with `--nocapture`. `cargo xtask bench guard` measures them well.

use std::time::{Duration, Instant};

use quipu_guard::{Entry, Guard, Rules};

/// Words of people, and among them, where asked for, words that rules look for.
fn payload(bytes: usize, keywords: bool, nth: usize) -> String {
    let plain = [
        "prefers", "invoices", "in", "spring", "when", "Lisbon", "called", "about", "seats", "renewal",
    ];
    let words = [
        "password", "the", "key", "account", "github", "=", "token", "secret:", "a7Gk29xQ", "azure",
    ];
    let mut text = String::new();
    let mut at = nth;
    while text.len() < bytes {
        at = at
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let all = if keywords && at >> 60 == 0 { &words } else { &plain };
        text.push_str(all[(at >> 33) % all.len()]);
        text.push(' ');
    }
    text.truncate(bytes);
    format!("{{\"text\":{text:?}}}")
}

/// What this thread has had of a processor, where the system tells; others may keep it busy. Otherwise the time that went by.
fn processor_time(since: Instant) -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|told| told.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| since.elapsed(), Duration::from_nanos)
}

#[test]
fn a_look_takes_less_than_a_task_should_be_held_up() {
    let (start, begin, guard) = (Instant::now(), Instant::now(), Guard::default());
    assert!(guard.find(&payload(64, false, 0)).unwrap().is_empty());
    println!("first look, no words of rules: {:?}", begin.elapsed());
    let begin = Instant::now();
    let _ = guard.find(&payload(512, true, 3)).unwrap();
    println!("first look, words of rules: {:?}", begin.elapsed());
    let begin = Instant::now();
    Rules::warm();
    println!("all {} rules: {:?}", Rules::count(), begin.elapsed());
    for (bytes, keywords) in [(512, false), (512, true), (4096, false), (4096, true)] {
        let mut times: Vec<Duration> = Vec::new();
        for nth in 0..1_000 {
            let payload = payload(bytes, keywords, nth);
            let entry = Entry {
                actor: "agent:a",
                source: None,
                payload: &payload,
            };
            let before = processor_time(start);
            let _ = guard.screen(&[entry]);
            times.push(processor_time(start) - before);
        }
        times.sort();
        let (half, most) = (times[500], times[990]);
        println!(
            "{bytes} bytes, words of rules: {keywords}: p50 {half:?}, p99 {most:?}, longest {:?}",
            times[999]
        );
        // What is promised is 5 ms, of code that is optimised; caches are not ours alone.
        assert!(half < Duration::from_millis(20), "{half:?}");
    }
}

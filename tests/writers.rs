//! Several processes on one ledger.

mod driver;

use std::time::{Duration, Instant};

use driver::{Appender, Ledger, wait_until};

#[test]
fn a_second_writer_waits_and_is_told_who_writes_while_readers_read() {
    let ledger = Ledger::new();
    let mut first = Appender::start(&ledger);
    first.send(r#"{"payload":{"text":"from the first"}}"#).unwrap();
    let receipt = first.receipt().unwrap();

    let begin = Instant::now();
    let second = [
        "append",
        "--scope",
        "test",
        "--actor",
        "tool:second",
        "--text",
        "x",
        "--wait",
        "1",
    ];
    let pid = first.pid().to_string();
    ledger.run(second).exits(2).tells(&[&pid]);
    let waited = begin.elapsed();
    assert!(
        (Duration::from_secs(1)..Duration::from_secs(8)).contains(&waited),
        "it waited {waited:?}"
    );

    wait_until("the reader sees what is durable", || {
        ledger.log(&["--scope", "test"]).len() == 1
    });
    assert_eq!(ledger.log(&["--scope", "test"])[0]["id"], receipt["id"]);
    ledger.run(["search", "first"]).good();
    ledger.verify().good();

    first.send(r#"{"payload":{"text":"still the first"}}"#).unwrap();
    assert!(first.receipt().is_some(), "the first was not disturbed");
    assert_eq!(first.finish(), 0);
    ledger.run(second).good();
    assert_eq!(ledger.log(&["--scope", "test"]).len(), 3);
}

#[test]
fn a_second_writer_goes_on_when_the_first_is_done() {
    let ledger = Ledger::new();
    let mut first = Appender::start(&ledger);
    first.send(r#"{"payload":{"n":1}}"#).unwrap();
    first.receipt().unwrap();
    let second = [
        "append",
        "--scope",
        "test",
        "--actor",
        "tool:second",
        "--payload",
        r#"{"n":2}"#,
        "--wait",
        "20",
    ];
    let mut second = ledger.command(second).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    assert!(second.try_wait().unwrap().is_none(), "it waits");
    assert_eq!(first.finish(), 0);
    assert!(second.wait().unwrap().success());
    assert_eq!(ledger.log(&["--scope", "test"]).len(), 2);
}

#[test]
fn a_killed_writer_holds_nobody_up() {
    let ledger = Ledger::new();
    let mut first = Appender::start(&ledger);
    first.send(r#"{"payload":{"n":1}}"#).unwrap();
    first.receipt().unwrap();
    first.kill();
    let second = [
        "append",
        "--scope",
        "test",
        "--actor",
        "tool:second",
        "--text",
        "x",
        "--wait",
        "0",
    ];
    ledger.run(second).good();
    assert_eq!(ledger.log(&["--scope", "test"]).len(), 2);
}

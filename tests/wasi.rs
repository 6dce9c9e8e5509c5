//! Components of ordinary toolchains: refused as they are, and run with a WASI that has nothing behind it.

mod driver;

use std::{path::PathBuf, process::Command};

use driver::{Ledger, Ran, root, run};
use serde_json::Value;

/// The guest, built for WASI; none, with a line that says so, where that target is not installed.
fn guest() -> Option<PathBuf> {
    let target = "wasm32-wasip2";
    let libdir = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target])
        .output();
    let is_installed =
        libdir.is_ok_and(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()).is_dir());
    if !is_installed {
        println!("skipped, the target {target} is not installed: a component of an ordinary toolchain");
        return None;
    }
    let folder = root().join("target/guests-build");
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--release",
            "--locked",
            "--target",
            target,
            "--manifest-path",
        ])
        .arg(root().join("tests/guests/wasi/Cargo.toml"))
        .arg("--target-dir")
        .arg(&folder)
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Some(folder.join(target).join("release/quipu_wasi_guest.wasm"))
}

fn runs(ledger: &Ledger, input: &str, more: &[&str]) -> Option<Ran> {
    let mut command = ledger.command(["run"]);
    command
        .arg(guest()?)
        .args([input, "--actor", "agent:a", "--home", "a"])
        .args(more);
    Some(run(command.env("SECRET_OF_THE_HOST", "canary")))
}

fn told(ran: Ran) -> Value {
    serde_json::from_str(&ran.good().out).unwrap()
}

#[test]
fn without_the_flag_it_is_refused_and_told_why() {
    let ledger = Ledger::new();
    if let Some(ran) = runs(&ledger, "", &[]) {
        let ran = ran
            .exits(1)
            .tells(&["wasi:filesystem/types", "--wasi", "nothing behind it"]);
        assert!(ran.out.is_empty());
        assert!(
            ledger.log(&[]).iter().all(|event| event["actor"] != "agent:a"),
            "it was not run"
        );
    }
}

#[test]
fn it_gets_no_file_no_network_no_environment_and_a_clock_that_stands() {
    let ledger = Ledger::new();
    let Some(ran) = runs(&ledger, "printed", &["--wasi", "--trace=info"]) else {
        return;
    };
    assert!(ran.err.contains("stdout") && ran.err.contains("printed"), "{}", ran.err);
    assert!(ran.err.contains("told to the standard error"), "{}", ran.err);
    let told = told(ran);
    for denied in [
        "open",
        "create",
        "list",
        "connect",
        "listen",
        "datagram",
        "resolve",
        "clockStands",
    ] {
        assert_eq!(told[denied], true, "{denied}: {told}");
    }
    assert_eq!(told["variables"], 0, "{told}");
    assert_eq!(told["arguments"], 0, "{told}");
    assert_eq!(told["stdin"]["Ok"], 0, "{told}");
    assert_eq!(told["slept"], 3_600, "the clock goes on by what it waits, at once");
    // Its clock is the run's.
    let now: quipu_format::Timestamp = told["now"].as_str().unwrap().parse().unwrap();
    assert_eq!(told["ms"], now.as_ms());
    // What it appended is there.
    assert!(
        ledger
            .log(&[])
            .iter()
            .any(|event| event["payload"]["text"] == "from WASI")
    );
}

#[test]
fn random_bytes_differ_by_run_and_follow_from_the_seed_that_is_recorded() {
    let ledger = Ledger::new();
    let Some(ran) = runs(&ledger, "", &["--wasi"]) else {
        return;
    };
    let first = told(ran);
    let second = told(runs(&ledger, "", &["--wasi"]).unwrap());
    assert_ne!(first["random"], second["random"]);
    let starts: Vec<_> = ledger
        .log(&[])
        .into_iter()
        .filter(|event| event["kind"] == "quipu.run")
        .collect();
    let seeds: Vec<_> = starts
        .iter()
        .filter_map(|start| start["payload"]["wasi"]["seed"].as_str())
        .collect();
    assert_eq!(seeds.len(), 2, "{starts:?}");
    assert_ne!(seeds[0], seeds[1]);
    assert!(seeds.iter().all(|seed| seed.len() == 64));
    // So each of them is the same when it is executed again.
    ledger.run(["replay", "--all"]).good();
}

#[test]
fn what_it_prints_is_bounded_and_its_exit_is_no_answer() {
    let ledger = Ledger::new();
    let Some(ran) = runs(&ledger, "flood", &["--wasi", "--trace=info"]) else {
        return;
    };
    let ran = ran.good();
    assert!(ran.err.len() < 200_000, "{}", ran.err.len());
    assert!(ran.err.contains("the rest is not traced"));
    let ran = runs(&ledger, "exit", &["--wasi"]).unwrap().exits(1);
    assert!(ran.err.contains("it exited, instead of answering"), "{}", ran.err);
    ledger.verify().good();
}

//! A canary is written, copied by whatever copies content, and erased: no byte of it, and none of its keys, is left in any
//! file.

mod canary;
mod driver;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::Instant,
};

use canary::Canary;
use driver::{Appender, run, wait_until};
use quipu_projections::{Projections, Query, View};
use serde_json::json;

#[test]
fn no_byte_of_what_was_redacted_is_left_in_any_file() {
    let mut it = Canary::new(&env::temp_dir());
    it.write();
    it.fill(1_200);
    let (ledger, backup, cold) = (it.ledger.path(), it.ledger.beside("backup"), it.ledger.beside("cold"));
    it.tear();
    // Whoever writes next puts the torn commit aside, and takes the operator's act through its socket.
    let mut writer = Appender::start(&it.ledger);
    writer
        .send(&json!({"payload": {"text": it.text()}}).to_string())
        .unwrap();
    it.events
        .push(writer.receipt().unwrap()["id"].as_str().unwrap().to_owned());
    assert!(files(&ledger.join("torn")).next().is_some(), "nothing was torn");
    let merged = |path: &PathBuf| path.extension().is_some_and(|name| name == "idx") && name(path).contains('-');
    wait_until("sidecars are merged", || {
        files(&ledger.join("log")).any(|path| merged(&path))
    });
    writer.end().exits(0);
    run(it
        .ledger
        .command(["archive", "--before", "9999-01-01", "--to"])
        .arg(&cold))
    .good();
    assert!(files(&cold).next().is_some(), "nothing was archived");
    run(it.ledger.command(["backup"]).arg(&backup)).good();
    assert!(it.is_found());
    it.learn_secrets();

    // Others read and write meanwhile, and go on.
    let reader = quipu_log::Ledger::open_read_only(&ledger).unwrap();
    let projections = Projections::open(&reader).unwrap();
    let mut query = Query::default();
    query.text = it.canary.clone();
    let found = || {
        let view = View::Everything {
            head: reader.refresh().unwrap(),
        };
        projections.search(&view, &query).unwrap().hits.len()
    };
    assert!(found() > 0);
    let mut writer = Appender::start(&it.ledger);
    writer.send(r#"{"payload":{"text":"of something else"}}"#).unwrap();
    writer.receipt().unwrap();
    let follow = it.ledger.command(["log", "--follow"]).spawn().unwrap();
    let mut follow = Ended(follow);

    // The search sees what it must not find later, in clear and as keys.
    let before = it.wanted.found_in(&[&ledger]);
    for place in ["the canary is in", "projections/", "node 0 on the way"] {
        assert!(before.iter().any(|found| found.contains(place)), "{place}: {before:#?}");
    }
    let mut redact = it.redact();
    run(&mut redact).good();
    let places = [ledger.as_path(), &backup, &cold];
    it.wanted.assert_nowhere(&places, "others are at work");
    assert_eq!(found(), 0);
    writer.send(r#"{"payload":{"text":"and more"}}"#).unwrap();
    writer.receipt().unwrap();
    writer.end().exits(0);
    follow.0.kill().unwrap();
    assert!(it.still_told().is_empty());
    assert!(!it.is_found());
    it.ledger.verify().good();
    it.wanted.assert_nowhere(&places, "it goes on");
}

#[test]
fn a_kill_at_any_moment_leaves_nothing_of_what_was_redacted() {
    let mut it = Canary::new(&env::temp_dir());
    it.write();
    it.learn_secrets();
    let (ledger, sound) = (it.ledger.path(), it.ledger.beside("sound"));
    copy(&ledger, &sound);
    let begin = Instant::now();
    run(&mut it.redact()).good();
    let whole = begin.elapsed();
    let (mut done, mut undone) = (0, 0);
    for kill in 0..KILLS {
        fs::remove_dir_all(&ledger).unwrap();
        copy(&sound, &ledger);
        // What is derived is made again meanwhile, every other time.
        let rebuild = (kill % 2 == 0).then(|| Ended(it.ledger.command(["rebuild"]).spawn().unwrap()));
        let mut redact = it.redact().spawn().unwrap();
        // In every part of its time, and a little later.
        let part = (f64::from(kill) + f64::from(random()) / 256.0) / f64::from(KILLS);
        thread::sleep(whole.mul_f64(part * 1.2));
        redact.kill().unwrap();
        redact.wait().unwrap();
        drop(rebuild);
        it.ledger.append("home", "the next one opens it", &[]);
        let found = it.is_found();
        match it.still_told().len() {
            0 => {
                assert!(!found);
                done += 1;
                it.wanted.assert_nowhere(&[&ledger], &format!("kill {kill}"));
                // Nothing is left to do, and it says that it is done.
                run(&mut it.redact()).good();
            }
            _ => undone += 1,
        }
    }
    println!("{KILLS} kills within {whole:.1?}: {done} times it was erased, {undone} times it was not");
    assert!(done > 0 && undone > 0, "no kill came in between: {done} and {undone}");
}

const KILLS: u8 = 36;

/// A process that ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn copy(from: &Path, to: &Path) {
    assert!(
        Command::new("cp")
            .arg("-a")
            .args([from, to])
            .status()
            .unwrap()
            .success()
    );
}

fn random() -> u8 {
    let mut byte = [0];
    getrandom::fill(&mut byte).unwrap();
    byte[0]
}

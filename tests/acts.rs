//! What operators do, through the command, while others are at work and when it is killed.

mod driver;

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use driver::{Appender, governed::Governed, run};
use serde_json::{Value, json};

/// Kills of each act.
const KILLS: u32 = 6;

impl Governed {
    /// So many events in a scope; their ids.
    fn fill(&self, scope: &str, count: usize) -> Vec<String> {
        let mut appender = Appender::start(&self.ledger);
        let ids = (0..count).map(|n| {
            let draft = json!({"scope": scope, "payload": {"text": format!("note {n}")}});
            appender.send(&draft.to_string()).unwrap();
            appender.receipt().unwrap()["id"].as_str().unwrap().to_owned()
        });
        let ids = ids.collect();
        appender.end().good();
        ids
    }

    fn verified(&self) -> Value {
        self.ledger.run(["verify", "--json"]).good().json()
    }
}

#[test]
fn an_act_that_is_killed_at_any_moment_is_done_or_not() {
    let it = Governed::new();
    let ids = it.fill("s", 60);
    it.fill("t", 5);
    it.ledger.run(["search", "note"]).good();
    let policy = ["retention", "set", "t", "--erase-after-days", "0", "--basis", "none"];
    it.kim(&policy).good();
    let (ledger, sound) = (it.ledger.path(), it.ledger.beside("sound"));
    copy(&ledger, &sound);

    let some: Vec<_> = ids.iter().step_by(3).map(String::as_str).collect();
    let redact = [&["redact", "--reason", "asked for"][..], &some].concat();
    let acts: [&[&str]; 6] = [
        &redact,
        &["retain", "--scope", "s", "--before", "2999-01-01", "--reason", "r"],
        &["forget-scope", "s", "--reason", "r"],
        &["retention", "run"],
        &["hold", "add", "--scope", "s", "--name", "case-1", "--reason", "r"],
        &["key", "rotate"],
    ];
    for args in acts {
        let name = args[0];
        // The ledger's key is rotated by whoever has the ledger.
        let act = || match name {
            "key" => it.ledger.command(args),
            _ => it.command(args),
        };
        renew(&sound, &ledger);
        let begin = Instant::now();
        run(&mut act()).good();
        let whole = begin.elapsed();
        let after = it.verified()["erasedWithAuthority"].clone();
        for kill in 0..KILLS {
            renew(&sound, &ledger);
            let quiet = || Stdio::null();
            let mut killed = act().stdout(quiet()).stderr(quiet()).spawn().unwrap();
            thread::sleep(whole * kill / (KILLS - 1));
            killed.kill().unwrap();
            killed.wait().unwrap();
            // Whoever comes next finishes it, or finds nothing of it.
            it.ledger.append("u", "the next one opens it", &[]);
            let erased = it.verified()["erasedWithAuthority"].clone();
            assert!(
                erased == 0 || erased == after,
                "{name}, kill {kill}: {erased} of {after}"
            );
            let again = run(&mut act());
            // A hold's name is used once.
            assert!(
                again.code == 0 || name == "hold" && again.code == 1,
                "{name}: {}",
                again.err
            );
            assert_eq!(it.verified()["erasedWithAuthority"], after, "{name}, kill {kill}");
        }
    }
}

/// Of an erasure and a hold that come at once, one is first: then the entries are gone, or they stay.
#[test]
fn acts_go_between_what_others_append_and_a_backup_beside_them_is_whole() {
    let it = Governed::new();
    let ids = it.fill("s", 20);
    let mut writer = Appender::start(&it.ledger);
    let mut input = writer.take_input();
    let feeder = thread::spawn(move || {
        use std::io::Write;
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(4) {
            writeln!(input, r#"{{"payload":{{"text":"meanwhile"}}}}"#).unwrap();
            thread::sleep(Duration::from_millis(2));
        }
    });
    writer.receipt().unwrap();
    let backup = it.ledger.beside("backup");
    let backing = it.ledger.command(["backup"]).arg(&backup).spawn().unwrap();
    it.kim(&["retain", "--scope", "s", "--before", "2999-01-01", "--reason", "r"])
        .good();
    for id in &ids {
        assert!(it.erased(id));
    }
    let mut backing = Ended(backing);
    assert!(backing.0.wait().unwrap().success());
    run(driver::quipu().arg("--ledger").arg(&backup).arg("verify")).good();

    for turn in 0..3 {
        let (scope, name) = (format!("race:{turn}"), format!("case-{turn}"));
        let raced = it.ledger.append(&scope, "said", &[]);
        let hold = ["hold", "add", "--scope", &scope, "--name", &name, "--reason", "r"];
        let mut holding = Ended(it.command(&hold).spawn().unwrap());
        let forgotten = it.kim(&["forget-scope", &scope, "--reason", "r"]);
        assert!(holding.0.wait().unwrap().success());
        let code = i32::from(!it.erased(&raced));
        assert_eq!(forgotten.code, code, "{}", forgotten.err);
        it.kim(&["forget-scope", &scope, "--reason", "again"]).exits(code);
        it.ledger.run(["key", "rotate"]).good();
    }
    feeder.join().unwrap();
    writer.end().good();
    it.ledger.verify().good();
}

/// A process that ends with the test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Puts a ledger back to a copy.
fn renew(sound: &Path, ledger: &Path) {
    fs::remove_dir_all(ledger).unwrap();
    copy(sound, ledger);
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.unwrap().success());
}

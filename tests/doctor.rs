//! `quipu doctor`: what is wrong with a machine, a ledger and its configuration, and what to do.

mod driver;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use driver::{Appender, Ledger, Ran};
use serde_json::Value;

fn doctor(ledger: &Ledger) -> Ran {
    ledger.run(["doctor", "--json"])
}

/// What was found of something.
#[track_caller]
fn of<'a>(found: &'a [Value], about: &str) -> &'a Value {
    let mut of = found.iter().filter(|found| found["about"] == about);
    of.next()
        .unwrap_or_else(|| panic!("nothing about {about} in {found:#?}"))
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(self::files(&path)),
            false => _ = files.insert(path.clone(), fs::read(&path).unwrap()),
        }
    }
    files
}

#[test]
fn a_good_ledger_is_good_and_nothing_is_changed() {
    let ledger = Ledger::new();
    ledger.append("a", "something", &[]);
    let before = files(&ledger.path());
    let found = doctor(&ledger).good().json_lines();
    for about in [
        "ledger", "disk", "writer", "keys", "signer", "log", "clock", "platform", "engine",
    ] {
        assert_eq!(of(&found, about)["health"], "good", "{about}: {found:#?}");
    }
    assert_eq!(of(&found, "writer")["says"], "nobody");
    assert_eq!(files(&ledger.path()), before);
    let said = ledger.run(["doctor"]).good().out;
    assert!(said.contains("good  clock"), "{said}");
}

#[test]
fn a_writer_at_work_is_named() {
    let ledger = Ledger::new();
    let mut writer = Appender::start(&ledger);
    writer.send(r#"{"payload":{"text":"x"}}"#).unwrap();
    writer.receipt().unwrap();
    let found = doctor(&ledger).good().json_lines();
    let says = of(&found, "writer")["says"].as_str().unwrap();
    assert!(says.starts_with(&format!("pid {} on ", writer.pid())), "{says}");
}

#[test]
fn what_is_wrong_is_named_with_what_to_do_and_doing_it_helps() {
    let ledger = Ledger::none_within(&std::env::temp_dir());
    let found = doctor(&ledger).exits(1).json_lines();
    assert!(of(&found, "ledger")["advice"].as_str().unwrap().contains("quipu init"));
    ledger.run(["init"]).good();
    ledger.append("a", "something", &[]);

    for name in ["keys", "signer"] {
        let file = ledger.path().join(name);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let found = doctor(&ledger).exits(1).json_lines();
        let of_it = of(&found, name);
        assert_eq!(of_it["health"], "bad");
        assert!(of_it["advice"].as_str().unwrap().contains("chmod 600"), "{of_it}");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        doctor(&ledger).good();

        let away = ledger.beside("away");
        fs::rename(&file, &away).unwrap();
        let found = doctor(&ledger).exits(1).json_lines();
        assert_eq!(of(&found, name)["health"], "bad", "{name} is not there");
        fs::rename(&away, &file).unwrap();
        doctor(&ledger).good();
    }

    // Another ledger's signer.
    let other = Ledger::new();
    let own = fs::read(ledger.path().join("signer")).unwrap();
    fs::copy(other.path().join("signer"), ledger.path().join("signer")).unwrap();
    let found = doctor(&ledger).exits(1).json_lines();
    assert_eq!(of(&found, "signer")["health"], "bad");
    fs::write(ledger.path().join("signer"), own).unwrap();

    let log = fs::read_dir(ledger.path().join("log")).unwrap();
    let log = log.map(|entry| entry.unwrap().path()).min().unwrap();
    let good = fs::read(&log).unwrap();
    let mut bad = good.clone();
    bad[20] ^= 1;
    fs::write(&log, bad).unwrap();
    let found = doctor(&ledger).exits(1).json_lines();
    let of_it = of(&found, "log");
    assert!(of_it["advice"].as_str().unwrap().contains("quipu verify"), "{of_it}");
    fs::write(&log, good).unwrap();
    doctor(&ledger).good();
}

#[test]
fn the_file_that_names_agents_is_looked_at_to_the_line() {
    let ledger = Ledger::new();
    let clerk = driver::guest("clerk").display().to_string();
    ledger.file("quipu.toml", "[agents.clerk]\nactor = \"agent:clerk\"\nhoome = \"a\"\n");
    let found = doctor(&ledger).exits(1).json_lines();
    let says = of(&found, "agents")["says"].as_str().unwrap();
    assert!(says.contains("line 3") && says.contains("hoome"), "{says}");
    let agent = format!("[agents.clerk]\ncomponent = \"{clerk}\"\nactor = \"agent:clerk\"\nhome = \"a\"\n");
    ledger.file("quipu.toml", agent);
    let found = doctor(&ledger).good().json_lines();
    let of_it = of(&found, "agents");
    assert_eq!(of_it["health"], "doubtful");
    assert!(
        of_it["advice"].as_str().unwrap().contains("quipu agent approve clerk"),
        "{of_it}"
    );
}

#[test]
fn sealed_keys_without_their_passphrase_are_no_fault() {
    let ledger = Ledger::none_within(&std::env::temp_dir());
    let file = ledger.file("passphrase", "correct horse").display().to_string();
    ledger.run(["init", "--passphrase-file", &file]).good();
    let ran = doctor(&ledger);
    let found = ran.json_lines();
    assert!(ran.code < 2, "{}", ran.err);
    let of_it = of(&found, "keys");
    assert_eq!(of_it["health"], "doubtful");
    assert!(
        of_it["advice"].as_str().unwrap().contains("--passphrase-file"),
        "{of_it}"
    );
    let found = ledger
        .run(["doctor", "--json", "--passphrase-file", &file])
        .good()
        .json_lines();
    assert_eq!(of(&found, "keys")["health"], "good");
}

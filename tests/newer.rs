//! What a newer release wrote is refused by every command, in words that help, and is left alone.

mod driver;

use std::{fs, path::Path};

use driver::Ledger;
use quipu_format::encode_line;

/// Every command that opens a ledger says so; no byte in its folder changes, `lock` apart, which says who tried.
fn assert_left_alone(ledger: &Ledger) {
    let bytes = || {
        let mut bytes = Vec::new();
        let mut folders = vec![ledger.path()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.ends_with("lock") {
                    bytes.push((fs::read(&path).unwrap(), path));
                }
            }
        }
        bytes
    };
    let before = bytes();
    let tiles = ledger.beside("tiles");
    let append = ["append", "--scope", "a", "--actor", "operator:kim", "--text", "hello"];
    for arguments in [
        &["verify"][..],
        &["log"],
        &["stats"],
        &["search", "hello", "--scope", "a"],
        &["export", "tiles", tiles.to_str().unwrap()],
        &append,
    ] {
        ledger.run(arguments).exits(2).tells(&["use a newer release"]);
    }
    assert!(bytes() == before, "something was changed");
}

#[test]
fn a_folder_of_a_newer_format_is_refused() {
    let ledger = Ledger::new();
    let path = ledger.path().join("quipu.json");
    let text = fs::read_to_string(&path).unwrap();
    let newer = text.replace("\"format\": 1,", "\"format\": 2,\n  \"whatComesNext\": [],");
    assert_ne!(text, newer);
    fs::write(path, newer).unwrap();
    assert_left_alone(&ledger);
}

#[test]
fn an_entry_of_a_newer_format_is_refused() {
    let ledger = Ledger::new();
    let segment = ledger.path().join("log/00000000000000000000.log");
    let mut bytes = fs::read(&segment).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != b'\n').unwrap() + 2;
    let mut line = Vec::new();
    encode_line(&mut line, br#"{"v":2,"seq":1}"#, b"sealed in another way", 1, 1);
    bytes.truncate(end);
    bytes.extend_from_slice(&line);
    fs::write(Path::new(&segment), bytes).unwrap();
    assert_left_alone(&ledger);
}

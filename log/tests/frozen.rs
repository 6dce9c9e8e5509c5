//! Ledgers of each format version, frozen as some release wrote them, are read and gone on with for ever; what a newer
//! release wrote is refused and left alone. tests/frozen/README.md.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use quipu_format::{Actor, Body, Kind, Scope, encode_line};
use quipu_log::{Draft, ErrorKind, Ledger, LedgerReader, OpenOptions, verify};

/// A copy of a frozen ledger in a temporary folder, as it stood on disk.
struct Thawed {
    folder: tempfile::TempDir,
    /// Where it is frozen.
    frozen: PathBuf,
}

impl Thawed {
    fn new(version: &str) -> Self {
        let this = Self {
            folder: tempfile::tempdir().unwrap(),
            frozen: Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../tests/frozen")
                .join(version),
        };
        thaw(&this.frozen.join("ledger"), &this.path());
        // Git keeps neither empty folders nor modes.
        for folder in ["components", "projections", "torn"] {
            fs::create_dir_all(this.path().join(folder)).unwrap();
        }
        for secret in ["keys", "signer"] {
            fs::set_permissions(this.path().join(secret), fs::Permissions::from_mode(0o600)).unwrap();
        }
        this
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    fn open(&self) -> Ledger {
        let mut options = OpenOptions::default();
        options.segment_bytes = 64 << 10;
        Ledger::open(&self.path(), options).unwrap()
    }

    fn read_only(&self) -> LedgerReader {
        Ledger::open_read_only(&self.path()).unwrap()
    }

    /// The events that were frozen beside the ledger, one JSON text each.
    fn expected(&self) -> Vec<String> {
        let events = fs::read_to_string(self.frozen.join("events.jsonl")).unwrap();
        events.lines().map(str::to_owned).collect()
    }

    fn newest_segment(&self) -> PathBuf {
        let log = fs::read_dir(self.path().join("log")).unwrap();
        let segments = log.map(|entry| entry.unwrap().path());
        segments
            .filter(|path| path.extension().is_some_and(|ending| ending == "log"))
            .max()
            .unwrap()
    }
}

/// Copies a folder; what is no text is kept as base64.
fn thaw(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            thaw(&path, &to.join(name));
        } else if let Some(name) = name.strip_suffix(".base64") {
            let text: String = fs::read_to_string(&path).unwrap().lines().collect();
            fs::write(to.join(name), BASE64_STANDARD.decode(text).unwrap()).unwrap();
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// Every file below a folder, by its path there.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path).unwrap();
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), bytes);
            }
        }
    }
    found
}

/// A segment's lines, without what is filled ahead.
fn lines(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().rposition(|&byte| byte != b'\n').map_or(0, |last| last + 2)]
}

fn printed(reader: &LedgerReader) -> Vec<String> {
    let events = reader.events(0..u64::MAX);
    events
        .map(|event| serde_json::to_string(&event.unwrap()).unwrap())
        .collect()
}

fn note(text: &str) -> Draft {
    let (scope, actor) = (Scope::new("team:support").unwrap(), Actor::new("agent:teddy").unwrap());
    Draft::new(
        scope,
        actor,
        Kind::new("memory.write").unwrap(),
        Body::new(None, text).unwrap(),
    )
}

#[test]
fn version_1_is_read_and_verified_as_it_was_written() {
    let ledger = Thawed::new("v1");
    let before = files(&ledger.path());
    let expected = ledger.expected();
    let reader = ledger.read_only();
    assert_eq!(printed(&reader), expected);
    let found = verify(&ledger.path(), &mut |_| {}).unwrap();
    assert_eq!(found.fault, None);
    assert_eq!(
        (found.entries, found.intact),
        (expected.len() as u64, expected.len() as u64)
    );
    let root = fs::read_to_string(ledger.frozen.join("root")).unwrap();
    assert_eq!(found.root.to_string(), root.trim());
    assert_eq!(reader.checkpoint().unwrap().1.root, found.root);
    for seq in 0..reader.head() {
        reader.prove(seq).unwrap();
    }
    assert!(files(&ledger.path()) == before, "reading changed something");
}

#[test]
fn version_1_is_gone_on_with_and_every_byte_of_it_stays() {
    let ledger = Thawed::new("v1");
    let before = files(&ledger.path());
    let mut expected = ledger.expected();
    let writer = ledger.open();
    assert_eq!(printed(writer.reader()), expected);
    let mut repeated = note(r#"{"text":"Kim is on call this week.","confidence":0.9,"ttlDays":7}"#);
    repeated.key = Some("on call, week 8".into());
    assert!(writer.append_blocking(repeated).unwrap().repeated);
    let receipt = writer
        .append_blocking(note(r#"{"text":"A newer release goes on."}"#))
        .unwrap();
    assert_eq!(receipt.seq, expected.len() as u64);
    let event = writer.reader().event(receipt.seq).unwrap().unwrap();
    expected.push(serde_json::to_string(&event).unwrap());
    writer.close().unwrap();
    let found = verify(&ledger.path(), &mut |_| {}).unwrap();
    assert_eq!((found.fault, found.intact), (None, expected.len() as u64));
    assert_eq!(printed(&ledger.read_only()), expected);
    let after = files(&ledger.path());
    for (path, bytes) in &before {
        let now = &after[path];
        let same = match path.to_str().unwrap() {
            "checkpoint" | "heads" => continue,
            name if name.starts_with("tree/") => now.starts_with(bytes),
            name if name.ends_with(".log") => now.starts_with(lines(bytes)),
            _ => now == bytes,
        };
        assert!(same, "{} changed", path.display());
    }
}

/// What releases before quotas wrote, without its MAC.
fn heads_1(bytes: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(bytes).unwrap();
    let (content, _) = text.trim_end().rsplit_once('\n').unwrap();
    let mut lines: Vec<Vec<_>> = content.lines().map(|line| line.split('\t').collect()).collect();
    lines[0].remove(0);
    lines[1..].iter_mut().for_each(|fields| fields.truncate(4));
    lines.into_iter().map(|fields| fields.join("\t")).collect()
}

#[test]
fn version_1_is_read_alike_without_what_is_derived() {
    let ledger = Thawed::new("v1");
    fs::remove_dir_all(ledger.path().join("tree")).unwrap();
    fs::remove_file(ledger.path().join("heads")).unwrap();
    for path in files(&ledger.path()).into_keys() {
        if path.extension().is_some_and(|ending| ending == "idx") {
            fs::remove_file(ledger.path().join(path)).unwrap();
        }
    }
    assert_eq!(printed(&ledger.read_only()), ledger.expected());
    ledger.open().close().unwrap();
    let (made, frozen) = (files(&ledger.path()), files(&Thawed::new("v1").path()));
    for (path, bytes) in &frozen {
        // How far the newest segment is filled ahead is no part of the format.
        let same = if path == Path::new("heads") {
            // It has got the bytes of scopes since; all else that it says is the same.
            heads_1(&made[path]) == heads_1(bytes) && made[path].starts_with(b"quipu-heads 2\t")
        } else if path.extension().is_some_and(|ending| ending == "log") {
            lines(&made[path]) == lines(bytes)
        } else {
            &made[path] == bytes
        };
        assert!(same, "{} was made anew otherwise", path.display());
    }
}

/// Nobody can do anything with the ledger, each says why, and not a byte changes (`lock` apart, which says who tried).
fn assert_left_alone(ledger: &Thawed) {
    let bytes = || {
        let mut bytes = files(&ledger.path());
        bytes.remove(Path::new("lock"));
        bytes
    };
    let before = bytes();
    let refused = [
        Ledger::open(&ledger.path(), OpenOptions::default()).err().unwrap(),
        Ledger::open_read_only(&ledger.path()).err().unwrap(),
        verify(&ledger.path(), &mut |_| {}).unwrap_err(),
    ];
    for error in refused {
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().ends_with("use a newer release"), "{error}");
    }
    assert!(bytes() == before, "something was changed");
}

#[test]
fn a_folder_of_a_newer_format_is_left_alone() {
    let ledger = Thawed::new("v1");
    let path = ledger.path().join("quipu.json");
    let text = fs::read_to_string(&path).unwrap();
    let newer = text.replace("\"format\": 1,", "\"format\": 2,\n  \"whatComesNext\": [],");
    assert_ne!(text, newer);
    fs::write(path, newer).unwrap();
    assert_left_alone(&ledger);
    assert!(!ledger.path().join("lock").exists(), "not even the lock was taken");
}

/// The commit that follows in the log, of format version 2.
fn newer_line(seq: usize) -> Vec<u8> {
    let mut line = Vec::new();
    let envelope = format!(r#"{{"v":2,"seq":{seq},"what":"comes next"}}"#);
    encode_line(
        &mut line,
        envelope.as_bytes(),
        b"sealed in another way",
        seq as u64,
        seq as u64,
    );
    line
}

#[test]
fn an_entry_of_a_newer_format_is_left_alone_and_is_no_torn_commit() {
    for torn in [&b""[..], br#"{"v":1,"seq":999,"id":"evt_01"#, b"\n\n\n"] {
        let ledger = Thawed::new("v1");
        let segment = ledger.newest_segment();
        let mut bytes = fs::read(&segment).unwrap();
        let end = lines(&bytes).len();
        let behind = [torn, &newer_line(ledger.expected().len())].concat();
        bytes[end..end + behind.len()].copy_from_slice(&behind);
        fs::write(&segment, bytes).unwrap();
        assert_left_alone(&ledger);
    }
}

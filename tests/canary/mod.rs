//! Bytes that must be nowhere after an erasure, and a ledger that has copied them wherever it copies content.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};
use quipu_format::{Actor, Body, KeyNode, KeyTree, Kind, Scope};
use quipu_log::{Draft, OpenOptions};
use serde_json::{Value, json};

use crate::driver::{Ledger, guest, run};

/// What is looked for, each with a name.
#[derive(Default, Clone)]
pub(crate) struct Wanted(Vec<(String, Vec<u8>)>);

impl Wanted {
    /// 32 bytes as they are, and their base64 wherever it begins among three bytes.
    fn add(&mut self, name: &str, secret: &[u8; 32]) {
        self.0.push((name.to_owned(), secret.to_vec()));
        for before in 0..3 {
            let bytes = [&vec![0; before][..], secret].concat();
            // Characters that bits of neighbours are in are left out.
            let known = (before * 8).div_ceil(6)..bytes.len() * 8 / 6;
            for text in [
                BASE64_STANDARD_NO_PAD.encode(&bytes),
                BASE64_URL_SAFE_NO_PAD.encode(&bytes),
            ] {
                let text = text[known.clone()].as_bytes().to_vec();
                self.0.push((format!("base64 of {name} behind {before}"), text));
            }
        }
    }

    /// A canary that indexes may keep in small letters, and without its end.
    fn add_canary(&mut self, canary: &[u8; 32]) {
        self.add("the canary", canary);
        for (name, text) in self.0.clone() {
            let word = text[..24].to_ascii_lowercase();
            self.0.push((format!("a word of {name}"), word));
        }
    }

    /// The 33 secrets on the way from the root to an entry, and both of its own.
    fn add_path(&mut self, tree: &KeyTree, nth: u32) {
        for depth in 0..=32_u32 {
            let below = u32::MAX.checked_shr(depth).unwrap_or(0);
            let (first, last) = (nth & !below, nth | below);
            let mut tree = tree.clone();
            if let Some(before) = first.checked_sub(1) {
                tree.puncture(0..=before).unwrap();
            }
            if let Some(behind) = last.checked_add(1) {
                tree.puncture(behind..=u32::MAX).unwrap();
            }
            self.add(&format!("node {depth} on the way to {nth}"), tree.nodes()[0].secret());
        }
        let own = tree.secret(nth).unwrap();
        self.add(&format!("the key of {nth}"), &own.key);
        self.add(&format!("the salt of {nth}"), &own.salt);
    }

    /// Where any of it is: in all files below these folders, or in these files.
    pub(crate) fn found_in(&self, places: &[&Path]) -> Vec<String> {
        let mut found = Vec::new();
        let mut places: Vec<_> = places.iter().map(|place| place.to_path_buf()).collect();
        let mut by_begin = BTreeMap::<[u8; 2], Vec<&(String, Vec<u8>)>>::new();
        for wanted in &self.0 {
            by_begin.entry([wanted.1[0], wanted.1[1]]).or_default().push(wanted);
        }
        let mut begins = vec![false; 1 << 16];
        for begin in by_begin.keys() {
            begins[usize::from(u16::from_be_bytes(*begin))] = true;
        }
        while let Some(place) = places.pop() {
            // What a process that is at work removes meanwhile is gone.
            let Ok(metadata) = fs::symlink_metadata(&place) else {
                continue;
            };
            if metadata.is_dir() {
                let entries = fs::read_dir(&place).into_iter().flatten();
                places.extend(entries.map(|entry| entry.unwrap().path()));
                continue;
            }
            let Ok(mut file) = File::open(&place) else { continue };
            let mut bytes = Vec::new();
            if !metadata.is_file() || file.read_to_end(&mut bytes).is_err() {
                continue;
            }
            for at in 0..bytes.len().saturating_sub(1) {
                let begin = [bytes[at], bytes[at + 1]];
                if begins[usize::from(u16::from_be_bytes(begin))] {
                    let all = by_begin[&begin].iter();
                    let here = all.filter(|(_, wanted)| bytes[at..].starts_with(wanted));
                    found.extend(here.map(|(name, _)| format!("{name} is in {} at {at}", place.display())));
                }
            }
        }
        found
    }

    #[track_caller]
    pub(crate) fn assert_nowhere(&self, places: &[&Path], when: &str) {
        let found = self.found_in(places);
        let some: Vec<_> = found.iter().take(10).collect();
        assert!(found.is_empty(), "{when}: {} times, such as {some:#?}", found.len());
    }
}

/// A ledger with a canary in many places.
pub(crate) struct Canary {
    pub(crate) ledger: Ledger,
    /// The operator's.
    pub(crate) key: PathBuf,
    pub(crate) canary: String,
    base64: String,
    /// Events that quote it and that nothing else leads to.
    pub(crate) events: Vec<String>,
    pub(crate) wanted: Wanted,
}

impl Canary {
    /// In a folder of its own below that one.
    pub(crate) fn new(folder: &Path) -> Self {
        let ledger = Ledger::none_within(folder);
        let key = ledger.beside("kim.key");
        run(ledger
            .command([
                "init",
                "--origin",
                "example.org/canary",
                "--operator",
                "kim",
                "--operator-key",
            ])
            .arg(&key))
        .good();
        let canary = random_word();
        let mut wanted = Wanted::default();
        wanted.add_canary(canary.as_bytes().try_into().unwrap());
        let base64 = BASE64_STANDARD_NO_PAD.encode(&canary);
        let (events, canary) = (Vec::new(), canary);
        Self {
            ledger,
            key,
            canary,
            base64,
            events,
            wanted,
        }
    }

    pub(crate) fn text(&self) -> String {
        format!("The door opens with {}, also written {}.", self.canary, self.base64)
    }

    /// Appends it, and what rests on it; imports it; has guests read, recall and answer it; searches for it.
    pub(crate) fn write(&mut self) {
        let text = self.text();
        let root = self
            .ledger
            .append("home", &text, &["--key", "door", "--tag", &self.canary]);
        self.ledger
            .append("other", &format!("Noted: {text}"), &["--evidence", &root]);
        let line = json!({
            "id": "m1", "ts": "2026-01-07T09:12:32.930Z", "actor": "user:jana", "kind": "message", "scope": "elsewhere",
            "payload": {"text": text},
        });
        // Not on the disk that is searched.
        let mut import = tempfile::NamedTempFile::with_suffix(".jsonl").unwrap();
        writeln!(import, "{line}").unwrap();
        self.ledger.import(import.path(), &[]).good();
        self.run_guest("echo", &text, &self.canary);
        let asked = json!({"search": self.canary, "id": root}).to_string();
        self.run_guest("recaller", &asked, &root);
        for found in [
            self.ledger.run(["search", &self.canary, "--json"]).good(),
            self.ledger.run(["search", &self.base64, "--json"]).good(),
        ] {
            assert!(found.out.contains(&self.canary), "{}", found.out);
        }
        let believed = self
            .ledger
            .run(["facts", "--scope", "home", "--tag", &self.canary, "--json"])
            .good();
        assert!(believed.out.contains(&self.canary), "{}", believed.out);
        self.ledger.run(["why", &root]).good();
        let context = self.ledger.run(["context", &self.canary, "--scope", "home"]).good();
        assert!(
            context.out.contains("[fact ") && context.out.contains(&self.canary),
            "{}",
            context.out
        );
        self.ledger.run(["impact", &root]).good();
        self.ledger.run(["blame", &text, "--scope", "home"]).good();
        let ran = self.ledger.log(&["--kind", "quipu.run.told"])[0]["run"].clone();
        let shown = self.ledger.run(["shown", ran.as_str().unwrap()]).good();
        assert!(shown.out.contains(&self.canary), "{}", shown.out);
        self.ledger.run(["rebuild"]).good();
        let projector = guest("projector").display().to_string();
        self.ledger.run(["project", "add", "texts", &projector]).good();
        assert!(self.is_derived(), "the projection has not seen it");
        let all = self.ledger.log(&[]);
        let id = |event: &Value| event["id"].as_str().unwrap().to_owned();
        // What a person typed into a run rests on nothing.
        let typed = all.iter().filter(|event| {
            let own = event["kind"] == "quipu.run" || event["scope"] == "elsewhere";
            own && event["payload"].to_string().contains(&self.canary)
        });
        let typed: Vec<_> = typed.map(id).collect();
        assert_eq!(typed.len(), 3, "{all:#?}");
        self.events.extend(typed);
        self.events.push(root);
    }

    fn run_guest(&self, name: &str, input: &str, sees: &str) {
        let ran = run(self.ledger.command(["run"]).arg(guest(name)).arg(input).args([
            "--actor",
            "agent:test",
            "--home",
            "home",
            "--read",
            "elsewhere",
        ]))
        .good();
        assert!(ran.out.contains(sees), "{name} has not seen it: {}", ran.out);
    }

    /// Fills some small segments, so that there is something to merge and to archive.
    pub(crate) fn fill(&self, entries: usize) {
        let mut options = OpenOptions::default();
        options.segment_bytes = 64 << 10;
        let ledger = quipu_log::Ledger::open(&self.ledger.path(), options).unwrap();
        for n in 0..entries {
            let body = Body::new(
                None,
                &json!({"text": format!("note {n} {}", "x".repeat(1_000))}).to_string(),
            )
            .unwrap();
            let (actor, kind) = (Actor::new("tool:fill").unwrap(), Kind::new("memo").unwrap());
            let scope = Scope::new(["home", "bulk"][n % 2]).unwrap();
            ledger.append_blocking(Draft::new(scope, actor, kind, body)).unwrap();
        }
        ledger.close().unwrap();
    }

    /// Leaves the half of a commit behind the log's end: of a copy of the canary's own line.
    pub(crate) fn tear(&self) {
        let mut segments: Vec<_> = fs::read_dir(self.ledger.path().join("log"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|name| name == "log"))
            .collect();
        segments.sort();
        let newest = segments.last().unwrap();
        let bytes = fs::read(newest).unwrap();
        let end = bytes.iter().rposition(|&byte| byte != b'\n').unwrap() + 2;
        let line = bytes.split(|&byte| byte == b'\n').next().unwrap();
        let file = File::options().write(true).open(newest).unwrap();
        file.write_all_at(&line[..line.len() - 40], end as u64).unwrap();
    }

    /// Adds the secrets of all entries that quote it, by what the file `keys` holds now.
    pub(crate) fn learn_secrets(&mut self) {
        let keys = fs::read_to_string(self.ledger.path().join("keys")).unwrap();
        let trees: BTreeMap<_, _> = keys.lines().skip(1).map(tree).collect();
        let all = self.ledger.log(&[]);
        let mut nths = BTreeMap::<String, u32>::new();
        for event in &all {
            let scope = event["scope"].as_str().unwrap().to_owned();
            let nth = nths.entry(scope.clone()).or_default();
            if event.to_string().contains(&self.canary) {
                self.wanted.add_path(&trees[&scope], *nth);
            }
            *nth += 1;
        }
    }

    pub(crate) fn redact(&self) -> std::process::Command {
        let mut command = self
            .ledger
            .command(["redact", "--cascade", "--reason", "a secret slipped in"]);
        command
            .args(&self.events)
            .args(["--operator", "kim", "--key"])
            .arg(&self.key);
        command
    }

    /// What is left of it for readers.
    pub(crate) fn still_told(&self) -> Vec<Value> {
        let mut all = self.ledger.log(&[]);
        all.retain(|event| event.to_string().contains(&self.canary));
        all
    }

    /// Whether it is found; what is derived is brought up to the log first.
    pub(crate) fn is_found(&self) -> bool {
        let ran = self.ledger.run(["search", &self.canary, "--json"]);
        assert!(ran.code <= 1, "{}", ran.err);
        let found = ran.code == 0;
        assert_eq!(
            self.is_derived(),
            found,
            "search and a projection component do not agree"
        );
        found
    }

    /// Whether a projection component has it in its state.
    fn is_derived(&self) -> bool {
        let ran = self.ledger.run(["project", "query", "texts"]).good();
        ran.out.contains(&self.canary)
    }
}

/// A scope's record: its name, and its nodes as `depth.index.secret`.
fn tree(line: &str) -> (String, KeyTree) {
    let mut fields: Vec<_> = line.split('\t').collect();
    fields.pop();
    let nodes = fields[1..].iter().map(|node| {
        let parts: Vec<_> = node.split('.').collect();
        let secret = BASE64_URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
        KeyNode::new(
            parts[0].parse().unwrap(),
            parts[1].parse().unwrap(),
            secret.try_into().unwrap(),
        )
    });
    (fields[0].to_owned(), KeyTree::from_nodes(nodes.collect()).unwrap())
}

/// 32 random bytes that are one word, as texts and indexes take it.
fn random_word() -> String {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).unwrap();
    bytes
        .iter()
        .map(|byte| char::from(b"abcdefghijklmnopqrstuvwxyz234567"[usize::from(byte % 32)]))
        .collect()
}

//! Ledgers in temporary folders.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "shared by test binaries, each of which uses some of it"
)]

use std::path::{Path, PathBuf};

use quipu_format::{Actor, Body, Event, Kind, Scope};
use quipu_log::{CreateOptions, Draft, Ledger, OpenOptions, Verification, verify};

/// A ledger on disk, removed when dropped.
pub struct TestLedger {
    _folder: tempfile::TempDir,
    path: PathBuf,
    segment_bytes: u64,
}

impl TestLedger {
    pub fn create() -> Self {
        Self::create_with(64 << 20)
    }

    pub fn create_with(segment_bytes: u64) -> Self {
        Self::create_in(&std::env::temp_dir(), segment_bytes)
    }

    /// In memory, where the machine has such a folder: for tests that do not depend on the disk, and would wait for it.
    pub fn create_in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        if tempfile::tempfile_in(memory).is_ok() {
            Self::create_in(memory, 64 << 20)
        } else {
            Self::create()
        }
    }

    fn create_in(folder: &Path, segment_bytes: u64) -> Self {
        let folder = tempfile::tempdir_in(folder).unwrap();
        let path = folder.path().join("ledger");
        let mut options = CreateOptions::new("example.com/test");
        options.segment_bytes = segment_bytes;
        Ledger::create(&path, options).unwrap().close().unwrap();
        Self {
            _folder: folder,
            path,
            segment_bytes,
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn open(&self) -> Ledger {
        self.try_open().unwrap()
    }

    pub fn try_open(&self) -> quipu_log::Result<Ledger> {
        let mut options = OpenOptions::default();
        options.segment_bytes = self.segment_bytes;
        Ledger::open(&self.path, options)
    }

    pub fn verify(&self) -> Verification {
        verify(&self.path, &mut |_| {}).unwrap()
    }

    /// The newest segment's file.
    pub fn newest_segment(&self) -> PathBuf {
        self.segments().pop().unwrap()
    }

    /// All segments' files, in order.
    pub fn segments(&self) -> Vec<PathBuf> {
        let mut names: Vec<_> = std::fs::read_dir(self.path.join("log"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "log"))
            .collect();
        names.sort();
        names
    }
}

/// A note in a scope.
pub fn draft(scope: &str, text: &str) -> Draft {
    let payload = serde_json::json!({ "text": text }).to_string();
    Draft::new(
        Scope::new(scope).unwrap(),
        Actor::new("agent:test").unwrap(),
        Kind::new("memory.write").unwrap(),
        Body::new(None, &payload).unwrap(),
    )
}

/// The text of an event's payload.
pub fn text_of(event: &Event) -> String {
    let payload: serde_json::Value = serde_json::from_str(event.payload().unwrap()).unwrap();
    payload["text"].as_str().unwrap().to_owned()
}

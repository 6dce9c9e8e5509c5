//! The frozen ledger, and a folder that ledgers are put into.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use quipu_format::{Checkpoint, Event, Hash, Signer, tree::Frontier};
use quipu_log::Ledger;

const FROZEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/frozen/v1/ledger");

/// A ledger's files by their path in it.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A good ledger, and what it says.
pub struct Frozen {
    /// Its files.
    pub files: Files,
    /// Its events, by position.
    pub events: Vec<Event>,
    /// The root of the tree of each size.
    pub roots: Vec<Hash>,
    signer: Signer,
}

/// The frozen ledger of format version 1.
pub fn frozen() -> &'static Frozen {
    static FROZEN_LEDGER: LazyLock<Frozen> = LazyLock::new(Frozen::read);
    &FROZEN_LEDGER
}

impl Frozen {
    fn read() -> Self {
        let mut files = Files::new();
        for (name, bytes) in read(Path::new(FROZEN)) {
            match name.strip_suffix(".base64") {
                Some(name) => {
                    let text: Vec<u8> = bytes.into_iter().filter(|byte| *byte != b'\n').collect();
                    files.insert(name.to_owned(), BASE64_STANDARD.decode(text).expect("it was encoded"));
                }
                None => drop(files.insert(name, bytes)),
            }
        }
        let folder = Folder::new("frozen");
        folder.put(&files);
        let reader = Ledger::open_read_only(&folder.path).expect("the frozen ledger is good");
        let events: Vec<_> = reader
            .events(0..u64::MAX)
            .map(|event| event.expect("it is good"))
            .collect();
        let mut frontier = Frontier::new();
        let mut roots = vec![frontier.root()];
        for event in &events {
            frontier.push(event.hash);
            roots.push(frontier.root());
        }
        let signer = std::str::from_utf8(&files["signer"]).expect("it is text");
        let signer = Signer::parse(signer.trim_end()).expect("it is good");
        Self {
            files,
            events,
            roots,
            signer,
        }
    }

    /// The checkpoint that the ledger had at an earlier size.
    pub fn checkpoint(&self, size: usize) -> Vec<u8> {
        let size = size % self.roots.len();
        let checkpoint = Checkpoint {
            origin: self.signer.verifier_key().name().to_owned(),
            size: size as u64,
            root: self.roots[size],
        };
        checkpoint.sign(&self.signer).into_bytes()
    }
}

/// A folder of this process among the machine's temporary ones; removed when it is dropped.
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
}

impl Folder {
    /// A folder that is not there yet.
    pub fn new(name: &str) -> Self {
        let this = Self {
            path: std::env::temp_dir().join(format!("quipu-fuzz-{}-{name}", std::process::id())),
        };
        this.clear();
        this
    }

    /// Replaces what is there by a ledger.
    pub fn put(&self, files: &Files) {
        self.clear();
        for folder in ["log", "torn", "tree", "components", "projections"] {
            fs::create_dir_all(self.path.join(folder)).expect("there is room");
        }
        for (name, bytes) in files {
            let path = self.path.join(name);
            fs::write(&path, bytes).expect("there is room");
            if ["keys", "keys.new", "signer"].contains(&name.as_str()) {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
            }
        }
    }

    /// Every file but `lock`, which says who tried last.
    pub fn files(&self) -> Files {
        let mut files = read(&self.path);
        files.remove("lock");
        files
    }

    fn clear(&self) {
        if self.path.exists() {
            fs::remove_dir_all(&self.path).expect("it is ours");
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.clear();
    }
}

fn read(folder: &Path) -> Files {
    let mut files = Files::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("it is a folder") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("it is below").display().to_string();
                files.insert(name, fs::read(&path).expect("it can be read"));
            }
        }
    }
    files
}

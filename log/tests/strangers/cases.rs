//! Logs as folders that strangers read: `checkpoint`, `tile/`, and perhaps `older`, a checkpoint that it must go on from,
//! and `proofs/`, each as `quipu prove` writes it.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use quipu_format::{Checkpoint, Hash, Signer, VerifierKey};
use quipu_log::{Ledger, LedgerReader};

use crate::{
    damage::Reads,
    ledgers::{TestLedger, draft},
};

/// Logs that all must accept, and damaged ones that whoever reads the damaged part must refuse.
pub(crate) struct Cases {
    pub(crate) ledger: TestLedger,
    pub(crate) sound: Vec<PathBuf>,
    pub(crate) damaged: Vec<(PathBuf, Reads)>,
    pub(crate) key: VerifierKey,
}

impl Cases {
    /// Those of a new ledger, whose first log is the empty one: no ledger is without its genesis, so its checkpoint is
    /// signed here.
    pub(crate) fn new() -> Self {
        let mut cases = Self::of(TestLedger::create_in_memory());
        let signer = fs::read_to_string(cases.ledger.path().join("signer")).unwrap();
        let signer = Signer::parse(signer.trim_end()).unwrap();
        let empty = Checkpoint {
            origin: cases.key.name().to_owned(),
            size: 0,
            root: Hash::of_nothing(),
        };
        let case = cases.case(0);
        fs::write(case.join("checkpoint"), empty.sign(&signer)).unwrap();
        cases.sound.push(case);
        cases
    }

    /// Those of a ledger, of which there are none yet.
    pub(crate) fn of(ledger: TestLedger) -> Self {
        let key = Ledger::open_read_only(ledger.path()).unwrap().verifier_key().clone();
        Self {
            ledger,
            sound: Vec::new(),
            damaged: Vec::new(),
            key,
        }
    }

    /// A case of every size up to one, and of a large one. They are exported into one folder, as a log is published.
    pub(crate) fn grow(&mut self, every_size_to: u64, large: u64) {
        self.take();
        for size in 2..=every_size_to {
            let ledger = self.ledger.open();
            let scope = ["a", "b", "c"][size as usize % 3];
            ledger
                .append_blocking(draft(scope, &format!("note number {size}")))
                .unwrap();
            ledger.close().unwrap();
            self.take();
        }
        let ledger = self.ledger.open();
        let notes: Vec<_> = (every_size_to..large).collect();
        for notes in notes.chunks(1_000) {
            let drafts = notes.iter().map(|n| draft("d", &format!("note number {n}"))).collect();
            ledger.append_all_blocking(drafts).unwrap();
        }
        ledger.close().unwrap();
        self.take();
    }

    /// A case of the ledger as it is now.
    pub(crate) fn take(&mut self) {
        let reader = Ledger::open_read_only(self.ledger.path()).unwrap();
        reader.export_tiles(&self.published(), &mut |_, _| {}).unwrap();
        let size = reader.checkpoint().unwrap().1.size;
        let case = self.case(size);
        fs::copy(self.published().join("checkpoint"), case.join("checkpoint")).unwrap();
        if let Some(older) = self.sound.last() {
            fs::copy(older.join("checkpoint"), case.join("older")).unwrap();
        }
        write_proofs(&reader, &self.published(), size, &case.join("proofs"));
        self.sound.push(case);
    }

    /// The folder to which the ledger is exported again and again.
    pub(crate) fn published(&self) -> PathBuf {
        self.ledger.path().with_file_name("published")
    }

    fn case(&self, size: u64) -> PathBuf {
        let case = self
            .ledger
            .path()
            .with_file_name(format!("size-{size}-{}", self.sound.len()));
        fs::create_dir(&case).unwrap();
        symlink(self.published().join("tile"), case.join("tile")).unwrap();
        case
    }

    /// The sound case of that size.
    pub(crate) fn of_size(&self, size: u64) -> &Path {
        let begin = format!("size-{size}-");
        let named = |case: &&PathBuf| case.file_name().unwrap().to_string_lossy().starts_with(&begin);
        self.sound.iter().find(named).expect("there is a log of that size")
    }
}

/// Proofs of some entries, as the ledger gives them: the first, the last, those in between and beside full tiles. The last
/// is there once more without its entry, which stands beside it then: as disclosures have proofs.
fn write_proofs(reader: &LedgerReader, published: &Path, size: u64, folder: &Path) {
    fs::create_dir(folder).unwrap();
    let mut seqs = vec![0, size / 3, size / 2, size - 1, 255, 256, 65_535, 65_536];
    seqs.retain(|seq| *seq < size);
    seqs.sort();
    seqs.dedup();
    for seq in seqs {
        let (mut proof, envelope) = (reader.prove(seq).unwrap(), envelope(published, size, seq));
        fs::write(folder.join(format!("{seq}.tlog-proof")), proof.to_string()).unwrap();
        // What it brings is what was published.
        assert_eq!(proof.extra.take().unwrap(), envelope.as_bytes());
        if seq + 1 == size {
            fs::write(folder.join("bare.tlog-proof"), proof.to_string()).unwrap();
            fs::write(folder.join("bare.entry"), envelope).unwrap();
        }
    }
}

/// An entry's envelope, from the bundle that was exported.
fn envelope(published: &Path, size: u64, seq: u64) -> String {
    let bundle = Tile::of(size).find(|tile| tile.level.is_none() && tile.number == seq / 256);
    let bytes = fs::read(published.join(bundle.unwrap().path())).unwrap();
    let mut rest = &bytes[..];
    for _ in 0..seq % 256 {
        let length = u16::from_be_bytes([rest[0], rest[1]]);
        rest = &rest[2 + usize::from(length)..];
    }
    let length = u16::from_be_bytes([rest[0], rest[1]]);
    String::from_utf8(rest[2..2 + usize::from(length)].to_vec()).unwrap()
}

/// A tile of hashes, or a bundle of entries, as C2SP `tlog-tiles` names it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tile {
    /// None: a bundle of entries.
    pub(crate) level: Option<u32>,
    number: u64,
    width: u64,
}

impl Tile {
    /// All of a log of that size.
    pub(crate) fn of(size: u64) -> impl Iterator<Item = Self> {
        let levels = (0..8).map(Some).chain([None]);
        levels.flat_map(move |level| {
            let count = size >> (8 * level.unwrap_or(0));
            (0..count.div_ceil(256)).map(move |number| Self {
                level,
                number,
                width: (count - number * 256).min(256),
            })
        })
    }

    pub(crate) fn path(&self) -> PathBuf {
        let level = self.level.map_or("entries".to_owned(), |level| level.to_string());
        assert!(self.number < 1_000, "longer paths have groups of digits");
        let name = format!("tile/{level}/{:03}", self.number);
        match self.width {
            256 => name.into(),
            width => format!("{name}.p/{width}").into(),
        }
    }
}

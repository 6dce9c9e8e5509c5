//! Opening what is there: everything that a ledger consists of, before any thread works on it.

use std::{
    path::Path,
    sync::{Arc, Mutex, RwLock, atomic::AtomicU64},
};

use quipu_format::{Signer, limits};
use zeroize::Zeroizing;

use crate::{
    Error, ErrorKind, LedgerReader, OpenOptions, Result,
    base::Base,
    checkpoint::{self, Publisher},
    disk::Folder,
    follow::Follow,
    index::Index,
    keyfile::{self, KeyFile, Keys},
    manifest::Manifest,
    open_files::OpenFiles,
    reader::ReadState,
    recovery,
    remembered::Remembered,
    segment::{self, ActiveSegment},
    sequencer::Sequencer,
    stamps::{Clock, Stamps},
};

pub(crate) const SIGNER: &str = "signer";

/// A ledger that is open for writing and has no threads yet.
pub(crate) struct Parts {
    pub(crate) state: Arc<ReadState>,
    pub(crate) sequencer: Sequencer,
    pub(crate) publisher: Publisher,
}

impl Parts {
    /// Reads what is there, decides by the recovery table, and makes the log ready to go on, for whoever holds the lock.
    pub(crate) fn open(folder: &Folder, path: &Path, options: &OpenOptions, clock: Box<dyn Clock>) -> Result<Self> {
        let manifest = Manifest::read(folder)?;
        let origin = manifest.verifier_key.name();
        let keys = Keys::read(folder, origin)?;
        let checkpoint = checkpoint::read(folder, &manifest.verifier_key).map(|(_, checkpoint)| checkpoint);
        let published = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.size);
        let log_folder = folder.sub(segment::FOLDER)?;
        let files = Arc::new(OpenFiles::new(folder.clone(), log_folder.clone()));
        let mut log = recovery::Log::read(folder, &files, &keys.secret, checkpoint, keys.applied)?;
        let signer = read_signer(folder, SIGNER, &manifest)?;
        if matches!(log.row(), recovery::Row::D(_) | recovery::Row::E) {
            recovery::check_keys(log.index.scopes.keys(), &keys)?;
        }
        for secret in [keyfile::FILE, SIGNER] {
            keyfile::check_mode(folder, secret)?;
        }
        let (file, position, filled) = log.recover(folder, &log_folder)?;
        drop(keys);
        let (keyfile, keys) = KeyFile::open(folder, origin)?;
        let active = ActiveSegment::resume(
            Arc::new(log_folder.clone()),
            file.clone(),
            position,
            filled,
            clamp(options.segment_bytes),
        );
        log.index.set_newest_file(file);
        let remembered = Remembered::of(&log.index)?;
        let state = read_state(path, folder.clone(), log_folder, manifest, log.index, keys, None);
        let mut publisher = Publisher::new(state.clone(), signer, log.frontier, published)?;
        log.leaves.iter().for_each(|leaf| publisher.push(*leaf));
        publisher.publish()?;
        let stamps = Stamps::new(clock, log.last_id);
        let sequencer = Sequencer::new(state.clone(), keyfile, active, stamps, remembered);
        Ok(Self {
            state,
            sequencer,
            publisher,
        })
    }
}

/// Opens a ledger for reading.
pub(crate) fn reader(folder: Folder, path: &Path) -> Result<LedgerReader> {
    let manifest = Manifest::read(&folder)?;
    let keys = Keys::read(&folder, manifest.verifier_key.name())?;
    let log = folder.sub(segment::FOLDER)?;
    let follow = Some(Mutex::new(Follow::new()));
    let index = Base::start().into_index(Arc::new(OpenFiles::new(folder.clone(), log.clone())));
    let reader = LedgerReader {
        state: read_state(path, folder, log, manifest, index, keys, follow),
    };
    reader.refresh()?;
    Ok(reader)
}

/// What all handles on one opened ledger share.
pub(crate) fn read_state(
    path: &Path,
    folder: Folder,
    log: Folder,
    manifest: Manifest,
    index: Index,
    keys: Keys,
    follow: Option<Mutex<Follow>>,
) -> Arc<ReadState> {
    let path = path.to_owned();
    Arc::new(ReadState {
        path,
        folder,
        log,
        manifest,
        index: RwLock::new(index),
        keys: RwLock::new(keys),
        follow,
        proved: AtomicU64::new(0),
    })
}

/// A size of segments that is allowed.
pub(crate) fn clamp(segment_bytes: u64) -> u64 {
    segment_bytes.clamp(64 << 10, limits::SEGMENT_BYTES)
}

/// Reads a signer, which must hold the key that the manifest names.
pub(crate) fn read_signer(folder: &Folder, name: &str, manifest: &Manifest) -> Result<Signer> {
    let Some(text) = folder.read(name, 64 << 10)?.map(Zeroizing::new) else {
        let message = "the file signer is missing: without it no checkpoint can be signed. Restore it from its backup";
        return Err(Error::new(ErrorKind::NotFound, message));
    };
    let signer = std::str::from_utf8(&text)
        .ok()
        .and_then(|text| Signer::parse(text.trim_end()).ok());
    match signer {
        Some(signer) if signer.verifier_key() == manifest.verifier_key => Ok(signer),
        _ => {
            let message = "the file signer does not hold the key that quipu.json names: restore it from its backup";
            Err(Error::new(ErrorKind::Tampered, message))
        }
    }
}

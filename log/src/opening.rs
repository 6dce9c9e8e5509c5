//! Opening what is there: everything that a ledger consists of, before any thread works on it.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock, atomic::AtomicU64},
    time::Duration,
};

use quipu_format::{Actor, Body, Kind, Scope, Signer, VerifierKey, limits, tree::Frontier};
use serde_json::{Value, json};
use ulid::Ulid;

use crate::{
    Draft, Error, ErrorKind, LedgerAt, LedgerReader, Passphrase, Receipt, Result, authority,
    base::Base,
    checkpoint::{self, Publisher},
    components,
    disk::Folder,
    follow::Follow,
    index::Index,
    intake,
    key_watch::KeyWatch,
    keyfile::{self, KeyFile, Keys},
    ledger::{one, unanswered},
    lock::Lock,
    manifest::{Manifest, Manifests},
    open_files::OpenFiles,
    operators::Operators,
    random,
    reader::ReadState,
    recovery,
    remembered::Remembered,
    request::{Receipts, Request, Until},
    rotation,
    segment::{self, ActiveSegment, Filling},
    sequencer::Sequencer,
    signer_file,
    stamps::{Clock, Stamps, SystemClock},
};

/// A ledger that is open for writing and has no threads yet.
pub(crate) struct Parts {
    pub(crate) state: Arc<ReadState>,
    pub(crate) sequencer: Sequencer,
    pub(crate) publisher: Publisher,
}

impl Parts {
    /// Makes a ledger in a folder that is empty but for the lock, which the caller holds, and closes it. `quipu.json`,
    /// written last, says that it is one.
    pub(crate) fn create(
        folder: &Folder,
        path: &Path,
        origin: &str,
        operators: &[VerifierKey],
        filling: Filling,
        clock: Box<dyn Clock>,
    ) -> Result<()> {
        let signer = Signer::new(origin, *random::secret()?)?;
        // Somebody else may have begun one meanwhile.
        if folder.list()?.len() > 1 {
            let message = "the folder is not empty: choose another one for the ledger";
            return Err(Error::new(ErrorKind::Exists, message));
        }
        for name in [segment::FOLDER, components::FOLDER, recovery::TORN, "projections"] {
            folder.create_sub(name)?;
        }
        let verifier_key = signer.verifier_key();
        let mut keys = Keys::new(origin, *random::secret()?);
        keys.lock = folder.passphrase().map(Passphrase::fresh).transpose()?;
        signer_file::write(folder, signer_file::FILE, &signer, keys.lock.as_deref())?;
        let keyfile = KeyFile::create(folder, &keys)?;
        let log = folder.sub(segment::FOLDER)?;
        let active = ActiveSegment::create(Arc::new(log.clone()), filling)?;
        let files = Arc::new(OpenFiles::new(folder.clone(), log.clone()));
        let mut index = Base::start().into_index(files);
        index.set_newest_file(active.file.clone());
        let manifest = Manifest {
            verifier_key: verifier_key.clone().into(),
            copy: false,
        };
        let state = read_state(path, folder.clone(), log, manifest, index, keys, None);
        let publisher = Publisher::new(state.clone(), signer, Frontier::new())?;
        let stamps = Stamps::new(clock, Ulid::nil());
        let sequencer = Sequencer::new(
            state.clone(),
            keyfile,
            active,
            stamps,
            Remembered::default(),
            Operators::default(),
        )?;
        let mut parts = Self {
            state,
            sequencer,
            publisher,
        };
        let mut genesis = json!({"origin": verifier_key.name(), "verifierKey": verifier_key.to_string()});
        if !operators.is_empty() {
            genesis["operators"] = operators.iter().map(ToString::to_string).collect();
        }
        parts.append_system("quipu.genesis", json!({"genesis": genesis}))?;
        parts.publisher.publish()?;
        Manifest {
            verifier_key: verifier_key.into(),
            copy: false,
        }
        .write(folder)
    }

    /// Reads what is there, decides by the recovery table, and makes the log ready to go on, for whoever holds the lock.
    pub(crate) fn open(folder: &Folder, path: &Path, filling: Filling, clock: Box<dyn Clock>) -> Result<Self> {
        let manifest = Manifest::read(folder)?;
        // A process that died may have left names that are seen and are not on the disk: those of `quipu.json`, and of
        // the newer one of two key files, before the other is wiped.
        folder.sync()?;
        let origin = manifest.verifier_key.name();
        let keys = Keys::read(folder, origin)?;
        let checkpoint = checkpoint::read(folder, &manifest.verifier_key).map(|(_, checkpoint)| checkpoint);
        let covered = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.size);
        let log_folder = folder.sub(segment::FOLDER)?;
        let files = Arc::new(OpenFiles::new(folder.clone(), log_folder.clone()));
        let mut log = recovery::Log::read(folder, &files, &keys.secret, checkpoint, keys.applied)?;
        authority::examine(&mut log, folder, path)?;
        let mut signer = signer_file::current(folder, &manifest)?;
        if matches!(log.row(), recovery::Row::D(_) | recovery::Row::E) {
            keys.check_scopes(log.index.scopes.keys())?;
        }
        for secret in [keyfile::FILE, signer_file::FILE] {
            keyfile::check_mode(folder, secret)?;
        }
        let (file, position) = log.recover(folder, &log_folder)?;
        drop(keys);
        let (keyfile, keys) = KeyFile::open(folder, origin)?;
        let active = ActiveSegment::resume(Arc::new(log_folder.clone()), file.clone(), position, filling);
        log.index.set_newest_file(file);
        let remembered = Remembered::of(&log.index)?;
        let state = read_state(path, folder.clone(), log_folder, manifest, log.index, keys, None);
        rotation::finish(&LedgerReader { state: state.clone() }, covered, &mut signer)?;
        let mut publisher = Publisher::new(state.clone(), signer, log.frontier)?;
        log.leaves.iter().for_each(|leaf| publisher.push(*leaf));
        publisher.publish()?;
        let stamps = Stamps::new(clock, log.last_id);
        log.erasures
            .done_below(state.keys.read().unwrap_or_else(PoisonError::into_inner).applied);
        let operators = Operators::read(&LedgerReader { state: state.clone() })?;
        let sequencer = Sequencer::new(state.clone(), keyfile, active, stamps, remembered, operators)?;
        let mut parts = Self {
            state,
            sequencer,
            publisher,
        };
        if !log.erasures.is_empty() {
            // A checkpoint covers them: it was just written.
            parts.sequencer.carry_out(&log.erasures, Ok(()))?;
        }
        for recovered in recovery::unnamed_torn(&parts.reader())? {
            parts.append_system("quipu.recovered", recovered)?;
        }
        Ok(parts)
    }

    pub(crate) fn reader(&self) -> LedgerReader {
        LedgerReader {
            state: self.state.clone(),
        }
    }

    /// Appends all or none, in one commit.
    pub(crate) fn append_all(&mut self, drafts: Vec<Draft>) -> Result<Receipts> {
        let (reader, secret) = (self.reader(), self.state.secret());
        let (request, answer) = intake::request(&reader, &secret, drafts.into(), Until::Durable)?;
        self.commit(vec![request]);
        answer.now().flatten().unwrap_or_else(|| Err(unanswered()))
    }

    /// Makes requests durable in one commit, and answers them.
    pub(crate) fn commit(&mut self, requests: Vec<Request>) {
        let mut outcome = self.sequencer.commit(requests);
        if let Some(seq) = outcome.succession {
            self.publisher.succeed(seq);
        }
        std::mem::take(&mut outcome.leaves)
            .into_iter()
            .for_each(|leaf| self.publisher.push(leaf));
        if !outcome.erasures.is_empty() {
            let erasures = std::mem::take(&mut outcome.erasures);
            outcome.carried_out(self.sequencer.carry_out(&erasures, self.publisher.publish()));
        }
        // Nobody waits for checkpoints before there is a thread that makes them.
        drop(outcome.answer());
    }

    pub(crate) fn append_system(&mut self, kind: &str, sys: Value) -> Result<Receipt> {
        let body = Body::new(None, "{}")?;
        let mut draft = Draft::new(Scope::ledger(), Actor::new("host:quipu")?, Kind::new(kind)?, body);
        draft.sys = Some(sys);
        one(self.append_all(vec![draft])?)
    }
}

/// Appends an entry of the host's to a copy of `size` entries that is about to be written, unless that was done.
pub(crate) fn go_on(at: LedgerAt<'_>, size: u64, kind: &str, sys: Value) -> Result<()> {
    let folder = at.folder()?;
    let _lock = Lock::take(&folder, Duration::ZERO)?;
    let filling = Filling::new(limits::SEGMENT_BYTES);
    let mut parts = Parts::open(&folder, at.path, filling, Box::new(SystemClock::new()))?;
    if parts.reader().head() == size {
        parts.append_system(kind, sys)?;
    }
    parts.publisher.publish()
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
        manifests: Manifests::new(manifest),
        index: RwLock::new(index),
        keys: RwLock::new(keys),
        follow,
        watch: KeyWatch::default(),
        proved: AtomicU64::new(0),
    })
}

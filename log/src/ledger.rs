// Long because the writer's whole life, create, open, append and close, reads best in one place.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use quipu_format::{Actor, Body, Hash, Kind, Scope, Signer, limits, tree::Frontier};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use ulid::Ulid;
use zeroize::Zeroizing;

use crate::{
    ArchiveSummary, Draft, Error, ErrorKind, LedgerReader, Receipt, Result, archive,
    base::Base,
    checkpoint,
    checkpoint::Publisher,
    checkpointer::Checkpointer,
    committer::Committer,
    components,
    disk::{Access, Folder},
    draft::Prepared,
    follow::Follow,
    index::Index,
    keyfile::{self, KeyFile, Keys},
    lock::Lock,
    manifest::{self, Manifest},
    open_files::OpenFiles,
    reader::ReadState,
    recovery,
    remembered::Remembered,
    restore,
    segment::{self, ActiveSegment},
    sequencer::{Request, Sequencer},
    stamps::{Clock, Stamps, SystemClock},
};

pub(crate) const SIGNER: &str = "signer";

/// How a new ledger is made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CreateOptions {
    /// Name of the ledger, and of the key that signs its checkpoints: by custom a domain and path that its owner
    /// controls, such as `example.com/agents`. 1 to 255 bytes without white space or `+`.
    pub origin: String,
    /// Bytes after which a segment file is sealed and the next one begun, from 64 KiB; 64 MiB unless said otherwise.
    pub segment_bytes: u64,
}

impl CreateOptions {
    /// The usual options for a ledger of that name.
    pub fn new(origin: impl Into<String>) -> Self {
        Self {
            origin: origin.into(),
            segment_bytes: limits::SEGMENT_BYTES,
        }
    }
}

/// How a ledger is opened for writing.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OpenOptions {
    /// How long to wait for another writer to go; 10 s unless said otherwise.
    pub wait: Duration,
    /// As for [`CreateOptions`].
    pub segment_bytes: u64,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(10),
            segment_bytes: limits::SEGMENT_BYTES,
        }
    }
}

/// The one writer of a ledger. Cheap to clone; may be used from many threads and tasks at once. When the last handle
/// is dropped, what is queued is committed and a last checkpoint written.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

struct Inner {
    reader: LedgerReader,
    secret: Zeroizing<[u8; 32]>,
    committer: Committer,
    checkpointer: Arc<Checkpointer>,
    /// Held while a component is stored: two of one digest would share a temporary name.
    components: Mutex<()>,
    /// Held while segments are archived.
    archiving: Mutex<()>,
    /// Given back last.
    lock: Mutex<Option<Lock>>,
}

impl Ledger {
    /// Makes a ledger in a folder that is empty or does not exist.
    ///
    /// # Errors
    /// `Exists` where there is one already or the folder is not empty; `Invalid` for an unusable origin.
    pub fn create(path: &Path, options: CreateOptions) -> Result<Self> {
        let signer = Signer::new(&options.origin, *random()?)?;
        let folder = Folder::create(path)?;
        let names = folder.list()?;
        if names.iter().any(|name| name == manifest::FILE) {
            let message = format!(
                "there is a ledger in {} already: open it, or choose another folder",
                path.display()
            );
            return Err(Error::new(ErrorKind::Exists, message));
        }
        let not_empty = || {
            let message = format!(
                "the folder {} is not empty: choose another one for the ledger",
                path.display()
            );
            Error::new(ErrorKind::Exists, message)
        };
        if !names.is_empty() {
            return Err(not_empty());
        }
        let lock = Lock::take(&folder, Duration::ZERO)?;
        // Somebody else may have begun one meanwhile.
        if folder.list()?.len() > 1 {
            return Err(not_empty());
        }
        for name in [segment::FOLDER, components::FOLDER, recovery::TORN, "projections"] {
            folder.create_sub(name)?;
        }
        folder.create_file(SIGNER, Access::Private).and_then(|file| {
            file.write_all_at(signer.to_text().as_bytes(), 0)?;
            file.sync_all()
        })?;
        let manifest = Manifest {
            verifier_key: signer.verifier_key(),
            copy: false,
        };
        let keys = Keys::new(&options.origin, *random()?);
        let keyfile = KeyFile::create(&folder, &keys)?;
        let log = folder.sub(segment::FOLDER)?;
        let active = ActiveSegment::create(Arc::new(log.clone()), clamp(options.segment_bytes))?;
        let root = folder.clone();
        let files = Arc::new(OpenFiles::new(folder.clone(), log.clone()));
        let mut index = Base::start().into_index(files);
        index.set_newest_file(active.file.clone());
        let state = read_state(path, folder, log, manifest, index, keys, None);
        let publisher = Publisher::new(state.clone(), signer, Frontier::new(), 0)?;
        let stamps = Stamps::new(Box::new(SystemClock::new()), Ulid::nil());
        let sequencer = Sequencer::new(state.clone(), keyfile, active, stamps, Remembered::default());
        let ledger = Self::start(Parts {
            state,
            sequencer,
            publisher,
            lock,
        })?;
        let reader = ledger.reader();
        let genesis = json!({"genesis": {"origin": reader.origin(), "verifierKey": reader.verifier_key().to_string()}});
        ledger.append_system("quipu.genesis", genesis)?;
        // The checkpoint over it comes from closing; only then is the ledger one, and `quipu.json` says so.
        let manifest = Manifest {
            verifier_key: reader.verifier_key().clone(),
            copy: false,
        };
        ledger.close()?;
        manifest.write(&root)?;
        let open = OpenOptions {
            segment_bytes: options.segment_bytes,
            ..OpenOptions::default()
        };
        Self::open(path, open)
    }

    /// Opens a ledger for writing and recovers from what a crash left.
    ///
    /// # Errors
    /// `NotFound` where there is none; `Locked` while another process writes; `Tampered`, `LostEntries` and `Corrupt`
    /// where going on would hide what happened: nothing is changed then, and reading still works. `ReadOnly` where the
    /// folder is a copy: see [`confirm`](crate::confirm).
    pub fn open(path: &Path, options: OpenOptions) -> Result<Self> {
        let folder = Folder::open(path).map_err(|e| no_ledger(path, e))?;
        if Manifest::read(&folder)?.copy {
            return Err(restore::unconfirmed());
        }
        let ledger = Self::start(Parts::open(folder, path, &options, Box::new(SystemClock::new()))?)?;
        for recovered in recovery::unnamed_torn(ledger.reader())? {
            ledger.append_system("quipu.recovered", recovered)?;
        }
        Ok(ledger)
    }

    /// Appends an entry of the host's to a copy of `size` entries that is about to be written, unless that was done.
    pub(crate) fn go_on(path: &Path, size: u64, kind: &str, sys: Value) -> Result<()> {
        let (folder, clock) = (Folder::open(path)?, Box::new(SystemClock::new()));
        let ledger = Self::start(Parts::open(folder, path, &OpenOptions::default(), clock)?)?;
        if ledger.reader().head() == size {
            ledger.append_system(kind, sys)?;
        }
        ledger.close()
    }

    /// Opens a ledger for reading; another process may be writing it. Needs no lock and changes nothing.
    pub fn open_read_only(path: &Path) -> Result<LedgerReader> {
        let folder = Folder::open(path).map_err(|e| no_ledger(path, e))?;
        open_reader(folder, path)
    }

    /// Reads this ledger; the head is all that is durable.
    pub fn reader(&self) -> &LedgerReader {
        &self.inner.reader
    }

    /// Appends one entry and returns when it is durable.
    ///
    /// # Errors
    /// Nothing was appended, except where the kind is `Unavailable`: then the outcome is unknown.
    pub async fn append(&self, draft: Draft) -> Result<Receipt> {
        one(self.append_all(vec![draft]).await?)
    }

    /// Appends all or none, consecutively, in this order, at most 1,000.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    pub async fn append_all(&self, drafts: Vec<Draft>) -> Result<Vec<Receipt>> {
        let (request, answer) = self.request(drafts)?;
        self.inner.committer.submit(request)?;
        answer.await.unwrap_or_else(|_| Err(unanswered()))
    }

    /// As [`append`](Self::append), for callers that may block. Where nobody else is committing, the commit is made on
    /// this thread.
    pub fn append_blocking(&self, draft: Draft) -> Result<Receipt> {
        one(self.append_all_blocking(vec![draft])?)
    }

    /// As [`append_all`](Self::append_all), for callers that may block.
    pub fn append_all_blocking(&self, drafts: Vec<Draft>) -> Result<Vec<Receipt>> {
        let (request, answer) = self.request(drafts)?;
        self.inner.committer.submit_inline(request)?;
        crate::wait::block_on(answer).unwrap_or_else(|_| Err(unanswered()))
    }

    /// Keeps a component's bytes and returns their SHA-256 when they are durable. Keeping them again changes nothing.
    pub fn put_component(&self, bytes: &[u8]) -> Result<Hash> {
        let _one_at_a_time = self.inner.components.lock().unwrap_or_else(PoisonError::into_inner);
        components::put(&self.inner.reader.state.folder, bytes)
    }

    /// Moves full segments whose entries all come before `before`, compressed, to another folder, from which they are
    /// read from now on: `quipu verify` covers them, and where the folder is not there, they alone cannot be read. Readers
    /// and writers go on meanwhile. Segments that an earlier archiving moved, and whose files have been brought to this
    /// folder since, are found there. `progress` is told how many segments are done, and of how many.
    ///
    /// # Errors
    /// `Exists` where another file has the name of a segment's. Whatever fails, no entry is lost, and archiving again goes on.
    pub fn archive(&self, before: u64, to: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<ArchiveSummary> {
        let _one_at_a_time = self.inner.archiving.lock().unwrap_or_else(PoisonError::into_inner);
        archive::archive(self.reader(), before, to, progress)
    }

    /// Commits what is queued, writes a last checkpoint and gives the lock back. Other handles on this ledger can
    /// still read; appending through them is `Unavailable`.
    pub fn close(self) -> Result<()> {
        self.inner.close()
    }

    fn start(parts: Parts) -> Result<Self> {
        let keys = parts.state.keys.read().unwrap_or_else(PoisonError::into_inner);
        let secret = keys.secret.clone();
        drop(keys);
        let checkpointer = Arc::new(Checkpointer::start(parts.publisher)?);
        let committer = Committer::start(parts.sequencer, checkpointer.clone())?;
        let reader = LedgerReader { state: parts.state };
        let lock = Mutex::new(Some(parts.lock));
        Ok(Self {
            inner: Arc::new(Inner {
                reader,
                secret,
                committer,
                checkpointer,
                components: Mutex::default(),
                archiving: Mutex::default(),
                lock,
            }),
        })
    }

    fn append_system(&self, kind: &str, sys: Value) -> Result<Receipt> {
        let body = Body::new(None, "{}")?;
        let mut draft = Draft::new(Scope::ledger(), Actor::new("host:quipu")?, Kind::new(kind)?, body);
        draft.sys = Some(sys);
        self.append_blocking(draft)
    }

    /// Checks drafts on the caller's thread.
    fn request(&self, drafts: Vec<Draft>) -> Result<(Request, oneshot::Receiver<Result<Vec<Receipt>>>)> {
        if drafts.is_empty() || drafts.len() > limits::DRAFTS {
            let message = format!("{} drafts at once; 1 to {} fit", drafts.len(), limits::DRAFTS);
            let kind = if drafts.is_empty() {
                ErrorKind::Invalid
            } else {
                ErrorKind::TooLarge
            };
            return Err(Error::new(kind, message));
        }
        for id in drafts
            .iter()
            .flat_map(|draft| draft.evidence.iter().chain(&draft.supersedes))
        {
            if self.inner.reader.find(*id)?.is_none() {
                let message = format!("{id} is not an entry of this ledger");
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
        let drafts: Result<Vec<_>> = drafts
            .into_iter()
            .map(|draft| Prepared::new(draft, &self.inner.secret))
            .collect();
        let (reply, answer) = oneshot::channel();
        let request = Request { drafts: drafts?, reply };
        if request.bytes() > limits::COMMIT_BYTES {
            let message = format!("the drafts take more than {} bytes together", limits::COMMIT_BYTES);
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        Ok((request, answer))
    }
}

/// A ledger that is open for writing and has no threads yet.
pub(crate) struct Parts {
    pub(crate) state: Arc<ReadState>,
    pub(crate) sequencer: Sequencer,
    pub(crate) publisher: Publisher,
    pub(crate) lock: Lock,
}

impl Parts {
    /// Takes the lock, reads what is there, decides by the recovery table, and makes the log ready to go on.
    pub(crate) fn open(folder: Folder, path: &Path, options: &OpenOptions, clock: Box<dyn Clock>) -> Result<Self> {
        let manifest = Manifest::read(&folder)?;
        let lock = Lock::take(&folder, options.wait)?;
        let origin = manifest.verifier_key.name();
        let keys = Keys::read(&folder, origin)?;
        let checkpoint = checkpoint::read(&folder, &manifest.verifier_key).map(|(_, checkpoint)| checkpoint);
        let published = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.size);
        let log_folder = folder.sub(segment::FOLDER)?;
        let files = Arc::new(OpenFiles::new(folder.clone(), log_folder.clone()));
        let mut log = recovery::Log::read(&folder, &files, &keys.secret, checkpoint, keys.applied)?;
        let signer = read_signer(&folder, SIGNER, &manifest)?;
        if matches!(log.row(), recovery::Row::D(_) | recovery::Row::E) {
            recovery::check_keys(log.index.scopes.keys(), &keys)?;
        }
        for secret in [keyfile::FILE, SIGNER] {
            keyfile::check_mode(&folder, secret)?;
        }
        let (file, position, filled) = log.recover(&folder, &log_folder)?;
        drop(keys);
        let (keyfile, keys) = KeyFile::open(&folder, origin)?;
        let active = ActiveSegment::resume(
            Arc::new(log_folder.clone()),
            file.clone(),
            position,
            filled,
            clamp(options.segment_bytes),
        );
        log.index.set_newest_file(file);
        let remembered = Remembered::of(&log.index)?;
        let state = read_state(path, folder, log_folder, manifest, log.index, keys, None);
        let mut publisher = Publisher::new(state.clone(), signer, log.frontier, published)?;
        log.leaves.iter().for_each(|leaf| publisher.push(*leaf));
        publisher.publish()?;
        let stamps = Stamps::new(clock, log.last_id);
        let sequencer = Sequencer::new(state.clone(), keyfile, active, stamps, remembered);
        Ok(Self {
            state,
            sequencer,
            publisher,
            lock,
        })
    }
}

/// Opens a ledger for reading.
pub(crate) fn open_reader(folder: Folder, path: &Path) -> Result<LedgerReader> {
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

impl Inner {
    fn close(&self) -> Result<()> {
        // Whoever closes as well waits here until the first has finished: the lock is given back last.
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.committer.close();
        let closed = self.checkpointer.close();
        lock.take();
        closed
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the last checkpoint was not written; the next open writes it");
        }
    }
}

fn read_state(
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
    })
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

fn no_ledger(path: &Path, error: Error) -> Error {
    if error.kind() != ErrorKind::NotFound {
        return error;
    }
    let message = format!(
        "there is no ledger at {}: check the path, or make one with `quipu init`",
        path.display()
    );
    Error::new(ErrorKind::NotFound, message)
}

fn clamp(segment_bytes: u64) -> u64 {
    segment_bytes.clamp(64 << 10, limits::SEGMENT_BYTES)
}

pub(crate) fn random() -> Result<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes)
        .map_err(|e| Error::new(ErrorKind::Io, format!("the system gives no randomness for a key: {e}")))?;
    Ok(bytes)
}

fn one(receipts: Vec<Receipt>) -> Result<Receipt> {
    receipts.into_iter().next().ok_or_else(unanswered)
}

fn unanswered() -> Error {
    let message = "the ledger ended before it answered: open it again, and repeat with the same idempotency key";
    Error::new(ErrorKind::Unavailable, message)
}

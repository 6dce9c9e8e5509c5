// Long because the writer's whole life, create, open, append and close, reads best in one place.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use quipu_format::{Hash, Signer, VerifierKey, limits};
use smallvec::{SmallVec, smallvec};
use tokio::{runtime::Handle, task::JoinHandle};

use crate::{
    ArchiveSummary, Draft, Error, ErrorKind, LedgerAt, LedgerReader, Passphrase, Receipt, Result, archive,
    checkpointer::Checkpointer,
    committer::Committer,
    components,
    disk::Folder,
    intake::{By, Intake},
    lock::Lock,
    manifest::{self},
    opening::{self, Parts},
    operators::operator_key,
    request::{Answer, Receipts, Request, Until},
    reserve, restore, scope_roots,
    screen::{Screen, Screens},
    segment::Filling,
    share::{self, Client, Server, Way},
    stamps::SystemClock,
};

/// How a new ledger is made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CreateOptions {
    /// Name of the ledger, and of the key that signs its checkpoints: by custom a domain and path that its owner
    /// controls, such as `example.com/agents`. 1 to 255 bytes without white space or `+`.
    pub origin: String,
    /// Bytes after which a segment file is sealed and the next one begun, from 64 KiB; 64 MiB unless said otherwise.
    pub segment_bytes: u64,
    /// The keys of those who may erase, from the first entry on.
    operators: Vec<VerifierKey>,
    passphrase: Option<Passphrase>,
}

impl CreateOptions {
    /// The usual options for a ledger of that name.
    pub fn new(origin: impl Into<String>) -> Self {
        Self {
            origin: origin.into(),
            segment_bytes: limits::SEGMENT_BYTES,
            operators: Vec::new(),
            passphrase: None,
        }
    }

    /// Seals the key file under a passphrase, without which no body can be opened and nothing be appended from then on: a
    /// passphrase that is lost is content that is lost.
    pub fn passphrase(mut self, passphrase: Passphrase) -> Self {
        self.passphrase = Some(passphrase);
        self
    }

    /// Enrols an operator, who may erase: the verifier key of a pair whose secret stays outside the ledger, and whose name
    /// begins with `operator:`.
    ///
    /// # Errors
    /// `Invalid` where the key's name does not.
    pub fn operator(mut self, key: &VerifierKey) -> Result<Self> {
        self.operators.push(operator_key(&key.to_string())?);
        Ok(self)
    }
}

/// How a ledger is opened for writing.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OpenOptions {
    /// How long to wait for another writer to go or, where the ledger is opened to be shared, to serve us; 10 s unless
    /// said otherwise.
    pub wait: Duration,
    /// As for [`CreateOptions`].
    pub segment_bytes: u64,
    passphrase: Option<Passphrase>,
    /// Of the ledger that is opened with these, and of nothing else.
    screens: Screens,
}

impl OpenOptions {
    /// The passphrase that the key file is sealed under.
    pub fn passphrase(mut self, passphrase: Passphrase) -> Self {
        self.passphrase = Some(passphrase);
        self
    }

    fn for_one_ledger(mut self) -> Self {
        self.screens = Screens::default();
        self
    }

    fn at<'a>(&'a self, path: &'a Path) -> LedgerAt<'a> {
        LedgerAt::new(path).passphrase(self.passphrase.as_ref())
    }
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(10),
            segment_bytes: limits::SEGMENT_BYTES,
            passphrase: None,
            screens: Screens::default(),
        }
    }
}

/// A ledger that is open for writing. Cheap to clone; may be used from many threads and tasks at once. When the last
/// handle is dropped, what is queued is committed and a last checkpoint written.
///
/// One process at a time writes: it holds the ledger's lock, and serves a socket in the ledger's folder. What is opened
/// with [`open_shared`](Self::open_shared) while another process writes hands its appends to that one.
#[derive(Clone)]
pub struct Ledger {
    role: Role,
}

#[derive(Clone)]
pub(crate) enum Role {
    Writer(Arc<Writer>),
    Client(Arc<Client>),
}

/// Drafts that were checked.
pub(crate) enum Checked {
    /// They have a place in the queue as soon as there is room.
    ToQueue(Request, Answer),
    Queued(Answer),
    /// They are being checked, on a thread where that may take its time.
    Apart(JoinHandle<Result<Self>>),
}

pub(crate) struct Writer {
    pub(crate) intake: Arc<Intake>,
    pub(crate) checkpointer: Arc<Checkpointer>,
    /// Held while segments are archived.
    archiving: Mutex<()>,
    /// Until it is closed.
    server: Mutex<Option<Server>>,
    /// Given back last.
    lock: Mutex<Option<Lock>>,
}

impl Ledger {
    /// Makes a ledger in a folder that is empty or does not exist.
    ///
    /// # Errors
    /// `Exists` where there is one already or the folder is not empty; `Invalid` for an unusable origin.
    pub fn create(path: &Path, options: CreateOptions) -> Result<Self> {
        // Before anything is made.
        Signer::new(&options.origin, [0; 32])?;
        let folder = Folder::create(path)?.with_passphrase(options.passphrase.clone());
        let names = folder.list()?;
        if names.iter().any(|name| name == manifest::FILE) {
            let message = format!(
                "there is a ledger in {} already: open it, or choose another folder",
                path.display()
            );
            return Err(Error::new(ErrorKind::Exists, message));
        }
        if !names.is_empty() {
            let message = format!(
                "the folder {} is not empty: choose another one for the ledger, or remove it where making a ledger was \
                 broken off",
                path.display()
            );
            return Err(Error::new(ErrorKind::Exists, message));
        }
        let lock = Lock::take(&folder, Duration::ZERO)?;
        let filling = Filling::new(options.segment_bytes);
        let operators = &options.operators;
        Parts::create(
            &folder,
            path,
            &options.origin,
            operators,
            filling,
            Box::new(SystemClock::new()),
        )?;
        drop(lock);
        let open = OpenOptions {
            segment_bytes: options.segment_bytes,
            passphrase: options.passphrase,
            ..OpenOptions::default()
        };
        Self::open(path, open)
    }

    /// Opens a ledger for writing and recovers from what a crash left.
    ///
    /// # Errors
    /// `NotFound` where there is none; `Locked` while another process writes; `Tampered`, `LostEntries` and `Corrupt`
    /// where going on would hide what happened, and `Sealed` where the key file has another passphrase: nothing is changed then, and reading still works. `ReadOnly` where the
    /// folder is a copy: see [`confirm`](crate::confirm).
    pub fn open(path: &Path, options: OpenOptions) -> Result<Self> {
        let folder = options.at(path).folder().map_err(|e| no_ledger(path, e))?;
        restore::refuse_copy(&folder)?;
        let lock = Lock::take(&folder, options.wait)?;
        Self::open_locked(path, folder, lock, &options.for_one_ledger())
    }

    /// Opens a ledger for writing together with other processes: as [`open`](Self::open) does where nobody writes,
    /// else by handing appends to the process that does. Receipts and errors are the same either way. When that process
    /// goes, be it killed, the next append opens the ledger here, unless another process was faster, and what was not
    /// answered is repeated there.
    ///
    /// So that a repetition appends nothing twice, a draft without an idempotency key gets a random one when it is
    /// handed over: its envelope has a member `key`. A draft that has a key of its own may come back as `repeated`
    /// where it was in fact this call that appended it.
    ///
    /// # Errors
    /// As for [`open`](Self::open); `Locked` where the other process did not serve us for as long as `options.wait`.
    pub fn open_shared(path: &Path, options: OpenOptions) -> Result<Self> {
        let options = options.for_one_ledger();
        let at = options.at(path);
        let folder = at.folder().map_err(|e| no_ledger(path, e))?;
        restore::refuse_copy(&folder)?;
        let join = share::Join::new(path, folder, options.clone());
        match join.within(join.patience())? {
            Way::Own(ledger) => Ok(ledger),
            Way::Through(connection, head) => {
                let screens = options.screens.clone();
                let client = Client::start(Self::open_read_only(at)?, join, connection, head, screens)?;
                let role = Role::Client(Arc::new(client));
                Ok(Self { role })
            }
        }
    }

    /// Opens a ledger whose lock this process has just taken.
    pub(crate) fn open_locked(path: &Path, folder: Folder, mut lock: Lock, options: &OpenOptions) -> Result<Self> {
        // Before the log is read, which takes time: who comes meanwhile waits in the socket's queue.
        lock.listen(&folder);
        let filling = Filling::new(options.segment_bytes);
        let parts = reserve::backed(&folder, || {
            Parts::open(&folder, path, filling, Box::new(SystemClock::new()))
        })?;
        let ledger = Self::start(parts, lock, options.screens.clone())?;
        ledger.serve();
        Ok(ledger)
    }

    /// Opens a ledger for reading; another process may be writing it. Needs no lock and changes nothing.
    pub fn open_read_only<'a>(at: impl Into<LedgerAt<'a>>) -> Result<LedgerReader> {
        let at = at.into();
        let folder = at.folder().map_err(|e| no_ledger(at.path, e))?;
        opening::reader(folder, at.path)
    }

    /// Reads this ledger; the head is all that is durable. Where another process writes, it is what this one has seen
    /// to be durable: what was appended through this ledger is always shown, what others append a moment later, or
    /// after [`refresh`](Self::refresh).
    pub fn reader(&self) -> &LedgerReader {
        match &self.role {
            Role::Writer(writer) => &writer.intake.reader,
            Role::Client(client) => client.reader(),
        }
    }

    /// Brings the reader up to what is durable now, by asking the process that writes; returns the head.
    pub async fn refresh(&self) -> Result<u64> {
        if let Role::Client(client) = &self.role {
            client.ask_head()?.await.unwrap_or_else(|| Err(unanswered()))?;
        }
        Ok(self.reader().head())
    }

    /// Appends one entry and returns when it is durable.
    ///
    /// On tokio's multi-thread runtime, where nobody else appends, the commit may be made on this thread, by
    /// [`block_in_place`](tokio::task::block_in_place): other tasks go on, and this one's other branches wait for it.
    ///
    /// # Errors
    /// Nothing was appended, except where the kind is `Unavailable`: then the outcome is unknown.
    pub async fn append(&self, draft: Draft) -> Result<Receipt> {
        let checked = self.check_apart(smallvec![draft])?;
        one(self.submit(checked).await?)
    }

    /// Appends all or none, consecutively, in this order, at most 1,000.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    pub async fn append_all(&self, drafts: Vec<Draft>) -> Result<Vec<Receipt>> {
        let checked = self.check_apart(drafts.into())?;
        Ok(self.submit(checked).await?.into_vec())
    }

    /// Checks drafts. It is no `async` function, so that tasks do not carry drafts about: what it returns is small.
    fn check(&self, drafts: SmallVec<[Draft; 1]>) -> Result<Checked> {
        match &self.role {
            Role::Writer(writer) => {
                let (request, answer) = writer.intake.request(drafts, Until::Durable)?;
                Ok(Checked::ToQueue(request, answer))
            }
            Role::Client(client) => Ok(Checked::Queued(client.queue(drafts.into_vec(), By::Committer)?)),
        }
    }

    /// The same for a task, which does not wait on its own thread where a [`Screen`] may take long.
    fn check_apart(&self, drafts: SmallVec<[Draft; 1]>) -> Result<Checked> {
        match Handle::try_current() {
            Ok(executor) if self.screens().takes_long(&drafts) => {
                let ledger = self.clone();
                Ok(Checked::Apart(executor.spawn_blocking(move || ledger.check(drafts))))
            }
            _ => self.check(drafts),
        }
    }

    async fn submit(&self, checked: Checked) -> Result<Receipts> {
        let checked = match checked {
            Checked::Apart(checking) => checking.await.unwrap_or_else(|_| Err(unanswered()))?,
            checked => checked,
        };
        let answer = match (&self.role, checked) {
            (Role::Writer(writer), Checked::ToQueue(request, answer)) => {
                writer.intake.committer.submit(request).await?;
                answer
            }
            (_, Checked::ToQueue(_, answer) | Checked::Queued(answer)) => answer,
            // What was checked apart is checked.
            (_, Checked::Apart(_)) => return Err(unanswered()),
        };
        self.answered(answer.await.unwrap_or_else(|| Err(unanswered())))
    }

    /// As [`append`](Self::append), for callers that may block. Where nobody else is committing, the commit is made on
    /// this thread.
    pub fn append_blocking(&self, draft: Draft) -> Result<Receipt> {
        one(self.submit_blocking(vec![draft])?)
    }

    /// As [`append_all`](Self::append_all), for callers that may block.
    pub fn append_all_blocking(&self, drafts: Vec<Draft>) -> Result<Vec<Receipt>> {
        Ok(self.submit_blocking(drafts)?.into_vec())
    }

    fn submit_blocking(&self, drafts: Vec<Draft>) -> Result<Receipts> {
        let answer = self.queue(drafts, By::Caller)?;
        self.answered(crate::wait::block_on(answer).unwrap_or_else(|| Err(unanswered())))
    }

    /// Has all that is appended through this ledger, by other processes as well, looked at first. One at a time does: the
    /// last one that was set.
    pub fn screen_by(&self, screen: Arc<dyn Screen>) {
        self.screens().set(screen);
    }

    fn screens(&self) -> &Screens {
        match &self.role {
            Role::Writer(writer) => &writer.intake.screens,
            Role::Client(client) => client.screens(),
        }
    }

    /// Appends an entry that holds the root of the tree of scopes over all that was acknowledged before, so that what a
    /// scope holds by now can be proved complete as soon as a checkpoint covers that entry.
    pub fn root_scopes(&self) -> Result<Receipt> {
        self.append_blocking(scope_roots::draft()?)
    }

    /// Who writes.
    pub(crate) fn role(&self) -> &Role {
        &self.role
    }

    /// Keeps a component's bytes and returns their SHA-256 when they are durable. Keeping them again changes nothing.
    pub fn put_component(&self, bytes: &[u8]) -> Result<Hash> {
        components::put(&self.reader().state.folder, bytes)
    }

    /// Moves full segments whose entries all come before `before`, compressed, to another folder, from which they are
    /// read from now on: `quipu verify` covers them, and where the folder is not there, they alone cannot be read. Readers
    /// and writers go on meanwhile. Segments that an earlier archiving moved, and whose files have been brought to this
    /// folder since, are found there. `progress` is told how many segments are done, and of how many.
    ///
    /// # Errors
    /// `Locked` where another process writes the ledger, and this one hands its appends to it; `Exists` where another file
    /// has the name of a segment's. Whatever fails, no entry is lost, and archiving again goes on.
    pub fn archive(&self, before: u64, to: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<ArchiveSummary> {
        let Role::Writer(writer) = &self.role else {
            let message = "another process writes to this ledger: archive there, or when it has gone";
            return Err(Error::new(ErrorKind::Locked, message));
        };
        let _one_at_a_time = writer.archiving.lock().unwrap_or_else(PoisonError::into_inner);
        archive::archive(self.reader(), before, to, progress)
    }

    /// Commits what is queued, writes a last checkpoint and gives the lock back. Other handles on this ledger can
    /// still read; appending through them is `Unavailable`.
    pub fn close(self) -> Result<()> {
        match &self.role {
            Role::Writer(writer) => writer.close(),
            Role::Client(client) => client.close(),
        }
    }

    /// Queues drafts with the process that writes.
    pub(crate) fn queue(&self, drafts: Vec<Draft>, by: By) -> Result<Answer> {
        match &self.role {
            Role::Writer(writer) => writer.intake.queue(drafts, Until::Durable, by),
            Role::Client(client) => client.queue(drafts, by),
        }
    }

    /// What was acknowledged here is shown here.
    pub(crate) fn answered(&self, receipts: Result<Receipts>) -> Result<Receipts> {
        if let (Role::Client(client), Ok(receipts)) = (&self.role, &receipts) {
            let last = receipts.iter().map(|receipt| receipt.seq).max();
            client.reader().proved(last.map_or(0, |seq| seq + 1));
        }
        receipts
    }

    /// Serves other processes from now on.
    fn serve(&self) {
        let Role::Writer(writer) = &self.role else { return };
        let lock = writer.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let listener = lock.as_ref().and_then(Lock::listener);
        let server =
            listener.and_then(|listener| Server::start(listener, writer.intake.clone(), writer.checkpointer.clone()));
        *writer.server.lock().unwrap_or_else(PoisonError::into_inner) = server;
    }

    fn start(mut parts: Parts, lock: Lock, screens: Screens) -> Result<Self> {
        let secret = parts.state.secret();
        parts.sequencer.start()?;
        let checkpointer = Arc::new(Checkpointer::start(parts.publisher)?);
        let committer = Committer::start(parts.sequencer, checkpointer.clone())?;
        let reader = LedgerReader { state: parts.state };
        let writer = Writer {
            intake: Arc::new(Intake::new(reader, committer, secret, screens)),
            checkpointer,
            archiving: Mutex::default(),
            server: Mutex::default(),
            lock: Mutex::new(Some(lock)),
        };
        let role = Role::Writer(Arc::new(writer));
        Ok(Self { role })
    }

    #[cfg(test)]
    pub(crate) fn committer(&self) -> &Committer {
        match &self.role {
            Role::Writer(writer) => &writer.intake.committer,
            Role::Client(_) => panic!("a client commits nothing"),
        }
    }
}

impl Writer {
    fn close(&self) -> Result<()> {
        // Whoever closes as well waits here until the first has finished: the lock is given back last.
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(server) = &server {
            server.refuse_more();
        }
        self.intake.committer.close();
        drop(server);
        let closed = self.checkpointer.close();
        lock.take();
        closed
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the last checkpoint was not written; the next open writes it");
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

pub(crate) fn one(receipts: Receipts) -> Result<Receipt> {
    receipts.into_iter().next().ok_or_else(unanswered)
}

pub(crate) fn unanswered() -> Error {
    let message = "the ledger ended before it answered: open it again, and repeat with the same idempotency key";
    Error::new(ErrorKind::Unavailable, message)
}

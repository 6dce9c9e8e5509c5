//! The file: who may read it, how it is opened, what happens when it is deleted or damaged.
//!
//! In write-ahead mode readers and one writer do not wait for each other, in one process or in several. Anybody may
//! delete the file at any time: every use first looks whether the name still leads to the file that is open.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior, config::DbConfig};

use crate::{
    error::{Cause, Result},
    limits, schema,
};

/// Name of the file.
pub(crate) const FILE: &str = "recall.sqlite";

/// One projection's file and the connections to it that are open in this process.
pub(crate) struct Store {
    folder: PathBuf,
    origin: String,
    idle: Mutex<Vec<Open>>,
    /// Held by the thread that writes: threads of one process wait here, processes for SQLite's lock.
    writer: Mutex<()>,
}

/// A connection, and the file that it leads to.
struct Open {
    db: Connection,
    /// `None`: it was deleted at once.
    file: Option<FileId>,
}

/// Device and inode.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileId(u64, u64);

impl Store {
    pub(crate) fn new(folder: PathBuf, origin: &str) -> Self {
        Self {
            folder,
            origin: origin.to_owned(),
            idle: Mutex::default(),
            writer: Mutex::default(),
        }
    }

    /// Answers from one consistent state, which writers do not wait for. A file that turns out to be damaged is gone
    /// when this returns its error.
    pub(crate) fn read<T>(&self, ask: impl Fn(&Transaction<'_>) -> Result<T>) -> Result<T> {
        self.attempt(TransactionBehavior::Deferred, ask)
    }

    /// Changes the file: all of it is kept, or none. A damaged file is replaced by an empty one first.
    pub(crate) fn write<T>(&self, change: impl Fn(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let _turn = locked(&self.writer);
        match self.attempt(TransactionBehavior::Immediate, &change) {
            Err(cause) if cause.is_damage() => self.attempt(TransactionBehavior::Immediate, &change),
            outcome => outcome,
        }
    }

    /// Cuts the write-ahead file back if it has grown past `bytes` and no reader needs it: it holds what was deleted.
    /// Its bytes are overwritten first, for the disk keeps what a file gives back. Returns whether it has at most so many
    /// now.
    ///
    /// `patience` is how long each of its three steps waits for readers that have begun. Those that begin meanwhile read
    /// what does not stand in the way, so that it ends under readers that never pause, where each is done sooner.
    pub(crate) fn cut_wal(&self, bytes: u64, patience: Duration) -> Result<bool> {
        let _turn = locked(&self.writer);
        let length = fs::metadata(self.path("-wal")).map_or(0, |file| file.len());
        if length <= bytes {
            return Ok(true);
        }
        let mut open = self.take()?;
        open.db.busy_timeout(patience)?;
        let cut = overwrite_and_cut(&mut open.db, length);
        open.db.busy_timeout(limits::BUSY)?;
        let cut = cut?;
        if !cut {
            tracing::debug!("the projection's write-ahead file is in use and is cut back another time");
        }
        self.give_back(open);
        Ok(cut)
    }

    fn attempt<T>(&self, behavior: TransactionBehavior, act: impl Fn(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let mut open = self.take()?;
        let outcome = transact(&mut open.db, behavior, act);
        match &outcome {
            Err(cause) if cause.is_damage() => self.discard(open, cause)?,
            _ => self.give_back(open),
        }
        outcome
    }

    fn take(&self) -> Result<Open> {
        let file = FileId::at(&self.path(""))?;
        let mut idle = locked(&self.idle);
        idle.retain(|open| file.is_some() && open.file == file);
        match idle.pop() {
            Some(open) => Ok(open),
            None => {
                drop(idle);
                self.open()
            }
        }
    }

    fn give_back(&self, open: Open) {
        let mut idle = locked(&self.idle);
        if idle.len() < limits::CONNECTIONS {
            idle.push(open);
        }
    }

    fn open(&self) -> Result<Open> {
        let _lock = self.lock()?;
        let open = self.connect();
        match open.and_then(|mut open| self.prepare(&mut open.db).map(|()| open)) {
            Err(cause) if cause.is_damage() => {
                self.remove(&cause)?;
                let mut open = self.connect()?;
                self.prepare(&mut open.db)?;
                Ok(open)
            }
            outcome => outcome,
        }
    }

    fn connect(&self) -> Result<Open> {
        let path = self.path("");
        if FileId::at(&path)?.is_none() {
            // Left over from a file that was deleted alone: they must not be taken for the new one's.
            self.remove_beside()?;
            // Made here, so that it is never readable by others; SQLite gives the files beside it the same mode. A
            // file that is there must not be opened here: closing it would drop the locks that SQLite holds on it
            // for this process (sqlite.org/howtocorrupt.html, 2.2).
            let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            new.map_err(|e| Cause::Io("make projections/recall.sqlite", e))?;
        }
        fs::set_permissions(&path, Permissions::from_mode(0o600))
            .map_err(|e| Cause::Io("protect the projection", e))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(&path, flags)?;
        Ok(Open {
            db,
            file: FileId::at(&path)?,
        })
    }

    fn prepare(&self, db: &mut Connection) -> Result<()> {
        db.busy_timeout(limits::BUSY)?;
        // More than there are: none is prepared twice.
        db.set_prepared_statement_cache_capacity(256);
        // The last to close would delete the write-ahead file, and leave its bytes on the disk.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        // Otherwise a statement with a range is planned again for each value that it is given.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        db.pragma_update(None, "secure_delete", true)?;
        db.pragma_update(None, "trusted_schema", false)?;
        db.pragma_update(None, "cell_size_check", true)?;
        db.pragma_update(None, "temp_store", "memory")?;
        db.pragma_update(None, "cache_size", -16_384)?;
        db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
        // After a power loss the file is whole and may be some entries behind, which are folded again.
        db.pragma_update(None, "synchronous", "normal")?;
        if schema::meta(db)?.is_none() {
            let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            // Another process may have been first.
            if schema::meta(&tx)?.is_none() {
                schema::reset(&tx, &self.origin)?;
            }
            tx.commit()?;
        }
        Ok(())
    }

    /// Deletes a file that holds damage, unless somebody has done so already.
    fn discard(&self, open: Open, cause: &Cause) -> Result<()> {
        let _lock = self.lock()?;
        let Open { db, file } = open;
        drop(db);
        locked(&self.idle).clear();
        if file.is_some() && FileId::at(&self.path(""))? == file {
            self.remove(cause)?;
        }
        Ok(())
    }

    fn remove(&self, cause: &Cause) -> Result<()> {
        tracing::warn!(%cause, "the projection is thrown away and made again from the log");
        self.remove_beside()?;
        remove(&self.path(""))
    }

    fn remove_beside(&self) -> Result<()> {
        remove(&self.path("-wal"))?;
        remove(&self.path("-shm"))
    }

    /// For whoever folds a long stretch, until it drops it. `None`: somebody else has it.
    pub(crate) fn building(&self) -> Result<Option<File>> {
        let file = self.lock_file("building.lock")?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(Cause::Io("lock the folder projections/", error)),
        }
    }

    /// Bytes of the files, as far as they can be looked at.
    pub(crate) fn bytes(&self) -> u64 {
        let files = ["", "-wal"].map(|suffix| fs::metadata(self.path(suffix)));
        files.iter().flatten().map(fs::Metadata::len).sum()
    }

    /// One process at a time makes or removes files here.
    fn lock(&self) -> Result<File> {
        let file = self.lock_file("recall.lock")?;
        file.lock()
            .map_err(|error| Cause::Io("lock the folder projections/", error))?;
        Ok(file)
    }

    fn lock_file(&self, name: &str) -> Result<File> {
        let io = |error| Cause::Io("lock the folder projections/", error);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(io)?;
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.folder.join(name))
            .map_err(io)
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.folder.join(format!("{FILE}{suffix}"))
    }
}

/// Bytes of one row that a write-ahead file is overwritten with.
const BLANK_BYTES: usize = 16 << 20;

/// Overwrites the `length` bytes of a write-ahead file, whoever writes to it meanwhile, and empties it. False: it is in use.
fn overwrite_and_cut(db: &mut Connection, length: u64) -> Result<bool> {
    let checkpoint = |db: &Connection, how: &str| {
        let busy = db.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |row| row.get::<_, i64>(0));
        busy.map(|busy| busy == 0)
    };
    let mut cut = || -> rusqlite::Result<bool> {
        // From here on the file is written from its beginning again,
        if !checkpoint(db, "RESTART")? {
            return Ok(false);
        }
        // by a transaction that puts more pages into it than it had.
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute_batch("CREATE TABLE IF NOT EXISTS blank (zeros BLOB NOT NULL) STRICT")?;
        // In rows, for a blob has at most 10^9 bytes.
        for start in (0..length).step_by(BLANK_BYTES) {
            let bytes = (length - start).min(BLANK_BYTES as u64);
            tx.execute("INSERT INTO blank VALUES (zeroblob(?1))", [schema::number(bytes)])?;
        }
        tx.commit()?;
        db.execute_batch("DROP TABLE IF EXISTS blank")?;
        checkpoint(db, "TRUNCATE")
    };
    match cut() {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(false),
        outcome => Ok(outcome?),
    }
}

fn transact<T>(
    db: &mut Connection,
    behavior: TransactionBehavior,
    act: impl Fn(&Transaction<'_>) -> Result<T>,
) -> Result<T> {
    let tx = db.transaction_with_behavior(behavior)?;
    let value = act(&tx)?;
    // The commit point: rows and the position that they reach become visible together.
    tx.commit()?;
    Ok(value)
}

impl FileId {
    fn of(metadata: &fs::Metadata) -> Self {
        Self(metadata.dev(), metadata.ino())
    }

    /// `None`: there is no file of that name.
    fn at(path: &Path) -> Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(Self::of(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Cause::Io("look at projections/recall.sqlite", error)),
        }
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Cause::Io("remove a damaged projection", error)),
        _ => Ok(()),
    }
}

/// What these locks guard is whole between any two statements, so a thread that panicked does no harm.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

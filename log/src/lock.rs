//! One writer. The lock is the operating system's lock of the file `lock`, which a killed process loses; what the
//! file says is for the message to the second writer alone.

use std::{
    os::unix::net::UnixListener,
    thread,
    time::{Duration, Instant},
};

use crate::{
    Error, ErrorKind, Result,
    disk::{self, DiskFile, Folder},
    share::Socket,
};

const FILE: &str = "lock";
/// How often a waiting writer looks again.
pub(crate) const RETRY: Duration = Duration::from_millis(20);

/// Held as long as this process may write.
pub(crate) struct Lock {
    /// Goes before the lock does: only the holder touches the socket's name.
    socket: Option<Socket>,
    _file: DiskFile,
}

impl Lock {
    /// Takes the lock, waiting up to `wait` for another writer to go.
    pub(crate) fn take(folder: &Folder, wait: Duration) -> Result<Self> {
        let deadline = Instant::now() + wait;
        loop {
            if let Some(lock) = Self::try_take(folder)? {
                return Ok(lock);
            }
            if Instant::now() >= deadline {
                return Err(held(folder, wait, ""));
            }
            thread::sleep(RETRY);
        }
    }

    /// Takes the lock if nobody has it.
    pub(crate) fn try_take(folder: &Folder) -> Result<Option<Self>> {
        if folder.is_on_network()? {
            let message = "the ledger lies on a network file system, where neither locks nor syncs can be relied on: \
                           keep it on a disk of this machine";
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        Self::try_take_anywhere(folder)
    }

    /// Takes the lock of a folder that no ledger is written in, wherever it lies, without waiting.
    pub(crate) fn take_anywhere(folder: &Folder) -> Result<Self> {
        Self::try_take_anywhere(folder)?.ok_or_else(|| held(folder, Duration::ZERO, ""))
    }

    fn try_take_anywhere(folder: &Folder) -> Result<Option<Self>> {
        let file = folder.write_or_create_file(FILE)?;
        if !file.try_lock()? {
            return Ok(None);
        }
        // Written over what is there, which needs no room on a full disk, and only then shortened.
        let holder = format!("{} {}\n", std::process::id(), disk::machine());
        file.write_all_at(holder.as_bytes(), 0)?;
        file.set_len(holder.len() as u64)?;
        Ok(Some(Self {
            socket: None,
            _file: file,
        }))
    }

    /// Lets other processes connect. A ledger that cannot be shared can be written all the same.
    pub(crate) fn listen(&mut self, folder: &Folder) {
        match Socket::listen(folder) {
            Ok(socket) => self.socket = Some(socket),
            Err(error) => tracing::warn!(%error, "other processes cannot append to this ledger meanwhile"),
        }
    }

    /// Where other processes connect.
    pub(crate) fn listener(&self) -> Option<UnixListener> {
        self.socket.as_ref()?.listener()
    }

    /// Whether another process, or another handle in this one, holds the lock now.
    pub(crate) fn is_held(folder: &Folder) -> Result<bool> {
        match folder.read_file(FILE) {
            Ok(file) => Ok(!file.try_lock()?),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }
}

/// Who has the lock, or had it last, as the file says: `pid 12 on host`. None: it says nothing.
pub(crate) fn holder(folder: &Folder) -> Option<String> {
    let holder = folder.read_file(FILE).and_then(|file| file.read_range(0, 512)).ok()?;
    let holder = String::from_utf8_lossy(&holder);
    let mut words = holder.split_whitespace();
    Some(format!("pid {} on {}", words.next()?, words.next()?))
}

/// Of a lock that another process kept for as long as `waited`. `why` says why nothing can be handed to it.
pub(crate) fn held(folder: &Folder, waited: Duration, why: &str) -> Error {
    let holder = holder(folder).unwrap_or_else(|| "pid unknown on unknown".into());
    let message = format!(
        "another process writes to this ledger: {holder} (waited {} s){why}. Wait for it to end, or give \
         a longer wait; reading needs no lock",
        waited.as_secs_f64()
    );
    Error::new(ErrorKind::Locked, message)
}

//! One writer. The lock is the operating system's lock of the file `lock`, which a killed process loses; what the
//! file says is for the message to the second writer alone.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    Error, ErrorKind, Result,
    disk::{self, DiskFile, Folder},
};

const FILE: &str = "lock";
/// How often a waiting writer looks again.
const RETRY: Duration = Duration::from_millis(20);

/// Held as long as this process may write.
pub(crate) struct Lock {
    _file: DiskFile,
}

impl Lock {
    /// Takes the lock, waiting up to `wait` for another writer to go.
    pub(crate) fn take(folder: &Folder, wait: Duration) -> Result<Self> {
        if folder.is_on_network()? {
            let message = "the ledger lies on a network file system, where neither locks nor syncs can be relied on: \
                           keep it on a disk of this machine";
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        Self::wait_for(folder, wait)
    }

    /// Takes the lock of a folder that no ledger is written in, wherever it lies, without waiting.
    pub(crate) fn take_anywhere(folder: &Folder) -> Result<Self> {
        Self::wait_for(folder, Duration::ZERO)
    }

    fn wait_for(folder: &Folder, wait: Duration) -> Result<Self> {
        let file = folder.write_or_create_file(FILE)?;
        let deadline = Instant::now() + wait;
        while !file.try_lock()? {
            if Instant::now() >= deadline {
                return Err(held(&file, wait));
            }
            thread::sleep(RETRY);
        }
        file.set_len(0)?;
        file.write_all_at(format!("{} {}\n", std::process::id(), disk::machine()).as_bytes(), 0)?;
        Ok(Self { _file: file })
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

fn held(file: &DiskFile, wait: Duration) -> Error {
    let holder = file.read_range(0, 512).unwrap_or_default();
    let holder = String::from_utf8_lossy(&holder);
    let mut words = holder.split_whitespace();
    let pid = words.next().unwrap_or("unknown");
    let host = words.next().unwrap_or("unknown");
    let message = format!(
        "another process writes to this ledger: pid {pid} on {host} (waited {} s). Wait for it to end, or give \
         a longer wait; reading needs no lock",
        wait.as_secs_f64()
    );
    Error::new(ErrorKind::Locked, message)
}

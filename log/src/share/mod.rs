//! One ledger, several processes: the one that holds the lock writes, and serves a socket in the ledger's folder;
//! others hand their appends to it. When it goes, the next one takes over.
//!
//! A peer is taken to be hostile: its user is checked, what it sends is bounded in bytes and time, and whatever it
//! does or leaves undone holds up neither the writer's own appends nor its end.

mod client;
mod connection;
mod courier;
#[cfg(test)]
mod courier_tests;
mod join;
mod protocol;
mod server;
#[cfg(test)]
mod tests;

use std::os::unix::net::UnixListener;

pub(crate) use client::Client;
pub(crate) use join::{Join, Way, ask_to_rotate};
pub(crate) use server::Server;

use crate::{Result, disk::Folder};

/// Name of the socket in the ledger's folder.
const SOCKET: &str = "socket";

/// The socket of the process that holds the lock. Its name goes when it is dropped, which is before the lock does.
pub(crate) struct Socket {
    listener: UnixListener,
    folder: Folder,
}

impl Socket {
    /// Listens in place of whoever held the lock before. The caller holds it.
    pub(crate) fn listen(folder: &Folder) -> Result<Self> {
        let folder = folder.clone();
        folder.remove(SOCKET)?;
        let listener = folder.listen(SOCKET)?;
        Ok(Self { listener, folder })
    }

    /// Another handle on it.
    pub(crate) fn listener(&self) -> Option<UnixListener> {
        let listener = self.listener.try_clone();
        listener
            .inspect_err(|error| tracing::warn!(%error, "other processes cannot append to this ledger meanwhile"))
            .ok()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = self.folder.remove(SOCKET) {
            tracing::warn!(%error, "the socket was not removed; the next writer replaces it");
        }
    }
}

//! Sockets and locks between processes, by a folder's descriptor. A simulated folder has none: it is one process's.

use std::{
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::PathBuf,
};

use rustix::{
    fs::{FileType, FlockOperation, Mode, OFlags},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
};

use super::{Access, Folder};
use crate::Result;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;

/// The lock of a folder, until it is dropped.
pub(crate) struct FolderLock {
    _folder: Option<OwnedFd>,
}

impl Folder {
    /// Waits until nobody else, in this process or another, holds this folder's own lock, and takes it.
    pub(crate) fn lock(&self) -> Result<FolderLock> {
        let Some(folder) = self.backend.descriptor() else {
            return Ok(FolderLock { _folder: None });
        };
        let lock = || {
            // Opened again, for a lock belongs to what was opened, and a folder's handles may be `O_PATH`.
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let folder = rustix::fs::openat(folder, ".", flags, Mode::empty())?;
            rustix::io::retry_on_intr(|| rustix::fs::flock(&folder, FlockOperation::LockExclusive))?;
            Ok(FolderLock { _folder: Some(folder) })
        };
        lock().map_err(|e: Errno| self.failed("lock the folder", "", &e.into()))
    }

    /// Listens on a new socket, to which the owner alone may connect. There must be nothing of that name.
    pub(crate) fn listen(&self, name: &str) -> Result<UnixListener> {
        let listen = || {
            let folder = self.backend.descriptor().ok_or(Errno::OPNOTSUPP)?;
            let socket = local_socket(SocketFlags::CLOEXEC)?;
            // A socket's name gets the permissions that the socket had: nobody else can connect at any moment.
            rustix::fs::fchmod(&socket, Mode::from_raw_mode(Access::Private.bits()))?;
            rustix::net::bind(&socket, &through(folder, Some(name))?)?;
            rustix::net::listen(&socket, BACKLOG)?;
            Ok(UnixListener::from(socket))
        };
        listen().map_err(|e: Errno| self.failed("listen on", name, &e.into()))
    }

    /// Connects to a socket in this folder, without waiting. A symbolic link is not followed.
    pub(crate) fn connect(&self, name: &str) -> Result<UnixStream> {
        let connect = || {
            let folder = self.backend.descriptor().ok_or(Errno::OPNOTSUPP)?;
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = rustix::fs::openat(folder, name, flags, Mode::empty())?;
            if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::Socket {
                return Err(Errno::NOTSOCK);
            }
            let socket = local_socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
            rustix::net::connect(&socket, &through(file.as_fd(), None)?)?;
            rustix::io::ioctl_fionbio(&socket, false)?;
            Ok(UnixStream::from(socket))
        };
        connect().map_err(|e: Errno| self.failed("connect to", name, &e.into()))
    }
}

fn local_socket(flags: SocketFlags) -> rustix::io::Result<OwnedFd> {
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// The address of what a descriptor stands for, or of a name in it: a socket's own address has 108 bytes at most, and
/// the path of a ledger may be longer.
fn through(descriptor: BorrowedFd<'_>, name: Option<&str>) -> rustix::io::Result<SocketAddrUnix> {
    let mut path = PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd()));
    path.extend(name);
    SocketAddrUnix::new(&path)
}

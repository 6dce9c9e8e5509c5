// Long because it is the only one of its kind.

//! The only file that touches the disk, and the only one that names cap-std.
//!
//! Ambient authority is taken in [`Folder::open`] and [`Folder::create`], and in [`machine`], which names this machine
//! for a message; everything else is relative to a folder that somebody was handed. System calls that durability rests on: `pwrite` at a tracked offset, `fdatasync` of a
//! file, `fsync` of a file whose size changed, `fsync` of a folder after a name changed in it, `rename` and
//! `renameat2(EXCHANGE)`. Each operation either reports success or an error that names the file.

use std::{
    fmt, io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use cap_std::{
    ambient_authority,
    fs::{Dir, DirBuilder, File, FileExt, OpenOptions, OpenOptionsExt, PermissionsExt},
};
use rustix::{
    fs::{FileType, FlockOperation, Mode, OFlags, RenameFlags},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
};

use crate::{Error, ErrorKind, Result};

/// A folder, and its name for messages (empty for the ledger's own).
pub(crate) struct Folder {
    dir: Dir,
    name: PathBuf,
}

/// Who may read a file that is created.
#[derive(Clone, Copy)]
pub(crate) enum Access {
    /// The owner alone: keys.
    Private,
    /// Whom the umask allows.
    Usual,
}

impl Access {
    fn mode(self) -> u32 {
        match self {
            Self::Private => 0o600,
            Self::Usual => 0o644,
        }
    }
}

impl Folder {
    /// Opens a folder of the file system by its path: here ambient authority is taken.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let dir = Dir::open_ambient_dir(path, ambient_authority())
            .map_err(|e| Error::io(format_args!("open the folder {}", path.display()), &e))?;
        Ok(Self {
            dir,
            name: PathBuf::new(),
        })
    }

    /// Creates a folder, and those above it, unless it is there, and opens it.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let failed = |e: io::Error| Error::io(format_args!("create the folder {}", path.display()), &e);
        let fresh: Vec<_> = path.ancestors().take_while(|folder| !folder.exists()).collect();
        Dir::create_ambient_dir_all(path, ambient_authority()).map_err(failed)?;
        // A name is durable once the folder that it stands in is synced.
        for parent in fresh.iter().filter_map(|folder| folder.parent()) {
            let parent = if parent.as_os_str().is_empty() {
                Path::new(".")
            } else {
                parent
            };
            Self::open(parent)?.sync()?;
        }
        Self::open(path)
    }

    /// A folder in this one.
    pub(crate) fn sub(&self, name: &str) -> Result<Self> {
        let dir = self
            .dir
            .open_dir(name)
            .map_err(|e| self.failed("open the folder", name, &e))?;
        Ok(Self {
            dir,
            name: self.name.join(name),
        })
    }

    /// Creates a folder, and those above it, in this one unless it is there. The caller syncs.
    pub(crate) fn create_sub(&self, name: &str) -> Result<Self> {
        let mut above = PathBuf::new();
        for part in Path::new(name) {
            above.push(part);
            match self.dir.create_dir_with(&above, &DirBuilder::new()) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(self.failed("create the folder", name, &e));
                }
                _ => {}
            }
        }
        self.sub(name)
    }

    /// Creates a file that must not exist.
    pub(crate) fn create_file(&self, name: &str, access: Access) -> Result<DiskFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(access.mode());
        self.open_with("create", name, &options)
    }

    /// Opens a file to read and write it.
    pub(crate) fn write_file(&self, name: &str) -> Result<DiskFile> {
        self.open_with("open", name, OpenOptions::new().read(true).write(true))
    }

    /// Opens a file to read it.
    pub(crate) fn read_file(&self, name: &str) -> Result<DiskFile> {
        self.open_with("open", name, OpenOptions::new().read(true))
    }

    /// Opens a file to read and write it, creating it where it is missing.
    pub(crate) fn write_or_create_file(&self, name: &str) -> Result<DiskFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).mode(Access::Usual.mode());
        self.open_with("open", name, &options)
    }

    /// The whole content of a small file, at most `limit` bytes. None: there is no such file.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let file = match self.read_file(name) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let length = file.len()?;
        if length > limit {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "{} has {length} bytes, more than the {limit} that such a file can have",
                    file.name()
                ),
            ));
        }
        file.read_range(0, length as usize).map(Some)
    }

    /// Puts `bytes` durably under `name`: a new file, synced, renamed over the old one, and the folder synced.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8], access: Access) -> Result<()> {
        let fresh = format!("{name}.new");
        self.remove(&fresh)?;
        let file = self.create_file(&fresh, access)?;
        file.write_all_at(bytes, 0)?;
        file.sync_all()?;
        self.rename(&fresh, name)?;
        self.sync()
    }

    /// Gives a file another name, replacing what had it. The caller syncs the folder.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.dir
            .rename(from, &self.dir, to)
            .map_err(|e| self.failed("rename a file to", to, &e))
    }

    /// Gives an open file another name, replacing what had it. The caller syncs the folder.
    pub(crate) fn rename_file(&self, file: &mut DiskFile, to: &str) -> Result<()> {
        let from = file.name.rsplit('/').next().unwrap_or_default().to_owned();
        self.rename(&from, to)?;
        file.name = self.name.join(to).display().to_string();
        Ok(())
    }

    /// Lets the owner write a file again that was made read-only.
    pub(crate) fn make_writable(&self, name: &str) -> Result<()> {
        let failed = |e: io::Error| self.failed("make writable", name, &e);
        let mut permissions = self.dir.metadata(name).map_err(failed)?.permissions();
        if permissions.mode() & 0o200 == 0 {
            permissions.set_mode(permissions.mode() | 0o200);
            self.dir.set_permissions(name, permissions).map_err(failed)?;
        }
        Ok(())
    }

    /// Another handle on the same folder, whatever its name is by now.
    pub(crate) fn try_clone(&self) -> Result<Self> {
        let dir = self.dir.try_clone().map_err(|e| self.failed("open again", "", &e))?;
        Ok(Self {
            dir,
            name: self.name.clone(),
        })
    }

    /// Exchanges the names of two files in one step. The caller syncs the folder.
    pub(crate) fn exchange(&self, a: &str, b: &str) -> Result<()> {
        rustix::fs::renameat_with(&self.dir, a, &self.dir, b, RenameFlags::EXCHANGE)
            .map_err(|e| self.failed("exchange the names of two files, one of them", b, &e.into()))
    }

    /// Removes a file if it is there. The caller syncs the folder where that matters.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        match self.dir.remove_file(name) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(self.failed("remove", name, &e)),
            _ => Ok(()),
        }
    }

    /// The names in this folder, sorted.
    pub(crate) fn list(&self) -> Result<Vec<String>> {
        let failed = |e: io::Error| self.failed("list", "", &e);
        let mut names = Vec::new();
        for entry in self.dir.entries().map_err(failed)? {
            // A name that is not text is none of ours; it is left alone.
            names.extend(entry.map_err(failed)?.file_name().into_string().ok());
        }
        names.sort();
        Ok(names)
    }

    /// Makes names in this folder durable. A descriptor of a `Dir` is opened with `O_PATH`, which cannot be synced,
    /// so "." is opened in it.
    pub(crate) fn sync(&self) -> Result<()> {
        let failed = |e: io::Error| self.failed("sync the folder", "", &e);
        self.dir.open(".").map_err(failed)?.sync_all().map_err(failed)
    }

    /// Waits until nobody else, in this process or another, holds this folder's own lock, and takes it.
    pub(crate) fn lock(&self) -> Result<FolderLock> {
        let failed = |e: io::Error| self.failed("lock the folder", "", &e);
        let here = self.dir.open(".").map_err(failed)?;
        loop {
            match rustix::fs::flock(&here, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(FolderLock { _folder: here }),
                Err(Errno::INTR) => {}
                Err(e) => return Err(failed(e.into())),
            }
        }
    }

    /// Listens on a new socket, to which the owner alone may connect. There must be nothing of that name.
    pub(crate) fn listen(&self, name: &str) -> Result<UnixListener> {
        let listen = || {
            let socket = local_socket(SocketFlags::CLOEXEC)?;
            // A socket's name gets the permissions that the socket had: nobody else can connect at any moment.
            rustix::fs::fchmod(&socket, Mode::from_raw_mode(Access::Private.mode()))?;
            rustix::net::bind(&socket, &through(self.dir.as_fd(), Some(name))?)?;
            rustix::net::listen(&socket, BACKLOG)?;
            Ok(UnixListener::from(socket))
        };
        listen().map_err(|e: Errno| self.failed("listen on", name, &e.into()))
    }

    /// Connects to a socket of this user in this folder, without waiting. A symbolic link is not followed.
    pub(crate) fn connect(&self, name: &str) -> Result<UnixStream> {
        let connect = || {
            let file = rustix::fs::openat(
                &self.dir,
                name,
                OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
            )?;
            let stat = rustix::fs::fstat(&file)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
                return Err(Errno::NOTSOCK);
            }
            let socket = local_socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
            rustix::net::connect(&socket, &through(file.as_fd(), None)?)?;
            rustix::io::ioctl_fionbio(&socket, false)?;
            Ok(UnixStream::from(socket))
        };
        connect().map_err(|e: Errno| self.failed("connect to", name, &e.into()))
    }

    /// Whether the folder lies on a file system of another machine, where locks and syncs do not hold.
    pub(crate) fn is_on_network(&self) -> Result<bool> {
        // NFS, SMB, SMB2, CIFS, AFS, Coda, 9p, Ceph: `linux/magic.h` and each file system's own header.
        const NETWORK: [u64; 8] = [
            0x6969,
            0x517B,
            0xFE53_4D42,
            0xFF53_4D42,
            0x5346_414F,
            0x7375_7245,
            0x0102_1997,
            0x00C3_6400,
        ];
        let failed = |e: io::Error| self.failed("look at the file system of", "", &e);
        let here = self.dir.open(".").map_err(failed)?;
        let found = rustix::fs::fstatfs(&here).map_err(|e| failed(e.into()))?;
        Ok(NETWORK.contains(&(found.f_type as u64)))
    }

    fn open_with(&self, verb: &str, name: &str, options: &OpenOptions) -> Result<DiskFile> {
        let file = self
            .dir
            .open_with(name, options)
            .map_err(|e| self.failed(verb, name, &e))?;
        Ok(DiskFile {
            file,
            name: self.name.join(name).display().to_string(),
        })
    }

    fn failed(&self, verb: &str, name: &str, error: &io::Error) -> Error {
        let file = self.name.join(name);
        let file = if file.as_os_str().is_empty() {
            Path::new("the ledger's folder")
        } else {
            &file
        };
        Error::io(format_args!("{verb} {}", file.display()), error)
    }
}

/// The lock of a folder, until it is dropped.
pub(crate) struct FolderLock {
    _folder: File,
}

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;

fn local_socket(flags: SocketFlags) -> rustix::io::Result<std::os::fd::OwnedFd> {
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// The address of what a descriptor stands for, or of a name in it: a socket's own address has 108 bytes at most, and
/// the path of a ledger may be longer.
fn through(descriptor: BorrowedFd<'_>, name: Option<&str>) -> rustix::io::Result<SocketAddrUnix> {
    let mut path = PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd()));
    path.extend(name);
    SocketAddrUnix::new(&path)
}

/// An open file, and its name within the ledger for messages.
pub(crate) struct DiskFile {
    file: File,
    name: String,
}

impl DiskFile {
    /// Its name within the ledger when it was opened.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn len(&self) -> Result<u64> {
        self.file
            .metadata()
            .map(|m| m.len())
            .map_err(|e| self.failed("look at", &e))
    }

    /// `length` bytes from `offset`; fewer where the file ends before.
    pub(crate) fn read_range(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let mut have = 0;
        while have < length {
            match self.file.read_at(&mut bytes[have..], offset + have as u64) {
                Ok(0) => break,
                Ok(n) => have += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.failed("read", &e)),
            }
        }
        bytes.truncate(have);
        Ok(bytes)
    }

    pub(crate) fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file
            .write_all_at(bytes, offset)
            .map_err(|e| self.failed("write", &e))
    }

    /// Writes `byte` over a range.
    pub(crate) fn fill(&self, byte: u8, range: std::ops::Range<u64>) -> Result<()> {
        let block = vec![byte; 1 << 20];
        let mut at = range.start;
        while at < range.end {
            let n = (range.end - at).min(block.len() as u64);
            self.write_all_at(&block[..n as usize], at)?;
            at += n;
        }
        Ok(())
    }

    /// Makes the content durable; enough where the size did not change.
    pub(crate) fn sync_data(&self) -> Result<()> {
        self.file.sync_data().map_err(|e| self.failed("sync", &e))
    }

    /// Makes the content and the size durable.
    pub(crate) fn sync_all(&self) -> Result<()> {
        self.file.sync_all().map_err(|e| self.failed("sync", &e))
    }

    pub(crate) fn set_len(&self, length: u64) -> Result<()> {
        self.file.set_len(length).map_err(|e| self.failed("shorten", &e))
    }

    /// Takes away everybody's permission to write.
    pub(crate) fn set_read_only(&self) -> Result<()> {
        let mut permissions = self
            .file
            .metadata()
            .map_err(|e| self.failed("look at", &e))?
            .permissions();
        permissions.set_mode(permissions.mode() & !0o222);
        self.file
            .set_permissions(permissions)
            .map_err(|e| self.failed("seal", &e))
    }

    /// Whether group or others may read or write the file.
    pub(crate) fn is_shared(&self) -> Result<bool> {
        let metadata = self.file.metadata().map_err(|e| self.failed("look at", &e))?;
        Ok(metadata.permissions().mode() & 0o077 != 0)
    }

    /// Takes the lock of the whole file, without waiting. False: another process has it.
    pub(crate) fn try_lock(&self) -> Result<bool> {
        match rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(e) => Err(self.failed("lock", &e.into())),
        }
    }

    fn failed(&self, verb: &str, error: &io::Error) -> Error {
        Error::io(format_args!("{verb} {}", self.name), error)
    }
}

impl fmt::Debug for DiskFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Name of this machine and of its present boot, which tell whether a recorded process id still means anything.
pub(crate) fn machine() -> String {
    let boot = Dir::open_ambient_dir("/proc/sys/kernel/random", ambient_authority())
        .and_then(|dir| dir.read_to_string("boot_id"))
        .unwrap_or_default();
    format!(
        "{} {}",
        rustix::system::uname().nodename().to_string_lossy(),
        boot.trim()
    )
}

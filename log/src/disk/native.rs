//! The file system, through cap-std: the only file that names it.
//!
//! Ambient authority is taken in [`open`] and [`create`], and in [`machine`], which names this machine for a message;
//! everything else is relative to a folder that somebody was handed.

use std::{
    io,
    num::NonZeroU64,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    sync::Arc,
};

use cap_std::{
    ambient_authority,
    fs::{Dir, DirBuilder, File, FileExt, OpenOptions, OpenOptionsExt, PermissionsExt},
};
use rustix::{
    fs::{Advice, FlockOperation, IFlags, OFlags, RenameFlags, StatVfsMountFlags},
    io::Errno,
};

use super::{FileBackend, FolderBackend, Mode, Space};

/// Opens a folder of the file system by its path.
pub(super) fn open(path: &Path) -> io::Result<Arc<dyn FolderBackend>> {
    Ok(Arc::new(Dir::open_ambient_dir(path, ambient_authority())?))
}

/// Creates a folder, and those above it, unless it is there, durably, and opens it.
pub(super) fn create(path: &Path) -> io::Result<Arc<dyn FolderBackend>> {
    let fresh: Vec<_> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    Dir::create_ambient_dir_all(path, ambient_authority())?;
    // A name is durable once the folder that it stands in is synced.
    for parent in fresh.iter().filter_map(|folder| folder.parent()) {
        let parent = if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        };
        open(parent)?.sync()?;
    }
    open(path)
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

impl FolderBackend for Dir {
    fn open_folder(&self, name: &str) -> io::Result<Arc<dyn FolderBackend>> {
        Ok(Arc::new(self.open_dir(name)?))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.create_dir_with(path, &DirBuilder::new())
    }

    fn open_file(&self, name: &str, mode: Mode) -> io::Result<Box<dyn FileBackend>> {
        let mut options = OpenOptions::new();
        // A pipe in a file's place must not keep whoever opens the ledger waiting for its writer.
        options.read(true).custom_flags(OFlags::NONBLOCK.bits() as i32);
        match mode {
            Mode::Read => &mut options,
            Mode::Write => options.write(true),
            Mode::WriteOrCreate(access) => options.write(true).create(true).mode(access.bits()),
            Mode::Create(access) => options.write(true).create_new(true).mode(access.bits()),
        };
        let file = self.open_with(name, &options)?;
        match file.metadata()?.is_file() {
            true => Ok(Box::new(file)),
            false => Err(io::Error::other("it is no file")),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Dir::rename(self, from, self, to)
    }

    fn exchange(&self, a: &str, b: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat_with(self, a, self, b, RenameFlags::EXCHANGE)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.remove_file(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in self.entries()? {
            // A name that is not text is none of ours; it is left alone.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        Ok(self.metadata(name)?.len())
    }

    /// A descriptor of a `Dir` is opened with `O_PATH`, which cannot be synced, so "." is opened in it.
    fn sync(&self) -> io::Result<()> {
        self.open(".")?.sync_all()
    }

    fn make_writable(&self, name: &str) -> io::Result<()> {
        let mut permissions = self.metadata(name)?.permissions();
        if permissions.mode() & 0o200 == 0 {
            permissions.set_mode(permissions.mode() | 0o200);
            self.set_permissions(name, permissions)?;
        }
        Ok(())
    }

    fn is_on_network(&self) -> io::Result<bool> {
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
        let found = rustix::fs::fstatfs(&self.open(".")?)?;
        Ok(NETWORK.contains(&(found.f_type as u64)))
    }

    fn space(&self) -> io::Result<Option<Space>> {
        let found = rustix::fs::fstatvfs(&self.open(".")?)?;
        Ok(Some(Space {
            free: found.f_bavail.saturating_mul(found.f_frsize),
            read_only: found.f_flag.contains(StatVfsMountFlags::RDONLY),
        }))
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }
}

impl FileBackend for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, bytes, offset)
    }

    fn prefetch(&self, offset: u64, length: u64) {
        // Advice: what becomes of it does not matter.
        let _ = rustix::fs::fadvise(self, offset, NonZeroU64::new(length), Advice::WillNeed);
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn sync_all(&self) -> io::Result<()> {
        File::sync_all(self)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        File::set_len(self, length)
    }

    fn set_read_only(&self) -> io::Result<()> {
        let mut permissions = self.metadata()?.permissions();
        permissions.set_mode(permissions.mode() & !0o222);
        self.set_permissions(permissions)
    }

    fn is_shared(&self) -> io::Result<bool> {
        Ok(self.metadata()?.permissions().mode() & 0o077 != 0)
    }

    fn is_immutable(&self) -> io::Result<bool> {
        Ok(rustix::fs::ioctl_getflags(self)?.contains(IFlags::IMMUTABLE))
    }

    fn set_immutable(&self, immutable: bool) -> io::Result<()> {
        let mut flags = rustix::fs::ioctl_getflags(self)?;
        flags.set(IFlags::IMMUTABLE, immutable);
        Ok(rustix::fs::ioctl_setflags(self, flags)?)
    }

    fn try_lock(&self) -> io::Result<bool> {
        match rustix::fs::flock(self, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }
}

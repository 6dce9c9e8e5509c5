// Long because every access to a file or folder is here, each with its error.

//! Files and folders, as the rest of the crate uses them. What they stand on is a [`FolderBackend`]: the file system
//! (`disk/native.rs`, the only file that names cap-std), or a simulated one that forgets what was not synced.
//!
//! System calls that durability rests on: `pwrite` at a tracked offset, `fdatasync` of a file, `fsync` of a file whose
//! size changed, `fsync` of a folder after a name changed in it, `rename` and `renameat2(EXCHANGE)`. Each operation
//! either reports success or an error that names the file.

mod native;
mod socket;

use std::{
    fmt, io,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
    sync::Arc,
};

pub(crate) use native::machine;

use crate::{Error, ErrorKind, Passphrase, Result};

/// A folder of some storage. Names have one component, except where a path is said.
pub(crate) trait FolderBackend: Send + Sync {
    fn open_folder(&self, name: &str) -> io::Result<Arc<dyn FolderBackend>>;
    /// Creates the last component of a path.
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    fn open_file(&self, name: &str, mode: Mode) -> io::Result<Box<dyn FileBackend>>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn exchange(&self, a: &str, b: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    fn list(&self) -> io::Result<Vec<String>>;
    /// Bytes of a file.
    fn length(&self, name: &str) -> io::Result<u64>;
    /// Makes names in the folder durable.
    fn sync(&self) -> io::Result<()>;
    fn make_writable(&self, name: &str) -> io::Result<()>;
    fn is_on_network(&self) -> io::Result<bool>;
    /// None: it cannot be told.
    fn space(&self) -> io::Result<Option<Space>> {
        Ok(None)
    }
    /// Of a folder that other processes see too.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// An open file of some storage.
pub(crate) trait FileBackend: Send + Sync {
    fn len(&self) -> io::Result<u64>;
    /// May read less than asked, 0 at the end.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;
    /// These bytes will be read soon; whether they are fetched meanwhile is not known.
    fn prefetch(&self, _offset: u64, _length: u64) {}
    /// May write less than given.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    fn sync_data(&self) -> io::Result<()>;
    fn sync_all(&self) -> io::Result<()>;
    fn set_len(&self, length: u64) -> io::Result<()>;
    fn set_read_only(&self) -> io::Result<()>;
    fn is_shared(&self) -> io::Result<bool>;
    fn is_immutable(&self) -> io::Result<bool>;
    fn set_immutable(&self, immutable: bool) -> io::Result<()>;
    fn try_lock(&self) -> io::Result<bool>;
}

/// How a file is opened.
#[derive(Clone, Copy)]
pub(crate) enum Mode {
    Read,
    /// To read and write it.
    Write,
    /// The same, creating it where it is missing.
    WriteOrCreate(Access),
    /// A new file to read and write; it must not exist.
    Create(Access),
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
    fn bits(self) -> u32 {
        match self {
            Self::Private => 0o600,
            Self::Usual => 0o644,
        }
    }
}

/// A folder, its name for messages (empty for the ledger's own), and what opens the key file in it.
#[derive(Clone)]
pub(crate) struct Folder {
    backend: Arc<dyn FolderBackend>,
    name: PathBuf,
    passphrase: Option<Passphrase>,
}

impl Folder {
    /// Opens a folder of the file system by its path: here ambient authority is taken.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        native::open(path)
            .map(Self::over)
            .map_err(|e| Error::io(format_args!("open the folder {}", path.display()), &e))
    }

    /// Creates a folder of the file system, and those above it, unless it is there, and opens it.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        native::create(path)
            .map(Self::over)
            .map_err(|e| Error::io(format_args!("create the folder {}", path.display()), &e))
    }

    /// A ledger's own folder on some storage.
    pub(crate) fn over(backend: Arc<dyn FolderBackend>) -> Self {
        Self {
            backend,
            name: PathBuf::new(),
            passphrase: None,
        }
    }

    /// The same folder, whose key file is sealed under a passphrase, or is to be.
    pub(crate) fn with_passphrase(self, passphrase: Option<Passphrase>) -> Self {
        Self { passphrase, ..self }
    }

    /// What its key file is sealed under, as far as this process was told.
    pub(crate) fn passphrase(&self) -> Option<&Passphrase> {
        self.passphrase.as_ref()
    }

    /// A folder in this one.
    pub(crate) fn sub(&self, name: &str) -> Result<Self> {
        let backend = self
            .backend
            .open_folder(name)
            .map_err(|e| self.failed("open the folder", name, &e))?;
        Ok(Self {
            backend,
            name: self.name.join(name),
            passphrase: None,
        })
    }

    /// Creates a folder, and those above it, in this one unless it is there. The caller syncs.
    pub(crate) fn create_sub(&self, name: &str) -> Result<Self> {
        let mut above = PathBuf::new();
        for part in Path::new(name) {
            above.push(part);
            match self.backend.create_folder(&above) {
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
        self.open_with("create", name, Mode::Create(access))
    }

    /// Opens a file to read and write it.
    pub(crate) fn write_file(&self, name: &str) -> Result<DiskFile> {
        self.open_with("open", name, Mode::Write)
    }

    /// Opens a file to read it.
    pub(crate) fn read_file(&self, name: &str) -> Result<DiskFile> {
        self.open_with("open", name, Mode::Read)
    }

    /// Opens a file to read and write it, creating it where it is missing.
    pub(crate) fn write_or_create_file(&self, name: &str) -> Result<DiskFile> {
        self.open_with("open", name, Mode::WriteOrCreate(Access::Usual))
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
        self.backend
            .rename(from, to)
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
        self.backend
            .make_writable(name)
            .map_err(|e| self.failed("make writable", name, &e))
    }

    /// Exchanges the names of two files in one step. The caller syncs the folder.
    pub(crate) fn exchange(&self, a: &str, b: &str) -> Result<()> {
        self.backend
            .exchange(a, b)
            .map_err(|e| self.failed("exchange the names of two files, one of them", b, &e))
    }

    /// Removes a file if it is there. The caller syncs the folder where that matters.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        match self.backend.remove(name) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(self.failed("remove", name, &e)),
            _ => Ok(()),
        }
    }

    /// The names in this folder, sorted.
    pub(crate) fn list(&self) -> Result<Vec<String>> {
        let mut names = self.backend.list().map_err(|e| self.failed("list", "", &e))?;
        names.sort();
        Ok(names)
    }

    /// Bytes of a file, which is not opened.
    pub(crate) fn length(&self, name: &str) -> Result<u64> {
        self.backend.length(name).map_err(|e| self.failed("look at", name, &e))
    }

    /// Makes names in this folder durable.
    pub(crate) fn sync(&self) -> Result<()> {
        self.backend.sync().map_err(|e| self.failed("sync the folder", "", &e))
    }

    /// Whether the folder lies on a file system of another machine, where locks and syncs do not hold.
    pub(crate) fn is_on_network(&self) -> Result<bool> {
        self.backend
            .is_on_network()
            .map_err(|e| self.failed("look at the file system of", "", &e))
    }

    /// What the disk has room for. None: it cannot be told.
    pub(crate) fn space(&self) -> Result<Option<Space>> {
        self.backend
            .space()
            .map_err(|e| self.failed("look at the disk of", "", &e))
    }

    fn open_with(&self, verb: &str, name: &str, mode: Mode) -> Result<DiskFile> {
        let file = self
            .backend
            .open_file(name, mode)
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

/// What a disk has room for.
#[derive(Clone, Copy)]
pub(crate) struct Space {
    /// Bytes that this user may still write.
    pub(crate) free: u64,
    pub(crate) read_only: bool,
}

/// An open file, and its name within the ledger for messages.
pub(crate) struct DiskFile {
    file: Box<dyn FileBackend>,
    name: String,
}

impl DiskFile {
    /// A file over something else than the folder's own backend.
    pub(crate) fn over(file: Box<dyn FileBackend>, name: String) -> Self {
        Self { file, name }
    }

    /// The same file, with another name for messages.
    pub(crate) fn named(mut self, name: &Path) -> Self {
        self.name = name.display().to_string();
        self
    }

    /// Its name within the ledger when it was opened.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn len(&self) -> Result<u64> {
        self.file.len().map_err(|e| self.failed("look at", &e))
    }

    /// `length` bytes from `offset`; fewer where the file ends before.
    pub(crate) fn read_range(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let have = self.read_into(&mut bytes, offset)?;
        bytes.truncate(have);
        Ok(bytes)
    }

    /// Fills `bytes` from `offset` on; returns how many there are before the file ends.
    pub(crate) fn read_into(&self, bytes: &mut [u8], offset: u64) -> Result<usize> {
        let mut have = 0;
        while have < bytes.len() {
            match self.file.read_at(&mut bytes[have..], offset + have as u64) {
                Ok(0) => break,
                Ok(n) => have += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.failed("read", &e)),
            }
        }
        Ok(have)
    }

    /// Says that these bytes will be read soon, and does not wait for them.
    pub(crate) fn prefetch(&self, offset: u64, length: u64) {
        self.file.prefetch(offset, length);
    }

    pub(crate) fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            match self.file.write_at(&bytes[done..], offset + done as u64) {
                Ok(0) => return Err(self.failed("write", &io::ErrorKind::WriteZero.into())),
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.failed("write", &e)),
            }
        }
        Ok(())
    }

    /// Writes `byte` over a range. On a full disk it fails when what room there was is used: some file systems refuse a
    /// large write of which a part would fit.
    pub(crate) fn fill(&self, byte: u8, range: std::ops::Range<u64>) -> Result<()> {
        const SMALLEST: usize = 4 << 10;
        let block = vec![byte; 1 << 20];
        let mut at = range.start;
        let mut step = block.len();
        while at < range.end {
            let n = (range.end - at).min(step as u64);
            match self.write_all_at(&block[..n as usize], at) {
                Ok(()) => at += n,
                Err(error) if error.kind() == ErrorKind::Full && step > SMALLEST => step /= 2,
                Err(error) => return Err(error),
            }
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
        self.file.set_read_only().map_err(|e| self.failed("seal", &e))
    }

    /// Whether group or others may read or write the file.
    pub(crate) fn is_shared(&self) -> Result<bool> {
        self.file.is_shared().map_err(|e| self.failed("look at", &e))
    }

    /// Whether the file has the attribute that forbids everybody to change, rename or remove it.
    pub(crate) fn is_immutable(&self) -> Result<bool> {
        self.file
            .is_immutable()
            .map_err(|e| self.failed("read the attributes of", &e))
    }

    /// Gives or takes that attribute.
    pub(crate) fn set_immutable(&self, immutable: bool) -> Result<()> {
        self.file
            .set_immutable(immutable)
            .map_err(|e| self.failed("change the attributes of", &e))
    }

    /// Takes the lock of the whole file, without waiting. False: another process has it.
    pub(crate) fn try_lock(&self) -> Result<bool> {
        self.file.try_lock().map_err(|e| self.failed("lock", &e))
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

//! A copy of a folder in memory, to be read: what is changed a million times would otherwise be mostly system calls.

use std::{
    collections::BTreeMap,
    fs, io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::disk::{FileBackend, Folder, FolderBackend, Mode};

/// A file's bytes.
#[derive(Clone, Default)]
pub(super) struct MemoryFile(Arc<Mutex<Vec<u8>>>);

/// A folder, as part of the whole: where its names begin.
#[derive(Clone)]
pub(super) struct MemoryFolder {
    /// Every file below the first folder, by its path.
    files: Arc<BTreeMap<String, MemoryFile>>,
    begin: String,
}

impl MemoryFolder {
    /// Reads all files below a folder, but for those that are none.
    pub(super) fn read(folder: &Path) -> Self {
        let mut files = BTreeMap::new();
        read_into(&mut files, folder, "");
        Self {
            files: Arc::new(files),
            begin: String::new(),
        }
    }

    pub(super) fn folder(&self) -> Folder {
        Folder::over(Arc::new(self.clone()))
    }

    pub(super) fn file(&self, name: &str) -> Option<&MemoryFile> {
        self.files.get(&format!("{}{name}", self.begin))
    }

    fn found(&self, name: &str) -> io::Result<&MemoryFile> {
        self.file(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl MemoryFile {
    pub(super) fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_into(files: &mut BTreeMap<String, MemoryFile>, folder: &Path, begin: &str) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (kind, name) = (entry.file_type().unwrap(), entry.file_name().into_string().unwrap());
        if kind.is_dir() {
            read_into(files, &entry.path(), &format!("{begin}{name}/"));
        } else if kind.is_file() {
            let bytes = fs::read(entry.path()).unwrap();
            files.insert(format!("{begin}{name}"), MemoryFile(Arc::new(Mutex::new(bytes))));
        }
    }
}

fn no<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl FolderBackend for MemoryFolder {
    fn open_folder(&self, name: &str) -> io::Result<Arc<dyn FolderBackend>> {
        let begin = format!("{}{name}/", self.begin);
        match self.files.keys().any(|path| path.starts_with(&begin)) {
            true => Ok(Arc::new(Self {
                files: self.files.clone(),
                begin,
            })),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn open_file(&self, name: &str, mode: Mode) -> io::Result<Box<dyn FileBackend>> {
        match mode {
            Mode::Read => Ok(Box::new(self.found(name)?.clone())),
            _ => no(),
        }
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let below = self.files.keys().filter_map(|path| path.strip_prefix(&self.begin));
        let mut names: Vec<_> = below
            .map(|path| path.split('/').next().unwrap_or_default().to_owned())
            .collect();
        names.dedup();
        Ok(names)
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        self.found(name)?.len()
    }

    fn is_on_network(&self) -> io::Result<bool> {
        Ok(false)
    }

    fn create_folder(&self, _: &Path) -> io::Result<()> {
        no()
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        no()
    }

    fn exchange(&self, _: &str, _: &str) -> io::Result<()> {
        no()
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        no()
    }

    fn sync(&self) -> io::Result<()> {
        no()
    }

    fn make_writable(&self, _: &str) -> io::Result<()> {
        no()
    }
}

impl FileBackend for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes().len() as u64)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.bytes();
        let rest = content.get(offset as usize..).unwrap_or_default();
        let length = rest.len().min(bytes.len());
        bytes[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    /// Nobody writes, so that nobody holds the lock.
    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn is_shared(&self) -> io::Result<bool> {
        Ok(false)
    }

    fn is_immutable(&self) -> io::Result<bool> {
        Ok(false)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        no()
    }

    fn sync_data(&self) -> io::Result<()> {
        no()
    }

    fn sync_all(&self) -> io::Result<()> {
        no()
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        no()
    }

    fn set_read_only(&self) -> io::Result<()> {
        no()
    }

    fn set_immutable(&self, _: bool) -> io::Result<()> {
        no()
    }
}

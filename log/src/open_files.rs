//! Files of a folder that are open for reading: the ones used last, so that a long log does not use up descriptors.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    Result,
    archive::Segments,
    disk::{DiskFile, Folder},
    segment,
};

/// Files that are held open.
const MOST: usize = 400;

pub(crate) struct OpenFiles {
    segments: Segments,
    folder: Folder,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    files: HashMap<String, (Arc<DiskFile>, u64)>,
    /// Counts up with each use.
    now: u64,
}

impl OpenFiles {
    pub(crate) fn new(ledger: Folder, folder: Folder) -> Self {
        Self {
            segments: Segments::new(ledger, folder.clone()),
            folder,
            used: Mutex::default(),
        }
    }

    /// First `seq` of each segment, archived ones among them.
    pub(crate) fn segments(&self) -> Result<Vec<u64>> {
        self.segments.list()
    }

    /// A segment's file, wherever it is, opened anew.
    pub(crate) fn open_segment(&self, first: u64) -> Result<DiskFile> {
        self.segments.open(first)
    }

    /// A segment's file, wherever it is, opened if it is not.
    pub(crate) fn segment(&self, first: u64) -> Result<Arc<DiskFile>> {
        self.cached(&segment::file_name(first), || self.open_segment(first))
    }

    /// The file of that name, opened if it is not.
    pub(crate) fn get(&self, name: &str) -> Result<Arc<DiskFile>> {
        self.cached(name, || self.folder.read_file(name))
    }

    fn cached(&self, name: &str, open: impl FnOnce() -> Result<DiskFile>) -> Result<Arc<DiskFile>> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.now += 1;
        let now = used.now;
        if let Some((file, last)) = used.files.get_mut(name) {
            *last = now;
            return Ok(file.clone());
        }
        drop(used);
        let file = Arc::new(open()?);
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.files.len() >= MOST {
            let oldest = used.files.iter().min_by_key(|(_, (_, last))| *last);
            if let Some(name) = oldest.map(|(name, _)| name.clone()) {
                used.files.remove(&name);
            }
        }
        used.files.insert(name.to_owned(), (file.clone(), now));
        Ok(file)
    }

    /// The folder `log`.
    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The names in it.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        self.folder.list()
    }

    /// Removes the file of that name.
    pub(crate) fn discard(&self, name: &str) -> Result<()> {
        self.forget(name);
        self.folder.remove(name)
    }

    /// Forgets the file of that name: another one has it by now.
    pub(crate) fn forget(&self, name: &str) {
        self.used
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .files
            .remove(name);
    }
}

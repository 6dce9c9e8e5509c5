//! Files of a folder that are open for reading: the ones used last, so that a long log does not use up descriptors.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    Result,
    disk::{DiskFile, Folder},
};

/// Files that are held open.
const MOST: usize = 128;

pub(crate) struct OpenFiles {
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
    pub(crate) fn new(folder: Folder) -> Self {
        Self {
            folder,
            used: Mutex::default(),
        }
    }

    /// The folder that the files are in.
    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The file of that name, opened if it is not.
    pub(crate) fn get(&self, name: &str) -> Result<Arc<DiskFile>> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.now += 1;
        let now = used.now;
        if let Some((file, last)) = used.files.get_mut(name) {
            *last = now;
            return Ok(file.clone());
        }
        drop(used);
        let file = Arc::new(self.folder.read_file(name)?);
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

    /// Forgets the file of that name: another one has it by now.
    pub(crate) fn forget(&self, name: &str) {
        self.used
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .files
            .remove(name);
    }
}

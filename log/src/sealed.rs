//! A segment that is full: its entries are found through its sidecar, or in memory until it has one.

use std::{
    ops::Range,
    sync::{Arc, PoisonError, RwLock},
};

use quipu_format::{EventId, IdempotencyKey, Scope, Timestamp};

use crate::{
    Error, ErrorKind, Result,
    blocks::is_useless,
    disk::DiskFile,
    open_files::OpenFiles,
    reader::Direction,
    recent::{Place, Recent},
    recovery, scan, segment,
    sidecar::{self, Sidecar},
};

pub(crate) struct Sealed {
    pub(crate) first: u64,
    pub(crate) count: u64,
    files: Arc<OpenFiles>,
    lookup: RwLock<Lookup>,
}

#[derive(Clone)]
enum Lookup {
    Recent(Arc<Recent>),
    Sidecar(Arc<Sidecar>),
}

impl Sealed {
    /// A segment that was full just now.
    pub(crate) fn new(files: Arc<OpenFiles>, recent: Recent, count: u64) -> Self {
        Self {
            first: recent.first,
            count,
            files,
            lookup: RwLock::new(Lookup::Recent(Arc::new(recent))),
        }
    }

    /// A segment that has a sidecar. None: there is none that fits.
    pub(crate) fn open(files: &Arc<OpenFiles>, first: u64, count: u64) -> Result<Option<Self>> {
        Ok(Sidecar::open(files, first, count)?.map(|sidecar| Self {
            first,
            count,
            files: files.clone(),
            lookup: RwLock::new(Lookup::Sidecar(Arc::new(sidecar))),
        }))
    }

    /// A segment whose sidecar is missing: it is read. Refused where it does not reach the next.
    pub(crate) fn read_whole(files: &Arc<OpenFiles>, first: u64, count: u64) -> Result<Self> {
        let this = Self::new(files.clone(), Recent::new(first), count);
        let recent = this.read()?;
        if u64::from(recent.len()) != count || recent.places.iter().any(|place| place.length == 0) {
            let message = format!("log/{} does not hold its {count} entries", segment::file_name(first));
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        *this.lookup.write().unwrap_or_else(PoisonError::into_inner) = Lookup::Recent(Arc::new(recent));
        Ok(this)
    }

    /// The segment's file.
    pub(crate) fn file(&self) -> Result<Arc<DiskFile>> {
        self.files.segment(self.first)
    }

    /// Closes the file: it has been removed.
    pub(crate) fn forget_file(&self) {
        self.files.forget(&segment::file_name(self.first));
    }

    pub(crate) fn end(&self) -> u64 {
        self.first + self.count
    }

    /// What is held in memory, where there is no sidecar.
    pub(crate) fn recent(&self) -> Option<Arc<Recent>> {
        match self.lookup() {
            Lookup::Recent(recent) => Some(recent),
            Lookup::Sidecar(_) => None,
        }
    }

    /// The sidecar, where there is one.
    pub(crate) fn sidecar(&self) -> Option<Arc<Sidecar>> {
        match self.lookup() {
            Lookup::Recent(_) => None,
            Lookup::Sidecar(sidecar) => Some(sidecar),
        }
    }

    /// Frees the memory where there is a sidecar by now.
    pub(crate) fn adopt_sidecar(&self) -> Result<()> {
        // It may have replaced one that was damaged.
        self.files.forget(&sidecar::file_name(self.first));
        if let Some(sidecar) = Sidecar::open(&self.files, self.first, self.count)? {
            *self.lookup.write().unwrap_or_else(PoisonError::into_inner) = Lookup::Sidecar(Arc::new(sidecar));
        }
        Ok(())
    }

    pub(crate) fn place(&self, number: u32) -> Result<Place> {
        self.ask(|recent| recent.place(number), |sidecar| sidecar.place(number))
    }

    pub(crate) fn find(&self, id: EventId) -> Result<Option<u32>> {
        self.ask(|recent| recent.find(id), |sidecar| sidecar.find(id))
    }

    pub(crate) fn number_at(&self, ts: Timestamp) -> Result<u32> {
        self.ask(|recent| recent.number_at(ts), |sidecar| sidecar.number_at(ts))
    }

    /// Name of the first entry, or of the first that is not damaged.
    pub(crate) fn first_id(&self) -> Result<Option<EventId>> {
        self.ask(
            |recent| recent.ids.iter().find(|id| !id.is_nil()).copied().map(EventId),
            |sidecar| Ok(Some(EventId(sidecar.id(0)?))),
        )
    }

    pub(crate) fn select(
        &self,
        scope: &Scope,
        range: &Range<u64>,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(u64, Place)>> {
        self.ask(
            |recent| recent.select(scope, range, direction, limit),
            |sidecar| sidecar.select(scope, range, direction, limit),
        )
    }

    pub(crate) fn keyed_count(&self) -> Result<usize> {
        self.ask(
            |recent| recent.keyed.len(),
            |sidecar| Ok(sidecar.keyed_count() as usize),
        )
    }

    /// Idempotency keys and positions, in the order of entries.
    pub(crate) fn keyed(&self) -> Result<Vec<(IdempotencyKey, u64)>> {
        let keyed = self.ask(|recent| recent.keyed.clone(), |sidecar| sidecar.keyed())?;
        Ok(keyed
            .into_iter()
            .map(|(key, number)| (key, self.first + u64::from(number)))
            .collect())
    }

    /// Bytes of all lines.
    pub(crate) fn entry_bytes(&self) -> u64 {
        match self.lookup() {
            Lookup::Recent(recent) => recent.entry_bytes,
            Lookup::Sidecar(sidecar) => sidecar.entry_bytes,
        }
    }

    /// Bytes of the sidecar.
    pub(crate) fn sidecar_bytes(&self) -> Result<u64> {
        match self.lookup() {
            Lookup::Recent(_) => Ok(0),
            Lookup::Sidecar(sidecar) => sidecar.bytes(),
        }
    }

    fn lookup(&self) -> Lookup {
        self.lookup.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks the sidecar; where that is damaged, the segment itself is read and its entries are held in memory.
    fn ask<T>(&self, recent: impl Fn(&Recent) -> T, sidecar: impl Fn(&Sidecar) -> Result<T>) -> Result<T> {
        match self.lookup() {
            Lookup::Recent(found) => Ok(recent(&found)),
            Lookup::Sidecar(found) => match sidecar(&found) {
                Err(e) if is_useless(&e) => {
                    tracing::warn!(error = %e, "a sidecar is not whole");
                    Ok(recent(&*self.read_again()?))
                }
                answer => answer,
            },
        }
    }

    /// Does without the sidecar: the segment is read, and its entries are held in memory.
    pub(crate) fn read_again(&self) -> Result<Arc<Recent>> {
        let read = Arc::new(self.read()?);
        *self.lookup.write().unwrap_or_else(PoisonError::into_inner) = Lookup::Recent(read.clone());
        Ok(read)
    }

    /// Every line of the segment that is authentic.
    fn read(&self) -> Result<Recent> {
        let bytes = recovery::read_segment(&*self.file()?)?;
        let mut recent = Recent::new(self.first);
        for found in scan::authentic(&bytes, 0) {
            let next = self.first + u64::from(recent.len());
            if (next..self.end()).contains(&found.envelope.seq) {
                recent.push(found.listed(), found.range.clone());
            }
        }
        Ok(recent)
    }
}

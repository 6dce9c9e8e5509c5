//! fjall with `PersistMode::SyncData`: fdatasync of its journal before an append counts.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::Store;
use crate::Result;

pub(super) struct Fjall {
    database: Database,
    events: Keyspace,
    next: AtomicU64,
}

impl Store for Fjall {
    fn open(folder: &Path) -> Result<Self> {
        let database = Database::builder(folder.join("events.fjall")).open()?;
        let events = database.keyspace("events", KeyspaceCreateOptions::default)?;
        Ok(Self {
            database,
            events,
            next: AtomicU64::new(0),
        })
    }

    fn commit(&self, payloads: &[String]) -> Result<()> {
        if let [payload] = payloads {
            self.events.insert(self.next_key(), payload.as_str())?;
            return Ok(self.database.persist(PersistMode::SyncData)?);
        }
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for payload in payloads {
            batch.insert(&self.events, self.next_key(), payload.as_str());
        }
        Ok(batch.commit()?)
    }

    fn count(&self) -> Result<u64> {
        Ok(self.events.len()? as u64)
    }
}

impl Fjall {
    fn next_key(&self) -> [u8; 8] {
        self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes()
    }
}

//! redb with `Durability::Immediate`: fdatasync before a commit returns.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use redb::{Database, Durability, ReadableDatabase, ReadableTableMetadata, TableDefinition};

use super::Store;
use crate::Result;

pub(super) struct Redb {
    database: Database,
    next: AtomicU64,
}

const EVENTS: TableDefinition<'_, u64, &str> = TableDefinition::new("events");

impl Store for Redb {
    fn open(folder: &Path) -> Result<Self> {
        let database = Database::create(folder.join("events.redb"))?;
        let begin = database.begin_write()?;
        begin.open_table(EVENTS)?;
        begin.commit()?;
        Ok(Self {
            database,
            next: AtomicU64::new(0),
        })
    }

    fn commit(&self, payloads: &[String]) -> Result<()> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        let mut events = transaction.open_table(EVENTS)?;
        for payload in payloads {
            events.insert(self.next.fetch_add(1, Ordering::Relaxed), payload.as_str())?;
        }
        drop(events);
        Ok(transaction.commit()?)
    }

    fn count(&self) -> Result<u64> {
        Ok(self.database.begin_read()?.open_table(EVENTS)?.len()?)
    }
}

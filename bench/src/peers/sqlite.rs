//! SQLite in WAL mode with synchronous=FULL: the WAL is synced before a commit returns.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use rusqlite::{Connection, TransactionBehavior};

use super::Store;
use crate::Result;

/// One connection, which the writers share: SQLite has one writer at a time, and a lock hands over sooner than its
/// busy handler, which sleeps.
pub(super) struct Sqlite(Mutex<Connection>);

const INSERT: &str = "INSERT INTO events (payload) VALUES (?1)";

impl Store for Sqlite {
    fn open(folder: &Path) -> Result<Self> {
        let connection = Connection::open(folder.join("events.db"))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
        if (mode.as_str(), synchronous) != ("wal", 2) {
            return Err(format!("journal_mode is {mode} and synchronous {synchronous}, not wal and 2 (FULL)").into());
        }
        connection
            .execute_batch("CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY, payload TEXT NOT NULL)")?;
        Ok(Self(Mutex::new(connection)))
    }

    fn commit(&self, payloads: &[String]) -> Result<()> {
        let mut connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let [payload] = payloads {
            connection.prepare_cached(INSERT)?.execute([payload])?;
            return Ok(());
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut insert = transaction.prepare_cached(INSERT)?;
        for payload in payloads {
            insert.execute([payload])?;
        }
        drop(insert);
        Ok(transaction.commit()?)
    }

    fn count(&self) -> Result<u64> {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(connection.query_row("SELECT count(*) FROM events", [], |row| row.get::<_, i64>(0))? as u64)
    }
}

//! The stores: how each keeps the events, where it keeps one of them, and how they are read back.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use quipu_format::{Actor, Body, Kind, Scope};
use quipu_log::{CreateOptions, Draft, Ledger, OpenOptions, verify};
use redb::{Database, ReadableDatabase, TableDefinition};

use crate::{Result, Seen, locate_text, text};

/// A store in a folder, with the options that make it durable.
pub(crate) trait Store: Sized {
    /// Its name in the table.
    const NAME: &'static str;

    /// Makes it with so many events, each durable before the next.
    fn make(folder: &Path, events: usize) -> Result<Self>;

    /// The file that an event is in, and its bytes there.
    fn locate(folder: &Path, event: usize) -> Result<(PathBuf, Range<usize>)> {
        locate_text(folder, event)
    }

    /// Opens it and asks for each event by its number; checks it where the store has a way to.
    fn read(folder: &Path, events: usize) -> Seen {
        let mut seen = Seen::default();
        if Self::read_into(folder, events, &mut seen).is_err() {
            seen.told = true;
        }
        seen
    }

    fn read_into(folder: &Path, events: usize, seen: &mut Seen) -> Result<()>;
}

impl Seen {
    /// Takes an answer in. None: the store says that there is no such event.
    fn take(&mut self, event: usize, found: Result<Option<String>>) {
        match found {
            Err(_) => self.told = true,
            Ok(Some(found)) if found == text(event) => self.intact.push(event),
            Ok(Some(_)) => self.altered += 1,
            Ok(None) => {}
        }
    }
}

pub(crate) struct Quipu {
    _ledger: Ledger,
}

impl Quipu {
    /// Events follow the ledger's first entry.
    fn seq(event: usize) -> u64 {
        event as u64 + 1
    }
}

impl Store for Quipu {
    const NAME: &'static str = "quipu";

    fn make(folder: &Path, events: usize) -> Result<Self> {
        let folder = folder.join("ledger");
        let ledger = Ledger::create(&folder, CreateOptions::new("example.com/damage"))?;
        for event in 0..events {
            let body = Body::new(None, &serde_json::json!({ "text": text(event) }).to_string())?;
            let scope = Scope::new(&format!("scope:{}", event % 4))?;
            ledger.append_blocking(Draft::new(
                scope,
                Actor::new("agent:damage")?,
                Kind::new("memory.write")?,
                body,
            ))?;
        }
        // A proof is of an entry that a checkpoint covers, as it does a second later.
        let begin = Instant::now();
        while ledger.reader().checkpoint()?.1.size < ledger.reader().head() {
            if begin.elapsed() > Duration::from_secs(60) {
                return Err("no checkpoint came".into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { _ledger: ledger })
    }

    /// Its whole line.
    fn locate(folder: &Path, event: usize) -> Result<(PathBuf, Range<usize>)> {
        let path = folder.join("ledger/log/00000000000000000000.log");
        let wanted = format!("{{\"v\":1,\"seq\":{},", Self::seq(event));
        let mut start = 0;
        for line in fs::read(&path)?.split_inclusive(|&byte| byte == b'\n') {
            if line.starts_with(wanted.as_bytes()) {
                return Ok((path, start..start + line.len()));
            }
            start += line.len();
        }
        Err(format!("event {event} is in no file").into())
    }

    /// Told is more here than elsewhere: verify names a fault, and opening it for writing is refused as well.
    fn read_into(folder: &Path, events: usize, seen: &mut Seen) -> Result<()> {
        let folder = folder.join("ledger");
        let reader = Ledger::open_read_only(&folder)?;
        for event in 0..events {
            let seq = Self::seq(event);
            let found = reader.event(seq).map_err(Into::into).and_then(|found| {
                let Some(found) = found else { return Ok(None) };
                // Read counts as read only where it can be proved as well.
                reader.prove(seq)?;
                let payload = serde_json::from_str::<serde_json::Value>(found.payload().unwrap_or("{}"))?;
                Ok(payload["text"].as_str().map(str::to_owned))
            });
            seen.take(event, found);
        }
        drop(reader);
        let named = verify(&folder, &mut |_| {})?.fault.is_some();
        // Last, for it may write.
        let refused = Ledger::open(&folder, OpenOptions::default())
            .and_then(Ledger::close)
            .is_err();
        seen.told = named && refused;
        Ok(())
    }
}

pub(crate) struct Sqlite {
    _connection: rusqlite::Connection,
}

impl Store for Sqlite {
    const NAME: &'static str = "SQLite, WAL, FULL";

    fn make(folder: &Path, events: usize) -> Result<Self> {
        let connection = rusqlite::Connection::open(folder.join("events.db"))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // What is damaged is the log that the events were acknowledged in.
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.execute_batch("CREATE TABLE events (number INTEGER PRIMARY KEY, payload TEXT NOT NULL)")?;
        for event in 0..events {
            connection.execute("INSERT INTO events VALUES (?1, ?2)", (event as i64, text(event)))?;
        }
        Ok(Self {
            _connection: connection,
        })
    }

    fn read_into(folder: &Path, events: usize, seen: &mut Seen) -> Result<()> {
        let connection = rusqlite::Connection::open(folder.join("events.db"))?;
        for event in 0..events {
            let found = connection.query_row("SELECT payload FROM events WHERE number = ?1", [event as i64], |row| {
                row.get(0)
            });
            let found = match found {
                Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
                found => found.map(Some).map_err(Into::into),
            };
            seen.take(event, found);
        }
        let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        seen.told |= verdict != "ok";
        Ok(())
    }
}

const EVENTS: TableDefinition<'_, u64, &str> = TableDefinition::new("events");

pub(crate) struct Redb {
    _database: Database,
}

impl Store for Redb {
    const NAME: &'static str = "redb";

    fn make(folder: &Path, events: usize) -> Result<Self> {
        let database = Database::create(folder.join("events.redb"))?;
        for event in 0..events {
            let transaction = database.begin_write()?;
            transaction
                .open_table(EVENTS)?
                .insert(event as u64, text(event).as_str())?;
            transaction.commit()?;
        }
        Ok(Self { _database: database })
    }

    fn read_into(folder: &Path, events: usize, seen: &mut Seen) -> Result<()> {
        let database = Database::open(folder.join("events.redb"))?;
        let table = database.begin_read()?.open_table(EVENTS)?;
        for event in 0..events {
            let found = table.get(event as u64);
            seen.take(
                event,
                found
                    .map(|found| found.map(|found| found.value().to_owned()))
                    .map_err(Into::into),
            );
        }
        Ok(())
    }
}

pub(crate) struct Fjall {
    _database: fjall::Database,
    _events: fjall::Keyspace,
}

impl Store for Fjall {
    const NAME: &'static str = "fjall";

    fn make(folder: &Path, events: usize) -> Result<Self> {
        let database = fjall::Database::builder(folder.join("events.fjall")).open()?;
        let keyspace = database.keyspace("events", fjall::KeyspaceCreateOptions::default)?;
        for event in 0..events {
            keyspace.insert((event as u64).to_be_bytes(), text(event))?;
            database.persist(fjall::PersistMode::SyncAll)?;
        }
        Ok(Self {
            _database: database,
            _events: keyspace,
        })
    }

    fn read_into(folder: &Path, events: usize, seen: &mut Seen) -> Result<()> {
        let database = fjall::Database::builder(folder.join("events.fjall")).open()?;
        let keyspace = database.keyspace("events", fjall::KeyspaceCreateOptions::default)?;
        for event in 0..events {
            let found = keyspace.get((event as u64).to_be_bytes());
            let text = found.map(|found| found.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
            seen.take(event, text.map_err(Into::into));
        }
        Ok(())
    }
}

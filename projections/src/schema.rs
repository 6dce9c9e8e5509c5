//! The tables. A change here needs a new [`VERSION`]: files of other versions are thrown away and folded again.

use std::io::Write;

use quipu_format::Hash;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, types::ValueRef};

use crate::{
    dense,
    error::{Cause, Result},
    limits,
    packing::{Bounds, Shape},
};

/// Version of the tables *and* of what is put in them: raised as well when words are cut another way.
const VERSION: i32 = 9;
/// Marks the file as ours: `quip`.
const APPLICATION: i32 = 0x7175_6970;

/// Documents of a scope whose terms are kept together, by `nth`: as many blocks of the larger size as are full, then as
/// many of the smaller. A function of how many entries the scope has, so that the blocks are the same however the log
/// was folded and whatever has been erased.
///
/// The larger a block, the fewer rows hold a term, and the longer it takes to make; what is in no block yet is searched
/// document by document.
pub(crate) const BLOCKS: [u32; 2] = [8_192, 512];

/// `link.relation`.
pub(crate) const EVIDENCE: i64 = 0;
/// `link.relation`.
pub(crate) const SUPERSEDES: i64 = 1;

/// - `meta`: the ledger, the `seq` up to which it is folded, and the one behind the last erasure.
/// - `scope`: `entries` is the `nth` that its next entry will have.
/// - `actor`: numbers for actors, as they come in the log.
/// - `entry`: every entry; `hash` shows whether the log is still the one that was folded, `retracts` whether its kind is
///   `memory.retract`, `states` whether events of its kind state facts, `reserved` whether it is the host's own.
/// - `missing`: entries that are not in `entry`, for they could not be read.
/// - `link`: `later` names `earlier`.
/// - `doc`: what can be searched. `terms` are its words and labels while it is in no block: the documents after the last
///   block are searched through them, so that one event costs one row.
/// - `block`, `posting`: `size` documents from `first` on, and those of them that have a term. Of its first and last
///   document, `block` has thread and time, and when the first of them expires. A `page` has many terms, or a part of one's
///   places; `term` and `nth` are what it begins with. Both tables have row ids: SQLite reads all of a long row of a table
///   without to compare its key.
/// - `saying`: statements (they have a `fact`), and the events that statements go back to.
/// - `statement`: the statements of each fact beside each other. `voices`: who is heard through it, nobody where it is empty;
///   `decided`: the last entry that has a say in that; `more`: entries of other scopes would have one.
/// - `fact`: what its statements come to, each scope by itself; `voices`: the surest sources that are heard.
/// - `told`, `shown`: entries that tell what recall showed to a run, and the statements among that; the text of one that
///   is erased is all zeros, and so is that of an entry that told and is erased itself, in its own place.
/// - `quarantine`: operators' quarantines, and what lifts them.
/// - `summary`: entries of kind `memory.summary`; `rule` is a digest of what the payload says made it, `crosses` whether it
///   covers entries of other scopes. `undone`: entries that retract, quarantine or erase, by the scope in which they do; 0: in any.
/// - `noise`: events that match a rule, by its number, whether they count and who is heard through them, as `statement` has
///   it; `meta.rules` is the digest of the rules.
/// - `snapshot`: states of projection components, each as far as it happened to be kept: not part of the dump.
const TABLES: &str = "
CREATE TABLE meta (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1), origin TEXT NOT NULL, as_of INTEGER NOT NULL,
    erasures INTEGER NOT NULL, rules BLOB
) STRICT;
CREATE TABLE scope (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, entries INTEGER NOT NULL) STRICT;
CREATE TABLE actor (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE entry (
    seq INTEGER PRIMARY KEY, scope INTEGER NOT NULL, run BLOB, hash BLOB NOT NULL, actor INTEGER NOT NULL,
    retracts INTEGER NOT NULL, states INTEGER NOT NULL, reserved INTEGER NOT NULL
) STRICT;
CREATE INDEX entry_run ON entry (run, seq) WHERE run IS NOT NULL;
CREATE TABLE link (
    later INTEGER NOT NULL, relation INTEGER NOT NULL, earlier INTEGER NOT NULL, PRIMARY KEY (later, relation, earlier)
) STRICT, WITHOUT ROWID;
CREATE INDEX link_back ON link (earlier, relation, later);
CREATE TABLE doc (
    scope INTEGER NOT NULL, nth INTEGER NOT NULL, seq INTEGER NOT NULL, run BLOB, time_ms INTEGER NOT NULL,
    expires_ms INTEGER, confidence INTEGER, thread INTEGER NOT NULL, asks INTEGER NOT NULL, length INTEGER NOT NULL, terms BLOB,
    PRIMARY KEY (scope, nth)
) STRICT, WITHOUT ROWID;
CREATE TABLE block (
    scope INTEGER NOT NULL, first INTEGER NOT NULL, size INTEGER NOT NULL, first_thread INTEGER, first_ms INTEGER,
    last_thread INTEGER, last_ms INTEGER, expires_ms INTEGER, shapes BLOB NOT NULL, bounds BLOB NOT NULL,
    PRIMARY KEY (scope, first)
) STRICT;
CREATE TABLE posting (
    scope INTEGER NOT NULL, first INTEGER NOT NULL, term BLOB NOT NULL, nth INTEGER NOT NULL, page BLOB NOT NULL,
    PRIMARY KEY (scope, first, term, nth)
) STRICT;
CREATE TABLE saying (
    seq INTEGER PRIMARY KEY, scope INTEGER NOT NULL, run BLOB, source BLOB NOT NULL, confidence REAL NOT NULL, fact BLOB,
    text BLOB
) STRICT;
CREATE TABLE statement (
    scope INTEGER NOT NULL, fact BLOB NOT NULL, seq INTEGER NOT NULL, id BLOB NOT NULL, time_ms INTEGER NOT NULL,
    expires_ms INTEGER, kind TEXT NOT NULL, speaker TEXT, tags TEXT NOT NULL, decided INTEGER NOT NULL,
    more INTEGER NOT NULL, voices BLOB NOT NULL, PRIMARY KEY (scope, fact, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE fact (
    scope INTEGER NOT NULL, fact BLOB NOT NULL, slot BLOB, confidence REAL NOT NULL, count INTEGER NOT NULL,
    first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, expires_ms INTEGER, changes_ms INTEGER, newest INTEGER NOT NULL,
    decided INTEGER NOT NULL, crosses INTEGER NOT NULL, tags TEXT NOT NULL, voices BLOB NOT NULL, PRIMARY KEY (scope, fact)
) STRICT, WITHOUT ROWID;
CREATE INDEX fact_best ON fact (scope, confidence DESC, last_ms DESC, newest DESC) WHERE count > 0;
CREATE INDEX fact_decided ON fact (scope, decided);
CREATE INDEX fact_slot ON fact (slot, decided) WHERE slot IS NOT NULL;
CREATE INDEX fact_crosses ON fact (scope) WHERE crosses = 1;
CREATE TABLE told (seq INTEGER PRIMARY KEY, scope INTEGER NOT NULL, nth INTEGER NOT NULL) STRICT;
CREATE INDEX told_nth ON told (scope, nth);
CREATE TABLE shown (
    run BLOB NOT NULL, text BLOB NOT NULL, event INTEGER NOT NULL, told INTEGER NOT NULL,
    PRIMARY KEY (run, text, event, told)
) STRICT, WITHOUT ROWID;
CREATE INDEX shown_event ON shown (event);
CREATE INDEX shown_told ON shown (told);
CREATE TABLE quarantine (
    seq INTEGER PRIMARY KEY, run BLOB, actor INTEGER, first INTEGER NOT NULL, end INTEGER NOT NULL, lifts INTEGER
) STRICT;
CREATE TABLE missing (seq INTEGER PRIMARY KEY) STRICT;
CREATE TABLE summary (
    scope INTEGER NOT NULL, seq INTEGER PRIMARY KEY, nth INTEGER NOT NULL, tier INTEGER NOT NULL, rule BLOB, crosses INTEGER NOT NULL
) STRICT;
CREATE INDEX summary_nth ON summary (scope, nth);
CREATE TABLE undone (scope INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (scope, seq)) STRICT, WITHOUT ROWID;
CREATE TABLE noise (
    scope INTEGER NOT NULL, rule INTEGER NOT NULL, time_ms INTEGER NOT NULL, seq INTEGER NOT NULL,
    id BLOB NOT NULL, run BLOB, voices BLOB NOT NULL, counts INTEGER NOT NULL, decided INTEGER NOT NULL,
    more INTEGER NOT NULL, nth INTEGER NOT NULL, PRIMARY KEY (scope, rule, time_ms, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX noise_seq ON noise (seq);
CREATE TABLE snapshot (
    name TEXT PRIMARY KEY, component BLOB NOT NULL, setting INTEGER NOT NULL, as_of INTEGER NOT NULL, state BLOB NOT NULL
) STRICT;
";

/// The rows of each table in an order that does not depend on how they came to be there.
const ROWS: [(&str, &str); 18] = [
    ("meta", "SELECT * FROM meta"),
    ("scope", "SELECT * FROM scope ORDER BY id"),
    ("actor", "SELECT * FROM actor ORDER BY id"),
    ("entry", "SELECT * FROM entry ORDER BY seq"),
    ("missing", "SELECT * FROM missing ORDER BY seq"),
    ("link", "SELECT * FROM link ORDER BY later, relation, earlier"),
    ("doc", "SELECT * FROM doc ORDER BY scope, nth"),
    ("block", "SELECT * FROM block ORDER BY scope, first"),
    ("posting", "SELECT * FROM posting ORDER BY scope, first, term, nth"),
    ("saying", "SELECT * FROM saying ORDER BY seq"),
    ("statement", "SELECT * FROM statement ORDER BY scope, fact, seq"),
    ("fact", "SELECT * FROM fact ORDER BY scope, fact"),
    ("told", "SELECT * FROM told ORDER BY seq"),
    ("shown", "SELECT * FROM shown ORDER BY run, text, event, told"),
    ("quarantine", "SELECT * FROM quarantine ORDER BY seq"),
    ("summary", "SELECT * FROM summary ORDER BY seq"),
    ("undone", "SELECT * FROM undone ORDER BY scope, seq"),
    ("noise", "SELECT * FROM noise ORDER BY scope, rule, time_ms, seq"),
];

/// What a file says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    /// The ledger that is folded.
    pub(crate) origin: String,
    /// Entries below it are folded.
    pub(crate) as_of: u64,
    /// Digest of the rules that noise was found by; `None` before the first fold.
    pub(crate) rules: Option<Hash>,
    /// The `seq` behind the last erasure among them; 0: there is none.
    pub(crate) erasures: u64,
}

/// `None`: the file is new, or of another version.
pub(crate) fn meta(db: &Connection) -> Result<Option<Meta>> {
    let number = |name| db.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    if (number("application_id")?, number("user_version")?) != (APPLICATION, VERSION) {
        return Ok(None);
    }
    let row = db
        .prepare_cached("SELECT origin, as_of, erasures, rules FROM meta")?
        .query_row([], |row| {
            Ok((
                row.get(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, i64>(2)?,
                row.get::<_, Option<_>>(3)?,
            ))
        })
        .optional()?;
    match row {
        Some((origin, as_of, erasures, rules)) => Ok(Some(Meta {
            origin,
            as_of: position(as_of)?,
            erasures: position(erasures)?,
            rules: rules.map(Hash),
        })),
        None => Err(Cause::Damaged("it does not say what it holds".into())),
    }
}

/// Throws away all that is there and makes empty tables for the ledger. `secure_delete` overwrites what goes.
pub(crate) fn reset(tx: &Transaction<'_>, origin: &str) -> Result<()> {
    let tables: Vec<String> = tx
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for table in tables {
        tx.execute_batch(&format!("DROP TABLE \"{}\"", table.replace('"', "\"\"")))?;
    }
    tx.execute_batch(TABLES)?;
    tx.execute("INSERT INTO meta VALUES (1, ?1, 0, 0, NULL)", [origin])?;
    tx.pragma_update(None, "application_id", APPLICATION)?;
    tx.pragma_update(None, "user_version", VERSION)?;
    Ok(())
}

/// Every row of every table, one a line: two files that were folded from the same log to the same `seq` are equal
/// here, byte for byte.
pub(crate) fn dump(db: &Connection, out: &mut dyn Write) -> Result<()> {
    let mut line = String::new();
    let dense = match db.table_exists(None, "meaning")? {
        true => dense::ROWS.as_slice(),
        false => &[],
    };
    for (table, rows) in ROWS.iter().chain(dense) {
        let mut statement = db.prepare(rows)?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            line.clear();
            line.push_str(table);
            for column in 0..columns {
                line.push('\t');
                line.push_str(&match row.get_ref(column)? {
                    ValueRef::Null => "-".to_owned(),
                    ValueRef::Integer(number) => number.to_string(),
                    ValueRef::Real(number) => number.to_string(),
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.escape_ascii().to_string(),
                });
            }
            line.push('\n');
            out.write_all(line.as_bytes())
                .map_err(|e| Cause::Io("write the dump", e))?;
        }
    }
    Ok(())
}

/// The last entry below `end` that was folded, and its leaf hash.
pub(crate) fn last_hash(db: &Connection, end: u64) -> Result<Option<(u64, Hash)>> {
    let mut select = db.prepare_cached("SELECT seq, hash FROM entry WHERE seq < ?1 ORDER BY seq DESC LIMIT 1")?;
    let row = select.query_row([number(end)], |row| Ok((row.get(0)?, row.get(1).map(Hash)?)));
    row.optional()?
        .map(|(seq, hash)| Ok((position(seq)?, hash)))
        .transpose()
}

/// Entries that could not be read when they were to be folded.
pub(crate) fn missing(db: &Transaction<'_>) -> Result<Vec<u64>> {
    let mut select = db.prepare_cached("SELECT seq FROM missing ORDER BY seq")?;
    let rows = select.query_map([], |row| row.get(0))?;
    rows.map(|seq| position(seq?)).collect()
}

/// Columns of `doc` that [`Outline::of`] wants.
pub(crate) const OUTLINE: &str = "nth, length, asks, thread, time_ms, expires_ms, confidence";

/// A row of `doc` apart from what it says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outline {
    /// Its number in its scope.
    pub(crate) nth: u32,
    /// That it goes on with a conversation is not known here.
    pub(crate) shape: Shape,
    pub(crate) turn: Turn,
    pub(crate) bounds: Bounds,
}

/// When an event happened, and in which conversation: what tells whether the next one goes on with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) thread: u32,
    pub(crate) time_ms: u64,
}

impl Turn {
    /// Whether `later` goes on with the conversation.
    pub(crate) fn leads_to(&self, later: &Self) -> bool {
        self.thread != 0
            && self.thread == later.thread
            && self.time_ms.abs_diff(later.time_ms) <= limits::SESSION_GAP.as_millis() as u64
    }
}

impl Outline {
    /// From a row that begins with the columns [`OUTLINE`].
    pub(crate) fn of(row: &Row<'_>) -> Result<Self> {
        let time_ms = position(row.get(4)?)?;
        Ok(Self {
            nth: row.get(0)?,
            shape: Shape::new(row.get(1)?, row.get(2)?),
            turn: Turn {
                thread: row.get(3)?,
                time_ms,
            },
            bounds: Bounds {
                time_ms,
                expires_ms: row.get::<_, Option<i64>>(5)?.map_or(Ok(u64::MAX), position)?,
                confidence: row.get(6)?,
            },
        })
    }
}

/// A `seq` or `nth` as SQLite holds it. Positions stay below 2^53.
pub(crate) fn number(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

/// A `seq` that SQLite held.
pub(crate) fn position(number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|_| Cause::Damaged("a position is negative".into()))
}

use std::{fmt, io, time::Duration};

/// Why recall cannot answer. The message says what happened and what to do next; it names no path of this machine.
pub struct Error(Cause);

/// What sort of refusal an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The question is malformed or larger than a limit.
    Invalid,
    /// The log could not be read; the message is the log's own.
    Log,
    /// The file of derived state is damaged. Nothing is lost: `rebuild` makes it again from the log.
    Damaged,
    /// Other processes kept the file of derived state locked. Try again.
    Busy,
    /// What was waited for did not come in time.
    Behind,
    /// The operating system refused to open or write the file of derived state.
    Io,
}

impl Error {
    /// What sort of refusal this is.
    pub fn kind(&self) -> ErrorKind {
        match &self.0 {
            Cause::Invalid(_) => ErrorKind::Invalid,
            Cause::Log(_) => ErrorKind::Log,
            Cause::Behind { .. } => ErrorKind::Behind,
            Cause::Io(..) => ErrorKind::Io,
            cause if cause.is_damage() => ErrorKind::Damaged,
            cause if cause.is_busy() => ErrorKind::Busy,
            _ => ErrorKind::Io,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind(), self.0)
    }
}

impl std::error::Error for Error {}

impl From<Cause> for Error {
    fn from(cause: Cause) -> Self {
        Self(cause)
    }
}

/// The result of this crate's inner functions; [`Error`] wraps it at the face.
pub(crate) type Result<T> = std::result::Result<T, Cause>;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Log(#[from] quipu_log::Error),
    #[error("cannot {0}: {1}")]
    Io(&'static str, io::Error),
    #[error("the projection is damaged ({0}); delete the folder projections/ and it is made again from the log")]
    Damaged(String),
    #[error("somebody else is making it again already: `quipu stats` says how far that has come")]
    Building,
    #[error("{}", behind(*seq, *waited, *reached, *head))]
    Behind {
        seq: u64,
        waited: Duration,
        reached: u64,
        head: u64,
    },
    #[error("the projection (projections/recall.sqlite) cannot be used: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// Why an entry is not in what is derived.
fn behind(seq: u64, waited: Duration, reached: u64, head: u64) -> String {
    let waited = waited.as_secs_f64();
    match head.checked_sub(1) {
        Some(last) if last >= seq => format!(
            "entry {seq} is not in what is derived after {waited} s: that has come to {reached}, and the log to {head}; wait \
             longer, or ask without waiting"
        ),
        Some(last) => format!(
            "there is no entry {seq} after {waited} s: the log ends with entry {last}. The position is the `seq` of a receipt"
        ),
        None => format!("there is no entry {seq} after {waited} s: the log is empty"),
    }
}

impl From<rusqlite::types::FromSqlError> for Cause {
    fn from(error: rusqlite::types::FromSqlError) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// What could be read of the log; `None` also where it is damaged or in an archive that is not here. `quipu verify` names
/// that, and it stops nobody from recalling all the rest.
pub(crate) fn unless_damaged<T>(read: quipu_log::Result<Option<T>>) -> Result<Option<T>> {
    match read {
        Err(error) if is_missing(&error) => {
            tracing::warn!(%error, "an entry cannot be read and is left out of what is recalled");
            Ok(None)
        }
        read => Ok(read?),
    }
}

/// Whether an entry is there that cannot be read.
pub(crate) fn is_missing(error: &quipu_log::Error) -> bool {
    matches!(
        error.kind(),
        quipu_log::ErrorKind::Corrupt | quipu_log::ErrorKind::NotHere
    )
}

impl Cause {
    /// Whether the file holds what no fold wrote: other pages, other tables or other types than ours.
    pub(crate) fn is_damage(&self) -> bool {
        use rusqlite::{Error as Sqlite, ErrorCode, ffi::SQLITE_ERROR};
        match self {
            Self::Damaged(_) => true,
            Self::Sqlite(
                Sqlite::FromSqlConversionFailure(..)
                | Sqlite::IntegralValueOutOfRange(..)
                | Sqlite::InvalidColumnType(..)
                | Sqlite::SqlInputError { .. },
            ) => true,
            // Our statements are constant: an error in one of them means that the tables are not ours.
            Self::Sqlite(Sqlite::SqliteFailure(failure, _)) if failure.extended_code == SQLITE_ERROR => true,
            Self::Sqlite(error) => {
                matches!(
                    error.sqlite_error_code(),
                    Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
                )
            }
            _ => false,
        }
    }

    pub(crate) fn is_busy(&self) -> bool {
        match self {
            Self::Building => true,
            Self::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked)
            ),
            _ => false,
        }
    }
}

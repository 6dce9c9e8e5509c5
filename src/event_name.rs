use std::{fmt, str::FromStr};

use quipu_format::EventId;
use quipu_log::LedgerReader;

use crate::failure::Failure;

/// How a user names an event: by its id, or by its position in the ledger.
#[derive(Clone, Copy)]
pub(crate) enum EventName {
    Id(EventId),
    Seq(u64),
}

impl EventName {
    /// Its position; "not found" if it has none.
    pub(crate) fn seq(self, reader: &LedgerReader) -> Result<u64, Failure> {
        let seq = match self {
            Self::Seq(seq) => Some(seq).filter(|seq| *seq < reader.head()),
            Self::Id(id) => reader.find(id)?,
        };
        seq.ok_or_else(|| Failure::no(format!("there is no event {self} in this ledger")))
    }
}

impl FromStr for EventName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(seq) => Ok(Self::Seq(seq)),
            Err(_) => text
                .parse()
                .map(Self::Id)
                .map_err(|error: quipu_format::Error| error.to_string()),
        }
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "named {id}"),
            Self::Seq(seq) => write!(f, "at position {seq}"),
        }
    }
}

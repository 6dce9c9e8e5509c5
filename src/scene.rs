//! From where a command on beliefs looks: a ledger, what is derived from it, and a position in its history.

use std::str::FromStr;

use quipu_format::{Scope, Timestamp};
use quipu_log::LedgerReader;
use quipu_projections::{Handle, Projections, View};

use crate::{failure::Failure, ledger::LedgerDir, log::time, terminal};

/// A position in a ledger's history, as a user names it.
#[derive(Clone, Copy)]
pub(crate) enum Point {
    Seq(u64),
    Time(Timestamp),
}

/// A ledger and what is derived from it, caught up.
pub(crate) struct Scene {
    pub(crate) reader: LedgerReader,
    pub(crate) projections: Projections,
}

/// Entries that are folded between two looks at the progress.
const STEP: u64 = 20_000;

impl Scene {
    pub(crate) fn open(ledger: &LedgerDir) -> Result<Self, Failure> {
        Self::of(ledger.read()?)
    }

    pub(crate) fn of(reader: LedgerReader) -> Result<Self, Failure> {
        let projections = Projections::open(&reader)?;
        let mut progress = terminal::Progress::new("deriving");
        let head = reader.head();
        loop {
            let reached = projections.catch_up(projections.as_of()?.saturating_add(STEP).min(head))?;
            progress.show(reached, head);
            if reached >= head {
                return Ok(Self { reader, projections });
            }
        }
    }

    /// What is seen of these scopes below a position, or of all where none is named.
    pub(crate) fn view(&self, scopes: &[Scope], head: u64) -> View {
        let handle = |scope: &Scope| Handle {
            scope: scope.clone(),
            head,
            run: None,
        };
        match scopes {
            [] => View::Everything { head },
            scopes => View::Handles(scopes.iter().map(handle).collect()),
        }
    }

    /// The `seq` below which all is seen, and the instant at which it is looked at: the present, or that of the point.
    pub(crate) fn at(&self, point: Option<Point>) -> Result<(u64, Timestamp), Failure> {
        let head = self.reader.head();
        Ok(match point {
            None => (head, terminal::now()),
            Some(Point::Time(time)) => (self.reader.seq_at(time)?.min(head), time),
            Some(Point::Seq(seq)) => {
                let next = self.reader.envelope(seq.min(head))?;
                (seq.min(head), next.map_or_else(terminal::now, |next| next.ts))
            }
        })
    }
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(seq) => Ok(Self::Seq(seq)),
            Err(_) => time(text)
                .map(Self::Time)
                .map_err(|error| format!("it is neither a position in the ledger nor a time: {error}")),
        }
    }
}

//! Which erasures in a log count: those that an operator signed who could. One that does not erases nothing, whoever wrote
//! it into the files. docs/FORMAT.md, "Acts".

use std::path::Path;

use quipu_format::Envelope;

use crate::{
    Error, ErrorKind, LedgerReader, Result,
    disk::Folder,
    erasure::Erasures,
    opening,
    operators::Operators,
    recovery::{Log, Row},
};

/// Tells which acts in a log count, as `quipu verify` does. It is asked about entries in the order of the log.
pub struct Authority {
    reader: LedgerReader,
    operators: Operators,
    /// Entries of `quipu:ledger` below it have been looked at.
    next: u64,
}

impl LedgerReader {
    /// Tells which acts in this log count.
    pub fn authority(&self) -> Authority {
        Authority {
            reader: self.clone(),
            operators: Operators::default(),
            next: 0,
        }
    }
}

impl Authority {
    /// Why an entry of this log does not count as an operator's act although its kind is one that only an act can have.
    /// None: it counts, or is none.
    ///
    /// # Errors
    /// `NotHere` where entries cannot be read that tell who is an operator.
    pub fn refusal(&mut self, envelope: &Envelope) -> Result<Option<Error>> {
        self.operators.follow(&self.reader, self.next..envelope.seq)?;
        self.next = envelope.seq + 1;
        match self.operators.take(envelope) {
            Ok(()) => Ok(None),
            Err(e) if e.kind() == ErrorKind::NotHere => Err(e),
            Err(why) => Ok(Some(why)),
        }
    }

    /// Those among erasures in this log that do not count, and why.
    pub(crate) fn refused(&mut self, erasures: &Erasures) -> Result<Vec<(u64, Error)>> {
        let mut refused = Vec::new();
        for seq in erasures.seqs() {
            let envelope = self.reader.envelope(seq)?;
            let why = envelope.map(|envelope| self.refusal(&envelope)).transpose()?;
            refused.extend(why.flatten().map(|why| (seq, why)));
        }
        Ok(refused)
    }
}

/// By what an erasure stands where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Basis {
    /// An operator signed it who was enrolled there.
    Operator,
    /// There had never been an operator: the host claims it.
    Host,
    /// Entries that would tell cannot be read.
    Unknown,
    /// None: why.
    None(String),
}

impl Basis {
    /// Of an entry that `operators` have just gone past, with this outcome.
    pub(crate) fn of(operators: &Operators, envelope: &Envelope, counts: &Result<()>) -> Self {
        match counts {
            Ok(()) => Self::Operator,
            // What was signed once is no less signed where it stands again.
            Err(_) if operators.repeats(envelope) => Self::Operator,
            Err(e) if e.kind() == ErrorKind::NotHere => Self::Unknown,
            Err(_) if operators.have_been() == Some(false) => Self::Host,
            Err(_) if operators.have_been().is_none() => Self::Unknown,
            Err(why) => Self::None(why.to_string()),
        }
    }
}

/// Looks at the erasures that an open would finish: a log with one that does not count was written by somebody else, and
/// contradicts itself.
pub(crate) fn examine(log: &mut Log, folder: &Folder, path: &Path) -> Result<()> {
    if log.erasures.is_empty() || !matches!(log.row(), Row::D(_) | Row::E) {
        return Ok(());
    }
    let reader = opening::reader(folder.clone(), path)?;
    // What ends the log is shown as well.
    reader.proved(log.index.next());
    if let Some((seq, why)) = reader.authority().refused(&log.erasures)?.into_iter().next() {
        log.contradict(format!(
            "entry {seq} is an erasure without authority, and was not carried out: {why}"
        ));
    }
    Ok(())
}

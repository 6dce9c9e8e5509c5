//! Runs in a log: which entries are of which.

use std::collections::{BTreeMap, BTreeSet};

use quipu_format::{Actor, Envelope, Hash, RunId, Scope, Timestamp};
use quipu_log::LedgerReader;

use crate::Result;

pub(crate) const RUN: &str = "quipu.run";
pub(crate) const TOLD: &str = "quipu.run.told";
pub(crate) const END: &str = "quipu.run.end";

/// A run that a log has, and where its entries are.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RecordedRun {
    /// Its name.
    pub run: RunId,
    /// Position of its first entry.
    pub seq: u64,
    /// When it began.
    pub ts: Timestamp,
    /// Whom the host stamped on its entries.
    pub actor: Actor,
    /// The scope that it worked in.
    pub home: Scope,
    /// SHA-256 of the component that it ran.
    pub component: Option<Hash>,
    /// Positions of entries that say what it was told.
    pub(crate) told: Vec<u64>,
    /// Positions of what it appended.
    pub(crate) appended: Vec<u64>,
    /// Position of its last entry. None: it was killed, or still goes on.
    pub(crate) end: Option<u64>,
    /// The first entry that could not be read between its beginning and its end: it may be one of its own.
    pub(crate) damaged: Option<u64>,
    /// The first entry under its name that is not between its beginning and its end, or begins it a second time.
    pub(crate) stray: Option<u64>,
}

impl RecordedRun {
    fn begin(run: RunId, envelope: Envelope) -> Self {
        Self {
            run,
            seq: envelope.seq,
            component: envelope
                .sys
                .as_ref()
                .and_then(|sys| Hash::from_hex(sys["run"]["component"].as_str()?)),
            ts: envelope.ts,
            actor: envelope.actor,
            home: envelope.scope,
            told: Vec::new(),
            appended: Vec::new(),
            end: None,
            damaged: None,
            stray: None,
        }
    }

    /// One of its entries, behind its first. Whether that is its last.
    fn add(&mut self, envelope: &Envelope) -> bool {
        match envelope.kind.as_str() {
            TOLD => self.told.push(envelope.seq),
            END => {
                self.end = Some(envelope.seq);
                return true;
            }
            RUN => self.stray = self.stray.or(Some(envelope.seq)),
            _ if envelope.kind.is_reserved() => {}
            _ => self.appended.push(envelope.seq),
        }
        false
    }
}

/// Finds a run by its name.
pub(crate) fn find(log: &LedgerReader, run: RunId, progress: &mut dyn FnMut(u64, u64)) -> Result<Option<RecordedRun>> {
    // Its name has the time in it when it was made, shortly before it began; where a clock was wrong it is anywhere.
    let early = Timestamp::from_ms(run.0.timestamp_ms().saturating_sub(CLOCKS_APART_MS));
    let (likely, head) = (log.seq_at(early)?, log.head());
    let mut looked = 0;
    // Each entry is looked at once, but where the clock was wrong.
    let mut readable = |log: &LedgerReader, seq| {
        looked += 1;
        if looked % PROGRESS_ENTRIES == 0 || looked == head {
            progress(looked.min(head), head);
        }
        readable(log, seq)
    };
    for seq in (likely..head).chain(0..likely) {
        let Some(envelope) = readable(log, seq)? else { continue };
        if envelope.run != Some(run) || envelope.kind.as_str() != RUN {
            continue;
        }
        let mut found = RecordedRun::begin(run, envelope);
        for seq in seq + 1..head {
            match readable(log, seq)? {
                Some(envelope) if envelope.run == Some(run) => match found.end {
                    None => drop(found.add(&envelope)),
                    Some(_) => {
                        found.stray = found.stray.or(Some(seq));
                        break;
                    }
                },
                // What stands behind its end is none of it, and who wrote it anew has written it readable.
                None if found.end.is_none() => found.damaged = found.damaged.or(Some(seq)),
                _ => {}
            }
        }
        if found.stray.is_none() {
            let is_its = |envelope: Option<Envelope>| envelope.is_some_and(|envelope| envelope.run == Some(run));
            for seq in 0..found.seq {
                if is_its(readable(log, seq)?) {
                    found.stray = Some(seq);
                    break;
                }
            }
        }
        return Ok(Some(found));
    }
    Ok(None)
}

/// Entries under the name of a run that are not between its beginning and its end, and second beginnings: the first of each
/// run. What is held meanwhile is the runs' names.
fn strays(log: &LedgerReader, head: u64) -> Result<BTreeMap<RunId, u64>> {
    let (mut begun, mut open, mut strays) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
    for seq in 0..head {
        let Some(envelope) = readable(log, seq)? else { continue };
        let Some(run) = envelope.run else { continue };
        let is_its_own = match envelope.kind.as_str() {
            RUN => begun.insert(run) && open.insert(run),
            END => open.remove(&run),
            _ => open.contains(&run),
        };
        if !is_its_own {
            strays.entry(run).or_insert(seq);
        }
    }
    Ok(strays)
}

const CLOCKS_APART_MS: u64 = 1_000;

/// Entries between two words of how far a search has come.
const PROGRESS_ENTRIES: u64 = 256;

/// The envelope there. None: it is damaged.
fn readable(log: &LedgerReader, seq: u64) -> Result<Option<Envelope>> {
    match log.envelope(seq) {
        Err(error) if error.kind() == quipu_log::ErrorKind::Corrupt => Ok(None),
        envelope => Ok(envelope?),
    }
}

/// All runs that a log has, in the order in which they ended; those without an end come last.
pub struct Runs {
    log: LedgerReader,
    next: u64,
    head: u64,
    open: BTreeMap<RunId, RecordedRun>,
    /// Once it is known.
    strays: Option<BTreeMap<RunId, u64>>,
}

impl Runs {
    pub(crate) fn new(log: LedgerReader) -> Self {
        Self {
            head: log.head(),
            log,
            next: 0,
            open: BTreeMap::new(),
            strays: None,
        }
    }

    /// Entries that have been looked at, and how many there are.
    pub fn progress(&self) -> (u64, u64) {
        (self.next, self.head)
    }

    fn step(&mut self) -> Result<Option<RecordedRun>> {
        if self.strays.is_none() {
            self.strays = Some(strays(&self.log, self.head)?);
        }
        let mut run = self.following()?;
        if let (Some(run), Some(strays)) = (&mut run, &self.strays) {
            run.stray = run.stray.or(strays.get(&run.run).copied());
        }
        Ok(run)
    }

    /// The next one, of whose strays only those between its beginning and its end are looked for.
    pub(crate) fn following(&mut self) -> Result<Option<RecordedRun>> {
        while self.next < self.head {
            let seq = self.next;
            self.next += 1;
            let Some(envelope) = readable(&self.log, seq)? else {
                for open in self.open.values_mut() {
                    open.damaged = open.damaged.or(Some(seq));
                }
                continue;
            };
            let Some(run) = envelope.run else { continue };
            if envelope.kind.as_str() == RUN && !self.open.contains_key(&run) {
                self.open.insert(run, RecordedRun::begin(run, envelope));
            } else if self.open.get_mut(&run).is_some_and(|open| open.add(&envelope)) {
                return Ok(self.open.remove(&run));
            }
        }
        Ok(self.open.pop_first().map(|(_, run)| run))
    }
}

impl Iterator for Runs {
    type Item = Result<RecordedRun>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

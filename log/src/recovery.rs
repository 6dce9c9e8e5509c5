//! What an open finds and what it does about it: one decision table, each state exactly one row.
//! docs/FORMAT.md, "Recovery", has the table; its letters are the ones here.

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use quipu_format::{Checkpoint, Envelope, Hash, Scope, tree::Frontier};
use serde_json::Value;
use ulid::Ulid;

use crate::{
    Error, ErrorKind, LedgerReader, Result,
    base::Base,
    disk::{Access, DiskFile, Folder},
    erasure::Erasures,
    index::{Index, SharedIndex},
    lines::Found,
    open_files::OpenFiles,
    reader::Direction,
    scan::{self, Tail},
    segment,
};

pub(crate) const TORN: &str = "torn";

/// The rows of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Row {
    /// The checkpoint, or a scope's chain, contradicts the log.
    A(String),
    /// The log ends before the floor.
    B { next: u64, floor: u64 },
    /// Damage that no crash explains.
    C(String),
    /// A commit that was being written when the process died.
    D(Range<usize>),
    /// Nothing behind the last whole commit.
    E,
}

/// All that the decision rests on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Findings {
    /// Why the checkpoint cannot be believed, or does not fit the log.
    pub(crate) contradiction: Option<String>,
    /// `seq` after the last whole commit.
    pub(crate) next: u64,
    /// Entries that must be there: the checkpoint's size, and what erasures were carried out up to.
    pub(crate) floor: u64,
    /// An authentic line behind the last whole commit that is of another commit than the next, or a sealed segment
    /// that does not end where the next begins.
    pub(crate) stray: Option<String>,
    /// Bytes other than LF behind the last whole commit.
    pub(crate) rest: Range<usize>,
}

/// The table. Rows are tried in order.
pub(crate) fn decide(findings: &Findings) -> Row {
    if let Some(why) = &findings.contradiction {
        return Row::A(why.clone());
    }
    if findings.next < findings.floor {
        return Row::B {
            next: findings.next,
            floor: findings.floor,
        };
    }
    if let Some(what) = &findings.stray {
        return Row::C(what.clone());
    }
    if !findings.rest.is_empty() {
        return Row::D(findings.rest.clone());
    }
    Row::E
}

/// What was read of the log.
pub(crate) struct Log {
    pub(crate) index: Index,
    /// The tree before the first of the leaves.
    pub(crate) frontier: Frontier,
    pub(crate) leaves: Vec<Hash>,
    pub(crate) last_id: Ulid,
    /// Erasures that the keys have not carried out.
    pub(crate) erasures: Erasures,
    applied: u64,
    findings: Findings,
    /// The last whole commit of the newest segment.
    last_commit: Vec<u8>,
    last_commit_at: u64,
}

impl Row {
    /// Its letter in docs/FORMAT.md.
    pub(crate) fn letter(&self) -> char {
        match self {
            Self::A(_) => 'a',
            Self::B { .. } => 'b',
            Self::C(_) => 'c',
            Self::D(_) => 'd',
            Self::E => 'e',
        }
    }
}

impl Log {
    /// Reads all that stands behind the base, without changing anything.
    pub(crate) fn read(
        ledger: &Folder,
        files: &Arc<OpenFiles>,
        secret: &[u8; 32],
        checkpoint: Result<Checkpoint>,
        applied: u64,
    ) -> Result<Self> {
        let mut findings = Findings::default();
        let checkpoint = match checkpoint {
            Ok(checkpoint) => Some(checkpoint),
            Err(e) if matches!(e.kind(), ErrorKind::Tampered | ErrorKind::NotFound | ErrorKind::Corrupt) => {
                findings.contradiction = Some(e.to_string());
                None
            }
            Err(e) => return Err(e),
        };
        let firsts = files.segments()?;
        let base = Base::find(ledger, files, &firsts, secret, checkpoint.as_ref(), applied)?;
        let start = base.size();
        let mut this = Self {
            frontier: base.frontier.clone(),
            leaves: Vec::new(),
            last_id: base.last_id,
            erasures: Erasures::default(),
            applied,
            index: base.into_index(files.clone()),
            findings,
            last_commit: Vec::new(),
            last_commit_at: 0,
        };
        this.findings.floor = applied.max(checkpoint.as_ref().map_or(0, |c| c.size));
        let behind: Vec<_> = firsts.into_iter().filter(|&first| first >= start).collect();
        this.read_segments(files, &behind, checkpoint.as_ref())?;
        this.findings.next = this.index.next();
        Ok(this)
    }

    fn read_segments(&mut self, files: &OpenFiles, firsts: &[u64], checkpoint: Option<&Checkpoint>) -> Result<()> {
        let mut frontier = self.frontier.clone();
        for (number, &first) in firsts.iter().enumerate() {
            let file = Arc::new(files.open_segment(first)?);
            let bytes = read_segment(&file)?;
            let next = self.index.next();
            if first != next {
                let why = format!("{}: it begins with entry {first} where {next} is next", file.name());
                self.findings.stray.get_or_insert(why);
                break;
            }
            if self.index.newest_file().is_none() {
                self.index.set_newest_file(file.clone());
            } else {
                self.index.rotate(first, file.clone());
            }
            let mut contradiction = None;
            let tail = scan::commits(&bytes, 0, next, |found| {
                if contradiction.is_none() {
                    contradiction = self.take(&found, &file);
                }
                frontier.push(found.hash);
                if let Some(c) = checkpoint.filter(|c| c.size == frontier.size())
                    && c.root != frontier.root()
                {
                    let why = format!("the log's root at {} entries is not the one that was signed", c.size);
                    self.findings.contradiction.get_or_insert(why);
                }
                Ok::<_, Error>(())
            })?;
            scan::refuse_newer(&bytes[tail.end..], tail.end, &file)?;
            if let Some(why) = contradiction {
                self.findings.contradiction.get_or_insert(why);
            }
            let newest = number + 1 == firsts.len();
            self.look_behind(&bytes, &tail, &file, newest);
            if newest || self.findings.stray.is_some() {
                self.findings.rest = tail.rest;
                self.last_commit = bytes[tail.last_commit.clone()].to_vec();
                self.last_commit_at = tail.last_commit.start as u64;
                break;
            }
        }
        Ok(())
    }

    /// Takes an entry in. Returns why it contradicts those before it, if it does.
    fn take(&mut self, found: &Found, file: &DiskFile) -> Option<String> {
        let Envelope {
            seq,
            id,
            scope,
            nth,
            prev,
            ts,
            ..
        } = &found.envelope;
        let (count, last) = self
            .index
            .scopes
            .get(scope)
            .map_or((0, Hash::of_nothing()), |head| (head.count, head.last));
        if *seq >= self.applied {
            self.erasures.take(&found.envelope);
        }
        let rises = id.0 > self.last_id || *seq == 0;
        let hash = found.hash;
        self.index.push(found.listed(), found.range.clone());
        self.leaves.push(hash);
        self.last_id = id.0;
        let fits = *nth == count && *prev == last && rises && id.0.timestamp_ms() == ts.as_ms();
        (!fits).then(|| {
            format!(
                "{}, byte {}: entry {seq} does not follow from the entries before it",
                file.name(),
                found.range.start
            )
        })
    }

    fn look_behind(&mut self, bytes: &[u8], tail: &Tail, file: &DiskFile, newest: bool) {
        let stray = scan::authentic(bytes, tail.end).find(|found| found.first != tail.next);
        let place = format!("{}, byte {}: entry {} is damaged", file.name(), tail.end, tail.next);
        if let Some(stray) = stray {
            let why = format!(
                "{place} ({}), and entry {} stands behind it",
                tail.why, stray.envelope.seq
            );
            self.findings.stray.get_or_insert(why);
        } else if !newest && !tail.rest.is_empty() {
            self.findings
                .stray
                .get_or_insert(format!("{place} ({}), in a sealed segment", tail.why));
        }
    }

    /// Takes note of why the log contradicts itself.
    pub(crate) fn contradict(&mut self, why: String) {
        self.findings.contradiction.get_or_insert(why);
    }

    /// The row that this log is in.
    pub(crate) fn row(&self) -> Row {
        decide(&self.findings)
    }

    /// Why the ledger must not be written, where its row says so.
    pub(crate) fn refusal(&self) -> Option<Error> {
        match self.row() {
            Row::A(why) => Some(refusal(ErrorKind::Tampered, &format!("the ledger was changed: {why}"))),
            Row::B { next, floor } => {
                let stray = self
                    .findings
                    .stray
                    .as_ref()
                    .map_or(String::new(), |what| format!(" ({what})"));
                let what = format!("the log holds {next} entries where {floor} were acknowledged{stray}");
                Some(refusal(ErrorKind::LostEntries, &what))
            }
            Row::C(what) => Some(refusal(ErrorKind::Corrupt, &format!("the log is damaged: {what}"))),
            Row::D(_) | Row::E if self.index.newest_file().is_none() => {
                Some(refusal(ErrorKind::LostEntries, "there is no segment in log/"))
            }
            Row::D(_) | Row::E => None,
        }
    }

    /// The bytes of the newest segment that a crash cut off, if there are any.
    pub(crate) fn torn(&self) -> Option<Range<usize>> {
        match self.row() {
            Row::D(rest) => Some(rest),
            _ => None,
        }
    }

    /// Entries that must be there.
    pub(crate) fn floor(&self) -> u64 {
        self.findings.floor
    }

    /// Does what the row says: refuses, or makes the newest segment clean and durable. Returns where it ends and the
    /// next commit goes.
    pub(crate) fn recover(&self, ledger: &Folder, log: &Folder) -> Result<(Arc<DiskFile>, u64)> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        let first = self.index.newest_first();
        // A crash may have come between sealing a segment and beginning the next.
        log.make_writable(&segment::file_name(first))?;
        let file = Arc::new(log.write_file(&segment::file_name(first))?);
        if let Some(rest) = self.torn() {
            let bytes = file.read_range(rest.start as u64, rest.len())?;
            keep_torn(ledger, first, rest.start, &bytes)?;
        }
        // After a failed sync the page cache may show a commit that never reached the disk, and a second sync would
        // report success: writing it again makes it dirty again.
        file.write_all_at(&self.last_commit, self.last_commit_at)?;
        // For the same reason what looks like fill behind it may be something else on the disk, and is cut off.
        let position = self.last_commit_at + self.last_commit.len() as u64;
        file.set_len(position)?;
        file.sync_all()?;
        segment::discard_next(log)?;
        log.sync()?;
        Ok((file, position))
    }
}

/// Files in `torn/` that no entry names yet, and what a `quipu.recovered` entry says of each.
pub(crate) fn unnamed_torn(reader: &LedgerReader) -> Result<Vec<Value>> {
    let folder = match reader.state.folder.sub(TORN) {
        Ok(folder) => folder,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let names = folder.list()?;
    let mut names: BTreeSet<_> = names.into_iter().filter(|name| name.ends_with(".torn")).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let index = &reader.state.index;
    for seq in index.select(&Scope::ledger(), 0..u64::MAX, Direction::Forward, usize::MAX)? {
        let sys = match reader.envelope(seq) {
            // It may name any that was set aside before it: those are not named again as long as that is not known.
            Err(e) if e.kind() == ErrorKind::NotHere => {
                names.retain(|name| {
                    name.get(..20)
                        .and_then(|first| first.parse().ok())
                        .is_some_and(|first: u64| first > seq)
                });
                continue;
            }
            Ok(envelope) => envelope.and_then(|envelope| envelope.sys),
            // Old damage does not stop writing; what the entry may have named is named again.
            Err(e) if e.kind() == ErrorKind::Corrupt => continue,
            Err(e) => return Err(e),
        };
        if let Some(name) = sys.as_ref().and_then(|sys| sys["recovered"]["file"].as_str()) {
            names.remove(name);
        }
    }
    let mut unnamed = Vec::new();
    for name in names {
        let bytes = folder.read(&name, segment::MOST_BYTES)?.unwrap_or_default();
        unnamed.push(serde_json::json!({
            "recovered": {"file": name, "bytes": bytes.len(), "sha256": Hash::of(&[&bytes])}
        }));
    }
    Ok(unnamed)
}

/// Copies torn bytes aside, durably: they may be all that is left of something.
fn keep_torn(ledger: &Folder, first: u64, offset: usize, bytes: &[u8]) -> Result<()> {
    let folder = ledger.create_sub(TORN)?;
    ledger.sync()?;
    let digest = Hash::of(&[bytes]).to_hex();
    folder.replace(
        &format!("{first:020}-{offset}-{}.torn", &digest[..16]),
        bytes,
        Access::Usual,
    )
}

/// The bytes of a segment file, whose size is bounded.
pub(crate) fn read_segment(file: &DiskFile) -> Result<Vec<u8>> {
    let length = file.len()?;
    if length > segment::MOST_BYTES {
        let message = format!("{} has {length} bytes, more than a segment can have", file.name());
        return Err(Error::new(ErrorKind::Corrupt, message));
    }
    file.read_range(0, length as usize)
}

fn refusal(kind: ErrorKind, what: &str) -> Error {
    let message = format!(
        "{what}. Nothing was changed, and the ledger is not written. Reading still works; run `quipu verify` to see \
         the first bad place, and restore from a backup"
    );
    Error::new(kind, message)
}

#[cfg(test)]
#[path = "recovery_tests.rs"]
mod tests;

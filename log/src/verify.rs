// Long because the verdict reads best as one walk over all entries.

//! The whole verdict on a ledger, from the bytes on disk alone: nothing that an open ledger holds is believed.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    path::Path,
    sync::Arc,
};

use quipu_format::{Checkpoint, Envelope, Hash, Scope, tree::Frontier};
use serde::Serialize;
use ulid::Ulid;

use crate::{
    Absent, Error, ErrorKind, Result,
    archive::{Archive, Segments},
    checkpoint, components,
    disk::{DiskFile, Folder},
    gaps::Gaps,
    keyfile::{self, Keys},
    lineage::Lineage,
    lines::Found,
    lock::Lock,
    manifest::{self, Manifest},
    opened::{Opened, opened},
    reader::KeyPaths,
    recovery::read_segment,
    scan::{self, Tail},
    segment,
};

/// How far a verification has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyProgress {
    /// Bytes of segments read.
    pub bytes: u64,
    /// Bytes of all segments.
    pub total_bytes: u64,
    /// Entries verified.
    pub entries: u64,
}

/// A verdict on a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Verification {
    /// Name of the ledger.
    pub origin: String,
    /// Entries whose line, place in the tree and place in their scope's chain are good.
    pub entries: u64,
    /// Scopes.
    pub scopes: u64,
    /// Entries whose body was opened and is what the envelope commits to.
    pub intact: u64,
    /// Entries whose body was not opened, because the key file is not there.
    pub sealed: u64,
    /// Size of the signed checkpoint.
    pub checkpoint_size: u64,
    /// Root over all entries.
    pub root: Hash,
    /// The first bad place. None: the ledger verifies.
    pub fault: Option<Fault>,
    /// Archived segments that are not where they should be, which is no sign of tampering: their entries were not looked at.
    /// That all others belong with them was checked by their leaf hashes, which the ledger has.
    pub absent: Vec<Absent>,
    /// What is worth knowing and no fault.
    pub notes: Vec<String>,
}

/// The first bad place of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Fault {
    /// File within the ledger.
    pub file: String,
    /// Byte in that file.
    pub offset: u64,
    /// The entry that is bad or missing there.
    pub seq: Option<u64>,
    /// What is wrong.
    pub what: String,
}

/// Verifies a ledger: every line's checksum and form, every scope's chain, every commitment (where the key file is
/// there), every time and name, the fill behind the last commit, the root and signature of the checkpoint, and the
/// components that ran. Stops at the first bad place. Changes nothing.
///
/// # Errors
/// Only where it cannot be read at all; a ledger that is read and is bad gives a [`Fault`].
pub fn verify(path: &Path, progress: &mut dyn FnMut(VerifyProgress)) -> Result<Verification> {
    verify_in(&Folder::open(path)?, progress)
}

/// The same, of a ledger whose folder is open.
pub(crate) fn verify_in(folder: &Folder, progress: &mut dyn FnMut(VerifyProgress)) -> Result<Verification> {
    let manifest = Manifest::read(folder)?;
    // Before any segment: what the checkpoint covers is then in the bytes that are read after.
    let live = Lock::is_held(folder)?;
    let checkpoint = checkpoint::read(folder, &manifest.verifier_key);
    let log = folder.sub(segment::FOLDER)?;
    let mut files = Vec::new();
    let archive = Archive::read(folder)?;
    let segments = Segments::new(folder.clone(), log);
    for first in segments.list()? {
        let opened = segments.open(first);
        let segment = match (opened, archive.find(first)) {
            (Err(e), Some(archived)) if e.kind() == ErrorKind::NotHere => Segment::Absent(archived.absent()),
            // A cold file that is not one: its name is in the message.
            (Err(e), Some(archived)) if e.kind() == ErrorKind::Corrupt => Segment::Bad(archived.absent(), e),
            (opened, _) => Segment::Here(Arc::new(opened?)),
        };
        files.push((first, segment));
    }
    let mut walk = Walk::new(folder, &manifest);
    if manifest.copy {
        walk.notes
            .push("this is a copy: it is not written until it is shown the newest checkpoint that is known".into());
    }
    let outcome = walk
        .read_keys()
        .and_then(|()| walk.all(&files, checkpoint, live, progress));
    let fault = match outcome {
        Ok(()) => None,
        Err(Stop::Fault(fault)) => Some(fault),
        Err(Stop::Unreadable(error)) => return Err(error),
    };
    Ok(Verification {
        origin: manifest.verifier_key.name().to_owned(),
        entries: walk.frontier.size() - walk.gaps.entries(),
        scopes: walk.scopes.len() as u64,
        intact: walk.intact,
        sealed: walk.sealed,
        checkpoint_size: walk.checkpoint_size,
        root: walk.frontier.root(),
        fault,
        absent: walk.gaps.segments,
        notes: walk.notes,
    })
}

/// A segment, as far as it can be read.
enum Segment {
    Here(Arc<DiskFile>),
    Absent(Absent),
    Bad(Absent, Error),
}

enum Stop {
    Fault(Fault),
    Unreadable(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Unreadable(error)
    }
}

struct Walk<'a> {
    ledger: &'a Folder,
    manifest: &'a Manifest,
    keys: Option<Arc<Keys>>,
    scopes: HashMap<Scope, Chain>,
    frontier: Frontier,
    ids: Vec<Ulid>,
    intact: u64,
    sealed: u64,
    checkpoint_size: u64,
    notes: Vec<String>,
    lineage: Lineage,
    gaps: Gaps,
    /// Components that were looked at.
    components: HashSet<Hash>,
}

/// A scope's chain as far as it was followed.
struct Chain {
    count: u32,
    last: Hash,
}

impl<'a> Walk<'a> {
    fn new(ledger: &'a Folder, manifest: &'a Manifest) -> Self {
        Self {
            ledger,
            manifest,
            keys: None,
            scopes: HashMap::new(),
            frontier: Frontier::new(),
            ids: Vec::new(),
            intact: 0,
            sealed: 0,
            checkpoint_size: 0,
            notes: Vec::new(),
            lineage: Lineage::default(),
            gaps: Gaps::default(),
            components: HashSet::new(),
        }
    }

    fn read_keys(&mut self) -> Result<(), Stop> {
        match Keys::read(self.ledger, self.manifest.verifier_key.name()) {
            Ok(keys) => self.keys = Some(Arc::new(keys)),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                self.notes
                    .push("the key file is not here: chain and tree were verified, bodies were not opened".into());
            }
            Err(e) if matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::Tampered) => {
                return Err(fault(keyfile::FILE, 0, None, &e));
            }
            Err(e) => return Err(e.into()),
        }
        Ok(())
    }

    fn all(
        &mut self,
        files: &[(u64, Segment)],
        checkpoint: Result<(String, Checkpoint)>,
        live: bool,
        progress: &mut dyn FnMut(VerifyProgress),
    ) -> Result<(), Stop> {
        let checkpoint = match checkpoint {
            Ok((_, checkpoint)) => checkpoint,
            Err(e) if matches!(e.kind(), ErrorKind::Tampered | ErrorKind::NotFound | ErrorKind::Corrupt) => {
                return Err(fault(checkpoint::FILE, 0, None, &e));
            }
            Err(e) => return Err(e.into()),
        };
        self.checkpoint_size = checkpoint.size;
        let mut total_bytes = 0;
        for (_, segment) in files {
            if let Segment::Here(file) = segment {
                total_bytes += file.len()?;
            }
        }
        let mut bytes_before = 0;
        let mut end = 0..0;
        for (number, (first, segment)) in files.iter().enumerate() {
            let file = match segment {
                Segment::Here(file) => file,
                Segment::Bad(absent, e) => {
                    let file = absent.file.display().to_string();
                    return Err(fault(&file, 0, Some(absent.first), e));
                }
                Segment::Absent(absent) => {
                    self.pass(absent, &checkpoint)?;
                    continue;
                }
            };
            let mut bytes = segment_bytes(file)?;
            let next = self.frontier.size();
            if *first != next {
                return Err(fault(
                    file.name(),
                    0,
                    Some(next),
                    &format!("it begins with entry {first} where {next} is next"),
                ));
            }
            let newest = number + 1 == files.len();
            let mut start = 0;
            let tail = loop {
                let next = self.frontier.size();
                let keys = self.keys.clone();
                let open = |paths: &mut KeyPaths, found: &Found<'_>| opened(keys.as_deref(), paths, found);
                let tail = scan::commits(&bytes, start, next, &open, |found, content| {
                    self.entry(&found, content, file)?;
                    if self.frontier.size() == checkpoint.size && self.frontier.root() != checkpoint.root {
                        self.gaps.refuse_root()?;
                        let what = format!("the root at {} entries is not the one that was signed", checkpoint.size);
                        return Err(fault(
                            file.name(),
                            found.range.start as u64,
                            Some(found.envelope.seq),
                            &what,
                        ));
                    }
                    if self.frontier.size().is_multiple_of(1_000) {
                        let bytes = bytes_before + found.range.end as u64;
                        progress(VerifyProgress {
                            bytes,
                            total_bytes,
                            entries: self.frontier.size(),
                        });
                    }
                    Ok(())
                })?;
                // Bytes that were read while they were written may lack what comes before a line that is there already.
                // That line proves that all before it was written, so reading again shows it, unless it is damage.
                let stray = scan::authentic(&bytes, tail.end).find(|found| found.line.first != tail.next);
                let Some(stray) = stray.filter(|_| newest && live && start == 0) else {
                    break tail;
                };
                let written = stray.range.end;
                start = tail.end;
                bytes = file.read_range(0, written)?;
            };
            scan::refuse_newer(&bytes, tail.end, file)?;
            self.look_behind(&bytes, &tail, file, newest && live)?;
            bytes_before += bytes.len() as u64;
            end = tail.end as u64..bytes.len() as u64;
            progress(VerifyProgress {
                bytes: bytes_before,
                total_bytes,
                entries: self.frontier.size(),
            });
        }
        let floor = checkpoint.size.max(self.keys.as_ref().map_or(0, |keys| keys.applied));
        if self.frontier.size() < floor {
            let next = self.frontier.size();
            let file = match files.last() {
                Some((_, Segment::Here(file))) => file.name(),
                _ => segment::FOLDER,
            };
            let what = format!("the log ends with {next} entries where {floor} were acknowledged");
            return Err(fault(file, end.start, Some(next), &what));
        }
        if let Some(seq) = self.lineage.refuse(&self.manifest.verifier_key) {
            let what = format!("it names another key than entry {seq}, which tells the ledger's");
            return Err(fault(manifest::FILE, 0, Some(seq), &what));
        }
        Ok(())
    }

    /// Passes over a segment that is not here: the tree's hashes stand for its entries.
    fn pass(&mut self, absent: &Absent, checkpoint: &Checkpoint) -> Result<(), Stop> {
        let after = self.ids.last().copied().unwrap_or_default();
        for leaf in self.gaps.begin(self.ledger, absent, self.frontier.size(), after)? {
            self.frontier.push(leaf);
            if self.frontier.size() == checkpoint.size && self.frontier.root() != checkpoint.root {
                self.gaps.refuse_root()?;
            }
        }
        self.lineage.pass();
        Ok(())
    }

    fn entry(&mut self, found: &Found<'_>, content: Opened, file: &DiskFile) -> Result<(), Stop> {
        let Envelope {
            seq,
            id,
            ts,
            scope,
            nth,
            prev,
            ..
        } = &found.envelope;
        let bad = |what: &dyn std::fmt::Display| fault(file.name(), found.range.start as u64, Some(*seq), what);
        if self.ids.last().is_some_and(|last| id.0 <= *last) || id.0.timestamp_ms() != ts.as_ms() {
            return Err(bad(&"its name or time does not rise with the entries before it"));
        }
        let links = found.envelope.evidence.iter().chain(&found.envelope.supersedes);
        for link in links {
            if self.ids.binary_search(&link.0).is_err() && !self.gaps.may_hold(link.0) {
                return Err(bad(&format_args!("it names {link}, which no entry before it is")));
            }
        }
        let chain = self.scopes.entry(scope.clone()).or_insert_with(|| Chain {
            count: 0,
            last: Hash::of_nothing(),
        });
        if self.gaps.may_precede(*nth, prev, chain.count) {
            chain.count = *nth;
        } else if *nth != chain.count || prev != &chain.last {
            return Err(bad(&format_args!(
                "it does not follow from the entry before it in its scope {scope}"
            )));
        }
        let content = match content {
            // A scope that is new since the keys were read: its record came before this entry.
            Opened::Unknown => {
                let keys = Keys::read(self.ledger, self.manifest.verifier_key.name())?;
                let keys = self.keys.insert(Arc::new(keys));
                opened(Some(keys), &mut KeyPaths::default(), found)
            }
            content => content,
        };
        match content {
            Opened::Intact => self.intact += 1,
            Opened::Sealed => self.sealed += 1,
            Opened::Unknown => return Err(bad(&"the file keys has no record of its scope")),
            Opened::Bad(why) => return Err(bad(&why)),
        }
        self.lineage
            .take(&found.envelope, &self.frontier)
            .map_err(|why| bad(&why))?;
        chain.count += 1;
        chain.last = found.hash;
        self.frontier.push(chain.last);
        self.ids.push(id.0);
        self.gaps.end(id.0);
        self.system(found, file)
    }

    /// What the host's own entries claim about the ledger's other files.
    fn system(&mut self, found: &Found<'_>, file: &DiskFile) -> Result<(), Stop> {
        let seq = found.envelope.seq;
        if found.envelope.sys.is_some() && !found.envelope.kind.is_reserved() {
            return Err(fault(
                file.name(),
                found.range.start as u64,
                Some(seq),
                &"only the host's kinds have sys",
            ));
        }
        let bad = |what: &str| fault(file.name(), found.range.start as u64, Some(seq), &what);
        let sys = found.envelope.sys.as_ref();
        if let Some(hex) = sys.and_then(|sys| sys["run"]["component"].as_str()) {
            let Some(digest) = components::digest(hex) else {
                return Err(bad("the component's digest is not one"));
            };
            if self.components.insert(digest) && components::read(self.ledger, &digest)?.is_none() {
                self.notes.push(format!(
                    "components/{} is missing or changed: the run at entry {seq} cannot be executed again",
                    components::file_name(&digest)
                ));
            }
        }
        Ok(())
    }

    fn look_behind(&mut self, bytes: &[u8], tail: &Tail, file: &DiskFile, live: bool) -> Result<(), Stop> {
        let stray = scan::authentic(bytes, tail.end).find(|found| found.line.first != tail.next);
        if let Some(stray) = stray {
            let what = format!("{}, and entry {} stands behind it", tail.why, stray.envelope.seq);
            return Err(fault(file.name(), tail.end as u64, Some(tail.next), &what));
        }
        let Range { start, end } = tail.rest;
        if start == end {
            return Ok(());
        }
        if live {
            self.notes
                .push(format!("{}: a writer is at work from byte {start} on", file.name()));
            return Ok(());
        }
        let what = format!(
            "bytes {start} to {end} are no whole commit ({}): opening the ledger for writing sets a torn commit aside",
            tail.why
        );
        Err(fault(file.name(), start as u64, Some(tail.next), &what))
    }
}

/// The bytes of a segment; one that is larger than a segment can be is a fault.
fn segment_bytes(file: &DiskFile) -> Result<Vec<u8>, Stop> {
    read_segment(file).map_err(|e| match e.kind() {
        ErrorKind::Corrupt => fault(file.name(), 0, None, &e),
        _ => e.into(),
    })
}

fn fault(file: &str, offset: u64, seq: Option<u64>, what: &dyn std::fmt::Display) -> Stop {
    Stop::Fault(Fault {
        file: file.to_owned(),
        offset,
        seq,
        what: what.to_string(),
    })
}

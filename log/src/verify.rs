// Long because the verdict reads best as one walk over all entries.

//! The whole verdict on a ledger, from the bytes on disk alone: nothing that an open ledger holds is believed.

use std::{collections::HashSet, ops::Range, sync::Arc, thread, time::Duration};

use quipu_format::{
    Checkpoint, Envelope, Hash, KeyPath, Line, Scope, ScopeState, leaf_hash, scope_key, tree::Frontier,
};
use serde::Serialize;
use ulid::Ulid;

use crate::{
    Absent, Error, ErrorKind, LedgerAt, Result,
    archive::{Archive, Segments},
    authority::Basis,
    checkpoint, components,
    disk::{DiskFile, Folder},
    entry::{Checks, Entry, Met, Scopes},
    gaps::Gaps,
    keyfile::{self, Keys},
    lineage::Lineage,
    lines::Found,
    lock::Lock,
    manifest::{self, Manifest},
    opened::{Opened, With, opened},
    operators::Operators,
    parts::{self, Parts, Place, Source, Work},
    root_fold::RootFold,
    scan::{self, Tail},
    segment,
    tree_check::{HashPlace, TreeCheck},
    verdicts::{Conclusion, Erased, Finding, Verdict, Verdicts},
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
    /// Entries whose body was not opened, because the key file is not there, or its passphrase was not given.
    pub sealed: u64,
    /// Entries whose secret is gone and which an erasure covers that an enrolled operator signed.
    pub erased_with_authority: u64,
    /// Entries whose secret is gone and which an erasure covers that nobody signed who could.
    pub erased_claimed: u64,
    /// Entries that an erasure covers and that open all the same.
    pub not_carried_out: u64,
    /// The erasures in the log.
    pub erasures: Vec<Erased>,
    /// What is wrong with content, where chain and tree are good. The first of them is the fault.
    pub findings: Vec<Finding>,
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
pub fn verify<'a>(at: impl Into<LedgerAt<'a>>, progress: &mut dyn FnMut(VerifyProgress)) -> Result<Verification> {
    verify_in(&at.into().folder()?, progress)
}

/// As [`verify`], of a ledger that somebody has seen before: `note` is a checkpoint that they kept. A ledger that was cut
/// short since, or put back to an older copy, or went on otherwise, does not verify.
///
/// # Errors
/// Also where the checkpoint is not one that the ledger's key signed.
pub fn verify_since<'a>(
    at: impl Into<LedgerAt<'a>>,
    note: &[u8],
    progress: &mut dyn FnMut(VerifyProgress),
) -> Result<Verification> {
    let folder = at.into().folder()?;
    let key = Manifest::read(&folder)?.verifier_key;
    // One that was kept before a rotation is signed by the key of then.
    let (since, _) = key.open_with(note).map_err(|e| {
        let message = format!("what was shown is no checkpoint of {}: {e}", key.name());
        Error::new(ErrorKind::Tampered, message)
    })?;
    verify_all(&folder, Some(&since), &Scopes::default(), progress)
}

/// The same, of a ledger whose folder is open.
pub(crate) fn verify_in(folder: &Folder, progress: &mut dyn FnMut(VerifyProgress)) -> Result<Verification> {
    verify_all(folder, None, &Scopes::default(), progress)
}

pub(crate) fn verify_all(
    folder: &Folder,
    since: Option<&Checkpoint>,
    scopes: &Scopes,
    progress: &mut dyn FnMut(VerifyProgress),
) -> Result<Verification> {
    // Before any segment: what the checkpoint covers is then in the bytes that are read after.
    let live = Lock::is_held(folder)?;
    let (manifest, checkpoint) = checkpoint::read_with_manifest(folder)?;
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
            (opened, _) => Segment::Here(opened?),
        };
        files.push((first, segment));
    }
    let mut walk = Walk::new(folder, &manifest, scopes);
    if manifest.copy {
        walk.notes
            .push("this is a copy: it is not written until it is shown the newest checkpoint that is known".into());
    }
    let outcome = walk
        .read_keys()
        .and_then(|()| walk.all(&files, checkpoint, since, live, progress));
    let mut fault = match outcome {
        Ok(()) => None,
        Err(Stop::Fault(fault)) => Some(fault),
        Err(Stop::Unreadable(error)) => return Err(error),
    };
    let mut conclusion = walk.conclude(live)?;
    if fault.is_some() {
        // What comes behind it may be the erasure that is missed.
        conclusion.findings.clear();
    } else if walk.gaps.entries() > 0 {
        conclusion.findings.retain(|finding| {
            let may_be_there = finding.verdict == Verdict::Tampered;
            if may_be_there {
                walk.notes.push(format!(
                    "entry {}: its secret is gone, and the erasure may be in a segment that is not here",
                    finding.fault.seq.unwrap_or_default()
                ));
            }
            !may_be_there
        });
    }
    fault = fault.or_else(|| conclusion.findings.first().map(|finding| finding.fault.clone()));
    Ok(Verification {
        origin: manifest.verifier_key.name().to_owned(),
        entries: walk.frontier.size() - walk.gaps.entries(),
        scopes: walk.chains.iter().flatten().count() as u64,
        intact: walk.intact.saturating_sub(conclusion.not_carried_out),
        sealed: walk.sealed,
        erased_with_authority: conclusion.with_authority,
        erased_claimed: conclusion.claimed,
        not_carried_out: conclusion.not_carried_out,
        erasures: walk.verdicts.erased(),
        findings: conclusion.findings,
        checkpoint_size: walk.checkpoint_size,
        root: walk.frontier.root(),
        fault,
        absent: walk.gaps.segments,
        notes: walk.notes,
    })
}

/// How often and how long an erasure that was just logged is waited for.
const UNFINISHED_TRIES: u32 = 20;
const UNFINISHED: Duration = Duration::from_millis(100);

/// A segment, as far as it can be read.
enum Segment {
    Here(DiskFile),
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
    scopes: &'a Scopes,
    /// By the scopes' numbers; of a scope that was met ahead of its first entry there is none yet.
    chains: Vec<Option<Chain>>,
    frontier: Frontier,
    ids: Vec<Ulid>,
    intact: u64,
    sealed: u64,
    checkpoint_size: u64,
    notes: Vec<String>,
    lineage: Lineage,
    roots: RootFold,
    operators: Operators,
    verdicts: Verdicts,
    gaps: Gaps,
    tree: TreeCheck,
    /// Components that were looked at.
    components: HashSet<Hash>,
}

/// A scope's chain as far as it was followed.
struct Chain {
    scope: Scope,
    /// Its key in the tree of scopes.
    key: Hash,
    count: u32,
    last: Hash,
}

impl<'a> Walk<'a> {
    fn new(ledger: &'a Folder, manifest: &'a Manifest, scopes: &'a Scopes) -> Self {
        Self {
            ledger,
            manifest,
            keys: None,
            scopes,
            chains: Vec::new(),
            frontier: Frontier::new(),
            ids: Vec::new(),
            intact: 0,
            sealed: 0,
            checkpoint_size: 0,
            notes: Vec::new(),
            lineage: Lineage::default(),
            roots: RootFold::default(),
            operators: Operators::default(),
            verdicts: Verdicts::default(),
            gaps: Gaps::default(),
            tree: TreeCheck::default(),
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
            Err(e) if e.kind() == ErrorKind::Sealed && self.ledger.passphrase().is_none() => {
                self.notes
                    .push(format!("{e}: chain and tree were verified, bodies were not opened"));
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
        since: Option<&Checkpoint>,
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
        self.tree = TreeCheck::open(self.ledger, checkpoint.size)?;
        // After the keys: what they say is durable is then in the bytes that are read.
        let mut lengths = Vec::with_capacity(files.len());
        for (_, segment) in files {
            lengths.push(match segment {
                Segment::Here(file) => file.len()?,
                _ => 0,
            });
        }
        let sources = files.iter().zip(&lengths).map(|((_, segment), &length)| match segment {
            // What is larger than a segment can be is a fault when its turn comes.
            Segment::Here(file) if length <= segment::MOST_BYTES => (Source::File(file), 0..length as usize),
            _ => (Source::Bytes(&[]), 0..0),
        });
        let sources: Vec<_> = sources.collect();
        let (keys, scopes) = (self.keys.clone(), self.scopes);
        let keys = keys.as_deref();
        let checks = Checks { keys, scopes };
        let work = checks.work();
        let mut course = Course {
            checkpoint: &checkpoint,
            since,
            work: &work,
            progress,
            so_far: VerifyProgress {
                bytes: 0,
                total_bytes: lengths.iter().sum(),
                entries: 0,
            },
        };
        let end = parts::read(&sources, &work, |parts| {
            let mut end = 0;
            for (number, (first, segment)) in files.iter().enumerate() {
                match segment {
                    Segment::Here(file) => {
                        let live = live && number + 1 == files.len();
                        end = self.segment(file, *first, lengths[number], live, parts, &mut course)?;
                    }
                    Segment::Bad(absent, e) => {
                        let file = absent.file.display().to_string();
                        return Err(fault(&file, 0, Some(absent.first), e));
                    }
                    Segment::Absent(absent) => self.pass(absent, &checkpoint)?,
                }
                parts.next_source();
            }
            Ok(end)
        })?;
        let seen = since.map_or(0, |since| since.size);
        if self.frontier.size() < seen {
            let (next, file) = (self.frontier.size(), segment::FOLDER);
            let what = format!(
                "the log ends with {next} entries where the checkpoint that was shown covers {seen}: it was cut short, or \
                 is an older copy"
            );
            return Err(fault(file, end as u64, Some(next), &what));
        }
        let floor = checkpoint.size.max(self.keys.as_ref().map_or(0, |keys| keys.applied));
        if self.frontier.size() < floor {
            let next = self.frontier.size();
            let file = match files.last() {
                Some((_, Segment::Here(file))) => file.name(),
                _ => segment::FOLDER,
            };
            let what = format!("the log ends with {next} entries where {floor} were acknowledged");
            return Err(fault(file, end as u64, Some(next), &what));
        }
        if let Some(seq) = self
            .lineage
            .refuse(&self.manifest.verifier_key, self.checkpoint_size, live)
        {
            let what = format!("it names another key than entry {seq}, which tells the ledger's");
            return Err(fault(manifest::FILE, 0, Some(seq), &what));
        }
        if let Some(HashPlace { file, offset, .. }) = self.tree.lost() {
            self.notes.push(format!("{file}, byte {offset}: {}", HashPlace::LOST));
        }
        match self.tree.wrong() {
            Some(wrong) => Err(fault(&wrong.file, wrong.offset, Some(wrong.seq), &HashPlace::WRONG)),
            None => Ok(()),
        }
    }

    /// Passes over a segment that is not here: the tree's hashes stand for its entries.
    fn pass(&mut self, absent: &Absent, checkpoint: &Checkpoint) -> Result<(), Stop> {
        let after = self.ids.last().copied().unwrap_or_default();
        for leaf in self.gaps.begin(self.ledger, absent, self.frontier.size(), after)? {
            self.push(leaf);
            if self.frontier.size() == checkpoint.size && self.frontier.root() != checkpoint.root {
                self.gaps.refuse_root()?;
            }
        }
        self.lineage.pass();
        self.roots.pass();
        self.operators.pass();
        Ok(())
    }

    /// Verifies a segment; gives the byte behind its last whole commit. `live`: it is the newest, and being written.
    fn segment<'k>(
        &mut self,
        file: &DiskFile,
        first: u64,
        mut length: u64,
        live: bool,
        parts: &mut Parts<'_, '_, Met<'k>, Entry>,
        course: &mut Course<'_, 'k>,
    ) -> Result<usize, Stop> {
        if length > segment::MOST_BYTES {
            let what = format!("{} has {length} bytes, more than a segment can have", file.name());
            return Err(fault(file.name(), 0, None, &what));
        }
        let next = self.frontier.size();
        if first != next {
            let what = format!("it begins with entry {first} where {next} is next");
            return Err(fault(file.name(), 0, Some(next), &what));
        }
        let mut tail = self.commits(file, 0, parts, course)?;
        let mut rest = read_rest(file, tail.end, length)?;
        // Bytes that were read while they were written may lack what comes before a line that is there already. That line
        // proves that all before it was written, so reading again shows it, unless it is damage.
        if live && let Some(stray) = stray(&rest, &tail) {
            let (start, end) = (tail.end, tail.end + stray.range.end);
            length = end as u64;
            tail = parts::read(&[(Source::File(file), start..end)], course.work, |parts| {
                self.commits(file, start, parts, course)
            })?;
            rest = read_rest(file, tail.end, length)?;
        }
        tail.see_rest(&rest);
        scan::refuse_newer(&rest, tail.end, file)?;
        self.look_behind(&rest, &tail, file, live)?;
        course.so_far.bytes += length;
        course.tell(self.frontier.size(), 0);
        Ok(tail.end)
    }

    /// Verifies the whole commits that stand in a segment from `start` on.
    fn commits<'k>(
        &mut self,
        file: &DiskFile,
        start: usize,
        parts: &mut Parts<'_, '_, Met<'k>, Entry>,
        course: &mut Course<'_, 'k>,
    ) -> Result<Tail, Stop> {
        let checkpoint = course.checkpoint;
        let tail = scan::take_commits(parts, start, self.frontier.size(), |place, entry| {
            self.entry(&place, entry, file)?;
            let size = self.frontier.size();
            if size == checkpoint.size && self.frontier.root() != checkpoint.root {
                self.gaps.refuse_root()?;
                let what = format!("the root at {size} entries is not the one that was signed");
                return Err(fault(file.name(), place.range.start as u64, Some(place.seq), &what));
            }
            if course
                .since
                .is_some_and(|since| since.size == size && since.root != self.frontier.root())
            {
                self.gaps.refuse_root()?;
                let what = format!("the root at {size} entries is not that of the checkpoint that was shown");
                return Err(fault(file.name(), place.range.start as u64, Some(place.seq), &what));
            }
            if size.is_multiple_of(1_000) {
                course.tell(size, place.range.end as u64);
            }
            Ok(())
        })?;
        parts.failure().map_or(Ok(tail), |e| Err(unreadable(file, e)))
    }

    /// Verifies that an entry follows from those before it. What verdicts need of every entry, in order, is here.
    fn entry(&mut self, place: &Place, entry: Entry, file: &DiskFile) -> Result<(), Stop> {
        let bad = |what: &dyn std::fmt::Display| fault(file.name(), place.range.start as u64, Some(place.seq), what);
        let id = entry.id.0;
        if self.ids.last().is_some_and(|last| id <= *last) || !entry.is_of_its_time {
            return Err(bad(&"its name or time does not rise with the entries before it"));
        }
        for link in &entry.links {
            if self.ids.binary_search(&link.0).is_err() && !self.gaps.may_hold(link.0) {
                return Err(bad(&format_args!("it names {link}, which no entry before it is")));
            }
        }
        let number = entry.scope as usize;
        if number >= self.chains.len() {
            self.chains.resize_with(number + 1, || None);
        }
        let chain = self.chains[number].get_or_insert_with(|| {
            let scope = self.scopes.name(entry.scope);
            Chain {
                key: scope_key(&scope),
                scope,
                count: 0,
                last: Hash::of_nothing(),
            }
        });
        if self.gaps.may_precede(entry.nth, &entry.prev, chain.count) {
            chain.count = entry.nth;
        } else if entry.nth != chain.count || entry.prev != chain.last {
            let scope = &chain.scope;
            return Err(bad(&format_args!(
                "it does not follow from the entry before it in its scope {scope}"
            )));
        }
        chain.count += 1;
        chain.last = entry.hash;
        let (count, last) = (chain.count, chain.last);
        self.roots
            .take(entry.whole.as_deref(), chain.key, ScopeState { count, last })
            .map_err(|why| bad(&why))?;
        let opened = match entry.opened {
            Opened::Unknown | Opened::Bad(_) if self.keys.is_some() => self.open_again(place, &entry, file)?,
            opened => opened,
        };
        match opened {
            Opened::Intact => self.intact += 1,
            Opened::Sealed => self.sealed += 1,
            Opened::Unknown => return Err(bad(&"the file keys has no record of its scope")),
            Opened::Gone => {
                let here = |what: &str| fault_at(file.name(), place.range.start as u64, Some(place.seq), &what);
                self.verdicts.gone(&self.scopes.name(entry.scope), entry.nth, here);
            }
            Opened::Bad(why) => {
                let scope = self.scopes.name(entry.scope);
                let older = self.verdicts.older_keys(&scope, self.keys.as_deref());
                return Err(bad(&older.unwrap_or(why)));
            }
        }
        if let Some(envelope) = &entry.whole {
            self.act(envelope, |what| {
                fault_at(file.name(), place.range.start as u64, Some(place.seq), &what)
            });
            self.lineage.take(envelope, &self.frontier).map_err(|why| bad(&why))?;
        }
        self.push(entry.hash);
        self.ids.push(id);
        self.gaps.end(id);
        if let Some(envelope) = &entry.whole {
            self.system(envelope, &bad)?;
        }
        Ok(())
    }

    /// The tree grows by a leaf.
    fn push(&mut self, leaf: Hash) {
        let tree = &mut self.tree;
        self.frontier.push_seen(leaf, |height, hash| tree.see(height, hash));
    }

    /// Opens the body of an entry with the keys as they are now: its scope may be new since they were read, or may have been
    /// forgotten and given others.
    fn open_again(&mut self, place: &Place, entry: &Entry, file: &DiskFile) -> Result<Opened, Stop> {
        let scope = self.scopes.name(entry.scope);
        let keys = Keys::read(self.ledger, self.manifest.verifier_key.name())?;
        self.keys = Some(Arc::new(keys));
        let bytes = file.read_range(place.range.start as u64, place.range.len())?;
        let line = Line::parse(bytes.strip_suffix(b"\n").unwrap_or(&bytes));
        let read = line.and_then(|line| Ok((line, Envelope::parse(line.envelope)?)));
        let (line, envelope) = match read {
            Ok(read) if leaf_hash(read.0.envelope) == entry.hash => read,
            _ => return Ok(Opened::Bad("its line changes while it is read".into())),
        };
        let (with, mut path) = (With::of(self.keys.as_deref(), &scope), KeyPath::default());
        let body = (&scope, entry.nth, &envelope.body);
        Ok(opened(with, &mut path, &line, body, &mut Vec::new()))
    }

    /// Takes note of what operators did.
    fn act(&mut self, envelope: &Envelope, here: impl Fn(&str) -> Fault) {
        let counts = self.operators.take(envelope);
        if let Err(why) = &counts {
            self.notes
                .push(format!("entry {}: the act does not count: {why}", envelope.seq));
        }
        let basis = Basis::of(&self.operators, envelope, &counts);
        self.verdicts.take(envelope, basis, here);
    }

    /// Decides about content. A writer that is at work is given a moment to carry out what it has just logged.
    fn conclude(&mut self, live: bool) -> Result<Conclusion> {
        let mut conclusion = self.verdicts.conclude(self.keys.as_deref());
        for _ in 0..if live { UNFINISHED_TRIES } else { 0 } {
            let unfinished = |finding: &Finding| finding.verdict == Verdict::ErasureNotCarriedOut;
            if !conclusion.findings.iter().any(unfinished) {
                break;
            }
            thread::sleep(UNFINISHED);
            let keys = Arc::new(Keys::read(self.ledger, self.manifest.verifier_key.name())?);
            // What was found to open when the walk came by has been erased since.
            let erased = conclusion.not_carried_out;
            conclusion = self.verdicts.conclude(Some(&*keys));
            let erased = erased.saturating_sub(conclusion.not_carried_out);
            conclusion.with_authority += erased;
            self.intact = self.intact.saturating_sub(erased);
            self.keys = Some(keys);
        }
        Ok(conclusion)
    }

    /// What the host's own entries claim about the ledger's other files.
    fn system(&mut self, envelope: &Envelope, bad: &dyn Fn(&dyn std::fmt::Display) -> Stop) -> Result<(), Stop> {
        if !envelope.kind.is_reserved() {
            return Err(bad(&"only the host's kinds have sys"));
        }
        let sys = envelope.sys.as_ref();
        if let Some(hex) = sys.and_then(|sys| sys["run"]["component"].as_str()) {
            let Some(digest) = components::digest(hex) else {
                return Err(bad(&"the component's digest is not one"));
            };
            if self.components.insert(digest) && components::read(self.ledger, &digest)?.is_none() {
                self.notes.push(format!(
                    "components/{} is missing or changed: the run at entry {} cannot be executed again",
                    components::file_name(&digest),
                    envelope.seq
                ));
            }
        }
        Ok(())
    }

    /// `rest` is what lies behind the whole commits.
    fn look_behind(&mut self, rest: &[u8], tail: &Tail, file: &DiskFile, live: bool) -> Result<(), Stop> {
        if let Some(stray) = stray(rest, tail) {
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

/// What goes along with a walk over all entries.
struct Course<'a, 'k> {
    checkpoint: &'a Checkpoint,
    /// One that somebody kept.
    since: Option<&'a Checkpoint>,
    work: Work<'a, Met<'k>, Entry>,
    progress: &'a mut dyn FnMut(VerifyProgress),
    /// As far as the segments before.
    so_far: VerifyProgress,
}

impl Course<'_, '_> {
    fn tell(&mut self, entries: u64, bytes: u64) {
        (self.progress)(VerifyProgress {
            bytes: self.so_far.bytes + bytes,
            entries,
            ..self.so_far
        });
    }
}

/// The first whole line behind the end that is of another commit than the next.
fn stray(rest: &[u8], tail: &Tail) -> Option<Found> {
    scan::authentic(rest, 0).find(|found| found.first != tail.next)
}

/// The bytes of a segment from `start` to `end`; none where they are LF alone.
fn read_rest(file: &DiskFile, start: usize, end: u64) -> Result<Vec<u8>, Stop> {
    const STEP: usize = 256 << 10;
    let (start, mut step) = (start as u64, vec![0; STEP]);
    let mut at = start;
    while at < end {
        let most = (end - at).min(STEP as u64) as usize;
        let have = file.read_into(&mut step[..most], at).map_err(|e| unreadable(file, e))?;
        if step[..have].iter().any(|&byte| byte != b'\n') {
            let rest = file.read_range(start, (end - start) as usize);
            return rest.map_err(|e| unreadable(file, e));
        }
        if have == 0 {
            break;
        }
        at += have as u64;
    }
    Ok(Vec::new())
}

/// An archived segment that cannot be decompressed is a fault.
fn unreadable(file: &DiskFile, error: Error) -> Stop {
    match error.kind() {
        ErrorKind::Corrupt => fault(file.name(), 0, None, &error),
        _ => error.into(),
    }
}

fn fault(file: &str, offset: u64, seq: Option<u64>, what: &dyn std::fmt::Display) -> Stop {
    Stop::Fault(fault_at(file, offset, seq, what))
}

fn fault_at(file: &str, offset: u64, seq: Option<u64>, what: &dyn std::fmt::Display) -> Fault {
    Fault {
        file: file.to_owned(),
        offset,
        seq,
        what: what.to_string(),
    }
}

// Long because all that a reader answers is one type's methods.

use std::{
    collections::HashMap,
    ops::Range,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use quipu_format::{
    Actor, Body, Checkpoint, Content, Envelope, Event, EventId, Hash, IdempotencyKey, KeyLock, KeyPath, Line, Scope,
    Timestamp, VerifierKey, leaf_hash, limits,
};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    Error, ErrorKind, Result,
    archive::Archive,
    checkpoint,
    disk::{DiskFile, Folder},
    events::Events,
    follow::Follow,
    index::{Found, Index, SharedIndex},
    key_watch::KeyWatch,
    keyfile::Keys,
    manifest::{Manifest, Manifests},
    recent::Place,
};

/// Reads a ledger. Cheap to clone; may be used from many threads at once. It shows what is durable, and nothing of
/// what another process is still writing.
#[derive(Clone)]
pub struct LedgerReader {
    pub(crate) state: Arc<ReadState>,
}

/// What all handles on one opened ledger share.
pub(crate) struct ReadState {
    /// The ledger's folder as the operator named it, for SQLite, which opens files by path.
    pub(crate) path: PathBuf,
    pub(crate) folder: Folder,
    /// The folder `log`.
    pub(crate) log: Folder,
    pub(crate) manifests: Manifests,
    pub(crate) index: RwLock<Index>,
    pub(crate) keys: RwLock<Keys>,
    /// Of a reader that does not write: how far it has followed the files.
    pub(crate) follow: Option<Mutex<Follow>>,
    /// Of such a reader: the key file, which the writer may replace.
    pub(crate) watch: KeyWatch,
    /// Of such a reader: entries below it are durable, for the process that writes has said so.
    pub(crate) proved: AtomicU64,
}

impl ReadState {
    /// What blinds idempotency keys and vouches for `heads`.
    pub(crate) fn secret(&self) -> Zeroizing<[u8; 32]> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).secret.clone()
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        self.manifests.newest()
    }

    /// The newest checkpoint on disk. Where the ledger's key was rotated meanwhile, the new one is known from now on.
    pub(crate) fn checkpoint(&self) -> Result<(String, Checkpoint)> {
        if self.follow.is_some() {
            // Where it cannot be read now, what was known holds.
            let _ = self.manifests.look(&self.folder);
        }
        self.signed(|manifest| checkpoint::read(&self.folder, &manifest.verifier_key))
    }

    /// Reads what one of the ledger's keys signed: again where it turns out that the key was rotated meanwhile.
    pub(crate) fn signed<T, E>(
        &self,
        read: impl Fn(&Manifest) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        self.manifests.signed(&self.folder, read)
    }

    /// What the files of secrets are sealed under, if they are.
    pub(crate) fn lock(&self) -> Option<Arc<KeyLock>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).lock.clone()
    }

    /// Before content is served: what another process has erased meanwhile is not.
    pub(crate) fn look_at_keys(&self) -> Result<()> {
        match self.follow {
            Some(_) => self.watch.look(self),
            None => Ok(()),
        }
    }
}

/// Which way a page goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first.
    Forward,
    /// Newest first.
    Backward,
}

/// Events of one scope, in the order that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// At most 1,000 events, and 4 MiB of bodies or one event.
    pub events: Vec<Event>,
    /// There are more in the range.
    pub more: bool,
    /// Entries of the scope, next to or between these events, that are damaged and left out; `quipu verify` names them.
    pub missing: u32,
}

/// A scope as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScopeHead {
    /// Its name.
    pub scope: Scope,
    /// Entries in it.
    pub count: u32,
    /// Leaf hash of its last entry.
    pub last: Hash,
    /// Position of its last entry.
    #[serde(rename = "lastSeq")]
    pub last_seq: u64,
    /// Bytes of its entries, as quotas count them.
    pub bytes: u64,
}

/// What is left of a scope's key tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ScopeKeys {
    /// Its name.
    pub scope: Scope,
    /// Nodes: 1 as long as nothing of it was erased, at most 100,000.
    pub nodes: usize,
}

/// Numbers of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Stats {
    /// Name of the ledger.
    pub origin: String,
    /// Key that its checkpoints are verified with.
    pub verifier_key: String,
    /// Entries.
    pub entries: u64,
    /// Scopes, the ledger's own among them.
    pub scopes: u64,
    /// Segment files.
    pub segments: u64,
    /// Bytes of all entries' lines.
    pub entry_bytes: u64,
    /// Bytes of the segment files that were not archived, what is filled ahead included.
    pub segment_bytes: u64,
    /// Segments among them that were archived, which are compressed.
    pub archived_segments: u64,
    /// Bytes of the archived segments' files.
    pub archived_bytes: u64,
    /// Bytes of the sidecars of full segments, merged ones among them, which are derived.
    pub sidecar_bytes: u64,
    /// Entries that the newest checkpoint covers.
    pub checkpoint_size: u64,
}

/// A key that the ledger's checkpoints are or were signed with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct VerifierKeyState {
    /// Its text.
    pub verifier_key: String,
    /// Entries of the smallest checkpoint that it holds for.
    pub from: u64,
    /// Entries of the largest. None: it is the newest key.
    pub until: Option<u64>,
}

impl LedgerReader {
    /// Entries below it are durable and served.
    pub fn head(&self) -> u64 {
        self.index().next()
    }

    /// Erasures in entries below it have been carried out: what they cover cannot be opened by anybody.
    pub fn erased_below(&self) -> Result<u64> {
        self.state.look_at_keys()?;
        Ok(self.state.keys.read().unwrap_or_else(PoisonError::into_inner).applied)
    }

    /// Looks at the files again, where another process writes; returns the head.
    pub fn refresh(&self) -> Result<u64> {
        if let Some(follow) = &self.state.follow {
            let proved = self.state.proved.load(Ordering::Acquire);
            follow
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .advance(&self.state, proved)?;
            self.state.watch.judge(self)?;
        }
        Ok(self.head())
    }

    /// Takes the word of the process that writes for it that entries below `head` are durable. They are shown from now
    /// on; the files are looked at when somebody reads.
    pub(crate) fn proved(&self, head: u64) {
        self.state.proved.fetch_max(head, Ordering::AcqRel);
    }

    /// The event at a position. None: there is none yet.
    pub fn event(&self, seq: u64) -> Result<Option<Event>> {
        self.state.look_at_keys()?;
        self.load(seq, &mut KeyPaths::default())
    }

    /// The envelope at a position; no body is opened. None: there is none yet.
    pub fn envelope(&self, seq: u64) -> Result<Option<Envelope>> {
        let Some(Found { file, place }) = self.shown().place(seq)? else {
            return Ok(None);
        };
        let bytes = read_line(&file, place, seq)?;
        Ok(Some(parse_line(&bytes, &file, place, seq)?.1))
    }

    /// Position of the event of that name, by binary search.
    pub fn find(&self, id: EventId) -> Result<Option<u64>> {
        self.shown().find(id)
    }

    /// What may stand in place of a secret in this ledger; see [`quipu_format::secret_handle`].
    pub fn secret_handle(&self, rule: &str, secret: &str) -> String {
        quipu_format::secret_handle(&self.state.secret(), rule, secret)
    }

    /// An idempotency key as an envelope shows it.
    pub fn idempotency_key(&self, scope: &Scope, actor: &Actor, key: &str) -> IdempotencyKey {
        IdempotencyKey::derive(&self.state.secret(), scope, actor, key)
    }

    /// First position whose time is `ts` or later; the head if there is none. By binary search.
    pub fn seq_at(&self, ts: Timestamp) -> Result<u64> {
        self.shown().seq_at(ts)
    }

    /// Events of one scope with positions in `range`, at most `limit` (1 to 1,000; a larger one counts as 1,000).
    /// Other scopes' entries are not touched.
    pub fn page(&self, scope: &Scope, range: Range<u64>, direction: Direction, limit: usize) -> Result<Page> {
        let limit = limit.clamp(1, limits::PAGE_EVENTS);
        let mut found = self.shown().select_places(scope, range.clone(), direction, limit + 1)?;
        let mut more = found.len() > limit;
        found.truncate(limit);
        self.prefetch(&found)?;
        self.state.look_at_keys()?;
        let mut events: Vec<Event> = Vec::with_capacity(found.len());
        let (mut bytes, mut damaged) = (0, 0);
        for (seq, event) in self.load_page(&found) {
            let event = match event {
                Ok(Some(event)) if event.envelope.scope == *scope => event,
                Ok(Some(_)) => {
                    let message = format!("the index takes entry {seq} for one of {scope}, which it is not");
                    return Err(Error::new(ErrorKind::Corrupt, message));
                }
                Ok(None) => break,
                Err(e) if e.kind() == ErrorKind::Corrupt => {
                    damaged += 1;
                    continue;
                }
                Err(e) => return Err(e),
            };
            bytes += event.payload().map_or(0, str::len);
            if bytes > limits::PAGE_BYTES && !events.is_empty() {
                more = true;
                break;
            }
            events.push(event);
        }
        // The index may not know of all that is damaged, and a page without events has no gap that tells of it.
        let missing = self.missing(scope, range, direction, &events, more)?.max(damaged);
        Ok(Page { events, more, missing })
    }

    /// The first so many positions of the scope's entries in a range, as the index has them.
    pub(crate) fn positions(&self, scope: &Scope, range: Range<u64>, limit: usize) -> Result<Vec<u64>> {
        self.shown().select(scope, range, Direction::Forward, limit)
    }

    /// A scope's entries count up without a gap: how many are not among the events of a page, nor before or behind it.
    fn missing(
        &self,
        scope: &Scope,
        range: Range<u64>,
        direction: Direction,
        events: &[Event],
        more: bool,
    ) -> Result<u32> {
        let Some(head) = self.index().scopes.get(scope).copied() else {
            return Ok(0);
        };
        let (oldest, newest) = match direction {
            Direction::Forward => (events.first(), events.last()),
            Direction::Backward => (events.last(), events.first()),
        };
        // The neighbours of the range: where they are not damaged they say how many belong between them.
        let forward = direction == Direction::Forward;
        let from = match oldest {
            // Nothing precedes a scope's first entry, in however many segments one would look for it.
            Some(oldest) if more && !forward || oldest.envelope.nth == 0 => oldest.envelope.nth,
            _ => match self.count_before(scope, oldest.map_or(range.start, |event| event.envelope.seq)) {
                // The neighbour is in an archived segment that is not here: nothing is known to be missing.
                Err(e) if e.kind() == ErrorKind::NotHere => match oldest {
                    Some(oldest) => oldest.envelope.nth,
                    None => return Ok(0),
                },
                count => count?,
            },
        };
        let to = match newest {
            Some(newest) if more && forward => newest.envelope.nth.saturating_add(1),
            _ if range.end > head.last_seq => head.count,
            // One that leads past entries shows in the number of what comes behind them.
            newest => match self.count_up_to(scope, range.end, head.count) {
                Err(e) if e.kind() == ErrorKind::NotHere => {
                    newest.map_or(from, |newest| newest.envelope.nth.saturating_add(1))
                }
                count => count?,
            },
        };
        Ok(to.saturating_sub(from).saturating_sub(events.len() as u32))
    }

    /// Entries of the scope up to its last one before `seq` that is not damaged.
    fn count_before(&self, scope: &Scope, seq: u64) -> Result<u32> {
        let mut end = seq;
        while let [before] = self.shown().select(scope, 0..end, Direction::Backward, 1)?[..] {
            match self.envelope(before) {
                Ok(Some(envelope)) => return Ok(envelope.nth.saturating_add(1)),
                Ok(None) => break,
                Err(e) if e.kind() == ErrorKind::Corrupt => end = before,
                Err(e) => return Err(e),
            }
        }
        Ok(0)
    }

    /// Number in the scope of its first entry from `seq` on that is not damaged; its count where there is none.
    fn count_up_to(&self, scope: &Scope, seq: u64, count: u32) -> Result<u32> {
        let mut start = seq;
        while let [behind] = self.shown().select(scope, start..u64::MAX, Direction::Forward, 1)?[..] {
            match self.envelope(behind) {
                Ok(Some(envelope)) => return Ok(envelope.nth),
                Ok(None) => break,
                Err(e) if e.kind() == ErrorKind::Corrupt => start = behind + 1,
                Err(e) => return Err(e),
            }
        }
        Ok(count)
    }

    /// Events of all scopes with positions in `range`, oldest first.
    pub fn events(&self, range: Range<u64>) -> Events {
        Events::new(self.clone(), range)
    }

    /// All scopes, by name.
    pub fn scopes(&self) -> Vec<ScopeHead> {
        let index = self.index();
        let mut heads: Vec<_> = index.scopes.iter().map(|(scope, head)| head.shown(scope)).collect();
        heads.sort_by(|a, b| a.scope.cmp(&b.scope));
        heads
    }

    /// A proof of where a scope stands, by the newest entry `quipu.scopes` that a checkpoint covers, checked before it is
    /// returned.
    ///
    /// # Errors
    /// `NotFound` where there is no such entry yet: see [`Ledger::root_scopes`](crate::Ledger::root_scopes).
    pub fn prove_scope(&self, scope: &Scope) -> Result<crate::ProvedScope> {
        crate::scope_prove::prove(self, scope)
    }

    /// The newest checkpoint: the signed note, and what it says.
    pub fn checkpoint(&self) -> Result<(String, Checkpoint)> {
        self.state.checkpoint()
    }

    /// Name of the ledger.
    pub fn origin(&self) -> &str {
        self.verifier_key().name()
    }

    /// Key that its checkpoints are verified with.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.state.manifest().verifier_key
    }

    /// The keys that its checkpoints are verified with, oldest first, and for which sizes each holds.
    pub fn verifier_keys(&self) -> Vec<VerifierKeyState> {
        self.state.manifest().verifier_key.states()
    }

    /// The folder for projections, which exists. It is a path because SQLite opens files by path.
    pub fn projections_path(&self) -> PathBuf {
        self.state.path.join("projections")
    }

    /// Bytes of a component that ran over this ledger, by the SHA-256 of its bytes.
    pub fn component(&self, sha256: &Hash) -> Result<Option<Vec<u8>>> {
        crate::components::read(&self.state.folder, sha256)
    }

    /// How many nodes of its key tree each scope has left, by name of the scope.
    pub fn key_nodes(&self) -> Vec<ScopeKeys> {
        let keys = self.state.keys.read().unwrap_or_else(PoisonError::into_inner);
        let mut scopes: Vec<_> = keys
            .trees
            .iter()
            .map(|(scope, tree)| ScopeKeys {
                scope: scope.clone(),
                nodes: tree.nodes().len(),
            })
            .collect();
        scopes.sort_by(|a, b| a.scope.cmp(&b.scope));
        scopes
    }

    /// Counts and sizes.
    pub fn stats(&self) -> Result<Stats> {
        let (_, checkpoint) = self.checkpoint()?;
        let index = self.index();
        let (entries, scopes, sealed) = (index.next(), index.scopes.len() as u64, index.sealed());
        let mut entry_bytes = index.recent().entry_bytes;
        let (newest, merged) = (index.newest_file().cloned(), index.merged().to_vec());
        drop(index);
        let (mut segment_bytes, mut sidecar_bytes, mut segments) = (0, 0, sealed.len() as u64);
        if let Some(file) = newest {
            segment_bytes += file.len()?;
            segments += 1;
        }
        let archive = Archive::read(&self.state.folder)?;
        let (mut archived_segments, mut archived_bytes) = (0, 0);
        for segment in sealed.iter() {
            if let Some(archived) = archive.find(segment.first) {
                archived_segments += 1;
                archived_bytes += archived.cold_bytes;
            } else {
                segment_bytes += segment.file()?.len()?;
            }
            sidecar_bytes += segment.sidecar_bytes()?;
            entry_bytes += segment.entry_bytes();
        }
        for merged in merged {
            match merged.bytes() {
                // It was merged into a larger one just now.
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                bytes => sidecar_bytes += bytes?,
            }
        }
        Ok(Stats {
            origin: self.origin().to_owned(),
            verifier_key: self.verifier_key().to_string(),
            entries,
            scopes,
            segments,
            entry_bytes,
            segment_bytes,
            archived_segments,
            archived_bytes,
            sidecar_bytes,
            checkpoint_size: checkpoint.size,
        })
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.shown().read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where entries stand, with all that is known to be durable.
    pub(crate) fn shown(&self) -> &RwLock<Index> {
        self.show_proved();
        &self.state.index
    }

    fn show_proved(&self) {
        let Some(follow) = &self.state.follow else { return };
        let proved = self.state.proved.load(Ordering::Acquire);
        let shown = || self.state.index.read().unwrap_or_else(PoisonError::into_inner).next();
        if proved <= shown() {
            return;
        }
        let mut follow = follow.lock().unwrap_or_else(PoisonError::into_inner);
        // Once for each proof: behind damage, entries stay hidden however often one looks.
        if follow.proved() < proved
            && let Err(error) = follow.advance(&self.state, proved)
        {
            tracing::warn!(%error, "what was appended cannot be read yet");
        }
        drop(follow);
        if let Err(error) = self.state.watch.judge(self) {
            tracing::warn!(%error, "what was erased is not known");
        }
    }

    /// The stored bytes of an entry's envelope.
    pub(crate) fn envelope_bytes(&self, seq: u64) -> Result<Vec<u8>> {
        let Some(Found { file, place }) = self.shown().place(seq)? else {
            return Err(Error::new(ErrorKind::NotFound, format!("there is no entry {seq}")));
        };
        let bytes = read_line(&file, place, seq)?;
        Ok(parse_line(&bytes, &file, place, seq)?.0.envelope.to_vec())
    }

    pub(crate) fn load(&self, seq: u64, paths: &mut KeyPaths) -> Result<Option<Event>> {
        Ok(self.open(seq, paths)?.map(|opened| opened.event))
    }

    /// The same, where it is known where the line stands.
    pub(crate) fn load_at(&self, seq: u64, place: Place, paths: &mut KeyPaths) -> Result<Option<Event>> {
        let Some(file) = self.shown().file(seq)? else {
            return Ok(None);
        };
        Ok(Some(self.open_from(&Found { file, place }, seq, paths)?.event))
    }

    /// The event at a position with the bytes that it was made of.
    pub(crate) fn open(&self, seq: u64, paths: &mut KeyPaths) -> Result<Option<Opened>> {
        match self.shown().place(seq)? {
            Some(found) => self.open_from(&found, seq, paths).map(Some),
            None => Ok(None),
        }
    }

    fn open_from(&self, found: &Found, seq: u64, paths: &mut KeyPaths) -> Result<Opened> {
        let Found { file, place } = found;
        let line = read_line(file, *place, seq)?;
        let (event, envelope_bytes, body) = self.open_line(&line, file, *place, seq, paths)?;
        Ok(Opened {
            event,
            line,
            envelope_bytes,
            body,
        })
    }

    /// The event whose line stands in a file, how many bytes its envelope has, and what [`Opened`] says of its body.
    pub(crate) fn open_line(
        &self,
        bytes: &[u8],
        file: &DiskFile,
        place: Place,
        seq: u64,
        paths: &mut KeyPaths,
    ) -> Result<(Event, usize, Plaintext)> {
        let (line, envelope) = parse_line(bytes, file, place, seq)?;
        let keys = self.state.keys.read().unwrap_or_else(PoisonError::into_inner);
        if !keys.trees.contains_key(&envelope.scope) {
            // Not erased: an erasure leaves a record with fewer nodes.
            let message = format!(
                "the file keys has no record of the scope {}, which has entries",
                envelope.scope
            );
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        let secret = keys.secret_via(&envelope.scope, envelope.nth, paths.of(&envelope.scope));
        drop(keys);
        let (content, body) = match secret {
            None => (Content::Erased, None),
            Some(secret) => {
                let damaged = |e: quipu_format::Error| damaged(file, place, seq, &e);
                let mut body = line.sealed_bytes().map_err(damaged)?;
                let (scope, nth) = (&envelope.scope, envelope.nth);
                quipu_format::open_in_place(&secret, scope, nth, &envelope.body, &mut body).map_err(damaged)?;
                let content = Content::Open(Body::parse(&body).map_err(damaged)?);
                (content, Some((body, secret.salt)))
            }
        };
        let (hash, envelope_bytes) = (leaf_hash(line.envelope), line.envelope.len());
        let event = Event {
            envelope,
            content,
            hash,
        };
        Ok((event, envelope_bytes, body))
    }
}

/// A body's plaintext and its salt, unless it is erased.
pub(crate) type Plaintext = Option<(Vec<u8>, [u8; 32])>;

/// An event, and the bytes that it was made of.
pub(crate) struct Opened {
    pub(crate) event: Event,
    line: Vec<u8>,
    envelope_bytes: usize,
    pub(crate) body: Plaintext,
}

impl Opened {
    /// The stored bytes of the envelope.
    pub(crate) fn envelope(&self) -> &[u8] {
        &self.line[..self.envelope_bytes]
    }
}

fn read_line(file: &DiskFile, place: Place, seq: u64) -> Result<Vec<u8>> {
    if place.length as usize > limits::COMMIT_BYTES {
        return Err(damaged(file, place, seq, &"no commit is so long"));
    }
    let bytes = file.read_range(u64::from(place.offset), place.length as usize)?;
    if bytes.is_empty() || bytes.len() != place.length as usize {
        return Err(damaged(file, place, seq, &"its line is missing"));
    }
    Ok(bytes)
}

fn parse_line<'a>(bytes: &'a [u8], file: &DiskFile, place: Place, seq: u64) -> Result<(Line<'a>, Envelope)> {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let parsed = Line::parse(line).and_then(|line| Ok((line, Envelope::parse(line.envelope)?)));
    let (line, envelope) = parsed.map_err(|e| damaged(file, place, seq, &e))?;
    if envelope.seq != seq {
        return Err(damaged(file, place, seq, &format_args!("it is entry {}", envelope.seq)));
    }
    Ok((line, envelope))
}

fn damaged(file: &DiskFile, place: Place, seq: u64, why: &dyn std::fmt::Display) -> Error {
    // Where a line that is missing stood is not known.
    let byte = if place.length == 0 {
        String::new()
    } else {
        format!(", byte {}", place.offset)
    };
    let message = format!(
        "{}{byte}: entry {seq} is damaged ({why}). Run `quipu verify`, and restore the file from a backup",
        file.name()
    );
    Error::new(ErrorKind::Corrupt, message)
}

/// The ways down the key trees of the scopes that were read last, so that entries in order cost little to open.
#[derive(Default)]
pub(crate) struct KeyPaths(HashMap<Scope, KeyPath>);

impl KeyPaths {
    /// Scopes whose way is kept; each takes at most 2 KiB.
    pub(crate) const SCOPES: usize = 1_024;

    pub(crate) fn of(&mut self, scope: &Scope) -> &mut KeyPath {
        if self.0.len() > Self::SCOPES {
            self.0.clear();
        }
        self.0.entry(scope.clone()).or_default()
    }
}

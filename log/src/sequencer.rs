//! Makes entries durable: one thread at a time makes room, has what waits staged, writes and syncs.

use std::{
    collections::BTreeSet,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use quipu_format::{Hash, KeyLock, KeyTree, Scope};

use crate::{
    Error, ErrorKind, Result,
    erasure::Erasures,
    keyfile::KeyFile,
    operators::Operators,
    random,
    reader::ReadState,
    remembered::Remembered,
    request::{Request, Until, Waiting},
    reserve,
    scope_roots::ScopeRoots,
    segment::ActiveSegment,
    stage::{HOST_BYTES, Made, Stage},
    stamps::Stamps,
};

/// The one place where entries become durable.
pub(crate) struct Sequencer {
    state: Arc<ReadState>,
    keyfile: KeyFile,
    active: ActiveSegment,
    /// Others may stage what comes next while this writes.
    stage: Arc<Mutex<Stage>>,
    /// The last commit's memory.
    spare: Made,
    /// A write or sync failed: nothing is known of the disk any more, and only opening again tells.
    broken: Option<Error>,
}

/// What came of a commit.
#[must_use = "those who wait have not been answered"]
pub(crate) struct Outcome {
    requests: Vec<Request>,
    /// Erasures that came to be: to be carried out by [`Sequencer::carry_out`] before anybody is answered.
    pub(crate) erasures: Erasures,
    /// Leaf hashes of the entries that came to be.
    pub(crate) leaves: Vec<Hash>,
    /// Position of one of them that names the next signer.
    pub(crate) succession: Option<u64>,
}

impl Outcome {
    /// Tells those who wait that what is in the log was not carried out, if so.
    pub(crate) fn carried_out(&mut self, done: Result<()>) {
        if let Err(error) = done {
            self.requests.iter().for_each(|request| request.fail(&error));
        }
    }

    /// How many wait for nothing else.
    pub(crate) fn len(&self) -> usize {
        self.requests
            .iter()
            .filter(|request| request.until == Until::Durable)
            .count()
    }

    /// Takes out those who wait for a checkpoint as well, unless something is to be carried out first.
    pub(crate) fn uncovered(&mut self) -> Vec<Waiting> {
        if !self.erasures.is_empty() {
            return Vec::new();
        }
        let is_covered = |request: &mut Request| request.until == Until::Covered;
        let covered = self.requests.extract_if(.., is_covered);
        covered.filter_map(Request::tell).collect()
    }

    /// Tells those who wait; gives those who wait for a checkpoint as well.
    pub(crate) fn answer(self) -> Vec<Waiting> {
        self.requests.into_iter().filter_map(Request::tell).collect()
    }
}

impl Sequencer {
    pub(crate) fn new(
        state: Arc<ReadState>,
        keyfile: KeyFile,
        active: ActiveSegment,
        stamps: Stamps,
        remembered: Remembered,
        operators: Operators,
    ) -> Result<Self> {
        let roots = ScopeRoots::resume(state.clone())?;
        let stage = Stage::new(state.clone(), stamps, remembered, operators, roots);
        Ok(Self {
            state,
            keyfile,
            active,
            stage: Arc::new(Mutex::new(stage)),
            spare: Made::default(),
            broken: None,
        })
    }

    /// From now on threads work beside the commits.
    pub(crate) fn start(&mut self) -> Result<()> {
        self.stage().roots.start()
    }

    /// Where others may stage ahead.
    pub(crate) fn shared_stage(&self) -> Arc<Mutex<Stage>> {
        self.stage.clone()
    }

    /// Ends staging ahead. Returns how many bytes have been staged.
    pub(crate) fn hold(&self) -> usize {
        self.stage().hold()
    }

    /// Makes what is staged and these requests durable in one commit. Whoever waits for them is told by
    /// [`Outcome::answer`].
    pub(crate) fn commit(&mut self, requests: Vec<Request>) -> Outcome {
        if self.stage.is_poisoned() {
            let message = "a thread that made an entry ready has failed: open the ledger again";
            let error = Error::new(ErrorKind::Unavailable, message);
            self.broken.get_or_insert(error);
        }
        let (staged, first) = {
            let mut stage = self.stage();
            (stage.hold(), stage.first())
        };
        let mut refused = Vec::new();
        match self.prepare(staged, first, &requests) {
            Ok(()) => {
                let mut stage = self.stage();
                if !requests.is_empty() {
                    stage.look();
                }
                requests.into_iter().for_each(|request| stage.add(request));
            }
            Err(error) => {
                requests.iter().for_each(|request| request.fail(&error));
                refused = requests;
            }
        }
        let spare = mem::take(&mut self.spare);
        let mut made = self.stage().take(spare);
        made.batch.finish();
        let written = self.write(&mut made);
        if let Err(error) = &written {
            self.broken.get_or_insert_with(|| error.clone());
            made.requests.iter().for_each(|request| request.fail(error));
        }
        let leaves = match &written {
            Ok(()) => made.batch.entries.iter().map(|entry| entry.hash).collect(),
            Err(_) => Vec::new(),
        };
        let erasures = match &written {
            Ok(()) => mem::take(&mut made.erasures),
            Err(_) => Erasures::default(),
        };
        let succession = made.succession.take();
        let mut requests = mem::take(&mut made.requests);
        requests.append(&mut refused);
        made.clear();
        self.spare = made;
        // What comes after an erasure is sealed once that is carried out.
        if self.broken.is_none() && erasures.is_empty() {
            self.stage().open(self.active.room(), None);
        }
        Outcome {
            requests,
            erasures,
            leaves,
            succession: succession.filter(|_| written.is_ok()),
        }
    }

    /// Carries out erasures that are in the log, after a checkpoint that covers them has been synced: the key file is
    /// written anew without the secrets, and nothing that this process holds serves them any more.
    ///
    /// If any of it fails the ledger takes no more, and opening it again finishes what is in the log.
    pub(crate) fn carry_out(&mut self, erasures: &Erasures, covered: Result<()>) -> Result<()> {
        let done = covered.and_then(|()| self.destroy(erasures)).map_err(|e| {
            let message = format!(
                "{e}. An erasure is in the log and was not carried out: open the ledger again, which finishes it"
            );
            Error::new(ErrorKind::Unavailable, message)
        });
        match &done {
            Ok(()) => self.stage().open(self.active.room(), None),
            Err(error) => self.broken = Some(error.clone()),
        }
        done
    }

    fn destroy(&mut self, erasures: &Erasures) -> Result<()> {
        // The ways to entries hold secrets of what was erased.
        self.stage().forget_ways();
        let index = self.state.index.read().unwrap_or_else(PoisonError::into_inner);
        let count = |scope: &Scope| index.scopes.get(scope).map_or(0, |head| head.count);
        let mut keys = self.state.keys.write().unwrap_or_else(PoisonError::into_inner);
        erasures.carry_out(&mut keys, count)?;
        drop((keys, index));
        let keys = self.state.keys.read().unwrap_or_else(PoisonError::into_inner);
        self.keyfile = reserve::backed(&self.state.folder, || KeyFile::replace(&self.state.folder, &keys))?;
        Ok(())
    }

    /// Writes the key file anew, as an erasure does, sealed under `lock` or, without it, in clear.
    pub(crate) fn rewrite_keys(&mut self, lock: Option<Arc<KeyLock>>) -> Result<()> {
        let mut keys = self.state.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.generation += 1;
        keys.lock = lock;
        self.keyfile = KeyFile::replace(&self.state.folder, &keys)?;
        Ok(())
    }

    /// From now on each write to the log fails.
    #[cfg(test)]
    pub(crate) fn lose_disk(&mut self) -> Result<()> {
        let first = self
            .state
            .index
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .newest_first();
        self.active.file = Arc::new(self.state.log.read_file(&crate::segment::file_name(first))?);
        Ok(())
    }

    /// Ends what goes on beside the commits.
    pub(crate) fn close(&mut self) {
        self.stage().roots.close();
        self.active.close();
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that may fail without anything being written to the log: room, and keys of new scopes. What is `staged` has
    /// its room, and needs more only together with these requests.
    fn prepare(&mut self, staged: usize, first: u64, requests: &[Request]) -> Result<()> {
        if let Some(error) = &self.broken {
            return Err(stopped(error));
        }
        let mut bytes = staged;
        if !requests.is_empty() {
            bytes += HOST_BYTES + requests.iter().map(|request| request.bytes).sum::<usize>();
        }
        let rotated = self
            .active
            .make_room(bytes as u64, first)
            .map_err(|e| self.stop_unless_full(e))?;
        if rotated {
            let mut index = self.state.index.write().unwrap_or_else(PoisonError::into_inner);
            index.rotate(first, self.active.file.clone());
        }
        self.mint(requests).map_err(|e| self.stop_unless_full(e))
    }

    /// A full disk may have room again later. After any other failure only opening again tells what the disk holds: no
    /// sync that failed is tried a second time.
    fn stop_unless_full(&mut self, error: Error) -> Error {
        if error.kind() != ErrorKind::Full {
            self.broken = Some(error.clone());
        }
        error
    }

    /// Gives new scopes their root secret, durably: a scope's record precedes the first byte of its first entry.
    fn mint(&mut self, requests: &[Request]) -> Result<()> {
        let stage = self.stage();
        let keys = self.state.keys.read().unwrap_or_else(PoisonError::into_inner);
        let mut unknown = BTreeSet::new();
        for request in requests {
            let shared = request.lock();
            let scopes = shared.drafts.iter().map(|draft| &draft.envelope.scope);
            // A scope that is hot has been written, so it has its secret.
            let fresh = scopes.filter(|scope| !stage.is_hot(scope) && !keys.trees.contains_key(*scope));
            unknown.extend(fresh.cloned());
        }
        drop((keys, stage));
        if unknown.is_empty() {
            return Ok(());
        }
        let mut fresh = Vec::with_capacity(unknown.len());
        for scope in unknown {
            let mut root = zeroize::Zeroizing::new([0; 32]);
            random::fill(&mut *root)?;
            fresh.push((scope, KeyTree::new(*root)));
        }
        self.keyfile.add(&fresh)?;
        self.state
            .keys
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .trees
            .extend(fresh);
        Ok(())
    }

    /// Writes and syncs the commit, then shows it to readers.
    fn write(&mut self, made: &mut Made) -> Result<()> {
        if let Some(error) = &self.broken {
            return Err(stopped(error));
        }
        if let Some(error) = made.failed.take() {
            return Err(error);
        }
        if made.batch.entries.is_empty() {
            return Ok(());
        }
        let room = self.active.room().saturating_sub(made.batch.lines.len() as u64);
        self.stage().open(room, Some(made));
        let place = self.active.commit(&made.batch.lines).map_err(|e| {
            let message = format!("{e}. Whether the entries of this commit are kept is unknown: open the ledger again, and repeat appends with the same idempotency keys");
            Error::new(ErrorKind::Unavailable, message)
        })?;
        let base = place.start as usize;
        let mut index = self.state.index.write().unwrap_or_else(PoisonError::into_inner);
        for entry in &made.batch.entries {
            index.push(entry.listed(), base + entry.line.start..base + entry.line.end);
        }
        Ok(())
    }
}

/// What is told to whoever comes after the ledger stopped.
fn stopped(error: &Error) -> Error {
    let message = format!("nothing of this was appended, for the ledger stopped earlier: {error}");
    Error::new(error.kind(), message)
}

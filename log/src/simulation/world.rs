// Long because one world, its failures and what must hold after each read best together.

//! A ledger whose disk, power and processes fail, and what must hold after each failure. What is done to it in between
//! is in `work.rs`.

use std::{
    collections::BTreeMap,
    ops::{Deref, DerefMut},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use quipu_format::{Hash, KeyCost, Scope, Signer};

use super::{
    beside::Beside,
    dice::Dice,
    disk::{Disk, Process},
    filling,
    model::{Model, Result, ensure},
    plan::{Ending, Lie},
    roots,
};
use crate::{
    Error, ErrorKind, Passphrase, components, disk::Folder, lock::Lock, manifest, opening::Parts, random::seeded,
    scope_roots::sooner, segment::Filling, stamps::Clock, verify::verify_in,
};

const ORIGIN: &str = "example.com/simulated";

/// Who erases.
pub(super) fn operator() -> Signer {
    Signer::new("operator:simulated", [5; 32]).unwrap()
}

/// One that costs next to nothing to try. In worlds whose seed is odd the key file has one.
pub(super) fn passphrase(text: &str) -> Passphrase {
    Passphrase::with_cost(text.into(), KeyCost::new(8, 1, 1).unwrap()).unwrap()
}

/// What happened in a world.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) cuts: u64,
    /// Of these, those that fell into an open.
    pub(super) cuts_in_open: u64,
    pub(super) kills: u64,
    pub(super) faults: u64,
    pub(super) commits: u64,
    /// Appends that were refused because their scope was full.
    pub(super) full: u64,
    pub(super) entries: u64,
    /// Entries that hold a root of scopes, in the end.
    pub(super) roots: u64,
    pub(super) segments: u64,
    pub(super) calls: u64,
    /// Of all calls to the storage and what became of them.
    pub(super) digest: u64,
}

/// A machine, a ledger on it, and what is known of it.
pub(super) struct World {
    pub(super) dice: Dice,
    pub(super) disk: Disk,
    pub(super) model: Model,
    pub(super) time: Arc<Mutex<(u64, u64)>>,
    filling: Filling,
    pub(super) scopes: Vec<Scope>,
    pub(super) beside: Beside,
    pub(super) writer: Option<Writer>,
    /// Components whose digest was returned.
    pub(super) components: BTreeMap<Hash, Vec<u8>>,
    /// The last number that a text was given.
    pub(super) numbers: usize,
    /// The writer's calls may fail in this life.
    pub(super) troubled: bool,
    pub(super) report: Report,
}

pub(super) struct Writer {
    pub(super) process: Process,
    /// Faults before it began.
    pub(super) faults: u64,
    pub(super) parts: Held,
}

/// A ledger that is open for writing, and its lock.
pub(super) struct Held {
    parts: Parts,
    /// Given back last.
    _lock: Lock,
}

impl Deref for Held {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut Parts {
        &mut self.parts
    }
}

struct SimClock(Arc<Mutex<(u64, u64)>>);

impl Clock for SimClock {
    fn wall_ms(&self) -> u64 {
        self.0.lock().unwrap().0
    }
    fn steady_ms(&self) -> u64 {
        self.0.lock().unwrap().1
    }
}

/// From here on this thread's randomness is the operating system's again.
pub(super) struct Unseed;

impl Drop for Unseed {
    fn drop(&mut self) {
        seeded::set(None);
        sooner::set(None);
    }
}

/// Makes a world from a seed, lets it run through so many power cuts, and says what happened.
pub(super) fn run(seed: u64, cuts: u64, lie: Option<Lie>) -> Result<Report> {
    let (mut world, _unseed) = World::new(seed, lie)?;
    world.live_through(cuts)?;
    Ok(world.report)
}

impl World {
    /// A world whose ledger has just been made and opened. This thread's randomness is the seed's as long as the second
    /// value is kept.
    pub(super) fn new(seed: u64, lie: Option<Lie>) -> Result<(Self, Unseed)> {
        let mut dice = Dice::new(seed);
        let mut random = dice.fork();
        seeded::set(Some(Box::new(move |bytes| random.fill(bytes))));
        sooner::set(Some(roots::EVERY));
        let limit = [2 << 10, 4 << 10, 16 << 10][dice.below(3)];
        let filling = Filling {
            limit,
            first: 1 << (9 + dice.below(3)),
            step: 1 << (9 + dice.below(3)),
            beside: false,
        };
        let disk = Disk::new(dice.fork(), (seed % 2 == 1).then(|| passphrase("correct horse")));
        disk.state().plan.lie = lie;
        let mut world = Self {
            disk,
            model: Model::default(),
            time: Arc::new(Mutex::new((1_700_000_000_000, 0))),
            filling,
            scopes: vec![Scope::new("scope:0").unwrap()],
            beside: Beside::default(),
            writer: None,
            components: BTreeMap::new(),
            numbers: 0,
            troubled: false,
            report: Report::default(),
            dice,
        };
        world.create()?;
        Ok((world, Unseed))
    }

    /// Makes the ledger; what a power cut leaves of one that was being made is thrown away.
    fn create(&mut self) -> Result {
        loop {
            let process = self.disk.process(true);
            if self.dice.one_in(2) {
                let kill = self.dice.one_in(2);
                self.arm(120, kill);
            }
            let folder = process.folder();
            let made = Lock::take(&folder, Duration::ZERO).and_then(|_lock| {
                Parts::create(
                    &folder,
                    Path::new(""),
                    ORIGIN,
                    &[operator().verifier_key()],
                    self.filling,
                    self.clock(),
                )
            });
            let ended = self.after(&process);
            let folder = self.disk.process(false).folder();
            let there = folder
                .list()
                .is_ok_and(|names| names.iter().any(|name| name == manifest::FILE));
            ensure!(made.is_err() || there, "a ledger that was made is gone");
            if let (Err(e), false) = (&made, ended) {
                return Err(format!("a ledger cannot be made: {e}"));
            }
            if there {
                // If it was not made to the end, it may still go; once it has been opened it may not.
                return self.open_after(made.is_err());
            }
            let (dice, lie) = (self.dice.fork(), self.disk.state().plan.lie);
            let passphrase = self.disk.passphrases.lock().unwrap()[0].clone();
            self.disk = Disk::new(dice, passphrase);
            self.disk.state().plan.lie = lie;
        }
    }

    /// Works on until the power has been cut so often, and closes the ledger in order.
    pub(super) fn live_through(&mut self, cuts: u64) -> Result {
        while self.report.cuts < cuts {
            self.live()?;
        }
        self.finish()
    }

    /// One life of the writer: it works until it ends, and the ledger is opened again.
    fn live(&mut self) -> Result {
        let kill = self.dice.one_in(8);
        self.arm(300, kill);
        self.troubled = self.dice.one_in(3);
        if self.troubled {
            self.disk.state().plan.fails_one_in = *self.dice.pick(&[10, 40, 200]);
        }
        let orderly = self.dice.one_in(10);
        for _ in 0..1 + self.dice.below(60) {
            if self.writer.as_ref().is_none_or(|writer| !writer.process.is_alive()) {
                break;
            }
            self.disk.state().plan.full = self.troubled && self.dice.one_in(6);
            self.step()?;
            self.hear(self.troubled)?;
        }
        self.disk.state().plan.full = false;
        if orderly {
            self.publish()?;
            if self.writer.as_ref().is_some_and(|writer| writer.process.is_alive()) {
                self.disk.state().plan.ending = None;
            }
        }
        self.stop();
        self.hear(self.troubled)?;
        self.troubled = false;
        self.look_at_ruin()?;
        self.open()
    }

    /// The writer ends, by the power or by itself.
    pub(super) fn stop(&mut self) {
        if let Some(Writer { process, parts, .. }) = self.writer.take() {
            // What is left in the plan strikes now.
            if let Some((_, ending)) = &mut self.disk.state().plan.ending
                && process.is_alive()
            {
                process.end();
                if self.troubled && self.dice.one_in(3) {
                    *ending = Ending::Kill;
                }
            }
            drop(parts);
            self.after(&process);
        }
    }

    /// Sets how the writer is to end.
    fn arm(&mut self, within: usize, kill: bool) {
        let calls = self.dice.mostly_small(within);
        let ending = if kill { Ending::Kill } else { Ending::PowerCut };
        self.disk.state().plan.ending = Some((calls, ending));
    }

    /// What happens when the writer has ended. Returns whether it has.
    fn after(&mut self, process: &Process) -> bool {
        let mut state = self.disk.state();
        let ending = state.plan.ending.take();
        state.plan.fails_one_in = 0;
        if process.is_alive() {
            process.end();
            return false;
        }
        match ending {
            Some((_, Ending::PowerCut)) => {
                state.cut();
                self.report.cuts += 1;
                drop(state);
                self.beside.end();
            }
            _ => {
                self.report.kills += 1;
                if self.dice.one_in(2) {
                    state.evict();
                }
            }
        }
        true
    }

    /// Before anybody recovers anything, readers and verification work on what is there.
    fn look_at_ruin(&mut self) -> Result {
        if self.dice.one_in(3) {
            self.beside.open(&self.disk);
            self.hear(false)?;
        }
        if self.dice.one_in(3) {
            let folder = self.disk.process(false).folder();
            verify_in(&folder, &mut |_| {}).map_err(|e| format!("what a crash left cannot be verified: {e}"))?;
        }
        Ok(())
    }

    /// Opens the ledger, however often that fails in between, and checks all that was promised.
    fn open(&mut self) -> Result {
        self.open_after(false)
    }

    /// The same; if `calm`, nothing fails on the way.
    pub(super) fn open_after(&mut self, mut calm: bool) -> Result {
        loop {
            let process = self.disk.process(true);
            let faults = self.disk.state().plan.faults;
            if !calm && self.dice.one_in(3) {
                let kill = self.dice.one_in(8);
                self.arm(80, kill);
            }
            if !calm && self.dice.one_in(4) {
                self.disk.state().plan.fails_one_in = *self.dice.pick(&[20, 100]);
            }
            let opened = self.open_once(&process);
            let cuts = self.report.cuts;
            let faulty = self.disk.state().plan.faults > faults;
            self.hear(faulty)?;
            match opened {
                Ok(parts) if process.is_alive() => {
                    let mut state = self.disk.state();
                    state.plan.ending = None;
                    state.plan.fails_one_in = 0;
                    drop(state);
                    self.writer = Some(Writer { process, faults, parts });
                    return self.check();
                }
                Ok(parts) => {
                    // It ended in a call whose failure did not matter.
                    drop(parts);
                    self.after(&process);
                }
                Err(e) => {
                    let ended = self.after(&process);
                    ensure!(ended || faulty, "the ledger is refused: {e}");
                    calm = self.dice.one_in(2);
                    if !ended {
                        self.disk.state().evict();
                    }
                }
            }
            self.report.cuts_in_open += self.report.cuts - cuts;
        }
    }

    /// Opens the ledger for writing.
    pub(super) fn open_once(&self, process: &Process) -> std::result::Result<Held, Error> {
        let folder = process.folder();
        let lock = Lock::take(&folder, Duration::ZERO)?;
        let open = |folder: &Folder| Parts::open(folder, Path::new(""), self.filling, self.clock());
        let opened = match open(&folder) {
            Err(e) if e.kind() == ErrorKind::Sealed => {
                self.disk.passphrases.lock().unwrap().reverse();
                open(&process.folder())
            }
            opened => opened,
        };
        Ok(Held {
            parts: opened?,
            _lock: lock,
        })
    }

    /// Everything that was promised, on a ledger that has just been opened for writing.
    fn check(&mut self) -> Result {
        self.hear(false)?;
        self.witness()?;
        let Some(Writer { process, parts, .. }) = &self.writer else {
            return Ok(());
        };
        let reader = parts.reader();
        let events: std::result::Result<Vec<_>, Error> = reader.events(0..reader.head()).collect();
        let events = events.map_err(|e| format!("an open ledger cannot be read: {e}"))?;
        self.model.settle(&events)?;
        filling::check(&events)?;
        self.report.roots = roots::check(&events)?;
        let root = self.model.check_roots()?;
        let folder = process.folder();
        let verdict = verify_in(&folder, &mut |_| {}).map_err(|e| format!("an open ledger cannot be verified: {e}"))?;
        ensure!(verdict.fault.is_none(), "an open ledger does not verify: {verdict:?}");
        let count = events.len() as u64;
        ensure!(
            (verdict.entries, verdict.root) == (count, root) && verdict.intact + verdict.erased_with_authority == count,
            "the verdict on {count} entries: {verdict:?}"
        );
        for (digest, bytes) in &self.components {
            let there = components::read(&folder, digest).map_err(|e| e.to_string())?;
            ensure!(there.as_ref() == Some(bytes), "a component that was kept is gone");
        }
        let (_, checkpoint) = reader.checkpoint().map_err(|e| e.to_string())?;
        ensure!(
            checkpoint.size <= count,
            "a checkpoint over {} entries where there are {count}",
            checkpoint.size
        );
        let seq = self.dice.below(checkpoint.size as usize) as u64;
        let proof = reader
            .prove(seq)
            .map_err(|e| format!("entry {seq} cannot be proved: {e}"))?;
        ensure!(proof.index == seq, "a proof of another entry");
        self.report.entries = count;
        self.report.segments = reader.stats().map_err(|e| e.to_string())?.segments;
        if self.dice.one_in(3) {
            self.beside.open(&self.disk);
            self.hear(false)?;
        }
        Ok(())
    }

    /// Takes note of what the reader beside was served, and of every checkpoint that anybody could have seen.
    pub(super) fn hear(&mut self, excused: bool) -> Result {
        let (served, failures) = self.beside.tell();
        if let (Some(failure), false) = (failures.first(), excused) {
            return Err(failure.clone());
        }
        for event in served {
            self.model.served(&event)?;
        }
        Ok(())
    }

    pub(super) fn witness(&mut self) -> Result {
        let notes = std::mem::take(&mut self.disk.state().checkpoints);
        let Some(writer) = &self.writer else { return Ok(()) };
        for note in notes {
            self.model.signed(&note, &writer.parts.state.manifest().verifier_key)?;
        }
        Ok(())
    }

    /// Closes the ledger in order, and verifies it as somebody does who finds it so.
    fn finish(&mut self) -> Result {
        self.publish()?;
        self.witness()?;
        let ended = self.writer.take().is_none_or(|writer| !writer.process.is_alive());
        ensure!(!ended, "the last writer ended early");
        let verdict = verify_in(&self.disk.process(false).folder(), &mut |_| {}).map_err(|e| e.to_string())?;
        ensure!(
            verdict.fault.is_none() && verdict.checkpoint_size == verdict.entries,
            "a ledger that was closed in order: {verdict:?}"
        );
        let state = self.disk.state();
        (self.report.calls, self.report.digest) = (state.calls, state.digest);
        self.report.faults = state.plan.faults;
        Ok(())
    }

    fn clock(&self) -> Box<SimClock> {
        Box::new(SimClock(self.time.clone()))
    }
}

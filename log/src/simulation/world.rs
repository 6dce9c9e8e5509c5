// Long because all that can happen to a ledger reads best in one place.

//! Random work on a ledger whose disk, power and processes fail, and what must hold after each failure.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use quipu_format::{Actor, Body, Hash, Kind, Scope};

use super::{
    beside::Beside,
    damage,
    dice::Dice,
    disk::{Disk, Process},
    model::{Model, Result, ensure},
    plan::{Ending, Lie},
};
use crate::{
    Draft, Error, ErrorKind, components,
    import::{Format, Plan},
    ledger::{self, Parts},
    manifest,
    random::seeded,
    segment::Filling,
    stamps::Clock,
    verify::verify_in,
};

const ORIGIN: &str = "example.com/simulated";

/// What happened in a world.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) cuts: u64,
    /// Of these, those that fell into an open.
    pub(super) cuts_in_open: u64,
    pub(super) kills: u64,
    pub(super) faults: u64,
    pub(super) commits: u64,
    pub(super) entries: u64,
    pub(super) segments: u64,
    pub(super) calls: u64,
    /// Of all calls to the storage and what became of them.
    pub(super) digest: u64,
}

/// A machine, a ledger on it, and what is known of it.
pub(super) struct World {
    dice: Dice,
    pub(super) disk: Disk,
    pub(super) model: Model,
    time: Arc<Mutex<(u64, u64)>>,
    filling: Filling,
    scopes: Vec<Scope>,
    beside: Beside,
    writer: Option<Writer>,
    /// Components whose digest was returned.
    components: BTreeMap<Hash, Vec<u8>>,
    /// The last number that a text was given.
    numbers: usize,
    /// The writer's calls may fail in this life.
    troubled: bool,
    pub(super) report: Report,
}

struct Writer {
    process: Process,
    /// Faults before it began.
    faults: u64,
    parts: Parts,
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
struct Unseed;

impl Drop for Unseed {
    fn drop(&mut self) {
        seeded::set(None);
    }
}

/// Makes a world from a seed, lets it run through so many power cuts, and says what happened.
pub(super) fn run(seed: u64, cuts: u64, lie: Option<Lie>) -> Result<Report> {
    let (mut world, _unseed) = World::new(seed, lie)?;
    world.live_through(cuts)?;
    Ok(world.report)
}

/// Damages the ledger of such a world, once it is closed, in so many ways.
pub(super) fn damaged(seed: u64, cuts: u64, times: usize) -> Result {
    let (mut world, _unseed) = World::new(seed, None)?;
    world.live_through(cuts)?;
    let mut dice = world.dice.fork();
    damage::sweep(&world, &mut dice, times)
}

/// Lets `work` be done as often as it has calls to the storage, each time ending one call later, and has entries rest
/// on what that left before the power is cut. Returns how often.
pub(super) fn ending_at_every_call(ending: Ending, work: impl Fn(&mut World) -> Result) -> Result<usize> {
    for calls in 1.. {
        let (mut world, _unseed) = World::new(7, None)?;
        world.step_into_every_scope()?;
        world.disk.state().plan.ending = Some((calls, ending));
        let worked = work(&mut world);
        let ended = world.writer.as_ref().is_none_or(|writer| !writer.process.is_alive());
        let at = |e| format!("ending at call {calls}: {e}");
        worked.map_err(at)?;
        world.stop();
        world.open_after(true).map_err(at)?;
        world.step_into_every_scope().map_err(at)?;
        world.disk.state().plan.ending = Some((usize::MAX, Ending::PowerCut));
        world.stop();
        world.open_after(true).map_err(at)?;
        if !ended {
            return Ok(calls);
        }
    }
    unreachable!("work has an end")
}

impl World {
    fn new(seed: u64, lie: Option<Lie>) -> Result<(Self, Unseed)> {
        let mut dice = Dice::new(seed);
        let mut random = dice.fork();
        seeded::set(Some(Box::new(move |bytes| random.fill(bytes))));
        let limit = [2 << 10, 4 << 10, 16 << 10][dice.below(3)];
        let filling = Filling {
            limit,
            first: 1 << (9 + dice.below(3)),
            step: 1 << (9 + dice.below(3)),
            beside: false,
        };
        let disk = Disk::new(dice.fork());
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
            let made = Parts::create(process.folder(), Path::new(""), ORIGIN, self.filling, self.clock());
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
            self.disk = Disk::new(dice);
            self.disk.state().plan.lie = lie;
        }
    }

    fn live_through(&mut self, cuts: u64) -> Result {
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
    fn stop(&mut self) {
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

    fn open_after(&mut self, mut calm: bool) -> Result {
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
    pub(super) fn open_once(&self, process: &Process) -> std::result::Result<Parts, Error> {
        let clock = self.clock();
        Parts::open(process.folder(), Path::new(""), self.filling, Duration::ZERO, clock)
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
        let root = self.model.check_roots()?;
        let folder = process.folder();
        let verdict = verify_in(&folder, &mut |_| {}).map_err(|e| format!("an open ledger cannot be verified: {e}"))?;
        ensure!(verdict.fault.is_none(), "an open ledger does not verify: {verdict:?}");
        let count = events.len() as u64;
        ensure!(
            (verdict.entries, verdict.intact, verdict.root) == (count, count, root),
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
    fn hear(&mut self, excused: bool) -> Result {
        let (served, failures) = self.beside.tell();
        if let (Some(failure), false) = (failures.first(), excused) {
            return Err(failure.clone());
        }
        for event in served {
            self.model.served(&event)?;
        }
        Ok(())
    }

    fn witness(&mut self) -> Result {
        let notes = std::mem::take(&mut self.disk.state().checkpoints);
        let Some(writer) = &self.writer else { return Ok(()) };
        for note in notes {
            self.model.signed(&note, writer.parts.reader().verifier_key())?;
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

/// What the writer does.
impl World {
    fn step(&mut self) -> Result {
        {
            let mut time = self.time.lock().unwrap();
            let passed = self.dice.mostly_small(5_000) as u64;
            *time = (time.0 + passed, time.1 + passed);
            match self.dice.below(60) {
                0 => time.0 += 1_000_000,
                1 => time.0 -= 600_000,
                _ => {}
            }
        }
        match self.dice.below(21) {
            0..=6 => {
                let drafts = vec![self.draft()];
                self.commit(vec![drafts])
            }
            7..=9 => {
                let count = 1 + self.dice.mostly_small(12);
                let drafts = self.drafts(count);
                self.commit(vec![drafts])
            }
            10..=11 => {
                // Group commit: several callers, one sync.
                let requests = (0..1 + self.dice.below(4))
                    .map(|_| {
                        let count = self.dice.mostly_small(4);
                        self.drafts(count)
                    })
                    .collect();
                self.commit(requests)
            }
            12..=13 => self.repeat(),
            14 => self.contradict(),
            15 => self.publish(),
            16 => self.import(),
            17 => self.rewrite_keys(),
            18 => self.keep_component(),
            19 => self.intrude(),
            _ => {
                self.watch();
                Ok(())
            }
        }
    }

    /// An entry in each scope that there is, and one in a scope that is new.
    pub(super) fn step_into_every_scope(&mut self) -> Result {
        self.scopes
            .push(Scope::new(&format!("scope:{}", self.scopes.len())).unwrap());
        for scope in self.scopes.clone() {
            let mut draft = self.draft();
            draft.scope = scope;
            self.commit(vec![vec![draft]])?;
        }
        Ok(())
    }

    fn draft(&mut self) -> Draft {
        if self.dice.one_in(8) {
            let scope = Scope::new(&format!("scope:{}", self.scopes.len())).unwrap();
            self.scopes.push(scope);
        }
        self.numbers += 1;
        let most = if self.dice.one_in(10) { 6_000 } else { 300 };
        let length = self.dice.mostly_small(most);
        let text = format!(r#"{{"text":"{} {}"}}"#, self.numbers, "x".repeat(length));
        let actor = Actor::new(["agent:a", "agent:b"][self.dice.below(2)]).unwrap();
        let body = Body::new(None, &text).unwrap();
        let mut draft = Draft::new(
            self.dice.pick(&self.scopes).clone(),
            actor,
            Kind::new("note").unwrap(),
            body,
        );
        if self.dice.one_in(2) {
            draft.key = Some(format!("key {}", self.numbers));
        }
        if self.dice.one_in(6) {
            let seq = self.dice.below(self.model.next().max(1) as usize) as u64;
            draft.evidence.extend(self.model.id(seq));
        }
        draft
    }

    fn drafts(&mut self, count: usize) -> Vec<Draft> {
        let keyed = self.dice.one_in(2);
        let mut drafts: Vec<_> = (0..count).map(|_| self.draft()).collect();
        for draft in &mut drafts {
            draft.key = draft.key.take().filter(|_| keyed);
        }
        drafts
    }

    /// Several callers append, each all or nothing.
    fn commit(&mut self, requests: Vec<Vec<Draft>>) -> Result {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let mut waiting = Vec::new();
        let (mut taken, mut turned_away) = (Vec::new(), Vec::new());
        let mut stopped = false;
        for drafts in requests {
            let batch = self.model.submit(&drafts);
            match ledger::request(&writer.parts.reader(), &writer.parts.secret(), drafts) {
                Ok((request, answer)) => {
                    taken.push(request);
                    waiting.push((batch, answer));
                }
                Err(e) => turned_away.push((batch, e)),
            }
        }
        writer.parts.commit(taken);
        self.report.commits += 1;
        for (batch, e) in turned_away {
            stopped |= self.refused(batch, &e)?;
        }
        for (batch, mut answer) in waiting {
            match answer.try_recv() {
                Ok(Ok(receipts)) => self.model.acknowledged(batch, &receipts)?,
                Ok(Err(e)) => stopped |= self.refused(batch, &e)?,
                Err(_) => return Err("a caller is left without an answer".into()),
            }
        }
        if stopped && self.dice.one_in(2) {
            self.try_again()?;
        }
        if stopped {
            self.stop();
        }
        Ok(())
    }

    /// Whether nothing may be appended any more.
    fn refused(&mut self, batch: usize, error: &Error) -> Result<bool> {
        let Some(writer) = &self.writer else { return Ok(true) };
        let alive = writer.process.is_alive();
        ensure!(
            !alive || self.disk.state().plan.faults > writer.faults,
            "an append is refused on a healthy machine: {error}"
        );
        if error.kind() == ErrorKind::Unavailable {
            return Ok(true);
        }
        self.model.refused(batch);
        Ok(!alive)
    }

    /// After a failed write or sync nothing is acknowledged any more.
    fn try_again(&mut self) -> Result {
        let draft = self.draft();
        let batch = self.model.submit(std::slice::from_ref(&draft));
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let answer = writer.parts.append_all(vec![draft]);
        self.model.refused(batch);
        match answer {
            Ok(_) => Err("something was acknowledged after a failed write".into()),
            Err(_) => Ok(()),
        }
    }

    /// The same with the same keys, once or twice in one commit.
    fn repeat(&mut self) -> Result {
        if self.model.batches() == 0 {
            return Ok(());
        }
        let batch = self.dice.below(self.model.batches());
        let Some(drafts) = self.model.repeatable(batch) else {
            return Ok(());
        };
        self.commit(vec![drafts])
    }

    /// A key that was used, with other content.
    fn contradict(&mut self) -> Result {
        if self.model.batches() == 0 {
            return Ok(());
        }
        let batch = self.dice.below(self.model.batches());
        let Some(drafts) = self.model.repeatable(batch).filter(|_| self.model.is_kept(batch)) else {
            return Ok(());
        };
        let mut other = self.draft();
        (other.scope, other.actor, other.key) =
            (drafts[0].scope.clone(), drafts[0].actor.clone(), drafts[0].key.clone());
        // Without a key, so that this is not repeated as if it were good.
        let mut good = self.draft();
        good.key = None;
        let batch = self.model.submit(&[good.clone(), other.clone()]);
        let Some(writer) = &mut self.writer else { return Ok(()) };
        match writer.parts.append_all(vec![good, other]) {
            Ok(_) => Err("a key was taken twice, for two contents".into()),
            Err(e) if e.kind() == ErrorKind::Conflict => {
                self.model.refused(batch);
                Ok(())
            }
            Err(e) => {
                if self.refused(batch, &e)? {
                    self.stop();
                }
                Ok(())
            }
        }
    }

    pub(super) fn publish(&mut self) -> Result {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        if let Err(e) = writer.parts.publisher.publish() {
            ensure!(
                self.troubled || !writer.process.is_alive(),
                "no checkpoint on a healthy machine: {e}"
            );
        }
        self.witness()
    }

    /// Lines of events that rest on each other, begun twice where the first time fails.
    pub(super) fn import(&mut self) -> Result {
        let count = 2 + self.dice.below(5);
        let name = self.numbers;
        self.numbers += count;
        let mut lines = String::new();
        for at in 0..count {
            let scope = self.dice.pick(&self.scopes).clone();
            let evidence = match at {
                0 => String::new(),
                _ => format!(r#","evidence":["{name}-{}"]"#, self.dice.below(at)),
            };
            lines += &format!(
                r#"{{"id":"{name}-{at}","ts":"2026-01-01T00:00:00Z","actor":"agent:old","kind":"note","scope":"{scope}","source":{{"channel":"import"}},"payload":{{"text":"import {name} {at}"}}{evidence}}}"#
            );
            lines.push('\n');
        }
        for _ in 0..1 + self.dice.below(2) {
            let Some(writer) = &mut self.writer else { return Ok(()) };
            let plan = match Plan::read(Format::Events, lines.as_bytes(), &writer.parts.reader()) {
                Ok(plan) => plan,
                Err(errors) => {
                    let excused = self.troubled || !writer.process.is_alive();
                    ensure!(excused, "a good import is refused: {errors:?}");
                    return Ok(());
                }
            };
            let (parts, model) = (&mut writer.parts, &mut self.model);
            let (mut broken, mut unknown) = (Ok(()), None);
            let mut append = |drafts: Vec<Draft>| {
                let batch = model.submit(&drafts);
                let answer = parts.append_all(drafts);
                match &answer {
                    Ok(receipts) => broken = broken.clone().and(model.acknowledged(batch, receipts)),
                    Err(e) => unknown = Some((batch, e.clone())),
                }
                answer
            };
            let _ = plan.apply_by(&mut append, &Actor::new("agent:importer").unwrap(), &mut |_, _| {});
            broken?;
            self.report.commits += 1;
            if let Some((batch, error)) = unknown
                && self.refused(batch, &error)?
            {
                self.stop();
            }
        }
        Ok(())
    }

    pub(super) fn rewrite_keys(&mut self) -> Result {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let folder = writer.process.folder();
        if writer.parts.sequencer.rewrite_keys(&folder).is_err() {
            // Which of the two files holds is found out by opening.
            self.stop();
        }
        Ok(())
    }

    pub(super) fn keep_component(&mut self) -> Result {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let bytes = vec![self.dice.below(6) as u8; 700];
        if let Ok(digest) = components::put(&writer.process.folder(), &bytes) {
            self.components.insert(digest, bytes);
        }
        Ok(())
    }

    /// A second writer is turned away.
    fn intrude(&mut self) -> Result {
        let alive = self.writer.as_ref().is_some_and(|writer| writer.process.is_alive());
        let intruder = self.disk.process(false);
        let opened = self.open_once(&intruder);
        ensure!(!alive || opened.is_err(), "two writers at once");
        Ok(())
    }

    /// Somebody begins to read beside, or looks again.
    fn watch(&mut self) {
        if self.beside.is_open() && !self.dice.one_in(4) {
            self.beside.look();
        } else {
            self.beside.open(&self.disk);
        }
        let beside = self.beside.clone();
        let visitor = self.dice.one_in(2).then(|| Box::new(move || beside.look()) as _);
        self.disk.visit(visitor);
    }
}

//! What the writer does, and what it may be answered.

use quipu_format::{Actor, Body, Kind, Scope};

use super::{
    model::{Result, ensure},
    world::{self, World},
};
use crate::{
    Draft, Error, ErrorKind, components,
    import::{Format, Plan},
    intake, passphrase,
    request::{Receipts, Until},
    rotation,
};

impl World {
    pub(super) fn step(&mut self) -> Result {
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
        match self.dice.below(23) {
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
            17 if self.dice.one_in(2) => self.rotate(),
            17 => self.rewrite_keys(),
            18 => self.keep_component(),
            19 => self.intrude(),
            20 => self.erase(),
            21 => self.change_quota(),
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
        self.step_into_known_scopes()
    }

    /// An entry in each scope that somebody has appended to, or has tried to.
    pub(super) fn step_into_known_scopes(&mut self) -> Result {
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
            let (reader, secret) = (writer.parts.reader(), writer.parts.state.secret());
            match intake::request(&reader, &secret, drafts.into(), Until::Durable) {
                Ok((request, answer)) => {
                    taken.push(request);
                    waiting.push((batch, answer));
                }
                Err(e) => turned_away.push((batch, e)),
            }
        }
        if self.dice.one_in(2) {
            // Some were made ready while the commit before was written.
            let stage = writer.parts.sequencer.shared_stage();
            let mut stage = stage.lock().unwrap();
            while taken.first().is_some_and(|request| stage.takes(request)) {
                stage.add_ahead(taken.remove(0));
            }
        }
        writer.parts.commit(taken);
        self.report.commits += 1;
        for (batch, e) in turned_away {
            stopped |= self.refused(batch, &e)?;
        }
        for (batch, answer) in waiting {
            match answer.now().flatten() {
                Some(Ok(receipts)) => self.model.acknowledged(batch, &receipts)?,
                Some(Err(e)) => stopped |= self.refused(batch, &e)?,
                None => return Err("a caller is left without an answer".into()),
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
        if error.kind() == ErrorKind::Redacted && self.model.is_erased(batch) {
            return Ok(false);
        }
        if error.kind() == ErrorKind::Quota {
            self.check_full(&self.model.scopes(batch), error)?;
            self.report.full += 1;
            self.model.refused(batch);
            return Ok(false);
        }
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
            Err(e) if matches!(e.kind(), ErrorKind::Conflict | ErrorKind::Redacted) => {
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
        // As far as there was time beside the commits.
        for _ in 0..self.dice.below(8) {
            if !writer.parts.publisher.merge() {
                break;
            }
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
                answer.map(Receipts::into_vec)
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
        let lock = writer.parts.state.keys.read().unwrap().lock.clone();
        if writer.parts.sequencer.rewrite_keys(lock).is_err() {
            // Which of the two files holds is found out by opening.
            self.stop();
        }
        Ok(())
    }

    /// The key file gets another passphrase: which of the two it has is found out by opening.
    pub(super) fn change_passphrase(&mut self) -> Result {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let new = world::passphrase("another");
        self.disk.passphrases.lock().unwrap()[1] = Some(new.clone());
        // Whichever of both it left, the ledger is opened anew: with the one that opens its key file.
        let _ = passphrase::reseal(&mut writer.parts, Some(new.fresh().unwrap()));
        self.stop();
        Ok(())
    }

    /// The ledger gets another key: the next open finishes what this does not.
    pub(super) fn rotate(&mut self) -> Result {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        // Whether it came to be is found out by opening.
        if let Ok((_, draft)) = rotation::prepare(&writer.parts.state)
            && writer.parts.append_all(vec![draft]).is_ok()
        {
            let _ = writer.parts.publisher.publish();
        }
        self.stop();
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

//! Erasures in a world that fails, and what must be nowhere after any of its failures.

use base64::{
    Engine,
    prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};
use quipu_format::{Content, KeyTree, Scope};

use super::{
    model::{Result, ensure},
    plan::Ending,
    world::{self, World},
};
use crate::{ErasurePlan, ErrorKind, SignedAct, Target};

impl World {
    /// Something is erased: some entries, the beginning of a scope, or all of it.
    pub(super) fn erase(&mut self) -> Result {
        let scope = self.dice.pick(&self.scopes).clone();
        let next = self.model.next().max(1) as usize;
        let target = match self.dice.below(5) {
            0 => Target::Scope(scope),
            1 => Target::Before {
                scope,
                seq: self.dice.below(next) as u64,
            },
            _ => {
                let seqs: Vec<_> = (0..1 + self.dice.below(4))
                    .map(|_| self.dice.below(next) as u64)
                    .collect();
                Target::Events(seqs.into_iter().filter_map(|seq| self.model.id(seq)).collect())
            }
        };
        self.erase_this(&target)
    }

    /// All that there is is erased, scope by scope.
    pub(super) fn erase_from_every_scope(&mut self) -> Result {
        for scope in self.scopes.clone() {
            self.erase_this(&Target::Scope(scope))?;
        }
        Ok(())
    }

    fn erase_this(&mut self, target: &Target) -> Result {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let reader = writer.parts.reader();
        let plan = match ErasurePlan::new(&reader, target, None) {
            Ok(plan) => plan,
            // Entries of the ledger's own, and a scope that nobody came to append to.
            Err(e) if matches!(e.kind(), ErrorKind::Invalid | ErrorKind::NotFound) => return Ok(()),
            Err(e) => {
                let faulty = self.disk.state().plan.faults > writer.faults;
                let excused = self.troubled || faulty || !writer.process.is_alive();
                ensure!(excused, "an erasure cannot be resolved on a healthy machine: {e}");
                return Ok(());
            }
        };
        if plan.erasures.is_empty() {
            return Ok(());
        }
        let covered: Vec<_> = (0..reader.head())
            .filter(|&seq| {
                let envelope = reader.envelope(seq).ok().flatten();
                envelope.is_some_and(|envelope| {
                    let mut erasures = plan.erasures.iter();
                    erasures.any(|erasure| erasure.scope == envelope.scope && erasure.covers(envelope.nth))
                })
            })
            .collect();
        let acts = plan.sign(&reader, &world::operator(), "").and_then(|acts| {
            acts.into_iter()
                .map(SignedAct::draft)
                .collect::<crate::Result<Vec<_>>>()
        });
        let Ok(acts) = acts else {
            let excused = self.troubled || !writer.process.is_alive();
            ensure!(excused, "an erasure cannot be signed on a healthy machine");
            return Ok(());
        };
        let answer = writer.parts.append_all(acts);
        self.report.commits += 1;
        match answer {
            Ok(receipts) => {
                // What was served until now was there until now.
                self.hear(self.troubled)?;
                self.model.carried_out(&receipts, covered.into_iter());
                self.beside.look_again();
                self.hear(true)
            }
            Err(e) => {
                let Some(writer) = &self.writer else { return Ok(()) };
                let alive = writer.process.is_alive();
                ensure!(
                    !alive || self.disk.state().plan.faults > writer.faults,
                    "an erasure is refused on a healthy machine: {e}"
                );
                if e.kind() == ErrorKind::Unavailable || !alive {
                    self.stop();
                }
                Ok(())
            }
        }
    }
}

/// The secrets of a tree on the way from the root to an entry, and the entry's own.
fn on_the_way(tree: &KeyTree, nth: u32) -> Vec<[u8; 32]> {
    let mut secrets: Vec<_> = (0..=32_u32)
        .map(|depth| {
            let below = u32::MAX.checked_shr(depth).unwrap_or(0);
            let (first, last) = (nth & !below, nth | below);
            let mut tree = tree.clone();
            if let Some(before) = first.checked_sub(1) {
                tree.puncture(0..=before).unwrap();
            }
            if let Some(behind) = last.checked_add(1) {
                tree.puncture(behind..=u32::MAX).unwrap();
            }
            *tree.nodes()[0].secret()
        })
        .collect();
    let secret = tree.secret(nth).unwrap();
    secrets.extend([secret.salt, secret.key]);
    secrets
}

/// Erases an entry as often as that has calls to the storage, ends each time one call later, opens the ledger again, and
/// looks for its secrets in every byte there is. Returns how often the erasure was found to be done, and not.
fn at_every_call(seed: u64, ending: Ending) -> Result<(usize, usize)> {
    let (mut done, mut undone) = (0, 0);
    for calls in 1.. {
        let (mut world, _unseed) = World::new(seed, None)?;
        world.step_into_every_scope()?;
        let scope = Scope::new("scope:0").unwrap();
        let Some(writer) = &world.writer else {
            return Err("no writer".into());
        };
        let reader = writer.parts.reader();
        let tree = writer.parts.state.keys.read().unwrap().trees[&scope].clone();
        let head = reader.head();
        let event = (0..head).find_map(|seq| {
            let event = reader.event(seq).unwrap()?;
            (event.envelope.scope == scope).then_some(event)
        });
        let event = event.ok_or("nothing to erase")?.envelope;
        let secrets = on_the_way(&tree, event.nth);
        world.disk.state().plan.ending = Some((calls, ending));
        world.erase_this(&Target::Events(vec![event.id]))?;
        let ended = world.writer.as_ref().is_none_or(|writer| !writer.process.is_alive());
        world.stop();
        world
            .open_after(true)
            .map_err(|e| format!("ending at call {calls}: {e}"))?;
        let Some(writer) = &world.writer else {
            return Err("no writer".into());
        };
        let there = writer.parts.reader().event(event.seq).unwrap().unwrap();
        if there.content == Content::Erased {
            done += 1;
            let state = world.disk.state();
            for path in state.files() {
                let content = state.content(&path);
                for (nth, secret) in secrets.iter().enumerate() {
                    let found = is_in(&content, secret);
                    ensure!(!found, "ending at call {calls}: secret {nth} is in {path}");
                }
            }
        } else {
            undone += 1;
        }
        if !ended {
            return Ok((done, undone));
        }
    }
    unreachable!("an erasure has an end")
}

fn is_in(content: &[u8], secret: &[u8; 32]) -> bool {
    let texts = [
        secret.to_vec(),
        BASE64_URL_SAFE_NO_PAD.encode(secret).into_bytes(),
        BASE64_STANDARD_NO_PAD.encode(secret).into_bytes(),
    ];
    texts.iter().any(|text| memchr::memmem::find(content, text).is_some())
}

#[test]
fn no_secret_of_what_was_erased_is_anywhere_after_a_crash_at_any_call() {
    let (mut done, mut undone) = (0, 0);
    for seed in 1..=8 {
        for ending in [Ending::Kill, Ending::PowerCut] {
            let (d, u) = at_every_call(seed, ending).unwrap_or_else(|e| panic!("seed {seed}, {ending:?}: {e}"));
            (done, undone) = (done + d, undone + u);
        }
    }
    println!("{done} times done, {undone} times not");
    assert!(done + undone >= 200 && done > 100 && undone > 10, "{done} {undone}");
}

/// The search above can find something; where the key file is sealed there is nothing to find even then.
#[test]
fn the_secrets_are_there_before_unless_they_are_sealed() {
    assert!(root_is_there(2));
    assert!(!root_is_there(1));
}

fn root_is_there(seed: u64) -> bool {
    let (world, _unseed) = World::new(seed, None).unwrap();
    let writer = world.writer.as_ref().unwrap();
    let tree = writer.parts.state.keys.read().unwrap().trees[&Scope::ledger()].clone();
    let state = world.disk.state();
    let keys = state.files().into_iter().find(|path| path.ends_with("keys")).unwrap();
    let secrets = on_the_way(&tree, 0);
    assert_eq!(secrets.len(), 35);
    is_in(&state.content(&keys), &secrets[0])
}

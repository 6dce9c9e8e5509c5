//! What a verifier says of an entry from its line alone, on any thread and in any order. How entries follow from each
//! other is for [`verify`](crate::verify).

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use quipu_format::{Envelope, EnvelopeRef, EventId, Hash, KeyPath, Line, Scope, leaf_hash};

use crate::{
    keyfile::Keys,
    opened::{Opened, With, opened},
    reader::KeyPaths,
};

/// An entry whose line was checked.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) id: EventId,
    /// Its time is the one in its name.
    pub(crate) is_of_its_time: bool,
    /// Number of its scope.
    pub(crate) scope: u32,
    pub(crate) nth: u32,
    pub(crate) prev: Hash,
    /// Its leaf hash.
    pub(crate) hash: Hash,
    pub(crate) opened: Opened,
    /// Entries that it names.
    pub(crate) links: Vec<EventId>,
    /// All of it, where it has `sys`.
    pub(crate) whole: Option<Box<Envelope>>,
}

/// What all threads look at.
pub(crate) struct Checks<'a> {
    pub(crate) keys: Option<&'a Keys>,
    pub(crate) scopes: &'a Scopes,
}

/// What each thread remembers of the scopes that it met.
#[derive(Default)]
pub(crate) struct Met<'k> {
    places: HashMap<Scope, usize>,
    scopes: Vec<MetScope<'k>>,
    /// Room for a body.
    room: Vec<u8>,
}

struct MetScope<'k> {
    scope: Scope,
    number: u32,
    with: With<'k>,
    path: KeyPath,
}

impl<'k> Checks<'k> {
    /// [`entry`](Self::entry), as what is to be done with lines.
    pub(crate) fn work(&self) -> impl Fn(&mut Met<'k>, &Line<'_>) -> quipu_format::Result<(u64, Entry)> + Sync {
        |met, line| {
            #[cfg(test)]
            if let Some(seen) = &self.scopes.seen {
                return seen.entry(line, || self.entry(met, line));
            }
            self.entry(met, line)
        }
    }

    /// The entry of a line, and its `seq`.
    pub(crate) fn entry(&self, met: &mut Met<'k>, line: &Line<'_>) -> quipu_format::Result<(u64, Entry)> {
        if let Some(envelope) = EnvelopeRef::parse(line.envelope) {
            return Ok((envelope.seq, self.check(met, line, &envelope)?));
        }
        let whole = Envelope::parse(line.envelope)?;
        let mut entry = self.check(met, line, &EnvelopeRef::from(&whole))?;
        let seq = whole.seq;
        entry.whole = whole.sys.is_some().then(|| Box::new(whole));
        Ok((seq, entry))
    }

    fn check(&self, met: &mut Met<'k>, line: &Line<'_>, envelope: &EnvelopeRef<'_>) -> quipu_format::Result<Entry> {
        let Met { places, scopes, room } = met;
        let place = match places.get(envelope.scope) {
            Some(&place) => place,
            None => {
                if scopes.len() >= KeyPaths::SCOPES {
                    places.clear();
                    scopes.clear();
                }
                let (number, scope) = self.scopes.number(envelope.scope)?;
                places.insert(scope.clone(), scopes.len());
                let with = With::of(self.keys, &scope);
                scopes.push(MetScope {
                    scope,
                    number,
                    with,
                    path: KeyPath::default(),
                });
                scopes.len() - 1
            }
        };
        let MetScope {
            scope,
            number,
            with,
            path,
        } = &mut scopes[place];
        Ok(Entry {
            id: envelope.id,
            is_of_its_time: envelope.id.0.timestamp_ms() == envelope.ts.as_ms(),
            scope: *number,
            nth: envelope.nth,
            prev: envelope.prev,
            hash: leaf_hash(line.envelope),
            opened: opened(*with, path, line, (scope, envelope.nth, &envelope.body), room),
            links: envelope.evidence.iter().chain(envelope.supersedes.iter()).collect(),
            whole: None,
        })
    }
}

/// A number for each scope, in the order in which they are met, which is not always the log's.
#[derive(Default)]
pub(crate) struct Scopes {
    met: Mutex<(HashMap<Scope, u32>, Vec<Scope>)>,
    /// What was said of lines before, where one ledger is verified a million times.
    #[cfg(test)]
    pub(crate) seen: Option<crate::flips::Seen>,
}

impl Scopes {
    /// The number of a scope, from 0.
    fn number(&self, name: &str) -> quipu_format::Result<(u32, Scope)> {
        let (numbers, names) = &mut *self.met.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((scope, &number)) = numbers.get_key_value(name) {
            return Ok((number, scope.clone()));
        }
        let (number, scope) = (names.len() as u32, Scope::new(name)?);
        numbers.insert(scope.clone(), number);
        names.push(scope.clone());
        Ok((number, scope))
    }

    /// The scope of a number.
    pub(crate) fn name(&self, number: u32) -> Scope {
        self.met.lock().unwrap_or_else(PoisonError::into_inner).1[number as usize].clone()
    }
}

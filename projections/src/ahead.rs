//! Events that are read and cut into words on one thread while another puts those before them into the tables.

use std::{
    ops::Range,
    sync::{
        Arc,
        mpsc::{Receiver, sync_channel},
    },
    thread::{self, JoinHandle},
    vec,
};

use quipu_format::{Actor, Content, Event, Kind, Scope};
use quipu_log::LedgerReader;

use crate::{
    document::{Document, Readable},
    gist::Gist,
    noise::Rules,
    text::Analyzer,
};

/// An event, what of it can be searched, and what of it facts are made of.
pub(crate) struct Prepared {
    /// Without its source: what it says of that is in the others.
    pub(crate) event: Event,
    pub(crate) document: Option<Document>,
    pub(crate) gist: Gist,
}

/// What events are prepared with, one after the other.
struct Preparing {
    analyzer: Analyzer,
    rules: Arc<Rules>,
    actor: Option<Actor>,
    kind: Option<Kind>,
    scope: Option<Scope>,
}

impl Preparing {
    fn new(rules: Arc<Rules>) -> Self {
        Self {
            analyzer: Analyzer::new(),
            rules,
            actor: None,
            kind: None,
            scope: None,
        }
    }

    fn prepare(&mut self, mut event: Event) -> Prepared {
        let readable = Readable::of(&event);
        let document = readable
            .as_ref()
            .map(|readable| Document::of(readable, &mut self.analyzer, self.rules.vectors.as_ref()));
        let gist = readable.map_or_else(Gist::default, |readable| Gist::of(&readable, &self.rules));
        // Two threads that make and free memory at once wait for each other: what can is freed by the one that made it.
        if let Content::Open(body) = &mut event.content {
            body.source = None;
        }
        share(&mut event.envelope.actor, &mut self.actor);
        share(&mut event.envelope.kind, &mut self.kind);
        share(&mut event.envelope.scope, &mut self.scope);
        Prepared { event, document, gist }
    }
}

/// Holds a name once that the event before has too.
fn share<T: Clone + PartialEq>(name: &mut T, before: &mut Option<T>) {
    match before {
        Some(before) if before == name => *name = before.clone(),
        _ => *before = Some(name.clone()),
    }
}

/// Events that go from one thread to the other at a time.
const STEP: usize = 256;
/// Bytes of payloads after which fewer go.
const STEP_BYTES: usize = 256 << 10;
/// So often that can wait: enough to read on while a transaction ends, and a hundred MiB at most, however long the log.
const STEPS: usize = 64;

/// The entries of a ledger below an end, in their order, one transaction after the other.
pub(crate) struct Ahead<'a> {
    ledger: &'a LedgerReader,
    end: u64,
    reading: Option<Reading>,
}

/// Entries that are being read.
struct Reading {
    /// The `seq` of the next one.
    next: u64,
    rules: Arc<Rules>,
    events: Box<dyn Iterator<Item = quipu_log::Result<Prepared>>>,
}

impl<'a> Ahead<'a> {
    /// Nothing is read before it is asked for.
    pub(crate) fn new(ledger: &'a LedgerReader, end: u64) -> Self {
        Self {
            ledger,
            end,
            reading: None,
        }
    }

    /// The entry at a position, or why it cannot be read; `None` where there is none. It has been read already if the one
    /// before it was asked for last, under the same rules: mostly so, but somebody else may have folded in between.
    pub(crate) fn take(&mut self, seq: u64, rules: &Arc<Rules>) -> Option<quipu_log::Result<Prepared>> {
        let goes_on = |reading: &Reading| reading.next == seq && Arc::ptr_eq(&reading.rules, rules);
        if !self.reading.as_ref().is_some_and(goes_on) {
            // The thread of the last one ends before there is another.
            self.reading = None;
            self.reading = Some(Reading::new(self.ledger, seq..self.end, rules.clone()));
        }
        let reading = self.reading.as_mut()?;
        reading.next += 1;
        reading.events.next()
    }
}

impl Reading {
    fn new(ledger: &LedgerReader, range: Range<u64>, rules: Arc<Rules>) -> Self {
        let next = range.start;
        let short = range.end.saturating_sub(next) <= STEP as u64;
        let mut preparing = Preparing::new(rules.clone());
        let events = ledger
            .events(range)
            .map(move |event| event.map(|event| preparing.prepare(event)));
        Self {
            next,
            rules,
            events: match short {
                true => Box::new(events),
                false => Box::new(Steps::new(events)),
            },
        }
    }
}

/// What a thread of its own makes, step by step.
struct Steps<T> {
    step: vec::IntoIter<T>,
    /// `None`: no more is wanted.
    waiting: Option<Receiver<Vec<T>>>,
    thread: Option<JoinHandle<()>>,
}

type Step = quipu_log::Result<Prepared>;

impl Steps<Step> {
    fn new(mut events: impl Iterator<Item = Step> + Send + 'static) -> Self {
        let (send, waiting) = sync_channel(STEPS);
        let thread = thread::spawn(move || {
            loop {
                let (mut step, mut bytes) = (Vec::new(), 0);
                while step.len() < STEP
                    && bytes < STEP_BYTES
                    && let Some(prepared) = events.next()
                {
                    bytes += prepared.as_ref().map_or(0, bytes_of);
                    step.push(prepared);
                }
                // Nobody receives: enough, or it failed.
                if step.is_empty() || send.send(step).is_err() {
                    return;
                }
            }
        });
        Self {
            step: Vec::new().into_iter(),
            waiting: Some(waiting),
            thread: Some(thread),
        }
    }
}

impl<T> Iterator for Steps<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        loop {
            if let Some(next) = self.step.next() {
                return Some(next);
            }
            match self.waiting.as_ref()?.recv() {
                Ok(step) => self.step = step.into_iter(),
                Err(_) => {
                    self.waiting = None;
                    // That it failed is not to be taken for the end.
                    if let Err(panic) = self.thread.take()?.join() {
                        std::panic::resume_unwind(panic);
                    }
                }
            }
        }
    }
}

impl<T> Drop for Steps<T> {
    fn drop(&mut self) {
        self.waiting = None;
        if let Some(thread) = self.thread.take() {
            // Nobody waits for what it would have made.
            let _ = thread.join();
        }
    }
}

fn bytes_of(prepared: &Prepared) -> usize {
    prepared.event.payload().map_or(0, str::len)
}

#[cfg(test)]
mod tests {
    use quipu_format::Body;
    use quipu_log::{CreateOptions, Draft, Ledger};

    use super::*;

    const EVENTS: u64 = 3 * STEP as u64 + 7;

    fn seq(prepared: Option<quipu_log::Result<Prepared>>) -> Option<u64> {
        prepared.map(|prepared| prepared.unwrap().event.envelope.seq)
    }

    #[test]
    fn entries_come_in_the_order_in_which_they_are_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::create(&folder.path().join("l"), CreateOptions::new("test.example/ahead")).unwrap();
        let drafts = (ledger.reader().head()..EVENTS).map(|n| {
            let body = Body::new(None, &format!(r#"{{"text":"turn {n}"}}"#)).unwrap();
            Draft::new(
                "s".parse().unwrap(),
                "a".parse().unwrap(),
                "message".parse().unwrap(),
                body,
            )
        });
        ledger.append_all_blocking(drafts.collect()).unwrap();
        let rules = || Arc::new(Rules::load(folder.path()).unwrap());
        let one = rules();
        let mut ahead = Ahead::new(ledger.reader(), EVENTS);
        let mut take = |seqs: Range<u64>, rules| {
            for n in seqs {
                assert_eq!(seq(ahead.take(n, rules)), Some(n));
            }
        };
        take(0..STEP as u64 + 3, &one);
        // Somebody else has folded some, or all is folded again.
        take(2 * STEP as u64..EVENTS, &one);
        take(5..9, &one);
        take(9..EVENTS, &rules());
        assert_eq!(seq(ahead.take(EVENTS, &one)), None);
        assert!(ahead.take(3, &one).is_some(), "and it ends while more is being read");
    }

    #[test]
    #[should_panic(expected = "as if it failed")]
    fn what_fails_on_the_other_thread_is_not_taken_for_the_end() {
        Steps::new(std::iter::from_fn(|| panic!("as if it failed"))).next();
    }
}

//! Events as lines that an import reads.

use std::collections::VecDeque;

use quipu_format::{Content, Event, EventId, Scope, limits};
use serde::{Serialize, Serializer};

use crate::{Direction, Error, ErrorKind, LedgerReader, Result, events::Events};

/// An event for export. It serialises as the event does, but for its links: those that lead to what is not exported are
/// in `evidenceElsewhere` and `supersedesElsewhere`, which an import keeps in `source.original`.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportedEvent {
    event: Event,
    evidence_elsewhere: Vec<EventId>,
    supersedes_elsewhere: Vec<EventId>,
}

impl ExportedEvent {
    /// Position of the event.
    pub fn seq(&self) -> u64 {
        self.event.envelope.seq
    }
}

impl Serialize for ExportedEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Line<'a> {
            #[serde(flatten)]
            event: &'a Event,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            evidence_elsewhere: &'a [EventId],
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            supersedes_elsewhere: &'a [EventId],
        }
        Line {
            event: &self.event,
            evidence_elsewhere: &self.evidence_elsewhere,
            supersedes_elsewhere: &self.supersedes_elsewhere,
        }
        .serialize(serializer)
    }
}

/// The events of a ledger, or of one scope, that an import can bring into another ledger, oldest first: all but the host's
/// and operators' own, and those whose content has been erased.
pub struct ExportedEvents {
    reader: LedgerReader,
    scope: Option<Scope>,
    source: Source,
    /// Events left out, for their content has been erased.
    pub erased: u64,
    /// Entries left out, for they are the host's and operators' own.
    pub own: u64,
}

enum Source {
    All(Events),
    Scope { page: VecDeque<Event>, next: Option<u64> },
}

impl LedgerReader {
    /// The events to export; of one scope alone where one is named.
    pub fn exported_events(&self, scope: Option<Scope>) -> ExportedEvents {
        let source = match &scope {
            None => Source::All(self.events(0..self.head())),
            Some(_) => Source::Scope {
                page: VecDeque::new(),
                next: Some(0),
            },
        };
        ExportedEvents {
            reader: self.clone(),
            scope,
            source,
            erased: 0,
            own: 0,
        }
    }
}

impl Iterator for ExportedEvents {
    type Item = Result<ExportedEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let event = match self.read() {
                Ok(Some(event)) => event,
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            };
            if is_own(&event) {
                self.own += 1;
            } else if event.content == Content::Erased {
                self.erased += 1;
            } else {
                return Some(self.with_links(event));
            }
        }
    }
}

impl ExportedEvents {
    fn read(&mut self) -> Result<Option<Event>> {
        match (&mut self.source, &self.scope) {
            (Source::Scope { page, next }, Some(scope)) => {
                if let (true, Some(start)) = (page.is_empty(), *next) {
                    let range = start..u64::MAX;
                    let read = self
                        .reader
                        .page(scope, range, Direction::Forward, limits::PAGE_EVENTS)?;
                    if read.missing > 0 {
                        let message = format!(
                            "{} entries of the scope {scope} are damaged: run `quipu verify`, and restore the file from a backup",
                            read.missing
                        );
                        return Err(Error::new(ErrorKind::Corrupt, message));
                    }
                    *next = read
                        .events
                        .last()
                        .filter(|_| read.more)
                        .map(|event| event.envelope.seq + 1);
                    page.extend(read.events);
                }
                Ok(page.pop_front())
            }
            (Source::All(events), _) => events.next().transpose(),
            (Source::Scope { .. }, None) => Ok(None),
        }
    }

    fn with_links(&self, mut event: Event) -> Result<ExportedEvent> {
        let (evidence, evidence_elsewhere) = self.sort(&event.envelope.evidence)?;
        let (supersedes, supersedes_elsewhere) = self.sort(&event.envelope.supersedes)?;
        (event.envelope.evidence, event.envelope.supersedes) = (evidence, supersedes);
        Ok(ExportedEvent {
            event,
            evidence_elsewhere,
            supersedes_elsewhere,
        })
    }

    /// The links that lead to what is exported, and the others.
    fn sort(&self, links: &[EventId]) -> Result<(Vec<EventId>, Vec<EventId>)> {
        let (mut here, mut elsewhere) = (Vec::new(), Vec::new());
        for id in links {
            let event = match self.reader.find(*id)? {
                Some(seq) => self.reader.event(seq)?,
                None => None,
            };
            let is_here = event.is_some_and(|event| {
                !is_own(&event)
                    && event.content != Content::Erased
                    && self.scope.as_ref().is_none_or(|scope| *scope == event.envelope.scope)
            });
            if is_here { &mut here } else { &mut elsewhere }.push(*id);
        }
        Ok((here, elsewhere))
    }
}

/// What an import refuses, for it is the ledger's own.
fn is_own(event: &Event) -> bool {
    event.envelope.kind.is_reserved() || event.envelope.scope.is_reserved()
}

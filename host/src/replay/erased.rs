//! Whether what a run was shown is still there.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use quipu_format::{Envelope, Erasure, EventId, Scope};
use quipu_log::{Direction, LedgerReader};

use crate::{
    Result,
    replay::{NoReplay, NoReplayKind},
};

/// Erasures of scopes, read where something turns out to be erased.
pub(crate) struct Erasures {
    log: LedgerReader,
    known: Mutex<HashMap<Scope, Known>>,
}

/// The erasures of a scope, in the order of the log, and where each stands.
type Known = Arc<Vec<(u64, Erasure)>>;

impl Erasures {
    pub(crate) fn new(log: LedgerReader) -> Self {
        Self {
            log,
            known: Mutex::default(),
        }
    }

    /// Whether an entry had been erased when the log ended at `seq`.
    pub(crate) fn had_erased(&self, envelope: &Envelope, seq: u64) -> Result<bool> {
        let erasures = self.of(&envelope.scope)?;
        let mut before = erasures.iter().take_while(|(at, _)| *at < seq);
        Ok(before.any(|(_, erasure)| erasure.covers(envelope.nth)))
    }

    fn of(&self, scope: &Scope) -> Result<Known> {
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(scope) {
            return Ok(known.clone());
        }
        let mut erasures = Vec::new();
        let mut start = 0;
        loop {
            let page = self.log.page(
                scope,
                start..u64::MAX,
                Direction::Forward,
                quipu_format::limits::PAGE_EVENTS,
            )?;
            for event in &page.events {
                let envelope = &event.envelope;
                let sys = envelope
                    .sys
                    .as_ref()
                    .filter(|_| envelope.kind.as_str() == Erasure::KIND);
                let erasure = sys.and_then(|sys| Erasure::parse(sys.get(Erasure::MEMBER)?).ok());
                erasures.extend(erasure.map(|erasure| (envelope.seq, erasure)));
            }
            match page.events.last() {
                Some(last) if page.more => start = last.envelope.seq + 1,
                _ => break,
            }
        }
        let erasures = Arc::new(erasures);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(scope.clone(), erasures.clone());
        Ok(erasures)
    }
}

/// An entry that the run's own record consists of.
pub(crate) fn own(id: EventId) -> NoReplay {
    NoReplay::new(
        NoReplayKind::Erased,
        format!("{id}, which is a part of the run's record, has been erased"),
    )
}

/// An entry that the run was shown.
pub(crate) fn shown(id: EventId) -> NoReplay {
    NoReplay::new(
        NoReplayKind::Erased,
        format!("it read {id}, which has been erased since"),
    )
}

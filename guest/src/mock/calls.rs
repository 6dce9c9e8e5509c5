//! What a host offers to read and to append.

use serde_json::{Map, Value};

use super::{State, with};
use crate::{
    ErrorKind, Event, Page, Seq,
    bindings::types::{Draft, Error, Receipt},
};

/// A scope, as a run sees it.
#[derive(Debug)]
pub struct Reader(u32);

/// Events of a page.
const PAGE_EVENTS: u32 = 1_000;
/// Drafts of one call.
#[cfg(feature = "append")]
const DRAFTS: usize = 1_000;

impl Reader {
    #[doc(hidden)]
    pub fn from_handle(handle: u32) -> Self {
        Self(handle)
    }

    #[doc(hidden)]
    pub fn take_handle(&self) -> u32 {
        self.0
    }

    #[doc(hidden)]
    pub fn handle(&self) -> u32 {
        self.0
    }

    /// The scope's name.
    pub fn scope(&self) -> String {
        with(|state| state.reads[self.0 as usize].0.clone())
    }

    /// Where it is pinned.
    pub fn head(&self) -> Seq {
        with(|state| state.reads[self.0 as usize].1)
    }

    /// A page of events, the oldest first.
    pub fn read(&self, start: Option<Seq>, limit: u32) -> Result<Page, Error> {
        with(|state| {
            let seen = state.seen(self.0).filter(|event| event.seq >= start.unwrap_or(0));
            let (events, rest) = page(seen, limit)?;
            let next = rest.map(|event| event.seq);
            Ok(Page { events, next })
        })
    }

    /// A page of events, the newest first.
    pub fn read_back(&self, end: Option<Seq>, limit: u32) -> Result<Page, Error> {
        with(|state| {
            let mut seen: Vec<_> = state.seen(self.0).collect();
            seen.retain(|event| end.is_none_or(|end| event.seq < end));
            let (events, rest) = page(seen.into_iter().rev(), limit)?;
            let next = rest.and(events.last()).map(|event| event.seq);
            Ok(Page { events, next })
        })
    }

    /// One event.
    pub fn get(&self, id: &str) -> Result<Event, Error> {
        with(|state| {
            state
                .seen(self.0)
                .find(|event| event.id == id)
                .cloned()
                .ok_or_else(not_found)
        })
    }

    /// A mock has no tree to prove anything from.
    pub fn prove(&self, id: &str) -> Result<String, Error> {
        self.get(id)?;
        Err(refused(ErrorKind::Unavailable, "a mock proves nothing"))
    }

    /// Moves it to the present.
    pub fn refresh(&self) -> Result<Seq, Error> {
        with(|state| {
            state.reads[self.0 as usize].1 = state.head();
            Ok(state.head())
        })
    }
}

/// As many events as fit, and the one after them.
fn page<'a>(mut seen: impl Iterator<Item = &'a Event>, limit: u32) -> Result<(Vec<Event>, Option<&'a Event>), Error> {
    if !(1..=PAGE_EVENTS).contains(&limit) {
        let message = format!("a page has 1 to {PAGE_EVENTS} events, not {limit}");
        return Err(refused(ErrorKind::Invalid, &message));
    }
    let events = seen.by_ref().take(limit as usize).cloned().collect();
    Ok((events, seen.next()))
}

pub(super) fn refused(kind: ErrorKind, message: &str) -> Error {
    Error {
        kind,
        message: message.to_owned(),
    }
}

pub(super) fn not_found() -> Error {
    refused(ErrorKind::NotFound, "there is no such event that this run sees")
}

/// The interface `append`.
#[cfg(feature = "append")]
pub mod append {
    use super::*;

    /// As the interface has it.
    pub fn append(draft: &Draft) -> Result<Receipt, Error> {
        append_all(std::slice::from_ref(draft))?
            .pop()
            .ok_or_else(|| refused(ErrorKind::Unavailable, "there is no receipt"))
    }

    /// As the interface has it.
    pub fn append_all(drafts: &[Draft]) -> Result<Vec<Receipt>, Error> {
        if !(1..=DRAFTS).contains(&drafts.len()) {
            let message = format!("1 to {DRAFTS} drafts are appended at once, not {}", drafts.len());
            return Err(refused(ErrorKind::TooLarge, &message));
        }
        with(|state| {
            // All or none.
            let mut after = state.clone();
            let receipts = drafts.iter().map(|draft| after.take(draft)).collect::<Result<_, _>>()?;
            *state = after;
            Ok(receipts)
        })
    }
}

#[cfg(feature = "append")]
impl State {
    fn take(&mut self, draft: &Draft) -> Result<Receipt, Error> {
        let scope = draft.scope.clone().unwrap_or_else(|| self.home().to_owned());
        let is_kind = match &self.kinds {
            Some(kinds) => kinds.contains(&draft.kind),
            None => !draft.kind.starts_with("quipu."),
        };
        if !self.appends.contains(&scope) || !is_kind {
            let message = format!("this run may not append {} to {scope}", draft.kind);
            return Err(refused(ErrorKind::Denied, &message));
        }
        if serde_json::from_str::<Map<String, Value>>(&draft.payload).is_err() {
            return Err(refused(ErrorKind::Invalid, "a payload is a JSON object"));
        }
        for id in draft.evidence.iter().chain(&draft.supersedes) {
            let of_others = |event: &Event| event.actor != self.actor && !self.supersede_others;
            let event = self.find(id).ok_or_else(not_found)?;
            if draft.supersedes.contains(id) && of_others(event) {
                return Err(refused(
                    ErrorKind::Denied,
                    "this run may not supersede what others appended",
                ));
            }
        }
        // What makes two drafts the same.
        let whole = format!("{draft:?}");
        let key = draft.key.clone().map(|key| (scope.clone(), key));
        if let Some((earlier, receipt)) = key.as_ref().and_then(|key| self.keys.get(key)) {
            return match *earlier == whole {
                true => Ok(receipt.clone()),
                false => Err(refused(ErrorKind::Conflict, "the key was used for something else")),
            };
        }
        let event = self.put(Event {
            seq: 0,
            id: String::new(),
            ts: String::new(),
            actor: self.actor.clone(),
            run: Some(self.run.clone()),
            kind: draft.kind.clone(),
            scope,
            source: draft.source.clone(),
            payload: Some(draft.payload.clone()),
            evidence: draft.evidence.clone(),
            supersedes: draft.supersedes.clone(),
        });
        let receipt = Receipt {
            seq: event.seq,
            id: event.id.clone(),
            ts: event.ts.clone(),
            hash: format!("mock-{}", event.seq),
        };
        if let Some(key) = key {
            self.keys.insert(key, (whole, receipt.clone()));
        }
        Ok(receipt)
    }
}

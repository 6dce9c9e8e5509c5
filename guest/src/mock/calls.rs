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

/// Events of a page, and results of a question.
const MOST: u32 = 1_000;
/// Drafts of one call.
#[cfg(feature = "append")]
const DRAFTS: usize = 1_000;
/// Events that a draft rests on, and that it replaces.
#[cfg(feature = "append")]
const LINKS: usize = 256;
/// Bytes of an idempotency key.
#[cfg(feature = "append")]
const KEY_BYTES: usize = 128;

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
            named(id)?;
            let event = state.seen(self.0).find(|event| event.id == id);
            event.cloned().ok_or_else(not_found)
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
    let events = seen.by_ref().take(wanted(limit)?).cloned().collect();
    Ok((events, seen.next()))
}

/// How many are given of so many that are wanted.
pub(super) fn wanted(limit: u32) -> Result<usize, Error> {
    match limit {
        0 => Err(refused(ErrorKind::Invalid, "a limit is what is wanted, from 1")),
        _ => Ok(limit.min(MOST) as usize),
    }
}

/// Refuses what is no event's name.
pub(super) fn named(id: &str) -> Result<(), Error> {
    const CROCKFORD: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let ulid = id.strip_prefix("evt_").unwrap_or_default();
    // Of 128 bits in 130 the first two are none.
    match ulid.len() == 26 && ulid.chars().all(|c| CROCKFORD.contains(c)) && ulid.as_bytes()[0] <= b'7' {
        true => Ok(()),
        false => Err(refused(
            ErrorKind::Invalid,
            "an event id is evt_ and a ULID of 26 characters in upper case",
        )),
    }
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
        if drafts.is_empty() {
            return Err(refused(ErrorKind::Invalid, "at least one draft is appended"));
        }
        if drafts.len() > DRAFTS {
            let message = format!("at most {DRAFTS} drafts are appended at once, not {}", drafts.len());
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
        let is_kind = self.kinds.contains(&draft.kind) && !draft.kind.starts_with("quipu.");
        if !self.appends.contains(&scope) || !is_kind {
            let message = format!("this run may not append {} to {scope}", draft.kind);
            return Err(refused(ErrorKind::Denied, &message));
        }
        if let Some(key) = &draft.key
            && (!(1..=KEY_BYTES).contains(&key.len()) || key.starts_with("quipu:"))
        {
            let message = "an idempotency key has 1 to 128 bytes and does not begin with quipu:";
            return Err(refused(ErrorKind::Invalid, message));
        }
        let is_object = |text: &str| serde_json::from_str::<Map<String, Value>>(text).is_ok();
        let extra = draft.source.as_ref().and_then(|source| source.extra.as_deref());
        if !is_object(&draft.payload) || !extra.is_none_or(is_object) {
            let message = "a payload is a JSON object, and so is a source's extra";
            return Err(refused(ErrorKind::Invalid, message));
        }
        for (ids, replaces) in [(&draft.evidence, false), (&draft.supersedes, true)] {
            if ids.len() > LINKS {
                let message = format!("{} events are named; at most {LINKS} fit", ids.len());
                return Err(refused(ErrorKind::Invalid, &message));
            }
            for id in ids {
                named(id)?;
                let event = self.find(id).ok_or_else(not_found)?;
                if replaces && event.actor != self.actor && !self.supersede_others {
                    let message = "this run may not supersede what others appended";
                    return Err(refused(ErrorKind::Denied, message));
                }
            }
        }
        // What makes two drafts the same. The home scope is meant by its name and by none.
        let whole = Draft {
            scope: Some(scope.clone()),
            ..draft.clone()
        };
        let whole = format!("{whole:?}");
        let key = draft.key.clone().map(|key| (self.actor.clone(), scope.clone(), key));
        if let Some((earlier, receipt)) = key.as_ref().and_then(|key| self.keys.get(key)) {
            let is_erased = |event: &Event| event.id == receipt.id && event.payload.is_none();
            return match *earlier == whole {
                _ if self.events.iter().any(is_erased) => Err(refused(
                    ErrorKind::Redacted,
                    "the key was used for what has been erased since",
                )),
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

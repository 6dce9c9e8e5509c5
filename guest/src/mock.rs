//! A memory to test an agent with, natively and without a host: feature `mock`, for `[dev-dependencies]`.
//!
//! ```toml
//! [dev-dependencies]
//! quipu-guest = { path = "quipu-guest", features = ["mock"] }
//! ```
//!
//! ```
//! # #[cfg(feature = "append")] {
//! use quipu_guest::{Draft, Memory, Query, Result, RunInfo, mock::Mock};
//!
//! fn handle(_run: RunInfo, memory: Memory, question: String) -> Result<String> {
//!     Draft::new("observation").text(question.as_str()).append()?;
//!     let answer = memory.search(Query::new(question).kinds(["message"]))?;
//!     Ok(answer.hits.iter().filter_map(|hit| hit.event.text()).collect())
//! }
//!
//! let mut memory = Mock::new("customer:acme-inc");
//! memory.event("message", "user:acme-inc/jana", r#"{"text":"Invoices as CSV, please"}"#);
//! assert_eq!(memory.run(handle, "which invoices").unwrap(), "Invoices as CSV, please");
//! assert_eq!(memory.appended()[0].kind, "observation");
//! # }
//! ```
//!
//! It refuses as a host does, with the same kind of error: kinds and scopes that are not granted, evidence that is not seen,
//! what is no event's name, keys that were used for something else or for what was erased, payloads that are no objects,
//! questions without a limit. It is a stand-in all the same, and more is refused by a host: what is too large, what looks like
//! a secret, what exceeds an allowance. Its search counts shared words, its facts are statements that say the same, and
//! nothing expires: try the component with `quipu run --ephemeral` too.

mod calls;
mod recalled;

use std::{cell::RefCell, collections::BTreeMap, fmt};

use calls::Reader;

#[cfg(feature = "append")]
#[doc(hidden)]
pub use calls::append;
/// What stands for the interfaces of these names.
#[doc(hidden)]
pub mod read {
    pub use super::calls::Reader;
}
#[doc(hidden)]
pub mod recall {
    pub use super::recalled::{compose, facts, impact, search, why};
    pub use crate::bindings::observer::quipu::memory::recall::{
        Budget, Context, Fact, FactAnswer, Hit, Link, Query, Relation, SearchAnswer, Trail,
    };
}

use crate::{Event, EventId, Memory, RunInfo, Seq, bindings::types::Receipt};

/// Kinds that a host grants where nothing is said.
const KINDS: [&str; 14] = [
    "memory.write",
    "memory.retract",
    "memory.summary",
    "thought.reflection",
    "thought.hypothesis",
    "thought.question",
    "observation",
    "tool.call",
    "tool.result",
    "decision",
    "action",
    "message",
    "task",
    "memo",
];

thread_local! {
    /// Of the run that goes on in this thread.
    static STATE: RefCell<Option<State>> = const { RefCell::new(None) };
}

/// A memory with what a test puts into it, and all that an agent may do there.
#[derive(Debug, Clone)]
pub struct Mock(State);

#[derive(Debug, Clone)]
struct State {
    actor: String,
    run: String,
    runs: u32,
    /// Scopes that are handed over, the home scope first, and the head of each handle.
    reads: Vec<(String, Seq)>,
    appends: Vec<String>,
    kinds: Vec<String>,
    supersede_others: bool,
    events: Vec<Event>,
    /// By actor, scope and key.
    keys: BTreeMap<(String, String, String), (String, Receipt)>,
}

impl Mock {
    /// An empty memory of the agent `agent:test` with that home scope.
    pub fn new(home: impl Into<String>) -> Self {
        let home = home.into();
        Self(State {
            actor: "agent:test".into(),
            run: String::new(),
            runs: 0,
            reads: vec![(home.clone(), 0)],
            appends: vec![home],
            kinds: KINDS.map(Into::into).to_vec(),
            supersede_others: false,
            events: Vec::new(),
            keys: BTreeMap::new(),
        })
    }

    /// The agent is stamped as this actor.
    #[must_use]
    pub fn actor(mut self, actor: impl Into<String>) -> Self {
        self.0.actor = actor.into();
        self
    }

    /// It may read this scope as well.
    #[must_use]
    pub fn reads(mut self, scope: impl Into<String>) -> Self {
        let scope = scope.into();
        if !self.0.reads.iter().any(|(known, _)| *known == scope) {
            self.0.reads.push((scope, 0));
        }
        self
    }

    /// It may append to this scope as well.
    #[must_use]
    pub fn appends(mut self, scope: impl Into<String>) -> Self {
        self.0.appends.push(scope.into());
        self
    }

    /// It may append these kinds alone. Without this it may append those that a host grants where nothing is said.
    #[must_use]
    pub fn kinds(mut self, kinds: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.0.kinds = kinds.into_iter().map(Into::into).collect();
        self
    }

    /// It may supersede what others appended.
    #[must_use]
    pub fn supersede_others(mut self) -> Self {
        self.0.supersede_others = true;
        self
    }

    /// Puts an event into the home scope, after all that is there, and returns its id. The payload is a JSON object.
    pub fn event(&mut self, kind: &str, actor: &str, payload: &str) -> EventId {
        let scope = self.0.home().to_owned();
        self.put(Event {
            seq: 0,
            id: String::new(),
            ts: String::new(),
            actor: actor.into(),
            run: None,
            kind: kind.into(),
            scope,
            source: None,
            payload: Some(payload.into()),
            evidence: Vec::new(),
            supersedes: Vec::new(),
        })
    }

    /// Puts an event into whatever scope it names. Its `seq` is that of its place, and so are `id` and `ts` where they are
    /// empty; a payload of None is erased. An id of its own has the form that the interface says.
    pub fn put(&mut self, event: Event) -> EventId {
        self.0.put(event).id.clone()
    }

    /// Erases an event's content, as an operator might between two runs.
    ///
    /// # Panics
    /// Where there is no such event.
    pub fn erase(&mut self, id: &str) {
        let event = self.0.events.iter_mut().find(|event| event.id == id);
        let event = event.unwrap_or_else(|| panic!("there is no event {id}"));
        (event.payload, event.source) = (None, None);
    }

    /// Runs an agent's function over the memory: what it appends stays there. The error is its error's text.
    ///
    /// # Panics
    /// Where the function runs another.
    pub fn run<E: fmt::Display>(
        &mut self,
        handle: impl FnOnce(RunInfo, Memory, String) -> Result<String, E>,
        input: &str,
    ) -> Result<String, String> {
        let state = &mut self.0;
        state.runs += 1;
        state.run = format!("run_{}", state.runs);
        let head = state.head();
        state.reads.iter_mut().for_each(|(_, pinned)| *pinned = head);
        let run = RunInfo {
            id: state.run.clone(),
            actor: state.actor.clone(),
            now: state.now(),
        };
        let readers = (0..state.reads.len() as u32).map(Reader::from_handle).collect();
        STATE.with_borrow_mut(|current| {
            assert!(current.is_none(), "a run goes on in this thread already");
            *current = Some(state.clone());
        });
        let _end = End;
        let memory = Memory::new(readers).map_err(|error| error.to_string())?;
        let answer = handle(run, memory, input.to_owned()).map_err(|error| error.to_string());
        *state = with(|state| state.clone());
        answer
    }

    /// All events of a scope, in order.
    pub fn events<'a>(&'a self, scope: &'a str) -> impl Iterator<Item = &'a Event> {
        self.0.events.iter().filter(move |event| event.scope == scope)
    }

    /// What the last run appended, in order.
    pub fn appended(&self) -> Vec<&Event> {
        let of_run = |event: &&Event| event.run.as_ref() == Some(&self.0.run);
        self.0.events.iter().filter(of_run).collect()
    }
}

/// Ends the run of this thread, also where the agent's function panics.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        STATE.with_borrow_mut(|state| *state = None);
    }
}

/// Does something with the run that goes on.
fn with<T>(what: impl FnOnce(&mut State) -> T) -> T {
    STATE.with_borrow_mut(|state| what(state.as_mut().expect("memory is there while `Mock::run` runs")))
}

impl State {
    fn home(&self) -> &str {
        &self.reads[0].0
    }

    fn head(&self) -> Seq {
        self.events.len() as Seq
    }

    /// A second for each entry.
    fn now(&self) -> String {
        let seconds = self.events.len();
        let (hours, minutes) = (seconds / 3_600 % 24, seconds / 60 % 60);
        format!(
            "2026-01-{:02}T{hours:02}:{minutes:02}:{:02}.000Z",
            1 + seconds / 86_400 % 31,
            seconds % 60
        )
    }

    fn put(&mut self, mut event: Event) -> &Event {
        event.seq = self.head();
        if event.id.is_empty() {
            event.id = format!("evt_{:026}", event.seq);
        }
        if event.ts.is_empty() {
            event.ts = self.now();
        }
        let at = self.events.len();
        self.events.push(event);
        &self.events[at]
    }

    /// What a handle sees: what was there at its head, and what the run itself appended. The host's own entries are not seen.
    fn seen(&self, handle: u32) -> impl Iterator<Item = &Event> {
        let (scope, head) = &self.reads[handle as usize];
        let is_seen = move |event: &&Event| event.seq < *head || self.is_own(event);
        let of_scope = self.events.iter().filter(move |event| event.scope == *scope);
        of_scope
            .filter(|event| !event.kind.starts_with("quipu."))
            .filter(is_seen)
    }

    /// Whether the run appended it.
    fn is_own(&self, event: &Event) -> bool {
        event.run.as_ref() == Some(&self.run)
    }

    /// An event that some handle sees, or that the run appended where it may not read.
    #[cfg(feature = "append")]
    fn find(&self, id: &str) -> Option<&Event> {
        let seen = (0..self.reads.len() as u32).find_map(|handle| self.seen(handle).find(|event| event.id == id));
        seen.or_else(|| self.events.iter().find(|event| event.id == id && self.is_own(event)))
    }
}

#[cfg(all(test, feature = "append"))]
mod tests;

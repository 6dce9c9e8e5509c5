//! SDK for projections written in Rust: components that derive state from events, and can do nothing else.
//!
//! ```
//! use quipu_guest_projection::{Event, Projection};
//!
//! quipu_guest_projection::projection!(Counter);
//!
//! /// How many events there are.
//! #[derive(Default, Clone)]
//! struct Counter(u64);
//!
//! impl Projection for Counter {
//!     fn apply(&mut self, events: &[Event]) -> Result<(), String> {
//!         self.0 += events.len() as u64;
//!         Ok(())
//!     }
//!
//!     fn snapshot(&self) -> Vec<u8> {
//!         self.0.to_be_bytes().to_vec()
//!     }
//!
//!     fn restore(snapshot: &[u8]) -> Result<Self, String> {
//!         let bytes = snapshot.try_into().map_err(|_| "a count has eight bytes")?;
//!         Ok(Self(u64::from_be_bytes(bytes)))
//!     }
//!
//!     fn query(&self, _input: &str) -> Result<String, String> {
//!         Ok(self.0.to_string())
//!     }
//! }
//! ```
//!
//! Built like an agent: a `cdylib` for `wasm32-unknown-unknown`. `quipu project add NAME FILE` has a ledger use it, and
//! `quipu project query NAME` asks it. It is a crate of its own because a component's world is made of all that its SDK
//! knows: with the agents' SDK it would import the handles of memory, and no host takes a projection that imports anything.

pub mod bindings;

use std::cell::RefCell;

#[doc(inline)]
pub use bindings::quipu::memory::types::{Event, EventId, Seq, Source, Timestamp};

/// State that is derived from events: what [`projection!`] makes a component of.
///
/// The host feeds it the events of its scopes, in the order of the log, each once; it keeps the state, and can throw it
/// away and feed everything again. So the state must be a function of the events alone, however they are divided over
/// calls. `Default` is the state before the first event.
pub trait Projection: Default + Clone {
    /// Takes the next events, at most 1,000. Where it fails, the state is as it was before. An erased event has no payload.
    fn apply(&mut self, events: &[Event]) -> Result<(), String>;

    /// The whole state, at most 16 MiB: the same state gives the same bytes.
    fn snapshot(&self) -> Vec<u8>;

    /// The state that gave these bytes. An error has the host feed everything again.
    fn restore(snapshot: &[u8]) -> Result<Self, String>;

    /// Answers a question.
    fn query(&self, input: &str) -> Result<String, String>;
}

/// The one state of a component.
#[doc(hidden)]
pub struct State<P>(RefCell<Option<P>>);

impl<P: Projection> State<P> {
    /// Before the first event.
    pub const fn empty() -> Self {
        Self(RefCell::new(None))
    }

    /// As [`Projection::apply`], on a copy that is kept where it went well.
    pub fn apply(&self, events: &[Event]) -> Result<(), String> {
        let mut state = self.0.borrow_mut();
        let mut next = state.clone().unwrap_or_default();
        next.apply(events)?;
        *state = Some(next);
        Ok(())
    }

    /// As [`Projection::snapshot`].
    pub fn snapshot(&self) -> Vec<u8> {
        self.0.borrow_mut().get_or_insert_default().snapshot()
    }

    /// As [`Projection::restore`]; no bytes are the state before the first event.
    pub fn restore(&self, snapshot: &[u8]) -> Result<(), String> {
        let state = match snapshot {
            [] => P::default(),
            bytes => P::restore(bytes)?,
        };
        *self.0.borrow_mut() = Some(state);
        Ok(())
    }

    /// As [`Projection::query`].
    pub fn query(&self, input: &str) -> Result<String, String> {
        self.0.borrow_mut().get_or_insert_default().query(input)
    }
}

/// Exports a type that implements [`Projection`] as a component of world `projection`. Once in a crate.
#[macro_export]
macro_rules! projection {
    ($state:ty) => {
        const _: () = {
            struct Component;

            ::std::thread_local! {
                static STATE: $crate::State<$state> = const { $crate::State::empty() };
            }

            impl $crate::bindings::exports::quipu::memory::fold::Guest for Component {
                fn apply(events: ::std::vec::Vec<$crate::Event>) -> ::std::result::Result<(), ::std::string::String> {
                    STATE.with(|state| state.apply(&events))
                }

                fn snapshot() -> ::std::vec::Vec<u8> {
                    STATE.with(|state| state.snapshot())
                }

                fn restore(snapshot: ::std::vec::Vec<u8>) -> ::std::result::Result<(), ::std::string::String> {
                    STATE.with(|state| state.restore(&snapshot))
                }

                fn query(
                    input: ::std::string::String,
                ) -> ::std::result::Result<::std::string::String, ::std::string::String> {
                    STATE.with(|state| state.query(&input))
                }
            }

    $crate::bindings::export!(Component with_types_in $crate::bindings);
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts events, and refuses the third.
    #[derive(Default, Clone)]
    struct Two(u8);

    impl Projection for Two {
        fn apply(&mut self, events: &[Event]) -> Result<(), String> {
            for _ in events {
                self.0 += 1;
                if self.0 == 3 {
                    return Err("a third".into());
                }
            }
            Ok(())
        }

        fn snapshot(&self) -> Vec<u8> {
            vec![self.0]
        }

        fn restore(snapshot: &[u8]) -> Result<Self, String> {
            let [count] = snapshot else {
                return Err("no count".into());
            };
            Ok(Self(*count))
        }

        fn query(&self, input: &str) -> Result<String, String> {
            Ok(format!("{input}{}", self.0))
        }
    }

    fn event() -> Event {
        Event {
            seq: 0,
            id: String::new(),
            ts: String::new(),
            actor: String::new(),
            run: None,
            kind: String::new(),
            scope: String::new(),
            source: None,
            payload: None,
            evidence: Vec::new(),
            supersedes: Vec::new(),
        }
    }

    #[test]
    fn what_fails_leaves_the_state_as_it_was() {
        let state = State::<Two>::empty();
        assert_eq!(state.snapshot(), [0]);
        state.apply(&[event()]).unwrap();
        assert_eq!(state.apply(&[event(), event()]), Err("a third".into()));
        assert_eq!(state.query("n=").unwrap(), "n=1");
        assert_eq!(state.restore(&[1, 2]), Err("no count".into()));
        assert_eq!(state.snapshot(), [1]);
        state.restore(&[]).unwrap();
        assert_eq!(state.snapshot(), [0]);
        state.restore(&[2]).unwrap();
        assert_eq!(state.query("").unwrap(), "2");
    }
}

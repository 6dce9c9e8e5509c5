//! SDK for agents written in Rust: components that read the memory they are handed, and add to it.
//!
//! An agent is a function and one macro. This one remembers what customers prefer, and answers from that:
//!
//! ```
//! use quipu_guest::{Draft, Memory, Query, Result, RunInfo};
//!
//! quipu_guest::agent!(handle);
//!
//! fn handle(_run: RunInfo, memory: Memory, question: String) -> Result<String> {
//!     for event in memory.home().events() {
//!         let event = event?;
//!         let Some(text) = event.text().filter(|text| text.contains("prefer")) else { continue };
//!         if event.kind == "message" {
//!             Draft::new("memory.write")
//!                 .text(text)
//!                 .tags(["preference"])
//!                 .evidence([&event.id])
//!                 .key(format!("preference:{}", event.id)) // a second run adds no second copy
//!                 .append()?;
//!         }
//!     }
//!     let answer = memory.search(Query::new(question).kinds(["memory.write"]).limit(3))?;
//!     let lines = answer.hits.iter().filter_map(|hit| Some(format!("{} [{}]", hit.event.text()?, hit.event.id)));
//!     Ok(lines.collect::<Vec<_>>().join("\n"))
//! }
//! ```
//!
//! # Build
//!
//! The crate is a `cdylib` that depends on this one alone, built for a target without an operating system, so that
//! all it imports is its memory:
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib"]
//!
//! [dependencies]
//! quipu-guest = { path = "…/guest" }
//! ```
//! ```console
//! $ cargo build --release --target wasm32-unknown-unknown
//! $ quipu run target/wasm32-unknown-unknown/release/my_agent.wasm "What do they prefer?" --actor agent:me --home customer:acme-inc
//! ```
//!
//! # What an agent can and cannot do
//!
//! It reads the scopes whose [`Reader`]s it was handed ([`Memory`]), as they were when the run began; what the run
//! itself appends it sees too. It appends [`Draft`]s; the host stamps who, when and where in the log. Nothing takes
//! an entry back: to revise, append one that [supersedes](Draft::supersedes) it. There is no clock but
//! [`RunInfo::now`], no randomness, no network and no files. The same memory and input give the same run.
//!
//! An agent that only reads is built for the narrower world: [`observer!`] in place of [`agent!`], and
//! `default-features = false`, which takes everything that appends out of this crate.
//!
//! Tests of an agent run natively, over a memory of feature `mock`.
//!
//! Where the SDK does not reach, [`bindings`] has all of the interface.

pub mod bindings;
#[cfg(feature = "append")]
mod draft;
mod error;
mod event;
mod events;
mod memory;
#[cfg(all(feature = "mock", not(target_family = "wasm")))]
pub mod mock;
mod prompt;
mod query;

#[cfg(feature = "append")]
#[doc(inline)]
pub use bindings::types::Receipt;
#[doc(inline)]
pub use bindings::{
    read::Reader,
    recall::{Budget, Context, Fact, FactAnswer, Hit, Link, Relation, SearchAnswer, Trail},
    types::{ErrorKind, Event, EventId, Page, RunInfo, Seq, Source, Timestamp},
};
#[cfg(feature = "append")]
pub use draft::{Draft, append_all};
pub use error::{Error, Result};
pub use event::Original;
pub use events::Events;
pub use memory::Memory;
pub use prompt::PROMPT;
pub use query::Query;

/// Exports a function as the component's `handle`, in world `agent`.
///
/// The function is `fn(RunInfo, Memory, String) -> Result<String, E>`, where the string is the run's input and `E` is
/// anything that can be shown: [`Error`], `String`, `Box<dyn std::error::Error>`. An error ends the run as failed;
/// what it appended stays. Once in a crate, with this macro or [`observer!`].
#[cfg(feature = "append")]
#[macro_export]
macro_rules! agent {
    ($handle:path) => {
        $crate::__export!($handle, agent);
    };
}

/// Exports a function as the component's `handle`, in world `observer`: it reads and recalls, and cannot append.
///
/// The function is as for `agent!`. With this crate's feature `append` on, which is the default, a call that appends
/// still compiles, and no host would then link the component as an observer.
#[macro_export]
macro_rules! observer {
    ($handle:path) => {
        $crate::__export!($handle, observer);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($handle:path, $world:ident) => {
        const _: () = {
            struct Component;

            impl $crate::bindings::$world::Guest for Component {
                fn handle(
                    run: $crate::RunInfo,
                    memory: ::std::vec::Vec<$crate::Reader>,
                    input: ::std::string::String,
                ) -> ::std::result::Result<::std::string::String, ::std::string::String> {
                    let memory = $crate::Memory::new(memory).map_err(|e| e.to_string())?;
                    $handle(run, memory, input).map_err(|e| ::std::string::ToString::to_string(&e))
                }
            }

    $crate::bindings::$world::export!(Component with_types_in $crate::bindings::$world);
        };
    };
}

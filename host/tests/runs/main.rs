//! Whole runs: guests built by `cargo xtask guests`, over a ledger on disk.
#![allow(missing_docs)]

mod appending;
mod authority;
mod calls;
mod concurrency;
mod embedding;
mod guests;
mod limits;
mod reading;
#[cfg(feature = "recall")]
mod recalling;
mod recording;
mod replaying;

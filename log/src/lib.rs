//! The append-only, hash-chained, signed log of a quipu ledger.
//!
//! A [`Ledger`] writes a folder, or hands its appends to the one process that does; a [`LedgerReader`] reads it, in that
//! process or another. What is acknowledged has been synced; there is no call that changes, hides or removes an entry.
//! Grants are not known here: whoever appends has checked that the actor may.
//!
//! ```
//! use quipu_format::{Actor, Body, Kind, Scope};
//! use quipu_log::{CreateOptions, Draft, Ledger};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("ledger");
//! let ledger = Ledger::create(&path, CreateOptions::new("example.com/agents"))?;
//! let body = Body::new(None, r#"{"text":"prefers CSV exports"}"#)?;
//! let scope = Scope::new("customer:acme-inc")?;
//! let receipt = ledger.append_blocking(Draft::new(scope, Actor::new("operator:kim")?, Kind::new("memory.write")?, body))?;
//! let event = ledger.reader().event(receipt.seq)?.ok_or("it is durable")?;
//! assert_eq!(event.payload(), Some(r#"{"text":"prefers CSV exports"}"#));
//! # Ok(())
//! # }
//! ```

mod archive;
mod backup;
mod base;
mod blocks;
mod checkpoint;
mod checkpointer;
mod cold;
mod committer;
mod components;
mod copy;
mod disk;
mod draft;
mod error;
mod export;
mod follow;
mod gaps;
mod heads;
mod immutable;
pub mod import;
mod index;
mod intake;
mod keyfile;
mod ledger;
mod lineage;
mod lines;
mod lock;
mod manifest;
mod merged;
mod merging;
mod open_files;
mod opened;
mod opening;
mod original;
mod parts;
mod plan;
mod postings;
mod random;
mod reader;
mod recent;
mod recovery;
mod remembered;
mod reserve;
mod restore;
mod scan;
mod sealed;
mod segment;
mod sequencer;
mod share;
mod sidecar;
#[cfg(test)]
mod simulation;
mod staging;
mod stamps;
mod tree_files;
mod verify;
mod wait;

pub use archive::{Absent, ArchiveSummary};
pub use backup::backup;
pub use copy::{CopyProgress, CopySummary};
pub use draft::{Draft, Receipt};
pub use error::{Error, ErrorKind, Result};
pub use export::ExportSummary;
pub use immutable::{ImmutableSummary, set_immutable};
pub use ledger::{CreateOptions, Ledger, OpenOptions};
pub use plan::{RecoveryPlan, plan_recovery};
pub use reader::{Direction, Events, LedgerReader, Page, ScopeHead, Stats};
pub use restore::{RestoreOptions, confirm, restore};
pub use verify::{Fault, Verification, VerifyProgress, verify};

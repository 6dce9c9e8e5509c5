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

mod acts;
mod alone;
mod archive;
mod authority;
mod backup;
mod base;
mod blocks;
mod checkpoint;
mod checkpointer;
mod checkup;
mod cold;
mod committer;
mod components;
mod copy;
mod cover;
mod disclose;
mod disk;
mod draft;
mod due;
mod edge;
mod entry;
mod erasure;
mod erasure_plan;
mod error;
mod events;
mod export;
mod export_events;
#[cfg(test)]
mod flips;
mod follow;
mod gaps;
mod governance;
mod heads;
mod immutable;
pub mod import;
mod index;
mod intake;
mod keeping;
mod key_lines;
mod key_watch;
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
mod operators;
mod ordered;
mod original;
mod page_loading;
mod parts;
mod passphrase;
mod plan;
mod postings;
mod prove;
mod quotas;
mod random;
mod reader;
mod reason;
mod recent;
mod recovery;
mod remembered;
mod reporting;
mod request;
mod reserve;
mod restore;
mod room;
mod root_fold;
mod rotation;
mod scan;
mod scope_prove;
mod scope_roots;
mod screen;
mod sealed;
mod segment;
mod sequencer;
mod share;
mod sidecar;
mod signer_file;
#[cfg(test)]
mod simulation;
mod spans;
mod stage;
mod staging;
mod stamps;
mod tree_check;
mod tree_files;
mod verdicts;
mod verifier_keys;
mod verify;
mod wait;
mod witness;

pub use acts::SignedAct;
pub use archive::{Absent, ArchiveSummary, archived_files};
pub use authority::Authority;
pub use backup::backup;
pub use checkup::{Check, Health, check_up};
pub use copy::{CopyProgress, CopySummary};
pub use disclose::{SCOPE_FILE, ScopeSummary};
pub use draft::{Draft, Receipt};
pub use due::{Due, HeldBack};
pub use erasure_plan::{ErasurePlan, NodesAfter, Target};
pub use error::{Error, ErrorKind, Result};
pub use events::Events;
pub use export::ExportSummary;
pub use export_events::{ExportedEvent, ExportedEvents};
pub use governance::Governance;
pub use immutable::{ImmutableSummary, set_immutable};
pub use keyfile::is_sealed;
pub use ledger::{CreateOptions, Ledger, OpenOptions};
pub use operators::OperatorChange;
pub use ordered::{AgentState, HoldState, Ordered, PolicyState, QuotaState, RequestState};
pub use passphrase::{LedgerAt, Passphrase, set_passphrase};
pub use plan::{RecoveryPlan, plan_recovery};
pub use prove::Proved;
pub use reader::{Direction, LedgerReader, Page, ScopeHead, ScopeKeys, Stats, VerifierKeyState};
pub use restore::{RestoreOptions, confirm, restore};
pub use rotation::rotate_key;
pub use scope_prove::ProvedScope;
pub use screen::{Screen, Screened, text_bytes};
pub use verdicts::{Erased, Finding, Verdict};
pub use verify::{Fault, Verification, VerifyProgress, verify, verify_since};
pub use witness::{Cosigned, Submission, Witnessed};

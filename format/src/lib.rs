//! Bytes of a quipu ledger: envelope, chain, key tree, sealing, tree, proofs, checkpoint.
//!
//! This crate is pure: no I/O, no clock, no randomness. Whoever writes a ledger and whoever verifies one use
//! the same functions, and a verifier in another language needs only `docs/FORMAT.md`.
//!
//! The words used here have one meaning each. An *entry* is one line of the log: an [`Envelope`], whose bytes
//! are hashed, and a sealed [`Body`], which can be erased. An [`Event`] is what people and agents see: the
//! envelope and the opened body together.

mod body;
mod canonical;
mod check;
mod checkpoint;
mod consistency;
mod disclosure;
mod envelope;
mod error;
mod event;
mod hash;
mod id;
mod keytree;
pub mod limits;
mod line;
mod mac;
mod note;
mod proof;
mod scope_export;
mod seal;
mod text;
mod time;
pub mod tree;
mod unique;

pub use body::{Body, Source};
pub use check::{Finding, Given, check, is_scope_export};
pub use checkpoint::Checkpoint;
pub use consistency::ConsistencyProof;
pub use disclosure::Disclosure;
pub use envelope::{Envelope, IdempotencyKey};
pub use error::{Error, Result};
pub use event::{Content, Event};
pub use hash::{Hash, leaf_hash};
pub use id::{Actor, EventId, Kind, RunId, Scope};
pub use keytree::{EntrySecret, KeyNode, KeyPath, KeyTree};
pub use limits::Limits;
pub use line::{Line, checksum, encode_line, end_line, line_bytes};
pub use mac::authenticate;
pub use note::{Signer, VerifierKey, check_origin};
pub use proof::InclusionProof;
pub use scope_export::{ScopeCheck, ScopeHeader, ScopeLine, ScopeShown};
pub use seal::{commitment, open, seal, seal_in_place};
pub use time::Timestamp;

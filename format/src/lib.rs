//! Bytes of a quipu ledger: envelope, chain, key tree, sealing, tree, proofs, checkpoint.
//!
//! This crate is pure: no I/O, no clock, no randomness. Whoever writes a ledger and whoever verifies one use
//! the same functions, and a verifier in another language needs only `docs/FORMAT.md`.
//!
//! The words used here have one meaning each. An *entry* is one line of the log: an [`Envelope`], whose bytes
//! are hashed, and a sealed [`Body`], which can be erased. An [`Event`] is what people and agents see: the
//! envelope and the opened body together.

mod act;
mod agent;
mod base64url;
mod blocks;
mod body;
mod canonical;
mod check;
mod checkpoint;
mod consistency;
mod cosignature;
mod disclosure;
mod envelope;
mod erasure;
mod error;
mod escaped;
mod event;
mod handle;
mod hash;
mod hold;
mod id;
mod key_lock;
mod keytree;
pub mod limits;
mod line;
mod mac;
mod note;
mod projection;
mod proof;
mod quota;
pub mod report;
mod request;
mod retention;
mod scope_export;
mod scope_pattern;
mod scope_proof;
mod scope_root;
mod scope_tree;
mod seal;
mod text;
mod time;
pub mod tree;
mod trusted;
mod unique;
mod usual_json;

pub use act::{Act, ActId};
pub use agent::{AgentChange, AgentGrant, AgentName, Approval, SecretsPolicy};
pub use body::{Body, Source};
pub use canonical::{EnvelopeRef, Links};
pub use check::{Finding, Given, check, is_scope_export};
pub use checkpoint::Checkpoint;
pub use consistency::ConsistencyProof;
pub use cosignature::{WitnessKey, add_checkpoint};
pub use disclosure::Disclosure;
pub use envelope::{Envelope, IdempotencyKey};
pub use erasure::{Cause, Erasure};
pub use error::{Error, Result};
pub use escaped::{escaped, escaped_json, escaped_lines};
pub use event::{Content, Event};
pub use handle::secret_handle;
pub use hash::{Hash, leaf_hash};
pub use hold::{Held, Hold, Release};
pub use id::{Actor, EventId, HoldId, Kind, ProjectionName, RequestId, RunId, Scope, Subject};
pub use key_lock::{KeyCost, KeyLock};
pub use keytree::{EntrySecret, KeyNode, KeyPath, KeyTree};
pub use limits::{CompileLimits, Limits};
pub use line::{Line, checksum, counted_bytes, encode_line, end_line, line_bytes, push_sealed};
pub use mac::authenticate;
pub use note::{Signer, VerifierKey, check_origin};
pub use projection::{ProjectionChange, ProjectionSetting};
pub use proof::InclusionProof;
pub use quota::{Quota, QuotaChange};
pub use request::{Closing, Request, RequestChange, RequestOutcome};
pub use retention::{Policy, RetentionChange};
pub use scope_export::{ScopeCheck, ScopeHeader, ScopeLine, ScopeShown};
pub use scope_pattern::ScopePattern;
pub use scope_proof::{ScopeFollow, ScopeProof, ScopeStanding};
pub use scope_root::ScopeRoot;
pub use scope_tree::{PathEnd, ScopePath, ScopeState, ScopeTree, scope_key};
pub use seal::{commitment, open, open_in_place, seal, seal_in_place};
pub use time::Timestamp;
pub use trusted::TrustedKeys;

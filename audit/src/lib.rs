//! What a component can do with a quipu ledger, read from its binary alone: nothing is run, compiled or looked up.
//!
//! What a component can do is what its outer type lets it import: WebAssembly has no other way out. So the answer does
//! not depend on what its code does, and holds for code that hides what it does.
//!
//! ```no_run
//! use quipu_audit::{Audit, Policy};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let audit = Audit::of(&std::fs::read("agent.wasm")?)?;
//! println!("{}", audit.sentence());
//! assert!(audit.conforms());
//! # Ok(())
//! # }
//! ```
//!
//! [`Policy`] narrows what is acceptable, [`Change`] says what a newer component can do that an older one could not, and
//! [`Report`] writes all of it for people and for programs.

mod anatomy;
mod attest;
mod authority;
mod change;
mod componentise;
mod dissect;
mod error;
mod features;
mod finding;
mod names;
mod origin;
mod policy;
mod report;
mod trusting;
mod verdict;
mod worlds;

pub use anatomy::{Anatomy, Inner, InnerKind, Memory, Port, PortKind, Table};
pub use attest::{attest, check_attestation};
pub use authority::Authority;
pub use change::Change;
pub use componentise::{Wasm, componentise, kind_of};
pub use error::{Error, Result};
pub use features::features;
pub use finding::{Finding, Rule, Severity};
pub use names::{interface, memory_interface};
pub use origin::{Dependency, Producer};
pub use policy::Policy;
pub use report::Report;
pub use verdict::{Audit, Function};
pub use worlds::{World, component_wit, wit};

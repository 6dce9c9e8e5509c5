//! What the fuzz targets share: a ledger to damage, ways to damage it, and what must hold of it afterwards.
//!
//! The ledger is the frozen one of tests/frozen, whose bytes are the same in every run, so that an input that once
//! failed fails again.

mod checks;
mod edits;
mod frozen;
mod import;
mod mend;

pub use checks::check;
pub use edits::{Edit, edit};
pub use frozen::{Files, Folder, Frozen, frozen};
pub use import::import;
pub use mend::mend;

//! What chance finds: random calls against a model of memory, and components that were changed at random. Each has a test
//! that takes seconds, and one that goes on for as long as it is told to (`cargo xtask fuzz calls`, `fuzz modules`).
#![allow(missing_docs)]

#[cfg(feature = "recall")]
mod calls;
mod chance;
#[cfg(feature = "recall")]
mod model;
mod modules;
#[cfg(feature = "recall")]
mod program;

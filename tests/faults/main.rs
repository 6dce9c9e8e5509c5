//! Real faults against the shipped command: what was acknowledged is there, and what went wrong is said.
//! docs/RELIABILITY.md has the table of these faults.

#[path = "../canary/mod.rs"]
mod canary;
#[path = "../driver/mod.rs"]
mod driver;

mod cut;
mod damage;
mod erased;
mod full;
mod kill;
mod machine;
mod order;
mod sync;
mod syscalls;
mod work;
mod worker;

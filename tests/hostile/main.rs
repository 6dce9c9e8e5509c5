//! The red team: guests, files and arguments that try to do harm, each with the defence that stops it. All of them are in
//! one table, from which docs/THREATS.md has its own; each is a test of its name.

#[path = "../driver/mod.rs"]
mod driver;
#[path = "../faults/machine.rs"]
#[allow(dead_code, reason = "file systems in memory are all that is needed of it here")]
mod machine;

mod agents;
mod arguments;
mod attack;
mod components;
mod files;
mod full;
mod house;
mod loops;
mod page;
mod table;

//! Recall over real ledgers, through the public face alone.

mod blocks;
mod descent;
mod erase;
mod file;
mod fixture;
mod fold;
#[path = "../../../log/tests/forgery/mod.rs"]
mod forgery;
mod hostile;
mod model;
mod search;
mod talk;
mod trail;

//! Recall over real ledgers, through the public face alone.

mod beliefs;
mod blocks;
mod bounds;
mod building;
mod compact;
mod damage;
mod dense;
mod descent;
mod erase;
mod facts;
mod file;
mod fixture;
mod fold;
#[path = "../../../log/tests/forgery/mod.rs"]
mod forgery;
mod forgetting;
mod holding;
mod hostile;
mod model;
mod plain;
mod search;
mod speed;
mod talk;
mod tiers;
mod trail;
mod trust;

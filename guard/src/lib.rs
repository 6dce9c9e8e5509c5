//! Finds secrets (keys, tokens, passwords) in what is about to be remembered: an append-only log keeps them for good.
//!
//! A [`Scanner`] knows what secrets look like in plain; [`Rules`] is the one in use. The [`Guard`] stands in front of it
//! and undoes what hides a secret from it: encodings, invisible characters, spaces, and that it is split over fields or
//! over the newest entries of one actor in one scope. Where something is found is told in bytes of the text that was given,
//! never what.
//!
//! It keeps honest mistakes out of the log. Who wants to hide something finds an encoding that is not undone.

mod decode;
mod finding;
mod fold;
mod guard;
mod join;
mod json;
mod rules;
mod scan;
mod search;
mod view;
mod window;

pub use finding::Finding;
pub use guard::{Entry, Guard, NoHandle, Refused, TooMuch};
pub use rules::Rules;
pub use scan::{Match, Scanner, Work};

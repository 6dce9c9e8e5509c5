//! What an actor said last, so that a token that is split over several entries is found.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use quipu_format::limits;

use crate::{join, json::Text, view::View};

/// The newest entries of the actors that appended last.
#[derive(Default)]
pub(crate) struct Recent {
    actors: HashMap<String, (u64, Window)>,
    turn: u64,
    hasher: RandomState,
}

/// The newest entries of one actor, the newest at the end.
#[derive(Clone, Default)]
pub(crate) struct Window(VecDeque<Arc<Said>>);

/// An entry that was looked at.
struct Said {
    /// Of its payload.
    payload: u64,
    tails: Vec<Tail>,
}

/// How a text of an entry ends; where it went on with what the one before had begun, this includes that.
pub(crate) struct Tail {
    /// Of the member's name.
    name: u64,
    text: String,
}

/// A text of an entry that may go on with what an earlier one began.
pub(crate) struct Junction {
    /// The end of the earlier text, and the beginning of this one.
    pub(crate) text: String,
    /// Where in it this one begins.
    pub(crate) at: usize,
    /// Where that is in the entry's opened JSON.
    pub(crate) head: usize,
}

impl Recent {
    pub(crate) fn of(&self, actor: &str) -> Window {
        self.actors
            .get(actor)
            .map(|(_, window)| window.clone())
            .unwrap_or_default()
    }

    pub(crate) fn keep(&mut self, actor: String, window: Window) {
        self.turn += 1;
        self.actors.insert(actor, (self.turn, window));
        if self.actors.len() > limits::GUARD_ACTORS {
            let oldest = self.actors.iter().min_by_key(|(_, (turn, _))| *turn);
            let oldest = oldest.map(|(actor, _)| actor.clone());
            oldest.and_then(|actor| self.actors.remove(&actor));
        }
    }

    pub(crate) fn hasher(&self) -> RandomState {
        self.hasher.clone()
    }
}

impl Window {
    /// Where the values of an entry go on with what was begun, and how they end. `opened` are the ranges of the texts in the
    /// opened JSON.
    pub(crate) fn meet(
        &self,
        json: &str,
        opened: &View,
        texts: &[Text],
        hasher: &RandomState,
    ) -> (Vec<Junction>, Vec<Tail>) {
        let (mut junctions, mut tails) = (Vec::new(), Vec::new());
        let payload = hasher.hash_one(json);
        // Whoever chooses the order of the members does not choose which of them count.
        let mut values: Vec<_> = values(texts, opened).collect();
        values.sort_by_key(|(_, range)| std::cmp::Reverse(range.len()));
        for (text, range) in values.into_iter().take(limits::GUARD_FIELDS) {
            let said = &opened.text[range.clone()];
            let trimmed = said.trim_start();
            let head = range.end - trimmed.len();
            let name = hasher.hash_one(&json[text.name.clone()]);
            let beginning = &trimmed[..trimmed.floor_char_boundary(limits::GUARD_TAIL_BYTES)];
            let mut goes_on = None;
            // An entry that is appended again does not go on with itself.
            for earlier in self.0.iter().filter(|said| said.payload != payload) {
                let tail = earlier.tails.iter().find(|tail| tail.name == name);
                let tail = tail.filter(|tail| {
                    let (left, right) = (join::tail(tail.text.as_bytes()), join::head(beginning.as_bytes()));
                    join::belong_together(left, right)
                });
                if let Some(tail) = tail {
                    junctions.push(Junction {
                        text: tail.text.clone() + beginning,
                        at: tail.text.len(),
                        head,
                    });
                }
                goes_on = tail;
            }
            // Only one that is nothing but a part of a token goes on with the one before it.
            let is_part = join::head(trimmed.trim_end().as_bytes()).len() == trimmed.trim_end().len();
            let begun = goes_on.filter(|_| is_part).map_or("", |tail| tail.text.as_str());
            let whole = begun.to_owned() + trimmed.trim_end();
            let start = whole.ceil_char_boundary(whole.len().saturating_sub(limits::GUARD_TAIL_BYTES));
            tails.push(Tail {
                name,
                text: whole[start..].to_owned(),
            });
        }
        (junctions, tails)
    }

    pub(crate) fn push(&mut self, json: &str, tails: Vec<Tail>, hasher: &RandomState) {
        let payload = hasher.hash_one(json);
        if self.0.iter().any(|said| said.payload == payload) {
            return;
        }
        if self.0.len() == limits::GUARD_ENTRIES {
            self.0.pop_front();
        }
        self.0.push_back(Arc::new(Said { payload, tails }));
    }
}

/// Values that are long enough for a part of a token, and where they stand in the opened JSON.
fn values<'a>(texts: &'a [Text], opened: &'a View) -> impl Iterator<Item = (&'a Text, std::ops::Range<usize>)> {
    let long = texts.iter().filter(|text| !text.is_name && text.range.len() >= 2);
    long.map(|text| (text, opened.places(&text.range)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded() {
        let mut recent = Recent::default();
        let json = format!("[{}]", vec![format!("{:?}", "x".repeat(10_000)); 50].join(","));
        let texts = crate::json::texts(&json);
        let opened = crate::json::opened(&json);
        for actor in 0..limits::GUARD_ACTORS + 10 {
            let mut window = recent.of("agent:0");
            for nth in 0..limits::GUARD_ENTRIES + 3 {
                let (_, tails) = window.meet(&json, &opened, &texts, &recent.hasher());
                window.push(&nth.to_string(), tails, &recent.hasher());
            }
            recent.keep(format!("agent:{actor}"), window);
        }
        assert_eq!(recent.actors.len(), limits::GUARD_ACTORS);
        assert!(!recent.actors.contains_key("agent:0") && recent.actors.contains_key("agent:10"));
        for (_, window) in recent.actors.values() {
            assert_eq!(window.0.len(), limits::GUARD_ENTRIES);
            for entry in &window.0 {
                assert_eq!(entry.tails.len(), limits::GUARD_FIELDS);
                assert!(
                    entry
                        .tails
                        .iter()
                        .all(|tail| tail.text.len() <= limits::GUARD_TAIL_BYTES)
                );
            }
        }
    }
}

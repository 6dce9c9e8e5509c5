//! The names in a folder as processes see them, and as a power cut may leave them.

use std::collections::BTreeMap;

use super::dice::Dice;

/// Number of a file or folder.
pub(super) type Node = u64;

#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    live: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
    /// What was changed since the last sync, in order.
    changes: Vec<Change>,
}

/// What happens in one step, or not at all.
#[derive(Debug, Clone)]
struct Change {
    names: Vec<(String, Option<Node>)>,
    /// All that the names led to before or lead to now.
    nodes: Vec<Node>,
}

impl Names {
    pub(super) fn get(&self, name: &str) -> Option<Node> {
        self.live.get(name).copied()
    }

    pub(super) fn list(&self) -> impl Iterator<Item = (&String, &Node)> {
        self.live.iter()
    }

    /// Lets names lead to nodes, or nowhere, in one step.
    pub(super) fn change(&mut self, names: &[(&str, Option<Node>)]) {
        let mut change = Change {
            names: Vec::new(),
            nodes: Vec::new(),
        };
        for &(name, node) in names {
            let before = match node {
                Some(node) => self.live.insert(name.to_owned(), node),
                None => self.live.remove(name),
            };
            change.nodes.extend(before.into_iter().chain(node));
            change.names.push((name.to_owned(), node));
        }
        self.changes.push(change);
    }

    pub(super) fn sync(&mut self) {
        self.durable.clone_from(&self.live);
        self.changes.clear();
    }

    /// The power is cut: each change is kept or not, but none without those before it that it builds on.
    pub(super) fn cut(&mut self, dice: &mut Dice) {
        let in_order = dice.one_in(2);
        let mut kept_until = dice.below(self.changes.len() + 1);
        let mut dropped: Vec<&Change> = Vec::new();
        for change in &self.changes {
            let builds_on_dropped = dropped.iter().any(|earlier| {
                earlier.nodes.iter().any(|node| change.nodes.contains(node))
                    || earlier
                        .names
                        .iter()
                        .any(|(name, _)| change.names.iter().any(|(other, _)| other == name))
            });
            let keep = if in_order { kept_until > 0 } else { dice.one_in(2) };
            kept_until = kept_until.saturating_sub(1);
            if !keep || builds_on_dropped {
                dropped.push(change);
                continue;
            }
            for (name, node) in &change.names {
                match node {
                    Some(node) => self.durable.insert(name.clone(), *node),
                    None => self.durable.remove(name),
                };
            }
        }
        self.live.clone_from(&self.durable);
        self.changes.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn after_a_cut(steps: impl Fn(&mut Names)) -> BTreeSet<String> {
        let mut dice = Dice::new(1);
        let states = (0..200).map(|_| {
            let mut names = Names::default();
            steps(&mut names);
            names.cut(&mut dice);
            names.list().map(|(name, node)| format!("{name}{node} ")).collect()
        });
        states.collect()
    }

    fn set(states: &[&str]) -> BTreeSet<String> {
        states.iter().map(|&state| state.to_owned()).collect()
    }

    #[test]
    fn a_rename_is_kept_whole_or_not_at_all_and_not_without_the_file() {
        let states = after_a_cut(|names| {
            names.change(&[("a", Some(1))]);
            names.sync();
            names.change(&[("b", Some(2))]);
            names.change(&[("b", None), ("a", Some(2))]);
        });
        assert_eq!(states, set(&["a1 ", "a1 b2 ", "a2 "]));
    }

    #[test]
    fn changes_that_have_nothing_in_common_are_kept_in_any_order() {
        let states = after_a_cut(|names| {
            names.change(&[("a", Some(1))]);
            names.change(&[("b", Some(2))]);
        });
        assert_eq!(states, set(&["", "a1 ", "b2 ", "a1 b2 "]));
    }
}

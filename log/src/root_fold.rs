//! Checks every root of scopes in a log that is read from its start: what a verifier folds, entry by entry.

use std::collections::HashSet;

use quipu_format::{Envelope, Hash, ScopeRoot, ScopeState, ScopeTree, limits};

/// How far back a root may reach from its entry.
const REACH: u64 = limits::SCOPE_ROOT_ENTRIES;

#[derive(Default)]
pub(crate) struct RootFold {
    tree: ScopeTree,
    /// Entries that the tree covers.
    size: u64,
    /// For each entry behind them, where its scope stood then.
    behind: Vec<(Hash, ScopeState)>,
    /// Entries could not be read.
    gap: bool,
}

impl RootFold {
    /// Takes the next entry: `key` is its scope's, `state` where that stands with it; its envelope is needed where it may
    /// hold a root. Returns what is wrong with it, if it does.
    pub(crate) fn take(&mut self, envelope: Option<&Envelope>, key: Hash, state: ScopeState) -> Result<(), String> {
        if let Some(envelope) = envelope
            && let Some(root) = ScopeRoot::of(envelope).map_err(|e| e.to_string())?
            && !self.gap
        {
            self.check(envelope.seq, root)?;
        }
        if self.gap {
            return Ok(());
        }
        self.behind.push((key, state));
        if self.behind.len() as u64 >= 2 * REACH {
            self.fold(REACH as usize);
        }
        Ok(())
    }

    /// Passes over entries that cannot be read: from here on no root can be checked.
    pub(crate) fn pass(&mut self) {
        *self = Self {
            gap: true,
            ..Self::default()
        };
    }

    fn check(&mut self, seq: u64, said: ScopeRoot) -> Result<(), String> {
        let ScopeRoot { size, root } = said;
        if size + REACH < seq || size < self.size {
            return Err(format!(
                "it holds the root of scopes over {size} entries, which is too far back: at most {REACH}, and not less \
                 than the one before"
            ));
        }
        self.fold((size - self.size) as usize);
        let found = self.tree.root();
        if found != root {
            return Err(format!(
                "the root of scopes over the first {size} entries is not {root}, as it says, but {found}"
            ));
        }
        Ok(())
    }

    /// Brings the first `entries` that are behind the tree into it.
    fn fold(&mut self, entries: usize) {
        let mut known = HashSet::new();
        for (key, state) in self.behind[..entries].iter().rev() {
            if known.insert(key) {
                self.tree.set(*key, *state);
            }
        }
        self.behind.drain(..entries);
        self.size += entries as u64;
    }
}

#[cfg(test)]
mod tests {
    use quipu_format::{Actor, EventId, Kind, Scope, Timestamp, scope_key};
    use ulid::Ulid;

    use super::*;

    fn envelope(seq: u64, kind: &str, root: Option<ScopeRoot>) -> Envelope {
        let nothing = Hash::of_nothing();
        let mut envelope = Envelope::new(
            seq,
            EventId(Ulid::nil()),
            Timestamp::FIRST,
            Actor::new("host:quipu").unwrap(),
            Kind::new(kind).unwrap(),
            Scope::ledger(),
            0,
            nothing,
            nothing,
        );
        envelope.sys = root.map(|root| root.to_sys());
        envelope
    }

    fn state(seq: u64) -> (Hash, ScopeState) {
        let scope = Scope::new(&format!("scope:{}", seq % 7)).unwrap();
        let last = Hash::of(&[&seq.to_be_bytes()]);
        let count = (seq / 7) as u32 + 1;
        (scope_key(&scope), ScopeState { count, last })
    }

    fn root(size: u64) -> ScopeRoot {
        let mut tree = ScopeTree::default();
        (0..size).for_each(|seq| {
            let (key, state) = state(seq);
            tree.set(key, state);
        });
        let root = tree.root();
        ScopeRoot { size, root }
    }

    /// The fold over so many entries without a root, and one behind them.
    fn after(entries: u64, last: ScopeRoot) -> Result<(), String> {
        let mut fold = RootFold::default();
        for seq in 0..entries {
            let (key, state) = state(seq);
            fold.take(None, key, state)?;
        }
        let (key, state) = state(entries);
        fold.take(Some(&envelope(entries, ScopeRoot::KIND, Some(last))), key, state)
    }

    #[test]
    fn a_root_is_checked_over_what_it_covers_however_much_stands_between() {
        for (entries, size) in [
            (0, 0),
            (1, 1),
            (50, 50),
            (50, 43),
            (50, 0),
            (REACH, 0),
            (3 * REACH, 2 * REACH),
            (3 * REACH, 3 * REACH),
        ] {
            after(entries, root(size)).unwrap();
            let mut wrong = root(size);
            wrong.root.0[7] ^= 1;
            assert!(
                after(entries, wrong).unwrap_err().contains("is not"),
                "{entries}, {size}"
            );
        }
    }

    #[test]
    fn a_root_that_reaches_too_far_back_or_forward_is_refused() {
        assert!(after(REACH + 1, root(0)).unwrap_err().contains("too far back"));
        assert!(after(9, root(10)).unwrap_err().contains("come after it"));
    }

    #[test]
    fn behind_a_gap_no_root_is_checked() {
        let mut fold = RootFold::default();
        fold.pass();
        let (key, state) = state(9);
        fold.take(Some(&envelope(9, ScopeRoot::KIND, Some(root(4)))), key, state)
            .unwrap();
    }
}

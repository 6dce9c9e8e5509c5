//! What must hold of the roots of scopes, whatever happened.

use quipu_format::{Event, ScopeRoot, ScopeState, ScopeTree, scope_key};

use super::model::{Result, ensure};

/// Entries in a row among which there is a root, in a simulation.
pub(super) const EVERY: u64 = 60;

/// There is a root among as many entries in a row, and each is the one that the entries below its size give.
pub(super) fn check(events: &[Event]) -> Result<u64> {
    let (mut newest, mut roots) = (0, 0);
    for event in events {
        let envelope = &event.envelope;
        let seq = envelope.seq;
        ensure!(
            seq - newest <= EVERY,
            "entries {newest} to {seq} hold no root of scopes"
        );
        let Some(root) = ScopeRoot::of(envelope).map_err(|e| e.to_string())? else {
            continue;
        };
        ensure!(
            seq - root.size <= EVERY,
            "entry {seq} holds a root of {} entries",
            root.size
        );
        let mut tree = ScopeTree::default();
        for event in &events[..root.size as usize] {
            let envelope = &event.envelope;
            let state = ScopeState {
                count: envelope.nth + 1,
                last: event.hash,
            };
            tree.set(scope_key(&envelope.scope), state);
        }
        ensure!(
            tree.root() == root.root,
            "entry {seq} holds another root of scopes than the entries give"
        );
        (newest, roots) = (seq, roots + 1);
    }
    Ok(roots)
}

//! The tree of scopes, against its definition written as recursion over a sorted list.

use proptest::prelude::*;
use quipu_format::{Hash, PathEnd, Scope, ScopePath, ScopeState, ScopeTree, scope_key};

fn key(n: u32) -> Hash {
    scope_key(&Scope::new(&format!("customer:{n}")).unwrap())
}

fn state(n: u32) -> ScopeState {
    ScopeState {
        count: n + 1,
        last: Hash::of(&[b"last", &n.to_be_bytes()]),
    }
}

fn bit(key: &Hash, at: usize) -> bool {
    key.0[at / 8] >> (7 - at % 8) & 1 == 1
}

/// The definition in docs/FORMAT.md, over scopes that agree in their first `depth` bits.
fn definition(scopes: &[(Hash, ScopeState)], depth: usize) -> Hash {
    match scopes {
        [] => Hash::of_nothing(),
        [(key, state)] => Hash::of(&[b"quipu 1 scope leaf", &key.0, &state.count.to_be_bytes(), &state.last.0]),
        _ => {
            let (right, left): (Vec<_>, Vec<_>) = scopes.iter().partition(|(key, _)| bit(key, depth));
            let (left, right) = (definition(&left, depth + 1), definition(&right, depth + 1));
            Hash::of(&[b"quipu 1 scope node", &left.0, &right.0])
        }
    }
}

fn tree(scopes: &[(Hash, ScopeState)]) -> ScopeTree {
    let mut tree = ScopeTree::default();
    scopes.iter().for_each(|(key, state)| tree.set(*key, *state));
    tree
}

/// Keys that agree in their first `bits` bits and differ in the next.
fn twins(bits: usize) -> [Hash; 2] {
    let one = key(0);
    let mut other = one;
    other.0[bits / 8] ^= 1 << (7 - bits % 8);
    [one, other]
}

#[test]
fn roots_are_those_of_the_definition_whatever_the_order() {
    for n in (0..40).chain([100, 1_000]) {
        let mut scopes: Vec<_> = (0..n).map(|n| (key(n), state(n))).collect();
        let root = definition(&scopes, 0);
        assert_eq!(tree(&scopes).root(), root, "{n} scopes");
        scopes.reverse();
        assert_eq!(tree(&scopes).root(), root, "{n} scopes, backwards");
    }
    assert_eq!(ScopeTree::default().root(), Hash::of_nothing());
}

#[test]
fn only_what_has_changed_is_hashed_again_and_the_root_is_the_same() {
    let mut scopes: Vec<_> = (0..300).map(|n| (key(n), state(n))).collect();
    let mut tree = tree(&scopes[..200]);
    for n in 0..300 {
        scopes[n].1 = state(n as u32 + 7);
        tree.set(scopes[n].0, scopes[n].1);
        let there = if n < 200 { 200 } else { n + 1 };
        assert_eq!(tree.root(), definition(&scopes[..there], 0), "after {n}");
    }
    assert_eq!(tree.len(), 300);
}

#[test]
fn every_scope_is_proved_present_and_every_other_absent() {
    for n in [0, 1, 2, 3, 7, 64, 500] {
        let scopes: Vec<_> = (0..n).map(|n| (key(n), state(n))).collect();
        let mut tree = tree(&scopes);
        let root = tree.root();
        for (key, state) in &scopes {
            assert_eq!(tree.path(key).verify(key, &root).unwrap(), Some(*state));
        }
        for absent in n..n + 200 {
            let path = tree.path(&key(absent));
            assert!(!matches!(path.end, PathEnd::This(_)));
            assert_eq!(path.verify(&key(absent), &root).unwrap(), None);
        }
    }
}

#[test]
fn a_path_grows_with_the_logarithm_of_the_scopes() {
    let mut tree = ScopeTree::default();
    (0..10_000).for_each(|n| tree.set(key(n), state(n)));
    let longest = (0..10_000).map(|n| tree.path(&key(n)).hashes.len()).max().unwrap();
    assert!((14..=40).contains(&longest), "{longest}");
}

#[test]
fn scopes_whose_keys_begin_alike_part_where_they_differ() {
    for bits in [0, 1, 7, 8, 100, 254, 255] {
        let keys = twins(bits);
        let scopes = [(keys[0], state(1)), (keys[1], state(2))];
        let mut tree = tree(&scopes);
        let root = tree.root();
        assert_eq!(root, definition(&scopes, 0), "{bits} bits");
        for (key, state) in &scopes {
            let path = tree.path(key);
            assert_eq!(path.hashes.len(), bits + 1);
            assert_eq!(path.verify(key, &root).unwrap(), Some(*state));
        }
    }
}

#[test]
fn the_longest_path_is_verified_and_a_longer_one_refused() {
    let [one, other] = twins(255);
    let mut tree = tree(&[(one, state(1)), (other, state(2))]);
    let root = tree.root();
    let mut path = tree.path(&one);
    assert_eq!(path.hashes.len(), 256);
    path.verify(&one, &root).unwrap();
    path.hashes.push(root);
    assert!(path.verify(&one, &root).unwrap_err().to_string().contains("257"));
}

/// Whatever is changed in a path: it is refused, or it says the same.
fn forged(path: &ScopePath, other: &ScopePath, [asked, from]: [Hash; 2]) -> Vec<ScopePath> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut ScopePath)| {
        let mut path = path.clone();
        change(&mut path);
        all.push(path);
    };
    with(&|path| path.hashes.push(Hash::of_nothing()));
    with(&|path| path.hashes.truncate(path.hashes.len().saturating_sub(1)));
    with(&|path| path.hashes.insert(0, Hash::of_nothing()));
    with(&|path| {
        if !path.hashes.is_empty() {
            path.hashes.remove(0);
        }
    });
    with(&|path| path.hashes.reverse());
    with(&|path| path.end = PathEnd::Nothing);
    with(&|path| path.end = other.end);
    for key in [asked, from] {
        with(&|path| {
            if let PathEnd::This(state) | PathEnd::Other { state, .. } = path.end {
                path.end = PathEnd::Other { key, state };
            }
        });
    }
    with(&|path| path.hashes.clone_from(&other.hashes));
    for at in 0..path.hashes.len() {
        with(&|path| path.hashes[at].0[0] ^= 1);
    }
    with(&|path| match &mut path.end {
        PathEnd::This(state) => state.count += 1,
        PathEnd::Other { key, .. } => key.0[31] ^= 1,
        PathEnd::Nothing => path.end = PathEnd::This(state(9)),
    });
    with(&|path| {
        if let PathEnd::This(state) | PathEnd::Other { state, .. } = &mut path.end {
            state.last.0[5] ^= 8;
        }
    });
    all
}

proptest! {
    #[test]
    fn no_forged_path_says_anything_else(
        scopes in proptest::collection::btree_set(0u32..2_000, 0..60), asked in 0u32..2_000, from in 0u32..2_000
    ) {
        let scopes: Vec<_> = scopes.into_iter().map(|n| (key(n), state(n))).collect();
        let mut tree = tree(&scopes);
        let root = tree.root();
        prop_assert_eq!(root, definition(&scopes, 0));
        let (path, other) = (tree.path(&key(asked)), tree.path(&key(from)));
        let said = path.verify(&key(asked), &root).unwrap();
        prop_assert_eq!(said, scopes.iter().find(|(k, _)| *k == key(asked)).map(|(_, state)| *state));
        for forged in forged(&path, &other, [key(asked), key(from)]) {
            if let Ok(answer) = forged.verify(&key(asked), &root) {
                prop_assert_eq!(answer, said, "{:?}", forged);
            }
            if from != asked
                && let Ok(answer) = forged.verify(&key(from), &root)
            {
                prop_assert_eq!(answer, other.verify(&key(from), &root).unwrap(), "{:?}", forged);
            }
        }
        let text = serde_json::to_string(&path).unwrap();
        prop_assert_eq!(serde_json::from_str::<ScopePath>(&text).unwrap(), path);
    }

    #[test]
    fn the_root_changes_with_every_scope(n in 1u32..80, at in 0u32..80, count in 1u32..9) {
        let mut scopes: Vec<_> = (0..n).map(|n| (key(n), state(n))).collect();
        let root = tree(&scopes).root();
        let at = (at % n) as usize;
        scopes[at].1.count += count;
        prop_assert_ne!(tree(&scopes).root(), root);
        scopes.remove(at);
        prop_assert_ne!(tree(&scopes).root(), root);
    }
}

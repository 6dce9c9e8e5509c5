//! The key tree, against derivations by another implementation and against a naive model of erasure.

use std::ops::RangeInclusive;

use proptest::{collection::vec, prelude::*, prop_oneof};
use quipu_format::{KeyNode, KeyPath, KeyTree, limits};

const ROOT: [u8; 32] = [7; 32];

/// Salt and key, in hexadecimal.
fn secret(tree: &KeyTree, nth: u32) -> Option<String> {
    tree.secret(nth).map(|secret| {
        [secret.salt, secret.key]
            .as_flattened()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect()
    })
}

fn leaves(node: &KeyNode) -> RangeInclusive<u64> {
    let width = 1 << (32 - node.depth);
    let first = u64::from(node.index) * width;
    first..=first + width - 1
}

/// Computed with Python's hmac module from the words of `docs/FORMAT.md`, for the root secret 00 01 … 1f.
#[test]
fn derivations_are_frozen() {
    let tree = KeyTree::new(std::array::from_fn(|i| i as u8));
    for (nth, salt, key) in [
        (
            0,
            "723fcbf0a248330c3e6d4e0137ad2d360afc44f9beaefb041adb0e27784d10ae",
            "80fc4b7aa6e21761efb96e8f4fd10bd78138215f2caea774671bc32eff30e6db",
        ),
        (
            1,
            "8116cda334b817b9bb6932ea11d64167df1da88d37801b48b96848bdd7a5a691",
            "b78a3a9714758321b2f65a69c1afdaa821a5749b882d9492213110f3a6eb872b",
        ),
        (
            0x8000_0000,
            "774d41183a08b9f062f2c4899e38880b64e7e6a46694055bc79f4e82af0692de",
            "327710143d1e9d3d2ea90ee437a0fa6d57369ec88dd709aed09c1a7db739e540",
        ),
        (
            u32::MAX,
            "23fd69353411c0a5408e55fec14b5bc02a39c179303cbc09f34b9ca982a2a144",
            "5e29c22d75956005203737d3d375833cd04486c7123f75de6bcbfc2611d492f9",
        ),
    ] {
        assert_eq!(secret(&tree, nth).unwrap(), format!("{salt}{key}"), "entry {nth}");
    }
}

#[test]
fn a_prefix_leaves_few_nodes_however_long_it_is() {
    for last in [0, 1, 1_000_000, 0x7fff_ffff, 0x8000_0000, u32::MAX - 1] {
        let mut tree = KeyTree::new(ROOT);
        tree.puncture(0..=last).unwrap();
        assert!(
            tree.nodes().len() <= 32,
            "{} nodes after 0..={last}",
            tree.nodes().len()
        );
        assert!(secret(&tree, last).is_none() && secret(&tree, last + 1).is_some());
    }
    let mut tree = KeyTree::new(ROOT);
    tree.puncture(77..=77).unwrap();
    assert_eq!(tree.nodes().len(), 32);
    tree.puncture(0..=u32::MAX).unwrap();
    assert!(tree.nodes().is_empty());
}

#[test]
fn fresh_and_empty_trees_are_told_apart() {
    let mut tree = KeyTree::new(ROOT);
    assert!(tree.is_fresh() && !KeyTree::empty().is_fresh() && secret(&KeyTree::empty(), 0).is_none());
    #[expect(clippy::reversed_empty_ranges, reason = "an empty range erases nothing")]
    tree.puncture(5..=4).unwrap();
    assert!(tree.is_fresh());
    tree.puncture(5..=5).unwrap();
    assert!(!tree.is_fresh());
}

#[test]
fn nodes_that_cannot_be_a_tree_are_refused() {
    let tree = |nodes: &[(u8, u32)]| {
        KeyTree::from_nodes(
            nodes
                .iter()
                .map(|&(depth, index)| KeyNode::new(depth, index, ROOT))
                .collect(),
        )
    };
    for good in [
        &[][..],
        &[(0, 0)],
        &[(1, 0), (1, 1)],
        &[(32, 0), (32, u32::MAX)],
        &[(31, 0), (32, 2)],
    ] {
        assert!(tree(good).is_ok(), "{good:?}");
    }
    for bad in [
        &[(33, 0)][..],
        &[(255, 0)],
        &[(0, 1)],
        &[(1, 2)],
        &[(31, 1 << 31)],
        &[(1, 1), (1, 0)],
        &[(1, 0), (1, 0)],
    ] {
        assert!(tree(bad).is_err(), "{bad:?}");
    }
    for overlapping in [&[(0, 0), (32, u32::MAX)][..], &[(31, 0), (32, 1)], &[(32, 0), (31, 0)]] {
        assert!(tree(overlapping).is_err(), "{overlapping:?}");
    }
}

#[test]
fn a_tree_of_too_many_nodes_is_refused_and_stays_as_it_was() {
    let most = u32::try_from(limits::KEY_NODES).unwrap();
    // Every other leaf of the left half, and the whole right half.
    let nodes = |leaves: u32| {
        let left = (0..leaves).map(|i| KeyNode::new(32, 2 * i, ROOT));
        left.chain([KeyNode::new(1, 1, ROOT)]).collect::<Vec<_>>()
    };
    assert!(KeyTree::from_nodes(nodes(most)).is_err());
    let mut tree = KeyTree::from_nodes(nodes(most - 1)).unwrap();
    assert!(tree.puncture(u32::MAX - 1..=u32::MAX - 1).is_err());
    assert_eq!(tree.nodes().len(), limits::KEY_NODES);
    assert!(secret(&tree, u32::MAX - 1).is_some());
    tree.puncture(u32::MAX / 2 + 1..=u32::MAX).unwrap();
    assert_eq!(tree.nodes().len(), limits::KEY_NODES - 1);
}

#[test]
fn a_long_prefix_leaves_few_nodes_however_long_it_is() {
    let mut tree = KeyTree::new(ROOT);
    let start = std::time::Instant::now();
    tree.puncture(0..=999_999).unwrap();
    assert!(tree.nodes().len() <= 32, "{}", tree.nodes().len());
    assert!(start.elapsed().as_secs() < 1);
    assert!(secret(&tree, 999_999).is_none() && secret(&tree, 1_000_000).is_some());
}

/// Nothing is derived before the refusal, which would take millions of expansions.
#[test]
fn erasing_a_scattered_tenth_of_a_million_is_refused_with_advice() {
    let mut random = 1_u64;
    let tenth = (0..1_000_000_u32).filter(|_| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33).is_multiple_of(10)
    });
    let ranges = quipu_format::Erasure::join(tenth.map(|nth| [nth, nth]));
    let mut tree = KeyTree::new(ROOT);
    let start = std::time::Instant::now();
    let refused = tree.puncture_all(&ranges).unwrap_err();
    assert!(refused.to_string().contains("erase in longer ranges"), "{refused}");
    assert!(start.elapsed().as_secs() < 1);
    assert!(tree.is_fresh());
}

#[test]
fn after_a_renewal_what_comes_has_other_secrets_and_what_was_keeps_its_own() {
    let mut tree = KeyTree::new(ROOT);
    tree.puncture(0..=9).unwrap();
    tree.renew(12, [9; 32]).unwrap();
    assert!((0..10).all(|nth| !tree.holds(nth)));
    for (nth, root) in [(10, ROOT), (11, ROOT), (12, [9; 32]), (u32::MAX, [9; 32])] {
        assert_eq!(secret(&tree, nth), secret(&KeyTree::new(root), nth), "entry {nth}");
    }
    KeyTree::from_nodes(tree.nodes().to_vec()).unwrap();
    let mut fresh = KeyTree::new(ROOT);
    fresh.renew(0, [9; 32]).unwrap();
    assert_eq!(secret(&fresh, 0), secret(&KeyTree::new([9; 32]), 0));
    let mut last = KeyTree::new(ROOT);
    last.renew(u32::MAX, [9; 32]).unwrap();
    assert_eq!(secret(&last, u32::MAX), secret(&KeyTree::new([9; 32]), u32::MAX));
}

#[test]
fn no_secret_is_printed() {
    let tree = KeyTree::new([0xab; 32]);
    let mut path = KeyPath::default();
    let secret = tree.secret_via(3, &mut path).unwrap();
    let text = format!("{tree:?} {path:?} {secret:?}");
    for bytes in [[0xab; 32], secret.salt, secret.key] {
        let some = format!("{:?}", &bytes[..3]);
        assert!(!text.contains(some.trim_matches(['[', ']'])), "{text}");
    }
    assert!(
        text.contains("EntrySecret") && text.contains("KeyNode") && text.contains("KeyPath"),
        "{text}"
    );
}

/// An `nth` near one of the places where a tree of bits has its edges, or anywhere.
fn nth() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => 0..40_u32,
        2 => (0..40_u32).prop_map(|n| u32::MAX - n),
        1 => (0..40_u32).prop_map(|n| 0x8000_0000 - 20 + n),
        1 => any::<u32>(),
    ]
}

fn range() -> impl Strategy<Value = RangeInclusive<u32>> {
    prop_oneof![
        nth().prop_map(|n| n..=n),
        (nth(), nth()).prop_map(|(a, b)| a.min(b)..=a.max(b))
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// What was erased has no secret and no node above it; all else has the secret it always had.
    #[test]
    fn puncturing_agrees_with_a_naive_model(ranges in vec(range(), 1..8), samples in vec(nth(), 40)) {
        let whole = KeyTree::new(ROOT);
        let mut tree = whole.clone();
        for range in &ranges {
            tree.puncture(range.clone()).unwrap();
        }
        let all_at_once = quipu_format::Erasure::join(ranges.iter().map(|range| [*range.start(), *range.end()]));
        prop_assert_eq!(whole.nodes_after(&all_at_once), tree.nodes().len());
        let mut other = whole.clone();
        other.puncture_all(&all_at_once).unwrap();
        let places = |tree: &KeyTree| tree.nodes().iter().map(|n| (n.depth, n.index, *n.secret())).collect::<Vec<_>>();
        prop_assert_eq!(places(&other), places(&tree));
        let erased = |nth: u32| ranges.iter().any(|range| range.contains(&nth));
        let edges = ranges.iter().flat_map(|range| [*range.start(), *range.end()]);
        let edges = edges.flat_map(|n| [n.saturating_sub(1), n, n.saturating_add(1)]);
        for nth in samples.into_iter().chain(edges).chain([0, u32::MAX]) {
            let expected = if erased(nth) { None } else { secret(&whole, nth) };
            prop_assert_eq!(secret(&tree, nth), expected, "entry {}", nth);
        }
        for node in tree.nodes() {
            for range in &ranges {
                let leaves = leaves(node);
                prop_assert!(*leaves.end() < u64::from(*range.start()) || u64::from(*range.end()) < *leaves.start());
            }
        }
        let rebuilt = KeyTree::from_nodes(tree.nodes().to_vec()).unwrap();
        prop_assert_eq!(rebuilt.nodes().len(), tree.nodes().len());
        for range in &ranges {
            tree.puncture(range.clone()).unwrap();
        }
        prop_assert_eq!(rebuilt.nodes().len(), tree.nodes().len(), "erasing again changed something");
    }

    /// One path used in any order, through erasures, and with another tree in between.
    #[test]
    fn a_path_never_changes_an_answer(steps in vec((nth(), proptest::option::weighted(0.1, range())), 1..60)) {
        let mut tree = KeyTree::new(ROOT);
        let other = KeyTree::new([8; 32]);
        let mut path = KeyPath::default();
        for (i, (nth, erased)) in steps.into_iter().enumerate() {
            if let Some(range) = erased {
                tree.puncture(range).unwrap();
            }
            for nth in [nth, nth.saturating_add(1), nth.saturating_sub(1)] {
                let via = tree.secret_via(nth, &mut path).map(|secret| (secret.salt, secret.key));
                prop_assert_eq!(via, tree.secret(nth).map(|secret| (secret.salt, secret.key)));
            }
            if i % 7 == 6 {
                let via = other.secret_via(nth, &mut path).unwrap();
                prop_assert_eq!(via.key, other.secret(nth).unwrap().key);
            }
        }
    }
}

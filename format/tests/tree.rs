//! The Merkle tree, against the published vectors and against RFC 6962's own recursive definitions.

use std::convert::Infallible;

use quipu_format::{
    Hash, leaf_hash,
    tree::{
        Frontier, TILE_WIDTH, TileHashes, consistency_proof, inclusion_proof, node_hash, root, subtree_root,
        verify_consistency, verify_inclusion,
    },
};

/// Sizes tried exhaustively: past one tile, so that two levels of tiles are read.
const MOST: u64 = 300;

fn leaf(n: u64) -> Hash {
    leaf_hash(&n.to_be_bytes())
}

/// RFC 6962, 2.1: the Merkle tree hash of a list.
fn mth(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::of_nothing(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&mth(left), &mth(right))
        }
    }
}

/// RFC 6962, 2.1.1: PATH(m, D[n]).
fn path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut path, other) = if m < left.len() {
        (path(m, left), mth(right))
    } else {
        (path(m - left.len(), right), mth(left))
    };
    path.push(other);
    path
}

/// RFC 6962, 2.1.2: SUBPROOF(m, D[n], b).
fn subproof(m: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if whole { Vec::new() } else { vec![mth(leaves)] };
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut proof, other) = if m <= left.len() {
        (subproof(m, left, whole), mth(right))
    } else {
        (subproof(m - left.len(), right, false), mth(left))
    };
    proof.push(other);
    proof
}

/// The largest power of two below `n`.
fn split(n: usize) -> usize {
    n.next_power_of_two() / 2
}

/// Tiles of the first so many leaves; complete hashes alone, as a ledger stores them.
struct Tiles(Vec<Vec<Hash>>);

impl Tiles {
    fn new(size: u64) -> Self {
        let mut levels = vec![(0..size).map(leaf).collect::<Vec<_>>()];
        while let Some(below) = levels.last().filter(|below| below.len() >= TILE_WIDTH) {
            levels.push(below.chunks_exact(TILE_WIDTH).map(subtree_root).collect());
        }
        Self(levels)
    }
}

impl TileHashes for Tiles {
    type Error = Infallible;

    fn read(&self, level: u8, first: u64, count: usize) -> Result<Vec<Hash>, Infallible> {
        let first = usize::try_from(first).unwrap();
        assert_eq!(
            first / TILE_WIDTH,
            (first + count - 1) / TILE_WIDTH,
            "a read crosses tiles"
        );
        Ok(self.0[usize::from(level)][first..first + count].to_vec())
    }
}

/// The eight leaves and their roots that the implementations of Certificate Transparency share as test data.
#[test]
fn roots_are_those_of_certificate_transparency() {
    let leaves: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let mut frontier = Frontier::new();
    assert_eq!(frontier.root(), Hash::of_nothing());
    for (leaf, root) in leaves.into_iter().zip(roots) {
        frontier.push(leaf_hash(leaf));
        let hex = frontier
            .root()
            .0
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>();
        assert_eq!(hex, root, "size {}", frontier.size());
    }
}

#[test]
fn frontier_and_tiles_give_the_root_of_the_definition() {
    let leaves = (0..MOST).map(leaf).collect::<Vec<_>>();
    let tiles = Tiles::new(MOST);
    let mut frontier = Frontier::new();
    for size in 0..=MOST {
        let expected = mth(&leaves[..size as usize]);
        assert_eq!(frontier.root(), expected, "frontier at {size}");
        assert_eq!(root(size, &tiles), Ok(expected), "tiles at {size}");
        let copy = Frontier::from_parts(frontier.size(), frontier.roots().to_vec()).unwrap();
        assert_eq!(copy, frontier);
        frontier.push(leaf(size));
    }
    assert!(Frontier::from_parts(MOST, vec![leaf(0)]).is_err());
}

#[test]
fn every_inclusion_proof_is_the_definitions_and_verifies() {
    let leaves = (0..MOST).map(leaf).collect::<Vec<_>>();
    let tiles = Tiles::new(MOST);
    for size in 1..=MOST {
        let tree = &leaves[..size as usize];
        let root = mth(tree);
        for index in 0..size {
            let Ok(proof) = inclusion_proof(size, index, &tiles);
            if size % 7 == 0 || size > 250 && size < 262 {
                assert_eq!(proof, path(index as usize, tree), "leaf {index} of {size}");
            }
            verify_inclusion(size, index, &leaf(index), &proof, &root).unwrap();
        }
    }
}

#[test]
fn every_consistency_proof_is_the_definitions_and_verifies() {
    let leaves = (0..MOST).map(leaf).collect::<Vec<_>>();
    let tiles = Tiles::new(MOST);
    let roots = (0..=MOST).map(|size| mth(&leaves[..size as usize])).collect::<Vec<_>>();
    for new in 0..=MOST {
        for old in 0..=new {
            let Ok(proof) = consistency_proof(old, new, &tiles);
            if old > 0 && (new % 7 == 0 || new > 250 && new < 262) {
                assert_eq!(
                    proof,
                    subproof(old as usize, &leaves[..new as usize], true),
                    "{old} to {new}"
                );
            }
            verify_consistency(old, new, &roots[old as usize], &roots[new as usize], &proof).unwrap();
        }
    }
}

#[test]
fn an_inclusion_proof_of_anything_else_is_refused() {
    let tiles = Tiles::new(21);
    for size in 1..=21 {
        let Ok(root) = root(size, &tiles);
        for index in 0..size {
            let Ok(proof) = inclusion_proof(size, index, &tiles);
            let refused = |size, index, leaf: Hash, proof: &[Hash], root: Hash| {
                assert!(
                    verify_inclusion(size, index, &leaf, proof, &root).is_err(),
                    "leaf {index} of {size}"
                );
            };
            refused(size, index, leaf(99), &proof, root);
            refused(size, index, leaf(index), &proof, leaf(99));
            refused(size, size, leaf(index), &proof, root);
            refused(0, index, leaf(index), &proof, root);
            refused(4 * size, index, leaf(index), &proof, root);
            for other in (0..size).filter(|&other| other != index) {
                refused(size, other, leaf(index), &proof, root);
            }
            for at in 0..proof.len() {
                let mut changed = proof.clone();
                changed[at].0[31] ^= 1;
                refused(size, index, leaf(index), &changed, root);
                refused(size, index, leaf(index), &proof[..at], root);
            }
            refused(size, index, leaf(index), &[&proof[..], &[leaf(0)]].concat(), root);
        }
    }
    // A node above the leaves, passed off as a leaf of a smaller tree.
    assert!(verify_inclusion(2, 0, &leaf(0), &[leaf(1); 65], &leaf(0)).is_err());
}

#[test]
fn a_consistency_proof_of_anything_else_is_refused() {
    let tiles = Tiles::new(21);
    for new in 0..=21 {
        let Ok(new_root) = root(new, &tiles);
        for old in 0..=new {
            let Ok(old_root) = root(old, &tiles);
            let Ok(proof) = consistency_proof(old, new, &tiles);
            let refused = |old, new, old_root: Hash, new_root: Hash, proof: &[Hash]| {
                assert!(
                    verify_consistency(old, new, &old_root, &new_root, proof).is_err(),
                    "{old} to {new}"
                );
            };
            refused(old, new, leaf(99), new_root, &proof);
            if old > 0 {
                refused(old, new, old_root, leaf(99), &proof);
                refused(new + 1, new, old_root, new_root, &proof);
                // A tree of so many leaves is higher: its proof would go on.
                refused(old, 4 * new, old_root, new_root, &proof);
            }
            for at in 0..proof.len() {
                let mut changed = proof.clone();
                changed[at].0[0] ^= 0x80;
                refused(old, new, old_root, new_root, &changed);
                refused(old, new, old_root, new_root, &proof[..at]);
            }
            refused(old, new, old_root, new_root, &[&proof[..], &[leaf(0)]].concat());
        }
    }
}

#[test]
#[should_panic(expected = "a leaf that is proved is in the tree")]
fn a_leaf_past_the_end_cannot_be_proved() {
    let _ = inclusion_proof(5, 5, &Tiles::new(5));
}

#[test]
#[should_panic(expected = "a tree does not shrink")]
fn a_smaller_tree_cannot_be_proved() {
    let _ = consistency_proof(6, 5, &Tiles::new(6));
}

//! The right edge of the growing tree, in memory: the root of what there is, and all hashes that a proof of one of the
//! newest entries is made of, so that whoever waits for one reads and hashes nothing.

use std::collections::VecDeque;

use quipu_format::{
    Hash,
    tree::{Frontier, node_hash},
};

/// Leaves back from the newest whose proofs need no other hashes. All rows together take twice as many hashes, 256 KiB.
const LEAVES: usize = 4_096;

/// Roots of complete subtrees: row `h` has the newest of those over 2^h leaves, the last of them at its back.
#[derive(Default)]
pub(crate) struct Edge {
    size: u64,
    rows: Vec<VecDeque<Hash>>,
}

impl Edge {
    /// Of a tree that goes on from there; what came before is not known.
    pub(crate) fn new(frontier: &Frontier) -> Self {
        let mut roots = frontier.roots().iter().rev();
        let heights = 0..u64::BITS - frontier.size().leading_zeros();
        let rows = heights.map(|height| match frontier.size() >> height & 1 {
            0 => VecDeque::new(),
            _ => roots.next().copied().into_iter().collect(),
        });
        Self {
            size: frontier.size(),
            rows: rows.collect(),
        }
    }

    /// Number of leaves.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for height in 0.. {
            if height == self.rows.len() {
                self.rows.push(VecDeque::new());
            }
            let row = &mut self.rows[height];
            let left = row.back().copied();
            row.push_back(hash);
            if row.len() > (LEAVES >> height) + 3 {
                row.pop_front();
            }
            // A node that is alone in its pair waits for the other.
            let Some(left) = left.filter(|_| self.size >> height & 1 == 1) else {
                break;
            };
            hash = node_hash(&left, &hash);
        }
        self.size += 1;
    }

    /// Root of the tree as it is now.
    pub(crate) fn root(&self) -> Hash {
        let alone = self.rows.iter().enumerate();
        let alone = alone.filter(|(height, _)| self.size >> height & 1 == 1);
        alone
            .filter_map(|(_, row)| row.back().copied())
            .reduce(|right, left| node_hash(&left, &right))
            .unwrap_or_else(Hash::of_nothing)
    }

    /// The node over 2^height leaves at this index among those of its height, if it is known here.
    pub(crate) fn node(&self, height: u32, index: u64) -> Option<Hash> {
        let row = self.rows.get(height as usize)?;
        let behind = (self.size >> height).checked_sub(index.checked_add(1)?)?;
        let at = row.len().checked_sub(usize::try_from(behind).ok()?.checked_add(1)?)?;
        row.get(at).copied()
    }
}

#[cfg(test)]
mod tests {
    use quipu_format::{
        leaf_hash,
        tree::{self, TileHashes},
    };

    use super::*;

    /// All leaves of a tree, to hash it from.
    struct Leaves(Vec<Hash>);

    impl TileHashes for Leaves {
        type Error = String;

        fn read(&self, level: u8, first: u64, count: usize) -> Result<Vec<Hash>, String> {
            let width = 256_usize.pow(u32::from(level));
            let tiles = self.0.chunks(width).skip(first as usize).take(count);
            Ok(tiles.map(tree::subtree_root).collect())
        }
    }

    /// An edge and nothing else.
    struct Alone<'a>(&'a Edge);

    impl TileHashes for Alone<'_> {
        type Error = String;

        fn read(&self, level: u8, first: u64, count: usize) -> Result<Vec<Hash>, String> {
            Err(format!("level {level}, {count} from {first} on"))
        }

        fn complete(&self, height: u32, index: u64) -> Result<Hash, String> {
            let unknown = || format!("height {height}, {index}");
            self.0.node(height, index).ok_or_else(unknown)
        }
    }

    fn leaf(at: u64) -> Hash {
        leaf_hash(&at.to_be_bytes())
    }

    #[test]
    fn the_newest_entries_are_proved_from_memory_wherever_it_began() {
        for begin in [0, 1, 2, 255, 256, 300, 700] {
            let mut leaves = Leaves((0..begin).map(leaf).collect());
            let mut edge = Edge::new(&tree::frontier(begin, &leaves).unwrap());
            for at in begin..begin + 600 {
                assert_eq!(edge.root(), tree::root(at, &leaves).unwrap(), "{at} from {begin} on");
                leaves.0.push(leaf(at));
                edge.push(leaf(at));
                let size = at + 1;
                assert_eq!(edge.size(), size);
                for index in [at, at - (at - begin) / 2, begin] {
                    let proof = tree::inclusion_proof(size, index, &Alone(&edge)).unwrap();
                    assert_eq!(
                        proof,
                        tree::inclusion_proof(size, index, &leaves).unwrap(),
                        "{index} of {size}"
                    );
                }
            }
        }
    }

    /// Whoever is slow asks for a proof in a tree that has grown since.
    #[test]
    fn a_smaller_tree_is_proved_as_well_and_what_is_not_known_is_not_made_up() {
        let size = 3 * LEAVES as u64 + 77;
        let leaves = Leaves((0..size).map(leaf).collect());
        let mut edge = Edge::default();
        leaves.0.iter().for_each(|leaf| edge.push(*leaf));
        let kept: usize = edge.rows.iter().map(VecDeque::len).sum();
        assert!(kept <= 2 * LEAVES + 4 * 64, "{kept} hashes are kept");
        for back in [1, 2, 77, 1_000, LEAVES as u64] {
            let proof = tree::inclusion_proof(size - 1, size - 1 - back, &Alone(&edge)).unwrap();
            let wanted = tree::inclusion_proof(size - 1, size - 1 - back, &leaves).unwrap();
            assert_eq!(proof, wanted, "{back} leaves back");
        }
        assert!(tree::inclusion_proof(size, 0, &Alone(&edge)).is_err());
        for height in 0..70 {
            let count = size.checked_shr(height).unwrap_or(0);
            for index in [0, count / 2, count.saturating_sub(1), count, count + 1, u64::MAX] {
                let known = edge.node(height, index);
                assert!(index < count || known.is_none(), "height {height}, {index}");
            }
        }
    }
}

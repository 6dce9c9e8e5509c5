//! The Merkle tree over all entries (RFC 6962, section 2.1), its proofs, and its hash tiles (C2SP `tlog-tiles`).

use sha2::block_api::compress256;

use crate::{Error, Hash, Result, blocks};

/// Hashes in a full tile, and the leaves below one hash of the next level.
pub const TILE_WIDTH: usize = 256;
/// Levels of the tree that one level of tiles spans.
const TILE_HEIGHT: u32 = 8;

/// Hash of a node above the leaves: SHA-256(01 ‖ left ‖ right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    // 65 bytes are two blocks, one byte of which is in the second.
    const BITS: u16 = 65 * 8;
    let mut both = [[0; blocks::BYTES]; 2];
    let [first, last] = &mut both;
    first[0] = 1;
    first[1..33].copy_from_slice(&left.0);
    first[33..].copy_from_slice(&right.0[..31]);
    (last[0], last[1]) = (right.0[31], blocks::END);
    last[blocks::BYTES - 2..].copy_from_slice(&BITS.to_be_bytes());
    let mut state = blocks::START;
    compress256(&mut state, &both);
    let mut hash = Hash([0; 32]);
    blocks::put_words(&state, &mut hash.0);
    hash
}

/// Root of a complete subtree over these hashes.
///
/// # Panics
/// If their number is not a power of two.
pub fn subtree_root(hashes: &[Hash]) -> Hash {
    assert!(
        hashes.len().is_power_of_two(),
        "a complete subtree has a power of two of hashes"
    );
    match hashes {
        [hash] => *hash,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            node_hash(&subtree_root(left), &subtree_root(right))
        }
    }
}

/// The right edge of a growing tree: all that is needed to append leaves and to know the root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    /// Roots of the complete subtrees that the tree is made of, the largest first: one for each bit set in `size`.
    roots: Vec<Hash>,
}

impl Frontier {
    /// The empty tree's.
    pub fn new() -> Self {
        Self::default()
    }

    /// What [`size`](Self::size) and [`roots`](Self::roots) gave. Whether it is the right one shows when its
    /// [`root`](Self::root) is compared with a signed one.
    pub fn from_parts(size: u64, roots: Vec<Hash>) -> Result<Self> {
        if roots.len() != size.count_ones() as usize {
            return Err(Error::new(format!(
                "a tree of {size} leaves has {} roots, not {}",
                size.count_ones(),
                roots.len()
            )));
        }
        Ok(Self { size, roots })
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the complete subtrees that the tree is made of, the largest first.
    pub fn roots(&self) -> &[Hash] {
        &self.roots
    }

    /// Appends a leaf, by its hash.
    pub fn push(&mut self, leaf: Hash) {
        self.push_seen(leaf, |_, _| {});
    }

    /// The same, and gives `see` the root of each complete subtree that ends with the leaf, and its height: the leaf itself
    /// at 0, the largest last.
    pub fn push_seen(&mut self, leaf: Hash, mut see: impl FnMut(u32, Hash)) {
        let mut hash = leaf;
        see(0, hash);
        for below in 0..self.size.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                hash = node_hash(&left, &hash);
                see(below + 1, hash);
            }
        }
        self.roots.push(hash);
        self.size += 1;
    }

    /// Root of the tree as it is now.
    pub fn root(&self) -> Hash {
        join(self.roots.iter().copied())
    }
}

/// Where the tree's hashes are read from.
pub trait TileHashes {
    /// Why a hash could not be read.
    type Error;

    /// Reads exactly `count` hashes of a tile level, from the one at `first` on. Hash `i` of level `L` is the root of the
    /// complete subtree over the leaves from `i × 256^L` to `(i + 1) × 256^L`. What is asked for lies within one tile,
    /// and is complete in a tree of the size that a proof is made for.
    fn read(&self, level: u8, first: u64, count: usize) -> std::result::Result<Vec<Hash>, Self::Error>;

    /// Root of the complete subtree over 2^height leaves at this index among those of its height: made of a tile's hashes,
    /// unless whoever has it says so here.
    fn complete(&self, height: u32, index: u64) -> std::result::Result<Hash, Self::Error> {
        let above = height % TILE_HEIGHT;
        let hashes = self.read((height / TILE_HEIGHT) as u8, index << above, 1 << above)?;
        assert_eq!(
            hashes.len(),
            1 << above,
            "a tile gives as many hashes as were asked for"
        );
        Ok(subtree_root(&hashes))
    }
}

/// Root of the tree's first `size` leaves.
pub fn root<T: TileHashes>(size: u64, tiles: &T) -> std::result::Result<Hash, T::Error> {
    range_root(0, size, tiles)
}

/// Proof that leaf `index` is in the tree of `size` leaves (RFC 6962, 2.1.1), the lowest hash first.
///
/// # Panics
/// If `index` is not below `size`.
pub fn inclusion_proof<T: TileHashes>(size: u64, index: u64, tiles: &T) -> std::result::Result<Vec<Hash>, T::Error> {
    assert!(index < size, "a leaf that is proved is in the tree");
    let (mut from, mut to) = (0, size);
    let mut proof = Vec::new();
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            proof.push(range_root(middle, to, tiles)?);
            to = middle;
        } else {
            proof.push(range_root(from, middle, tiles)?);
            from = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// Proof that the tree of `new` leaves begins with the tree of `old` leaves (RFC 6962, 2.1.2). It is empty if they are
/// equal or if `old` is 0.
///
/// # Panics
/// If `old` is above `new`.
pub fn consistency_proof<T: TileHashes>(old: u64, new: u64, tiles: &T) -> std::result::Result<Vec<Hash>, T::Error> {
    assert!(old <= new, "a tree does not shrink");
    let (mut from, mut to) = (0, new);
    let mut proof = Vec::new();
    if old == 0 {
        return Ok(proof);
    }
    while to != old {
        let middle = from + split(to - from);
        if old <= middle {
            proof.push(range_root(middle, to, tiles)?);
            to = middle;
        } else {
            proof.push(range_root(from, middle, tiles)?);
            from = middle;
        }
    }
    if from != 0 {
        proof.push(range_root(from, to, tiles)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Checks that `leaf` is leaf `index` of the tree with this size and root (RFC 9162, 2.1.3.2).
pub fn verify_inclusion(size: u64, index: u64, leaf: &Hash, proof: &[Hash], root: &Hash) -> Result<()> {
    let refused = || {
        Error::new(format!(
            "the proof does not show leaf {index} in the tree of {size} leaves"
        ))
    };
    let Some(mut last) = size.checked_sub(1).filter(|&last| index <= last) else {
        return Err(refused());
    };
    let mut node = index;
    let mut hash = *leaf;
    for other in proof {
        if last == 0 {
            return Err(refused());
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(other, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, other);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 && hash == *root {
        Ok(())
    } else {
        Err(refused())
    }
}

/// Checks that the tree with the new size and root begins with the old one (RFC 9162, 2.1.4.2).
pub fn verify_consistency(old: u64, new: u64, old_root: &Hash, new_root: &Hash, proof: &[Hash]) -> Result<()> {
    let refused = || {
        Error::new(format!(
            "the proof does not show the tree of {new} leaves to begin with that of {old}"
        ))
    };
    let ok = |yes: bool| if yes { Ok(()) } else { Err(refused()) };
    if old > new {
        return Err(refused());
    }
    if old == 0 {
        return ok(proof.is_empty() && *old_root == Hash::of_nothing());
    }
    if old == new {
        return ok(proof.is_empty() && old_root == new_root);
    }
    let (seed, rest) = if old.is_power_of_two() {
        (old_root, proof)
    } else {
        let (first, rest) = proof.split_first().ok_or_else(refused)?;
        (first, rest)
    };
    let shift = (old - 1).trailing_ones();
    let (mut node, mut last) = ((old - 1) >> shift, (new - 1) >> shift);
    let (mut old_hash, mut new_hash) = (*seed, *seed);
    for other in rest {
        if last == 0 {
            return Err(refused());
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(other, &old_hash);
            new_hash = node_hash(other, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, other);
        }
        node >>= 1;
        last >>= 1;
    }
    ok(last == 0 && old_hash == *old_root && new_hash == *new_root)
}

/// The right edge of the tree's first `size` leaves, to go on from.
pub fn frontier<T: TileHashes>(size: u64, tiles: &T) -> std::result::Result<Frontier, T::Error> {
    let roots = range_roots(0, size, tiles)?;
    Ok(Frontier { size, roots })
}

/// Root over the leaves `from..to`, where `from` is a multiple of the largest complete subtree in between.
fn range_root<T: TileHashes>(from: u64, to: u64, tiles: &T) -> std::result::Result<Hash, T::Error> {
    Ok(join(range_roots(from, to, tiles)?.into_iter()))
}

/// Roots of the complete subtrees that `from..to` is made of, the largest first.
fn range_roots<T: TileHashes>(from: u64, to: u64, tiles: &T) -> std::result::Result<Vec<Hash>, T::Error> {
    let mut roots = Vec::new();
    let mut at = from;
    while at < to {
        let height = (to - at).ilog2();
        roots.push(tiles.complete(height, at >> height)?);
        at += 1 << height;
    }
    Ok(roots)
}

/// Root over complete subtrees, the largest first.
fn join(roots: impl DoubleEndedIterator<Item = Hash>) -> Hash {
    roots
        .rev()
        .reduce(|right, left| node_hash(&left, &right))
        .unwrap_or_else(Hash::of_nothing)
}

/// The largest power of two below `leaves`, which is at least 2.
fn split(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_the_hash_of_one_and_both_sides() {
        for number in 0..100_u8 {
            let [left, right] = [[1, number], [number, 2]].map(|bytes| Hash::of(&[&bytes]));
            assert_eq!(node_hash(&left, &right), Hash::of(&[&[1], &left.0, &right.0]));
        }
    }

    #[test]
    fn every_complete_subtree_is_seen_once() {
        let leaves: Vec<Hash> = (0..200_u8).map(|number| Hash::of(&[&[number]])).collect();
        let (mut frontier, mut seen) = (Frontier::new(), vec![0; 9]);
        for leaf in &leaves {
            frontier.push_seen(*leaf, |height, hash| {
                let (width, number) = (1 << height, &mut seen[height as usize]);
                assert_eq!(hash, subtree_root(&leaves[*number * width..][..width]));
                *number += 1;
            });
        }
        assert_eq!(seen, [200, 100, 50, 25, 12, 6, 3, 1, 0]);
    }
}

// Long because all that may be done to a key tree, and its derivation.

use std::{fmt, ops::RangeInclusive};

use sha2::block_api::compress256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{Erasure, Error, Result, blocks, limits};

/// HKDF `info` that turns a node's secret into its two children's: 64 bytes, left ‖ right.
const CHILDREN: &[u8] = b"quipu 1 children";
/// HKDF `info` that turns a leaf's secret into the entry's: 64 bytes, salt ‖ key.
const ENTRY: &[u8] = b"quipu 1 entry";
/// Depth of the leaves: one for each value of an `nth`.
const LEAF_DEPTH: u8 = 32;

/// What seals one entry's body, derived from the scope's [`KeyTree`] and never stored.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct EntrySecret {
    /// Hides the plaintext in the commitment.
    pub salt: [u8; 32],
    /// The AES-256-GCM key.
    pub key: [u8; 32],
}

impl fmt::Debug for EntrySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntrySecret").finish_non_exhaustive()
    }
}

/// A node of a [`KeyTree`]: from its secret follow those of all leaves below it.
#[derive(Clone)]
pub struct KeyNode {
    /// Distance from the root, 0 to 32.
    pub depth: u8,
    /// The `depth` first bits of every `nth` below it, right-aligned; 0 at depth 0.
    pub index: u32,
    /// Boxed, so that moving a node leaves no copy of its secret behind.
    secret: Box<[u8; 32]>,
}

impl KeyNode {
    /// A node as a key file holds it. Whether its depth and index can be is checked by [`KeyTree::from_nodes`].
    pub fn new(depth: u8, index: u32, secret: [u8; 32]) -> Self {
        Self {
            depth,
            index,
            secret: Box::new(secret),
        }
    }

    /// The secret.
    pub fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// The first `nth` below it.
    fn first(&self) -> u32 {
        self.index.checked_shl(u32::from(LEAF_DEPTH - self.depth)).unwrap_or(0)
    }

    /// The last `nth` below it.
    fn last(&self) -> u32 {
        self.first() | u32::MAX.checked_shr(u32::from(self.depth)).unwrap_or(0)
    }

    fn children(&self) -> [Self; 2] {
        let mut pair = Pair::default();
        expand(&self.secret, CHILDREN, &mut pair);
        [0, 1].map(|bit| Self {
            depth: self.depth + 1,
            index: self.index << 1 | bit,
            secret: Box::new(*half(&pair, bit)),
        })
    }

    /// Appends to `kept` the nodes that cover what is below this one and outside the ranges.
    fn keep_outside(self, ranges: &[[u32; 2]], kept: &mut Vec<Self>) {
        match within(ranges, self.first(), self.last()) {
            Within::Nothing => kept.push(self),
            Within::All => {}
            Within::Some(ranges) => {
                for child in self.children() {
                    child.keep_outside(ranges, kept);
                }
            }
        }
    }
}

impl Drop for KeyNode {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl fmt::Debug for KeyNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyNode")
            .field("depth", &self.depth)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

/// The secrets of one scope's entries, as a tree that can be punctured (the construction of Goldreich, Goldwasser and
/// Micali): a node's secret gives its children's by HKDF-Expand, leaf `nth` gives the [`EntrySecret`], and an erasure
/// replaces a node by those of its descendants that avoid the erased leaves.
///
/// Secrets are overwritten in memory when dropped, and never printed.
#[derive(Debug, Clone)]
pub struct KeyTree {
    /// Disjoint, sorted by first leaf.
    nodes: Vec<KeyNode>,
}

impl KeyTree {
    /// The whole tree under a random root secret.
    pub fn new(root: [u8; 32]) -> Self {
        Self {
            nodes: vec![KeyNode::new(0, 0, root)],
        }
    }

    /// A tree all of which is erased.
    pub fn empty() -> Self {
        Self { nodes: Vec::new() }
    }

    /// The tree of which these nodes remain. Refuses a depth past 32, an index that its depth cannot hold, nodes that
    /// overlap or are not sorted, and more than [`limits::KEY_NODES`].
    pub fn from_nodes(nodes: Vec<KeyNode>) -> Result<Self> {
        check_count(nodes.len())?;
        for node in &nodes {
            if node.depth > LEAF_DEPTH || u64::from(node.index) >> node.depth != 0 {
                return Err(Error::new(format!(
                    "no key node has depth {} and index {}",
                    node.depth, node.index
                )));
            }
        }
        if let Some(i) = nodes
            .windows(2)
            .position(|pair| matches!(pair, [a, b] if a.last() >= b.first()))
        {
            return Err(Error::new(format!(
                "key nodes {i} and {} overlap or are out of order",
                i + 1
            )));
        }
        Ok(Self { nodes })
    }

    /// The nodes that remain, disjoint, sorted by first leaf.
    pub fn nodes(&self) -> &[KeyNode] {
        &self.nodes
    }

    /// Whether nothing of it has been erased.
    pub fn is_fresh(&self) -> bool {
        matches!(&*self.nodes, [node] if node.depth == 0)
    }

    /// The secret of entry `nth`, at the cost of up to 33 expansions; `None` if it is erased.
    pub fn secret(&self, nth: u32) -> Option<EntrySecret> {
        self.secret_via(nth, &mut KeyPath::default())
    }

    /// As [`secret`](Self::secret), starting from what `path` holds of the way to another entry: two expansions on the
    /// average where entries are taken in order, forwards or backwards.
    pub fn secret_via(&self, nth: u32, path: &mut KeyPath) -> Option<EntrySecret> {
        let node = self.covering(nth)?;
        Some(path.entry_secret(node, nth))
    }

    /// Destroys the secrets of these entries. Erasing again what is erased changes nothing. If more than
    /// [`limits::KEY_NODES`] would remain it is refused, and the tree is as it was.
    ///
    /// Drop every [`KeyPath`] of this tree afterwards: it may hold secrets of what was erased.
    pub fn puncture(&mut self, nths: RangeInclusive<u32>) -> Result<()> {
        if nths.is_empty() {
            return Ok(());
        }
        self.puncture_all(&[[*nths.start(), *nths.end()]])
    }

    /// As [`puncture`](Self::puncture), of many ranges: first and last `nth` of each, rising and apart.
    pub fn puncture_all(&mut self, ranges: &[[u32; 2]]) -> Result<()> {
        check_count(self.nodes_after(ranges))?;
        let mut kept = Vec::new();
        for node in std::mem::take(&mut self.nodes) {
            node.keep_outside(ranges, &mut kept);
        }
        self.nodes = kept;
        Ok(())
    }

    /// How many nodes would remain after [`puncture_all`](Self::puncture_all); nothing is derived.
    pub fn nodes_after(&self, ranges: &[[u32; 2]]) -> usize {
        let count = |node: &KeyNode| count_outside(ranges, node.first(), node.last());
        self.nodes.iter().map(count).sum()
    }

    /// Takes the secrets of entries from `next` on from another root. Those before stay.
    pub fn renew(&mut self, next: u32, root: [u8; 32]) -> Result<()> {
        let mut fresh = Self::new(root);
        if let Some(last) = next.checked_sub(1) {
            fresh.puncture(0..=last)?;
        }
        self.puncture(next..=u32::MAX)?;
        check_count(self.nodes.len() + fresh.nodes.len())?;
        self.nodes.append(&mut fresh.nodes);
        Ok(())
    }

    /// The stretches of a range whose secrets can be derived, rising and apart.
    pub fn held_within(&self, [first, last]: [u32; 2]) -> Vec<[u32; 2]> {
        let from = self.nodes.partition_point(|node| node.last() < first);
        let held = self.nodes[from..].iter().take_while(|node| node.first() <= last);
        Erasure::join(held.map(|node| [node.first().max(first), node.last().min(last)]))
    }

    /// Whether any secret of entries `first..=last` can be derived.
    pub fn holds_any(&self, first: u32, last: u32) -> bool {
        let at = self.nodes.partition_point(|node| node.last() < first);
        self.nodes.get(at).is_some_and(|node| node.first() <= last)
    }

    /// Whether the secret of entry `nth` can be derived.
    pub fn holds(&self, nth: u32) -> bool {
        self.covering(nth).is_some()
    }

    fn covering(&self, nth: u32) -> Option<&KeyNode> {
        let at = self.nodes.partition_point(|node| node.last() < nth);
        self.nodes.get(at).filter(|node| node.first() <= nth)
    }
}

/// The way to the last entry whose secret was asked for, so that the next one's costs less: at most 2 KiB of secrets,
/// overwritten when dropped. It never changes an answer: what does not fit the tree it is used with is not used.
#[derive(Default)]
pub struct KeyPath {
    /// The tree's node that the way starts from.
    start: Option<KeyNode>,
    /// The entry that it leads to.
    nth: u32,
    /// Both children of each node on the way, the start's first; those of ways before are left behind them, to be written
    /// over.
    pairs: Vec<Pair>,
    /// How many are on the way.
    known: usize,
    /// Kept, for overwriting it after each step would take as long as some of the hashing.
    scratch: Box<Scratch>,
}

impl KeyPath {
    /// The secret of entry `nth`, whose leaf is under `node`.
    fn entry_secret(&mut self, node: &KeyNode, nth: u32) -> EntrySecret {
        self.lead_to(node, nth);
        let leaf = match self.pairs[..self.known].last() {
            Some(pair) => half(pair, nth & 1),
            None => node.secret(),
        };
        let mut secret = EntrySecret {
            salt: [0; 32],
            key: [0; 32],
        };
        self.scratch.expand(leaf, ENTRY, [&mut secret.salt, &mut secret.key]);
        secret
    }

    /// Makes it the way to leaf `nth` under `node`, which covers it.
    fn lead_to(&mut self, node: &KeyNode, nth: u32) {
        let depth = usize::from(node.depth);
        match &self.start {
            Some(start) if start.depth == node.depth && start.secret == node.secret => {
                // The node at depth d is on both ways, and its pair of use, if the first d bits agree.
                let agree = (self.nth ^ nth).leading_zeros() as usize;
                self.known = self.known.min((agree + 1).saturating_sub(depth));
            }
            _ => {
                self.known = 0;
                // What follows from a node that is no longer asked may have been erased.
                self.pairs.clear();
                // Once and for all, so that growing leaves no copies behind.
                self.pairs.reserve_exact(usize::from(LEAF_DEPTH) - self.pairs.len());
                self.start = Some(node.clone());
            }
        }
        self.nth = nth;
        let bit = |depth: usize| (nth >> (usize::from(LEAF_DEPTH) - depth)) & 1;
        for depth in depth + self.known..usize::from(LEAF_DEPTH) {
            if self.known == self.pairs.len() {
                self.pairs.push(Pair::default());
            }
            let (above, below) = self.pairs.split_at_mut(self.known);
            if let Some(pair) = below.first_mut() {
                let parent = above.last().map_or(node.secret(), |pair| half(pair, bit(depth)));
                self.scratch.expand(parent, CHILDREN, pair.each_mut());
            }
            self.known += 1;
        }
    }
}

impl fmt::Debug for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPath").finish_non_exhaustive()
    }
}

pub(crate) type Pair = Zeroizing<[[u8; 32]; 2]>;

/// HKDF-Expand with SHA-256 (RFC 5869, 2.3) to 64 bytes.
pub(crate) fn expand(secret: &[u8; 32], label: &[u8], pair: &mut Pair) {
    Scratch::default().expand(secret, label, pair.each_mut());
}

/// Room to expand in. All of it follows from the secret, and it is overwritten when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
struct Scratch {
    block: [u8; blocks::BYTES],
    /// The last block of an outer digest, whose first half changes.
    last: [u8; blocks::BYTES],
    inner: [u32; 8],
    outer: [u32; 8],
    state: [u32; 8],
}

impl Default for Scratch {
    fn default() -> Self {
        let mut last = [0; blocks::BYTES];
        end(&mut last, 32);
        Self {
            block: [0; blocks::BYTES],
            last,
            inner: blocks::START,
            outer: blocks::START,
            state: blocks::START,
        }
    }
}

impl Scratch {
    /// By SHA-256's compression function: a label this short, at most 22 bytes, fits one block with all that HMAC (RFC 2104)
    /// adds, and most of the time of opening entries in order goes here.
    fn expand(&mut self, secret: &[u8; 32], label: &[u8], pair: [&mut [u8; 32]; 2]) {
        let Self {
            block,
            last,
            inner,
            outer,
            state,
        } = self;
        *block = [INNER_PAD; blocks::BYTES];
        block.iter_mut().zip(secret).for_each(|(byte, secret)| *byte ^= secret);
        *inner = blocks::START;
        compress256(inner, std::slice::from_ref(block));
        block.iter_mut().for_each(|byte| *byte ^= INNER_PAD ^ OUTER_PAD);
        *outer = blocks::START;
        compress256(outer, std::slice::from_ref(block));
        let mut before: &[u8] = &[];
        for (number, half) in (1..).zip(pair) {
            // What came out before ‖ label ‖ number.
            *block = [0; blocks::BYTES];
            let (length, labelled) = (before.len() + label.len() + 1, &mut block[before.len()..]);
            labelled[..label.len()].copy_from_slice(label);
            labelled[label.len()] = number;
            block[..before.len()].copy_from_slice(before);
            end(block, length);
            *state = *inner;
            compress256(state, std::slice::from_ref(block));
            blocks::put_words(state, &mut last[..32]);
            *state = *outer;
            compress256(state, std::slice::from_ref(last));
            blocks::put_words(state, half);
            before = half;
        }
    }
}

/// Ends a digest of one block and this one, of which `length` bytes are the last.
fn end(block: &mut [u8; blocks::BYTES], length: usize) {
    let bits = 8 * (blocks::BYTES + length) as u64;
    block[length] = blocks::END;
    block[blocks::BYTES - 8..].copy_from_slice(&bits.to_be_bytes());
}

const INNER_PAD: u8 = 0x36;
const OUTER_PAD: u8 = 0x5c;

fn half(pair: &Pair, bit: u32) -> &[u8; 32] {
    let [left, right] = &**pair;
    if bit == 0 { left } else { right }
}

/// What of the leaves `first..=last` lies in ranges that rise and are apart.
enum Within<'a> {
    Nothing,
    All,
    /// A part: these touch it.
    Some(&'a [[u32; 2]]),
}

fn within(ranges: &[[u32; 2]], first: u32, last: u32) -> Within<'_> {
    let from = ranges.partition_point(|range| range[1] < first);
    let to = ranges.partition_point(|range| range[0] <= last);
    match ranges.get(from..to) {
        None | Some([]) => Within::Nothing,
        Some([[start, end]]) if *start <= first && last <= *end => Within::All,
        Some(touching) => Within::Some(touching),
    }
}

/// Nodes that cover what of `first..=last`, the leaves of a node, is outside the ranges.
fn count_outside(ranges: &[[u32; 2]], first: u32, last: u32) -> usize {
    match within(ranges, first, last) {
        Within::Nothing => 1,
        Within::All => 0,
        Within::Some(ranges) => {
            let middle = first + (last - first) / 2;
            count_outside(ranges, first, middle) + count_outside(ranges, middle + 1, last)
        }
    }
}

fn check_count(nodes: usize) -> Result<()> {
    if nodes > limits::KEY_NODES {
        return Err(Error::new(format!(
            "{nodes} key nodes of one scope would remain; the most is {}: erase in longer ranges",
            limits::KEY_NODES
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use hkdf::Hkdf;
    use proptest::prelude::*;
    use sha2::Sha256;

    use super::*;

    proptest! {
        #[test]
        fn expanding_is_hkdfs(secret: [u8; 32], label in prop::collection::vec(any::<u8>(), 0..=22)) {
            let (mut ours, mut theirs) = (Pair::default(), [0; 64]);
            expand(&secret, &label, &mut ours);
            Hkdf::<Sha256>::from_prk(&secret).unwrap().expand(&label, &mut theirs).unwrap();
            prop_assert_eq!(ours.as_flattened(), theirs);
        }
    }
}

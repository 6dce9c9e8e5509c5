//! The tree of scopes: where every scope of a ledger stands, under one hash. A binary prefix tree keyed by SHA-256 of the
//! scope's name, whose leaves hold the scope's number of entries and the leaf hash of its last one. docs/FORMAT.md,
//! "Scopes".
//!
//! A subtree without scopes is [`Hash::of_nothing`], one with a single scope is that scope's leaf, and one with more is a
//! node over its two halves. So the shape depends on which scopes there are, and not on the order in which they came,
//! and each key leads to one place: a root cannot both hold a scope and lack it.

use serde::{Deserialize, Serialize};

use crate::{Error, Hash, Result, Scope};

const LEAF: &[u8] = b"quipu 1 scope leaf";
const NODE: &[u8] = b"quipu 1 scope node";
/// Bits of a key, and so hashes of a path, at most.
const KEY_BITS: usize = 256;

/// Where a scope stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeState {
    /// Entries in it, from 1.
    pub count: u32,
    /// Leaf hash of the last one.
    pub last: Hash,
}

/// A scope's key in the tree: SHA-256 of its name.
pub fn scope_key(scope: &Scope) -> Hash {
    Hash::of(&[scope.as_str().as_bytes()])
}

/// The tree, held whole: about 150 bytes a scope, and up to twice that while it grows. Only what has changed since the
/// last [`root`](Self::root) is hashed again.
#[derive(Debug, Default)]
pub struct ScopeTree {
    leaves: Vec<Leaf>,
    nodes: Vec<Node>,
    top: Link,
}

#[derive(Debug, Clone, Copy)]
struct Leaf {
    key: Hash,
    state: ScopeState,
}

#[derive(Debug)]
struct Node {
    /// As it was before something below it changed, where it is stale.
    hash: Hash,
    children: [Link; 2],
    stale: bool,
}

/// What stands in a place of the tree.
#[derive(Debug, Clone, Copy, Default)]
enum Link {
    #[default]
    Nothing,
    Leaf(u32),
    Node(u32),
}

impl ScopeTree {
    /// Scopes in it.
    pub fn len(&self) -> usize {
        self.leaves.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        self.leaves.capacity() * size_of::<Leaf>() + self.nodes.capacity() * size_of::<Node>()
    }

    /// Says where the scope of that key stands now.
    pub fn set(&mut self, key: Hash, state: ScopeState) {
        let mut place = None;
        for depth in 0..=KEY_BITS {
            match self.at(place) {
                Link::Nothing => {
                    let leaf = self.add(key, state);
                    return self.put(place, leaf);
                }
                Link::Leaf(number) if self.leaf(number).key == key => {
                    self.leaves[number as usize].state = state;
                    return;
                }
                // Two keys that have come here part further down, for they differ in some bit.
                Link::Leaf(number) => {
                    let mut children = [Link::Nothing; 2];
                    children[bit(&self.leaf(number).key, depth)] = Link::Leaf(number);
                    self.nodes.push(Node {
                        hash: Hash::of_nothing(),
                        children,
                        stale: true,
                    });
                    let node = self.nodes.len() as u32 - 1;
                    self.put(place, Link::Node(node));
                    place = Some((node, bit(&key, depth)));
                }
                Link::Node(node) => {
                    self.nodes[node as usize].stale = true;
                    place = Some((node, bit(&key, depth)));
                }
            }
        }
    }

    /// The hash over all scopes; [`Hash::of_nothing`] where there is none.
    pub fn root(&mut self) -> Hash {
        self.hash(self.top)
    }

    /// What proves where the scope of that key stands under [`root`](Self::root), or that it has no entry.
    pub fn path(&mut self, key: &Hash) -> ScopePath {
        let mut hashes = Vec::new();
        let mut link = self.top;
        loop {
            let end = match link {
                Link::Nothing => PathEnd::Nothing,
                Link::Leaf(number) => {
                    let Leaf { key: found, state } = *self.leaf(number);
                    if found == *key {
                        PathEnd::This(state)
                    } else {
                        PathEnd::Other { key: found, state }
                    }
                }
                Link::Node(node) => {
                    let children = self.nodes[node as usize].children;
                    let side = bit(key, hashes.len());
                    hashes.push(self.hash(children[1 - side]));
                    link = children[side];
                    continue;
                }
            };
            hashes.reverse();
            return ScopePath { end, hashes };
        }
    }

    fn leaf(&self, number: u32) -> &Leaf {
        &self.leaves[number as usize]
    }

    fn at(&self, place: Option<(u32, usize)>) -> Link {
        place.map_or(self.top, |(node, side)| self.nodes[node as usize].children[side])
    }

    fn put(&mut self, place: Option<(u32, usize)>, link: Link) {
        match place {
            None => self.top = link,
            Some((node, side)) => self.nodes[node as usize].children[side] = link,
        }
    }

    fn add(&mut self, key: Hash, state: ScopeState) -> Link {
        self.leaves.push(Leaf { key, state });
        Link::Leaf(self.leaves.len() as u32 - 1)
    }

    fn hash(&mut self, link: Link) -> Hash {
        match link {
            Link::Nothing => Hash::of_nothing(),
            Link::Leaf(number) => {
                let Leaf { key, state } = self.leaf(number);
                leaf_hash(key, state)
            }
            Link::Node(node) => {
                let Node { hash, children, stale } = self.nodes[node as usize];
                if !stale {
                    return hash;
                }
                let hash = node_hash(&self.hash(children[0]), &self.hash(children[1]));
                let node = &mut self.nodes[node as usize];
                (node.hash, node.stale) = (hash, false);
                hash
            }
        }
    }
}

/// The way from a scope's place up to the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopePath {
    /// What stands in that place.
    pub end: PathEnd,
    /// The hash beside each step, that place's own neighbour first; at most 256.
    pub hashes: Vec<Hash>,
}

/// What stands where a scope's key leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PathEnd {
    /// The scope.
    This(ScopeState),
    /// Nothing: the scope has no entry.
    Nothing,
    /// Another scope, alone below this place: the scope has no entry.
    Other {
        /// The other's key.
        key: Hash,
        /// Where the other stands.
        state: ScopeState,
    },
}

impl ScopePath {
    /// Where the scope stands under `root`. None: it has no entry.
    ///
    /// # Errors
    /// The path does not lead from the scope's place to that root.
    pub fn verify(&self, key: &Hash, root: &Hash) -> Result<Option<ScopeState>> {
        let depth = self.hashes.len();
        if depth > KEY_BITS {
            return Err(Error::new(format!("a path of {depth} hashes; at most {KEY_BITS} fit")));
        }
        let (mut hash, found) = match &self.end {
            PathEnd::This(state) => (leaf_hash(key, state), Some(*state)),
            PathEnd::Nothing => (Hash::of_nothing(), None),
            PathEnd::Other { key: other, state } => {
                if other == key {
                    return Err(Error::new("the scope that is said to stand in its place is this one"));
                }
                (leaf_hash(other, state), None)
            }
        };
        if found.is_some_and(|state| state.count == 0) {
            return Err(Error::new("a scope that is in the tree has at least one entry"));
        }
        for (step, beside) in self.hashes.iter().enumerate() {
            hash = match bit(key, depth - 1 - step) {
                0 => node_hash(&hash, beside),
                _ => node_hash(beside, &hash),
            };
        }
        if hash != *root {
            return Err(Error::new(
                "the path from the scope does not lead to the root of scopes",
            ));
        }
        Ok(found)
    }
}

fn leaf_hash(key: &Hash, state: &ScopeState) -> Hash {
    Hash::of(&[LEAF, &key.0, &state.count.to_be_bytes(), &state.last.0])
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Hash::of(&[NODE, &left.0, &right.0])
}

/// Bit `at` of a key, the most significant of its first byte being 0.
fn bit(key: &Hash, at: usize) -> usize {
    usize::from(key.0[at / 8] >> (7 - at % 8) & 1)
}

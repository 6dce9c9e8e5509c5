//! Opening the body of an entry that stands in a segment.

use quipu_format::{Body, Hash, KeyPath, KeyTree, Line, Scope};

use crate::keyfile::Keys;

/// What became of a body.
#[derive(Clone)]
pub(crate) enum Opened {
    Intact,
    /// There are no keys.
    Sealed,
    /// The keys have no record of the scope.
    Unknown,
    /// Its secret is gone: it was erased, or somebody destroyed the key.
    Gone,
    Bad(String),
}

/// What there is to open a scope's bodies with.
#[derive(Clone, Copy)]
pub(crate) enum With<'k> {
    /// There are no keys.
    Nothing,
    /// They have no record of the scope.
    OtherScopes,
    Tree(&'k KeyTree),
}

impl<'k> With<'k> {
    pub(crate) fn of(keys: Option<&'k Keys>, scope: &Scope) -> Self {
        match keys.map(|keys| keys.trees.get(scope)) {
            None => Self::Nothing,
            Some(None) => Self::OtherScopes,
            Some(Some(tree)) => Self::Tree(tree),
        }
    }
}

/// Opens an entry's body and checks that it is what the envelope commits to: the entry's scope, place in it and
/// commitment. `path` is the way to another entry of the scope, and `room` is for the body.
pub(crate) fn opened(
    with: With<'_>,
    path: &mut KeyPath,
    line: &Line<'_>,
    (scope, nth, commitment): (&Scope, u32, &Hash),
    room: &mut Vec<u8>,
) -> Opened {
    if let Err(e) = line.sealed_into(room) {
        return Opened::Bad(e.to_string());
    }
    let tree = match with {
        With::Nothing => return Opened::Sealed,
        With::OtherScopes => return Opened::Unknown,
        With::Tree(tree) => tree,
    };
    let Some(secret) = tree.secret_via(nth, path) else {
        return Opened::Gone;
    };
    let plaintext = quipu_format::open_in_place(&secret, scope, nth, commitment, room);
    match plaintext.and_then(|()| Body::check_plaintext(room)) {
        Ok(()) => Opened::Intact,
        Err(e) => Opened::Bad(e.to_string()),
    }
}

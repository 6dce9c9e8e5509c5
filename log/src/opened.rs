//! Opening the body of an entry that stands in a segment.

use quipu_format::{Body, Envelope};

use crate::{keyfile::Keys, lines::Found, reader::KeyPaths};

/// What became of a body.
pub(crate) enum Opened {
    Intact,
    /// There are no keys.
    Sealed,
    /// The keys have no record of the scope.
    Unknown,
    Bad(String),
}

/// Opens an entry's body and checks that it is what the envelope commits to.
pub(crate) fn opened(keys: Option<&Keys>, paths: &mut KeyPaths, found: &Found<'_>) -> Opened {
    let Envelope { scope, nth, body, .. } = &found.envelope;
    let sealed = match found.line.sealed_bytes() {
        Ok(sealed) => sealed,
        Err(e) => return Opened::Bad(e.to_string()),
    };
    let Some(keys) = keys else {
        return Opened::Sealed;
    };
    if !keys.trees.contains_key(scope) {
        return Opened::Unknown;
    }
    let Some(secret) = keys.secret_via(scope, *nth, paths.of(scope)) else {
        return Opened::Bad("its secret is gone, and no erasure says so".into());
    };
    let plaintext = quipu_format::open(&secret, scope, *nth, body, &sealed);
    match plaintext.and_then(|plaintext| Body::parse(&plaintext)) {
        Ok(_) => Opened::Intact,
        Err(e) => Opened::Bad(e.to_string()),
    }
}

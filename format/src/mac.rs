use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::Hash;

/// HMAC-SHA-256 (RFC 2104) of `bytes` under the ledger's secret: what is kept beside the log and must not be believed
/// from anybody's hand carries one. Its text never begins as an idempotency key's does, which begins with a scope.
pub fn authenticate(ledger_secret: &[u8; 32], bytes: &[u8]) -> Hash {
    let mut mac = Hmac::<Sha256>::new_from_slice(ledger_secret).expect("HMAC takes a key of any length");
    mac.update(b"\tquipu\t");
    mac.update(bytes);
    Hash(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_depends_on_the_secret_and_on_every_byte() {
        let mac = authenticate(&[1; 32], b"heads");
        assert_eq!(mac, authenticate(&[1; 32], b"heads"));
        assert_ne!(mac, authenticate(&[2; 32], b"heads"));
        assert_ne!(mac, authenticate(&[1; 32], b"headz"));
    }
}

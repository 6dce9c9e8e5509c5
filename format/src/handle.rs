use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of the keyed hash that a handle shows: enough that two secrets of one ledger do not meet, and without the ledger's
/// secret nobody can try what it stands for.
const HASH_BYTES: usize = 9;

/// What is stored in place of a secret that was found by a rule: `secret://<rule>/<keyed hash>`, the first 9 bytes of
/// HMAC-SHA-256(ledger secret, 00 ‖ `secret` ‖ 00 ‖ secret) as 12 characters of base64url. In one ledger equal secrets have
/// equal hashes. An idempotency key's HMAC is over what begins with a scope, and no scope begins with 00.
pub fn secret_handle(ledger_secret: &[u8; 32], rule: &str, secret: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(ledger_secret).expect("HMAC takes a key of any length");
    mac.update(b"\0secret\0");
    mac.update(secret.as_bytes());
    let digest = mac.finalize().into_bytes();
    format!(
        "secret://{rule}/{}",
        BASE64_URL_SAFE_NO_PAD.encode(&digest[..HASH_BYTES])
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_secrets_have_equal_handles_in_one_ledger_alone() {
        let handle = secret_handle(&[7; 32], "github-pat", "one");
        assert_eq!(handle, secret_handle(&[7; 32], "github-pat", "one"));
        assert_ne!(handle, secret_handle(&[7; 32], "github-pat", "other"));
        assert_ne!(handle, secret_handle(&[8; 32], "github-pat", "one"));
        assert!(
            handle.starts_with("secret://github-pat/") && handle.len() == 20 + 12,
            "{handle}"
        );
    }
}

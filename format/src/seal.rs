use aes_gcm::{
    AesGcm, KeyInit,
    aead::{AeadInOut, Nonce, Tag},
    aes::{Aes256Enc, cipher::consts::U12},
};

use crate::{EntrySecret, Error, Hash, Result, Scope, limits};

/// Bytes of the tag that AES-GCM adds.
pub(crate) const TAG_BYTES: usize = 16;
pub(crate) const NONCE_BYTES: usize = 12;

/// AES-256-GCM. The counter mode only ever encrypts blocks: the keys that would decrypt one are not made.
pub(crate) type Aes256Gcm = AesGcm<Aes256Enc, U12>;

/// Seals a body's plaintext for entry `nth` of `scope`: the commitment for the envelope, and ciphertext ‖ tag for the
/// line.
///
/// AES-256-GCM under the entry's key. The nonce is the commitment's first 12 bytes: after a cut-off tail or a restored
/// backup the same `nth`, and so the same key, is used for other content, which must not meet the same nonce. The
/// associated data is the scope's bytes and `nth` in 4 bytes, big-endian.
pub fn seal(secret: &EntrySecret, scope: &Scope, nth: u32, plaintext: &[u8]) -> (Hash, Vec<u8>) {
    let mut body = Vec::with_capacity(plaintext.len() + TAG_BYTES);
    body.extend_from_slice(plaintext);
    (seal_in_place(secret, scope, nth, &mut body), body)
}

/// As [`seal`]: `body` is the plaintext at first, and ciphertext ‖ tag afterwards.
pub fn seal_in_place(secret: &EntrySecret, scope: &Scope, nth: u32, body: &mut Vec<u8>) -> Hash {
    let commitment = commitment(&secret.salt, body);
    let tag = Aes256Gcm::new((&secret.key).into())
        .encrypt_inout_detached(
            &nonce(&commitment),
            Associated::new(scope, nth).bytes(),
            body.as_mut_slice().into(),
        )
        .expect("a plaintext is shorter than the 64 GiB that AES-GCM takes");
    body.extend_from_slice(&tag);
    commitment
}

/// Opens what [`seal`] sealed. The cipher's tag and the commitment must both be right.
pub fn open(secret: &EntrySecret, scope: &Scope, nth: u32, commitment: &Hash, sealed: &[u8]) -> Result<Vec<u8>> {
    let mut body = sealed.to_vec();
    open_in_place(secret, scope, nth, commitment, &mut body)?;
    Ok(body)
}

/// As [`open`]: `body` is ciphertext ‖ tag at first, and the plaintext afterwards.
pub fn open_in_place(
    secret: &EntrySecret,
    scope: &Scope,
    nth: u32,
    commitment: &Hash,
    body: &mut Vec<u8>,
) -> Result<()> {
    let refused = || Error::new(format!("the sealed body does not open as entry {nth} of scope {scope}"));
    let tag = *body.last_chunk::<TAG_BYTES>().ok_or_else(refused)?;
    body.truncate(body.len() - TAG_BYTES);
    Aes256Gcm::new((&secret.key).into())
        .decrypt_inout_detached(
            &nonce(commitment),
            Associated::new(scope, nth).bytes(),
            body.as_mut_slice().into(),
            &Tag::<Aes256Gcm>::from(tag),
        )
        .map_err(|_| refused())?;
    if self::commitment(&secret.salt, body) != *commitment {
        return Err(Error::new(format!(
            "the body of entry {nth} of scope {scope} is not the one its envelope commits to"
        )));
    }
    Ok(())
}

/// What an envelope says of its body: SHA-256(salt ‖ plaintext). It hides the plaintext once the salt is destroyed, and
/// no second plaintext fits it.
pub fn commitment(salt: &[u8; 32], plaintext: &[u8]) -> Hash {
    Hash::of(&[salt, plaintext])
}

fn nonce(commitment: &Hash) -> Nonce<Aes256Gcm> {
    let mut nonce = [0; NONCE_BYTES];
    nonce.copy_from_slice(&commitment.0[..NONCE_BYTES]);
    nonce.into()
}

/// Scope and number of an entry, to which its body is bound.
struct Associated {
    room: [u8; limits::IDENTIFIER_BYTES + 4],
    length: usize,
}

impl Associated {
    fn new(scope: &Scope, nth: u32) -> Self {
        let scope = scope.as_str().as_bytes();
        let mut room = [0; _];
        room[..scope.len()].copy_from_slice(scope);
        room[scope.len()..][..4].copy_from_slice(&nth.to_be_bytes());
        let length = scope.len() + 4;
        Self { room, length }
    }

    fn bytes(&self) -> &[u8] {
        &self.room[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use crate::KeyTree;

    use super::*;

    fn scope() -> Scope {
        Scope::new("customer:acme-inc").unwrap()
    }

    fn secret(nth: u32) -> EntrySecret {
        KeyTree::new([7; 32]).secret(nth).unwrap()
    }

    #[test]
    fn what_is_sealed_opens() {
        for plaintext in [&b""[..], b"x", &[0x5a; 5_000]] {
            let (commitment, sealed) = seal(&secret(4), &scope(), 4, plaintext);
            assert_eq!(sealed.len(), plaintext.len() + TAG_BYTES);
            assert_eq!(open(&secret(4), &scope(), 4, &commitment, &sealed).unwrap(), plaintext);
        }
    }

    /// After a torn tail is cut off, other content is sealed at the same `nth`, under the same key. One nonce for both
    /// would give away the difference of the two texts and the key that authenticates.
    #[test]
    fn two_bodies_sealed_at_one_nth_have_two_nonces() {
        let bodies: [&[u8]; 2] = [b"the first text", b"another text!!"];
        let [(one, sealed_one), (two, sealed_two)] = bodies.map(|body| seal(&secret(0), &scope(), 0, body));
        assert_ne!(nonce(&one), nonce(&two));
        // Under one nonce the ciphertexts would differ as the plaintexts do.
        let differ = |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(a, b)| a ^ b).collect::<Vec<_>>();
        assert_ne!(
            differ(&sealed_one[..14], &sealed_two[..14]),
            differ(bodies[0], bodies[1])
        );
    }

    #[test]
    fn a_body_of_another_place_does_not_open() {
        let (commitment, sealed) = seal(&secret(4), &scope(), 4, b"text");
        // With the right key, so that it is the associated data that refuses.
        assert!(open(&secret(4), &scope(), 5, &commitment, &sealed).is_err());
        assert!(
            open(
                &secret(4),
                &Scope::new("customer:acme").unwrap(),
                4,
                &commitment,
                &sealed
            )
            .is_err()
        );
        assert!(open(&secret(5), &scope(), 4, &commitment, &sealed).is_err());
    }

    /// `nth` has a fixed width, so that no other scope and `nth` give the same associated data.
    #[test]
    fn associated_data_is_the_scope_and_nth_in_four_bytes() {
        assert_eq!(
            Associated::new(&Scope::new("a1").unwrap(), 0x0203).bytes(),
            b"a1\x00\x00\x02\x03"
        );
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let (commitment, sealed) = seal(&secret(4), &scope(), 4, b"some text");
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(
                open(&secret(4), &scope(), 4, &commitment, &damaged).is_err(),
                "bit {bit}"
            );
        }
        for bit in 0..256 {
            let mut other = commitment;
            other.0[bit / 8] ^= 1 << (bit % 8);
            assert!(
                open(&secret(4), &scope(), 4, &other, &sealed).is_err(),
                "bit {bit} of the commitment"
            );
        }
        for len in 0..sealed.len() {
            assert!(
                open(&secret(4), &scope(), 4, &commitment, &sealed[..len]).is_err(),
                "the first {len} bytes"
            );
        }
    }
}

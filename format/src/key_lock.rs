use std::fmt;

use aes_gcm::{
    KeyInit,
    aead::{AeadInOut, Tag},
};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::Zeroizing;

use crate::{
    Error, Result,
    keytree::{Pair, expand},
    limits,
    seal::{Aes256Gcm, NONCE_BYTES, TAG_BYTES},
};

/// What trying one passphrase costs: the parameters of Argon2id (RFC 9106).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyCost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl KeyCost {
    /// What new key files ask for: 64 MiB, 3 passes, 4 lanes, the second recommendation of RFC 9106, section 4.
    pub const USUAL: Self = Self {
        memory_kib: 64 << 10,
        passes: 3,
        lanes: 4,
    };

    /// KiB of memory, at least 8 for each lane; passes over it; lanes. Refused past [`limits::ARGON2_MEMORY_KIB`],
    /// [`limits::ARGON2_PASSES`] and [`limits::ARGON2_LANES`], before anything is spent.
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self> {
        let most = [
            ("KiB of memory", memory_kib, limits::ARGON2_MEMORY_KIB),
            ("passes", passes, limits::ARGON2_PASSES),
            ("lanes", lanes, limits::ARGON2_LANES),
        ];
        for (what, asked, most) in most {
            if asked > most {
                return Err(Error::new(format!(
                    "the key file asks for {asked} {what} to try a passphrase, and at most {most} are given"
                )));
            }
        }
        let cost = Self {
            memory_kib,
            passes,
            lanes,
        };
        cost.params().map(|_| cost)
    }

    /// KiB of memory, passes, lanes.
    pub fn parts(&self) -> [u32; 3] {
        [self.memory_kib, self.passes, self.lanes]
    }

    fn params(&self) -> Result<Params> {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32));
        params.map_err(|e| Error::new(format!("no passphrase can be tried at that cost: {e}")))
    }
}

/// The key that a passphrase gives, under which the lines of a key file are sealed. Overwritten when dropped, and never
/// printed.
pub struct KeyLock {
    cost: KeyCost,
    salt: [u8; Self::SALT_BYTES],
    /// Boxed, so that moving it leaves no copy behind.
    key: Box<Zeroizing<[u8; 32]>>,
}

impl KeyLock {
    /// Bytes of the salt.
    pub const SALT_BYTES: usize = 16;

    /// Derives the key by Argon2id, version 0x13, which takes the time and memory that `cost` says. Refuses an empty
    /// passphrase and one of more than [`limits::PASSPHRASE_BYTES`], and fails where there is not so much memory.
    pub fn derive(passphrase: &[u8], cost: KeyCost, salt: [u8; Self::SALT_BYTES]) -> Result<Self> {
        check_passphrase(passphrase)?;
        let mut key = Box::new(Zeroizing::new([0; 32]));
        argon2id(passphrase, cost, &salt, &mut key)?;
        Ok(Self { cost, salt, key })
    }

    /// What it cost.
    pub fn cost(&self) -> KeyCost {
        self.cost
    }

    /// What it was derived with beside the passphrase.
    pub fn salt(&self) -> &[u8; Self::SALT_BYTES] {
        &self.salt
    }

    /// Seals a secret of a key file of that generation, for the `place` that it has there: nonce ‖ ciphertext ‖ tag.
    /// The nonce must be fresh randomness.
    pub fn seal(&self, generation: u64, place: &[u8], nonce: [u8; NONCE_BYTES], secret: &[u8]) -> Vec<u8> {
        // All of it at once: growing would leave a copy of the secret behind.
        let mut sealed = Vec::with_capacity(NONCE_BYTES + secret.len() + TAG_BYTES);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(secret);
        let tag = self
            .cipher(generation)
            .encrypt_inout_detached(&nonce.into(), place, sealed[NONCE_BYTES..].as_mut().into())
            .expect("a record is shorter than the 64 GiB that AES-GCM takes");
        sealed.extend_from_slice(&tag);
        sealed
    }

    /// Opens what [`seal`](Self::seal) sealed for that generation and place. None: it is none of it, or the passphrase
    /// was another one.
    pub fn open(&self, generation: u64, place: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let (text, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
        let mut secret = Zeroizing::new(text.to_vec());
        self.cipher(generation)
            .decrypt_inout_detached(
                &(*nonce).into(),
                place,
                secret.as_mut_slice().into(),
                &Tag::<Aes256Gcm>::from(*tag),
            )
            .ok()?;
        Some(secret)
    }

    /// Each generation has a key of its own, so that nonces need only be apart within one.
    fn cipher(&self, generation: u64) -> Aes256Gcm {
        let mut label = *b"quipu 1 keys 01234567";
        label[13..].copy_from_slice(&generation.to_be_bytes());
        let mut pair = Pair::default();
        expand(&self.key, &label, &mut pair);
        Aes256Gcm::new((&pair[0]).into())
    }
}

impl fmt::Debug for KeyLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyLock")
            .field("cost", &self.cost)
            .finish_non_exhaustive()
    }
}

fn argon2id(passphrase: &[u8], cost: KeyCost, salt: &[u8], key: &mut [u8; 32]) -> Result<()> {
    let params = cost.params()?;
    let blocks = params.block_count();
    // The key follows from the last of them.
    let mut memory = Zeroizing::new(Vec::new());
    memory.try_reserve_exact(blocks).map_err(|_| {
        let needed = cost.memory_kib;
        Error::new(format!(
            "trying a passphrase takes {needed} KiB of memory, which is not there"
        ))
    })?;
    memory.resize(blocks, Block::new());
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(passphrase, salt, key, memory.as_mut_slice())
        .map_err(|e| Error::new(format!("no key can be derived from the passphrase: {e}")))
}

fn check_passphrase(passphrase: &[u8]) -> Result<()> {
    match passphrase.len() {
        0 => Err(Error::new("the passphrase is empty")),
        bytes if bytes > limits::PASSPHRASE_BYTES => Err(Error::new(format!(
            "the passphrase has {bytes} bytes, and at most {} are taken",
            limits::PASSPHRASE_BYTES
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(passphrase: &[u8]) -> KeyLock {
        KeyLock::derive(passphrase, KeyCost::new(8, 1, 1).unwrap(), [3; 16]).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_alone() {
        let sealed = lock(b"one").seal(4, b"place", [9; 12], b"a secret");
        assert_eq!(lock(b"one").open(4, b"place", &sealed).unwrap().as_slice(), b"a secret");
        assert!(lock(b"two").open(4, b"place", &sealed).is_none());
        assert!(lock(b"one").open(5, b"place", &sealed).is_none());
        assert!(lock(b"one").open(4, b"other", &sealed).is_none());
        let salted = KeyLock::derive(b"one", KeyCost::new(8, 1, 1).unwrap(), [4; 16]).unwrap();
        assert!(salted.open(4, b"place", &sealed).is_none());
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(lock(b"one").open(4, b"place", &bad).is_none(), "bit {bit}");
        }
        for len in 0..sealed.len() {
            assert!(lock(b"one").open(4, b"place", &sealed[..len]).is_none(), "{len} bytes");
        }
    }

    /// Made by OpenSSL's HMAC and AES-256-GCM from what docs/FORMAT.md says.
    #[test]
    fn sealing_is_as_the_format_says() {
        let mut lock = lock(b"one");
        **lock.key = std::array::from_fn(|at| at as u8);
        let sealed = lock.seal(7, b"place", [9; 12], b"a secret");
        let hex: String = sealed.iter().map(|byte| format!("{byte:02x}")).collect();
        let nonce = "09".repeat(12);
        assert_eq!(hex, nonce + "34f511906fdd6a70d56447c30d8015d138806644af85b43d");
    }

    #[test]
    fn the_secret_is_not_in_what_is_sealed() {
        let secret = [0x5a; 40];
        let sealed = lock(b"one").seal(1, b"", [9; 12], &secret);
        assert!(sealed.windows(8).all(|window| window != &secret[..8]));
    }

    /// A header that somebody made must not be able to take all memory, or hours.
    #[test]
    fn costs_past_the_limits_are_refused() {
        let (memory, passes, lanes) = (limits::ARGON2_MEMORY_KIB, limits::ARGON2_PASSES, limits::ARGON2_LANES);
        KeyCost::new(memory, passes, lanes).unwrap();
        for [memory, passes, lanes] in [
            [memory + 1, 1, 1],
            [u32::MAX, 1, 1],
            [8 * lanes, passes + 1, lanes],
            [16 * lanes, 1, lanes + 1],
            [7, 1, 1],
            [15, 1, 2],
            [8, 0, 1],
            [8, 1, 0],
        ] {
            assert!(
                KeyCost::new(memory, passes, lanes).is_err(),
                "{memory} {passes} {lanes}"
            );
        }
        let [memory, passes, lanes] = KeyCost::USUAL.parts();
        assert_eq!(KeyCost::new(memory, passes, lanes), Ok(KeyCost::USUAL));
    }

    #[test]
    fn a_passphrase_has_a_byte_and_no_more_than_the_limit() {
        let derive = |bytes| KeyLock::derive(&vec![b'x'; bytes], KeyCost::new(8, 1, 1).unwrap(), [3; 16]);
        assert!(derive(1).is_ok() && derive(limits::PASSPHRASE_BYTES).is_ok());
        assert!(derive(0).is_err() && derive(limits::PASSPHRASE_BYTES + 1).is_err());
    }

    /// Vectors of the reference implementation (phc-winner-argon2, `src/test.c`).
    #[test]
    fn the_key_is_argon2ids() {
        for (lanes, wanted) in [
            (1, "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe"),
            (2, "6d093c501fd5999645e0ea3bf620d7b8be7fd2db59c20d9fff9539da2bf57037"),
        ] {
            let mut key = [0; 32];
            argon2id(b"password", KeyCost::new(256, 2, lanes).unwrap(), b"somesalt", &mut key).unwrap();
            let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, wanted);
        }
    }
}

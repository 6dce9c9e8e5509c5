//! The key that a ledger's checkpoints are verified with, and those that it had before.

use std::ops::Deref;

use quipu_format::{Checkpoint, Signer, VerifierKey};

use crate::VerifierKeyState;

/// The newest key, as which it can be used, and those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VerifierKeys {
    newest: VerifierKey,
    /// Oldest first.
    earlier: Vec<Earlier>,
}

/// A key that was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Earlier {
    pub(crate) key: VerifierKey,
    /// Entries of the largest checkpoint that it may have signed.
    pub(crate) until: u64,
}

impl VerifierKeys {
    /// None: the sizes do not rise, or a key is another ledger's.
    pub(crate) fn new(newest: VerifierKey, earlier: Vec<Earlier>) -> Option<Self> {
        let rises = earlier.windows(2).all(|pair| pair[0].until < pair[1].until);
        let ours = earlier.iter().all(|earlier| earlier.key.name() == newest.name());
        (rises && ours).then_some(Self { newest, earlier })
    }

    pub(crate) fn earlier(&self) -> &[Earlier] {
        &self.earlier
    }

    /// What each holds for, oldest first.
    pub(crate) fn states(&self) -> Vec<VerifierKeyState> {
        let mut from = 0;
        let mut states = Vec::with_capacity(self.earlier.len() + 1);
        for Earlier { key, until } in &self.earlier {
            states.push(VerifierKeyState {
                verifier_key: key.to_string(),
                from,
                until: Some(*until),
            });
            from = until + 1;
        }
        states.push(VerifierKeyState {
            verifier_key: self.newest.to_string(),
            from,
            until: None,
        });
        states
    }

    /// Whether it is one of them.
    pub(crate) fn has(&self, key: &VerifierKey) -> bool {
        self.newest == *key || self.earlier.iter().any(|earlier| earlier.key == *key)
    }

    /// With a key that holds for checkpoints of more than `until` entries.
    pub(crate) fn followed_by(&self, key: VerifierKey, until: u64) -> Option<Self> {
        let mut earlier = self.earlier.clone();
        earlier.push(Earlier {
            key: self.newest.clone(),
            until,
        });
        Self::new(key, earlier)
    }

    /// How many rotations made `keys` into these, where a checkpoint of `covered` entries precedes them all. None: others.
    pub(crate) fn since(&self, keys: &Self, covered: u64) -> Option<usize> {
        let later = self.earlier.strip_prefix(&*keys.earlier)?;
        let goes_on = match later.first() {
            Some(first) => first.key == keys.newest && covered <= first.until,
            None => self.newest == keys.newest,
        };
        goes_on.then_some(later.len())
    }

    /// Reads a checkpoint that is signed by the key which holds for its size.
    pub(crate) fn open(&self, note: &[u8]) -> Result<Checkpoint, String> {
        self.open_with(note).map(|(checkpoint, _)| checkpoint)
    }

    /// The same, and the key.
    pub(crate) fn open_with(&self, note: &[u8]) -> Result<(Checkpoint, &VerifierKey), String> {
        let mut after = 0;
        for Earlier { key, until } in &self.earlier {
            if let Ok(checkpoint) = Checkpoint::open(note, key)
                && checkpoint.size <= *until
                && (checkpoint.size > after || after == 0)
            {
                return Ok((checkpoint, key));
            }
            after = *until;
        }
        let checkpoint = Checkpoint::open(note, &self.newest).map_err(|e| e.to_string())?;
        if checkpoint.size <= after && after > 0 {
            return Err(format!(
                "its key holds for more than {after} entries, and it covers {}",
                checkpoint.size
            ));
        }
        Ok((checkpoint, &self.newest))
    }
}

impl From<VerifierKey> for VerifierKeys {
    fn from(newest: VerifierKey) -> Self {
        Self {
            newest,
            earlier: Vec::new(),
        }
    }
}

impl Deref for VerifierKeys {
    type Target = VerifierKey;

    fn deref(&self) -> &VerifierKey {
        &self.newest
    }
}

/// What a key signs to name the one after it.
pub(crate) fn succession(origin: &str, next: &VerifierKey) -> String {
    format!("quipu/key\n{origin}\n{next}\n")
}

/// Whether `key` signed that `next` comes after it.
pub(crate) fn is_succession(note: &str, key: &VerifierKey, next: &VerifierKey) -> bool {
    next.name() == key.name()
        && key
            .verify(note.as_bytes())
            .is_ok_and(|text| text == succession(key.name(), next))
}

/// The note by which a signer names the key after its own.
pub(crate) fn sign_succession(signer: &Signer, next: &VerifierKey) -> String {
    signer.sign(&succession(next.name(), next))
}

#[cfg(test)]
mod tests {
    use quipu_format::Hash;

    use super::*;

    fn signer(seed: u8) -> Signer {
        Signer::new("example.com/keys", [seed; 32]).unwrap()
    }

    fn note(signer: &Signer, size: u64) -> String {
        let checkpoint = Checkpoint {
            origin: "example.com/keys".into(),
            size,
            root: Hash::of_nothing(),
        };
        checkpoint.sign(signer)
    }

    #[test]
    fn each_key_holds_for_its_sizes_and_no_others() {
        let signers = [signer(1), signer(2), signer(3)];
        let keys = VerifierKeys::from(signers[0].verifier_key());
        let keys = keys.followed_by(signers[1].verifier_key(), 10).unwrap();
        assert!(
            keys.followed_by(signers[2].verifier_key(), 10).is_none(),
            "sizes must rise"
        );
        let keys = keys.followed_by(signers[2].verifier_key(), 20).unwrap();
        for (size, good) in [(1, 0), (10, 0), (11, 1), (20, 1), (21, 2), (1_000, 2)] {
            for (number, signer) in signers.iter().enumerate() {
                let opened = keys.open_with(note(signer, size).as_bytes());
                assert_eq!(opened.is_ok(), number == good, "key {number} at {size}");
                if let Ok((checkpoint, key)) = opened {
                    assert_eq!((checkpoint.size, key), (size, &signer.verifier_key()));
                }
            }
        }
        assert!(keys.open(note(&signer(9), 5).as_bytes()).is_err());
        assert!(keys.has(&signers[0].verifier_key()) && !keys.has(&signer(9).verifier_key()));
    }

    #[test]
    fn rotations_since_are_those_that_the_checkpoint_precedes() {
        let [first, second, third] = [1, 2, 3].map(|seed| signer(seed).verifier_key());
        let none = VerifierKeys::from(first.clone());
        let one = none.followed_by(second.clone(), 10).unwrap();
        let two = one.followed_by(third.clone(), 20).unwrap();
        for (keys, covered, later) in [
            (&none, 10, Some(2)),
            (&none, 11, None),
            (&one, 20, Some(1)),
            (&one, 21, None),
            (&two, 99, Some(0)),
            (&third.into(), 0, None),
        ] {
            assert_eq!(two.since(keys, covered), later, "{keys:?} at {covered}");
        }
        assert_eq!(one.since(&two, 0), None);
        assert_eq!(one.since(&second.into(), 0), None);
    }

    #[test]
    fn only_the_key_before_names_the_next() {
        let (old, new) = (signer(1), signer(2));
        let (old_key, new_key) = (old.verifier_key(), new.verifier_key());
        let note = sign_succession(&old, &new_key);
        assert!(is_succession(&note, &old_key, &new_key));
        assert!(!is_succession(&note, &new_key, &old_key));
        assert!(!is_succession(&note, &old_key, &signer(3).verifier_key()));
        assert!(!is_succession(&sign_succession(&new, &new_key), &old_key, &new_key));
    }
}

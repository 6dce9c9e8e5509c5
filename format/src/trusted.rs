//! The verifier keys that somebody trusts who checks what a ledger handed out. A ledger has one at a time, and another one
//! after a rotation. docs/FORMAT.md, "Rotation of keys".

use serde::Deserialize;

use crate::{Checkpoint, Error, Result, VerifierKey, limits};

/// The verifier keys of one ledger, oldest first, each with the sizes of checkpoints that it holds for, as far as they are
/// known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKeys(Vec<Trusted>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Trusted {
    key: VerifierKey,
    /// Entries of the smallest checkpoint, and of the largest.
    sizes: (u64, u64),
}

/// A line of `quipu key list --json`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    verifier_key: String,
    from: u64,
    until: Option<u64>,
}

impl TrustedKeys {
    /// Keys of which it is not known which sizes they hold for, oldest first; or the only one.
    ///
    /// # Errors
    /// There is none, one is there twice, or two are of different ledgers.
    pub fn new(keys: impl IntoIterator<Item = VerifierKey>) -> Result<Self> {
        let all = (0, u64::MAX);
        Self::of_all(keys.into_iter().map(|key| Trusted { key, sizes: all }).collect())
    }

    /// Reads a text with a key a line, oldest first: the key alone, or a line of `quipu key list --json`, which says too
    /// which sizes it holds for. Empty lines, and lines that begin with `#`, say nothing.
    ///
    /// # Errors
    /// As for [`new`](Self::new), and where a line is neither.
    pub fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().map(str::trim).enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let keys =
            lines.map(|(at, line)| Trusted::parse(line).map_err(|e| Error::new(format!("line {}: {e}", at + 1))));
        Self::of_all(keys.take(limits::TRUSTED_KEYS + 1).collect::<Result<_>>()?)
    }

    fn of_all(keys: Vec<Trusted>) -> Result<Self> {
        let Some(first) = keys.first() else {
            return Err(Error::new("there is no verifier key"));
        };
        if keys.len() > limits::TRUSTED_KEYS {
            return Err(Error::new(format!(
                "there are more than {} verifier keys",
                limits::TRUSTED_KEYS
            )));
        }
        if let Some(other) = keys.iter().find(|other| other.key.name() != first.key.name()) {
            return Err(Error::new(format!(
                "these are verifier keys of two ledgers, {} and {}: check with those of one",
                first.key.name(),
                other.key.name()
            )));
        }
        for (at, key) in keys.iter().enumerate() {
            if keys[..at].iter().any(|other| other.key == key.key) {
                return Err(Error::new(format!("the verifier key {} is there twice", key.key)));
            }
        }
        Ok(Self(keys))
    }

    /// Name of the ledger.
    pub fn name(&self) -> &str {
        self.0.first().map_or("", |first| first.key.name())
    }

    /// The key that signed a note.
    ///
    /// # Errors
    /// None of them did.
    pub fn signer_of(&self, note: &str) -> Result<&VerifierKey> {
        self.place(note).map(|at| &self.0[at].key)
    }

    /// The key that signed a checkpoint, whose size must be one that it holds for.
    ///
    /// # Errors
    /// None of them signed it; it is no checkpoint; or it is of another size.
    pub fn of(&self, checkpoint: &str) -> Result<&VerifierKey> {
        self.opened(checkpoint).map(|(at, _)| &self.0[at].key)
    }

    /// The keys that signed two checkpoints of which one is newer: by an older key it cannot be signed.
    ///
    /// # Errors
    /// As for [`of`](Self::of), of either.
    pub fn of_both(&self, old: &str, new: &str) -> Result<(&VerifierKey, &VerifierKey)> {
        let open = |what: &str, note: &str| {
            self.opened(note)
                .map_err(|e| Error::new(format!("the {what} checkpoint: {e}")))
        };
        let ((first, _), (second, _)) = (open("old", old)?, open("new", new)?);
        if first > second {
            return Err(Error::new(
                "the new checkpoint is signed by an older key than the old one: give the keys oldest first",
            ));
        }
        Ok((&self.0[first].key, &self.0[second].key))
    }

    /// That a key which signed something of so many entries holds for that size.
    pub(crate) fn check_size(&self, key: &VerifierKey, size: u64) -> Result<()> {
        let of_it = |trusted: &&Trusted| trusted.key == *key;
        self.0
            .iter()
            .find(of_it)
            .map_or(Ok(()), |trusted| trusted.check_size(size))
    }

    fn opened(&self, note: &str) -> Result<(usize, Checkpoint)> {
        let at = self.place(note)?;
        let checkpoint = Checkpoint::open(note.as_bytes(), &self.0[at].key)?;
        self.0[at].check_size(checkpoint.size)?;
        Ok((at, checkpoint))
    }

    fn place(&self, note: &str) -> Result<usize> {
        let mut why = Vec::with_capacity(self.0.len());
        for (at, Trusted { key, .. }) in self.0.iter().enumerate() {
            match key.verify(note.as_bytes()) {
                Ok(_) => return Ok(at),
                Err(e) => why.push(e),
            }
        }
        match why.pop() {
            Some(only) if why.is_empty() => Err(only),
            Some(last) => Err(Error::new(format!("none of the {} keys fits: {last}", why.len() + 1))),
            None => Err(Error::new("there is no verifier key")),
        }
    }
}

impl From<VerifierKey> for TrustedKeys {
    fn from(key: VerifierKey) -> Self {
        let sizes = (0, u64::MAX);
        Self(vec![Trusted { key, sizes }])
    }
}

impl Trusted {
    fn parse(line: &str) -> Result<Self> {
        if !line.starts_with('{') {
            let (key, sizes) = (line.parse()?, (0, u64::MAX));
            return Ok(Self { key, sizes });
        }
        let listed: Listed = serde_json::from_str(line)
            .map_err(|e| Error::new(format!("it is no line of `quipu key list --json`: {e}")))?;
        Ok(Self {
            key: listed.verifier_key.parse()?,
            sizes: (listed.from, listed.until.unwrap_or(u64::MAX)),
        })
    }

    fn check_size(&self, size: u64) -> Result<()> {
        let (from, until) = self.sizes;
        if (from..=until).contains(&size) {
            return Ok(());
        }
        let until = if until == u64::MAX {
            "now".to_owned()
        } else {
            until.to_string()
        };
        Err(Error::new(format!(
            "{} holds for {from} entries to {until}, and signed for {size}",
            self.key
        )))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Hash, Signer};

    use super::*;

    fn signer(seed: u8) -> Signer {
        Signer::new("example.com/trusted", [seed; 32]).unwrap()
    }

    fn note(seed: u8, size: u64) -> String {
        let checkpoint = Checkpoint {
            origin: "example.com/trusted".into(),
            size,
            root: Hash::of_nothing(),
        };
        checkpoint.sign(&signer(seed))
    }

    fn listed() -> TrustedKeys {
        let (one, two) = (signer(1).verifier_key(), signer(2).verifier_key());
        let text = format!(
            "# of the auditor\n{{\"verifierKey\":\"{one}\",\"from\":0,\"until\":10}}\n\n{{\"verifierKey\":\"{two}\",\"from\":11,\"until\":null}}\n"
        );
        TrustedKeys::parse(&text).unwrap()
    }

    #[test]
    fn each_key_vouches_for_its_sizes() {
        let keys = listed();
        for (seed, size, good) in [
            (1, 10, true),
            (1, 11, false),
            (2, 10, false),
            (2, 11, true),
            (3, 5, false),
        ] {
            assert_eq!(keys.of(&note(seed, size)).is_ok(), good, "key {seed} for {size}");
        }
        let bare = TrustedKeys::parse(&format!("{}\n{}", signer(1).verifier_key(), signer(2).verifier_key())).unwrap();
        assert_eq!(bare.of(&note(1, 1 << 40)).unwrap(), &signer(1).verifier_key());
        assert_eq!(
            bare,
            TrustedKeys::new([1, 2].map(|seed| signer(seed).verifier_key())).unwrap()
        );
    }

    #[test]
    fn a_newer_checkpoint_is_not_signed_by_an_older_key() {
        let keys = TrustedKeys::new([1, 2].map(|seed| signer(seed).verifier_key())).unwrap();
        for (old, new, good) in [
            (1, 1, true),
            (1, 2, true),
            (2, 2, true),
            (2, 1, false),
            (1, 3, false),
            (3, 2, false),
        ] {
            assert_eq!(
                keys.of_both(&note(old, 5), &note(new, 9)).is_ok(),
                good,
                "{old} and {new}"
            );
        }
    }

    #[test]
    fn keys_that_cannot_be_of_one_ledger_are_refused() {
        let key = signer(1).verifier_key();
        let other = Signer::new("example.com/other", [2; 32]).unwrap().verifier_key();
        for text in [
            String::new(),
            "# nothing".into(),
            format!("{key}\n{key}"),
            format!("{key}\n{other}"),
            "hello".into(),
            "{\"verifierKey\":\"hello\",\"from\":0}".into(),
            "{\"from\":0}".into(),
        ] {
            assert!(TrustedKeys::parse(&text).is_err(), "{text:?}");
        }
        let many = |count: usize| {
            let keys = (0..count).map(|n| {
                let mut seed = [7; 32];
                seed[..8].copy_from_slice(&(n as u64).to_be_bytes());
                Signer::new("example.com/many", seed).unwrap().verifier_key()
            });
            TrustedKeys::new(keys)
        };
        many(limits::TRUSTED_KEYS).unwrap();
        assert!(many(limits::TRUSTED_KEYS + 1).is_err());
    }
}

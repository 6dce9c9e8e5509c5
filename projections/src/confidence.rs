//! How certain what is stated is.
//!
//! Within one source the greatest confidence counts; distinct sources are combined by noisy-or, `1 − Π (1 − c)`: each
//! may be wrong on its own. Agreement alone makes nothing certain: it ends at [`AGREED`], above which a fact rises only
//! as far as a single source says. A statement that names evidence is heard through it: it speaks with the sources
//! that its evidence goes back to, each at the lesser of its own and the statement's confidence, so that what is
//! derived is never surer than what it rests on by this same rule.

use crate::{
    error::{Cause, Result},
    limits,
    statements::Digest,
};

/// Confidence of a statement that does not say how sure it is.
pub(crate) const STATED: f64 = 0.8;
/// Confidence of what states nothing itself and serves as evidence: it bounds nothing.
pub(crate) const WITNESSED: f64 = 1.0;
/// What agreement between sources can reach.
pub(crate) const AGREED: f64 = 0.99;

/// A source that is heard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Voice {
    pub(crate) source: Digest,
    pub(crate) confidence: f64,
}

impl Voice {
    /// The same, heard through a statement that is that sure.
    pub(crate) fn through(self, confidence: f64) -> Self {
        Self {
            confidence: self.confidence.min(confidence),
            ..self
        }
    }
}

/// Adds a voice: of one source the greatest counts.
pub(crate) fn hear(voices: &mut Vec<Voice>, voice: Voice) {
    match voices.iter_mut().find(|known| known.source == voice.source) {
        Some(known) => known.confidence = known.confidence.max(voice.confidence),
        None => voices.push(voice),
    }
}

/// The voices of distinct sources that count for a fact, the surest first: of one source the greatest, of all of them the
/// first 64. Which they are does not depend on the order in which they are heard: one that is crowded out comes back only
/// by saying more than it had said.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Voices(Vec<Voice>);

impl Voices {
    pub(crate) fn hear(&mut self, voice: Voice) {
        if let Some(at) = self.0.iter().position(|known| known.source == voice.source) {
            match self.0.get(at) {
                Some(known) if known.confidence >= voice.confidence => return,
                _ => drop(self.0.remove(at)),
            }
        }
        let at = self.0.partition_point(|other| {
            let order = voice.confidence.total_cmp(&other.confidence);
            order.then(other.source.cmp(&voice.source)).is_lt()
        });
        self.0.insert(at, voice);
        self.0.truncate(limits::VOICES);
    }

    pub(crate) fn confidence(&self) -> f64 {
        together(self.0.iter().map(|voice| voice.confidence))
    }

    pub(crate) fn packed(&self) -> Vec<u8> {
        pack(&self.0)
    }

    pub(crate) fn unpacked(bytes: &[u8]) -> Result<Self> {
        Ok(Self(unpack(bytes)?))
    }
}

/// Voices as a column has them: 16 bytes of source and 8 of confidence each.
pub(crate) fn pack(voices: &[Voice]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(voices.len() * VOICE_BYTES);
    for voice in voices {
        bytes.extend(voice.source);
        bytes.extend(voice.confidence.to_le_bytes());
    }
    bytes
}

pub(crate) fn unpack(bytes: &[u8]) -> Result<Vec<Voice>> {
    let (voices, rest) = bytes.as_chunks::<VOICE_BYTES>();
    if !rest.is_empty() {
        return Err(Cause::Damaged("voices are cut off".into()));
    }
    let voice = |bytes: &[u8; VOICE_BYTES]| {
        let (mut source, mut confidence) = ([0; 16], [0; 8]);
        source.copy_from_slice(&bytes[..16]);
        confidence.copy_from_slice(&bytes[16..]);
        Voice {
            source,
            confidence: f64::from_le_bytes(confidence),
        }
    };
    Ok(voices.iter().map(voice).collect())
}

const VOICE_BYTES: usize = 24;

/// The confidence of distinct sources together, given the greatest first. The first 64 count, which is where it ends:
/// so the result does not depend on the order in which they came.
pub(crate) fn together(greatest_first: impl IntoIterator<Item = f64>) -> f64 {
    let mut sources = greatest_first.into_iter().take(limits::VOICES);
    let Some(greatest) = sources.next() else { return 0.0 };
    let Some(second) = sources.next() else { return greatest };
    let doubt = sources.fold((1.0 - greatest) * (1.0 - second), |doubt, confidence| {
        doubt * (1.0 - confidence)
    });
    (1.0 - doubt).min(AGREED).max(greatest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_add_up_and_never_to_certainty() {
        assert_eq!(together([]), 0.0);
        for alone in [0.0, 0.3, 0.7, 1.0] {
            assert_eq!(together([alone]), alone);
        }
        assert_eq!(together([0.5, 0.5]), 0.75);
        assert_eq!(together([0.9; 10]), AGREED);
        assert_eq!(together([1.0, 0.5]), 1.0);
        assert_eq!(together([0.995, 0.995]), 0.995);
    }

    #[test]
    fn one_source_counts_once() {
        let voice = |source, confidence| Voice {
            source: [source; 16],
            confidence,
        };
        let mut voices = Vec::new();
        for said in [voice(1, 0.5), voice(2, 0.3), voice(1, 0.6), voice(1, 0.2)] {
            hear(&mut voices, said);
        }
        assert_eq!(voices, [voice(1, 0.6), voice(2, 0.3)]);
        assert_eq!(voices[0].through(0.4), voice(1, 0.4));
        assert_eq!(voices[0].through(0.9), voice(1, 0.6));
    }

    #[test]
    fn the_surest_voices_are_kept_in_whatever_order_they_come() {
        let said: Vec<Voice> = (0..3_000_u32)
            .map(|n| Voice {
                source: [(n * 7 % 97) as u8; 16],
                confidence: f64::from(n * 31 % 1_000) / 1_000.0,
            })
            .collect();
        let heard = |order: &[Voice]| {
            let mut voices = Voices::default();
            order.iter().for_each(|voice| voices.hear(*voice));
            voices
        };
        let (forward, mut backward) = (heard(&said), said.clone());
        backward.reverse();
        assert_eq!(forward, heard(&backward));
        assert_eq!(forward.0.len(), limits::VOICES);
        let mut all = Vec::new();
        said.iter().for_each(|voice| hear(&mut all, *voice));
        assert!(all.len() > limits::VOICES);
        all.sort_by(|a, b| b.confidence.total_cmp(&a.confidence).then(a.source.cmp(&b.source)));
        assert_eq!(forward.0, all[..limits::VOICES]);
        assert_eq!(Voices::unpacked(&forward.packed()).unwrap(), forward);
        assert!(Voices::unpacked(&[0; 25]).is_err());
    }
}

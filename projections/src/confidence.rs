//! How certain what is stated is.
//!
//! Within one source the greatest confidence counts; distinct sources are combined by noisy-or, `1 − Π (1 − c)`: each
//! may be wrong on its own. Agreement alone makes nothing certain: it ends at [`AGREED`], above which a fact rises only
//! as far as a single source says. A statement that names evidence is heard through it: it speaks with the sources
//! that its evidence goes back to, each at the lesser of its own and the statement's confidence, so that what is
//! derived is never surer than what it rests on by this same rule.

use crate::{limits, statements::Digest};

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
}

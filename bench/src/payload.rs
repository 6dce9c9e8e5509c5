//! What is written, the same for quipu and its peers: JSON whose text no compression makes small.

use std::sync::LazyLock;

/// Bytes of each payload, where a group does not say otherwise.
pub(crate) const PAYLOAD_BYTES: usize = 512;

/// Bytes of a payload besides its text.
pub(crate) const FRAME_BYTES: usize = r#"{"number":"0123456789abcdef","text":""}"#.len();

/// Payloads take their text from here, each from another place.
static LETTERS: LazyLock<String> = LazyLock::new(|| {
    let mut random = Random::new(1);
    let letters = b"abcdefghijklmnopqrstuvwxyz0123456789 ABCDEFGHIJKLMNOPQRSTUVWXYZ.";
    (0..1 << 20)
        .map(|_| char::from(letters[random.below(letters.len())]))
        .collect()
});

/// A payload with so many bytes of text, at most a million.
pub(crate) fn payload(number: u64, text_bytes: usize) -> String {
    let at = Random::new(number).below(LETTERS.len() - text_bytes);
    let text = &LETTERS[at..at + text_bytes];
    format!(r#"{{"number":"{number:016x}","text":"{text}"}}"#)
}

/// One writer's payloads of [`PAYLOAD_BYTES`]; no two alike, and none like another writer's.
pub(crate) struct Payloads(u64);

impl Payloads {
    /// The `i`th writer's.
    pub(crate) fn of(i: usize) -> Self {
        Self((i as u64) << 40)
    }

    pub(crate) fn make(&mut self) -> String {
        self.0 += 1;
        payload(self.0, PAYLOAD_BYTES - FRAME_BYTES)
    }
}

/// Numbers that look random and are the same in each run (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn payloads_are_json_of_the_length_that_is_said_and_no_two_alike() {
        let mut seen = HashSet::new();
        for writer in [0, 1, 255] {
            let mut payloads = Payloads::of(writer);
            for _ in 0..1_000 {
                let payload = payloads.make();
                assert_eq!(payload.len(), PAYLOAD_BYTES);
                serde_json::from_str::<serde_json::Value>(&payload).unwrap();
                assert!(seen.insert(payload));
            }
        }
    }
}

//! Room for bytes that are read from files.

use std::ops::{Deref, DerefMut};

/// Where a processor's cache lines begin.
const ALIGNMENT: usize = 64;

/// Bytes of which the first lies where a cache line begins. A large `Vec` begins 16 bytes behind a page, and to there some
/// processors copy at a third of the speed.
#[derive(Default)]
pub(crate) struct Room {
    bytes: Vec<u8>,
    start: usize,
}

impl Room {
    /// Makes it that long at least. What it held stays.
    pub(crate) fn grow(&mut self, length: usize) {
        if self.len() < length {
            let mut bytes = vec![0; length + ALIGNMENT];
            // Where that cannot be known, it is only slower.
            let start = bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
            bytes[start..start + self.len()].copy_from_slice(self);
            *self = Self { bytes, start };
        }
    }
}

impl Deref for Room {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

impl DerefMut for Room {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_held_stays() {
        let mut room = Room::default();
        assert!(room.is_empty());
        room.grow(5);
        room[..5].copy_from_slice(b"bytes");
        for length in [3, 5, 4_096, 1 << 20] {
            room.grow(length);
            assert!(room.len() >= length && room.starts_with(b"bytes"));
            assert_eq!(room.as_ptr().align_offset(ALIGNMENT), 0);
        }
    }
}

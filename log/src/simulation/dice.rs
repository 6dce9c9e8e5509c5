/// Numbers that look random and are the same each time for the same seed (SplitMix64).
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        // Seeds that are neighbours begin far apart.
        let mut dice = Self(seed ^ 0x5851_f42d_4c95_7f2d);
        Self(dice.next())
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Dice of their own, so that more or fewer throws there change nothing here.
    pub(super) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// From 0 up to, but not, `end`, which is at least 1.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(super) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Often small, sometimes large, at most `most`, at least 1.
    pub(super) fn mostly_small(&mut self, most: usize) -> usize {
        let bits = usize::BITS - most.leading_zeros();
        let shift = self.below(bits as usize);
        ((1 + self.below(most)) >> shift).max(1)
    }

    pub(super) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let next = self.next().to_le_bytes();
            chunk.copy_from_slice(&next[..chunk.len()]);
        }
    }
}

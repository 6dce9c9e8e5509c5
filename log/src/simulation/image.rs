//! A file as processes see it, and all that its medium may hold.

use std::collections::BTreeMap;

use super::dice::Dice;

/// What a medium writes whole or not at all, in bytes.
pub(super) const SECTOR: usize = 512;

/// A file's bytes in memory, and on the medium.
///
/// What was written since the last sync may have reached the medium or not, each sector for itself and in any of the
/// states it went through.
#[derive(Debug, Clone, Default)]
pub(super) struct FileImage {
    /// What every process reads.
    live: Vec<u8>,
    /// What is surely on the medium, but for the sectors below.
    durable: Vec<u8>,
    /// Sectors that may be on the medium in another state.
    sectors: BTreeMap<usize, Sector>,
    /// Sizes that the medium may hold, each with the number of shortenings before it. The first is durable.
    sizes: Vec<(usize, usize)>,
    /// To which size the file was shortened since the last sync.
    shortenings: Vec<usize>,
}

#[derive(Debug, Clone, Default)]
struct Sector {
    /// States after the durable one, each with the number of shortenings before it.
    states: Vec<(usize, [u8; SECTOR])>,
    /// The next sync writes it. False: a sync failed, and the system takes it for written.
    dirty: bool,
}

impl FileImage {
    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    pub(super) fn read(&self, bytes: &mut [u8], offset: usize) -> usize {
        let from = self.live.get(offset..).unwrap_or_default();
        let n = from.len().min(bytes.len());
        bytes[..n].copy_from_slice(&from[..n]);
        n
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.live
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if end > self.live.len() {
            self.live.resize(end, 0);
            self.grown_or_shortened();
        }
        self.live[offset..end].copy_from_slice(bytes);
        if bytes.is_empty() {
            return;
        }
        for number in offset / SECTOR..=(end - 1) / SECTOR {
            let state = sector(&self.live, number);
            let sector = self.sectors.entry(number).or_default();
            sector.states.push((self.shortenings.len(), state));
            sector.dirty = true;
        }
    }

    pub(super) fn set_len(&mut self, length: usize) {
        if length < self.live.len() {
            self.shortenings.push(length);
        }
        self.live.resize(length, 0);
        self.grown_or_shortened();
    }

    fn grown_or_shortened(&mut self) {
        if self.sizes.is_empty() {
            self.sizes.push((0, 0));
        }
        self.sizes.push((self.shortenings.len(), self.live.len()));
    }

    /// All that is dirty reaches the medium. What an earlier sync failed to write stays as it is there.
    pub(super) fn sync(&mut self) {
        self.sectors.retain(|_, sector| !sector.dirty);
        let mut lost = std::mem::take(&mut self.sectors);
        let old = std::mem::replace(&mut self.durable, self.live.clone());
        for (&number, left) in &mut lost {
            self.put_durable(number, &shortened(sector(&old, number), number, &self.shortenings));
            for (epoch, state) in &mut left.states {
                *state = shortened(*state, number, &self.shortenings[*epoch..]);
                *epoch = 0;
            }
        }
        self.sectors = lost;
        self.shortenings.clear();
        self.sizes = vec![(0, self.live.len())];
    }

    /// A sync that fails, as in Linux: what was dirty counts as clean, whether it reached the medium or not, processes
    /// go on reading it, and the next sync that succeeds does not write it.
    pub(super) fn fail_sync(&mut self) {
        self.sectors.values_mut().for_each(|sector| sector.dirty = false);
    }

    /// Memory runs short: clean sectors are read from the medium again, where a failed sync may have left anything.
    pub(super) fn evict(&mut self, dice: &mut Dice) {
        let lost: Vec<_> = self.sectors.iter().filter(|(_, s)| !s.dirty).map(|(n, _)| *n).collect();
        for number in lost {
            if dice.one_in(2) {
                continue;
            }
            let content = self.choose(number, self.shortenings.len(), dice);
            let begin = number * SECTOR;
            let end = (begin + SECTOR).min(self.live.len());
            if begin < end {
                self.live[begin..end].copy_from_slice(&content[..end - begin]);
            }
            self.put_durable(number, &content);
            self.sectors.remove(&number);
        }
    }

    /// The power is cut: what the medium holds is all there is.
    pub(super) fn cut(&mut self, dice: &mut Dice) {
        let (epoch, size) = match self.sizes.as_slice() {
            [] => (0, self.durable.len()),
            sizes => *dice.pick(sizes),
        };
        // Each sector for itself; at times all that was written is lost, or kept.
        let bias = dice.below(4);
        let mut content = self.durable.clone();
        if let Some(&least) = self.shortenings[..epoch].iter().min() {
            content.truncate(least);
        }
        content.resize(size, 0);
        let numbers: Vec<usize> = self.sectors.keys().copied().collect();
        for number in numbers {
            let chosen = match bias {
                0 => shortened(sector(&self.durable, number), number, &self.shortenings[..epoch]),
                1 => self.newest(number, epoch),
                _ => self.choose(number, epoch, dice),
            };
            let begin = (number * SECTOR).min(size);
            let end = (begin + SECTOR).min(size);
            content[begin..end].copy_from_slice(&chosen[..end - begin]);
        }
        *self = Self::durable(content);
    }

    /// A file that is on the medium as it is read.
    pub(super) fn durable(content: Vec<u8>) -> Self {
        Self {
            sizes: vec![(0, content.len())],
            durable: content.clone(),
            live: content,
            ..Self::default()
        }
    }

    /// One of the states that the sector may be in on the medium, after `epoch` shortenings.
    fn choose(&self, number: usize, epoch: usize, dice: &mut Dice) -> [u8; SECTOR] {
        let states = self.reachable(number, epoch);
        *dice.pick(&states)
    }

    fn newest(&self, number: usize, epoch: usize) -> [u8; SECTOR] {
        let states = self.reachable(number, epoch);
        states[states.len() - 1]
    }

    fn reachable(&self, number: usize, epoch: usize) -> Vec<[u8; SECTOR]> {
        let durable = (0, sector(&self.durable, number));
        let later = self.sectors[&number].states.iter().copied();
        std::iter::once(durable)
            .chain(later.filter(|(before, _)| *before <= epoch))
            .map(|(before, state)| shortened(state, number, &self.shortenings[before..epoch]))
            .collect()
    }

    fn put_durable(&mut self, number: usize, content: &[u8; SECTOR]) {
        let begin = (number * SECTOR).min(self.durable.len());
        let end = (begin + SECTOR).min(self.durable.len());
        self.durable[begin..end].copy_from_slice(&content[..end - begin]);
    }
}

/// A sector's bytes, with zeros behind the file's end.
fn sector(bytes: &[u8], number: usize) -> [u8; SECTOR] {
    let mut state = [0; SECTOR];
    let from = bytes.get(number * SECTOR..).unwrap_or_default();
    let n = from.len().min(SECTOR);
    state[..n].copy_from_slice(&from[..n]);
    state
}

/// A sector after its file was shortened: what was cut off reads as zeros when the file grows again.
fn shortened(mut state: [u8; SECTOR], number: usize, to: &[usize]) -> [u8; SECTOR] {
    if let Some(least) = to.iter().min() {
        let keep = least.saturating_sub(number * SECTOR).min(SECTOR);
        state[keep..].fill(0);
    }
    state
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// All contents that a file of these steps may have after a power cut.
    fn after_a_cut(steps: impl Fn(&mut FileImage)) -> BTreeSet<Vec<u8>> {
        let mut dice = Dice::new(1);
        let contents = (0..200).map(|_| {
            let mut image = FileImage::default();
            steps(&mut image);
            image.cut(&mut dice);
            image.bytes().to_vec()
        });
        contents.collect()
    }

    fn sectors(letters: &str) -> Vec<u8> {
        letters.bytes().flat_map(|letter| [letter; SECTOR]).collect()
    }

    #[test]
    fn what_was_synced_stays() {
        let contents = after_a_cut(|image| {
            image.write(&sectors("ab"), 0);
            image.sync();
        });
        assert_eq!(contents, BTreeSet::from([sectors("ab")]));
    }

    #[test]
    fn what_was_not_synced_is_kept_or_lost_or_torn_by_sectors() {
        let contents = after_a_cut(|image| {
            image.write(&sectors("ab"), 0);
            image.sync();
            image.write(&sectors("xy"), 0);
        });
        assert_eq!(contents, ["ab", "ay", "xb", "xy"].map(sectors).into());
    }

    #[test]
    fn after_a_failed_sync_a_second_one_changes_nothing() {
        let contents = after_a_cut(|image| {
            image.write(&sectors("a"), 0);
            image.sync();
            image.write(&sectors("x"), 0);
            image.fail_sync();
            image.sync();
            assert_eq!(image.bytes(), sectors("x"), "it is read all the same");
        });
        assert_eq!(contents, ["a", "x"].map(sectors).into());
    }

    #[test]
    fn what_is_written_again_after_a_failed_sync_is_durable_after_the_next() {
        let contents = after_a_cut(|image| {
            image.write(&sectors("x"), 0);
            image.fail_sync();
            image.write(&sectors("x"), 0);
            image.sync();
        });
        assert_eq!(contents, [sectors("x")].into());
    }

    #[test]
    fn what_was_cut_off_does_not_come_back_once_that_is_synced() {
        let contents = after_a_cut(|image| {
            image.write(&sectors("ab"), 0);
            image.sync();
            image.set_len(SECTOR);
            image.sync();
            image.write(&sectors("c"), 2 * SECTOR);
        });
        let mut grown = sectors("a");
        grown.resize(3 * SECTOR, 0);
        let mut kept = grown.clone();
        kept[2 * SECTOR..].fill(b'c');
        assert_eq!(contents, [sectors("a"), grown, kept].into());
    }
}

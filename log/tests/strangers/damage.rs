//! Logs with one bit changed.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use crate::cases::{Cases, Tile};

/// What of a log was changed: only who reads it can notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// The checkpoint, a tile or a bundle.
    Log,
    /// A proof, or the envelope that it is of.
    Proof,
    /// In a proof, the name before the checkpoint's signature, which nothing signs.
    ProofSignersName,
}

impl Cases {
    /// Adds the log that was taken last with one bit changed.
    pub(crate) fn damage_newest(&mut self) {
        self.damage(self.newest());
    }

    /// The size of the log that was taken last.
    pub(crate) fn newest(&self) -> u64 {
        let note = fs::read_to_string(self.sound.last().unwrap().join("checkpoint")).unwrap();
        note.lines().nth(1).unwrap().parse().unwrap()
    }

    /// Adds the log of that size with one bit changed: in its checkpoint, in each tile and bundle, and in a proof.
    pub(crate) fn damage(&mut self, size: u64) {
        let sound = self.of_size(size).to_owned();
        let checkpoint = fs::read(sound.join("checkpoint")).unwrap();
        for at in (0..checkpoint.len()).step_by(3) {
            self.flip_in_checkpoint(&sound, at);
        }
        for tile in Tile::of(size) {
            let bytes = fs::read(sound.join(tile.path())).unwrap();
            for part in 0..4 {
                let at = (bytes.len() - 1) * part / 3;
                self.flip_in_tile(&sound, size, tile, at, (at + part) % 8);
            }
        }
        for files in [
            &[&*format!("{}.tlog-proof", size - 1)][..],
            &["bare.entry", "bare.tlog-proof"],
        ] {
            let length = fs::metadata(sound.join("proofs").join(files[0])).unwrap().len();
            for at in (0..length).step_by(7) {
                self.flip_in_proof(&sound, files, at as usize);
            }
        }
    }

    /// Adds the log of that size with one bit changed in its checkpoint or a tile, and in a proof: of each size elsewhere.
    pub(crate) fn damage_somewhere(&mut self, size: u64) {
        let sound = self.of_size(size).to_owned();
        // The remainders of a prime's multiples come in no order.
        let somewhere = |length: u64| (size * 7_919 % length) as usize;
        let tiles: Vec<_> = Tile::of(size).collect();
        let length = |name: &str| fs::metadata(sound.join(name)).unwrap().len();
        match tiles.get(somewhere(tiles.len() as u64 + 1)) {
            Some(tile) => {
                let at = somewhere(length(tile.path().to_str().unwrap()));
                self.flip_in_tile(&sound, size, *tile, at, size as usize % 8);
            }
            None => self.flip_in_checkpoint(&sound, somewhere(length("checkpoint"))),
        }
        let proof = format!("{}.tlog-proof", size - 1);
        let at = somewhere(length(&format!("proofs/{proof}")));
        self.flip_in_proof(&sound, &[&proof], at);
    }

    fn flip_in_checkpoint(&mut self, sound: &Path, at: usize) {
        let checkpoint = fs::read(sound.join("checkpoint")).unwrap();
        if says_something(&checkpoint, at) {
            let case = self.damaged_case(sound, Reads::Log, &["tile", "older"]);
            fs::write(case.join("checkpoint"), flipped(&checkpoint, at, at % 8)).unwrap();
        }
    }

    fn flip_in_tile(&mut self, sound: &Path, size: u64, tile: Tile, at: usize, bit: usize) {
        let bytes = fs::read(sound.join(tile.path())).unwrap();
        let case = self.damaged_case(sound, Reads::Log, &["checkpoint", "older"]);
        for other in Tile::of(size) {
            let path = case.join(other.path());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if other.path() != tile.path() {
                fs::hard_link(sound.join(other.path()), path).unwrap();
            }
        }
        fs::write(case.join(tile.path()), flipped(&bytes, at, bit)).unwrap();
    }

    /// Adds a log whose checkpoint is good, and signed with another key.
    pub(crate) fn refuse_checkpoint_of(&mut self, old: &Path) {
        let case = self.damaged_case(old, Reads::Log, &["tile", "checkpoint"]);
        assert!(case.join("checkpoint").exists());
        let proofs = self.damaged_case(old, Reads::Proof, &["proofs"]);
        assert!(proofs.join("proofs").exists());
    }

    /// Adds a log of one proof, with one bit changed in the first of its files.
    fn flip_in_proof(&mut self, sound: &Path, files: &[&str], at: usize) {
        let proofs = sound.join("proofs");
        let text = fs::read(proofs.join(files[0])).unwrap();
        if !says_something(&text, at) {
            return;
        }
        let name = text.iter().rposition(|byte| *byte == b' ').unwrap_or(0);
        let is_name = files.len() == 1 && at < name && text[at..name].iter().all(|byte| *byte != b'\n');
        let reads = if is_name { Reads::ProofSignersName } else { Reads::Proof };
        let case = self.damaged_case(sound, reads, &[]).join("proofs");
        fs::create_dir(&case).unwrap();
        for other in &files[1..] {
            symlink(proofs.join(other), case.join(other)).unwrap();
        }
        fs::write(case.join(files[0]), flipped(&text, at, at % 7)).unwrap();
    }

    /// A case with these parts of a sound one.
    fn damaged_case(&mut self, sound: &Path, reads: Reads, parts: &[&str]) -> PathBuf {
        let case = sound.with_file_name(format!(
            "damaged-{}-of-{}",
            self.damaged.len(),
            sound.file_name().unwrap().display()
        ));
        fs::create_dir(&case).unwrap();
        for part in parts.iter().filter(|part| sound.join(part).exists()) {
            symlink(sound.join(part), case.join(part)).unwrap();
        }
        self.damaged.push((case.clone(), reads));
        case
    }
}

fn flipped(bytes: &[u8], at: usize, bit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1 << bit;
    bytes
}

/// Whether a byte of a text carries something. The padding of base64, and the unused bits in the digit before it, do not:
/// some readers refuse another text for the same bytes, some do not.
fn says_something(text: &[u8], at: usize) -> bool {
    text[at] != b'=' && text.get(at + 1) != Some(&b'=')
}

//! Damage to a ledger, written as bytes that a fuzzer changes well: each edit is seven bytes, some with bytes behind.

use crate::{
    frozen::{Files, frozen},
    mend,
};

/// Names that an edit may mean: those of the frozen ledger, and some that a crash or a stranger may leave.
const NAMES: [&str; 19] = [
    "log/00000000000000000164.log",
    "log/00000000000000000082.log",
    "log/00000000000000000000.log",
    "checkpoint",
    "keys",
    "heads",
    "tree/0",
    "log/00000000000000000082.idx",
    "log/00000000000000000000.idx",
    "signer",
    "quipu.json",
    "torn/00000000000000000164-16376-329a45621a4ac7ab.torn",
    "log/next",
    "keys.new",
    "checkpoint.new",
    "heads.new",
    "log/00000000000000000190.log",
    "log/00000000000000000164.idx",
    "tree/1",
];

/// One change of a ledger's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Edit {
    /// Flips a bit.
    Flip,
    /// Overwrites with the bytes behind.
    Overwrite,
    /// Inserts the bytes behind.
    Insert,
    /// Cuts a range out.
    CutOut,
    /// Shortens.
    Shorten,
    /// Fills a range, with LF or zeros.
    Fill,
    /// Overwrites with bytes of another file.
    Copy,
    /// Gives another file's content the name.
    Replace,
    /// Removes.
    Remove,
    /// Puts back a checkpoint of an earlier size.
    EarlierCheckpoint,
    /// Overwrites with LF from some line on: the log as it was earlier.
    EarlierLog,
    /// Puts the checksums of lines and blocks right.
    Mend,
}

use Edit::*;

const EDITS: [Edit; 12] = [
    Flip,
    Overwrite,
    Insert,
    CutOut,
    Shorten,
    Fill,
    Copy,
    Replace,
    Remove,
    EarlierCheckpoint,
    EarlierLog,
    Mend,
];
/// Edits of one input; more show nothing that fewer do not.
const MOST_EDITS: usize = 16;

impl Edit {
    /// The bytes that mean this edit of a file, named by its place in the list.
    pub fn to_bytes(self, file: u8, at: u16, length: u16, more: &[u8]) -> Vec<u8> {
        let (at, length) = (at.to_be_bytes(), length.to_be_bytes());
        [&[self as u8, file, at[0], at[1], length[0], length[1], 0], more].concat()
    }
}

/// Edits the files as `input` says. Returns whether checksums were put right, so that what was forged may be believed.
pub fn edit(files: &mut Files, input: &[u8]) -> bool {
    let mut input = input;
    let mut mended = false;
    for _ in 0..MOST_EDITS {
        let Some((&[edit, file, a, b, c, d, other], rest)) = input.split_first_chunk() else {
            break;
        };
        input = rest;
        let edit = EDITS[usize::from(edit) % EDITS.len()];
        let name = |number: u8| NAMES[usize::from(number) % NAMES.len()];
        let (at, length) = (
            usize::from(u16::from_be_bytes([a, b])),
            usize::from(u16::from_be_bytes([c, d])),
        );
        let source = files.get(name(other)).cloned().unwrap_or_default();
        let name = name(file);
        match edit {
            Remove => drop(files.remove(name)),
            EarlierCheckpoint => drop(files.insert("checkpoint".into(), frozen().checkpoint(at))),
            Mend => {
                if let Some(bytes) = files.get_mut(name) {
                    mend(name, bytes);
                    mended = true;
                }
            }
            _ => {
                let bytes = files.entry(name.to_owned()).or_default();
                let literal = &input[..input.len().min(length % 48)];
                if edit == Overwrite || edit == Insert {
                    input = &input[literal.len()..];
                }
                change(edit, bytes, at, length, literal, &source);
            }
        }
    }
    mended
}

fn change(edit: Edit, bytes: &mut Vec<u8>, at: usize, length: usize, literal: &[u8], source: &[u8]) {
    let at = at % (bytes.len() + 1);
    let end = (at + length).min(bytes.len());
    match edit {
        Flip => bytes
            .iter_mut()
            .skip(at)
            .take(1)
            .for_each(|byte| *byte ^= 1 << (length % 8)),
        Overwrite => overwrite(bytes, at, literal),
        Insert => drop(bytes.splice(at..at, literal.iter().copied()).collect::<Vec<_>>()),
        CutOut => drop(bytes.drain(at..end)),
        Shorten => bytes.truncate(at),
        Fill => bytes[at..end].fill(if length.is_multiple_of(2) { b'\n' } else { 0 }),
        Copy => overwrite(bytes, at, &source[at.min(source.len())..source.len().min(at + length)]),
        Replace => *bytes = source.to_vec(),
        EarlierLog => {
            let line = bytes.iter().enumerate().skip(at).find(|(_, byte)| **byte == b'\n');
            let from = line.map_or(bytes.len(), |(lf, _)| lf + 1);
            bytes[from..].fill(b'\n');
        }
        Remove | EarlierCheckpoint | Mend => {}
    }
}

fn overwrite(bytes: &mut Vec<u8>, at: usize, with: &[u8]) {
    bytes.resize(bytes.len().max(at + with.len()), b'\n');
    bytes[at..at + with.len()].copy_from_slice(with);
}

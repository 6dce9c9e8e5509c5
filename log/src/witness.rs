//! Cosignatures of witnesses: what is sent to one, and the file `cosigned`, the newest checkpoint that witnesses signed.
//! How it is sent is for others: nothing here knows a network.

use quipu_format::{Checkpoint, Hash, WitnessKey, add_checkpoint, tree};
use serde::Serialize;

use crate::{
    Error, ErrorKind, LedgerReader, Result,
    disk::{Access, Folder},
    original::Original,
    tree_files::TreeFiles,
    verifier_keys::VerifierKeys,
};

pub(crate) const FILE: &str = "cosigned";

/// The newest checkpoint that witnesses signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Cosigned {
    /// Entries that it covers.
    pub size: u64,
    /// Who of those that were asked for signed it, and when.
    pub witnesses: Vec<Witnessed>,
}

/// A witness's word that it saw this checkpoint, and none that contradicts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Witnessed {
    /// Its name.
    pub name: String,
    /// Seconds since 1970.
    pub time: u64,
}

/// A checkpoint that is being shown to witnesses.
pub struct Submission {
    folder: Folder,
    note: String,
    checkpoint: Checkpoint,
    /// Lines of those who signed it.
    lines: String,
}

impl LedgerReader {
    /// Begins to show the newest checkpoint to witnesses.
    pub fn submission(&self) -> Result<Submission> {
        let (note, checkpoint) = self.checkpoint()?;
        let files = TreeFiles::open(&self.state.folder)?;
        if tree::root(checkpoint.size, &files)? != checkpoint.root {
            return Err(TreeFiles::stale());
        }
        Ok(Submission {
            folder: self.state.folder.clone(),
            note,
            checkpoint,
            lines: String::new(),
        })
    }

    /// The newest checkpoint that witnesses signed, and which of these did.
    ///
    /// # Errors
    /// Kind `Tampered` if the ledger did not sign it, if a cosignature is bad, or if it is not of this log: the log was
    /// rolled back or is another history.
    pub fn cosigned(&self, witnesses: &[WitnessKey]) -> Result<Cosigned> {
        let (state, folder) = (&self.state, &self.state.folder);
        let Some((checkpoint, text, lines)) = state.signed(|manifest| read(folder, &manifest.verifier_key))? else {
            let message = "no witness has signed a checkpoint of this ledger yet: `quipu witness` asks one to";
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        let newest = self.checkpoint()?.1;
        let another = |what: &str| {
            let message = format!(
                "witnesses signed a checkpoint of {} entries, and {what}: the log was rolled back, or is another history",
                checkpoint.size
            );
            Error::new(ErrorKind::Tampered, message)
        };
        if checkpoint.size > newest.size {
            return Err(another(&format!("the ledger's newest has {}", newest.size)));
        }
        if tree::root(checkpoint.size, &TreeFiles::open(folder)?)? != checkpoint.root {
            return Err(another("the log has another root there"));
        }
        let mut cosigned = Cosigned {
            size: checkpoint.size,
            witnesses: Vec::new(),
        };
        let mut counted: Vec<&[u8; 32]> = Vec::new();
        for witness in witnesses {
            if counted.contains(&witness.public_key()) {
                continue;
            }
            let found = witness.find(&text, &lines);
            if let Some(time) = found.map_err(|e| Error::new(ErrorKind::Tampered, format!("{FILE}: {e}")))? {
                counted.push(witness.public_key());
                cosigned.witnesses.push(Witnessed {
                    name: witness.name().to_owned(),
                    time,
                });
            }
        }
        Ok(cosigned)
    }
}

impl Submission {
    /// Entries that the checkpoint covers.
    pub fn size(&self) -> u64 {
        self.checkpoint.size
    }

    /// What to send to a witness that has seen `old` entries of this ledger.
    ///
    /// # Errors
    /// Kind `Tampered` if it has seen more than there are: this log was rolled back.
    pub fn request(&self, old: u64) -> Result<String> {
        if old > self.checkpoint.size {
            let message = format!(
                "the witness has seen {old} entries of this ledger, and its newest checkpoint covers {}: the log was \
                 rolled back, or is an older copy. Go on with the newest one",
                self.checkpoint.size
            );
            return Err(Error::new(ErrorKind::Tampered, message));
        }
        let proof: Vec<Hash> = tree::consistency_proof(old, self.checkpoint.size, &TreeFiles::open(&self.folder)?)?;
        Ok(add_checkpoint(old, &proof, &self.note))
    }

    /// Takes a witness's answer, lines with its cosignature; gives the time that it names.
    ///
    /// # Errors
    /// Kind `Invalid` if that witness did not sign this checkpoint with them.
    pub fn take(&mut self, witness: &WitnessKey, answer: &str) -> Result<u64> {
        let refused = |why: String| Error::new(ErrorKind::Invalid, format!("the witness's answer is not one: {why}"));
        let (text, _) = parts(&self.note).ok_or_else(|| refused("the checkpoint is no note".to_owned()))?;
        let time = witness.find(text, answer).map_err(|e| refused(e.to_string()))?;
        let time = time.ok_or_else(|| refused(format!("no line of it is signed by {}", witness.name())))?;
        // Its own line alone: nobody vouches for others.
        let begin = format!("\u{2014} {} ", witness.name());
        for line in answer.lines().filter(|line| line.starts_with(&begin)) {
            self.lines.push_str(line);
            self.lines.push('\n');
        }
        Ok(time)
    }

    /// Keeps the checkpoint and all cosignatures that were taken, in place of the last such.
    pub fn keep(self) -> Result<()> {
        let note = format!("{}{}", self.note, self.lines);
        self.folder.replace(FILE, note.as_bytes(), Access::Usual)
    }
}

/// Gives a copy the file, where it is of what the copy holds. The ledger may have gone on since, and shown more to
/// witnesses: then the copy keeps what it had.
pub(crate) fn copy(original: &Original, to: &Folder, keys: &VerifierKeys) -> Result<()> {
    let Some(note) = original.folder().read(FILE, 64 << 10)? else {
        return Ok(());
    };
    match keys.open(&note) {
        Ok(seen)
            if seen.size <= original.checkpoint.size && tree::root(seen.size, &TreeFiles::open(to)?)? == seen.root =>
        {
            to.replace(FILE, &note, Access::Usual)
        }
        _ => Ok(()),
    }
}

/// The file: its checkpoint, the text that is signed, and the signatures' lines.
fn read(folder: &Folder, keys: &VerifierKeys) -> Result<Option<(Checkpoint, String, String)>> {
    let Some(note) = folder.read(FILE, 64 << 10)? else {
        return Ok(None);
    };
    let bad = |why: String| {
        Error::new(
            ErrorKind::Tampered,
            format!("the file {FILE} is not of this ledger: {why}"),
        )
    };
    let checkpoint = keys.open(&note).map_err(bad)?;
    let note = String::from_utf8(note).map_err(|e| bad(e.to_string()))?;
    let (text, lines) = parts(&note).ok_or_else(|| bad("it is no note".to_owned()))?;
    Ok(Some((checkpoint, text.to_owned(), lines.to_owned())))
}

/// A note's text, with its last line feed, and its signatures' lines.
fn parts(note: &str) -> Option<(&str, &str)> {
    let at = note.rfind("\n\n")?;
    Some((&note[..=at], &note[at + 2..]))
}

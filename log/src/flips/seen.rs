//! What a verifier said of each line as it was. A line that is in its place again, or in another's, is not worked through
//! anew; one of which a single byte is another is, as is all that entries are to each other.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use quipu_format::Line;

use crate::entry::Entry;

/// What was said of the newest line of each commit.
#[derive(Default)]
pub(crate) struct Seen(Mutex<HashMap<u64, Said>>);

struct Said {
    /// All of the line that counts for it.
    envelope: Vec<u8>,
    sealed: Vec<u8>,
    seq: u64,
    entry: Entry,
}

impl Seen {
    /// What `work` says of a line, now or when its bytes were here before.
    pub(crate) fn entry(
        &self,
        line: &Line<'_>,
        work: impl FnOnce() -> quipu_format::Result<(u64, Entry)>,
    ) -> quipu_format::Result<(u64, Entry)> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let said = seen.get(&line.first);
        if let Some(said) = said.filter(|said| said.envelope == line.envelope && said.sealed == line.sealed) {
            return Ok((said.seq, said.entry.clone()));
        }
        let (seq, entry) = work()?;
        let said = Said {
            envelope: line.envelope.to_vec(),
            sealed: line.sealed.to_vec(),
            seq,
            entry: entry.clone(),
        };
        seen.insert(line.first, said);
        Ok((seq, entry))
    }
}

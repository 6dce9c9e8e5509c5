//! What a verifier said of each line as it was. A line that is in its place again, or in another's, is not worked through
//! anew; one of which a single byte is another is, as is all that entries are to each other.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use quipu_format::Line;

use crate::entry::Entry;

/// What was said of lines, by their envelopes.
#[derive(Default)]
pub(crate) struct Seen(Mutex<HashMap<Vec<u8>, Said>>);

struct Said {
    /// The body that stood behind the envelope.
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
        if let Some(said) = seen.get(line.envelope).filter(|said| said.sealed == line.sealed) {
            return Ok((said.seq, said.entry.clone()));
        }
        let (seq, entry) = work()?;
        let said = Said {
            sealed: line.sealed.to_vec(),
            seq,
            entry: entry.clone(),
        };
        seen.insert(line.envelope.to_vec(), said);
        Ok((seq, entry))
    }
}

//! What a verifier said of each line as it was. A line that is in its place again, or in another's, is not worked through
//! anew; one of which a single byte is another is, as is all that entries are to each other.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use quipu_format::Line;

use crate::entry::Entry;

/// Lines by their envelope: the body that stood behind it, and what was said.
#[derive(Default)]
pub(crate) struct Seen(Mutex<HashMap<Vec<u8>, (Vec<u8>, u64, Entry)>>);

impl Seen {
    /// What `work` says of a line, now or when its bytes were here before.
    pub(crate) fn entry(
        &self,
        line: &Line<'_>,
        work: impl FnOnce() -> quipu_format::Result<(u64, Entry)>,
    ) -> quipu_format::Result<(u64, Entry)> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.get(line.envelope) {
            Some((sealed, seq, entry)) if sealed == line.sealed => Ok((*seq, entry.clone())),
            _ => {
                let (seq, entry) = work()?;
                let sealed = line.sealed.to_vec();
                seen.insert(line.envelope.to_vec(), (sealed, seq, entry.clone()));
                Ok((seq, entry))
            }
        }
    }
}

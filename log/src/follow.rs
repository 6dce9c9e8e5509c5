//! Reading a ledger that another process may be writing: commits are served once something later proves them durable.

use std::{
    convert::Infallible,
    mem,
    sync::{Arc, PoisonError},
};

use crate::{
    Result, base::Base, disk::DiskFile, erasure::Erasures, index::Index, lines::Found, reader::ReadState, scan,
    segment, spans,
};

/// How far the files have been read.
pub(crate) struct Follow {
    /// Byte of the newest opened segment at which the first commit that is not served yet begins.
    at: usize,
    /// No segment has been read yet.
    fresh: bool,
    /// Scopes have come whose keys have not been read, or erasures.
    keys_behind: bool,
    /// These.
    erasures: Erasures,
    /// What was proved durable, otherwise than by the files, when they were last looked at.
    proved: u64,
}

impl Follow {
    pub(crate) fn new() -> Self {
        Self {
            at: 0,
            fresh: true,
            keys_behind: false,
            erasures: Erasures::default(),
            proved: 0,
        }
    }

    /// Entries below it had been proved durable when the files were last looked at.
    pub(crate) fn proved(&self) -> u64 {
        self.proved
    }

    /// Serves what has become durable since; entries below `proved` are, whatever the files show.
    ///
    /// The checkpoint and the folder are read before any segment is: what they show to be durable is then in the bytes
    /// that are read after. Entries behind damage are served too, each line on its own.
    pub(crate) fn advance(&mut self, state: &ReadState, proved: u64) -> Result<()> {
        self.proved = self.proved.max(proved);
        // A bad checkpoint is for verify to name; here it only proves nothing.
        let checkpoint = state.checkpoint().ok();
        let checkpoint = checkpoint.map(|(_, checkpoint)| checkpoint);
        let floor = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.size);
        let floor = floor.max(self.proved);
        let files = state
            .index
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .files()
            .clone();
        let firsts = files.segments()?;
        if self.fresh {
            let applied = state.keys.read().unwrap_or_else(PoisonError::into_inner).applied;
            let secret = state.secret();
            let base = Base::find(&state.folder, &files, &firsts, &secret, checkpoint.as_ref(), applied)?;
            *state.index.write().unwrap_or_else(PoisonError::into_inner) = base.into_index(files.clone());
            self.fresh = false;
        }
        let mut index = state.index.write().unwrap_or_else(PoisonError::into_inner);
        let before = index.sealed().len();
        let from = firsts.partition_point(|&first| first < index.newest_first());
        for (number, &first) in firsts.iter().enumerate().skip(from) {
            let file = match index.newest_file() {
                Some(file) if first == index.newest_first() => file.clone(),
                before => {
                    let is_first = before.is_none();
                    let file = Arc::new(files.open_segment(first)?);
                    if is_first && first == index.newest_first() {
                        index.set_newest_file(file.clone());
                    } else {
                        index.rotate(first, file.clone());
                    }
                    self.at = 0;
                    file
                }
            };
            let sealed = number + 1 < firsts.len();
            self.read_on(&mut index, state, &file, sealed, floor)?;
        }
        // The writer gives a full segment its sidecar soon after; what is held in memory until then is freed.
        for segment in index.sealed().iter().filter(|segment| segment.recent().is_some()) {
            segment.adopt_sidecar()?;
        }
        // So it merges sidecars, from time to time.
        let sealed = index.sealed();
        if sealed.len() > before {
            let merged = spans::find(index.files(), &sealed)?;
            index.set_merged(merged);
        }
        if self.keys_behind {
            // Before anybody sees the entries: a scope's record was durable before its first entry was.
            // With an erasure its content goes, be the key file written anew already or not.
            state.watch.read_again(state, mem::take(&mut self.erasures))?;
            self.keys_behind = false;
        }
        Ok(())
    }

    /// Serves more of the newest opened segment.
    fn read_on(
        &mut self,
        index: &mut Index,
        state: &ReadState,
        file: &DiskFile,
        sealed: bool,
        floor: u64,
    ) -> Result<()> {
        // Twice at most: bytes that are read while they are written may lack what comes before a line that is there
        // already. That line proves that all before it was written, so reading once more shows it, unless it is damage.
        let mut suspect = None;
        let mut whole_file = sealed;
        loop {
            let length = file.len()?.saturating_sub(self.at as u64).min(segment::MOST_BYTES);
            let bytes = if whole_file {
                file.read_range(self.at as u64, length as usize)?
            } else {
                written(file, self.at as u64, length as usize)?
            };
            let mut whole = Vec::new();
            let Ok(tail) = scan::commits(&bytes, 0, index.next(), |found| {
                whole.push(found);
                Ok::<_, Infallible>(())
            });
            scan::refuse_newer(&bytes[tail.end..], self.at + tail.end, file)?;
            if !whole_file && floor > tail.next {
                // Something durable is missing: what stands behind the damage is looked for everywhere.
                whole_file = true;
                continue;
            }
            // A commit is durable as a whole.
            let durable = sealed || floor > tail.last_first;
            let (end, next) = if durable {
                (tail.end, tail.next)
            } else {
                (tail.last_commit.start, tail.last_first)
            };
            let behind = || scan::authentic(&bytes, tail.end).filter(|found| found.first != tail.next);
            let newest = behind().map(|found| found.first).max();
            if newest.is_none() && (tail.rest.is_empty() || !sealed && floor <= tail.next) {
                whole.retain(|found| found.envelope.seq < next);
                self.serve(index, state, whole);
                self.at += end;
                return Ok(());
            }
            if !sealed && suspect != Some(tail.next) {
                suspect = Some(tail.next);
                continue;
            }
            // Damage. What stands behind it is served as far as something later proves it durable.
            let durable = if sealed {
                u64::MAX
            } else {
                floor.max(newest.unwrap_or(0))
            };
            let most = index.newest_first() + segment::MOST_ENTRIES;
            whole.extend(scan::authentic(&bytes, tail.end).filter(|found| found.envelope.seq < durable.min(most)));
            let end = whole.last().map_or(0, |found| found.range.end);
            self.serve(index, state, whole);
            self.at += end;
            return Ok(());
        }
    }

    fn serve(&mut self, index: &mut Index, state: &ReadState, found: Vec<Found>) {
        let keys = state.keys.read().unwrap_or_else(PoisonError::into_inner);
        for mut found in found {
            if found.envelope.seq < index.next() {
                continue;
            }
            found.range = self.at + found.range.start..self.at + found.range.end;
            self.keys_behind |= !keys.trees.contains_key(&found.envelope.scope);
            if found.envelope.seq >= keys.applied {
                self.erasures.take(&found.envelope);
                self.keys_behind |= !self.erasures.is_empty();
            }
            index.push(found.listed(), found.range.clone());
        }
    }
}

/// Bytes from `start`, at most `most`, up to a stretch that is only filled ahead.
fn written(file: &DiskFile, start: u64, most: usize) -> Result<Vec<u8>> {
    const STEP: usize = 256 << 10;
    let mut bytes = Vec::new();
    while bytes.len() < most {
        let step = file.read_range(start + bytes.len() as u64, STEP.min(most - bytes.len()))?;
        let ends = step.iter().all(|&byte| byte == b'\n');
        bytes.extend(step);
        if ends {
            break;
        }
    }
    Ok(bytes)
}

//! Where an open begins to read: behind the newest sealed segment that `heads` vouches for, or at the start.

use std::{collections::HashMap, sync::Arc};

use quipu_format::{
    Checkpoint, Scope,
    tree::{self, Frontier},
};
use ulid::Ulid;

use crate::{
    ErrorKind, Result,
    disk::Folder,
    heads::{Head, Heads},
    index::Index,
    merged::Merged,
    open_files::OpenFiles,
    sealed::Sealed,
    spans,
    tree_files::TreeFiles,
};

pub(crate) struct Base {
    /// The tree up to here.
    pub(crate) frontier: Frontier,
    /// Name of the entry before.
    pub(crate) last_id: Ulid,
    scopes: HashMap<Scope, Head>,
    sealed: Vec<Arc<Sealed>>,
    merged: Vec<Arc<Merged>>,
}

impl Base {
    /// The start of the log.
    pub(crate) fn start() -> Self {
        Self {
            frontier: Frontier::new(),
            last_id: Ulid::nil(),
            scopes: HashMap::new(),
            sealed: Vec::new(),
            merged: Vec::new(),
        }
    }

    /// The best that there is: nothing is believed that does not fit everything else. `firsts` are the segments' first
    /// positions; the keys have carried out the erasures below `applied`, and where others stand before, all is read.
    pub(crate) fn find(
        ledger: &Folder,
        files: &Arc<OpenFiles>,
        firsts: &[u64],
        secret: &[u8; 32],
        checkpoint: Option<&Checkpoint>,
        applied: u64,
    ) -> Result<Self> {
        match Self::from_heads(ledger, files, firsts, secret, checkpoint, applied) {
            Ok(Some(base)) => Ok(base),
            Ok(None) => Ok(Self::start()),
            // The tree's files may lack what they should hold.
            Err(e) if matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => Ok(Self::start()),
            Err(e) => Err(e),
        }
    }

    /// Entries before it.
    pub(crate) fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// An index of what comes before.
    pub(crate) fn into_index(self, files: Arc<OpenFiles>) -> Index {
        let first = self.size();
        Index::new(files, self.sealed, self.merged, self.scopes, first)
    }

    fn from_heads(
        ledger: &Folder,
        files: &Arc<OpenFiles>,
        firsts: &[u64],
        secret: &[u8; 32],
        checkpoint: Option<&Checkpoint>,
        applied: u64,
    ) -> Result<Option<Self>> {
        let (Some(heads), Some(checkpoint)) = (Heads::read(ledger, secret)?, checkpoint) else {
            return Ok(None);
        };
        if heads.erased > applied {
            return Ok(None);
        }
        let Some(number) = firsts.iter().position(|&first| first == heads.size) else {
            return Ok(None);
        };
        let hashes = TreeFiles::open(ledger)?;
        let frontier = tree::frontier(heads.size, &hashes)?;
        let signed = checkpoint.size >= heads.size || tree::root(checkpoint.size, &hashes)? == checkpoint.root;
        if frontier.root() != heads.root || !signed || firsts.first() != Some(&0) {
            return Ok(None);
        }
        let mut sealed = Vec::with_capacity(number);
        for pair in firsts[..=number].windows(2) {
            match Sealed::open(files, pair[0], pair[1] - pair[0])? {
                Some(segment) => sealed.push(Arc::new(segment)),
                // One segment without its sidecar is read alone.
                None => sealed.push(Arc::new(Sealed::read_whole(files, pair[0], pair[1] - pair[0])?)),
            }
        }
        Ok(Some(Self {
            frontier,
            last_id: heads.last_id,
            scopes: heads.scopes,
            merged: spans::find(files, &sealed)?,
            sealed,
        }))
    }
}
